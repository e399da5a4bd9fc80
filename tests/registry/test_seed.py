"""Every code block of the document that this package was built from, with only the import line changed.

The blocks stand here as they were written; addresses are those of the development provider, and what the document
calls a pseudo method is filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, redirect, render_template, url_for
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader
from sqlalchemy import Column, Integer, String

from flask_oauth_accounts import OAuth, OAuth1App, OAuth2App
from flask_oauth_accounts.testing import DevProvider

OAUTH1_SERVICES = ("twitter",)
PROFILE_URLS = {"twitter": "me", "example": "me"}


def get_profile_url(name: str) -> str:
    return PROFILE_URLS[name]


class Cache:
    """The cache of the document: nothing but ``get(key)`` and ``set(key, value, expires=None)``."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[Any, Any]] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key, (None, None))[0]

    def set(self, key: str, value: Any, expires: int | None = None) -> None:
        self.values[key] = (value, expires)


class Site:
    """An application with the document's models and Flask-Login."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
        app.jinja_loader = DictLoader({"profile.html": "{{ profile.login }}"})
        self.db = db = SQLAlchemy(app)

        class User(UserMixin, db.Model):
            id = Column(Integer, primary_key=True)

        class OAuth1Token(db.Model):
            id = Column(Integer, primary_key=True)
            user_id = Column(Integer, nullable=False)
            name = Column(String(20), nullable=False)

            oauth_token = Column(String(48), nullable=False)
            oauth_token_secret = Column(String(48))

            def to_token(self) -> dict[str, Any]:
                return {
                    "oauth_token": self.oauth_token,
                    "oauth_token_secret": self.oauth_token_secret,
                }

            @classmethod
            def save(cls, user: Any, token: dict[str, Any], name: str = "twitter") -> None:
                item = cls(
                    user_id=user.id,
                    name=name,
                    oauth_token=token["oauth_token"],
                    oauth_token_secret=token["oauth_token_secret"],
                )
                db.session.add(item)
                db.session.commit()

        class OAuth2Token(db.Model):
            id = Column(Integer, primary_key=True)
            user_id = Column(Integer, nullable=False)
            name = Column(String(20), nullable=False)

            token_type = Column(String(20))
            access_token = Column(String(48), nullable=False)
            refresh_token = Column(String(48))
            expires_at = Column(Integer, default=0)

            def to_token(self) -> dict[str, Any]:
                return {
                    "access_token": self.access_token,
                    "token_type": self.token_type,
                    "refresh_token": self.refresh_token,
                    "expires_at": self.expires_at,
                }

            @classmethod
            def save(cls, user: Any, token: dict[str, Any], name: str = "example") -> None:
                keys = ("token_type", "access_token", "refresh_token", "expires_at")
                db.session.add(cls(user_id=user.id, name=name, **{key: token.get(key) for key in keys}))
                db.session.commit()

        self.User, self.OAuth1Token, self.OAuth2Token = User, OAuth1Token, OAuth2Token
        manager = LoginManager(app)
        manager.user_loader(lambda text: db.session.get(User, int(text)))
        with app.app_context():
            db.create_all()
            db.session.add_all([User(id=1), User(id=2)])
            db.session.commit()

        @app.route("/enter/<int:id>")
        def enter(id: int) -> str:
            login_user(db.session.get(User, id))
            return "in"

    def fetch_token(self, name: str) -> Any:
        OAuth1Token, OAuth2Token = self.OAuth1Token, self.OAuth2Token
        if name in OAUTH1_SERVICES:
            item = OAuth1Token.query.filter_by(name=name, user_id=current_user.id).first()
        else:
            item = OAuth2Token.query.filter_by(name=name, user_id=current_user.id).first()
        if item:
            return item.to_token()
        return None

    def update_token(self, name: str, token: dict[str, Any]) -> Any:
        OAuth2Token, db = self.OAuth2Token, self.db
        item = OAuth2Token.query.filter_by(name=name, user_id=current_user.id).first()
        if not item:
            item = OAuth2Token(name=name, user_id=current_user.id)
        item.token_type = token.get("token_type", "bearer")
        item.access_token = token.get("access_token")
        item.refresh_token = token.get("refresh_token")
        item.expires_at = token.get("expires_at")
        db.session.add(item)
        db.session.commit()
        return item

    def add_common_views(self, oauth: OAuth) -> None:
        """``/login/<name>``, ``/authorize/<name>``, ``/profile/<name>`` of the document."""
        app = self.app
        OAuth1Token, OAuth2Token = self.OAuth1Token, self.OAuth2Token

        @app.route("/login/<name>")
        def login(name: str) -> Any:
            client = oauth.create_client(name)
            redirect_uri = url_for("authorize", name=name, _external=True)
            return client.authorize_redirect(redirect_uri)

        @app.route("/authorize/<name>")
        def authorize(name: str) -> Any:
            client = oauth.create_client(name)
            token = client.authorize_access_token()
            if name in OAUTH1_SERVICES:
                OAuth1Token.save(current_user, token)
            else:
                OAuth2Token.save(current_user, token)
            return redirect(url_for("profile", name=name))

        @app.route("/profile/<name>")
        def profile(name: str) -> Any:
            client = oauth.create_client(name)
            resp = client.get(get_profile_url(name))
            profile = resp.json()
            return render_template("profile.html", profile=profile)


@pytest.fixture
def site(app: Flask) -> Iterator[Site]:
    found = Site(app)
    yield found
    with app.app_context():
        found.db.engine.dispose()


def register_twitter(oauth: OAuth, provider: DevProvider, **more: Any) -> Any:
    """The ``register`` call of the document, line by line."""
    return oauth.register(
        "twitter",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        request_token_url=f"{provider.url}/oauth1/request_token",
        request_token_params=None,
        access_token_url=f"{provider.url}/oauth1/access_token",
        access_token_params=None,
        refresh_token_url=None,
        authorize_url=f"{provider.url}/oauth1/authorize",
        api_base_url=f"{provider.url}/oauth1/api/",
        client_kwargs=None,
        **more,
    )


def register_example(oauth: OAuth, provider: DevProvider, **more: Any) -> Any:
    """The ``register`` call of the document's chapter on PKCE."""
    return oauth.register(
        "example",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        access_token_url=f"{provider.url}/oauth2/token",
        authorize_url=f"{provider.url}/oauth2/authorize",
        api_base_url=f"{provider.url}/api/",
        client_kwargs=None,
        code_challenge_method="S256",
        **more,
    )


