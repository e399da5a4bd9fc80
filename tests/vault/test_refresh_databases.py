"""Refreshed exactly once, on real databases: threads, processes, processes that are killed, hosts that hold locks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from flask_oauth_accounts.errors import (
    ConfigurationError,
    MissingTokenError,
    ProviderUnavailable,
    ReauthorizationRequired,
)
from flask_oauth_accounts.protocols import Event
from flask_oauth_accounts.tokens import StoredToken, TokenDict

if TYPE_CHECKING:
    from .conftest import TokenEndpoint

HOUR = 3600


def test_threads_refresh_once_per_expiry(app: Any, endpoint: TokenEndpoint) -> None:
    """Eight parallel requests of one user cost that user the grant, as with every other login library."""
    endpoint.delay = 0.1
    app.save(endpoint.first_token(), expires_in=HOUR)
    vault = app.create_vault()
    for expiry in range(1, 11):
        app.offset = expiry * (HOUR + 1)
        assert app.call_at_once(vault, 32) == ["ok"] * 32
        assert endpoint.asked == expiry
    assert (endpoint.refused, endpoint.revoked) == (0, False)


def test_processes_refresh_once_per_expiry(
    app: Any, database_url: str, endpoint: TokenEndpoint, start_process: Callable[[str], Any]
) -> None:
    """The second worker process of an application costs its users their grants."""
    endpoint.delay = 0.2
    app.save(endpoint.first_token(), expires_in=HOUR)
    processes = [start_process(database_url) for _ in range(4)]
    for expiry in range(1, 11):
        for process in processes:
            process.start_calls(8, offset=expiry * (HOUR + 1))
        assert [process.read_results() for process in processes] == [["ok"] * 8] * 4
        assert endpoint.asked == expiry
    assert (endpoint.refused, endpoint.revoked) == (0, False)


@pytest.mark.parametrize("grace", [True, False], ids=["grace", "strict"])
def test_killed_process_delays_by_the_lease_only(
    app: Any, database_url: str, endpoint: TokenEndpoint, start_process: Callable[[str], Any], grace: bool
) -> None:
    """A deployment that kills a worker at the wrong moment locks users out for good, without a word."""
    endpoint.gate.clear()
    endpoint.grace = grace
    app.save(endpoint.first_token(), expires_in=-5)
    victim = start_process(database_url)
    victim.start_calls(1)
    assert endpoint.arrived.wait(60)
    victim.process.kill()
    victim.process.wait()
    endpoint.gate.set()
    assert endpoint.rotated.wait(60)

    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        app.offset += 31  # the lease is over

    vault = app.create_vault(wait=wait)
    if grace:
        assert app.call_api(vault) == "ok"
    else:
        with pytest.raises(ReauthorizationRequired, match="invalid_grant"):
            vault.fresh(app.load(), app.refresh)
        assert app.load().status == "reauth_required"
    assert len(waited) == 1
    assert endpoint.asked == 2


def _count_open_transactions(app: Any) -> int:
    queries = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND xact_start IS NOT NULL AND pid <> pg_backend_pid()",
        "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id IN "
        "(SELECT id FROM information_schema.processlist WHERE db = DATABASE()) "
        "AND trx_mysql_thread_id <> CONNECTION_ID()",
    }
    query = queries.get(app.engine.dialect.name)
    if query is None:
        return 0
    with app.engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def test_no_transaction_is_open_while_the_provider_thinks(app: Any, database_url: str, endpoint: TokenEndpoint) -> None:
    """One slow provider blocks every write to an SQLite database, and holds rows and connections elsewhere."""
    endpoint.gate.clear()
    stored = app.save(endpoint.first_token(), expires_in=-5)
    vault = app.create_vault()
    table = app.models.OAuth2Token.__table__
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(vault.fresh, stored, app.refresh)
        assert endpoint.arrived.wait(60)
        assert _count_open_transactions(app) == 0
        impatient = {"connect_args": {"timeout": 0}} if database_url.startswith("sqlite") else {}
        engine = sa.create_engine(database_url, **impatient)
        with engine.begin() as connection:  # the very row can be written by somebody else
            connection.execute(sa.update(table).values(last_error="seen"))
        engine.dispose()
        assert app.load().last_error == "seen"
        endpoint.gate.set()
        assert future.result(60).token["access_token"] == "access-1"


def test_host_with_a_snapshot_sees_the_new_token(app: Any, endpoint: TokenEndpoint) -> None:
    """A request that has read something before waits in vain for a token that is there."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    with Session(app.engine) as session:
        app.sessions.current = session
        table = app.models.OAuth2Token.__table__
        assert session.execute(sa.select(table.c.version)).scalar_one() == stored.version
        with ThreadPoolExecutor(1) as pool:  # another request, which has no such snapshot
            fresh = pool.submit(app.create_vault().fresh, stored, app.refresh).result(60)

        def never(stored: StoredToken) -> TokenDict:
            raise AssertionError("asked twice")

        assert app.create_vault().fresh(stored, never) == fresh


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_host_that_has_written_rows_refreshes_too(app: Any, endpoint: TokenEndpoint, end: str) -> None:
    """On SQLite a request that has flushed rows of its own waits for itself, or loses the rotated token."""
    app.save(endpoint.first_token(), expires_in=-5)
    vault = app.create_vault()
    _write_and_call(app, vault, end)
    row = app.load()
    assert (row.token["refresh_token"], row.status) == ("refresh-1", "active")
    assert endpoint.asked == 1
    with app.engine.connect() as connection:
        names = connection.execute(sa.select(app.user_model.name)).scalars().all()
    assert names == (["mine"] if end == "commit" else [None])


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_host_in_memory_refreshes_too(make_app: Callable[..., Any], endpoint: TokenEndpoint, end: str) -> None:
    """The tests of an application on SQLite in memory hang, or lose tokens."""
    app = make_app("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    app.save(endpoint.first_token(), expires_in=-5)
    _write_and_call(app, app.create_vault(), end)
    assert app.load().token["refresh_token"] == "refresh-1"


def _write_and_call(app: Any, vault: Any, end: str) -> None:
    with Session(app.engine) as session:
        app.sessions.current = session
        session.get(app.user_model, app.user_id).name = "mine"
        session.flush()
        assert app.call_api(vault) == "ok"
        getattr(session, end)()
    app.sessions.current = None


@pytest.mark.parametrize("moment", ["before the claim", "while the provider thinks"])
def test_host_with_the_write_lock_and_a_refreshing_thread_do_not_wait_for_each_other(
    sqlite_url: str, make_app: Callable[..., Any], endpoint: TokenEndpoint, moment: str
) -> None:
    """Two requests on SQLite block each other until both fail: one has the lock, the other one the token."""
    app = make_app(sqlite_url)
    stored = app.save(endpoint.first_token(), expires_in=-5)
    vault = app.create_vault(refresh_wait=3600.0)  # whoever waits for the other one waits too long
    endpoint.gate.clear()
    locked, may_lock = threading.Event(), threading.Event()

    def host() -> str:
        with Session(app.engine) as session:
            app.sessions.current = session
            assert may_lock.wait(60)
            session.get(app.user_model, app.user_id).name = "mine"
            session.flush()
            locked.set()
            result: str = app.call_api(vault)
            session.commit()
            return result

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(host)
        if moment == "before the claim":
            may_lock.set()
            assert locked.wait(60)
        other = pool.submit(vault.fresh, stored, app.refresh)
        if moment == "while the provider thinks":
            assert endpoint.arrived.wait(60)
            may_lock.set()
            assert locked.wait(60)
        endpoint.gate.set()
        assert holder.result(60) == "ok"
        assert other.result(60).token["access_token"] == "access-1"
    assert (endpoint.asked, endpoint.revoked) == (1, False)
    assert app.load().token["refresh_token"] == "refresh-1"


def test_host_with_the_write_lock_in_another_process_loses_nobodys_grant(
    sqlite_url: str, make_app: Callable[..., Any], endpoint: TokenEndpoint, start_process: Callable[[str], Any]
) -> None:
    """A worker that cannot store the rotated token, because another one has the lock, throws the grant away."""
    app = make_app(sqlite_url)
    stored = app.save(endpoint.first_token(), expires_in=-5)
    endpoint.gate.clear()
    process = start_process(sqlite_url)
    process.start_calls(1)
    assert endpoint.arrived.wait(60)
    with Session(app.engine) as session:
        app.sessions.current = session
        session.get(app.user_model, app.user_id).name = "mine"
        session.flush()
        endpoint.gate.set()
        assert endpoint.rotated.wait(60)
        with pytest.raises(ProviderUnavailable):  # the one with the lock waits in vain, and ends its request
            app.create_vault(refresh_wait=0.0).fresh(stored, app.refresh)
        session.rollback()
    app.sessions.current = None
    assert process.read_results() == ["ok"]
    assert app.load().token["refresh_token"] == "refresh-1"
    assert endpoint.asked == 1


def test_disconnect_in_mid_refresh_brings_nothing_back(app: Any, endpoint: TokenEndpoint) -> None:
    """A connection that the user has removed comes back, or lands in the next row under the same key."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    orphans: list[TokenDict] = []
    with Session(app.engine) as session:
        session.add(app.user_model(id=2))
        session.commit()

    def refresh(claimed: StoredToken) -> TokenDict:
        app.store.delete_for_user(app.user_id, event=Event("disconnect", "success"))
        app.store.save(2, "hub", {"access_token": "of-2", "refresh_token": "r2"}, "9", protocol="oauth2", now=1000.0)
        return app.refresh(claimed)

    with pytest.raises(MissingTokenError):
        app.create_vault().fresh(stored, refresh, on_orphan=orphans.append)
    assert app.store.load(app.user_id, "hub", protocol="oauth2") is None
    other = app.store.load(2, "hub", protocol="oauth2")
    assert (other.token["access_token"], other.token["refresh_token"]) == ("of-2", "r2")
    assert [token["refresh_token"] for token in orphans] == ["refresh-1"]


def test_consent_after_a_disconnect_in_mid_refresh_wins(app: Any, endpoint: TokenEndpoint) -> None:
    """A user who disconnects and connects at once is left with the token of the removed connection."""
    stored = app.save(endpoint.first_token(), expires_in=-5)

    def refresh(claimed: StoredToken) -> TokenDict:
        app.store.delete_for_user(app.user_id, event=Event("disconnect", "success"))
        app.save({"access_token": "consented", "refresh_token": "r-new"}, expires_in=HOUR)
        return app.refresh(claimed)

    fresh = app.create_vault().fresh(stored, refresh)
    assert (fresh.token["access_token"], app.load().token["refresh_token"]) == ("consented", "r-new")


def test_operators_fault_changes_no_row(app: Any, endpoint: TokenEndpoint) -> None:
    """A mistyped client secret disconnects every user."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    endpoint.answers.append((401, {}, '{"error": "invalid_client"}'))
    with pytest.raises(ConfigurationError):
        app.create_vault().fresh(stored, app.refresh)
    assert app.load() == stored


def test_back_off_is_shared_by_processes(app: Any, endpoint: TokenEndpoint) -> None:
    """Each worker of an application hammers a provider that is down."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    endpoint.answers.append((503, {}, ""))
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            app.create_vault(random=lambda: 1.0).fresh(stored, app.refresh)
        assert (endpoint.asked, app.load().failures) == (1, 1)
    app.offset += 2
    assert app.create_vault().fresh(stored, app.refresh).failures == 0
    assert app.load().retry_at is None


def test_events_say_what_happened(app: Any, endpoint: TokenEndpoint) -> None:
    """Nobody can tell afterwards why a connection has died."""
    stored = app.save(endpoint.first_token(refresh_token="refresh-lost"), expires_in=-5)
    with pytest.raises(ReauthorizationRequired):
        app.create_vault().fresh(stored, app.refresh)
    with app.engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT kind, outcome, name, account, error FROM oauth_event")).all()
    assert [tuple(row) for row in rows] == [("reauth_required", "failure", "hub", "4711", "invalid_grant")]
