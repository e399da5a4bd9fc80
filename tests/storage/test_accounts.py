"""Identities, users and events in the database: all or nothing, few statements, and races that end well."""

from __future__ import annotations

import dataclasses
import re
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_oauth_accounts.errors import ConfigurationError, StorageUnavailable
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import ConcurrentLogin, Event, IdentityRecord
from flask_oauth_accounts.storage.models import define_models
from flask_oauth_accounts.storage.sqlalchemy import SQLAlchemyStore
from flask_oauth_accounts.vault.keys import Key, KeyRing

NOW = 1_700_000_000.0
ANN = Identity(
    "github",
    "https://github.com",
    "42",
    email="Ann@Example.com",
    email_verified=True,
    username="ann",
    display_name="Ann 🦊",
    avatar_url="https://example.com/a.png",
    raw={"login": "ann", "nested": {"x": [1, None, "é"]}},
)
TOKEN = {"access_token": "access", "refresh_token": "refresh", "expires_in": 3600, "scope": "read"}


def login(host: Any, identity: Identity = ANN, *, kind: str = "login", **values: Any) -> tuple[IdentityRecord, Any]:
    values = {"protocol": "oauth2", "token": TOKEN, "requested_scope": "read write", "now": NOW, **values}
    result: tuple[IdentityRecord, Any] = host.store.record_login(identity, kind=kind, **values)
    return result


def sign_up(host: Any, identity: Identity = ANN, **values: Any) -> tuple[IdentityRecord, Any]:
    return login(host, identity, kind="signup", new_user=host.user_model(**values))


