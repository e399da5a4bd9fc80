"""The store beside a host that has a transaction of its own open."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from flask_oauth_accounts.errors import StorageBusy, StorageUnavailable
from flask_oauth_accounts.tokens import StoredToken, TokenDict

NOW = 1_700_000_000.0
FRESH = TokenDict(access_token="rotated", refresh_token="rotated-refresh", expires_at=NOW + 3600)


def explicit_begin(engine: sa.Engine) -> sa.Engine:
    """SQLAlchemy's recipe for real SQLite transactions, which many hosts use."""

    def on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    sa.event.listen(engine, "connect", on_connect)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


def write_ahead_log(engine: sa.Engine) -> sa.Engine:
    sa.event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA journal_mode=WAL"))
    return engine


@pytest.fixture(params=["file", "wal", "begin", "memory", "thread memory", "postgresql", "mariadb"])
def host(request: pytest.FixtureRequest, make_host: Callable[..., Any], make_kind: Callable[[str], Any]) -> Any:
    """A host on every kind of database."""
    if request.param == "memory":
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        return make_host("sqlite://", **options)
    if request.param == "thread memory":
        return make_host("sqlite://", poolclass=sa.pool.SingletonThreadPool)
    host = make_kind(request.param if request.param in ("postgresql", "mariadb") else "sqlite")
    if request.param == "begin":
        host.engine.dispose()
        explicit_begin(host.engine)
    if request.param == "wal":
        host.engine.dispose()
        write_ahead_log(host.engine)
    return host


def save(host: Any, user: Any, **token: Any) -> StoredToken:
    values = {"access_token": "access", "refresh_token": "refresh", "expires_in": 60, **token}
    stored = host.store.save(user, "github", values, "42", protocol="oauth2", now=NOW)
    assert isinstance(stored, StoredToken)
    return stored


def until_free(call: Callable[[], Any]) -> Any:
    """Ask again where somebody else holds the lock, as the vault does: a claim waits for nobody."""
    while True:
        try:
            return call()
        except StorageBusy:
            threading.Event().wait(0.02)


def refresh(host: Any, stored: StoredToken) -> None:
    claimed = until_free(lambda: host.store.claim(stored, owner="me", now=NOW, lease=30))
    assert claimed is not None
    assert until_free(lambda: host.store.commit_refresh(claimed, owner="me", token=FRESH, now=NOW)) is not None


def load(host: Any, user: Any) -> StoredToken:
    stored = host.store.load(user, "github", protocol="oauth2")
    assert isinstance(stored, StoredToken)
    return stored


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_d1_a_refresh_beside_flushed_rows_is_kept_and_the_hosts_rows_follow_the_host(host: Any, end: str) -> None:
    """The request would lock itself out, or the rotated token, or the host's own work, would be lost."""
    user = host.add_user(name="old")
    stored = save(host, user)
    with Session(host.engine) as session:
        host.session = session
        session.add(host.user_model(name="pending"))
        session.get(host.user_model, user).name = "changed"
        session.flush()
        started = time.monotonic()
        refresh(host, stored)
        assert time.monotonic() - started < 5
        assert load(host, user).token["refresh_token"] == "rotated-refresh"
        getattr(session, end)()
        host.session = None
    assert load(host, user).token["refresh_token"] == "rotated-refresh"
    assert load(host, user).lease_owner is None
    assert host.scalar("SELECT name FROM users WHERE id = :id", id=user) == ("changed" if end == "commit" else "old")
    assert host.scalar("SELECT count(*) FROM users") == (2 if end == "commit" else 1)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_d1_a_savepoint_of_the_host_does_not_take_the_token_back(host: Any, end: str) -> None:
    """A host that tries something in a savepoint would send the dead refresh token again in the same request."""
    user = host.add_user()
    stored = save(host, user)
    with Session(host.engine) as session:
        host.session = session
        session.add(host.user_model(name="outer"))
        session.flush()
        inner = session.begin_nested()
        session.add(host.user_model(name="inner"))
        session.flush()
        refresh(host, stored)
        inner.rollback()
        assert load(host, user).token["refresh_token"] == "rotated-refresh"
        getattr(session, end)()
        host.session = None
    assert load(host, user).token["refresh_token"] == "rotated-refresh"
    assert host.scalar("SELECT count(*) FROM users") == (2 if end == "commit" else 1)


