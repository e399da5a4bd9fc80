"""Applications of ways A and B, and the provider behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_oauth_accounts import oauth_bp
from flask_oauth_accounts.testing import DevProvider


@pytest.fixture
def provider(oauth_provider: DevProvider) -> DevProvider:
    """A provider of the test's own."""
    return oauth_provider


@pytest.fixture
def make_app(provider: DevProvider, tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Build applications of way A with the clients ``one`` (OAuth 1), ``two`` (OAuth 2) and ``three`` (OpenID)."""
    made: list[Flask] = []

    def make(*, register: bool = True, **config: Any) -> Flask:
        app = Flask("instant", instance_path=str(tmp_path / f"instance{len(made)}"))
        app.config.update(
            SECRET_KEY="for this test",
            TESTING=True,
            OAUTH_ACCOUNTS_PROVIDERS="one,two,three",
            **provider.oauth1_config("ONE"),
            **provider.oauth2_config("TWO"),
            **provider.oidc_config("THREE"),
        )
        app.config.update(config)
        app.config = type(app.config)(app.root_path, {k: v for k, v in app.config.items() if v is not ...})
        if register:
            app.register_blueprint(oauth_bp)
        made.append(app)
        return app

    yield make
    for app in made:
        state = app.extensions.get("flask_oauth_accounts")
        if state is not None and state.accounts is not None:
            with app.app_context():
                state.accounts.store.dispose()
                state.accounts.db.engine.dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """One application of way A."""
    return make_app()


@pytest.fixture
def consent(provider: DevProvider) -> Callable[..., TestResponse]:
    """Go on where the application has sent the browser: to the provider, and back to the callback."""

    def go(browser: FlaskClient, response: TestResponse, user: str = "alice", *, allow: bool = True) -> TestResponse:
        assert response.status_code in (302, 303), response.text
        location = response.headers["Location"]
        while not location.startswith(provider.url):
            response = browser.get(location)
            assert response.status_code in (302, 303), response.text
            location = response.headers["Location"]
        return browser.get(str(provider.authorize(location, user, allow=allow)))

    return go
