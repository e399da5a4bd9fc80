"""The connections a user has: listed, removed, forgotten."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flask_oauth_accounts.accounts import AccountPolicy, AccountService, Visitor
from flask_oauth_accounts.accounts.connections import create_connection, summarise_revocations
from flask_oauth_accounts.errors import (
    ConnectionKeptError,
    LastLoginMethodError,
    ProviderUnavailable,
    SubjectMismatchError,
    UnknownConnectionError,
)
from flask_oauth_accounts.flow import CONNECT, RECONNECT
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import Event, IdentityRecord
from flask_oauth_accounts.tokens import StoredToken, TokenDict

TOKEN = TokenDict(access_token="at", refresh_token="rt", scope="repo", expires_at=1_700_003_600)
Make = Callable[..., Identity]


def connect(service: AccountService, user: Any, identity: Identity, **values: Any) -> IdentityRecord:
    """The user connects one more account."""
    values = {"token": TOKEN, "protocol": "oauth2", "purpose": CONNECT, "visitor": Visitor(user.id), **values}
    return service.complete(identity, **values).record


class Provider:
    """Remembers what it was asked to revoke, and answers as told."""

    def __init__(self, answer: bool | Exception | None = True) -> None:
        self.answer = answer
        self.asked: list[StoredToken] = []

    def __call__(self, token: StoredToken) -> bool | None:
        self.asked.append(token)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def user(world: Any) -> Any:
    """A user with no connection."""
    return world.add_user()


def test_the_health_of_each_connection_can_be_read(world: Any, user: Any, make_identity: Make) -> None:
    """A dead connection looks alive on the accounts page."""
    service = world.create_service()
    assert service.connections(user.id) == []
    records = [connect(service, user, make_identity(subject)) for subject in "12345"]
    world.change_token(records[1].id, status="reauth_required", last_error="invalid_grant")
    world.change_token(records[2].id, unreadable=True, token=TokenDict())
    world.change_token(records[3].id, retry_at=1_700_000_060.0, last_error="provider_unavailable")
    world.delete_token(records[4].id)
    found = service.connections(user.id)
    assert [item.record for item in found] == records
    assert [item.status for item in found] == ["active", "reauth_required", "reauth_required", "active", "no_token"]
    assert (found[0].scope, found[0].expires_at, found[0].protocol) == ("repo", 1_700_003_600, "oauth2")
    assert found[0].renewable
    assert found[1].last_error == "invalid_grant"
    assert (found[3].retry_at, found[3].last_error) == (1_700_000_060.0, "provider_unavailable")
    assert "at" not in repr(found).split()
    world.change_token(records[0].id, status="revoked")
    assert service.connections(user.id)[0].status == "revoked"


def test_a_token_that_ends_without_renewal_is_told_apart(world: Any, user: Any, make_identity: Make) -> None:
    """The page promises that a connection lasts which ends in an hour."""
    service = world.create_service()
    connect(service, user, make_identity("1"), token={"access_token": "at", "expires_at": 1_700_003_600})
    connect(service, user, make_identity("2"), token={"oauth_token": "a"}, protocol="oauth1")
    assert [item.renewable for item in service.connections(user.id)] == [False, True]


def test_a_working_token_speaks_for_a_connection_with_a_dead_one(make_identity: Make) -> None:
    """A connection that works asks to be reconnected, because an old token of it is dead."""
    record = IdentityRecord(1, 7, make_identity(), can_log_in=True)
    values = {"user_id": 7, "name": "github", "account": "1", "token": TokenDict(), "identity_id": 1}
    dead: Any = {"id": 1, "protocol": "oauth1", "status": "reauth_required", "issued_at": 30, **values}
    old: Any = {"id": 2, "protocol": "oauth2", "issued_at": 10, "scope": "old", **values}
    new: Any = {"id": 3, "protocol": "oauth2", "issued_at": 20, "scope": "new", **values}
    tokens = [StoredToken(**dead), StoredToken(**old), StoredToken(**new)]
    found = create_connection(record, tokens, can_disconnect=True)
    assert (found.status, found.scope) == ("active", "new")
    assert create_connection(record, tokens[:1], can_disconnect=True).status == "reauth_required"


@pytest.mark.parametrize(
    ("results", "summary"),
    [([], None), ([None], None), ([None, True], True), ([True, False], False), ([False, None], False)],
)
def test_one_token_that_stayed_means_not_revoked(results: list[bool | None], summary: bool | None) -> None:
    """The page says that everything was revoked while one token still works."""
    assert summarise_revocations(results) is summary


def test_the_list_takes_no_more_queries_for_more_connections(world: Any, user: Any, make_identity: Make) -> None:
    """The accounts page grows slower with each connection."""
    service = world.create_service()
    for subject in "123":
        connect(service, user, make_identity(subject))
    world.asked.calls.clear()
    assert len(service.connections(user.id)) == 3
    assert world.asked.calls == ["list_for_user", "tokens_for_user"]


def test_a_token_that_names_no_account_is_shown_and_revoked(world: Any, user: Any, make_identity: Make) -> None:
    """What another package has left would work on after the user has disconnected, and be shown nowhere."""
    service, provider = world.create_service(), Provider()
    connect(service, user, make_identity("2", name="other"))
    record = connect(service, user, make_identity())
    world.delete_token(record.id)
    world.store.save(user.id, record.name, TOKEN, protocol="oauth2", now=1)
    assert [connection.status for connection in service.connections(user.id)] == ["active", "active"]
    assert service.disconnect(user, user.id, record.id, provider).revoked is True
    assert [token.account for token in provider.asked] == [""]
    assert [token.name for token in world.store.tokens_for_user(user.id)] == ["other"]


def test_disconnecting_revokes_and_deletes(world: Any, user: Any, make_identity: Make) -> None:
    """A disconnected account can still be read with the old token, here or by whoever stole it."""
    service = world.create_service()
    keep, leave = connect(service, user, make_identity("1")), connect(service, user, make_identity("2"))
    world.notices.clear()
    provider = Provider()
    done = service.disconnect(user, user.id, str(leave.id), provider)
    assert (done.record.id, done.revoked) == (leave.id, True)
    assert [token.account for token in provider.asked] == ["2"]
    assert [record.id for record in world.identities] == [keep.id]
    assert [token.account for token in world.tokens] == ["1"]
    assert world.signals == ["token_revoked", "identity_disconnected"]
    assert world.notices[1].values == {"identity": leave.identity, "revoked": True}
    event = world.events[-1]
    assert (event.kind, event.user_id, event.account, event.error) == ("disconnect", user.id, "2", None)


@pytest.mark.parametrize(
    ("answer", "revoked"),
    [(False, False), (None, None), (ProviderUnavailable(), False), (ValueError("at-secret"), False)],
)
def test_a_provider_that_does_not_revoke_keeps_nobody_connected(
    world: Any, user: Any, make_identity: Make, caplog: pytest.LogCaptureFixture, answer: Any, revoked: bool | None
) -> None:
    """A provider that is down holds the user's connection, or the page says it was revoked when it was not."""
    caplog.set_level(logging.DEBUG)
    service = world.create_service()
    connect(service, user, make_identity("1"))
    record = connect(service, user, make_identity("2"))
    assert service.disconnect(user, user.id, record.id, Provider(answer)).revoked is revoked
    assert record.id not in [item.id for item in world.identities]
    assert world.events[-1].error == ("revocation_failed" if revoked is False else None)
    assert world.notices[-1].values["revoked"] is revoked
    assert "at-secret" not in caplog.text


