"""OAuth 1.0a at the development provider, asked by requests-oauthlib and Authlib, which nobody here wrote."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from authlib.integrations.requests_client import OAuth1Session as AuthlibSession
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from oauthlib.oauth1 import Client
from requests_oauthlib import OAuth1Session
from requests_oauthlib.oauth1_session import TokenRequestDenied

from flask_oauth_accounts.testing import DevProvider

CALLBACK = "http://localhost:9876/back?keep=a%20b"


class _RsaSha256Client(Client):
    """oauthlib's client with a signature method that oauthlib needs PyJWT for."""

    SIGNATURE_METHODS = {  # noqa: RUF012
        **Client.SIGNATURE_METHODS,
        "RSA-SHA256": lambda base, client: _sign(base, client.rsa_key),
    }


def _sign(base_string: str, pem: str) -> str:
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return b64encode(key.sign(base_string.encode(), PKCS1v15(), hashes.SHA256())).decode()


def log_in(provider: DevProvider, session: OAuth1Session, user: str = "alice") -> dict[str, str]:
    """All three steps of RFC 5849 section 2."""
    session.fetch_request_token(f"{provider.url}/oauth1/request_token")
    callback = provider.authorize(session.authorization_url(f"{provider.url}/oauth1/authorize"), user)
    session.parse_authorization_response(callback)
    token: dict[str, str] = session.fetch_access_token(f"{provider.url}/oauth1/access_token")
    return token


def open_session(provider: DevProvider, **options: Any) -> OAuth1Session:
    """A client of the provider's first registration."""
    secret = options.pop("client_secret", provider.client_secret)
    return OAuth1Session(provider.client_id, secret, callback_uri=CALLBACK, **options)


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "PLAINTEXT"])
@pytest.mark.parametrize("place", ["AUTH_HEADER", "QUERY", "BODY"])
def test_login(oauth_provider: DevProvider, method: str, place: str) -> None:
    """A login that works here would fail at a real provider, or the other way round."""
    session = open_session(oauth_provider, signature_method=method, signature_type=place)
    token = log_in(oauth_provider, session, "bob")
    assert (token["user_id"], token["screen_name"]) == ("dev-1002", "bob")
    if place != "BODY":
        profile = session.get(f"{oauth_provider.url}/oauth1/api/me?q=a b&q=%2F").json()
        assert profile["id"] == "dev-1002"
    posted = session.post(f"{oauth_provider.url}/oauth1/api/echo", data={"text": "ä & ö"}).json()
    assert posted == {"subject": "dev-1002", "method": "POST"}


def test_rsa_sha256(oauth_provider: DevProvider) -> None:
    """A client that signs with a key could not be tested."""
    session = open_session(
        oauth_provider,
        signature_method="RSA-SHA256",
        rsa_key=oauth_provider.client_private_key,
        client_class=_RsaSha256Client,
    )
    assert log_in(oauth_provider, session)["screen_name"] == "alice"
    assert session.get(f"{oauth_provider.url}/oauth1/api/me").status_code == 200


def test_rsa_sha1_with_authlib(oauth_provider: DevProvider) -> None:
    """A client that signs with RSA-SHA1 could not be tested; a wrong signature must not pass."""
    session = AuthlibSession(
        oauth_provider.client_id,
        rsa_key=oauth_provider.client_private_key,
        signature_method="RSA-SHA1",
        redirect_uri="http://localhost/cb",
    )
    session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")
    callback = oauth_provider.authorize(session.create_authorization_url(f"{oauth_provider.url}/oauth1/authorize"))
    session.parse_authorization_response(callback)
    session.fetch_access_token(f"{oauth_provider.url}/oauth1/access_token")
    answer = session.get(f"{oauth_provider.url}/oauth1/api/me")
    assert answer.json()["login"] == "alice"
    forged = answer.request.headers["Authorization"].replace('oauth_nonce="', 'oauth_nonce="x')
    refused = requests.get(answer.request.url or "", headers={"Authorization": forged}, timeout=10)
    assert refused.status_code == 401


def test_callback_is_confirmed_and_kept(oauth_provider: DevProvider) -> None:
    """A client could not test oauth_callback_confirmed, or would lose the query of its callback."""
    session = open_session(oauth_provider)
    token = session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")
    assert token["oauth_callback_confirmed"] == "true"
    callback = oauth_provider.authorize(session.authorization_url(f"{oauth_provider.url}/oauth1/authorize"))
    params = parse_qs(urlsplit(callback).query)
    assert params["keep"] == ["a b"]
    assert params["oauth_token"] == [token["oauth_token"]]


