"""What the host is doing at the same time: its transaction, and whether that can hold what we want to write."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from .engines import is_own, is_shared

_INFO_KEY = "flask_oauth_accounts.written"
_PLAIN_READ = re.compile(r"\s*\(?\s*SELECT\b(?!.*\b(?:FOR|LOCK)\b)", re.IGNORECASE | re.DOTALL)


class Hold(Enum):
    """What the host's transaction has to do with the rows that are to be written.

    ``NONE``: there is no such transaction. ``OPEN``: it is open, and holds none of them. ``HOLDS``: it may hold them,
    for it has written to their tables or locked rows there; on SQLite, it may have the lock of the whole file.
    """

    NONE = "none"
    OPEN = "open"
    HOLDS = "holds"


@dataclass(frozen=True)
class Host:
    """The host's transaction in our database at this moment.

    :ivar session: of the host in this context, if it has one.
    :ivar link: the connection on which that session has a transaction open, if it has.
    """

    session: Session | None
    link: sa.Connection | None
    hold: Hold


class Footprints:
    """Remembers in which tables the host's open transactions have written or locked rows.

    No database says this to a user without special rights, so the statements themselves are looked at.

    :param tables: names of the tables that matter.
    """

    def __init__(self, tables: Iterable[str]) -> None:
        names = sorted(map(re.escape, tables), key=len, reverse=True)
        self._names = re.compile(rf"(?<!\w)(?:{'|'.join(names)})(?!\w)")

    def watch(self, engine: sa.Engine) -> None:
        """Look at what this engine's transactions do from now on."""
        event.listen(engine, "begin", self._on_begin)
        event.listen(engine, "before_cursor_execute", self._on_execute)

    def has_touched(self, link: sa.Connection, tables: Iterable[str] | None) -> bool:
        """Whether the open transaction may have written to one of the tables, or locked rows there.

        :param tables: ``None`` for any that matters.
        """
        written: set[str] | None = link.info.get(_INFO_KEY)
        if written is None:
            return True  # it began before anybody looked
        return bool(written if tables is None else written.intersection(tables))

    def _on_begin(self, connection: sa.Connection) -> None:
        if not is_own(connection.engine):
            connection.info[_INFO_KEY] = set()

    def _on_execute(self, connection: sa.Connection, cursor: Any, statement: str, *more: Any) -> None:
        written: set[str] | None = None if is_own(connection.engine) else connection.info.get(_INFO_KEY)
        if written is not None and not _PLAIN_READ.match(statement):
            written.update(self._names.findall(statement))


def find_link(session: Session | None, engine: sa.Engine) -> sa.Connection | None:
    """The connection on which the host's session has a transaction open in this database, if it has one.

    Asking the session for it would check one out of a pool that may be used up, and a session without a connection
    holds no lock.
    """
    transaction = session.get_transaction() if session is not None and session.is_active else None
    if transaction is None:
        return None
    connections: dict[Any, tuple[Any, ...]] = getattr(transaction, "_connections", {})
    for entry in connections.values():
        connection = entry[0]
        if isinstance(connection, sa.Connection) and not connection.closed and _is_same(connection.engine, engine):
            return connection
    return None


def _is_same(one: sa.Engine, other: sa.Engine) -> bool:
    """Whether both engines speak to the same database; one in memory is known by its pool alone."""
    return one.pool is other.pool or (one.url == other.url and not is_shared(other))


def is_in_transaction(link: sa.Connection) -> bool:
    """Whether the driver has begun a transaction; that of SQLite waits for the first statement that writes."""
    return link.dialect.name != "sqlite" or bool(getattr(link.connection.dbapi_connection, "in_transaction", True))