def test_d1_the_host_itself_has_written_the_token_row(host: Any) -> None:
    """A host that changes its connection's row and then calls the API would wait for its own lock for ever."""
    user = host.add_user()
    stored = save(host, user)
    with Session(host.engine) as session:
        host.session = session
        session.get(host.models.OAuth2Token, stored.id).last_error = "seen by the host"
        session.flush()
        refresh(host, stored)
        session.rollback()
        host.session = None
    assert load(host, user).token["refresh_token"] == "rotated-refresh"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_d1_a_token_for_a_user_that_only_the_host_can_see(host: Any, end: str) -> None:
    """Signing up by a view of the host's own, which saves the token before it commits, would fail or hang."""
    with Session(host.engine, expire_on_commit=False) as session:
        host.session = session
        user = host.user_model(name="new")
        session.add(user)
        session.flush()
        save(host, user.id)
        assert load(host, user.id).account == "42"
        getattr(session, end)()
        host.session = None
    assert host.scalar("SELECT count(*) FROM users") == (end == "commit")
    assert host.scalar("SELECT count(*) FROM oauth2_token") == (end == "commit")


def test_nothing_of_the_host_is_committed_by_a_login_beside_it(host: Any) -> None:
    """Half of the host's work would be stored although the host gave it up."""
    user = host.add_user()
    with Session(host.engine) as session:
        host.session = session
        session.add(host.user_model(name="pending"))
        session.flush()
        save(host, user)
        session.rollback()
        host.session = None
    assert host.scalar("SELECT count(*) FROM users") == 1
    assert load(host, user).token["access_token"] == "access"


def test_unflushed_objects_of_the_host_stay_unflushed(host: Any) -> None:
    """The host's half-made objects would be written before they are complete."""
    user = host.add_user()
    with Session(host.engine) as session:
        host.session = session
        session.scalar(sa.select(sa.func.count()).select_from(host.user_model))
        session.add(host.user_model(name="not yet"))
        save(host, user)
        assert len(session.new) == 1
        session.rollback()
        host.session = None
    assert host.scalar("SELECT count(*) FROM users") == 1


def test_d2_each_look_sees_what_others_have_committed(host: Any, request: pytest.FixtureRequest) -> None:
    """Whoever waits for somebody else's refresh would see the old token until the wait is over."""
    if isinstance(host.engine.pool, (StaticPool, sa.pool.SingletonThreadPool)):
        pytest.skip("one connection sees everything at once")
    if "begin" in request.node.callspec.id:
        pytest.skip("while one reads in SQLite's rollback journal, nobody else can commit")
    user = host.add_user()
    stored = save(host, user)
    other = host.create_store()
    with Session(host.engine) as session:
        host.session = session
        session.execute(sa.select(host.models.OAuth2Token)).all()
        host.session = None
        assert other.claim(stored, owner="other", now=NOW, lease=30)
        assert other.commit_refresh(stored, owner="other", token=FRESH, now=NOW) is not None
        host.session = session
        assert host.store.reload(stored).version == stored.version + 1
        host.session = None
    other.dispose()


def test_d4_only_the_version_that_was_read_is_written(host: Any) -> None:
    """On a driver that counts changed rows, both of two workers could believe that they have won."""
    stored = save(host, host.add_user())
    assert host.store.commit_refresh(stored, owner="a", token=FRESH, now=NOW) is not None
    assert host.store.commit_refresh(stored, owner="b", token=FRESH, now=NOW) is None
    assert host.store.claim(stored, owner="c", now=NOW, lease=30) is None


def _fail(work: Any) -> None:
    raise StorageUnavailable


