"""ID tokens, keys, userinfo: nothing is believed that was not signed for this client and this login."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from flask_oauth_accounts.testing.faults import Tampering
from flask_oauth_accounts.testing.keys import find_key

REFUSED = (400, 403, 502)
DAY = 86400


def present(site: Any, browser: Any, **token: Any) -> Any:
    """A login in which the provider sends this ID token."""
    callback = site.callback(browser, "three")
    site.provider.next_id_token(**token)
    return browser.get(callback)


def refuse_all(site: Any, browser: Any, *tokens: dict[str, Any], statuses: tuple[int, ...] = REFUSED) -> None:
    """None of these ID tokens logs anybody in, and an honest one does afterwards."""
    guard = site.guard(browser)
    for token in tokens:
        guard.refused(present(site, browser, **token), *statuses, exchanged=None, honest=None)
    guard.refused(browser.get("/authorize/three"), exchanged=None, honest="three")


def own_key() -> RSAKey:
    """A key of the attacker's own."""
    return RSAKey.generate_key(2048, {"kid": "attacker", "use": "sig", "alg": "RS256"}, private=True)


def encode(value: Any) -> str:
    """base64url of JSON, or of bytes."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def change_header(**changes: Any) -> Any:
    """Another header on a signed token."""

    def transform(token: str) -> str:
        header, payload, signature = token.split(".")
        values = json.loads(base64.urlsafe_b64decode(header + "=="))
        return f"{encode({**values, **changes})}.{payload}.{signature}"

    return transform


def test_c01_unsigned(site: Any, browser: Any) -> None:
    """Anybody could write an ID token for anybody."""
    site.provider.next_metadata(id_token_signing_alg_values_supported=["none", "RS256"], times=None)
    variants = [
        {"transform": lambda t, alg=alg: change_header(alg=alg)(t).rsplit(".", 1)[0] + "."}
        for alg in ("None", "NONE", "nOnE", "")
    ]
    refuse_all(site, browser, {"alg": "none"}, {"alg": "none", "header": {"kid": None}}, *variants)


def test_c02_signed_with_the_public_key(site: Any, browser: Any) -> None:
    """The provider's public key would be everybody's signing key."""
    public = find_key("provider", "RS256", 0)
    pem = public.as_pem(private=False).decode()
    jwk = json.dumps(public.as_dict(private=False))
    tokens = [{"alg": alg, "key": key} for alg in ("HS256", "HS512") for key in (pem, pem.strip(), jwk)]
    site.provider.next_metadata(id_token_signing_alg_values_supported=["HS256", "HS512"], times=None)
    refuse_all(site, browser, *tokens, {"alg": "HS256", "key": site.provider.client_secret})


def test_c04_a_symmetric_key_among_the_published_ones(site: Any, browser: Any) -> None:
    """A key that everybody can read would sign."""
    key = OctKey.import_key("a secret that is public, of 32 bytes", {"kid": "shared", "alg": "HS256", "use": "sig"})
    site.provider.next_jwks({"keys": [key.as_dict(private=True)]}, times=None)
    token = {"alg": "HS256", "key": "a secret that is public, of 32 bytes", "header": {"kid": "shared"}}
    refuse_all_without_honest(site, browser, token)


def refuse_all_without_honest(site: Any, browser: Any, *tokens: dict[str, Any]) -> None:
    """The same where the keys that were fetched are not the honest ones."""
    guard = site.guard(browser)
    for token in tokens:
        guard.refused(present(site, browser, **token), *REFUSED, exchanged=None, honest=None)


def test_c05_bad_signatures(site: Any, browser: Any) -> None:
    """A token that was changed on its way would be believed."""

    def other_user(token: str) -> str:
        header, payload, signature = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return f"{header}.{encode({**claims, 'sub': 'dev-1002'})}.{signature}"

    def cut(token: str) -> str:
        return token.rsplit(".", 1)[0] + "."

    def flip(token: str) -> str:
        return token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]

    refuse_all(site, browser, *({"transform": change} for change in (other_user, cut, flip)), {"key": own_key()})


def test_c06_c07_a_key_that_the_token_brings(site: Any, browser: Any, evil: Any) -> None:
    """The attacker would bring the key along with the token."""
    key = own_key()
    public = key.as_dict(private=False)
    evil.state.faults.tamper("jwks", _jwks(public), times=None)
    address = f"{evil.url}/jwks.json"
    tokens = [
        {"key": key, "header": {name: value, "kid": kid}}
        for name, value in (("jwk", public), ("jku", address), ("x5u", address))
        for kid in (None, find_key("provider", "RS256", 0).kid)
    ]
    visits = len(evil.log)
    refuse_all(site, browser, *tokens)
    assert len(evil.log) == visits


def _jwks(public: dict[str, Any]) -> Any:
    return Tampering(raw={"keys": [public]})


def test_c08_an_unknown_kid_asks_once_for_the_keys(site: Any, browser: Any) -> None:
    """A made-up key id would be enough to be believed, or to keep us busy."""
    site.log_in(site.browser(), "three")
    before = site.provider.count("/jwks.json")
    guard = site.guard(browser)
    guard.refused(present(site, browser, header={"kid": "nobody's"}), *REFUSED, exchanged=None, honest="three")
    assert site.provider.count("/jwks.json") - before <= 1


@pytest.mark.parametrize("keep_old", [True, False])
def test_c09_keys_rotate(site: Any, browser: Any, keep_old: bool) -> None:
    """After a rotation nobody could log in until a restart."""
    site.log_in(site.browser(), "three")
    site.provider.rotate_signing_key(keep_old=keep_old)
    assert site.log_in(browser, "three").status_code == 302


def test_c10_unknown_key_ids_are_no_storm(site: Any, browser: Any) -> None:
    """An attacker would let us hammer the provider, and shut valid users out."""
    guard = site.guard(browser)
    for number in range(6):
        response = present(site, browser, header={"kid": f"kid-{number}"})
        guard.refused(response, *REFUSED, exchanged=None, honest=None)
    assert site.provider.count("/jwks.json") <= 2
    assert site.log_in(browser, "three").status_code == 302


def test_c11_no_kid(site: Any, browser: Any) -> None:
    """Providers without key ids would be shut out, or every key would do."""
    assert present(site, browser, header={"kid": None}).status_code == 302
    site.provider.rotate_signing_key(keep_old=True)
    assert present(site, site.browser(), header={"kid": None}).status_code in (302, 502)
    refuse_all(site, site.browser(), {"key": own_key(), "header": {"kid": None}})


def test_c12_dirty_keys(make_site: Any, provider: Any) -> None:
    """One bad entry would shut everybody out, and a weak one would let anybody in."""
    good = find_key("provider", "RS256", 0).as_dict(private=False)
    dirt: list[Any] = [
        None,
        1,
        "x",
        [],
        {},
        {"kty": "unheard-of"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "AA", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"},
        {**good, "kid": 7, "n": 5},
    ]
    site = make_site()
    provider.next_jwks({"keys": [*dirt, good], "extra": None}, times=None)
    assert site.log_in(site.browser(), "three").status_code == 302
    for bad in ({**good, "use": "enc"}, {**good, "alg": "RS512"}, {**good, "key_ops": ["encrypt"]}):
        provider.clear_faults()
        provider.next_jwks({"keys": [bad]}, times=None)
        other = make_site()
        refuse_all_without_honest(other, other.browser(), {})


def test_c12_a_short_key(site: Any, browser: Any, provider: Any) -> None:
    """A key of 1024 bits can be broken."""
    key = rsa.generate_private_key(65537, 1024)
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "short", "n": encode(numbers.n.to_bytes(128)), "e": "AQAB", "alg": "RS256"}
    provider.next_jwks({"keys": [jwk]}, times=None)

    def sign(token: str) -> str:
        signed = change_header(kid="short")(token).rsplit(".", 1)[0]
        return f"{signed}.{encode(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    refuse_all_without_honest(site, browser, {"transform": sign})


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 404}, 502),
        ({"status": 500}, 502),
        ({"status": 503}, 502),
        ({"status": 200, "body": "<p>"}, 502),
        ({"status": 200, "body": {"keys": 1}}, 502),
        ({"drop": True}, 502),
        ({"hang": True}, 504),
    ],
)
def test_c13_the_keys_cannot_be_had(make_site: Any, provider: Any, fault: dict[str, Any], status: int) -> None:
    """A provider in trouble would be a server error here, or a login without a check."""
    site = make_site(OAUTH_ACCOUNTS_HTTP_TIMEOUT=0.5)
    browser = site.browser()
    callback = site.callback(browser, "three")
    provider.fail("/jwks.json", times=None, **fault)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), status, 503, exchanged=1, honest="three")


def test_c13_cached_keys_bridge_a_gap(site: Any, browser: Any) -> None:
    """Every short outage of the provider's key server would shut everybody out."""
    site.log_in(site.browser(), "three")
    site.provider.fail("/jwks.json", 500, times=None)
    assert site.log_in(browser, "three").status_code == 302


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None, 5, "{issuer}/x", ["{issuer}"]])
def test_c15_metadata_of_another_issuer(site: Any, browser: Any, issuer: Any) -> None:
    """A document of somebody else would say where codes and secrets go."""
    issuer = issuer.format(issuer=site.provider.issuer) if isinstance(issuer, str) else issuer
    site.provider.next_metadata(issuer=issuer, times=None)
    response = browser.get("/login/three")
    site.assert_page(response, 502)
    assert "Location" not in response.headers
    site.provider.clear_faults()


