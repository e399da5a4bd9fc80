"""``flask oauth db`` on real applications of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_caching import Cache
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_oauth_accounts import OAuth, OAuthAccounts, oauth_bp


@pytest.fixture
def shipped(tmp_path: Path) -> Iterator[Flask]:
    """Way A, with migrations by hand."""
    app = Flask("shipped", instance_path=str(tmp_path / "100% instance"))
    app.config.update(SECRET_KEY="x" * 32, GITHUB_CLIENT_ID="id", GITHUB_CLIENT_SECRET="secret")
    app.config["OAUTH_ACCOUNTS_AUTO_MIGRATE"] = False
    app.register_blueprint(oauth_bp)
    yield app
    with app.app_context():
        app.extensions["sqlalchemy"].engine.dispose()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Flask]:
    """Way B: the application's own users."""

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class User(db.Model):  # type: ignore[name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)

    oauth = OAuth()
    accounts = OAuthAccounts(oauth, db=db, user_model=User)
    app = Flask("own", instance_path=str(tmp_path / "own"))
    app.config.update(SECRET_KEY="x" * 32, SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'own.db'}")
    app.config["CACHE_TYPE"] = "SimpleCache"
    db.init_app(app)
    LoginManager(app)
    Cache(app)
    accounts.init_app(app)
    yield app
    with app.app_context():
        db.engine.dispose()


def run(app: Flask, *words: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["oauth", "db", *words])
    return result.exit_code, result.output


def test_the_shipped_tables_go_up_and_down(shipped: Flask) -> None:
    """An operator could not update the tables, or not see whether that is needed."""
    assert run(shipped, "current") == (0, "none (newest: oa0001)\n")
    code, output = run(shipped, "check")
    assert code == 1
    assert "flask oauth db upgrade" in output
    assert run(shipped, "upgrade") == (0, "The tables are of revision oa0001.\n")
    assert run(shipped, "check") == (0, "The tables are up to date.\n")
    assert run(shipped, "downgrade", "base", "--yes") == (0, "The tables are of revision none.\n")
    assert run(shipped, "stamp") == (0, "The tables count as of revision oa0001.\n")
    code, output = run(shipped, "check")
    assert code == 1
    assert "add table oauth_user" in output


def test_tables_that_no_migration_has_made_are_told_apart(shipped: Flask) -> None:
    """An operator would be told that the database does not answer, and look for a fault that is not there."""
    with shipped.app_context():
        shipped.extensions["sqlalchemy"].create_all()
    code, output = run(shipped, "upgrade")
    assert code == 1
    assert "run `flask oauth db stamp` once" in output
    assert run(shipped, "stamp")[0] == 0
    assert run(shipped, "upgrade")[0] == 0
    assert run(shipped, "check") == (0, "The tables are up to date.\n")


@pytest.mark.parametrize("words", [("upgrade", "nope"), ("downgrade", "nope", "--yes"), ("stamp", "nope")])
def test_an_unknown_revision_is_said(shipped: Flask, words: tuple[str, ...]) -> None:
    """A typing error would end in a page of traceback."""
    run(shipped, "upgrade")
    code, output = run(shipped, *words)
    assert code == 1
    assert "nope" in output
    assert "up to oa0001" in output
    assert run(shipped, "current")[1].startswith("oa0001 ")


def test_an_own_user_model_is_sent_to_its_own_migrations(own: Flask) -> None:
    """Tables of the wrong kind would be created beside the application's own."""
    for words in (("upgrade",), ("downgrade", "base", "--yes"), ("stamp",), ("current",)):
        code, output = run(own, *words)
        assert code == 1
        assert "flask db upgrade" in output
    with own.app_context():
        assert sa.inspect(own.extensions["sqlalchemy"].engine).get_table_names() == []


def test_own_tables_can_be_checked(own: Flask) -> None:
    """A forgotten migration would show as an error page at the first login."""
    code, output = run(own, "check")
    assert code == 1
    assert "add table oauth2_token" in output
    with own.app_context():
        own.extensions["sqlalchemy"].create_all()
    assert run(own, "check") == (0, "The tables are up to date.\n")
