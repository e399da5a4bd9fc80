"""Keys from elsewhere, and the health of connections as an application reads it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_oauth_accounts import OAuth, OAuthAccounts
from flask_oauth_accounts.testing import DevProvider
from flask_oauth_accounts.vault.keys import Key

Make = Callable[..., tuple[Flask, OAuthAccounts, Any]]


class Service:
    """A key management service as the package sees it."""

    def __init__(self) -> None:
        self.ring = [Key("kms-1", secrets.token_bytes(32))]

    def keys(self) -> Sequence[Key]:
        """The keys of the moment, the one that seals first."""
        return tuple(self.ring)


@pytest.fixture
def make(oauth_provider: DevProvider, tmp_path: Path) -> Iterator[Make]:
    """Build applications of way B, with one user."""
    built: list[Flask] = []

    def build(**options: Any) -> tuple[Flask, OAuthAccounts, Any]:
        class Base(DeclarativeBase):
            pass

        db = SQLAlchemy(model_class=Base)

        class User(UserMixin, db.Model):  # type: ignore[name-defined,misc]
            id: Mapped[int] = mapped_column(primary_key=True)

        app = Flask(__name__, instance_path=str(tmp_path))
        app.config.update(SECRET_KEY=secrets.token_hex(16), TESTING=True)
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path}/own.db"
        oauth = OAuth()
        accounts = OAuthAccounts(oauth, db=db, user_model=User, **options)
        oauth.register("dev", **oauth_provider.register_kwargs("oauth2"))
        db.init_app(app)
        accounts.init_app(app)
        built.append(app)
        with app.app_context():
            db.create_all()
            user = User()
            db.session.add(user)
            db.session.commit()
            return app, accounts, user.id

    yield build
    for app in built:
        with app.app_context():
            state = app.extensions["flask_oauth_accounts"]
            state.accounts.store.dispose()
            state.accounts.db.engine.dispose()


def test_a_key_provider_goes_before_configured_keys(make: Make) -> None:
    """Whoever must keep keys in a key management service could not use the package."""
    service = Service()
    app, accounts, user_id = make(key_provider=service)
    with app.app_context():
        accounts.update_token("dev", {"access_token": "first-token"}, user_id)
        sealed = accounts.db.session.execute(sa.text("select access_token from oauth2_token")).scalar_one()
        assert sealed.split(".")[1] == "kms-1"
        service.ring.insert(0, Key("kms-2", secrets.token_bytes(32)))
        token = accounts.fetch_token("dev", user_id)
        assert token is not None
        assert token["access_token"] == "first-token"
        accounts.update_token("dev", {"access_token": "second-token"}, user_id)
        accounts.db.session.rollback()
        sealed = accounts.db.session.execute(sa.text("select access_token from oauth2_token")).scalar_one()
        assert sealed.split(".")[1] == "kms-2"


def test_update_token_keeps_to_the_account_in_use(make: Make) -> None:
    """An application that stores a renewed token itself would get a second row beside the connected account's."""
    app, accounts, user_id = make()
    with app.app_context():
        accounts.update_token("dev", {"access_token": "first-token"}, user_id, account="4711")
        accounts.update_token("dev", {"access_token": "second-token"}, user_id)
        rows = accounts.db.session.execute(sa.text("select account from oauth2_token")).scalars().all()
        assert rows == ["4711"]
        token = accounts.fetch_token("dev", user_id)
        assert token is not None
        assert token["access_token"] == "second-token"


def test_connections_tell_their_health(make: Make) -> None:
    """An application could not warn its users of a dead connection without looking into the tables."""
    app, accounts, user_id = make()
    with app.app_context():
        state = app.extensions["flask_oauth_accounts"]
        identity = _identity()
        state.accounts.service.complete(
            identity,
            token={"access_token": "t", "refresh_token": "r", "expires_in": 60, "expires_at": 4_102_444_800},
            protocol="oauth2",
            purpose="connect",
            visitor=_visitor(user_id),
        )
        (connection,) = accounts.connections(user_id)
        assert (connection.status, connection.record.identity.subject) == ("active", "4711")
        stored = state.accounts.vault.load(user_id, "dev", protocol="oauth2")
        state.accounts.store.mark_reauth_required(stored, error="invalid_grant")
        (connection,) = accounts.connections(user_id)
        assert (connection.status, connection.last_error) == ("reauth_required", "invalid_grant")
        assert accounts.connections() == []


def _identity() -> Any:
    from flask_oauth_accounts import Identity

    return Identity("dev", "https://dev.example.com", "4711")


def _visitor(user_id: Any) -> Any:
    from flask_oauth_accounts.accounts import Visitor

    return Visitor(user_id)
