"""What every account store does, in memory and in a database, so that tests on the first can be trusted."""

from __future__ import annotations

import dataclasses
import threading
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from flask_oauth_accounts.errors import LastLoginMethodError, OAuthError
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


def create_memory_side() -> Side:
    empty = {"id": None, "email": None, "email_verified": None, "name": None}
    return Side(MemoryStore(unique=("name",)), lambda **values: types.SimpleNamespace(**{**empty, **values}))


@pytest.fixture(params=["memory", "sqlite"])
def side(request: pytest.FixtureRequest, make_host: Callable[..., Any]) -> Side:
    if request.param == "memory":
        return create_memory_side()
    host = make_host(request.getfixturevalue("sqlite_url"))
    return Side(host.store, host.user_model)


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mariadb"])
def any_side(request: pytest.FixtureRequest, make_kind: Callable[[str], Any]) -> Side:
    """Every store, for what a database decides."""
    if request.param == "memory":
        return create_memory_side()
    host = make_kind(request.param)
    return Side(host.store, host.user_model)


def run_together(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions at once; an error of this package counts by its code."""
    barrier = threading.Barrier(len(functions))

    def run(function: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return function()
        except OAuthError as error:
            return error.code

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


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
    _, user = side.sign_up()
    other = dataclasses.replace(ANN, subject="43")
    connected, _ = side.login(other, kind="connect", user_id=user, can_log_in=False, now=NOW + 9)
    assert side.store.find(other) is None
    assert connected.last_login_at is None
    # Connecting is no login: the account last logged in with stays the usual one.
    assert side.store.load(user, "hub", protocol="oauth2").account == "42"
    side.login(other, kind="connect", user_id=user, record=connected)
    assert side.store.find(other).id == connected.id


def test_disconnect_takes_the_tokens_along(side: Side) -> None:
    """A connection that is gone can still be used."""
    record, user = side.sign_up()
    side.login(dataclasses.replace(ANN, subject="43"), kind="connect", user_id=user)
    assert not side.store.delete_identity(record.id, user + 1, event=DISCONNECT)
    assert side.store.delete_identity(record.id, user, event=DISCONNECT)
    assert side.store.find(ANN) is None
    assert [token.account for token in side.store.tokens_for_user(user)] == ["43"]
    assert side.store.tokens_for_identity(record.id) == []


def test_tokens_that_name_no_account_go_with_the_last_connection_of_their_client(side: Side) -> None:
    """A user who has disconnected every account is still spoken for by a token that no page shows."""
    first, user = side.sign_up()
    second, _ = side.login(dataclasses.replace(ANN, subject="43"), kind="connect", user_id=user)
    other, _ = side.login(dataclasses.replace(ANN, name="work"), record=side.store.find(ANN))
    for name in ("hub", "work"):
        side.store.save(user, name, {"access_token": "nameless"}, protocol="oauth2", now=NOW)
    for record, left in (
        (first, {"hub 43", "hub ", "work 42", "work "}),
        (second, {"work 42", "work "}),
        (other, set()),
    ):
        assert side.store.delete_identity(record.id, user, event=DISCONNECT)
        assert {f"{token.name} {token.account}" for token in side.store.tokens_for_user(user)} == left


WORK = dataclasses.replace(ANN, name="work")


def test_each_client_of_one_provider_is_a_connection_of_its_own(any_side: Side) -> None:
    """Two registrations at one provider share a row: one cannot be disconnected without the other."""
    side = any_side
    record, user = side.sign_up()
    second, same = side.login(WORK, record=side.store.find(WORK), now=NOW + 1)
    assert same == user
    assert second.id != record.id
    assert (second.can_log_in, second.last_login_at, second.identity) == (True, NOW + 1, WORK)
    assert side.store.list_for_user(user) == [record, second]
    assert side.store.find(ANN) == record
    assert side.store.find(WORK) == second
    again, _ = side.login(WORK, record=second, now=NOW + 2)
    assert again.id == second.id
    assert [token.name for token in side.store.tokens_for_identity(record.id)] == ["hub"]
    assert [token.name for token in side.store.tokens_for_identity(second.id)] == ["work"]


@pytest.mark.parametrize("first", [True, False])
def test_disconnecting_one_client_leaves_the_way_in_by_the_other(any_side: Side, first: bool) -> None:
    """Whoever disconnects the client they came by first is a stranger by the other one, and loses the account."""
    side = any_side
    record, user = side.sign_up()
    second, _ = side.login(WORK, record=record)
    gone, kept = (record, second) if first else (second, record)
    assert side.store.delete_identity(gone.id, user, event=DISCONNECT, keep_a_login=True)
    for identity in (ANN, WORK):
        assert side.store.find(identity) == kept
    assert [token.name for token in side.store.tokens_for_user(user)] == [kept.identity.name]
    with pytest.raises(LastLoginMethodError):
        side.store.delete_identity(kept.id, user, event=DISCONNECT, keep_a_login=True)
    back, same = side.login(gone.identity, record=side.store.find(gone.identity))
    assert (same, back.can_log_in) == (user, True)
    with pytest.raises(ConcurrentLogin):
        side.sign_up(WORK)


def test_a_connection_for_its_api_inherits_no_way_in(any_side: Side) -> None:
    """Disconnecting the account that logs in turns one that was meant for its API into a key to the house."""
    side = any_side
    record, user = side.sign_up()
    api, _ = side.login(WORK, kind="connect", user_id=user, record=record, can_log_in=False)
    assert (api.can_log_in, api.identity.name) == (False, "work")
    assert side.store.find(WORK) == record
    with pytest.raises(LastLoginMethodError):
        side.store.delete_identity(record.id, user, event=DISCONNECT, keep_a_login=True)
    assert side.store.delete_identity(api.id, user, event=DISCONNECT, keep_a_login=True)
    api, _ = side.login(WORK, kind="connect", user_id=user, record=record, can_log_in=False)
    assert side.store.delete_identity(record.id, user, event=DISCONNECT)
    assert side.store.find(ANN) is None
    assert side.store.find(WORK) is None
    upgraded, _ = side.login(WORK, kind="connect", user_id=user, record=api)
    assert upgraded.can_log_in
    assert side.store.find(ANN) == upgraded


def test_an_api_connection_becomes_a_login_beside_another_client(any_side: Side) -> None:
    """Connecting an account as a login that another client of the provider logs in with already fails for ever."""
    side = any_side
    record, user = side.sign_up()
    for given in ("the connection", "that of the other client"):
        api, _ = side.login(WORK, kind="connect", user_id=user, record=record, can_log_in=False)
        known = api if given == "the connection" else record
        upgraded, _ = side.login(WORK, kind="connect", user_id=user, record=known)
        assert (upgraded.id, upgraded.can_log_in) == (api.id, True)
        assert side.store.find(WORK).id == api.id
        assert side.store.delete_identity(api.id, user, event=DISCONNECT)
        assert side.store.find(WORK) == record
    api, _ = side.login(WORK, kind="connect", user_id=user, record=record)
    assert side.store.delete_identity(record.id, user, event=DISCONNECT)
    assert side.store.find(ANN).id == api.id


def test_two_users_may_connect_one_account_for_its_api(any_side: Side) -> None:
    """A team that shares an account of a service can use it for one of its members only."""
    side = any_side
    users = [side.sign_up(dataclasses.replace(ANN, subject=subject))[1] for subject in ("1", "2")]
    shared = [side.login(ANN, kind="connect", user_id=user, can_log_in=False)[0] for user in users]
    assert [record.user_id for record in shared] == users
    assert side.store.find(ANN) is None
    owned, _ = side.login(ANN, kind="connect", user_id=users[0], record=shared[0])
    assert side.store.find(ANN) == owned
    # It logs one of them in, and never the other.
    with pytest.raises(ConcurrentLogin):
        side.login(ANN, kind="connect", user_id=users[1], record=shared[1])
    with pytest.raises(ConcurrentLogin):
        side.login(WORK, kind="connect", user_id=users[1], record=owned)
    assert side.store.list_for_user(users[1])[1] == shared[1]
    assert side.store.load(users[1], "hub", ANN.subject, protocol="oauth2") is not None


def test_a_client_that_moves_to_another_issuer_leaves_the_others_their_way_in(any_side: Side) -> None:
    """One client is pointed to a new address of the provider, and who logs in by the other is locked out."""
    side = any_side
    record, user = side.sign_up()
    second, _ = side.login(WORK, record=record)
    moved = dataclasses.replace(ANN, issuer="https://new.example")
    side.login(moved, kind="connect", user_id=user, record=record)
    assert side.store.find(moved).id == record.id
    assert side.store.find(WORK) == second
    assert side.store.find(ANN) == second


@pytest.mark.parametrize("_", range(3))
def test_of_two_last_logins_one_stays_however_fast_they_are_deleted(any_side: Side, _: int) -> None:
    """A double click on two pages locks a user out of the account for ever."""
    store = any_side.store
    record, user = any_side.sign_up()
    other, _user = any_side.login(dataclasses.replace(ANN, subject="43"), kind="connect", user_id=user)
    outcomes = run_together(
        lambda: store.delete_identity(record.id, user, event=DISCONNECT, keep_a_login=True),
        lambda: store.delete_identity(other.id, user, event=DISCONNECT, keep_a_login=True),
    )
    assert sorted(map(str, outcomes)) == ["True", "last_login_method"]
    assert len(store.list_for_user(user)) == 1


@pytest.mark.parametrize("_", range(3))
def test_a_login_by_a_second_client_survives_the_end_of_the_first(any_side: Side, _: int) -> None:
    """A login in the moment of a disconnect leaves a user behind whom no login finds any more."""
    store = any_side.store
    record, user = any_side.sign_up()
    run_together(
        lambda: store.delete_identity(record.id, user, event=DISCONNECT),
        lambda: any_side.login(WORK, record=record),
    )
    assert [item.can_log_in for item in store.list_for_user(user)] == [True]
    assert store.find(ANN).user_id == user


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


def test_an_address_is_that_of_the_users_by_whom_it_is_taken(any_side: Side) -> None:
    """A login that waits for the owner of an address is handed to somebody else, or its owner is not known."""
    _, user = any_side.sign_up(email="Own@Example.com", name="ann")
    unverified = dataclasses.replace(ANN, subject="43", email="un@example.com", email_verified=None)
    _, other = any_side.sign_up(unverified, email="bob@example.com", name="bob")
    for email in ("own@example.com", "ann@EXAMPLE.com"):
        assert any_side.store.owns_email(user, email)
        assert not any_side.store.owns_email(other, email)
    assert any_side.store.owns_email(other, "bob@example.com")
    assert not any_side.store.owns_email(other, "un@example.com")
    assert not any_side.store.owns_email("no such key", "own@example.com")


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
