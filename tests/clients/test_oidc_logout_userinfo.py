"""Logout tokens and userinfo answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

from flask_oauth_accounts.clients.oidc import (
    KeySource,
    check_userinfo_subject,
    decode_userinfo,
    validate_logout_token,
)
from flask_oauth_accounts.clients.transport import Transport
from flask_oauth_accounts.errors import (
    IdTokenError,
    InvalidTokenError,
    OAuthError,
    ProviderResponseError,
    ProviderUnavailable,
)

NOW = 1_700_000_000.0
ISSUER = "https://op.example"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
KEY = RSAKey.generate_key(2048, {"kid": "k"})
FOREIGN = RSAKey.generate_key(2048, {"kid": "k"})


def sign(claims: Any, *, key: Any = KEY, **header: Any) -> str:
    """Sign a token of any kind."""
    head, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "RS256", "kid": "k", **header}, claims)
    )
    signature = JWSRegistry.algorithms["RS256"].sign(f"{head}.{payload}".encode(), key)
    return f"{head}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def logout(**changes: Any) -> dict[str, Any]:
    """The claims of a logout token, but for the changes; ``...`` takes one out."""
    claims = {
        "iss": ISSUER,
        "aud": "client",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "j1",
        "sub": "s",
        "events": {EVENT: {}},
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ...}


@pytest.fixture
def keys(transport: Transport) -> KeySource:
    """The provider's one key."""
    return KeySource(transport, provider="acme", uri=lambda: None, jwks={"keys": [KEY.as_dict(private=False)]})


def check(token: object, keys: KeySource) -> dict[str, Any]:
    """Validate a logout token with the settings of an ordinary client."""
    return validate_logout_token(token, keys=keys, issuer=ISSUER, client_id="client", now=NOW, provider="acme")


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({}, {}),
        ({}, {"typ": "logout+jwt"}),
        ({}, {"typ": "JWT"}),
        ({"sub": ..., "sid": "x"}, {}),
        ({"sid": "x"}, {}),
        ({"exp": ...}, {}),
        ({"aud": ["other", "client"]}, {}),
    ],
)
def test_logout_tokens_accepted(keys: KeySource, changes: Any, header: Any) -> None:
    """A logout that is refused leaves a session open that its user believes closed."""
    assert check(sign(logout(**changes), **header), keys)["jti"] == "j1"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (sign(logout(), key=FOREIGN), "signature"),
        (sign(logout(), typ="at+jwt"), "typ"),
        (sign(logout(), typ="id_token+jwt"), "typ"),
        (sign(logout(), crit=["x"]), "critical"),
        (sign(logout(iss="https://evil.example")), "iss"),
        (sign(logout(aud="other")), "aud"),
        (sign(logout(aud=...)), "aud"),
        (sign(logout(iat=...)), "iat"),
        (sign(logout(iat=NOW + 600)), "future"),
        (sign(logout(iat=NOW - 3600)), "iat is 3600 s ago"),
        (sign(logout(exp=NOW - 61)), "expired"),
        (sign(logout(exp="x")), "exp"),
        (sign(logout(jti=...)), "jti"),
        (sign(logout(jti="")), "jti"),
        (sign(logout(jti=7)), "jti"),
        (sign(logout(events=...)), "no logout event"),
        (sign(logout(events={})), "no logout event"),
        (sign(logout(events=[EVENT])), "no logout event"),
        (sign(logout(events={EVENT: None})), "no logout event"),
        (sign(logout(nonce="n")), "nonce"),
        (sign(logout(nonce=None)), "nonce"),
        (sign(logout(sub=...)), "neither sub nor sid"),
        (sign(logout(sub=7)), "sub"),
        (sign(logout(sid="")), "sid"),
        ("garbage", "compact form"),
        (None, "not a text"),
    ],
)
def test_logout_tokens_refused(keys: KeySource, token: Any, reason: str) -> None:
    """Anybody can post here; only the provider may end sessions."""
    with pytest.raises(IdTokenError, match="the logout token is refused") as caught:
        check(token, keys)
    assert reason in str(caught.value)


def test_userinfo_in_json(web: Any, answer: Any, transport: Transport) -> None:
    """The ordinary answer."""
    web.routes["/me"] = answer({"sub": "s", "name": "Ada"})
    claims = decode_userinfo(transport.fetch("GET", f"{web.url}/me"), provider="acme")
    assert claims == {"sub": "s", "name": "Ada"}
    check_userinfo_subject({"sub": "s"}, claims, provider="acme")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"[]", 200, ProviderResponseError),
        (b"<html>", 200, ProviderResponseError),
        (b"{}", 403, ProviderResponseError),
        (b"", 204, ProviderResponseError),
        (b"{}", 401, InvalidTokenError),
        (b"{}", 503, ProviderUnavailable),
        (b"{}", 429, ProviderUnavailable),
    ],
)
def test_userinfo_down(
    web: Any, answer: Any, transport: Transport, body: bytes, status: int, error: type[OAuthError]
) -> None:
    """Each failure has its own error, so that the page can say what helps."""
    web.routes["/me"] = answer(body, status)
    with pytest.raises(error):
        decode_userinfo(transport.fetch("GET", f"{web.url}/me"), provider="acme")


def test_c31_signed_userinfo_is_verified(web: Any, answer: Any, transport: Transport, keys: KeySource) -> None:
    """A provider that signs its answer expects the signature to be looked at."""

    def read(token: str, **changes: Any) -> dict[str, Any]:
        web.routes["/me"] = answer(token, headers={"Content-Type": "application/jwt; charset=utf-8"})
        settings: dict[str, Any] = {"keys": keys, "issuer": ISSUER, "client_id": "client", **changes}
        return decode_userinfo(transport.fetch("GET", f"{web.url}/me"), provider="acme", **settings)

    claims = {"iss": ISSUER, "aud": "client", "sub": "s"}
    assert read(sign(claims)) == claims
    for token in (
        sign(claims, key=FOREIGN),
        sign({**claims, "iss": "https://evil.example"}),
        sign({**claims, "aud": "other"}),
        sign({"sub": "s"}),
        sign(claims, typ="at+jwt"),
        "e30.e30.",
        "é",
    ):
        with pytest.raises(ProviderResponseError, match="refused"):
            read(token)
    for missing in ({"keys": None}, {"issuer": None}):
        with pytest.raises(ProviderResponseError, match="not configured"):
            read(sign(claims), **missing)


@pytest.mark.parametrize("userinfo", [{}, {"sub": "S"}, {"sub": None}, {"sub": ""}, {"sub": ["s"]}, {"sub": "s "}])
def test_c30_userinfo_of_somebody_else(userinfo: dict[str, Any]) -> None:
    """The profile of another person must never be stored under this one."""
    with pytest.raises(ProviderResponseError, match="not about the subject"):
        check_userinfo_subject({"sub": "s"}, userinfo, provider="acme")