@contextmanager
def counted(host: Any) -> Iterator[list[str]]:
    """The statements that the store sends."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    engine = host.store.transactions.engines.get()
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def test_a_first_login_writes_user_identity_token_and_event(host: Any) -> None:
    """A new visitor would end up with half an account."""
    record, user = sign_up(host, email="ann@example.com", name="ann")
    assert host.scalar("SELECT name FROM users WHERE id = :id", id=user) == "ann"
    found = host.store.find(ANN)
    assert found == record
    assert found.identity == ANN
    assert found.identity.raw == ANN.raw
    assert (found.user_id, found.can_log_in, found.created_at, found.last_login_at) == (user, True, NOW, NOW)
    stored = host.store.load(user, "github", protocol="oauth2")
    assert (stored.account, stored.identity_id, stored.requested_scope) == ("42", record.id, "read write")
    (event,) = host.store.list_events(user_id=user)
    assert event.event == Event("signup", "success", "github", user, record.id, "42")
    assert host.store.list_for_user(user) == [record]
    assert host.store.find_connection(user, "github", "42") == record


def test_a_returning_user_costs_three_or_four_statements(host: Any) -> None:
    """Every login would be slower than it need be."""
    _, user = sign_up(host)
    with counted(host) as sent:
        record = host.store.find(ANN)
        assert len(sent) == 1
        updated, owner = login(host, record=record, token={"access_token": "new"}, now=NOW + 9)
        assert len(sent) - 1 <= (4 if host.engine.dialect.name == "mysql" else 3), sent
    assert owner == user
    assert (updated.last_login_at, updated.created_at) == (NOW + 9, NOW)
    with counted(host) as sent:
        stored = host.store.load(user, "github", protocol="oauth2")
        assert len(sent) == 1
    assert (stored.token["access_token"], stored.token["refresh_token"]) == ("new", "refresh")
    work = dataclasses.replace(ANN, name="work")
    login(host, work, record=updated)
    with counted(host) as sent:
        login(host, work, record=host.store.find(work))
        assert len(sent) <= (5 if host.engine.dialect.name == "mysql" else 4), sent


def test_a_login_brings_the_profile_up_to_date(host: Any) -> None:
    """Pages would show a name and an address that the user gave up long ago."""
    record, _ = sign_up(host)
    changed = Identity(
        "github", ANN.issuer, "42", email=None, display_name="Ann B.", raw={"n": float("nan"), "z": "\0"}
    )
    login(host, changed, record=record, now=NOW + 1)
    found = host.store.find(ANN)
    assert (found.id, found.identity.email, found.identity.email_verified) == (record.id, None, None)
    assert (found.identity.display_name, found.identity.username) == ("Ann B.", None)
    assert found.identity.raw == {"n": None, "z": ""}


@pytest.mark.parametrize(
    "odd",
    [
        {"email": "x" * 400 + "@example.com"},
        {"display_name": "n" * 5000, "username": "u" * 5000},
        {"display_name": "a\0b\ud800c\n"},
        {"avatar_url": "https://example.com/" + "a" * 9000, "profile_url": "https://example.com/\0"},
        {"email_verified": "true"},
        {"raw": {"big": "x" * 200_000, "object": object(), "surrogate": "\ud800"}},
    ],
)
def test_h14_an_odd_profile_is_no_reason_to_fail(host: Any, odd: dict[str, Any]) -> None:
    """A user with a strange profile at the provider could never log in."""
    record, _ = sign_up(host, Identity("github", "https://github.com", "42", **odd))
    found = host.store.find(record.identity)
    assert found is not None
    assert found.identity.email_verified is None
    for value in (found.identity.display_name, found.identity.username):
        assert value is None or (len(value) <= 255 and value.isprintable())
    assert found.identity.email is None
    assert found.identity.avatar_url is None


@pytest.mark.parametrize("pair", [("abc", "ABC"), ("\u00e9", "e"), ("a", "a "), ("\u00df", "ss")])
def test_e11_subjects_differ_by_the_smallest_thing(host: Any, pair: tuple[str, str]) -> None:
    """Two people at one provider would be one user here."""
    users = [sign_up(host, Identity("github", "https://github.com", subject))[1] for subject in pair]
    assert len(set(users)) == 2
    one = host.add_user()
    for subject in pair:
        login(host, Identity("lab", "https://gitlab.com", subject), kind="connect", user_id=one)
    assert {record.identity.subject for record in host.store.list_for_user(one)} == set(pair)


def test_d5_e26_two_first_logins_at_once_make_one_user(host: Any) -> None:
    """A double click at the first login would make two accounts, or an error page."""
    barrier = threading.Barrier(4)
    results: list[Any] = []

    def work() -> None:
        barrier.wait()
        try:
            results.append(sign_up(host, email="ann@example.com"))
        except ConcurrentLogin:
            record = host.store.find(ANN)
            results.append(login(host, record=record))
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result[1] for result in results}) == 1
    assert host.scalar("SELECT count(*) FROM users") == 1
    assert host.scalar("SELECT count(*) FROM oauth_identity") == 1
    assert host.scalar("SELECT count(*) FROM oauth2_token") == 1


def test_a_lost_race_writes_nothing_and_the_user_can_be_tried_again(host: Any) -> None:
    """Of a login that lost, an orphaned user would stay behind."""
    sign_up(host, name="taken")
    for identity, name in ((ANN, "other"), (Identity("github", ANN.issuer, "43"), "taken")):
        user = host.user_model(name=name)
        with pytest.raises(ConcurrentLogin):
            login(host, identity, kind="signup", new_user=user)
        assert sa.inspect(user).transient
        assert user.id is None
    assert host.scalar("SELECT count(*) FROM users") == 1
    assert host.scalar("SELECT count(*) FROM oauth_event") == 1
    user.name = "free"
    _, key = login(host, identity, kind="signup", new_user=user)
    assert host.scalar("SELECT name FROM users WHERE id = :id", id=key) == "free"


def test_a_record_that_is_gone_is_no_login(host: Any) -> None:
    """Somebody disconnected in the very moment of the login would be logged in by a row that is not there."""
    record, user = sign_up(host)
    assert host.store.delete_identity(record.id, user, event=Event("disconnect", "success", user_id=user))
    with pytest.raises(ConcurrentLogin):
        login(host, record=record)
    assert host.store.load(user, "github", protocol="oauth2") is None


def test_e17_an_identity_of_another_user_is_not_taken_over(host: Any) -> None:
    """Connecting somebody's account twice would move it from one user to the other."""
    sign_up(host)
    with pytest.raises(ConcurrentLogin):
        login(host, kind="connect", user_id=host.add_user())


