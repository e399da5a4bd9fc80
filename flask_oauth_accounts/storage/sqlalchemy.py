"""The store behind all ports, on SQLAlchemy Core: no identity map, no host session, one transaction a method."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from ..errors import MissingTokenError
from ..tokens import Protocol as TokenProtocol
from ..tokens import StoredToken, TokenDict
from .accounts import AccountMixin
from .locks import LOCK_WAIT
from .rows import TokenTable
from .transactions import PATIENCE
from .upkeep import UpkeepMixin
from .users import read_detached
from .work import Work

_FREE: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None, "retry_at": None, "failures": 0}


class SQLAlchemyStore(AccountMixin, UpkeepMixin):
    """Implements ``TokenStore``, ``AccountStore`` (``IdentityStore`` and ``EventSink``) and the upkeep."""

    def load(
        self, user_id: Any, name: str, account: str | None = None, *, protocol: TokenProtocol
    ) -> StoredToken | None:
        """Read a token by one query.

        :param account: ``None`` for the one last logged in with, where there are several.
        :raises StorageUnavailable: if the database does not answer.
        """
        key = self._known_user_id(user_id)
        if key is None:
            return None
        access = self.token_tables[protocol]
        values = {"user_id": key, "name": name}
        if account is None:
            query = access.by_name
        else:
            query, values["account"] = access.by_account, account
        return self._read(
            lambda connection: _first(access, connection, query, values), table=access.table, values=values
        )

    def reload(self, stored: StoredToken) -> StoredToken | None:
        """Read the same row again, in a new transaction."""
        access = self.token_tables[stored.protocol]
        query = access.select().where(access.table.c.id == stored.id)
        return self._read(
            lambda connection: _first(access, connection, query), table=access.table, values={"id": stored.id}
        )

    def save(
        self,
        user_id: Any,
        name: str,
        token: Mapping[str, Any],
        account: str = "",
        *,
        protocol: TokenProtocol,
        identity_id: Any = None,
        requested_scope: str | None = None,
        now: float,
    ) -> StoredToken:
        """Insert or replace the token of one account; a new consent clears status, lease and back-off.

        What the token leaves out of ``refresh_token``, ``scope`` and ``id_token`` stays as it is stored.

        :raises InvalidTokenError: if the token has no access token.
        :raises StorageUnavailable: if the database does not answer, or there is no such user.
        """
        key = self.read_user_id(user_id)
        access = self.token_tables[protocol]
        plain = access.create_values(token, now)

        def write(work: Work) -> StoredToken | None:
            row_id = self._put_token(
                work,
                access,
                plain,
                (self.users.find_key(work.connection, key), name, account),
                identity_id=identity_id,
                requested_scope=requested_scope,
                now=now,
                login=True,
            )
            return _first(access, work.connection, access.select().where(access.table.c.id == row_id))

        stored = self._write(write)
        if stored is None:
            raise MissingTokenError(description="the token was deleted while it was being saved", provider=name)
        return stored

    def save_row(self, model: Any, user_or_id: Any, name: str, token: Mapping[str, Any], account: str = "") -> Any:
        """What ``OAuth2Token.save`` does.

        :return: the row as an instance of the model, detached.
        """
        stored = self.save(user_or_id, name, token, account, protocol=model._oauth_protocol, now=self.clock())
        return self._read(lambda connection: read_detached(connection, model, stored.id))

    def claim(self, stored: StoredToken, *, owner: str, now: float, lease: float) -> StoredToken | None:
        """Take the right to refresh this very version.

        A claim never waits for a lock. Whoever holds the row may have renewed it within a transaction, and writes it
        again after a rollback; a claim in the queue would come before that, and take the old row for the newest one.

        :param owner: who claims; different for every attempt.
        :param lease: seconds for which the claim holds.
        :return: the row with the lease; ``None`` if somebody was faster, or has failed since the row was read.
        :raises StorageBusy: if another transaction holds the row.
        """
        access = self.token_tables[stored.protocol]
        c = access.table.c
        if "lease_owner" not in c:
            return None
        is_free = sa.or_(c.lease_expires_at.is_(None), c.lease_expires_at <= now)
        is_active = sa.or_(c.status == "active", access.is_marked)  # as read() has it
        conditions = (is_active, c.failures == stored.failures, is_free)
        lease_values: dict[str, Any] = {"lease_owner": owner, "lease_expires_at": now + lease}
        values = {**lease_values, "status": "active", "updated_at": c.updated_at}
        if not self._update_version(stored, values, *conditions, patience=0.0):
            return None
        return dataclasses.replace(stored, **lease_values)

    def commit_refresh(self, stored: StoredToken, *, owner: str, token: TokenDict, now: float) -> StoredToken | None:
        """Write the refreshed token if the row still has this version.

        :return: the row as written; ``None`` if it was rewritten or is gone.
        :raises StorageBusy: if another transaction holds the row for longer than a moment.
        """
        access = self.token_tables[stored.protocol]
        plain = access.create_values(token, now)
        columns = {name: value for name, value in plain.items() if name not in access.secret_names}
        columns |= {"status": "active", "last_error": None, "version": stored.version + 1, "updated_at": now}
        columns |= {name: value for name, value in _FREE.items() if name in access.table.c}
        sealed = access.seal(plain, stored.user_id, stored.name, stored.account)
        if not self._update_version(stored, {**columns, **sealed}, patience=LOCK_WAIT):
            return None
        merged = access.create_token({**stored.token, **plain})
        shown = {name: value for name, value in columns.items() if name in StoredToken.__dataclass_fields__}
        return dataclasses.replace(stored, token=merged, unreadable=False, **shown)

    def release(self, stored: StoredToken, *, owner: str, error: str, retry_at: float | None, failures: int) -> None:
        """Give the claim back after a failure that passes.

        :param error: its code, shown as the connection's health.
        :param retry_at: seconds since the epoch before which nobody tries again.
        """
        c = self.token_tables[stored.protocol].table.c
        if "lease_owner" not in c:
            return
        values = {**_FREE, "retry_at": retry_at, "failures": failures, "last_error": error[:255] or None}
        # A failed attempt has changed neither token nor status, which are what the row's time is about.
        self._update_version(stored, {**values, "updated_at": c.updated_at}, c.lease_owner == owner, patience=LOCK_WAIT)

    def when_settled(self, action: Callable[[], object]) -> None:
        """Call an action once the host cannot undo any more what was written: at once, or after its transaction."""
        self.transactions.when_settled(action)

    def mark_reauth_required(self, stored: StoredToken, *, error: str) -> bool:
        """Keep the row, but only a new consent revives it; the refresh token, which is dead, is dropped.

        A row that does not open keeps everything, its version too: another worker may have the key, and be refreshing
        it. Where it opens again, it is active again.

        :return: ``False`` if the version has moved on, or if the row was marked already.
        """
        values: dict[str, Any] = {"status": "reauth_required"}
        if stored.unreadable:
            is_active = self.token_tables[stored.protocol].table.c.status == "active"
            values |= {"last_error": error, "updated_at": self.clock()}
            return self._update_version(stored, values, is_active)
        if stored.protocol == "oauth2":
            values |= {"refresh_token": None, "refresh_expires_at": None}
        return self._end(stored, values, error)

    def mark_revoked(self, stored: StoredToken, *, error: str | None = None) -> bool:
        """Keep the row to show what became of it, without any secret.

        :return: ``False`` if the version has moved on.
        """
        access = self.token_tables[stored.protocol]
        return self._end(stored, {"status": "revoked", **dict.fromkeys(access.secret_names)}, error)

    def delete_token(self, stored: StoredToken) -> bool:
        """Delete the row, whatever its version is by now."""
        table = self.token_tables[stored.protocol].table
        return self._write(lambda work: self._delete(work, table, table.c.id == stored.id)) > 0

    def _end(self, stored: StoredToken, values: dict[str, Any], error: str | None) -> bool:
        columns = self.token_tables[stored.protocol].table.c
        values = {**values, "version": stored.version + 1, "last_error": error[:255] if error else None}
        values |= {name: value for name, value in _FREE.items() if name in columns}
        return self._update_version(stored, {**values, "updated_at": self.clock()})

    def _update_version(
        self,
        stored: StoredToken,
        values: dict[str, Any],
        *conditions: sa.ColumnElement[bool],
        patience: float = PATIENCE,
    ) -> bool:
        """Compare and swap: the row count says whether the row was still as it was read.

        :param patience: seconds to wait for others who hold the row; 0 for not at all.
        """
        table = self.token_tables[stored.protocol].table
        c = table.c
        place = (c.user_id == stored.user_id, c.name == stored.name, c.account == stored.account)
        statement = sa.update(table).where(c.id == stored.id, c.version == stored.version, *place, *conditions)
        # Of no use to SQLite, which has one lock for everything.
        lock = sa.select(c.id).where(c.id == stored.id).with_for_update(nowait=True)

        def write(work: Work) -> bool:
            if not patience and work.connection.dialect.name != "sqlite":
                work.connection.execute(lock)
            changed = work.connection.execute(statement.values(values)).rowcount
            if changed not in (0, 1):
                raise sa.exc.InvalidRequestError("the driver does not count the rows that an UPDATE has matched")
            work.is_vain = not changed
            if changed:
                work.touch(table, stored.id)
            return changed == 1

        return self._write(write, tables=(table.name,), patience=patience)


def _first(
    access: TokenTable, connection: sa.Connection, query: sa.Select[Any], values: Mapping[str, Any] | None = None
) -> StoredToken | None:
    row = connection.execute(query, values).mappings().first()
    return None if row is None else access.read(row)
