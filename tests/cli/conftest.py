"""Applications of way A for the command line, with tokens from real logins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from flask_oauth_accounts import oauth_bp
from flask_oauth_accounts.testing import DevProvider, oauth_login


class Site:
    """An application, and what runs commands on it."""

    def __init__(self, app: Flask, provider: DevProvider) -> None:
        self.app = app
        self.provider = provider

    @property
    def accounts(self) -> Any:
        """What the extension has set up."""
        return self.app.extensions["flask_oauth_accounts"].accounts

    def run(self, *arguments: str, code: int = 0, **options: Any) -> Result:
        """Run ``flask oauth …``; no output ever holds a secret."""
        result: Result = self.app.test_cli_runner().invoke(args=["oauth", *arguments], **options)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        leaked = [secret for secret in self.provider.issued_secrets() if secret in result.output]
        assert not leaked, result.output
        return result

    def log_in(self, name: str = "two", user: str = "alice") -> None:
        """A whole login in a browser of its own."""
        response = oauth_login(self.app.test_client(), name, user, provider=self.provider)
        assert response.status_code == 302, response.text

    def load(self, user_id: Any = 1, name: str = "two", protocol: str = "oauth2") -> Any:
        """The stored token as it is."""
        with self.app.app_context():
            return self.accounts.store.load(user_id, name, protocol=protocol)


@pytest.fixture
def provider(oauth_provider: DevProvider) -> DevProvider:
    """A provider of the test's own."""
    return oauth_provider


@pytest.fixture
def make_site(provider: DevProvider, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Build applications; what is given is configuration, ``...`` removes a key. All share one instance folder."""
    made: list[Site] = []

    def make(before: Callable[[Flask], Any] | None = None, **config: Any) -> Site:
        app = Flask("site", instance_path=str(tmp_path / "instance"))
        values: dict[str, Any] = {
            "SECRET_KEY": "for this test",
            "TESTING": True,
            "OAUTH_ACCOUNTS_PROVIDERS": "one,two,three",
            **provider.oauth1_config("ONE"),
            **provider.oauth2_config("TWO"),
            **provider.oidc_config("THREE"),
            **config,
        }
        app.config.update({key: value for key, value in values.items() if value is not ...})
        if before is not None:
            before(app)
        app.register_blueprint(oauth_bp)
        made.append(Site(app, provider))
        return made[-1]

    yield make
    for site in made:
        with site.app.app_context():
            site.accounts.store.dispose()
            site.accounts.db.engine.dispose()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """One application, as it is by default."""
    return make_site()