def test_connections_for_the_api_only_do_not_log_in(host: Any) -> None:
    """An account that was connected for its API would become a second key to the house."""
    user = host.add_user()
    record, _ = login(host, kind="connect", user_id=user, can_log_in=False)
    assert not record.can_log_in
    assert record.last_login_at is None
    assert host.store.find(ANN) is None
    assert host.store.find_connection(user, "github", "42") == record
    login(host, kind="connect", record=record)
    assert host.store.find(ANN).user_id == user
    other, _ = login(host, kind="connect", user_id=host.add_user(), can_log_in=False)
    with pytest.raises(ConcurrentLogin):
        login(host, kind="connect", record=other)


def test_a_login_without_a_token_writes_none(host: Any) -> None:
    """A provider that only signs in would fail."""
    _, user = login(host, kind="signup", new_user=host.user_model(), token=None)
    assert host.store.tokens_for_user(user) == []


def test_connections_carry_their_tokens(host: Any) -> None:
    """The accounts page would show no health."""
    record, user = sign_up(host)
    bare, _ = login(host, Identity("x", "https://x", "1"), kind="connect", user_id=user, token=None)
    pair = {"oauth_token": "t", "oauth_token_secret": "s"}
    old, _ = login(host, Identity("tw", "https://tw", "9"), kind="connect", user_id=user, protocol="oauth1", token=pair)
    host.store.save(user, "apart", TOKEN, protocol="oauth2", now=NOW)
    tokens = {item.id: host.store.tokens_for_identity(item.id) for item in host.store.list_for_user(user)}
    found = {key: [token.protocol for token in items] for key, items in tokens.items()}
    assert found == {record.id: ["oauth2"], bare.id: [], old.id: ["oauth1"]}
    assert [token.token for token in host.store.tokens_for_identity(old.id)] == [pair]
    assert len(host.store.tokens_for_user(user)) == 3


def test_e20_disconnect_is_for_the_owner_only_and_takes_the_tokens(host: Any) -> None:
    """Anybody could disconnect anybody, or a token would outlive its connection."""
    record, user = sign_up(host)
    other, second = sign_up(host, Identity("github", ANN.issuer, "43"))
    stored = host.store.load(user, "github", protocol="oauth2")
    event = Event("disconnect", "success", "github", user, record.id, "42")
    assert not host.store.delete_identity(record.id, second, event=event)
    assert host.store.find(ANN) is not None
    assert host.store.delete_identity(record.id, user, event=event)
    assert host.store.find(ANN) is None
    assert host.store.tokens_for_user(user) == []
    assert host.store.list_for_user(second) == [other]
    assert [item.event.kind for item in host.store.list_events(kind="disconnect")] == ["disconnect"]
    # E22: a refresh that was under way does not bring the row back.
    assert host.store.commit_refresh(stored, owner="me", token=dict(TOKEN), now=NOW) is None
    assert host.store.tokens_for_user(user) == []


def test_a_forgotten_user_leaves_nothing(host: Any) -> None:
    """Somebody who asked to be forgotten would still be in the database."""
    _, user = sign_up(host)
    _, other = sign_up(host, Identity("github", ANN.issuer, "43"))
    assert host.store.delete_for_user(user, event=Event("forget", "success", user_id=None)) == 2
    assert host.store.list_for_user(user) == []
    assert host.store.tokens_for_user(user) == []
    assert host.store.list_events(user_id=user) == []
    assert host.store.delete_for_user("no such key") == 0
    assert len(host.store.list_for_user(other)) == 1
    assert len(host.store.list_events()) == 2


