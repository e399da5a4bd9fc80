"""Short transactions of the package's own, beside whatever the host is doing at the same time.

Usually a transaction is the package's own, on a connection of its own: it ends before the call returns, sees what
others have just written, and does not care whether the host commits.

Sometimes the host's open transaction stands in the way: it holds SQLite's only write lock, a lock on the very row,
or the user's row that nobody else can see yet; or there is only one connection at all. Waiting would wait for
oneself. Then the work is done inside the host's transaction, in a savepoint, without committing anything, and
:mod:`.borrowed` sees to it that the rows outlive a rollback.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import faults
from .borrowed import find_keeper, get_keeper
from .engines import OwnEngines, is_shared
from .work import Work

T = TypeVar("T")

_ATTEMPTS = 4
_PATIENCE = 8.0
_PAUSE = 0.01


class Transactions:
    """Runs functions in a transaction.

    :param engine: finds the host's engine.
    :param host_session: the host's session of this context, or ``None``.
    """

    def __init__(self, engine: Callable[[], sa.Engine], host_session: Callable[[], Session | None]) -> None:
        self.engines = OwnEngines(engine)
        self._host_session = host_session
        self._shared_lock = threading.RLock()

    def read(self, function: Callable[[sa.Connection], T]) -> T:
        """Run a function that only reads; it sees what is committed, and what was written here in this context.

        :param function: gets the connection; may be called more than once.
        :return: what the function returns.
        """
        session = self._host_session()
        engine = self.engines.get()
        link = self._find_link(session)
        keeper = find_keeper(session)
        if link is not None and keeper is not None and keeper.is_pending:
            keeper.reapply(link)
            return function(link)
        if is_shared(engine):
            with self._shared_lock:
                if link is not None:
                    return function(link)
                return _read_own(engine, function)
        try:
            return _read_own(engine, function)
        except sa.exc.DBAPIError as error:
            if link is None or not faults.is_locked(error):
                raise
            return function(link)

    def write(self, function: Callable[[Work], T]) -> T:
        """Run a function that writes, all or nothing.

        :param function: gets the work; may be called more than once, each time after all was undone.
        :return: what the function returns.
        """
        session = self._host_session()
        engine = self.engines.get()
        link = self._find_link(session)
        if is_shared(engine):
            with self._shared_lock:
                if session is not None and link is not None:
                    return self._borrow(session, link, function)
                return _write_own(engine, function)
        keeper = find_keeper(session)
        if session is None or link is None:
            return _write_patiently(engine, function)
        if keeper is not None and keeper.is_pending:
            return self._borrow(session, link, function)
        return self._write_beside(engine, session, link, function)

    def _write_beside(
        self, engine: sa.Engine, session: Session, link: sa.Connection, function: Callable[[Work], T]
    ) -> T:
        """Write while the host has a transaction open: alone if possible, inside it where it stands in the way."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return _write_own(engine, function, beside=link)
            except sa.exc.DBAPIError as error:
                if not (faults.is_locked(error) or faults.is_missing_parent(error) or faults.is_retryable(error)):
                    raise
            try:
                return self._borrow(session, link, function)
            except sa.exc.DBAPIError as error:
                if not faults.is_locked(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE)

    def _find_link(self, session: Session | None) -> sa.Connection | None:
        """The connection on which the host's session has a transaction open in this database, if it has one.

        Asking the session for it would check one out of a pool that may be used up, and a session without a
        connection holds no lock.
        """
        transaction = session.get_transaction() if session is not None and session.is_active else None
        if transaction is None:
            return None
        host = self.engines.host()
        connections: dict[Any, tuple[Any, ...]] = getattr(transaction, "_connections", {})
        for entry in connections.values():
            connection = entry[0]
            if isinstance(connection, sa.Connection) and not connection.closed and _is_same(connection.engine, host):
                return connection
        return None

    def _borrow(self, session: Session, link: sa.Connection, function: Callable[[Work], T]) -> T:
        keeper = get_keeper(session, self._run_alone)
        keeper.reapply(link)
        with link.begin_nested():
            work = Work(link)
            result = function(work)
            images = work.take_images()
        if _is_open(link):
            keeper.keep(images)
        return result

    def _run_alone(self, function: Callable[[sa.Connection], None]) -> None:
        """Run after the host's transaction has ended."""
        engine = self.engines.get()
        with faults.translated():
            if is_shared(engine):
                with self._shared_lock:
                    _write_own(engine, lambda work: function(work.connection))
            else:
                _write_patiently(engine, lambda work: function(work.connection))


def _is_same(one: sa.Engine, other: sa.Engine) -> bool:
    """Whether both engines speak to the same database; one in memory is known by its pool alone."""
    return one.pool is other.pool or (one.url == other.url and not is_shared(other))


def _is_open(link: sa.Connection) -> bool:
    """Whether the savepoint was inside a transaction; SQLite's outermost savepoint is a transaction of its own."""
    return link.dialect.name != "sqlite" or bool(getattr(link.connection.dbapi_connection, "in_transaction", True))


def _read_own(engine: sa.Engine, function: Callable[[sa.Connection], T]) -> T:
    with engine.connect() as connection:
        return function(connection)


def _write_patiently(engine: sa.Engine, function: Callable[[Work], T]) -> T:
    """Write with nobody of this context in the way; others are waited for and given way to."""
    deadline = time.monotonic() + _PATIENCE
    for attempt in range(_ATTEMPTS):
        try:
            return _write_own(engine, function)
        except sa.exc.DBAPIError as error:
            last = attempt == _ATTEMPTS - 1 or time.monotonic() > deadline
            if last or not (faults.is_locked(error) or faults.is_retryable(error)):
                raise
        time.sleep(_PAUSE)
    raise AssertionError("unreachable")


def _write_own(engine: sa.Engine, function: Callable[[Work], T], *, beside: sa.Connection | None = None) -> T:
    with engine.connect() as connection, _lock_wait(connection, beside), connection.begin():
        _begin(connection, beside)
        return function(Work(connection))


def _begin(connection: sa.Connection, beside: sa.Connection | None) -> None:
    raw = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite" and not getattr(raw, "in_transaction", True):
        # A transaction that reads first could not write any more once somebody else has.
        _execute_raw(connection, "BEGIN IMMEDIATE")
    elif connection.dialect.name == "postgresql" and beside is not None:
        _execute_raw(connection, "SET LOCAL lock_timeout = '500ms'")


def _execute_raw(connection: sa.Connection, statement: str) -> Any:
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


@contextmanager
def _lock_wait(connection: sa.Connection, beside: sa.Connection | None) -> Iterator[None]:
    """Do not wait for long for a lock that the host's transaction may hold."""
    name = connection.dialect.name
    if beside is not None and name in ("mysql", "mariadb") and not connection.info.get("oauth_lock_wait"):
        _execute_raw(connection, "SET SESSION innodb_lock_wait_timeout = 1")
        connection.info["oauth_lock_wait"] = True
    if beside is None or name != "sqlite":
        yield
        return
    before = int(_execute_raw(connection, "PRAGMA busy_timeout"))
    # The host holds the write lock as soon as its driver has begun a transaction, and keeps it while we wait.
    _execute_raw(connection, f"PRAGMA busy_timeout = {0 if _is_open(beside) else before}")
    try:
        yield
    finally:
        _execute_raw(connection, f"PRAGMA busy_timeout = {before}")
