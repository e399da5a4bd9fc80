"""OpenID Connect at the development provider: ID tokens checked with joserfc, logins driven by Authlib."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError
from joserfc.jwk import KeySet

from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.testing import DevProvider
from flask_oauth_accounts.testing.browser import open_browser

CALLBACK = "http://localhost:9876/callback"
SCOPE = "openid profile email"


def fetch_metadata(provider: DevProvider) -> dict[str, Any]:
    """The discovery document."""
    metadata: dict[str, Any] = requests.get(f"{provider.url}/.well-known/openid-configuration", timeout=10).json()
    return metadata


def fetch_keys(provider: DevProvider) -> KeySet:
    """The published keys."""
    return KeySet.import_key_set(requests.get(fetch_metadata(provider)["jwks_uri"], timeout=10).json())


def create_url(provider: DevProvider, **params: Any) -> str:
    """An authorization request."""
    values = {"response_type": "code", "client_id": provider.client_id, "redirect_uri": CALLBACK, "scope": SCOPE}
    return f"{provider.url}/oauth2/authorize?{urlencode({**values, 'state': 's', 'nonce': 'n-1', **params})}"


def exchange(provider: DevProvider, callback: str) -> dict[str, Any]:
    """The token for a callback."""
    session = OAuth2Session(provider.client_id, provider.client_secret, redirect_uri=CALLBACK)
    token: dict[str, Any] = session.fetch_token(f"{provider.url}/oauth2/token", authorization_response=callback)
    return token


def log_in(provider: DevProvider, user: str = "alice", **params: Any) -> dict[str, Any]:
    """A whole login."""
    return exchange(provider, provider.authorize(create_url(provider, **params), user))


def read(provider: DevProvider, id_token: str, algorithm: str = "RS256") -> dict[str, Any]:
    """Check an ID token the way a client must (OpenID Connect Core section 3.1.3.7)."""
    token = jwt.decode(id_token, fetch_keys(provider), algorithms=[algorithm])
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": provider.client_id},
        exp={"essential": True},
        iat={"essential": True},
    ).validate(token.claims)
    return token.claims


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_id_token(algorithm: str) -> None:
    """A client that validates ID tokens would fail here, or one that does not would pass."""
    with DevProvider(signing_alg=algorithm) as provider:
        token = log_in(provider)
        claims = read(provider, token["id_token"], algorithm)
        assert claims["sub"] == "dev-1001"
        assert claims["nonce"] == "n-1"
        assert claims["email"] == "alice@example.com"
        assert claims["email_verified"] is True
        assert abs(claims["auth_time"] - time.time()) < 60
        left_half = sha256(token["access_token"].encode()).digest()[:16]
        assert claims["at_hash"] == urlsafe_b64encode(left_half).decode().rstrip("=")
        assert fetch_metadata(provider)["id_token_signing_alg_values_supported"] == [algorithm]


def test_metadata_is_complete_and_true(oauth_provider: DevProvider) -> None:
    """A client configured by discovery alone would be sent to addresses that do not exist."""
    metadata = fetch_metadata(oauth_provider)
    assert metadata["issuer"] == oauth_provider.issuer
    other = requests.get(f"{oauth_provider.url}/.well-known/oauth-authorization-server", timeout=10).json()
    assert other == metadata
    for name, url in metadata.items():
        if name.endswith(("_endpoint", "_uri")):
            assert requests.post(url, timeout=10).status_code != 404, name


def test_keys_are_public_only(oauth_provider: DevProvider) -> None:
    """Anybody could sign ID tokens."""
    keys = requests.get(f"{oauth_provider.url}/jwks.json", timeout=10).json()["keys"]
    assert [set(key) for key in keys] == [{"kty", "n", "e", "kid", "use", "alg"}]


@pytest.mark.parametrize("user", ["bob", "carol"])
def test_users_without_a_verified_email(oauth_provider: DevProvider, user: str) -> None:
    """Applications would only ever be tested with users who have a verified address."""
    claims = read(oauth_provider, log_in(oauth_provider, user)["id_token"])
    assert claims.get("email_verified") == {"bob": False, "carol": None}[user]
    assert ("email" in claims) == (user == "bob")


def test_claims_follow_the_scope(oauth_provider: DevProvider) -> None:
    """An application would be given what it never asked for."""
    token = log_in(oauth_provider, scope="openid")
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    userinfo = requests.get(f"{oauth_provider.url}/oauth2/userinfo", headers=headers, timeout=10).json()
    assert userinfo == {"sub": "dev-1001"}
    assert "id_token" not in log_in(oauth_provider, scope="profile")


def test_refreshed_id_token_has_no_nonce_and_the_same_subject(oauth_provider: DevProvider) -> None:
    """A client could not test OpenID Connect Core section 12.2."""
    first = log_in(oauth_provider)
    session = OAuth2Session(oauth_provider.client_id, oauth_provider.client_secret)
    second = session.refresh_token(f"{oauth_provider.url}/oauth2/token", refresh_token=first["refresh_token"])
    old, new = read(oauth_provider, first["id_token"]), read(oauth_provider, second["id_token"])
    assert "nonce" not in new
    assert (new["sub"], new["auth_time"], new["sid"]) == (old["sub"], old["auth_time"], old["sid"])
    oauth_provider.settings.id_token_on_refresh = False
    third = session.refresh_token(f"{oauth_provider.url}/oauth2/token", refresh_token=second["refresh_token"])
    assert "id_token" not in third


@pytest.mark.parametrize("keep_old", [True, False])
def test_key_rotation(oauth_provider: DevProvider, keep_old: bool) -> None:
    """A client that caches keys for ever would pass its tests."""
    before, keys_before = log_in(oauth_provider)["id_token"], fetch_keys(oauth_provider)
    oauth_provider.rotate_signing_key(keep_old=keep_old)
    after, keys_after = log_in(oauth_provider)["id_token"], fetch_keys(oauth_provider)
    assert read(oauth_provider, after)["sub"] == "dev-1001"
    assert len(keys_after.keys) == 1 + keep_old
    with pytest.raises((JoseError, ValueError)):
        jwt.decode(after, keys_before, algorithms=["RS256"])
    if keep_old:
        assert read(oauth_provider, before)["sub"] == "dev-1001"
    else:
        with pytest.raises((JoseError, ValueError)):
            read(oauth_provider, before)


def test_bad_id_tokens(oauth_provider: DevProvider) -> None:
    """A client's refusals of bad ID tokens could not be tested."""
    oauth_provider.next_id_token(sub="somebody-else", remove=["nonce"])
    changed = read(oauth_provider, log_in(oauth_provider)["id_token"])
    assert changed["sub"] == "somebody-else"
    assert "nonce" not in changed
    assert read(oauth_provider, log_in(oauth_provider)["id_token"])["nonce"] == "n-1"

    oauth_provider.next_id_token(alg="none")
    assert log_in(oauth_provider)["id_token"].endswith(".")

    oauth_provider.next_id_token(alg="HS256", key=oauth_provider.client_secret, header={"kid": None})
    forged = log_in(oauth_provider)["id_token"]
    with pytest.raises((JoseError, ValueError)):
        read(oauth_provider, forged)

    public_key = oauth_provider.state.keys.current("RS256").as_pem(private=False).decode()
    oauth_provider.next_id_token(alg="HS256", key=public_key)
    header, _, signature = log_in(oauth_provider)["id_token"].split(".")
    assert urlsafe_b64decode(header + "==").startswith(b'{"alg": "HS256"')
    assert len(signature) == 43

    oauth_provider.next_id_token(transform=lambda token: token[:-8] + "AAAAAAAA")
    with pytest.raises(BadSignatureError):
        read(oauth_provider, log_in(oauth_provider)["id_token"])

    oauth_provider.next_id_token(raw="not a token")
    assert log_in(oauth_provider)["id_token"] == "not a token"

    oauth_provider.next_id_token(omit=True)
    assert "id_token" not in log_in(oauth_provider)