def log_in(site: Site, provider: DevProvider, name: str, user: str, *, user_id: int = 1) -> Any:
    """Let a person go through the login of the document's views."""
    browser = site.app.test_client()
    browser.get(f"/enter/{user_id}")
    path = f"/login/{name}" if "profile" in site.app.view_functions else "/login"
    started = browser.get(path)
    assert started.status_code == 302
    return browser, browser.get(str(provider.authorize(started.location, user)), follow_redirects=True)


def test_s009_registry_is_created_with_the_application(app: Flask, oauth_provider: DevProvider) -> None:
    """S:7-16, 35-37: ``OAuth(app)`` of old code would fail at import."""
    oauth = OAuth(app)
    register_twitter(oauth, oauth_provider)
    assert isinstance(oauth.twitter, OAuth1App)
    later = OAuth()
    later.init_app(app)
    register_example(later, oauth_provider)
    assert isinstance(later.example, OAuth2App)


def test_s039_everything_may_stand_in_the_configuration(create_app: Callable[..., Flask]) -> None:
    """S:39-66: an operator could not set one of the twelve keys by configuration."""
    values: dict[str, Any] = {
        "CLIENT_ID": "Twitter Consumer Key",
        "CLIENT_SECRET": "Twitter Consumer Secret",
        "REQUEST_TOKEN_URL": "https://api.twitter.test/oauth/request_token",
        "REQUEST_TOKEN_PARAMS": {"params": {"x": "1"}},
        "ACCESS_TOKEN_URL": "https://api.twitter.test/oauth/access_token",
        "ACCESS_TOKEN_PARAMS": {"params": {"y": "1"}},
        "REFRESH_TOKEN_URL": "https://api.twitter.test/oauth/refresh",
        "REFRESH_TOKEN_PARAMS": {"z": "1"},
        "AUTHORIZE_URL": "https://api.twitter.test/oauth/authenticate",
        "AUTHORIZE_PARAMS": {"force_login": "true"},
        "API_BASE_URL": "https://api.twitter.test/1.1/",
        "CLIENT_KWARGS": {"signature_method": "HMAC-SHA256"},
    }
    app = create_app({f"EXAMPLE_{key}": value for key, value in values.items()})
    oauth = OAuth(app)
    oauth.register("example")
    assert isinstance(oauth.example, OAuth1App)
    for key, value in values.items():
        assert getattr(oauth.example, key.lower()) == value