def test_d6_no_connection_stays_out(host: Any) -> None:
    """After some hundred requests the application would stop answering."""
    user = host.add_user()
    for _ in range(30):
        refresh(host, save(host, user))
        with pytest.raises(StorageUnavailable):
            host.store.transactions.write(_fail)
    for engine in (host.engine, host.store.transactions.engines.get()):
        if isinstance(engine.pool, sa.pool.QueuePool):
            assert engine.pool.checkedout() == 0


def test_a_used_up_pool_of_the_host_does_not_stop_the_store(database_url: str, make_host: Callable[..., Any]) -> None:
    """Every request would hold one connection and wait for a second one, for ever."""
    host = make_host(database_url, pool_size=1, max_overflow=0, pool_timeout=1)
    user = host.add_user()
    with host.engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        refresh(host, save(host, user))
        assert load(host, user).token["refresh_token"] == "rotated-refresh"


def test_sqlite_in_memory_is_shared_by_threads(make_host: Callable[..., Any]) -> None:
    """An application under test would lose tokens, or see an empty database."""
    host = make_host("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    users = [host.add_user() for _ in range(4)]
    errors: list[BaseException] = []

    def work(user: Any) -> None:
        try:
            for number in range(20):
                save(host, user, access_token=f"{user}-{number}")
                assert load(host, user).token["access_token"] == f"{user}-{number}"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_many_writers_on_one_file(sqlite_url: str, make_host: Callable[..., Any]) -> None:
    """Under load, logins would fail with "database is locked"."""
    host = make_host(sqlite_url)
    users = [host.add_user() for _ in range(8)]
    errors: list[BaseException] = []

    def work(user: Any) -> None:
        try:
            for _ in range(10):
                refresh(host, save(host, user))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_d10_a_forked_worker_has_connections_of_its_own(database_url: str, make_host: Callable[..., Any]) -> None:
    """With a preloaded application, two workers would speak on one connection and read each other's answers."""
    host = make_host(database_url)
    user = host.add_user()
    save(host, user)
    mine = host.store.transactions.engines.get()
    child = os.fork()
    if child == 0:
        try:
            fine = host.store.transactions.engines.get() is not mine
            for _ in range(20):
                fine = fine and load(host, user).token["access_token"] == "access"
            os._exit(0 if fine else 1)
        except BaseException:
            os._exit(2)
    for _ in range(20):
        assert load(host, user).token["access_token"] == "access"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert load(host, user).token["access_token"] == "access"


def test_missing_tables_are_named_with_the_remedy(database_url: str, make_host: Callable[..., Any]) -> None:
    """The operator would see a driver's error and no way on."""
    host = make_host(database_url)
    with host.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE oauth2_token"))
    with pytest.raises(StorageUnavailable, match="flask oauth db upgrade"):
        host.store.load(1, "github", protocol="oauth2")


def test_l05_a_database_that_is_down_is_said_as_such(make_host: Callable[..., Any], sqlite_url: str) -> None:
    """A visitor would get an error 500 instead of a page that asks for patience."""
    host = make_host(sqlite_url)
    host.engine = sa.create_engine("postgresql+psycopg://postgres@127.0.0.1:1/none")
    with pytest.raises(StorageUnavailable):
        host.store.load(1, "github", protocol="oauth2")
    with pytest.raises(StorageUnavailable):
        host.store.save(1, "github", dict(FRESH), protocol="oauth2", now=NOW)


def test_the_hosts_listeners_see_the_stores_statements(sqlite_url: str, make_host: Callable[..., Any]) -> None:
    """A host's tracing, or what it does to make a connection fit to use, would pass the store by."""
    host = make_host(sqlite_url)
    user = host.add_user()
    seen: list[str] = []
    save(host, user)
    sa.event.listen(host.engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    load(host, user)
    assert len(seen) == 1


def test_a_value_that_the_driver_cannot_send_is_named_as_that(host: Any) -> None:
    """Half of a surrogate pair, as JSON can hold it, would be a server error without a word of where it comes from."""
    with pytest.raises(StorageUnavailable, match="does not take"):
        host.store.save(host.add_user(), "github", {"access_token": "a"}, "half \ud800", protocol="oauth2", now=1)
