"""Logins with providers that nobody here wrote: Authlib's servers for Flask, and ``oidc-provider-mock``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cachelib import SimpleCache
from flask import Flask, session

from flask_oauth_accounts import OAuth, ReauthorizationRequired, current_oauth

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
EVERY_KIND = pytest.mark.parametrize("kind", ["oauth1", "oauth2", "oidc"])


@EVERY_KIND
def test_login_through_the_blueprint(
    kind: str, run_provider: Callable[[str], Any], make_app: Callable[..., Flask], consent: Callable[[str], str]
) -> None:
    """Providers other than our own would not work."""
    provider = run_provider(kind)
    app = make_app(provider.arguments)
    for _ in range(2):
        browser = app.test_client()
        callback = consent(browser.get("/login/dev").headers["Location"])
        assert browser.get(callback).headers["Location"] == "/profile/dev"
        page = browser.get("/profile/dev")
        assert page.status_code == 200
        assert "Ann" in page.text
        assert browser.get(callback).status_code == 400
    with app.app_context():
        accounts = app.extensions["flask_oauth_accounts"].accounts
        assert accounts.db.session.query(accounts.user_model).count() == 1


@EVERY_KIND
@pytest.mark.parametrize("cached", [True, False])
def test_login_through_a_registry_alone(
    kind: str, cached: bool, run_provider: Callable[[str], Any], consent: Callable[[str], str]
) -> None:
    """Code written for Authlib's client would not work without the rest of this package."""
    provider = run_provider(kind)
    app = Flask("registry only")
    app.config.update(SECRET_KEY="test", TESTING=True)
    oauth = OAuth(app, cache=SimpleCache() if cached else None)
    oauth.register("dev", **provider.arguments)

    @app.get("/start")
    def start() -> Any:
        # Authlib's OAuth 1 server computes another signature where the callback holds a percent sign.
        return oauth.dev.authorize_redirect("http://localhost/end?a=" + ("1" if kind == "oauth1" else "100%25"))

    @app.get("/end")
    def end() -> Any:
        token = oauth.dev.authorize_access_token()
        claims = token.get("userinfo") or oauth.dev.userinfo()
        session["name"] = claims["name"]
        return oauth.dev.profile().email or ""

    browser = app.test_client()
    answer = browser.get(consent(browser.get("/start").headers["Location"]))
    assert answer.text == "ann@example.com"
    with browser.session_transaction() as kept:
        assert kept["name"] == "Ann"


def test_a_denied_login_with_oidc_provider_mock(
    run_provider: Callable[[str], Any], make_app: Callable[..., Flask]
) -> None:
    """A visitor who changes their mind would see a server error."""
    import requests

    app = make_app(run_provider("oidc").arguments)
    browser = app.test_client()
    url = browser.get("/login/dev").headers["Location"]
    answer = requests.post(url, data={"action": "deny"}, allow_redirects=False, timeout=10)
    callback = answer.headers["Location"].removeprefix("http://localhost")
    # This provider forgets to send the state back, so it is not known whose login was denied.
    assert "state" not in callback
    assert browser.get(callback).status_code == 400


def test_rotated_refresh_tokens(
    run_provider: Callable[[str], Any], make_app: Callable[..., Flask], consent: Callable[[str], str]
) -> None:
    """At a provider that rotates refresh tokens, the second refresh would end the connection."""
    provider = run_provider("oauth2")
    app = make_app(provider.arguments)
    browser = app.test_client()
    browser.get(consent(browser.get("/login/dev").headers["Location"]))
    accounts = app.extensions["flask_oauth_accounts"].accounts
    for count in (2, 3):
        with app.app_context():
            accounts.db.session.execute(accounts.models.OAuth2Token.__table__.update().values(expires_at=1))
            accounts.db.session.commit()
            assert current_oauth.dev.for_user(1).get("me").json()["login"] == "ann"
            assert current_oauth.dev.for_user(1).get("me").json()["login"] == "ann"
        assert len(provider.tokens) == count
    assert [token.revoked for token in provider.tokens] == [True, True, False]
    provider.tokens[-1].revoked = True
    with app.app_context(), pytest.raises(ReauthorizationRequired):
        current_oauth.dev.for_user(1).get("me")


def test_disconnecting_revokes(
    run_provider: Callable[[str], Any], make_app: Callable[..., Flask], consent: Callable[[str], str]
) -> None:
    """A disconnected account's token would still work for whoever has a copy."""
    provider = run_provider("oauth2")
    app = make_app(provider.arguments)
    browser = app.test_client()
    browser.get(consent(browser.get("/login/dev").headers["Location"]))
    with app.app_context():
        assert current_oauth.dev.for_user(1).revoke_token() is True
    assert [token.revoked for token in provider.tokens] == [True]


@EVERY_KIND
def test_flask_caching_and_csrf_protect_beside_it(
    kind: str, run_provider: Callable[[str], Any], make_app: Callable[..., Flask], consent: Callable[[str], str]
) -> None:
    """An application with Flask-WTF and a Flask-Caching of its own could not log in."""
    from flask_wtf import CSRFProtect

    app = make_app(run_provider(kind).arguments, CACHE_TYPE="SimpleCache")
    CSRFProtect(app)
    browser = app.test_client()
    callback = consent(browser.get("/login/dev").headers["Location"])
    assert browser.get(callback).status_code == 302
    answer = browser.get("/accounts", headers={"Accept": "application/json"}).get_json()
    assert browser.post("/logout").status_code == 400
    assert browser.post("/logout", data={"csrf_token": answer["csrf_token"]}).status_code in (302, 303)


AUTHLIB_APP = """
from authlib.integrations.flask_client import OAuth, OAuthError
from flask import Flask, jsonify, redirect, session, url_for

app = Flask("written for Authlib")
app.secret_key = "test"
app.testing = True
oauth = OAuth(app)
oauth.register(name="dev", **arguments)

@app.route("/login")
def login():
    return oauth.dev.authorize_redirect(url_for("auth", _external=True))

@app.route("/auth")
def auth():
    try:
        token = oauth.dev.authorize_access_token()
    except OAuthError as error:
        return error.error, 400
    profile = token.get("userinfo") or oauth.dev.get("me", token=token).json()
    session["user"] = {"name": profile["name"], "email": profile["email"]}
    return redirect("/")

@app.route("/")
def home():
    return jsonify(session.get("user"))
"""


@pytest.mark.parametrize("kind", ["oauth1", "oauth2", "oidc"])
@pytest.mark.parametrize("package", ["authlib.integrations.flask_client", "flask_oauth_accounts"])
def test_an_application_written_for_authlib(
    kind: str, package: str, run_provider: Callable[[str], Any], consent: Callable[[str], str]
) -> None:
    """Whoever comes from Authlib would have to rewrite their application."""
    arguments = dict(run_provider(kind).arguments)
    if package.startswith("authlib"):
        arguments.setdefault("client_kwargs", {})
        if kind == "oauth2":
            arguments["client_kwargs"] = {**arguments["client_kwargs"], "code_challenge_method": "S256"}
    scope = {"arguments": arguments, "__name__": "app"}
    exec(AUTHLIB_APP.replace("authlib.integrations.flask_client", package), scope)
    app: Any = scope["app"]
    browser = app.test_client()
    callback = consent(browser.get("/login").headers["Location"])
    assert browser.get(callback).status_code == 302
    assert browser.get("/").get_json() == {"name": "Ann", "email": "ann@example.com"}
    assert browser.get(callback).status_code == 400