def test_tokens_that_are_revoked_or_unreadable_are_not_sent(world: Any, user: Any, make_identity: Make) -> None:
    """An empty token is sent to the provider, or its failure is shown as success."""
    service = world.create_service()
    connect(service, user, make_identity("1"))
    gone, sealed = connect(service, user, make_identity("2")), connect(service, user, make_identity("3"))
    world.change_token(gone.id, status="revoked")
    world.change_token(sealed.id, unreadable=True)
    provider = Provider()
    assert service.disconnect(user, user.id, gone.id, provider).revoked is None
    assert service.disconnect(user, user.id, sealed.id, provider).revoked is False
    assert provider.asked == []


def test_e20_another_users_connection_is_unknown(world: Any, user: Any, make_identity: Make) -> None:
    """Whoever guesses an id removes somebody else's way in, or learns that it is there."""
    service = world.create_service()
    other = world.add_user()
    record = connect(service, other, make_identity())
    connect(service, user, make_identity("2"))
    provider = Provider()
    for wanted in (record.id, str(record.id), 10**9, "x", None):
        with pytest.raises(UnknownConnectionError) as caught:
            service.disconnect(user, user.id, wanted, provider)
        assert caught.value.status == 404
        assert isinstance(caught.value, LookupError)
    assert record.id in [item.id for item in world.identities]
    assert provider.asked == []


