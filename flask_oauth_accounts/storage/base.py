"""What the parts of the store share: tables, users, transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ..errors import StorageUnavailable
from ..protocols import Clock, Event, Sealer
from ..tokens import Protocol as TokenProtocol
from . import faults
from .models import Models
from .rows import TokenTable
from .transactions import PATIENCE, Transactions
from .users import Users, read_detached
from .work import Work, key_column

T = TypeVar("T")


class BaseStore:
    """Runs each method in one short transaction.

    :param models: the four classes.
    :param engine: finds the host's engine; its settings are used, its pool is not.
    :param host_session: the host's session of this context, or ``None`` outside of one.
    :param sealer: seals and opens the secrets.
    :param clock: seconds since the epoch.
    """

    def __init__(
        self,
        models: Models,
        *,
        engine: Callable[[], sa.Engine],
        host_session: Callable[[], Session | None] = lambda: None,
        sealer: Sealer,
        clock: Clock = time.time,
    ) -> None:
        self.models = models
        self.clock = clock
        self.sealer = sealer
        self.identities: sa.Table = models.OAuthIdentity.__table__
        self.events: sa.Table = models.OAuthEvent.__table__
        self.token_tables: dict[TokenProtocol, TokenTable] = {
            "oauth1": TokenTable(models.OAuth1Token, sealer),
            "oauth2": TokenTable(models.OAuth2Token, sealer),
        }
        self.users = Users(models.user_model, self.identities.c.user_id)
        tables = [self.identities, self.events, *(access.table for access in self.token_tables.values())]
        self.transactions = Transactions(engine, host_session, _list_names(tables))

    def _read(
        self,
        function: Callable[[sa.Connection], T],
        *,
        table: sa.Table | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> T:
        with faults.translated():
            return self.transactions.read(function, table=table, values=values)

    def _write(
        self, function: Callable[[Work], T], *, tables: Iterable[str] | None = None, patience: float = PATIENCE
    ) -> T:
        with faults.translated():
            return self.transactions.write(function, tables=tables, patience=patience)

    def dispose(self) -> None:
        """Close the package's own idle connections; new ones are made when needed."""
        engine = self.transactions.engines.get()
        if engine is not self.transactions.engines.host():
            engine.dispose()

    def read_user_id(self, user_or_id: Any) -> Any:
        """:return: the user's key, of the type of the column.

        :raises StorageUnavailable: if it can be no key.
        """
        try:
            return self.users.read_id(user_or_id)
        except ValueError:
            raise StorageUnavailable(description="a user id has the wrong type for the user model") from None

    def read_user(self, user_id: Any) -> Any:
        """Read a user past the snapshot of the host's transaction, and without a connection from the host's pool.

        :param user_id: the primary key.
        :return: a detached instance, ``None`` if there is no such user.
        :raises StorageUnavailable: if the database does not answer.
        """
        return self._read(lambda connection: read_detached(connection, self.models.user_model, user_id))

    def _known_user_id(self, user_or_id: Any) -> Any | None:
        try:
            return self.users.read_id(user_or_id)
        except ValueError:
            return None

    def _insert(self, work: Work, table: sa.Table, values: dict[str, Any]) -> Any:
        result = work.connection.execute(sa.insert(table).values(values))
        key = result.inserted_primary_key[0] if result.inserted_primary_key else values.get("id")
        work.touch(table, key)
        return key

    def _add_event(self, work: Work, event: Event) -> None:
        self._insert(
            work,
            self.events,
            {
                "created_at": self.clock(),
                "kind": event.kind[:40],
                "outcome": event.outcome[:20],
                "name": event.name[:100],
                "user_id": None if event.user_id is None else self._known_user_id(event.user_id),
                "identity_id": event.identity_id,
                "account": event.account[:255],
                "error": event.error[:100] if event.error else None,
            },
        )

    def _delete(self, work: Work, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
        """Delete rows and remember which, so that they stay deleted."""
        key = key_column(table)
        keys = work.connection.execute(sa.select(key).where(*conditions)).scalars().all()
        if not keys:
            return 0
        count = work.connection.execute(sa.delete(table).where(key.in_(keys))).rowcount
        for value in keys:
            work.touch(table, value)
        return count


def _list_names(tables: Iterable[sa.Table]) -> set[str]:
    """The names of these tables and of those that their rows belong to, such as the host's users."""
    names = set()
    for table in tables:
        names.add(table.name)
        names.update(foreign.target_fullname.split(".")[-2] for foreign in table.foreign_keys)
    return names
