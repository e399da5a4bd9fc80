"""An application with the blueprint, and a real provider of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cachelib import SimpleCache
from flask import Flask, jsonify
from flask.testing import FlaskClient
from flask_login import LoginManager, UserMixin, current_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from werkzeug.test import TestResponse

from flask_oauth_accounts import OAuth, OAuthAccounts, create_blueprint
from flask_oauth_accounts.testing import DevProvider

PROTOCOLS = {"one": "oauth1", "two": "oauth2", "three": "oidc"}


class Site(SimpleNamespace):
    """An application under test, with all that belongs to it.

    :ivar app: with the clients ``one`` (OAuth 1), ``two`` (OAuth 2) and ``three`` (OpenID Connect).
    """

    app: Flask
    db: SQLAlchemy
    provider: DevProvider
    oauth: OAuth
    accounts: OAuthAccounts
    user_model: Any

    def browser(self) -> FlaskClient:
        """A browser without cookies."""
        return self.app.test_client()

    def start(self, browser: FlaskClient, name: str, **query: str) -> str:
        """Press the button of a provider; returns the provider's address."""
        response = browser.get(f"/login/{name}", query_string=query)
        assert response.status_code == 302, response.text
        return str(response.headers["Location"])

    def consent(self, url: str, user: str = "alice", *, allow: bool = True) -> str:
        """Choose a user at the provider; returns path and query of the callback."""
        return str(self.provider.authorize(url, user, allow=allow)).removeprefix("http://localhost")

    def log_in(self, browser: FlaskClient, name: str = "two", user: str = "alice", **query: str) -> TestResponse:
        """A whole login; returns the answer to the callback."""
        return browser.get(self.consent(self.start(browser, name, **query), user))

    def who(self, browser: FlaskClient) -> str | None:
        """The e-mail address of the user who is logged in."""
        return (browser.get("/me").json or {}).get("email")

    def count(self, model: str) -> int:
        """Rows of a table: ``User``, ``OAuthIdentity``, …"""
        with self.app.app_context():
            cls = self.user_model if model == "User" else getattr(self.accounts.models, model)
            return int(self.db.session.query(cls).count())

    def rows(self) -> dict[str, int]:
        """Rows of all tables."""
        names = ("User", "OAuthIdentity", "OAuth1Token", "OAuth2Token", "OAuthEvent")
        return {name: self.count(name) for name in names}

    def token(self, browser: FlaskClient) -> str:
        """The CSRF token of a browser that is logged in."""
        answer = browser.get("/accounts", headers={"Accept": "application/json"}).json
        assert answer is not None
        return str(answer["csrf_token"])

    def connect(self, browser: FlaskClient, name: str, user: str = "alice") -> TestResponse:
        """Connect one more account; returns the answer to the callback."""
        response = browser.post(f"/connect/{name}", data={"csrf_token": self.token(browser)})
        assert response.status_code == 303, response.text
        return browser.get(self.consent(response.headers["Location"], user))


class HasEmail:
    """What users have who have an address."""

    email: Mapped[str | None]


def create_site(
    provider: DevProvider, database: str, cache: Any, bases: tuple[type, ...] = (UserMixin, HasEmail), **config: Any
) -> Site:
    """Build an application of its own models, as way B of the documentation does."""

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class User(*bases, db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        display_name: Mapped[str | None]
        active: Mapped[bool] = mapped_column(default=True)

        @property
        def is_active(self) -> bool:
            return self.active is not False

    oauth = OAuth(cache=cache)
    accounts = OAuthAccounts(oauth, db=db, user_model=User)
    for name, kind in PROTOCOLS.items():
        oauth.register(name, **provider.register_kwargs(kind))
    app = Flask("site")
    app.config.update(SECRET_KEY="test", TESTING=True, SQLALCHEMY_DATABASE_URI=database, **config)
    db.init_app(app)
    manager = LoginManager(app)
    manager.user_loader(lambda key: db.session.get(User, int(key)))
    accounts.init_app(app)
    app.register_blueprint(create_blueprint())

    @app.get("/me")
    def me() -> Any:
        if not current_user.is_authenticated:
            return jsonify(email=None, name=None)
        return jsonify(email=getattr(current_user, "email", None), name=current_user.display_name)

    with app.app_context():
        db.create_all()
    return Site(app=app, db=db, provider=provider, oauth=oauth, accounts=accounts, user_model=User)


@pytest.fixture
def provider() -> Iterator[DevProvider]:
    """A provider of the test's own."""
    with DevProvider() as running:
        yield running


@pytest.fixture
def make_site(provider: DevProvider, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Build applications; keyword arguments are configuration, but for ``cache`` (``None`` is none) and for ``bases``,
    which the class of the users has in place of the usual ones.
    """
    made: list[Site] = []

    def make(cache: Any = ..., **config: Any) -> Site:
        database = f"sqlite:///{tmp_path / f'site{len(made)}.db'}"
        site = create_site(provider, database, SimpleCache() if cache is ... else cache, **config)
        made.append(site)
        return site

    yield make
    for site in made:
        with site.app.app_context():
            site.db.engine.dispose()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """One application as it is by default."""
    return make_site()