@pytest.mark.parametrize(
    ("local", "verified", "asked", "taken"),
    [
        ("ann@example.com", True, "ANN@example.COM", True),
        ("ann@example.com", None, "ann@example.com", True),
        (None, True, "ann@example.com", False),
        ("other@example.com", True, "ann@example.com", False),
        ("a_n@example.com", True, "ann@example.com", False),
    ],
)
def test_e01_an_address_is_taken_by_a_user(host: Any, local: Any, verified: Any, asked: str, taken: bool) -> None:
    """Somebody else's address could be claimed by writing it in capitals."""
    user = host.add_user(email=local, email_verified=verified)
    assert host.store.email_is_taken(asked) is taken
    assert host.store.find_verified_user(asked) == (user if taken and verified else None)


def test_e01_an_address_is_taken_by_a_verified_identity_only(host: Any) -> None:
    """An address that nobody has verified would lock out its owner."""
    sign_up(host)
    sign_up(host, Identity("lab", "https://lab", "1", email="bob@example.com", email_verified=False))
    assert host.store.email_is_taken("ann@EXAMPLE.com")
    assert not host.store.email_is_taken("bob@example.com")
    assert host.store.find_verified_user("ann@example.com") is None


def test_user_values(host: Any) -> None:
    """A user name that is taken would end in an error page."""
    host.add_user(name="ann")
    assert not host.store.user_value_is_free("name", "ann")
    assert host.store.user_value_is_free("name", "bob")
    assert host.store.user_value_is_free("no_such_attribute", "x")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_d1_a_sign_up_beside_flushed_rows_of_the_host_is_kept(host: Any, end: str) -> None:
    """The session cookie would name a user who was rolled back at the end of the request."""
    other = host.add_user(name="old")
    with Session(host.engine) as session:
        host.session = session
        session.get(host.user_model, other).name = "changed"
        session.flush()
        record, user = sign_up(host, name="ann")
        assert host.store.find(ANN).user_id == user
        getattr(session, end)()
        host.session = None
    assert host.scalar("SELECT name FROM users WHERE id = :id", id=user) == "ann"
    assert host.scalar("SELECT name FROM users WHERE id = :id", id=other) == ("changed" if end == "commit" else "old")
    assert host.store.find(ANN) == record
    assert host.store.load(user, "github", protocol="oauth2").token["access_token"] == "access"
    assert len(host.store.list_events(user_id=user)) == 1


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_d1_a_login_of_the_user_whose_row_the_host_has_changed(host: Any, end: str) -> None:
    """An application that notes the time of the last visit would hang at every first login by a new provider."""
    user = host.add_user(name="old")
    with Session(host.engine) as session:
        host.session = session
        session.get(host.user_model, user).name = "changed"
        session.flush()
        record, _ = login(host, kind="connect", user_id=user)
        getattr(session, end)()
        host.session = None
    assert host.store.find(ANN) == record
    assert host.store.load(user, "github", protocol="oauth2") is not None
    assert host.scalar("SELECT name FROM users") == ("changed" if end == "commit" else "old")


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_d1_a_disconnect_beside_flushed_rows_stays_done(host: Any, end: str) -> None:
    """A token that was revoked at the provider would come back as if it were alive."""
    record, user = sign_up(host)
    with Session(host.engine) as session:
        host.session = session
        session.add(host.user_model(name="pending"))
        session.flush()
        assert host.store.delete_identity(record.id, user, event=Event("disconnect", "success"))
        getattr(session, end)()
        host.session = None
    assert host.store.find(ANN) is None
    assert host.store.tokens_for_user(user) == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_d1_the_way_in_is_inherited_beside_flushed_rows(host: Any, end: str) -> None:
    """The client that is left logs nobody in any more, because the host rolled its own work back."""
    record, user = sign_up(host)
    second, _ = login(host, dataclasses.replace(ANN, name="work"), record=record)
    with Session(host.engine) as session:
        host.session = session
        session.add(host.user_model(name="pending"))
        session.flush()
        assert host.store.delete_identity(record.id, user, event=Event("disconnect", "success"), keep_a_login=True)
        getattr(session, end)()
        host.session = None
    assert host.store.find(ANN) == second
    assert host.store.list_for_user(user) == [second]