def test_the_last_way_in_stays(world: Any, user: Any, make_identity: Make) -> None:
    """A user locks themselves out with one click."""
    service = world.create_service()
    record = connect(service, user, make_identity("1"))
    api_only = connect(service, user, make_identity("2"), for_login=False)
    assert [item.can_disconnect for item in service.connections(user.id)] == [False, True]
    provider = Provider()
    with pytest.raises(LastLoginMethodError):
        service.disconnect(user, user.id, record.id, provider)
    assert provider.asked == []
    service.disconnect(user, user.id, api_only.id, provider)
    assert [record.id for record in world.identities] == [record.id]


def test_a_user_with_another_way_in_may_remove_the_last(world: Any, user: Any, make_identity: Make) -> None:
    """A user with a password is told that their only way in would be lost."""

    class WithPasswords(AccountPolicy):
        def has_other_way_in(self, user: Any) -> bool:
            return True

    class Keeping(AccountPolicy):
        def may_disconnect(self, user: Any, record: IdentityRecord) -> bool:  # type: ignore[override]
            return False

    record = connect(world.create_service(), user, make_identity())
    keeping = world.create_service(Keeping())
    assert not keeping.connections(user.id)[0].can_disconnect
    with pytest.raises(LastLoginMethodError):
        keeping.disconnect(user, user.id, record.id, Provider())
    world.create_service(WithPasswords()).disconnect(user, user.id, record.id, Provider())
    assert world.identities == []


def test_a_connection_that_vanished_meanwhile_is_unknown(world: Any, user: Any, make_identity: Make) -> None:
    """A double click ends in an internal error, or is reported twice as done."""
    service = world.create_service()
    connect(service, user, make_identity("1"))
    record = connect(service, user, make_identity("2"))
    world.notices.clear()

    def revoke(_: StoredToken) -> bool:
        world.store.delete_identity(record.id, user.id, event=Event("disconnect", "success"))
        return True

    with pytest.raises(UnknownConnectionError):
        service.disconnect(user, user.id, record.id, revoke)
    assert world.notices == []


def test_of_two_last_ways_in_one_stays_whoever_is_faster(any_world: Any, make_identity: Make) -> None:
    """Two clicks at once remove both ways in, and the user is locked out for ever."""
    service, user = any_world.create_service(), any_world.add_user()
    records = [connect(service, user, make_identity(subject)) for subject in "12"]
    barrier = threading.Barrier(2)

    def revoke(_: StoredToken) -> bool:
        barrier.wait()  # both have been allowed by now
        return True

    def disconnect(record: IdentityRecord) -> str:
        try:
            service.disconnect(user, user.id, record.id, revoke)
        except LastLoginMethodError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(disconnect, records)) == ["done", "last_login_method"]
    [kept] = service.connections(user.id)
    assert kept.record.can_log_in
    assert kept.status == "revoked", "it was revoked at the provider, and says so"
    assert any_world.signals.count("identity_disconnected") == 1


def test_a_policy_that_lets_the_last_way_in_go_is_obeyed(world: Any, user: Any, make_identity: Make) -> None:
    """An application that deletes users by disconnecting them is contradicted by the database."""

    class Generous(AccountPolicy):
        def may_disconnect(self, user: Any, record: IdentityRecord) -> bool:  # type: ignore[override]
            return True

    service = world.create_service(Generous())
    for record in [connect(service, user, make_identity(subject)) for subject in "12"]:
        service.disconnect(user, user.id, record.id, Provider())
    assert world.identities == []


