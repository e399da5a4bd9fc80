"""Short transactions of the package's own, beside whatever the host is doing at the same time.

Usually a transaction is the package's own, on a connection of its own: it ends before the call returns, sees what
others have just written, and does not care whether the host commits.

Sometimes the host's open transaction stands in the way: it holds SQLite's only write lock, a lock on the very row,
or the user's row that nobody else can see yet; or there is only one connection at all. Waiting would wait for
oneself. Then the work is lent to the host's transaction: done in a savepoint, without committing anything, and
:mod:`.borrowed` sees to it that the rows outlive a rollback. When that is so is decided in :mod:`.locks`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from . import faults, locks
from .borrowed import Keeper, find_keeper, get_keeper, savepoint
from .engines import OwnEngines, is_shared
from .host import Footprints, Hold, Host, find_link, is_in_transaction
from .locks import Way
from .work import Work

T = TypeVar("T")

PATIENCE = 8.0
"""Seconds for which a piece of work is tried where others hold what it needs."""
_PAUSE = 0.02


class Transactions:
    """Runs functions in a transaction.

    :param engine: finds the host's engine.
    :param host_session: the host's session of this context, or ``None``.
    :param tables: names of the tables that are written here, or that rows of these belong to.
    """

    def __init__(
        self,
        engine: Callable[[], sa.Engine],
        host_session: Callable[[], Session | None],
        tables: Iterable[str],
    ) -> None:
        self._footprints = Footprints(tables)
        self.engines = OwnEngines(engine, on_create=self._footprints.watch)
        self._host_session = host_session
        self._shared_lock = threading.RLock()

    def read(
        self,
        function: Callable[[sa.Connection], T],
        *,
        table: sa.Table | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> T:
        """Run a function that only reads; it sees what is committed, and what was lent in this context.

        :param function: gets the connection; may be called more than once.
        :param table: that it reads, and
        :param values: of the rows it reads there; others that were lent to the host do not concern it then, and it
            reads past the host's snapshot.
        :return: what the function returns.
        """
        engine = self.engines.get()
        host = self._find_host(None)
        keeper = find_keeper(host.session)
        if host.link is not None and keeper is not None and keeper.has(table, values or {}):
            _reapply(keeper, host.link)
            return function(host.link)
        if is_shared(engine):
            with self._shared_lock:
                return _read_own(engine, function) if host.link is None else function(host.link)
        try:
            return _read_own(engine, function)
        except sa.exc.DBAPIError as error:
            if host.link is None or not faults.is_locked(error):
                raise
            return function(host.link)

    def write(
        self,
        function: Callable[[Work], T],
        *,
        tables: Iterable[str] | None = None,
        patience: float = PATIENCE,
    ) -> T:
        """Run a function that writes, all or nothing.

        :param function: gets the work; may be called more than once, each time after all was undone.
        :param tables: names of those whose locks it needs; ``None`` for any of the package's.
        :param patience: seconds for which it is tried while others hold what it needs.
        :return: what the function returns.
        :raises sqlalchemy.exc.DBAPIError: if the database does not do it.
        :raises TransactionLost: if the database has ended the host's transaction.
        """
        engine = self.engines.get()
        host = self._find_host(tables)
        if is_shared(engine):
            with self._shared_lock:
                return self._do(Way.OWN if host.link is None else Way.LENT, engine, host, function, patience)
        return self._try_ways(engine, host, function, patience)

    def when_settled(self, action: Callable[[], object]) -> None:
        """Call an action once nothing that the host does can undo what was written: at once, or when it has ended.

        It is not called where what was lent has been lost.
        """
        keeper = find_keeper(self._host_session())
        if keeper is None or not keeper.is_pending:
            action()
        else:
            keeper.when_settled(action)

    def _find_host(self, tables: Iterable[str] | None) -> Host:
        session = self._host_session()
        link = find_link(session, self.engines.host())
        if link is None:
            return Host(session, None, Hold.NONE)
        is_sqlite = link.dialect.name == "sqlite"
        holds = is_in_transaction(link) if is_sqlite else self._footprints.has_touched(link, tables)
        return Host(session, link, Hold.HOLDS if holds else Hold.OPEN)

    def _try_ways(self, engine: sa.Engine, host: Host, function: Callable[[Work], T], patience: float) -> T:
        begun = time.monotonic()
        delay = locks.get_delay(engine)
        if host.hold is Hold.HOLDS:
            patience = max(patience, delay)
        way = Way.OWN
        while True:
            left = patience - (time.monotonic() - begun)
            try:
                return self._do(way, engine, host, function, left)
            except sa.exc.DBAPIError as error:
                waited = time.monotonic() - begun
                obstacle = locks.find_obstacle(error)
                following = locks.decide_way(
                    way, obstacle, host.hold, may_lend=waited >= delay, in_time=waited < patience
                )
                if following is None:
                    raise
            way = following
            if way is Way.OWN:
                time.sleep(_PAUSE)

    def _do(self, way: Way, engine: sa.Engine, host: Host, function: Callable[[Work], T], left: float) -> T:
        if way is Way.LENT and host.session is not None and host.link is not None:
            return self._lend(host.session, host.link, function)
        return _write_own(engine, function, min(locks.LOCK_WAIT, max(left, 0.0)), host.hold)

    def _lend(self, session: Session, link: sa.Connection, function: Callable[[Work], T]) -> T:
        keeper = get_keeper(session, self._run_alone)
        _reapply(keeper, link)
        with savepoint(link) as nested:
            work = Work(link)
            result = function(work)
            images = work.take_images()
            if work.is_vain:
                nested.rollback()
        if is_in_transaction(link):  # else the savepoint was SQLite's outermost one, and a transaction of its own
            keeper.keep(images)
        return result

    def _run_alone(self, function: Callable[[sa.Connection], None]) -> None:
        """Run after the host's transaction has ended."""
        engine = self.engines.get()
        host = Host(None, None, Hold.NONE)
        with faults.translated():
            if is_shared(engine):
                with self._shared_lock:
                    self._do(Way.OWN, engine, host, lambda work: function(work.connection), PATIENCE)
            else:
                self._try_ways(engine, host, lambda work: function(work.connection), PATIENCE)


def _reapply(keeper: Keeper, link: sa.Connection) -> None:
    """Write again what a savepoint of the host has taken back, on the same connection."""
    if keeper.is_lost:
        with savepoint(link):
            keeper.reapply(link)


def _read_own(engine: sa.Engine, function: Callable[[sa.Connection], T]) -> T:
    with engine.connect() as connection:
        return function(connection)


def _write_own(engine: sa.Engine, function: Callable[[Work], T], seconds: float, hold: Hold) -> T:
    with engine.connect() as connection, locks.wait_alone(connection, seconds, hold):
        return function(Work(connection))
