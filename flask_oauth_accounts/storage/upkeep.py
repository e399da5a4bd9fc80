"""Reading and mending many rows: lists for the command line, rotation of keys, orphans and old events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ..errors import SealedValueError
from ..protocols import Event
from ..tokens import Protocol as TokenProtocol
from ..tokens import StoredToken
from .base import BaseStore
from .rows import TokenTable
from .sealed import create_context
from .work import Work

_HEAD = 48


@dataclass(frozen=True)
class StoredEvent:
    """One row of ``oauth_event``; ``created_at`` in seconds since the epoch."""

    id: Any
    created_at: float
    event: Event


@dataclass(frozen=True)
class Resealed:
    """What one batch of a key rotation did.

    :ivar last_id: where the next batch goes on; ``None`` after the last one.
    :ivar seen: rows looked at.
    :ivar changed: rows sealed anew.
    :ivar unreadable: rows with a secret that no key opens; left as they are.
    """

    last_id: Any | None
    seen: int
    changed: int
    unreadable: int


class UpkeepMixin(BaseStore):
    """The part of the store that works on many users' rows."""

    def iter_tokens(
        self,
        *,
        protocol: TokenProtocol = "oauth2",
        status: str | None = None,
        expiring_before: float | None = None,
        updated_before: float | None = None,
        name: str | None = None,
        user_id: Any = None,
        batch: int = 500,
    ) -> Iterator[StoredToken]:
        """Go through tokens, each batch in a short transaction of its own.

        They come by primary key; where ``expiring_before`` is given, the first to expire comes first. Rows that are
        ``active`` again because their key is back come behind the others that are.

        :param status: only rows with this status, as :class:`StoredToken` shows it.
        :param expiring_before: only rows that expire before this, in seconds since the epoch.
        :param updated_before: only rows whose token and status are older than this, in seconds since the epoch.
        :param batch: rows read at once.
        """
        access = self.token_tables[protocol]
        c = access.table.c
        query = access.select()
        if expiring_before is not None:
            query = query.where(c.expires_at < expiring_before) if "expires_at" in c else query.where(sa.false())
        if updated_before is not None:
            query = query.where(sa.or_(c.updated_at.is_(None), c.updated_at < updated_before))
        if name is not None:
            query = query.where(c.name == name)
        if user_id is not None:
            query = query.where(c.user_id == self._known_user_id(user_id))
        order = ("id",) if expiring_before is None or "expires_at" not in c else ("expires_at", "id")
        # One query for each status: an OR would keep the databases from the index on status and expiry.
        for condition in _create_status_conditions(access, status):
            for stored in self._iter_batches(access, query.where(condition), order, batch):
                if status in (None, stored.status):
                    yield stored

    def _iter_batches(
        self, access: TokenTable, query: sa.Select[Any], order: tuple[str, ...], batch: int
    ) -> Iterator[StoredToken]:
        last: StoredToken | None = None
        while True:
            rows = self._read_batch(access, query, order, last, batch)
            yield from rows
            if len(rows) < batch:
                return
            last = rows[-1]

    def explain_unreadable(self, stored: StoredToken) -> str | None:
        """:return: why the secrets of a row do not open, such as the key that is missing; ``None`` where they do."""
        access = self.token_tables[stored.protocol]
        rows = self._read(
            lambda connection: (
                connection.execute(access.select().where(access.table.c.id == stored.id)).mappings().all()
            )
        )
        try:
            for row in rows:
                access.open_secrets(row)
        except SealedValueError as error:
            return error.description
        return None

    def count_tokens(self, protocol: TokenProtocol) -> int:
        """:return: the number of rows with tokens of this protocol."""
        query = sa.select(sa.func.count()).select_from(self.token_tables[protocol].table)
        return int(self._fetch(query)[0][0])

    def _read_batch(
        self,
        access: TokenTable,
        query: sa.Select[Any],
        order: tuple[str, ...],
        last: StoredToken | None,
        batch: int,
    ) -> list[StoredToken]:
        """Read on behind the last row, in an order that an index has, so that no batch reads what came before."""
        columns = [access.table.c[name] for name in order]
        query = query.order_by(*columns).limit(batch)
        if last is not None:
            first, key = columns[0], columns[-1]
            place = getattr(last, order[0])
            query = query.where(first >= place, sa.or_(first > place, key > last.id))
        return self._read(lambda connection: [access.read(row) for row in connection.execute(query).mappings()])

    def list_events(
        self,
        *,
        user_id: Any = None,
        kind: str | None = None,
        since: float | None = None,
        before_id: Any = None,
        limit: int = 100,
    ) -> list[StoredEvent]:
        """:return: events, the newest first.

        :param since: seconds since the epoch.
        :param before_id: only events older than this one, for the next page.
        """
        c = self.events.c
        query = sa.select(self.events).order_by(c.id.desc()).limit(limit)
        if user_id is not None:
            query = query.where(c.user_id == self._known_user_id(user_id))
        if kind is not None:
            query = query.where(c.kind == kind)
        if since is not None:
            query = query.where(c.created_at >= since)
        if before_id is not None:
            query = query.where(c.id < before_id)
        rows = self._fetch(query)
        return [
            StoredEvent(
                row.id,
                row.created_at,
                Event(row.kind, row.outcome, row.name, row.user_id, row.identity_id, row.account, row.error),
            )
            for row in rows
        ]

    def purge_events(self, before: float) -> int:
        """Delete old events.

        :param before: seconds since the epoch.
        :return: how many were deleted.
        """
        statement = sa.delete(self.events).where(self.events.c.created_at < before)
        return self._write(lambda work: work.connection.execute(statement).rowcount)

    def purge_orphans(self) -> int:
        """Delete identities and tokens whose user is gone, where the database did not see to it itself.

        :return: how many rows were deleted.
        """

        def write(work: Work) -> int:
            count = 0
            for table in (*(access.table for access in self.token_tables.values()), self.identities):
                for foreign in table.c.user_id.foreign_keys:
                    users = sa.select(foreign.column).scalar_subquery()
                    statement = sa.delete(table).where(table.c.user_id.not_in(users))
                    count += work.connection.execute(statement).rowcount
            return count

        return self._write(write)

    def count_by_key(self, *, batch: int = 5_000) -> dict[str | None, int]:
        """Count sealed secrets by the key that sealed them; ``None`` stands for what is not sealed.

        :param batch: rows read at once.
        """
        counts: dict[str | None, int] = {}
        for access in self.token_tables.values():
            c = access.table.c
            # The beginning names the key; the rest need not leave the database.
            heads = [sa.func.substr(c[name], 1, _HEAD) for name in access.secret_names]
            last: Any = None
            while True:
                query = sa.select(c.id, *heads).order_by(c.id).limit(batch)
                rows = self._fetch(query if last is None else query.where(c.id > last))
                for row in rows:
                    for key_id in map(self.sealer.key_id, filter(None, row[1:])):
                        counts[key_id] = counts.get(key_id, 0) + 1
                if len(rows) < batch:
                    break
                last = rows[-1][0]
        return counts

    def _fetch(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        return self._read(lambda connection: connection.execute(query).all())

    def reseal(self, protocol: TokenProtocol, *, after: Any = None, key_id: str, batch: int = 200) -> Resealed:
        """Seal one batch of rows with the key that seals now; safe beside live traffic, and repeatable.

        :param after: the :attr:`Resealed.last_id` of the batch before; ``None`` for the first.
        :param key_id: the id of the key that seals now; values that carry it are left alone.
        :param batch: rows looked at.
        """
        access = self.token_tables[protocol]
        c = access.table.c
        names = ("id", "user_id", "name", "account", "version", *access.secret_names)
        query = sa.select(*(c[name] for name in names)).order_by(c.id).limit(batch)
        query = query if after is None else query.where(c.id > after)
        rows = self._read(lambda connection: connection.execute(query).mappings().all())
        updates: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        unreadable = 0
        for row in rows:
            try:
                values = self._reseal_row(access, row, key_id)
            except SealedValueError:
                unreadable += 1
                continue
            if values:
                old = {f"old_{name}": row[name] for name in ("id", "version", *values)}
                new = {f"new_{name}": value for name, value in values.items()}
                updates.setdefault(tuple(values), []).append({**old, **new})
        # One transaction for the batch: a commit for each row would wait for the disk a hundred thousand times.
        changed = self._write(lambda work: _write_all(work, access.table, updates)) if updates else 0
        return Resealed(rows[-1]["id"] if len(rows) == batch else None, len(rows), changed, unreadable)

    def _reseal_row(self, access: TokenTable, row: Any, key_id: str) -> dict[str, str]:
        values = {}
        for name in access.secret_names:
            if row[name] is not None and self.sealer.key_id(row[name]) != key_id:
                context = create_context(access.kind, name, row["user_id"], row["name"], row["account"])
                values[name] = self.sealer.seal(self.sealer.unseal(row[name], context), context)
        return values


def _create_status_conditions(access: TokenTable, status: str | None) -> Iterator[sa.ColumnElement[bool]]:
    """Which rows may turn out to have a status once they are opened."""
    if status is None:
        yield sa.true()
        return
    yield access.table.c.status == status
    if status == "active":
        yield access.is_marked


def _write_all(work: Work, table: sa.Table, updates: dict[tuple[str, ...], list[dict[str, Any]]]) -> int:
    """:param updates: names of the secrets → old and new values of each row. :return: the number of rows changed."""
    changed = 0
    for names, rows in updates.items():
        count = work.connection.execute(_create_update(table, names), rows).rowcount
        changed += count if count >= 0 else len(rows)  # some drivers do not count many statements at once
    return changed


def _create_update(table: sa.Table, names: tuple[str, ...]) -> sa.Update:
    """Write if nobody has written since; version and time stay, because the token is the same."""
    same = (table.c[name] == sa.bindparam(f"old_{name}") for name in ("id", "version", *names))
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in names}
    return sa.update(table).where(*same).values({**values, "updated_at": table.c.updated_at})
