"""An application as way A makes it, users who are logged in, and a counter of SQL statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, jsonify
from flask.testing import FlaskClient
from flask_login import current_user, login_required

from flask_oauth_accounts import create_blueprint, current_oauth
from flask_oauth_accounts.testing import DevProvider

PROVIDERS = {"one": "oauth1", "two": "oauth2", "three": "oidc"}
ECHO = {"one": "/oauth1/api/echo", "two": "/api/echo", "three": "/api/echo"}


class Site(SimpleNamespace):
    """``one`` is OAuth 1, ``two`` OAuth 2, ``three`` OpenID Connect; ``/who/<name>`` asks whose token was used."""

    app: Flask
    provider: DevProvider
    instance: Path

    def log_in(self, name: str, user: str = "alice") -> FlaskClient:
        """A browser in which somebody is logged in."""
        browser = self.app.test_client()
        self.finish(browser, name, user)
        return browser

    def begin(self, browser: FlaskClient, name: str, user: str = "alice") -> str:
        """As far as the callback; returns its path and query."""
        location = browser.get(f"/login/{name}").headers["Location"]
        return str(self.provider.authorize(location, user)).removeprefix("http://localhost")

    def finish(self, browser: FlaskClient, name: str, user: str = "alice") -> None:
        """A whole login."""
        answer = browser.get(self.begin(browser, name, user))
        assert answer.status_code == 302, answer.text

    def user_id(self, browser: FlaskClient) -> int:
        """Primary key of the user who is logged in."""
        with browser.session_transaction() as session:
            return int(session["_user_id"])


def create_app(provider: DevProvider, instance: Path, **config: Any) -> Flask:
    """Way A, with the three clients and a few views."""
    app = Flask("site", instance_path=str(instance))
    app.config.update(SECRET_KEY="test", TESTING=True, OAUTH_ACCOUNTS_PROVIDERS=list(PROVIDERS))
    app.config.update(config)
    for name, kind in PROVIDERS.items():
        app.config.update(provider.config(kind, name.upper()))
    app.register_blueprint(create_blueprint())

    @app.get("/who/<name>")
    @login_required  # type: ignore[untyped-decorator]
    def who(name: str) -> Any:
        client = current_oauth.create_client(name)
        return jsonify([client.get(ECHO[name]).json()["subject"], current_user.username])

    @app.get("/plain")
    def plain() -> str:
        return "a page that has nothing to do with logins"

    return app


@pytest.fixture
def make_site(oauth_provider: DevProvider, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Build an application; keywords are configuration."""
    made: list[Flask] = []

    def make(**config: Any) -> Site:
        instance = tmp_path / f"instance{len(made)}"
        app = create_app(oauth_provider, instance, **config)
        made.append(app)
        return Site(app=app, provider=oauth_provider, instance=instance)

    yield make
    for app in made:
        with app.app_context():
            app.extensions["sqlalchemy"].engine.dispose()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """The application as it is by default."""
    return make_site()


@pytest.fixture
def count_sql() -> Callable[[], Any]:
    """A context manager that gives the list of SQL statements that any engine executes meanwhile."""

    @contextmanager
    def counting() -> Iterator[list[str]]:
        statements: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
            statements.append(statement)

        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", note)

    return counting
