"""Which ID token a profile may be read from, where no login of this request has checked it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from flask_oauth_accounts import IdTokenError, OAuth
from flask_oauth_accounts.testing import DevProvider

REDIRECT_URI = "http://localhost/cb"
OLD = {"iat": 1_000_000_000, "exp": 1_000_003_600}


def encode(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.fixture
def fetch(app: Flask, oauth_provider: DevProvider) -> Callable[..., Any]:
    """An application that exchanges a code by itself, so that nobody has looked at the ID token: client and token.

    With ``own_store`` the application keeps the token.
    """

    def exchange(own_store: bool, **id_token: Any) -> tuple[Any, Any]:
        kept: dict[str, Any] = {}
        oauth = OAuth(app, fetch_token=(lambda name: kept or None) if own_store else None)
        client = oauth.register("dev", **oauth_provider.register_kwargs("oidc"))
        data = client.create_authorization_url(REDIRECT_URI)
        code = parse_qs(urlsplit(str(oauth_provider.authorize(data["url"]))).query)["code"][0]
        oauth_provider.next_id_token(**id_token)
        token = client.fetch_access_token(REDIRECT_URI, code=code, code_verifier=data["code_verifier"])
        kept.update(json.loads(json.dumps(token)))
        return client, token

    return exchange


WRONG: list[dict[str, Any]] = [{"aud": "another-client"}, {"iss": "https://x.test"}, {"alg": "none"}, {"sub": None}]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_token_of_this_request(fetch: Any, app: Flask, wrong: dict[str, Any]) -> None:
    """C01-C18: who exchanges the code of a mobile app by himself would believe an ID token made for another client."""
    with app.test_request_context():
        client, token = fetch(False, **wrong)
        with pytest.raises(IdTokenError):
            client.profile()
        with pytest.raises(IdTokenError):
            client.profile(token=token)
        client, token = fetch(False)
        assert client.profile().subject == client.profile(token=token).subject == "dev-1001"


@pytest.mark.parametrize("wrong", WRONG)
def test_a_token_of_the_applications_own_store(fetch: Any, app: Flask, wrong: dict[str, Any]) -> None:
    """A token that somebody put into the application's store could speak for anybody."""
    with app.test_request_context():
        client, _ = fetch(True, **wrong)
    with app.test_request_context(), pytest.raises(IdTokenError):
        client.profile()


def test_a_kept_id_token_may_have_expired(fetch: Any, app: Flask) -> None:
    """A user whose token the application has kept for longer than an hour would have no profile any more."""
    with app.test_request_context():
        client, token = fetch(True, **OLD)
    with app.test_request_context():
        assert client.profile().subject == client.profile(token=dict(token)).subject == "dev-1001"


def test_a_kept_id_token_may_be_older_than_the_providers_keys(
    fetch: Any, app: Flask, oauth_provider: DevProvider
) -> None:
    """A user whose provider has taken new keys since the login would have no profile until the next login."""
    with app.test_request_context():
        client, token = fetch(True)
    oauth_provider.rotate_signing_key(keep_old=False)
    later = OAuth(app).register("dev", **oauth_provider.register_kwargs("oidc"))
    with app.test_request_context():
        assert later.profile(token=dict(token)).subject == "dev-1001"
        assert client.profile().subject == "dev-1001"


@pytest.mark.parametrize("wrong", [OLD, {"header": {"kid": "gone"}}])
def test_an_id_token_that_stands_alone_has_to_be_checked(
    fetch: Any, app: Flask, oauth_provider: DevProvider, wrong: dict[str, Any]
) -> None:
    """C01: where nobody else is asked, an expired ID token or one of an unknown key would log its finder in."""
    with app.test_request_context():
        client, good = fetch(False)
        known = client.load_server_metadata()
        _, token = fetch(False, **wrong)
    endpoints = {"authorize_url": known["authorization_endpoint"], "access_token_url": known["token_endpoint"]}
    arguments = {**oauth_provider.register_kwargs("oidc"), **endpoints, "server_metadata_url": None}
    lone = OAuth(app).register("lone", **arguments, issuer=known["issuer"], jwks_uri=known["jwks_uri"])
    with app.test_request_context():
        assert lone.profile(token=dict(good)).subject == "dev-1001"
        with pytest.raises(IdTokenError):
            lone.profile(token=dict(token))


def test_apple_reads_the_identity_from_the_id_token_alone(app: Flask) -> None:
    """C01: whoever posts an unsigned token to an application with "Sign in with Apple" would be anybody he likes."""
    now = int(time.time())
    claims = {"iss": "https://appleid.apple.com", "aud": "com.example.app", "sub": "1", "iat": now, "exp": now + 600}
    client = OAuth(app).register("apple", client_id="com.example.app", client_secret="x")
    with app.test_request_context(), pytest.raises(IdTokenError):
        client.profile(token={"access_token": "x", "id_token": f"{encode({'alg': 'none'})}.{encode(claims)}."})