WRONG_CLAIMS: dict[str, list[dict[str, Any]]] = {
    "c16": [
        {"aud": "other"},
        {"aud": []},
        {"aud": ""},
        {"aud": None},
        {"remove": ["aud"]},
        {"aud": {"a": 1}},
        {"aud": ["dev-client", "other"]},
        {"aud": ["dev-client", "other"], "azp": "dev-client"},
        {"aud": ["dev-client", 5]},
        {"aud": "dev-client "},
    ],
    "c17": [{"azp": "other"}, {"azp": ""}, {"azp": 1}, {"aud": ["dev-client", "other"], "azp": "other"}],
    "c18": [
        {"exp": 0},
        {"exp": -1},
        {"exp": "soon"},
        {"exp": None},
        {"exp": True},
        {"exp": []},
        {"exp": float("nan")},
        {"exp": float("-inf")},
        {"exp": float("inf")},
        {"remove": ["exp"]},
        {"exp": time.time() - 400},
    ],
    "c19": [
        {"remove": ["iat"]},
        {"iat": time.time() + 4000},
        {"iat": time.time() - 8 * DAY},
        {"iat": "now"},
        {"iat": True},
        {"nbf": time.time() + 4000},
        {"nbf": "x"},
        {"iat": 10**400},
    ],
    "c20": [
        {"remove": ["nonce"]},
        {"nonce": "wrong"},
        {"nonce": ""},
        {"nonce": None},
        {"nonce": []},
        {"nonce": 1},
        {"nonce": True},
        {"nonce": {"a": 1}},
        {"nonce": "é"},
    ],
    "c23": [
        {"remove": ["sub"]},
        {"sub": ""},
        {"sub": None},
        {"sub": 1},
        {"sub": True},
        {"sub": []},
        {"sub": {}},
        {"sub": "x" * 256},
        {"sub": "a\x00b"},
        {"sub": " "},
        {"sub": "\ud800"},
    ],
    "c24": [{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, {"at_hash": ""}, {"at_hash": 1}, {"at_hash": None}],
    "c25": [{"header": {"typ": typ}} for typ in ("at+jwt", "logout+jwt", "application/at+jwt", "AT+JWT", "dpop+jwt")]
    + [{"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}],
    "c16_iss": [{"iss": "https://evil.example"}, {"iss": ""}, {"iss": None}, {"remove": ["iss"]}, {"iss": ["x"]}],
}


@pytest.mark.parametrize("row", list(WRONG_CLAIMS))
def test_c16_c17_c18_c19_c20_c23_c24_c25_claims_that_do_not_fit(site: Any, browser: Any, row: str) -> None:
    """A token for another client, of another time or about nobody would log in."""
    refuse_all(site, browser, *WRONG_CLAIMS[row], statuses=(502,))


def test_c20_c22_a_token_of_another_login(site: Any, browser: Any) -> None:
    """A token that leaked once would log in for ever."""
    seen: list[str] = []

    def keep(token: str) -> str:
        seen.append(token)
        return token

    assert present(site, site.browser(), transform=keep).status_code == 302
    refuse_all(site, browser, {"raw": seen[0]})


def test_c26_an_extension_that_must_be_understood(site: Any, browser: Any) -> None:
    """A restriction that we do not know would be ignored."""
    headers: list[dict[str, Any]] = [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": "b64"},
        {"crit": ["b64"], "b64": False},
        {"crit": ["x"]},
    ]
    refuse_all(site, browser, *({"transform": change_header(**header)} for header in headers))
    key = find_key("provider", "RS256", 0)

    def sign(token: str) -> str:
        header, payload, _ = token.split(".")
        values = {**json.loads(base64.urlsafe_b64decode(header + "==")), "crit": ["x"], "x": 1}
        registry = jws.JWSRegistry(algorithms=["RS256"], strict_check_header=False)
        signed = f"{encode(values)}.{payload}"
        signature = registry.get_alg("RS256").sign(signed.encode(), key)
        return f"{signed}.{encode(signature)}"

    refuse_all(site, site.browser(), {"transform": sign})


def test_c27_bombs(site: Any, browser: Any) -> None:
    """One token would keep a worker busy, or fill its memory."""
    jwe = encode({"alg": "PBES2-HS256+A128KW", "p2c": 2**31 - 1, "p2s": "AAAA", "enc": "A128GCM", "zip": "DEF"})
    deep = ("[" * 50_000).encode()
    raws = [
        f"{jwe}.A.A.A.A",
        "A" * 900_000,
        ".".join(["A"] * 100_000),
        f"{encode(deep)}.{encode(deep)}.AAAA",
        f"{encode({'alg': 'RS256', 'kid': 'x' * 100_000})}.e30.AAAA",
    ]
    refuse_all(site, browser, *({"raw": raw} for raw in raws))


def test_c28_what_is_no_token(site: Any, browser: Any) -> None:
    """What nobody can read would be a server error."""
    raws: list[Any] = [
        "x",
        "..",
        "a.b.c",
        "a.b",
        "é.é.é",
        "\x00",
        " ",
        "null",
        "e30.e30.e30",
        "=.=.=",
        f"{encode({'alg': 'RS256'})}.{encode(b'not json')}.AAAA",
        f"{encode([])}.{encode([])}.AAAA",
        f"{encode({'alg': ['RS256']})}.e30.AAAA",
        f"{encode({'alg': 5})}.e30.AAAA",
    ]
    refuse_all(site, browser, *({"raw": raw} for raw in raws), statuses=(502,))


def test_c28_a_token_of_another_kind(site: Any, browser: Any) -> None:
    """A number in the place of the ID token would be a server error."""
    guard = site.guard(browser)
    for value in (5, True, [], {}, ["x"], {"a": 1}, "", None, 0, False):
        callback = site.callback(browser, "three")
        site.provider.next_token(id_token=value)
        guard.refused(browser.get(callback), 502, exchanged=None, honest=None)


def test_c29_no_id_token(site: Any, browser: Any) -> None:
    """Whoever leaves the ID token out would be asked nothing."""
    guard = site.guard(browser)
    guard.refused(present(site, browser, omit=True), 502, exchanged=1, honest="three")
    assert not site.provider.count("/oauth2/userinfo", status=200) or site.count("oauth_user") == 1


def test_c30_userinfo_of_somebody_else(site: Any, browser: Any) -> None:
    """The profile of one user would be shown, or stored, for another."""
    site.log_in(browser, "three")
    for change in (
        {"sub": "dev-1002", "name": "Mallory"},
        {"remove": ["sub"], "name": "Mallory"},
        {"sub": 5, "name": "Mallory"},
        {"sub": None, "name": "Mallory"},
        {"sub": "DEV-1001", "name": "Mallory"},
    ):
        site.provider.next_userinfo(**change)
        response = browser.get("/profile/three")
        assert "Mallory" not in response.text
        assert response.status_code in (200, 502)
        site.provider.clear_faults()
    site.provider.next_userinfo(sub="dev-1002", email="victim@example.com", times=None)
    other = site.browser()
    site.log_in(other, "three", "carol")
    assert "victim@example.com" not in json.dumps([row["email"] for row in site.rows("oauth_identity")])
    assert "dev-1002" not in [row["subject"] for row in site.rows("oauth_identity")]


def test_c31_userinfo_as_a_token(site: Any, browser: Any) -> None:
    """A profile that somebody else has signed would be believed."""
    site.log_in(browser, "three")
    claims = {"iss": site.provider.issuer, "aud": "dev-client", "sub": "dev-1001", "name": "Mallory"}
    key = own_key()
    unsigned = f"{encode({'alg': 'none'})}.{encode(claims)}."
    forged = jws.serialize_compact({"alg": "RS256", "kid": "attacker"}, json.dumps(claims), key, algorithms=["RS256"])
    for body in (unsigned, forged, "x.y.z"):
        site.provider.fail("/oauth2/userinfo", 200, body, content_type="application/jwt")
        response = browser.get("/profile/three")
        assert "Mallory" not in response.text
        assert response.status_code in (200, 502)
        site.provider.clear_faults()


def test_c33_max_age_and_acr_are_checked_where_they_were_asked_for(make_site: Any) -> None:
    """Whoever asked for a fresh login would get an old one."""
    site = make_site(THREE_AUTHORIZE_PARAMS={"max_age": "60", "acr_values": "gold"})
    browser = site.browser()
    old: list[dict[str, Any]] = [
        {"auth_time": int(time.time()) - DAY},
        {"remove": ["auth_time"]},
        {"auth_time": "now"},
        {"acr": "tin"},
        {},
    ]
    guard = site.guard(browser)
    for token in old:
        guard.refused(
            present(site, browser, **({"acr": "gold", **token} if token else {})), *REFUSED, exchanged=None, honest=None
        )
    assert present(site, browser, acr="gold").status_code == 302


def test_c34_keys_of_one_provider_do_not_sign_for_another(make_site: Any, evil: Any) -> None:
    """Whoever runs one provider could log in as everybody of the others."""
    evil.rotate_signing_key(keep_old=False)
    site = make_site(evil=evil)
    assert site.log_in(site.browser(), "evil3", "carol").status_code == 302
    assert site.log_in(site.browser(), "three").status_code == 302
    key = find_key("provider", "RS256", 1)
    refuse_all(
        site,
        site.browser(),
        {"key": key},
        {"key": key, "header": {"kid": None}},
        {"key": key, "header": {"kid": find_key("provider", "RS256", 0).kid}},
    )
    token = {"key": ECKey.generate_key("P-256", private=True), "alg": "ES256", "iss": evil.issuer}
    refuse_all(site, site.browser(), token)
