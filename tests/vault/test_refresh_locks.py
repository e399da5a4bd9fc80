"""Refreshed exactly once, in time, while somebody's transaction holds the row: the host's own, or anybody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from flask_oauth_accounts.errors import ProviderUnavailable
from flask_oauth_accounts.tokens import StoredToken, TokenDict

if TYPE_CHECKING:
    from .conftest import TokenEndpoint


class Waiting:
    """Measures how long a caller would have waited, and waits for nothing."""

    def __init__(self) -> None:
        self.waited = 0.0

    def __call__(self) -> float:
        return self.waited

    def wait(self, seconds: float) -> None:
        self.waited += seconds

    def create_vault(self, app: Any, **settings: Any) -> Any:
        return app.create_vault(monotonic=self, wait=self.wait, **settings)


def never(stored: StoredToken) -> TokenDict:
    raise AssertionError("the provider was asked")


@contextmanager
def locked_row(app: Any) -> Iterator[sa.Connection]:
    """Somebody else's transaction that has written to the row, and does not end."""
    engine = sa.create_engine(app.engine.url)
    with engine.connect() as connection, connection.begin() as transaction:
        connection.execute(sa.update(app.models.OAuth2Token.__table__).values(last_error="by somebody else"))
        yield connection
        transaction.rollback()
    engine.dispose()


@contextmanager
def host_request(app: Any) -> Iterator[Session]:
    """A request whose session holds the token's row; on SQLite, the file."""
    with Session(app.engine) as session:
        app.sessions.current = session
        row = session.query(app.models.OAuth2Token).with_for_update().one()
        row.last_error = "seen by the host"
        session.flush()
        yield session
    app.sessions.current = None


def test_a_locked_row_keeps_nobody_longer_than_refresh_wait(app: Any) -> None:
    """One transaction that does not end takes all workers of the application with it."""
    stored = app.save({"access_token": "a", "refresh_token": "r"}, expires_in=-5)
    waiting = Waiting()
    with locked_row(app), pytest.raises(ProviderUnavailable) as caught:
        waiting.create_vault(app).fresh(stored, never)
    assert caught.value.status == 504
    assert waiting.waited == pytest.approx(15.0)


def test_a_valid_token_is_served_at_once_beside_a_locked_row(app: Any) -> None:
    """Every call waits for a refresh that it does not need."""
    stored = app.save({"access_token": "a", "refresh_token": "r"}, expires_in=30)
    waiting = Waiting()
    with locked_row(app):
        assert waiting.create_vault(app).fresh(stored, never).token["access_token"] == "a"
    assert waiting.waited == 0.0


def test_a_renewed_token_is_used_and_kept_while_its_row_is_locked(app: Any, endpoint: TokenEndpoint) -> None:
    """The grant is lost because somebody else's transaction took long at the wrong moment."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    vault = Waiting().create_vault(app, refresh_wait=0.0)
    holder = locked_row(app)

    def refresh(claimed: StoredToken) -> TokenDict:
        holder.__enter__()
        answer: TokenDict = app.refresh(claimed)
        return answer

    assert vault.fresh(stored, refresh).token["access_token"] == "access-1"
    assert vault.fresh(app.load(), never).token["access_token"] == "access-1"
    assert app.load().token["refresh_token"] == "refresh-0"
    holder.__exit__(None, None, None)
    assert vault.fresh(app.load(), never).token["access_token"] == "access-1"
    assert app.load().token["refresh_token"] == "refresh-1"
    assert (endpoint.asked, endpoint.revoked) == (1, False)


def test_a_consent_goes_before_a_token_that_could_not_be_stored(
    sqlite_url: str, make_app: Callable[..., Any], endpoint: TokenEndpoint
) -> None:
    """A user who has consented anew is given the token of the older grant."""
    app = make_app(sqlite_url)
    stored = app.save(endpoint.first_token(), expires_in=-5)
    vault = Waiting().create_vault(app, refresh_wait=0.0)
    holder = locked_row(app)

    def refresh(claimed: StoredToken) -> TokenDict:
        holder.__enter__()
        answer: TokenDict = app.refresh(claimed)
        return answer

    assert vault.fresh(stored, refresh).token["access_token"] == "access-1"
    holder.__exit__(None, None, None)
    consented = app.save({"access_token": "consented", "refresh_token": "r"}, expires_in=-5)
    with locked_row(app), pytest.raises(ProviderUnavailable):
        vault.fresh(consented, never)


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_host_that_holds_the_row_keeps_the_others_waiting(
    app: Any, database_url: str, make_app: Callable[..., Any], endpoint: TokenEndpoint, end: str
) -> None:
    """Another worker spends the spent refresh token, and the provider ends the grant."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    other = make_app(database_url, tables=False)
    with host_request(app) as session:
        assert app.create_vault().fresh(stored, app.refresh).token["access_token"] == "access-1"
        waits: list[float] = []

        def wait(seconds: float) -> None:
            waits.append(seconds)
            getattr(session, end)()

        fresh = other.create_vault(wait=wait).fresh(other.load(), other.refresh)
    assert fresh.token["access_token"] == "access-1"
    assert len(waits) >= 1
    assert app.load().token["refresh_token"] == "refresh-1"
    assert (endpoint.asked, endpoint.revoked) == (1, False)


