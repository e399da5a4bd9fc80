"""Whose lock it is decides: what is lent to the host's transaction, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import Session

from flask_oauth_accounts.errors import StorageBusy, TransactionLost
from flask_oauth_accounts.storage.host import Hold
from flask_oauth_accounts.storage.locks import Obstacle, Way, decide_way

NOW = 1_700_000_000.0
OWN, LENT = Way.OWN, Way.LENT
LOCKED, NO_PARENT, GAVE_WAY = Obstacle.LOCKED, Obstacle.NO_PARENT, Obstacle.GAVE_WAY


@pytest.mark.parametrize(
    ("way", "obstacle", "hold", "may_lend", "in_time", "expected"),
    [
        (OWN, None, Hold.HOLDS, True, True, None),
        (OWN, LOCKED, Hold.NONE, True, True, OWN),
        (OWN, LOCKED, Hold.NONE, True, False, None),
        (OWN, LOCKED, Hold.OPEN, True, True, OWN),
        (OWN, LOCKED, Hold.OPEN, True, False, None),
        (OWN, LOCKED, Hold.HOLDS, True, True, LENT),
        (OWN, LOCKED, Hold.HOLDS, True, False, LENT),
        (OWN, LOCKED, Hold.HOLDS, False, True, OWN),
        (OWN, LOCKED, Hold.HOLDS, False, False, None),
        (LENT, LOCKED, Hold.HOLDS, True, True, OWN),
        (LENT, LOCKED, Hold.HOLDS, True, False, None),
        (OWN, NO_PARENT, Hold.NONE, True, True, None),
        (OWN, NO_PARENT, Hold.OPEN, True, True, None),
        (OWN, NO_PARENT, Hold.HOLDS, False, True, LENT),
        (LENT, NO_PARENT, Hold.HOLDS, True, True, None),
        (OWN, GAVE_WAY, Hold.HOLDS, True, True, OWN),
        (LENT, GAVE_WAY, Hold.HOLDS, True, True, OWN),
        (LENT, GAVE_WAY, Hold.HOLDS, True, False, None),
    ],
)
def test_the_next_way(
    way: Way, obstacle: Obstacle | None, hold: Hold, may_lend: bool, in_time: bool, expected: Way | None
) -> None:
    """A request waits for itself, or the host's transaction is burdened with what others hold."""
    assert decide_way(way, obstacle, hold, may_lend=may_lend, in_time=in_time) is expected


def save(host: Any, user: Any) -> Any:
    token = {"access_token": "access", "refresh_token": "refresh"}
    return host.store.save(user, "github", token, "42", protocol="oauth2", now=NOW)


def claim(store: Any, stored: Any) -> Any:
    return store.claim(stored, owner="me", now=NOW, lease=30)


def lock(connection: sa.Connection, host: Any, stored: Any) -> None:
    table = host.models.OAuth2Token.__table__
    connection.execute(sa.update(table).where(table.c.id == stored.id).values(last_error="by somebody else"))


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest, make_kind: Callable[[str], Any]) -> Any:
    """A host on a database with locks on rows."""
    return make_kind(request.param)


@pytest.mark.parametrize("touched", ["users", "tokens"])
def test_a_row_that_somebody_else_holds_burdens_no_host(server: Any, touched: str) -> None:
    """The host's transaction takes part in a deadlock of others, and the database throws its work away."""
    user = server.add_user()
    stored, mine = save(server, user), save(server, server.add_user())
    other = server.create_store()
    with Session(server.engine) as session, server.engine.connect() as somebody:
        server.session = session
        session.add(server.user_model(name="pending"))
        if touched == "tokens":
            session.get(server.models.OAuth2Token, mine.id).last_error = "seen by the host"
        session.flush()
        lock(somebody, server, stored)
        with pytest.raises(StorageBusy):
            claim(server.store, stored)
        somebody.rollback()
        server.session = None
        assert claim(other, stored) is not None  # nothing of the host's transaction holds it
        session.commit()
    other.dispose()
    assert server.scalar("SELECT count(*) FROM users WHERE name = 'pending'") == 1


def test_a_lost_race_leaves_no_lock_behind(make_kind: Callable[[str], Any]) -> None:
    """A worker that comes second keeps the first one from storing the renewed token."""
    host = make_kind("postgresql")
    stored, mine = save(host, host.add_user()), save(host, host.add_user())
    table = host.models.OAuth2Token.__table__
    other = host.create_store()
    with Session(host.engine) as session, host.engine.connect() as somebody:
        host.session = session
        session.get(host.models.OAuth2Token, mine.id).last_error = "seen by the host"
        session.flush()
        lock(somebody, host, stored)

        def win(connection: sa.Connection, name: str) -> None:
            """Between the refusal and the try within the host's transaction, the first one is done."""
            if somebody.in_transaction():
                somebody.execute(sa.update(table).where(table.c.id == stored.id).values(version=stored.version + 1))
                somebody.commit()

        sa.event.listen(host.engine, "savepoint", win)
        assert claim(host.store, stored) is None
        host.session = None
        current = other.reload(stored)
        assert current.version == stored.version + 1
        assert claim(other, current) is not None
        session.rollback()
    other.dispose()


def test_a_host_whose_transaction_the_database_has_ended_cannot_commit(make_kind: Callable[[str], Any]) -> None:
    """MariaDB throws the host's pending work away, and the host goes on as if it were stored."""
    host = make_kind("mariadb")
    stored, mine = save(host, host.add_user()), save(host, host.add_user())
    with Session(host.engine) as session, host.engine.connect() as somebody:
        host.session = session
        session.execute(sa.text("SET SESSION innodb_snapshot_isolation = ON"))
        session.execute(sa.select(host.user_model)).all()
        session.add(host.user_model(name="pending"))
        session.get(host.models.OAuth2Token, mine.id).last_error = "seen by the host"
        session.flush()
        lock(somebody, host, stored)
        somebody.commit()  # changed since the host's snapshot
        row = sa.select(host.models.OAuth2Token.id).where(host.models.OAuth2Token.id == stored.id)
        somebody.execute(row.with_for_update()).all()
        with pytest.raises(TransactionLost):
            claim(host.store, stored)
        with pytest.raises(PendingRollbackError):
            session.commit()
        session.rollback()
        somebody.rollback()
        host.session = None
    assert host.scalar("SELECT count(*) FROM users WHERE name = 'pending'") == 0
    assert claim(host.store, stored) is not None


def test_the_hosts_connection_waits_for_locks_as_before(host: Any) -> None:
    """After a refresh the host's own statements fail where they used to wait."""
    questions = {
        "sqlite": "PRAGMA busy_timeout",
        "postgresql": "SHOW lock_timeout",
        "mysql": "SELECT @@innodb_lock_wait_timeout",
    }
    question = sa.text(questions[host.engine.dialect.name])
    stored = save(host, host.add_user())
    with Session(host.engine) as session:
        host.session = session
        before = session.execute(question).scalar_one()
        session.get(host.models.OAuth2Token, stored.id).last_error = "seen by the host"
        session.flush()
        assert claim(host.store, stored) is not None
        assert session.execute(question).scalar_one() == before
        session.rollback()
        host.session = None
