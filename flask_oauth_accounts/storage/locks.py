"""Locks that somebody else holds: for how long they are waited for, and what to do when they are not given.

Whose lock it is decides: one of the host's own transaction will not be given before the host goes on, so the work is
lent to that transaction; for one of anybody else there is nothing to do but to try again. That it is the host's is
known by two signs together: its transaction has written to that table or locked rows there (:class:`.host.Footprints`),
and inside of it the same statement, which waits for nobody there, succeeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any

import sqlalchemy as sa

from . import faults
from .host import Hold

LOCK_WAIT = 1.0
"""Seconds for which one statement waits for a lock."""
_LENT_WAIT = 0.05
_INFO_KEY = "flask_oauth_accounts.lock_wait"


class Way(Enum):
    """Where to do a piece of work: in a transaction of the package's own, or lent to the host's."""

    OWN = "own"
    LENT = "lent"


class Obstacle(Enum):
    """Why the database did not do it, where that may pass."""

    LOCKED = "locked"
    NO_PARENT = "no parent"
    GAVE_WAY = "gave way"


def find_obstacle(error: BaseException) -> Obstacle | None:
    """:return: what stood in the way; ``None`` for a fault that does not pass."""
    if faults.is_locked(error):
        return Obstacle.LOCKED
    if faults.is_missing_parent(error):
        return Obstacle.NO_PARENT
    return Obstacle.GAVE_WAY if faults.is_retryable(error) else None


def decide_way(way: Way, obstacle: Obstacle | None, hold: Hold, *, may_lend: bool, in_time: bool) -> Way | None:
    """Decide how to go on after a try that failed.

    :param way: how it was tried.
    :param obstacle: what stood in the way.
    :param hold: what the host's transaction has to do with it.
    :param may_lend: others have had the time to finish what they were doing.
    :param in_time: it may be tried again.
    :return: the way to try next; ``None`` to give up.
    """
    if obstacle is None:
        return None
    if obstacle is Obstacle.NO_PARENT:
        return Way.LENT if way is Way.OWN and hold is Hold.HOLDS else None
    if obstacle is Obstacle.LOCKED and way is Way.OWN and hold is Hold.HOLDS and may_lend:
        return Way.LENT
    return Way.OWN if in_time else None


def get_delay(engine: sa.Engine) -> float:
    """How long a lock must have been refused before the work is lent.

    Others, who hold a row for a moment, have ended by then: it would else stay locked until the host has ended. That
    weighs more on MariaDB, which also rolls back a whole transaction that touches a row changed since its snapshot.

    :return: seconds.
    """
    return {"postgresql": 0.25, "mysql": LOCK_WAIT, "mariadb": LOCK_WAIT}.get(engine.dialect.name, 0.0)


@contextmanager
def wait_alone(connection: sa.Connection, seconds: float, hold: Hold) -> Iterator[None]:
    """Begin a transaction of the package's own, whose statements wait for locks so long and no longer.

    :param connection: of the package's own.
    :param seconds: at most; MariaDB counts whole seconds.
    :param hold: where the host may hold the lock, there is little to wait for.
    """
    name = connection.dialect.name
    if name in ("mysql", "mariadb") and not connection.info.get(_INFO_KEY):
        execute_raw(connection, f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT:.0f}")
        connection.info[_INFO_KEY] = True
    if name == "sqlite":
        with _busy_timeout(connection, 0.0 if hold is Hold.HOLDS else seconds), connection.begin():
            if not getattr(connection.connection.dbapi_connection, "in_transaction", True):
                # A transaction that reads first could not write any more once somebody else has.
                execute_raw(connection, "BEGIN IMMEDIATE")
            yield
        return
    with connection.begin():
        if name == "postgresql":
            limit = min(seconds, get_delay(connection.engine)) if hold is Hold.HOLDS else seconds
            execute_raw(connection, f"SET LOCAL lock_timeout = {max(1, round(limit * 1000))}")
        yield


@contextmanager
def wait_for_nobody(link: sa.Connection) -> Iterator[None]:
    """Let no statement on the host's connection wait for a lock; afterwards they wait as the host wants it.

    Whoever waits can be chosen to end a deadlock, and on MariaDB that ends the host's whole transaction.

    :param link: inside a savepoint.
    """
    name = link.dialect.name
    if name == "sqlite":
        with _busy_timeout(link, 0.0):
            yield
    elif name == "postgresql":
        before = execute_raw(link, "SHOW lock_timeout")
        execute_raw(link, f"SET LOCAL lock_timeout = {round(_LENT_WAIT * 1000)}")
        yield
        execute_raw(link, f"SET LOCAL lock_timeout = '{before}'")  # after an error, the savepoint takes it back
    elif name in ("mysql", "mariadb"):
        before = execute_raw(link, "SELECT @@innodb_lock_wait_timeout")
        execute_raw(link, "SET SESSION innodb_lock_wait_timeout = 0")
        try:
            yield
        finally:
            with suppress(sa.exc.DBAPIError):  # of a connection that is broken
                execute_raw(link, f"SET SESSION innodb_lock_wait_timeout = {before}")
    else:
        yield


@contextmanager
def _busy_timeout(connection: sa.Connection, seconds: float) -> Iterator[None]:
    before = int(execute_raw(connection, "PRAGMA busy_timeout"))
    execute_raw(connection, f"PRAGMA busy_timeout = {round(seconds * 1000)}")
    try:
        yield
    finally:
        with suppress(sa.exc.DBAPIError):
            execute_raw(connection, f"PRAGMA busy_timeout = {before}")


def execute_raw(connection: sa.Connection, statement: str) -> Any:
    """Speak to the driver itself, for what is no statement of ours but a property of the transaction.

    :return: the first value of the answer, ``None`` without one.
    :raises sqlalchemy.exc.DBAPIError: as for any other statement.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
        row = cursor.fetchone() if cursor.description else None
    except Exception as error:
        raise sa.exc.OperationalError(statement, None, error) from error
    finally:
        cursor.close()
    return None if row is None else row[0]
