"""The package's own connections: made as the host makes its own, but never taken from the host's pool."""

from __future__ import annotations

import os
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import SingletonThreadPool, StaticPool


def is_shared(engine: sa.Engine) -> bool:
    """Whether there is only one connection (of the thread), as for SQLite in memory: a second one sees nothing."""
    return isinstance(engine.pool, (StaticPool, SingletonThreadPool))


class OwnEngines:
    """Gives the engine to use in this process, beside the host's engine of the moment.

    The pool is made anew for each process id: connections that were open before a fork belong to the parent alone,
    so they are neither used nor closed here.

    :param host: finds the host's engine.
    :param on_create: gets each engine of the host's beside which one is made here.
    """

    def __init__(self, host: Callable[[], sa.Engine], *, on_create: Callable[[sa.Engine], object]) -> None:
        self.host = host
        self._on_create = on_create
        self._own: dict[tuple[int, int], tuple[sa.Engine, sa.Engine]] = {}

    def get(self) -> sa.Engine:
        """:return: an engine on the same database; the host's own where there is only one connection."""
        host = self.host()
        if is_shared(host):
            return host
        key = (os.getpid(), id(host))
        known = self._own.get(key)
        if known is None:
            # No lock, which a fork could leave held: of two engines made at once, the later one is never connected.
            known = self._own.setdefault(key, (host, _create_beside(host)))
            self._on_create(host)
        return known[1]


class _EngineBeside(sa.Engine):
    """An engine whose listeners are those of the host's engine, also those that are added later."""

    # Listeners on the class itself reach this engine through the host's; else they would be called twice.
    _sa_propagate_class_events = False


def is_own(engine: sa.Engine) -> bool:
    """Whether an engine was made here, beside the host's."""
    return isinstance(engine, _EngineBeside)


def _create_beside(host: sa.Engine) -> sa.Engine:
    own = _EngineBeside(
        host.pool.recreate(),
        host.dialect,
        host.url,
        echo=host.echo,
        execution_options=host.get_execution_options(),
        hide_parameters=True,
    )
    # The host's listeners count here too: some make the connection fit to use (pragmas, explicit BEGIN for SQLite).
    # Joined, so that a listener added later counts as well; the flag makes SQLAlchemy look for them.
    own.dispatch = own.dispatch._join(host.dispatch)
    own._has_events = True
    pid = os.getpid()

    def dispose(engine: sa.Engine) -> None:
        if engine is host and os.getpid() == pid:
            own.dispose()

    event.listen(host, "engine_disposed", dispose)
    return own
