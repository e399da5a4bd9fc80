"""Which ID tokens are believed: one table of those that are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from flask_oauth_accounts.clients.oidc import KeySource, validate_id_token
from flask_oauth_accounts.clients.transport import Transport
from flask_oauth_accounts.errors import IdTokenError
from flask_oauth_accounts.identity import UserInfo

NOW = 1_700_000_000.0
ISSUER = "https://op.example"
SECRET = "a-client-secret-of-some-length-0123456789"  # not a credential: both ends are in this file
NONCE = "n-0S6_WzA2Mj"

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
RSA_2 = RSAKey.generate_key(2048, {"kid": "rsa2"})
FOREIGN = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
EC_384 = ECKey.generate_key("P-384", {"kid": "ec384"})
OKP = OKPKey.generate_key("Ed25519", {"kid": "okp"})
PUBLIC_PEM = RSA.as_pem(private=False)


def b64(raw: bytes | str) -> str:
    """Encode as base64url without padding."""
    raw = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign_text(header: str, payload: str, key: Any, alg: str) -> str:
    """Sign any two texts, as a hostile provider would."""
    signed = f"{b64(header)}.{b64(payload)}"
    if isinstance(key, bytes):
        return f"{signed}.{b64(hmac.digest(key, signed.encode(), 'sha256'))}"
    return f"{signed}.{b64(JWSRegistry.algorithms[alg].sign(signed.encode(), key))}"


def make_claims(**changes: Any) -> dict[str, Any]:
    """Claims that are in order, but for the changes; ``...`` takes one out."""
    claims = {
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": "client",
        "exp": NOW + 300,
        "iat": NOW - 5,
        "nonce": NONCE,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


def sign(claims: dict[str, Any] | None = None, *, key: Any = RSA, alg: str = "RS256", **header: Any) -> str:
    """Sign an ID token."""
    head = {"alg": alg, "kid": "rsa", **header}
    head = {name: value for name, value in head.items() if value is not ...}
    return sign_text(json.dumps(head), json.dumps(make_claims() if claims is None else claims), key, alg)


def half(value: str, name: str = "sha256") -> str:
    """The left half of a hash."""
    digest = hashlib.new(name, value.encode()).digest()
    return b64(digest[: len(digest) // 2])


def public(*keys: Any, **more: Any) -> dict[str, Any]:
    """A key set."""
    return {"keys": [{**key.as_dict(private=False), **more} for key in keys]}


@pytest.fixture
def create_keys(transport: Transport) -> Callable[..., KeySource]:
    """Build a key source with a fixed key set."""

    def create(jwks: dict[str, Any]) -> KeySource:
        return KeySource(transport, provider="acme", uri=lambda: None, jwks=jwks)

    return create


@pytest.fixture
def check(create_keys: Callable[..., KeySource]) -> Callable[..., UserInfo]:
    """Validate with the settings of an ordinary client."""
    ordinary = create_keys(public(RSA, RSA_2, EC, EC_384, OKP))

    def check(token: object, **changes: Any) -> UserInfo:
        settings: dict[str, Any] = {
            "keys": ordinary,
            "issuer": ISSUER,
            "client_id": "client",
            "client_secret": SECRET,
            "algorithms": ("RS256",),
            "nonce": NONCE,
            "now": NOW,
            "provider": "acme",
            **changes,
        }
        return validate_id_token(token, **settings)

    return check


def refused(token: object, reason: str, name: str, **settings: Any) -> Any:
    """One row of the table."""
    return pytest.param(token, reason, settings, id=name)


def _unsigned(alg: Any) -> str:
    return f"{b64(json.dumps({'alg': alg}))}.{b64(json.dumps(make_claims()))}."


def _hs256_with(key: bytes, **header: Any) -> str:
    return sign(key=key, alg="HS256", **header)


GOOD = sign()
PARTS = GOOD.split(".")

REFUSED = [
    refused(_unsigned("none"), "algorithm is 'none'", "c01_alg_none"),
    refused(_unsigned("none"), "algorithm is 'none'", "c01_alg_none_configured", algorithms=("none", "RS256")),
    refused(_unsigned("None"), "algorithm is 'None'", "c01_alg_none_other_case", algorithms=("None",)),
    refused(_unsigned(None), "algorithm is missing", "c01_alg_null"),
    refused(_unsigned(["RS256"]), "algorithm is missing", "c01_alg_list"),
    refused(f"{PARTS[0]}.{PARTS[1]}.", "signature is wrong", "c01_signature_empty"),
    refused(_hs256_with(PUBLIC_PEM), "algorithm is 'HS256'", "c02_hs256_with_public_key"),
    refused(_hs256_with(PUBLIC_PEM), "signature", "c02_hs256_with_public_key_allowed", algorithms=("RS256", "HS256")),
    refused(_hs256_with(b"x"), "no client secret", "c02_hs256_no_secret", algorithms=("HS256",), client_secret=None),
    refused(_hs256_with(b"x"), "no client secret", "c02_hs256_empty_secret", algorithms=("HS256",), client_secret=""),
    refused(PARTS[0] + "." + PARTS[1] + "." + b64(b"x" * 256), "signature is wrong", "c05_bad_signature"),
    refused(PARTS[0] + "." + b64(json.dumps(make_claims(sub="x"))) + "." + PARTS[2], "signature", "c05_changed"),
    refused(sign(key=FOREIGN), "signature is wrong", "c05_foreign_key_same_kid"),
    refused(sign(key=RSA, kid="rsa2"), "signature is wrong", "c05_other_kid"),
    refused(
        sign(key=FOREIGN, kid=..., jwk=FOREIGN.as_dict(private=False)), "signature is wrong", "c06_key_in_header"
    ),
    refused(sign(key=FOREIGN, jku="https://evil.example/jwks"), "signature is wrong", "c07_jku"),
    refused(sign(key=FOREIGN, x5u="https://evil.example/x5u"), "signature is wrong", "c07_x5u"),
    refused(sign(kid="unknown"), "no key 'unknown'", "c08_unknown_kid"),
    refused(sign(kid=7), "kid is not a text", "c08_kid_number"),
    refused(sign(key=EC, alg="ES256", kid="ec"), "algorithm is 'ES256'", "c05_algorithm_not_configured"),
    refused(sign(key=EC, alg="ES256", kid="ec384"), "signature", "c05_wrong_curve", algorithms=("ES256",)),
    refused(sign(alg="RS256", key=RSA, kid="ec"), "no key 'ec'", "c05_wrong_key_type"),
    refused(sign(make_claims(iss="https://evil.example")), "its iss is", "c15_issuer"),
    refused(sign(make_claims(iss=ISSUER + "/")), "its iss is", "c15_issuer_slash"),
    refused(sign(make_claims(iss=[ISSUER])), "iss is not a text", "c15_issuer_list"),
    refused(sign(make_claims(iss=...)), "iss is not a text", "c15_issuer_missing"),
    refused(GOOD, "issuer of this provider is not known", "c15_no_issuer_known", issuer=""),
    refused(sign(make_claims(aud="other")), "not this client", "c16_aud_wrong"),
    refused(sign(make_claims(aud=...)), "aud is neither", "c16_aud_missing"),
    refused(sign(make_claims(aud="")), "not this client", "c16_aud_empty"),
    refused(sign(make_claims(aud=[])), "aud is neither", "c16_aud_empty_list"),
    refused(sign(make_claims(aud=["client", 7])), "aud is neither", "c16_aud_mixed"),
    refused(sign(make_claims(aud={"client": 1})), "aud is neither", "c16_aud_object"),
    refused(sign(make_claims(aud=["client", "evil"])), "aud names 'evil'", "c16_second_audience"),
    refused(sign(make_claims(aud=["client", "evil"], azp="client")), "ACME_TRUSTED_AUDIENCES", "c16_untrusted"),
    refused(sign(make_claims(aud=["client", "api", "evil"], azp="client")), "'evil'", "c16_one_of_two_trusted",
            trusted_audiences=["api"]),
    refused(sign(make_claims(aud=["client", "api"])), "several audiences", "c17_no_azp", trusted_audiences=["api"]),
    refused(sign(make_claims(aud="api")), "not this client", "c16_trusted_audience_alone", trusted_audiences=["*"]),
    refused(sign(make_claims(azp="evil")), "azp is 'evil'", "c17_azp_wrong"),
    refused(sign(make_claims(azp=["client"])), "azp", "c17_azp_list"),
    refused(sign(make_claims(aud=["client", "evil"], azp="evil")), "azp is 'evil'", "c17_azp_of_the_other",
            trusted_audiences=["*"]),
    refused(sign(make_claims(exp=NOW - 61)), "expired 61 s ago", "c18_expired"),
    refused(sign(make_claims(exp=NOW - 301)), "expired", "c18_leeway_is_capped", leeway=1e9),
    refused(sign(make_claims(exp=...)), "exp is not a number", "c18_exp_missing"),
    refused(sign(make_claims(exp=str(NOW + 300))), "exp is not a number", "c18_exp_text"),
    refused(sign(make_claims(exp=True)), "exp is not a number", "c18_exp_boolean"),
    refused(sign(make_claims(exp=10**400)), "exp is not a number", "c18_exp_huge"),
    refused(sign(make_claims(exp=math.inf)), "not a JSON object", "c18_exp_infinite"),
    refused(sign(make_claims(iat=...)), "iat is not a number", "c19_iat_missing"),
    refused(sign(make_claims(iat=NOW + 61)), "in the future", "c19_iat_future"),
    refused(sign(make_claims(iat=NOW - 7 * 86400)), "iat is 604800 s ago", "c19_iat_week_old"),
    refused(sign(make_claims(nbf=NOW + 61)), "nbf is in the future", "c19_nbf_future"),
    refused(sign(make_claims(nbf="soon")), "nbf is not a number", "c19_nbf_text"),
    refused(sign(make_claims(nonce=...)), "nonce", "c20_nonce_missing"),
    refused(sign(make_claims(nonce="other")), "nonce", "c20_c22_nonce_of_another_login"),
    refused(sign(make_claims(nonce=[NONCE])), "nonce", "c20_nonce_list"),
    refused(sign(make_claims(nonce=NONCE + "é")), "nonce", "c20_nonce_not_ascii"),
    refused(sign(make_claims(nonce="")), "nonce", "c20_nonce_empty", nonce=""),
    refused(sign(make_claims(sub=...)), "sub is not a text", "c23_sub_missing"),
    refused(sign(make_claims(sub="")), "sub is not a text", "c23_sub_empty"),
    refused(sign(make_claims(sub=" ")), "sub is not a text", "c23_sub_blank"),
    refused(sign(make_claims(sub=248289761001)), "sub is not a text", "c23_sub_number"),
    refused(sign(make_claims(sub=["a"])), "sub is not a text", "c23_sub_list"),
    refused(sign(make_claims(sub="x" * 256)), "sub is not a text", "c23_sub_long"),
    refused(sign(make_claims(sub="a\0b")), "sub is not a text", "c23_sub_nul"),
    refused(sign(make_claims(at_hash=half("other"))), "at_hash", "c24_at_hash_wrong", access_token="token"),
    refused(sign(make_claims(at_hash=7)), "at_hash", "c24_at_hash_number", access_token="token"),
    refused(sign(make_claims(at_hash="")), "at_hash", "c24_at_hash_empty", access_token="token"),
    refused(sign(make_claims(at_hash=half("token", "sha512"))), "at_hash", "c24_other_hash", access_token="token"),
    refused(sign(make_claims(c_hash=half("other"))), "c_hash", "c24_c_hash_wrong", code="code"),
    refused(sign(typ="at+jwt"), "typ is 'at", "c25_access_token"),
    refused(sign(typ="application/AT+JWT"), "typ is", "c25_access_token_long_form"),
    refused(sign(typ="logout+jwt"), "typ is 'logout", "c25_logout_token"),
    refused(sign(typ=["JWT"]), "typ is not a text", "c25_typ_list"),
    refused(
        sign(make_claims(events={"http://schemas.openid.net/event/backchannel-logout": {}})),
        "logout token", "c25_logout_event",
    ),
    refused(sign(crit=["exp"], exp=1), "critical extensions", "c26_crit_unknown"),
    refused(sign(crit=["b64"], b64=False), "critical extensions", "c26_b64"),
    refused(sign(crit=[]), "critical extensions", "c26_crit_empty"),
    refused(sign(make_claims(pad="x" * 70_000)), "at most 65536", "c27_too_long"),
    refused("." * 60_000, "compact form", "c27_dots"),
    refused(sign_text('{"alg":"RS256","kid":"rsa"}', "[" * 40_000, RSA, "RS256"), "not a JSON", "c27_deep_payload"),
    refused(b64('{"alg":' + "[" * 40_000) + ".e30.e30", "header is not a JSON", "c27_deep_header"),
    refused(GOOD + ".e30.e30", "compact form", "c27_encrypted"),
    refused(json.dumps({"payload": PARTS[1], "signatures": []}), "compact form", "c27_json_form"),
    refused(None, "not a text", "c28_null"),
    refused(7, "not a text", "c28_number"),
    refused(GOOD.encode(), "not a text", "c28_bytes"),
    refused("", "not a text", "c28_empty"),
    refused("é.é.é", "compact form", "c28_not_ascii"),
    refused("\ud800.a.b", "compact form", "c28_surrogate"),
    refused("a.b", "compact form", "c28_two_parts"),
    refused("a.e30.e30", "header is not base64url", "c28_broken_base64"),
    refused("//8.e30.e30", "compact form", "c28_plain_base64"),
    refused(b64(bytes([255])) + ".e30.e30", "header is not a JSON", "c28_header_not_utf8"),
    refused("e30.e30.e30", "algorithm is missing", "c28_empty_header"),
    refused("W10.e30.e30", "header is not a JSON", "c28_header_list"),
    refused(sign_text('{"alg":"RS256","kid":"rsa"}', "[]", RSA, "RS256"), "not a JSON object", "c28_payload_list"),
    refused(sign_text('{"alg":"RS256","kid":"rsa"}', "x", RSA, "RS256"), "not a JSON object", "c28_payload_text"),
    refused(sign(), "auth_time is not a number", "c33_auth_time_missing", max_age=60),
    refused(sign(make_claims(auth_time=NOW - 121)), "auth_time", "c33_auth_time_old", max_age=60),
    refused(sign(make_claims(iss=f"{ISSUER}/b")), "not one of this provider", "c32_other_tenant",
            issuer=lambda claims: claims["iss"] == f"{ISSUER}/a"),
]  # fmt: skip


@pytest.mark.parametrize(("token", "reason", "settings"), REFUSED)
def test_refused(check: Any, token: Any, reason: str, settings: dict[str, Any]) -> None:
    """Each row that passed would log somebody in as somebody else."""
    with pytest.raises(IdTokenError) as caught:
        check(token, **settings)
    assert reason in str(caught.value)
    assert caught.value.provider == "acme"
    assert caught.value.__context__ is None
    if isinstance(token, str) and len(token) > 40:
        assert token[:40] not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "settings"),
    [
        pytest.param(GOOD, {}, id="plain"),
        pytest.param(sign(make_claims(aud=["client"])), {}, id="aud_list_of_one"),
        pytest.param(
            sign(make_claims(aud=["client", "api"], azp="client")), {"trusted_audiences": ("api",)}, id="trusted",
        ),
        pytest.param(
            sign(make_claims(aud=["x", "client"], azp="client")), {"trusted_audiences": ("*",)}, id="any_audience",
        ),
        pytest.param(sign(make_claims(azp="client")), {}, id="azp"),
        pytest.param(sign(make_claims(exp=NOW - 59, iat=NOW - 400)), {}, id="within_leeway"),
        pytest.param(sign(make_claims(iat=NOW + 59, nbf=NOW + 59)), {}, id="clock_ahead_within_leeway"),
        pytest.param(sign(make_claims(iat=NOW - 7 * 86400)), {"issued_within": None}, id="old_iat_allowed"),
        pytest.param(sign(make_claims(nonce=...)), {"nonce": None}, id="no_nonce_sent"),
        pytest.param(sign(make_claims(at_hash=half("t"))), {"access_token": "t"}, id="at_hash"),
        pytest.param(sign(make_claims(at_hash=half("t"))), {}, id="at_hash_without_token"),
        pytest.param(sign(), {"access_token": "t", "code": "c"}, id="no_hashes"),
        pytest.param(sign(make_claims(c_hash=half("c"))), {"code": "c"}, id="c_hash"),
        pytest.param(sign(typ="JWT"), {}, id="typ_jwt"),
        pytest.param(sign(kid=..., key=RSA_2), {}, id="c11_no_kid_several_keys"),
        pytest.param(sign(x5c=["M" * 1500] * 3, x5t="abc", mine={"a": 1}), {}, id="o26_long_and_unknown_header"),
        pytest.param(sign(make_claims(auth_time=NOW - 30)), {"max_age": 60}, id="auth_time"),
        pytest.param(sign(key=RSA, alg="PS256"), {"algorithms": ("PS256",)}, id="ps256"),
        pytest.param(sign(key=EC, alg="ES256", kid="ec"), {"algorithms": ("RS256", "ES256")}, id="es256"),
        pytest.param(sign(key=EC_384, alg="ES384", kid="ec384"), {"algorithms": ("ES384",)}, id="es384"),
        pytest.param(
            sign(make_claims(at_hash=half("t", "sha512")), key=OKP, alg="EdDSA", kid="okp"),
            {"algorithms": ("EdDSA",), "access_token": "t"}, id="eddsa",
        ),
        pytest.param(_hs256_with(SECRET.encode(), kid=...), {"algorithms": ("HS256",)}, id="hs256_configured"),
        pytest.param(
            sign(make_claims(iss=f"{ISSUER}/a")),
            {"issuer": lambda claims: claims["iss"] == f"{ISSUER}/a"}, id="tenant",
        ),
    ],
)  # fmt: skip
def test_accepted(check: Any, token: str, settings: dict[str, Any]) -> None:
    """A check that is too strict locks everybody out at a provider that does nothing wrong."""
    claims = check(token, **settings)
    assert claims.sub == claims["sub"] == "248289761001"


def test_c04_a_symmetric_key_in_the_key_set_signs_nothing(check: Any, create_keys: Any) -> None:
    """Whoever can read a key set could sign with a symmetric key in it."""
    published = OctKey.import_key(b"published-for-everybody-to-read-0", {"kid": "rsa"})
    keys = create_keys({"keys": [*public(RSA)["keys"], published.as_dict(private=True)]})
    token = sign(key=published, alg="HS256")
    for algorithms in (("RS256",), ("HS256",), ("RS256", "HS256")):
        with pytest.raises(IdTokenError):
            check(token, keys=keys, algorithms=algorithms)
    assert check(GOOD, keys=keys).sub


def test_c11_a_single_key_needs_no_kid(check: Any, create_keys: Any) -> None:
    """OpenID Connect lets a provider with one key leave kid out."""
    assert check(sign(kid=...), keys=create_keys(public(RSA))).sub
    entry = public(RSA)["keys"][0]
    del entry["kid"]
    assert check(sign(kid=...), keys=create_keys({"keys": [entry]})).sub


def test_c34_a_key_of_another_provider_does_not_count(check: Any, create_keys: Any) -> None:
    """One provider must never be able to speak for another."""
    with pytest.raises(IdTokenError):
        check(GOOD, keys=create_keys(public(RSA_2)))


def test_c12_a_small_rsa_key_signs_nothing(check: Any, create_keys: Any) -> None:
    """A key of 1024 bits can be broken."""
    with pytest.warns(match="."):
        small = RSAKey.generate_key(1024, {"kid": "rsa"})
    with pytest.raises(IdTokenError, match="no key"):
        check(sign(key=small), keys=create_keys(public(small)))


def test_c27_bombs_cost_nothing(check: Any) -> None:
    """A logout endpoint takes tokens from anybody, so a bad one must be cheap."""
    bombs = [
        "a" * 50_000_000,
        "." * 50_000_000,
        b64('{"alg":"RS256","kid":"' + "x" * 40_000 + '"}') + ".e30.e30",
        b64('{"alg":"RS256","p2c":2147483647,"zip":"DEF"}') + ".e30.e30",
        PARTS[0] + "." + PARTS[1] + "." + b64(b"\xff" * 30_000),
    ]
    tracemalloc.start()
    try:
        started = time.process_time()
        for bomb in bombs:
            with pytest.raises(IdTokenError):
                check(bomb)
        spent, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000
    assert spent < 60


def test_the_key_registry_knows_the_types_used_here() -> None:
    """The keys are read through joserfc's registry; a change of its names should be noticed here."""
    assert {"RSA", "EC", "OKP"} <= set(JWKRegistry.key_types)
    assert {"RS256", "PS256", "ES256", "EdDSA"} <= set(JWSRegistry.algorithms)