def test_who_waited_for_a_lock_looks_twice_before_it_asks(
    app: Any, database_url: str, make_app: Callable[..., Any], endpoint: TokenEndpoint
) -> None:
    """Between a host's rollback and the renewed token that is written again, another worker takes the old row."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    other = make_app(database_url, tables=False)
    refused, rolled_back, claimed, written = (threading.Event() for _ in range(4))

    def wait(seconds: float) -> None:
        if not rolled_back.is_set():
            refused.set()
            assert rolled_back.wait(60)
        else:
            claimed.set()
            assert written.wait(60)

    def hold_open(session: Session) -> None:
        rolled_back.set()
        assert claimed.wait(60)

    with ThreadPoolExecutor(1) as pool, host_request(app) as session:
        sa.event.listen(session, "after_rollback", hold_open)
        assert app.create_vault().fresh(stored, app.refresh).token["access_token"] == "access-1"
        future = pool.submit(other.create_vault(wait=wait).fresh, stored, other.refresh)
        assert refused.wait(60)
        session.rollback()
        written.set()
        assert future.result(60).token["access_token"] == "access-1"
    assert (endpoint.asked, endpoint.revoked) == (1, False)
    assert app.load().token["refresh_token"] == "refresh-1"


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_lent_token_stays_in_memory_until_the_host_has_ended(app: Any, endpoint: TokenEndpoint, end: str) -> None:
    """A database that fails at the host's rollback takes the only copy of the grant with it."""
    stored = app.save(endpoint.first_token(), expires_in=-5)
    vault = app.create_vault()
    with host_request(app) as session:
        vault.fresh(stored, app.refresh)
        assert len(vault._tools.unsaved) == 1
        getattr(session, end)()
        assert vault._tools.unsaved == {}


def test_a_token_that_could_not_be_written_again_is_stored_with_the_next_call(
    sqlite_url: str, make_app: Callable[..., Any], endpoint: TokenEndpoint
) -> None:
    """A lock at the moment of the host's rollback costs the user the grant."""
    app = make_app(sqlite_url)
    stored = app.save(endpoint.first_token(), expires_in=-5)
    vault, holder = app.create_vault(), locked_row(app)
    with host_request(app) as session:
        vault.fresh(stored, app.refresh)
        sa.event.listen(session, "after_rollback", lambda *given: holder.__enter__())
        session.rollback()
    holder.__exit__(None, None, None)
    assert app.load().token["refresh_token"] == "refresh-0"
    assert vault.fresh(app.load(), never).token["access_token"] == "access-1"
    assert app.load().token["refresh_token"] == "refresh-1"


@pytest.fixture
def expired(app: Any, endpoint: TokenEndpoint) -> StoredToken:
    """An expired token."""
    stored: StoredToken = app.save(endpoint.first_token(), expires_in=-5)
    return stored


@pytest.fixture
def lent(app: Any, expired: StoredToken) -> Iterator[Session]:
    """A request with a snapshot, a user that only it can see, and that user's token in its own transaction."""
    with Session(app.engine) as session:
        app.sessions.current = session
        session.execute(sa.select(app.user_model)).all()
        session.add(app.user_model(id=2))
        session.flush()
        app.store.save(2, "hub", {"access_token": "of-2"}, "9", protocol="oauth2", now=1000.0)
        yield session
    app.sessions.current = None


def test_a_row_that_was_not_lent_is_read_past_the_hosts_snapshot(
    app: Any, database_url: str, make_app: Callable[..., Any], expired: StoredToken, lent: Session
) -> None:
    """A request that has signed somebody up waits in vain for a token that another worker has renewed."""
    if app.engine.dialect.name == "sqlite":
        pytest.skip("nobody else can write while a request holds the file")
    other = make_app(database_url, tables=False)
    assert other.create_vault().fresh(expired, other.refresh).token["access_token"] == "access-1"
    assert app.create_vault().fresh(expired, never).token["access_token"] == "access-1"
    assert app.store.load(2, "hub", protocol="oauth2").token["access_token"] == "of-2"


def test_the_claim_of_a_row_that_was_not_lent_is_seen_by_all(app: Any, expired: StoredToken, lent: Session) -> None:
    """Other workers ask the provider as well, because the claim lies in a transaction that they cannot see."""
    if app.engine.dialect.name == "sqlite":
        pytest.skip("nobody else can write while a request holds the file")

    def refresh(claimed: StoredToken) -> TokenDict:
        table = app.models.OAuth2Token.__table__
        with app.engine.connect() as connection:
            owner = connection.execute(sa.select(table.c.lease_owner).where(table.c.id == expired.id)).scalar_one()
        assert owner == claimed.lease_owner
        answer: TokenDict = app.refresh(claimed)
        return answer

    assert app.create_vault().fresh(expired, refresh).token["access_token"] == "access-1"
    lent.rollback()
    assert app.load().token["refresh_token"] == "refresh-1"
