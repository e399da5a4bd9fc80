"""``examples/existing_app``: way B, with the application's own users, migrations and look."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import downgrade, migrate, upgrade

from flask_oauth_accounts.testing import DevProvider, oauth_login

MIGRATIONS = Path(__file__).parents[2] / "examples" / "existing_app" / "migrations"
TABLES = {"user", "oauth_identity", "oauth1_token", "oauth2_token", "oauth_event"}


@pytest.fixture
def module(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("existing_app")


@pytest.fixture
def create(module: ModuleType, oauth_provider: DevProvider, tmp_path: Path) -> Iterator[Callable[[str], Flask]]:
    """Build the application on a database, with the provider behind both of its clients."""
    made: list[Flask] = []

    def create_app(database_url: str) -> Flask:
        config: dict[str, Any] = {
            "TESTING": True,
            "SECRET_KEY": "for this test",
            "SQLALCHEMY_DATABASE_URI": database_url,
            "CACHE_DIR": str(tmp_path / "cache"),
            **oauth_provider.oidc_config("company"),
            **oauth_provider.oauth2_config("github"),
        }
        app: Flask = module.create_app(config)
        made.append(app)
        return app

    yield create_app
    for app in made:
        with app.app_context():
            module.db.engine.dispose()


@pytest.fixture
def app(create: Callable[[str], Flask], sqlite_url: str) -> Flask:
    app = create(sqlite_url)
    with app.app_context():
        upgrade()
    return app


def test_migration_runs_unedited_and_leaves_nothing_to_do(
    module: ModuleType, create: Callable[[str], Flask], database_url: str, tmp_path: Path
) -> None:
    """An application that migrates its tables would have to write ours by hand."""
    app = create(database_url)
    directory = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, directory)
    with app.app_context():
        upgrade(directory=str(directory))
        assert set(sa.inspect(module.db.engine).get_table_names()) - {"alembic_version"} == TABLES
        migrate(directory=str(directory), message="second")
        (second,) = set((directory / "versions").glob("*.py")) - {
            directory / "versions" / path.name for path in (MIGRATIONS / "versions").glob("*.py")
        }
        assert second.read_text().count("pass\n") == 2
        second.unlink()
        if module.db.engine.dialect.name == "mysql":
            return  # Alembic drops an index before its table, which MariaDB refuses where a foreign key needs it
        downgrade(directory=str(directory), revision="base")
        assert set(sa.inspect(module.db.engine).get_table_names()) <= {"alembic_version"}


def test_provider_login_makes_a_user_with_a_uuid(app: Flask, module: ModuleType, oauth_provider: DevProvider) -> None:
    """An application with UUID keys could not use the package."""
    client = app.test_client()
    assert oauth_login(client, "company", "alice", provider=oauth_provider).location.endswith("/")
    assert "Good day, Alice Ardent" in client.get("/").text
    profile = client.get("/company-profile").json
    assert profile is not None
    assert profile["subject"] == oauth_provider.users["alice"].subject
    with app.app_context():
        user = module.models.db.session.scalars(sa.select(module.models.User)).one()
        assert str(user.id) == profile["user"]
        assert user.email == "alice@example.com"


def sign_in(client: FlaskClient, password: str) -> str:
    """Fill in the application's own form, with the token that stands in it."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    assert token is not None
    form = {"csrf_token": token[1], "email": "dora@example.com", "password": password}
    return client.post("/sign-in", data=form, follow_redirects=True).text


@pytest.fixture
def dora(app: Flask, module: ModuleType) -> None:
    """A user who was there before, with a password."""
    with app.app_context():
        user = module.models.User(email="dora@example.com", email_verified=True, name="Dora")
        user.set_password("a long password")
        module.models.db.session.add(user)
        module.models.db.session.commit()


@pytest.mark.usefixtures("dora")
def test_password_login_stands_beside_the_providers(app: Flask, oauth_provider: DevProvider) -> None:
    """Users who were there before could no longer come in."""
    client = app.test_client()
    assert "is wrong" in sign_in(client, "a guess")
    assert "Good day, Dora" in sign_in(client, "a long password")


@pytest.mark.usefixtures("dora")
def test_password_keeps_the_last_provider_removable(app: Flask, oauth_provider: DevProvider) -> None:
    """Who has a password could not leave their last provider."""
    client = app.test_client()
    sign_in(client, "a long password")
    json = {"Accept": "application/json"}
    token = client.get("/auth/accounts", headers=json).json["csrf_token"]  # type: ignore[index]
    started = client.post("/auth/connect/company", data={"csrf_token": token})
    client.get(oauth_provider.authorize(started.location, "carol"))
    listed = client.get("/auth/accounts", headers=json).json
    assert listed is not None
    (account,) = listed["accounts"]
    assert account["provider"] == "company"
    gone = client.post(account["disconnect_url"], data={"csrf_token": listed["csrf_token"]}, headers=json)
    assert gone.status_code == 200, gone.text
    assert client.get("/auth/accounts", headers=json).json["accounts"] == []  # type: ignore[index]


def test_pages_have_the_look_of_the_application(app: Flask) -> None:
    """Visitors would leave the site they know for pages that look like another's."""
    text = app.test_client().get("/auth/login").text
    assert 'class="brand"' in text
    assert 'class="leaf"' in text
    assert "--oa-accent: #2f6b33" in app.test_client().get("/auth/oauth-accounts.css").text
