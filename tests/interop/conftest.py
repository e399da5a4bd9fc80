"""Providers made of software that nobody here wrote, and an application that logs in with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from flask import Flask, jsonify

from flask_oauth_accounts import OAuth, create_blueprint


class Stored(SimpleNamespace):
    """A client, code or token of Authlib's, with the methods that its servers ask for."""

    def get_client_id(self) -> str:
        return str(self.client_id)

    def get_default_redirect_uri(self) -> str | None:
        return None

    def get_client_secret(self) -> str:
        return str(self.client_secret)

    def get_rsa_public_key(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""

    def check_redirect_uri(self, uri: str) -> bool:
        return uri.startswith("http://localhost/")

    def check_client_secret(self, secret: str) -> bool:
        return bool(secret == self.client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")

    def get_redirect_uri(self) -> str:
        return str(self.redirect_uri)

    def get_scope(self) -> str:
        return str(self.scope or "")

    def get_user_id(self) -> str:
        return str(self.id)

    def check_client(self, client: Any) -> bool:
        return bool(client.client_id == self.client_id)

    def get_expires_in(self) -> int:
        return int(self.expires_in)

    def is_expired(self) -> bool:
        return bool(self.issued_at + self.expires_in < time.time())

    def is_revoked(self) -> bool:
        return bool(self.revoked)

    def get_user(self) -> Any:
        return self.user

    def get_client(self) -> Any:
        return CLIENT

    def get_oauth_token(self) -> str:
        return str(self.oauth_token)

    def get_oauth_token_secret(self) -> str:
        return str(self.oauth_token_secret)


CLIENT = Stored(client_id="the-client", client_secret="the-client-secret")
USER = Stored(id="7", login="ann", name="Ann", email="ann@example.com")


def create_oauth2_provider() -> Any:
    """Authlib's OAuth 2 server: PKCE required, refresh tokens rotated, revocation; ``tokens`` are those it gave."""
    from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
    from authlib.oauth2.rfc6749 import grants
    from authlib.oauth2.rfc6750 import BearerTokenValidator
    from authlib.oauth2.rfc7009 import RevocationEndpoint
    from authlib.oauth2.rfc7636 import CodeChallenge

    app = Flask("authlib's OAuth 2")
    app.secret_key = "provider"
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    codes: dict[str, Stored] = {}
    tokens: list[Stored] = []

    class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        def save_authorization_code(self, code: str, sent: Any) -> None:
            payload = sent.payload
            codes[code] = Stored(
                redirect_uri=payload.redirect_uri,
                scope=payload.scope,
                code_challenge=payload.data.get("code_challenge"),
                code_challenge_method=payload.data.get("code_challenge_method"),
                user=sent.user,
                code=code,
            )

        def query_authorization_code(self, code: str, client: Any) -> Any:
            return codes.get(code)

        def delete_authorization_code(self, code: Any) -> None:
            del codes[code.code]

        def authenticate_user(self, code: Any) -> Any:
            return code.user

    class RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, value: str) -> Any:
            return next((token for token in tokens if token.refresh_token == value and not token.revoked), None)

        def authenticate_user(self, token: Any) -> Any:
            return token.user

        def revoke_old_credential(self, token: Any) -> None:
            token.revoked = True

    class Revocation(RevocationEndpoint):  # type: ignore[misc]
        def query_token(self, value: str, hint: str | None) -> Any:
            return next((token for token in tokens if value in (token.access_token, token.refresh_token)), None)

        def revoke_token(self, token: Any, sent: Any) -> None:
            token.revoked = True

    class Validator(BearerTokenValidator):  # type: ignore[misc]
        def authenticate_token(self, value: str) -> Any:
            return next((token for token in tokens if token.access_token == value), None)

    def save_token(token: dict[str, Any], sent: Any) -> None:
        values = {"refresh_token": None, "scope": "", **token}
        tokens.append(
            Stored(**values, user=sent.user, client_id=CLIENT.client_id, issued_at=time.time(), revoked=False)
        )

    server = AuthorizationServer(app, query_client=lambda _: CLIENT, save_token=save_token)
    server.register_grant(CodeGrant, [CodeChallenge(required=True)])
    server.register_grant(RefreshGrant)
    server.register_endpoint(Revocation)
    protect = ResourceProtector()
    protect.register_token_validator(Validator())

    @app.route("/authorize")
    def authorize() -> Any:
        grant = server.get_consent_grant(end_user=USER)
        return server.create_authorization_response(request=None, grant_user=USER, grant=grant)

    app.add_url_rule("/token", "token", lambda: server.create_token_response(), methods=["POST"])
    app.add_url_rule(
        "/revoke", "revoke", lambda: server.create_endpoint_response(Revocation.ENDPOINT_NAME), methods=["POST"]
    )

    @app.get("/me")
    @protect("profile")  # type: ignore[untyped-decorator]
    def me() -> Any:
        user = current_token.user
        return jsonify(id=user.id, login=user.login, name=user.name, email=user.email)

    return SimpleNamespace(app=app, tokens=tokens)


def create_oauth1_provider() -> Any:
    """Authlib's OAuth 1 server; ``tokens`` are those it gave."""
    from authlib.integrations.flask_oauth1 import (
        AuthorizationServer,
        ResourceProtector,
        create_exists_nonce_func,
        current_credential,
        register_nonce_hooks,
        register_temporary_credential_hooks,
    )
    from cachelib import SimpleCache

    app = Flask("authlib's OAuth 1")
    cache = SimpleCache()
    tokens: list[Stored] = []
    server = AuthorizationServer(app, query_client=lambda _: CLIENT)
    register_nonce_hooks(server, cache)
    register_temporary_credential_hooks(server, cache)

    def create_token_credential(token: dict[str, str], temporary: Any) -> Any:
        tokens.append(Stored(**token, user_id=temporary.get_user_id()))
        return tokens[-1]

    server.register_hook("create_token_credential", create_token_credential)
    protect = ResourceProtector(
        app,
        query_client=lambda _: CLIENT,
        query_token=lambda _, value: next((token for token in tokens if token.oauth_token == value), None),
        exists_nonce=create_exists_nonce_func(cache),
    )
    app.add_url_rule("/initiate", "initiate", lambda: server.create_temporary_credentials_response(), methods=["POST"])
    app.add_url_rule("/token", "token", lambda: server.create_token_response(), methods=["POST"])

    @app.get("/authorize")
    def authorize() -> Any:
        return server.create_authorization_response(grant_user=USER)

    @app.get("/me")
    @protect()  # type: ignore[untyped-decorator]
    def me() -> Any:
        assert current_credential.user_id == USER.id
        return jsonify(id=USER.id, login=USER.login, name=USER.name, email=USER.email)

    return SimpleNamespace(app=app, tokens=tokens)


@pytest.fixture
def run_provider(live_server: Callable[[Flask], str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Start a provider: ``oauth1``, ``oauth2`` or ``oidc``; it has ``url`` and ``arguments`` for ``register``."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")

    def run(kind: str) -> Any:
        if kind == "oidc":
            import oidc_provider_mock  # type: ignore[import-untyped]

            claims = {"email": "ann@example.com", "email_verified": True, "name": "Ann"}
            user = oidc_provider_mock.User(sub="ann", claims=claims)
            url = live_server(oidc_provider_mock.app(require_nonce=True, user_claims=[user]))
            arguments = {
                "client_id": "the-client",
                "client_secret": "the-client-secret",
                "server_metadata_url": f"{url}/.well-known/openid-configuration",
                "client_kwargs": {"scope": "openid email profile"},
            }
            return SimpleNamespace(url=url, arguments=arguments)
        provider = create_oauth1_provider() if kind == "oauth1" else create_oauth2_provider()
        url = live_server(provider.app)
        arguments = {
            "client_id": CLIENT.client_id,
            "client_secret": CLIENT.client_secret,
            "authorize_url": f"{url}/authorize",
            "access_token_url": f"{url}/token",
            "api_base_url": f"{url}/",
            "userinfo_endpoint": f"{url}/me",
        }
        if kind == "oauth1":
            arguments["request_token_url"] = f"{url}/initiate"
        else:
            arguments |= {"revocation_endpoint": f"{url}/revoke", "client_kwargs": {"scope": "profile"}}
        provider.url, provider.arguments = url, arguments
        return provider

    return run


@pytest.fixture
def consent() -> Callable[[str], str]:
    """Open the provider's page as a browser does and say yes; returns path and query of the callback."""

    def open_page(url: str) -> str:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(url, allow_redirects=False, timeout=10)
            if answer.status_code == 200:
                answer = session.post(url, data={"sub": "ann"}, allow_redirects=False, timeout=10)
        assert answer.status_code in (302, 303), answer.text
        return answer.headers["Location"].removeprefix("http://localhost")

    return open_page


@pytest.fixture
def make_app(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Build an application with the blueprint and one client named ``dev``."""
    made: list[Flask] = []

    def make(arguments: dict[str, Any], **config: Any) -> Flask:
        app = Flask("app", instance_path=str(tmp_path / f"instance{len(made)}"))
        app.config.update(SECRET_KEY="test", TESTING=True)
        app.config.update(config)
        oauth = OAuth(app)
        oauth.register("dev", **arguments)
        app.register_blueprint(create_blueprint())
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            app.extensions["sqlalchemy"].engine.dispose()