def test_s122_cache_of_the_documented_form(site: Site, oauth_provider: DevProvider) -> None:
    """S:106-122: a cache written as documented, with ``expires`` and no ``delete``, would break every OAuth 1 login."""
    cache = Cache()
    oauth = OAuth(fetch_token=site.fetch_token)
    oauth.init_app(site.app, cache=cache)
    register_twitter(oauth, oauth_provider)
    site.add_common_views(oauth)
    _, answer = log_in(site, oauth_provider, "twitter", "bob")
    assert answer.text == "bob"
    assert cache.values
    assert all(isinstance(value, str) and expires for value, expires in cache.values.values())


def test_s126_own_functions_keep_the_request_token(site: Site, oauth_provider: DevProvider) -> None:
    """S:124-147: an application that keeps request tokens itself would find its functions never called."""
    places: dict[int, Any] = {}

    def save_request_token(token: dict[str, Any]) -> None:
        places[current_user.id] = dict(token)

    def fetch_request_token() -> Any:
        return places.get(current_user.id)

    oauth = OAuth(site.app, fetch_token=site.fetch_token)
    register_twitter(
        oauth, oauth_provider, save_request_token=save_request_token, fetch_request_token=fetch_request_token
    )
    site.add_common_views(oauth)
    _, answer = log_in(site, oauth_provider, "twitter", "alice")
    assert answer.text == "alice"
    assert set(places[1]) >= {"oauth_token", "oauth_token_secret"}


def test_s149_routes_of_one_service(site: Site, oauth_provider: DevProvider) -> None:
    """S:149-196: the document's own login of one service would not work."""
    app, OAuth1Token = site.app, site.OAuth1Token
    oauth = OAuth(app)

    def fetch_twitter_token() -> Any:
        item = OAuth1Token.query.filter_by(name="twitter", user_id=current_user.id).first()
        return item.to_token()

    register_twitter(oauth, oauth_provider, fetch_token=fetch_twitter_token)

    @app.route("/login")
    def login() -> Any:
        redirect_uri = url_for("authorize", _external=True)
        return oauth.twitter.authorize_redirect(redirect_uri)

    @app.route("/authorize")
    def authorize() -> Any:
        token = oauth.twitter.authorize_access_token()
        # this is a pseudo method, you need to implement it yourself
        OAuth1Token.save(current_user, token)
        return redirect(url_for("twitter_profile"))

    @app.route("/profile")
    def twitter_profile() -> Any:
        resp = oauth.twitter.get("me")
        profile = resp.json()
        return render_template("profile.html", profile=profile)

    browser, answer = log_in(site, oauth_provider, "twitter", "carol")
    assert answer.text == "carol"
    assert browser.get("/profile").text == "carol"


SPELLINGS: dict[str, Callable[[Flask, dict[str, Any]], OAuth]] = {}


def spelling(function: Callable[[Flask, dict[str, Any]], OAuth]) -> Callable[[Flask, dict[str, Any]], OAuth]:
    SPELLINGS[function.__name__] = function
    return function


@spelling
def in_the_constructor(app: Flask, callbacks: dict[str, Any]) -> OAuth:
    return OAuth(app, **callbacks)


@spelling
def in_the_constructor_and_bound_later(app: Flask, callbacks: dict[str, Any]) -> OAuth:
    oauth = OAuth(**callbacks)
    oauth.init_app(app)
    return oauth


@spelling
def everything_later(app: Flask, callbacks: dict[str, Any]) -> OAuth:
    oauth = OAuth()
    oauth.init_app(app, **callbacks)
    return oauth