def test_denial(oauth_provider: DevProvider) -> None:
    """An application could not test what a visitor sees who says no."""
    session = open_session(oauth_provider)
    token = session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")
    url = session.authorization_url(f"{oauth_provider.url}/oauth1/authorize")
    params = parse_qs(urlsplit(oauth_provider.authorize(url, allow=False)).query)
    assert params["denied"] == [token["oauth_token"]]
    assert "oauth_verifier" not in params
    with pytest.raises(RuntimeError, match="unknown"):
        oauth_provider.authorize(url)


def test_wrong_secret_verifier_and_unknown_client(oauth_provider: DevProvider) -> None:
    """A client with wrong credentials would pass its tests."""
    with pytest.raises(TokenRequestDenied):
        log_in(oauth_provider, open_session(oauth_provider, client_secret="wrong"))
    with pytest.raises(TokenRequestDenied):
        log_in(oauth_provider, OAuth1Session("stranger", "secret", callback_uri=CALLBACK))
    session = open_session(oauth_provider)
    session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")
    oauth_provider.authorize(session.authorization_url(f"{oauth_provider.url}/oauth1/authorize"))
    with pytest.raises(TokenRequestDenied):
        session.fetch_access_token(f"{oauth_provider.url}/oauth1/access_token", verifier="wrong")


def test_request_token_works_once(oauth_provider: DevProvider) -> None:
    """A callback that is played again would give a second token (RFC 5849 section 3.2)."""
    session = open_session(oauth_provider)
    temporary = session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")
    callback = oauth_provider.authorize(session.authorization_url(f"{oauth_provider.url}/oauth1/authorize"))
    verifier = parse_qs(urlsplit(callback).query)["oauth_verifier"][0]
    statuses = []
    for _ in range(2):
        again = OAuth1Session(
            oauth_provider.client_id,
            oauth_provider.client_secret,
            temporary["oauth_token"],
            temporary["oauth_token_secret"],
            verifier=verifier,
        )
        statuses.append(again.post(f"{oauth_provider.url}/oauth1/access_token").status_code)
    assert statuses == [200, 401]


def test_request_token_without_consent_is_worthless(oauth_provider: DevProvider) -> None:
    """A client could skip the human (RFC 5849 section 2.3)."""
    session = open_session(oauth_provider)
    session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")
    with pytest.raises(TokenRequestDenied):
        session.fetch_access_token(f"{oauth_provider.url}/oauth1/access_token", verifier="None")


def test_nonce_is_good_once(oauth_provider: DevProvider) -> None:
    """A client that repeats its nonces would pass its tests (RFC 5849 section 3.3)."""
    session = open_session(oauth_provider)
    log_in(oauth_provider, session)
    answer = session.get(f"{oauth_provider.url}/oauth1/api/me")
    headers = {"Authorization": answer.request.headers["Authorization"]}
    replay = requests.get(f"{oauth_provider.url}/oauth1/api/me", headers=headers, timeout=10)
    assert (answer.status_code, replay.status_code) == (200, 401)


def test_out_of_band(oauth_provider: DevProvider) -> None:
    """A command-line program could not be tested: it shows the person a code instead of being called back."""
    session = OAuth1Session(oauth_provider.client_id, oauth_provider.client_secret, callback_uri="oob")
    session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")
    url = session.authorization_url(f"{oauth_provider.url}/oauth1/authorize")
    page = requests.post(url, data={"user": "alice", "decision": "allow"}, timeout=10).text
    verifier = page.split('class="verifier">')[1].split("<")[0]
    assert session.fetch_access_token(f"{oauth_provider.url}/oauth1/access_token", verifier=verifier)["oauth_token"]


def test_callback_elsewhere_is_refused(oauth_provider: DevProvider) -> None:
    """The provider on a developer's machine could be used to send browsers anywhere."""
    session = OAuth1Session(
        oauth_provider.client_id, oauth_provider.client_secret, callback_uri="https://evil.example/cb"
    )
    with pytest.raises(TokenRequestDenied):
        session.fetch_request_token(f"{oauth_provider.url}/oauth1/request_token")


def test_withdrawn_consent(oauth_provider: DevProvider) -> None:
    """An application could not test what happens when a user disconnects it at the provider."""
    alice, bob = open_session(oauth_provider), open_session(oauth_provider)
    log_in(oauth_provider, alice, "alice")
    log_in(oauth_provider, bob, "bob")
    oauth_provider.revoke_grants("alice")
    assert alice.get(f"{oauth_provider.url}/oauth1/api/me").status_code == 401
    assert bob.get(f"{oauth_provider.url}/oauth1/api/me").status_code == 200