def test_form_post(oauth_provider: DevProvider) -> None:
    """A client with response_mode=form_post could not be tested."""
    callback = oauth_provider.authorize(create_url(oauth_provider, response_mode="form_post"))
    assert str(callback) == CALLBACK
    assert callback.form is not None
    assert set(callback.form) == {"code", "state", "iss"}
    assert exchange(oauth_provider, f"{callback}?{urlencode(callback.form)}")["id_token"]
    denied = oauth_provider.authorize(create_url(oauth_provider, response_mode="form_post"), allow=False)
    assert denied.form is not None
    assert denied.form["error"] == "access_denied"


def test_silent_login(oauth_provider: DevProvider) -> None:
    """An application could not test prompt=none: for strangers, for new scopes, and for those who are logged in."""
    silent = create_url(oauth_provider, prompt="none")
    with open_browser() as browser:
        assert "error=login_required" in oauth_provider.authorize_in(browser, silent)
        oauth_provider.authorize_in(browser, create_url(oauth_provider, scope="openid"), "bob")
        assert "error=consent_required" in oauth_provider.authorize_in(browser, silent)
        known = create_url(oauth_provider, prompt="none", scope="openid")
        claims = read(oauth_provider, exchange(oauth_provider, oauth_provider.authorize_in(browser, known))["id_token"])
        assert claims["sub"] == "dev-1002"
        browser.cookies.clear()
        assert "error=login_required" in oauth_provider.authorize_in(browser, known)
    mixed = create_url(oauth_provider, prompt="none login")
    assert "error=invalid_request" in oauth_provider.authorize(mixed)