def test_an_account_that_a_policy_keeps_is_not_called_the_only_way_in(
    world: Any, user: Any, make_identity: Make
) -> None:
    """Somebody with several ways in is told to connect another one first, and is refused again when they have."""

    class Keeps(AccountPolicy):
        def may_disconnect(self, user: Any, record: IdentityRecord) -> bool:  # type: ignore[override]
            return False

    service = world.create_service(Keeps())
    api_only = connect(service, user, make_identity("2"), for_login=False)
    with pytest.raises(ConnectionKeptError):
        service.disconnect(user, user.id, api_only.id, Provider())
    record = connect(service, user, make_identity("1"))
    for kept, error in ((record, LastLoginMethodError), (api_only, ConnectionKeptError)):
        with pytest.raises(error):
            service.disconnect(user, user.id, kept.id, Provider())
    connect(service, user, make_identity("3"))
    with pytest.raises(ConnectionKeptError):
        service.disconnect(user, user.id, record.id, Provider())
    assert len(service.connections(user.id)) == 3


def test_two_clients_of_one_provider_are_two_connections(any_world: Any, make_identity: Make) -> None:
    """A user disconnects the one they no longer want, and the other one stops working, or no longer logs in."""
    service = any_world.create_service()
    user = service.complete(make_identity(), token=TOKEN, protocol="oauth2").user
    work = make_identity(name="work")
    again = service.complete(work, token=TOKEN, protocol="oauth2")
    assert (again.kind, again.user_id) == ("login", user.id)
    found = service.connections(user.id)
    assert [(item.record.identity.name, item.status, item.can_disconnect) for item in found] == [
        ("github", "active", True),
        ("work", "active", True),
    ]
    provider = Provider()
    service.disconnect(user, user.id, found[0].record.id, provider)
    assert [token.name for token in provider.asked] == ["github"]
    [left] = service.connections(user.id)
    assert (left.record.identity.name, left.status, left.can_disconnect) == ("work", "active", False)
    assert service.complete(work, token=TOKEN, protocol="oauth2").user_id == user.id
    assert service.complete(make_identity(), token=TOKEN, protocol="oauth2").user_id == user.id


def test_a_second_client_for_its_api_only_is_no_way_in(any_world: Any, make_identity: Make) -> None:
    """A client that is connected for its API becomes a login, because another client of the provider is one."""
    service = any_world.create_service()
    user = service.complete(make_identity(), token=TOKEN, protocol="oauth2").user
    any_world.notices.clear()
    work = make_identity(name="work")
    for _ in range(2):
        assert not connect(service, user, work, for_login=False).can_log_in
    assert any_world.signals == ["identity_connected"]
    login, api = service.connections(user.id)
    assert (login.can_disconnect, api.can_disconnect) == (False, True)
    visitor = Visitor(user.id)
    again = service.complete(
        work, token=TOKEN, protocol="oauth2", purpose=RECONNECT, visitor=visitor, subject="1", for_login=True
    )
    assert (again.record.id, again.record.can_log_in) == (api.record.id, False)
    assert connect(service, user, work).can_log_in
    assert [item.can_disconnect for item in service.connections(user.id)] == [True, True]


def test_reconnecting_one_client_makes_no_connection_of_another(world: Any, make_identity: Make) -> None:
    """A plain link connects a client that the user has disconnected, because another one has the same account."""
    service = world.create_service()
    user = service.complete(make_identity(), token=TOKEN, protocol="oauth2").user
    with pytest.raises(SubjectMismatchError):
        service.complete(
            make_identity(name="work"),
            token=TOKEN,
            protocol="oauth2",
            purpose=RECONNECT,
            visitor=Visitor(user.id),
            subject="1",
        )
    assert len(world.identities) == 1


def test_forgetting_a_user_revokes_and_deletes_everything(world: Any, user: Any, make_identity: Make) -> None:
    """A deleted user's grants live on at the provider, or their tokens in the database."""
    service = world.create_service()
    other = world.add_user()
    kept = connect(service, other, make_identity("9"))
    for subject in "123":
        connect(service, user, make_identity(subject))
    world.notices.clear()
    answers = iter((True, False, None))
    done = service.forget_user(user.id, lambda token: next(answers))
    assert (done.connections, done.tokens, done.revoked, done.not_revoked) == (3, 3, 1, 1)
    assert [record.id for record in world.identities] == [kept.id]
    assert [token.user_id for token in world.tokens] == [other.id]
    assert world.signals == ["token_revoked", *["identity_disconnected"] * 3]
    assert world.events[-1].kind == "forget"