def test_events_outlive_a_user_who_never_was(host: Any) -> None:
    """A failed login could not be recorded."""
    host.store.record(Event("login", "failure", "github", None, None, "", "mismatching_state"))
    host.store.record(Event("x" * 99, "y" * 99, "n" * 200, "no key", 7, "a" * 300, "e" * 300))
    events = host.store.list_events()
    assert [item.event.error for item in events][-1] == "mismatching_state"
    assert host.store.list_events(before_id=events[0].id, limit=1) == events[1:2]
    assert host.store.list_events(since=10**10) == []


class StrictBase(DeclarativeBase):
    """The metadata of an application whose users need more than a provider tells."""


class StrictUser(StrictBase):
    __tablename__ = "strict_users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(sa.String(320), unique=True)
    tenant: Mapped[str] = mapped_column("tenant_code", sa.String(8))
    age: Mapped[int | None] = mapped_column(sa.CheckConstraint("age < 150"))
    plan: Mapped[str | None] = mapped_column(sa.Enum("free", "paid", name="strict_plan", validate_strings=True))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, r"StrictUser\.tenant "),
        ({"tenant": "x", "age": 999}, "a column of StrictUser "),
        ({"tenant": "x", "plan": "gold"}, "StrictUser"),
    ],
    ids=["missing", "checked", "odd"],
)
def test_a_user_model_that_needs_more_than_a_provider_tells_says_so(
    database_url: str, values: dict[str, Any], named: str
) -> None:
    """The operator looks for a database that is down, or finds a user's address in the log."""
    engine = sa.create_engine(database_url)
    models = define_models(StrictBase, StrictUser, KeyRing([Key("k1", b"1" * 32)]))
    StrictBase.metadata.create_all(engine)
    store = SQLAlchemyStore(models, engine=lambda: engine, sealer=models.OAuth2Token._oauth_sealer)

    def sign_up(**columns: Any) -> Any:
        user = StrictUser(email="ann@example.com", **columns)
        return store.record_login(
            ANN, protocol="oauth2", token=TOKEN, requested_scope=None, kind="signup", new_user=user, now=NOW
        )

    with pytest.raises(ConfigurationError, match=r"AccountPolicy\.create_user") as caught:
        sign_up(**values)
    text = "".join(traceback.format_exception(caught.value))
    assert re.search(named, str(caught.value))
    assert "ann@example.com" not in text.replace('email="ann@example.com"', "")
    assert caught.value.provider == "github"
    assert store.find(ANN) is None
    sign_up(tenant="x")
    with pytest.raises(ConcurrentLogin):
        sign_up(tenant="y")
    store.dispose()
    engine.dispose()


def test_a_user_model_that_needs_more_says_so(host: Any) -> None:
    """The operator would look for a database that is down."""
    with host.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE strict_users (id INTEGER PRIMARY KEY, must VARCHAR(9) NOT NULL)"))
    table = sa.Table("strict_users", sa.MetaData(), autoload_with=host.engine)

    def write(work: Any) -> None:
        work.connection.execute(sa.insert(table).values(id=1))

    with pytest.raises(StorageUnavailable, match=r"AccountPolicy\.create_user"):
        host.store._write(write)


def test_a_new_user_flushed_by_the_host_is_kept_or_named_as_the_fault(host: Any) -> None:
    """Where only the database says that the user is missing, the operator looks for a database that is down."""
    with Session(host.engine) as session:
        host.session = session
        user = host.user_model(name="ann")
        session.add(user)
        session.flush()
        if host.engine.dialect.name == "sqlite":
            login(host, kind="signup", new_user=user)
        else:
            with pytest.raises(ConfigurationError, match=r"AccountPolicy\.create_user has flushed"):
                login(host, kind="signup", new_user=user)
        session.rollback()
        host.session = None
    kept = host.store.find(ANN)
    assert (kept is not None) == (host.engine.dialect.name == "sqlite")
    assert host.scalar("SELECT name FROM users") == (None if kept is None else "ann")