def test_login_hint_chooses_the_user(oauth_provider: DevProvider) -> None:
    """A person who is asked to reconnect one account would be offered another one."""
    page = requests.get(create_url(oauth_provider, login_hint="bob@example.com"), timeout=10).text
    assert 'value="bob" checked' in page
    assert page.count("checked") == 1


def test_logout(oauth_provider: DevProvider) -> None:
    """An application could not test RP-initiated logout, and a link could log out or redirect without a question."""
    token = log_in(oauth_provider)
    end_session = fetch_metadata(oauth_provider)["end_session_endpoint"]
    back = "http://localhost:9876/bye"
    query = {"id_token_hint": token["id_token"], "post_logout_redirect_uri": back, "state": "x y"}
    url = f"{end_session}?{urlencode(query)}"
    assert requests.get(url, allow_redirects=False, timeout=10).status_code == 200
    target = oauth_provider.confirm_logout(url)
    assert target.startswith(back)
    assert parse_qs(urlsplit(target).query)["state"] == ["x y"]
    for wrong in (
        {"post_logout_redirect_uri": back},
        {**query, "post_logout_redirect_uri": "https://evil.example/"},
        {**query, "id_token_hint": "garbage"},
        {**query, "client_id": "somebody-else"},
    ):
        with pytest.raises(RuntimeError, match="400"):
            oauth_provider.confirm_logout(f"{end_session}?{urlencode(wrong)}")


def test_logout_token(oauth_provider: DevProvider) -> None:
    """An application could not test Back-Channel Logout, and would take an ID token for a logout token."""
    token = jwt.decode(
        oauth_provider.create_logout_token("alice", sid="abc"), fetch_keys(oauth_provider), algorithms=["RS256"]
    )
    assert token.header["typ"] == "logout+jwt"
    assert token.claims["sub"] == "dev-1001"
    assert token.claims["sid"] == "abc"
    assert token.claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in token.claims
    with pytest.raises(ConfigurationError, match="backchannel_logout_uri"):
        oauth_provider.send_backchannel_logout("alice")


def test_backchannel_logout_is_posted(oauth_provider: DevProvider) -> None:
    """The provider would not reach a client that has registered for logouts; another provider plays the client."""
    with DevProvider() as receiver:
        oauth_provider.send_backchannel_logout("alice", url=f"{receiver.url}/logout")
        (record,) = receiver.requests("/logout")
        assert (record.method, record.form_keys) == ("POST", ("logout_token",))