@pytest.mark.parametrize("name", ["twitter", "example"])
@pytest.mark.parametrize("spell", SPELLINGS)
def test_s198_common_routes_with_fetch_token(site: Site, oauth_provider: DevProvider, spell: str, name: str) -> None:
    """S:198-252: shared routes and a shared ``fetch_token`` in one of its three spellings would not find the token."""
    oauth = SPELLINGS[spell](site.app, {"fetch_token": site.fetch_token})
    register_twitter(oauth, oauth_provider)
    register_example(oauth, oauth_provider)
    site.add_common_views(oauth)
    browser, answer = log_in(site, oauth_provider, name, "alice")
    assert answer.text == "alice"
    other, answer = log_in(site, oauth_provider, name, "bob", user_id=2)
    assert answer.text == "bob"
    assert browser.get(f"/profile/{name}").text == "alice"
    assert other.get(f"/profile/{name}").text == "bob"


@pytest.mark.parametrize("spell", SPELLINGS)
def test_s254_update_token_after_a_refresh(site: Site, oauth_provider: DevProvider, spell: str) -> None:
    """S:254-283: the rotated token would be lost in one of the three spellings of ``update_token``."""
    callbacks = {"fetch_token": site.fetch_token, "update_token": site.update_token}
    oauth = SPELLINGS[spell](site.app, callbacks)
    register_example(oauth, oauth_provider)
    site.add_common_views(oauth)
    browser, _ = log_in(site, oauth_provider, "example", "alice")
    with site.app.app_context():
        item = site.OAuth2Token.query.one()
        before = (item.access_token, item.refresh_token)
        item.expires_at = 1
        site.db.session.commit()
    assert browser.get("/profile/example").text == "alice"
    assert browser.get("/profile/example").text == "alice"
    with site.app.app_context():
        item = site.OAuth2Token.query.one()
        assert (item.access_token, item.refresh_token) != before
        assert item.expires_at > 1
    assert oauth_provider.count("/oauth2/token", grant_type="refresh_token") == 1


def test_s256_nothing_to_do_without_refresh_tokens(site: Site, oauth_provider: DevProvider) -> None:
    """S:256: a provider that issues no refresh token would need an ``update_token`` all the same."""
    oauth_provider.settings.issue_refresh_tokens = False
    oauth = OAuth(site.app, fetch_token=site.fetch_token)
    register_example(oauth, oauth_provider)
    site.add_common_views(oauth)
    _, answer = log_in(site, oauth_provider, "example", "bob")
    assert answer.text == "bob"


def test_s285_code_challenge(site: Site, oauth_provider: DevProvider) -> None:
    """S:285-299: a provider that demands PKCE would refuse the document's client."""
    oauth_provider.settings.require_pkce = True
    oauth = OAuth(site.app, fetch_token=site.fetch_token)
    register_example(oauth, oauth_provider)
    site.add_common_views(oauth)
    _, answer = log_in(site, oauth_provider, "example", "bob")
    assert answer.text == "bob"
    (exchange,) = oauth_provider.requests("/oauth2/token", grant_type="authorization_code")
    assert "code_verifier" in exchange.form_keys


def test_s301_compliance_fix_on_oauth_1(site: Site, oauth_provider: DevProvider) -> None:
    """S:301-322: the document's fix on its own example, an OAuth 1 client, would never be called."""
    seen: list[tuple[str, Any, Any]] = []

    def compliance_fix(session: Any) -> None:
        def fix_protected_request(url: str, headers: Any, data: Any) -> Any:
            seen.append((url, dict(headers), data))
            return url, headers, data

        session.register_compliance_hook("protected_request", fix_protected_request)

    oauth = OAuth(site.app, fetch_token=site.fetch_token)
    register_twitter(oauth, oauth_provider, compliance_fix=compliance_fix)
    site.add_common_views(oauth)
    _, answer = log_in(site, oauth_provider, "twitter", "alice")
    assert answer.text == "alice"
    url, headers, _ = seen[-1]
    assert url == f"{oauth_provider.url}/oauth1/api/me"
    assert headers["Authorization"].startswith("OAuth ")
