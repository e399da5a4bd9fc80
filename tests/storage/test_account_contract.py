"""What every account store does, in memory and in a database, so that tests on the first can be trusted."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import ConcurrentLogin, Event, IdentityRecord
from flask_oauth_accounts.storage.memory import MemoryStore

NOW = 1_700_000_000.0
TOKEN = {"access_token": "access", "refresh_token": "refresh", "expires_in": 3600}
ANN = Identity("hub", "https://hub.example", "42", email="Ann@Example.com", email_verified=True)
DISCONNECT = Event("disconnect", "success", "hub")


@dataclass
class Side:
    """A store, and how a user is made for it."""

    store: Any
    create_user: Callable[..., Any]

    def login(self, identity: Identity = ANN, *, kind: str = "login", **values: Any) -> tuple[IdentityRecord, Any]:
        values = {"protocol": "oauth2", "token": TOKEN, "requested_scope": "read", "now": NOW, **values}
        result: tuple[IdentityRecord, Any] = self.store.record_login(identity, kind=kind, **values)
        return result

    def sign_up(self, identity: Identity = ANN, **user: Any) -> tuple[IdentityRecord, Any]:
        return self.login(identity, kind="signup", new_user=self.create_user(**user))


@pytest.fixture(params=["memory", "sqlite"])
def side(request: pytest.FixtureRequest, make_host: Callable[..., Any]) -> Side:
    if request.param == "memory":
        empty = {"id": None, "email": None, "email_verified": None, "name": None}
        return Side(MemoryStore(unique=("name",)), lambda **values: types.SimpleNamespace(**{**empty, **values}))
    host = make_host(request.getfixturevalue("sqlite_url"))
    return Side(host.store, host.user_model)


def test_sign_up_and_come_back(side: Side) -> None:
    """A returning visitor becomes a second user."""
    record, user = side.sign_up(name="ann")
    assert side.store.find(ANN) == record
    assert (record.user_id, record.can_log_in, record.created_at, record.last_login_at) == (user, True, NOW, NOW)
    renamed = dataclasses.replace(ANN, username="annie")
    again, same = side.login(renamed, user_id=user, record=record, now=NOW + 5)
    assert (again.id, same, again.identity.username) == (record.id, user, "annie")
    assert (again.created_at, again.last_login_at) == (NOW, NOW + 5)
    assert side.store.list_for_user(user) == [again]
    assert side.store.find_connection(user, "hub", "42") == again
    assert side.store.find_identity(record.id, user) == again
    stored = side.store.load(user, "hub", protocol="oauth2")
    assert (stored.account, stored.identity_id, stored.requested_scope) == ("42", record.id, "read")


def test_of_two_first_logins_one_wins(side: Side) -> None:
    """One provider account belongs to two users."""
    side.sign_up()
    with pytest.raises(ConcurrentLogin):
        side.sign_up()
    record, _ = side.sign_up(dataclasses.replace(ANN, subject="43"), name="taken")
    with pytest.raises(ConcurrentLogin):
        side.sign_up(dataclasses.replace(ANN, subject="44"), name="taken")
    side.store.delete_identity(record.id, record.user_id, event=DISCONNECT)
    with pytest.raises(ConcurrentLogin):
        side.login(record.identity, user_id=record.user_id, record=record)


def test_connection_for_its_api_is_no_way_to_log_in(side: Side) -> None:
    """A connection that was meant for its API lets somebody in."""
    record, user = side.sign_up()
    other = dataclasses.replace(ANN, subject="43")
    connected, _ = side.login(other, kind="connect", user_id=user, can_log_in=False, now=NOW + 9)
    assert side.store.find(other) is None
    assert connected.last_login_at is None
    # Connecting is no login: the account last logged in with stays the usual one.
    assert side.store.load(user, "hub", protocol="oauth2").account == "42"
    assert side.store.set_login_key(connected.id, user, other.login_key)
    assert side.store.find(other).id == connected.id
    assert side.store.set_login_key(connected.id, user, None)
    assert side.store.find(other) is None
    assert not side.store.set_login_key(record.id, user + 1, None)


def test_disconnect_takes_the_tokens_along(side: Side) -> None:
    """A connection that is gone can still be used."""
    record, user = side.sign_up()
    side.login(dataclasses.replace(ANN, subject="43"), kind="connect", user_id=user)
    assert not side.store.delete_identity(record.id, user + 1, event=DISCONNECT)
    assert side.store.delete_identity(record.id, user, event=DISCONNECT)
    assert side.store.find(ANN) is None
    assert [token.account for token in side.store.tokens_for_user(user)] == ["43"]
    assert side.store.tokens_for_identity(record.id) == []


def test_forgetting_a_user_leaves_nothing(side: Side) -> None:
    """Somebody who asked to be forgotten is not."""
    _, user = side.sign_up()
    side.store.save(user, "other", {"oauth_token": "a", "oauth_token_secret": "b"}, protocol="oauth1", now=NOW)
    assert len(side.store.tokens_for_user(user)) == 2
    assert side.store.delete_for_user(user, event=Event("forget", "success")) == 3
    assert side.store.tokens_for_user(user) == []
    assert list(side.store.list_for_user(user)) == []


def test_addresses_compare_without_case(side: Side) -> None:
    """Somebody signs up a second time because the address was written differently."""
    side.sign_up(email="Own@Example.com", email_verified=True, name="ann")
    for email in ("own@example.com", "ann@EXAMPLE.com"):
        assert side.store.email_is_taken(email)
    assert not side.store.email_is_taken("nobody@example.com")
    unverified = dataclasses.replace(ANN, subject="43", email="un@example.com", email_verified=None)
    side.sign_up(unverified)
    assert not side.store.email_is_taken("un@example.com")
    user = side.store.find(ANN).user_id
    assert side.store.find_verified_user("OWN@example.com") == user
    assert side.store.find_verified_user("ann@example.com") is None
    assert not side.store.user_value_is_free("name", "ann")
    assert side.store.user_value_is_free("name", "bob")


def test_revoked_and_deleted_tokens(side: Side) -> None:
    """A token that was revoked at the provider is used again."""
    _, user = side.sign_up()
    stored = side.store.load(user, "hub", protocol="oauth2")
    assert side.store.mark_revoked(stored)
    revoked = side.store.reload(stored)
    assert revoked.status == "revoked"
    assert "access_token" not in revoked.token
    assert "refresh_token" not in revoked.token
    assert not side.store.mark_revoked(stored)
    assert side.store.delete_token(revoked)
    assert side.store.reload(stored) is None
    assert not side.store.delete_token(revoked)


def test_tokens_are_found_for_upkeep(side: Side) -> None:
    """A cron job refreshes the wrong tokens, or none."""
    _, user = side.sign_up()
    side.store.save(user, "other", {"access_token": "a", "expires_in": 60}, protocol="oauth2", now=NOW)
    side.store.save(user, "never", {"access_token": "a"}, protocol="oauth2", now=NOW)

    def names(**wanted: Any) -> list[str]:
        return [token.name for token in side.store.iter_tokens(**wanted)]

    assert names() == ["hub", "other", "never"]
    assert names(expiring_before=NOW + 100) == ["other"]
    assert names(status="active", name="hub", user_id=user) == ["hub"]
    assert names(status="revoked") == []
    assert names(protocol="oauth1") == []
