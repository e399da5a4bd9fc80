"""Identities, the users behind them, and what happened to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import make_transient

from ..identity import Identity
from ..protocols import ConcurrentLogin, Event, IdentityRecord
from ..tokens import Protocol as TokenProtocol
from ..tokens import StoredToken
from .base import BaseStore
from .faults import is_unique_violation
from .rows import TokenTable, create_profile, create_record
from .users import same_text
from .work import Work

T = TypeVar("T")
Place = tuple[Any, str, str]
"""User id, name and account: what is unique about a token."""

_LOGIN_KINDS = ("login", "signup")


@dataclass(frozen=True)
class ConnectedAccount:
    """One identity with its tokens, a newer one first."""

    record: IdentityRecord
    tokens: tuple[StoredToken, ...]


class AccountMixin(BaseStore):
    """The part of the store that the account service and the pages ask."""

    def find(self, identity: Identity) -> IdentityRecord | None:
        """:return: the row with this login key."""
        return self._find_identity(self.identities.c.login_key == identity.login_key)

    def find_connection(self, user_id: Any, name: str, subject: str) -> IdentityRecord | None:
        """:return: the user's own row for this provider account, whether it can log in or not."""
        c = self.identities.c
        key = self._known_user_id(user_id)
        return self._find_identity(c.user_id == key, c.name == name, c.subject == subject)

    def find_identity(self, identity_id: Any, user_id: Any) -> IdentityRecord | None:
        """:return: the row with this primary key, if it is the user's."""
        c = self.identities.c
        return self._find_identity(c.id == identity_id, c.user_id == self._known_user_id(user_id))

    def _find_identity(self, *conditions: sa.ColumnElement[bool]) -> IdentityRecord | None:
        query = sa.select(self.identities).where(*conditions)
        row = self._read(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else create_record(row)

    def list_for_user(self, user_id: Any) -> Sequence[IdentityRecord]:
        """:return: the user's identities, the oldest first."""
        query = sa.select(self.identities).where(self.identities.c.user_id == self._known_user_id(user_id))
        rows = self._read(lambda connection: connection.execute(query.order_by(self.identities.c.id)).mappings().all())
        return [create_record(row) for row in rows]

    def connections(self, user_id: Any) -> list[ConnectedAccount]:
        """Read the user's identities with their tokens, by one query for each protocol.

        :return: the oldest identity first.
        """
        key = self._known_user_id(user_id)
        records: dict[Any, IdentityRecord] = {}
        tokens: dict[Any, list[StoredToken]] = {}
        for access in self.token_tables.values():
            for row in self._join_tokens(access, key):
                identity = {column.name: row[column] for column in self.identities.c}
                records.setdefault(identity["id"], create_record(identity))
                if row[access.table.c.id] is not None:
                    values = {column.name: row[column] for column in access.columns}
                    tokens.setdefault(identity["id"], []).append(access.read(values))
        return [
            ConnectedAccount(record, tuple(sorted(tokens.get(key, ()), key=lambda item: -(item.issued_at or 0))))
            for key, record in records.items()
        ]

    def _join_tokens(self, access: TokenTable, user_id: Any) -> Sequence[Any]:
        query = (
            sa.select(self.identities, *access.columns)
            .join_from(self.identities, access.table, access.table.c.identity_id == self.identities.c.id, isouter=True)
            .where(self.identities.c.user_id == user_id)
            .order_by(self.identities.c.id)
        )
        return self._read(lambda connection: connection.execute(query).mappings().all())

    def tokens_for_identity(self, identity_id: Any) -> list[StoredToken]:
        """:return: the identity's tokens of both protocols."""
        return self._find_tokens("identity_id", identity_id)

    def tokens_for_user(self, user_id: Any) -> list[StoredToken]:
        """:return: all tokens of the user, those without an identity too."""
        return self._find_tokens("user_id", self._known_user_id(user_id))

    def _find_tokens(self, column: str, value: Any) -> list[StoredToken]:
        def read(connection: sa.Connection) -> list[StoredToken]:
            found: list[StoredToken] = []
            for access in self.token_tables.values():
                query = access.select().where(access.table.c[column] == value).order_by(access.table.c.id)
                found += [access.read(row) for row in connection.execute(query).mappings()]
            return found

        return self._read(read)

    def email_is_taken(self, email: str) -> bool:
        """Whether a user has this address, or an identity has it and is verified; compared without case."""
        c = self.identities.c
        query = sa.select(sa.literal(1)).where(same_text(c.email, email), c.email_verified.is_(True)).limit(1)
        return self._read(
            lambda connection: self.users.has_email(connection, email) or connection.execute(query).first() is not None
        )

    def find_verified_user(self, email: str) -> Any | None:
        """:return: the key of the one user whose own, verified address this is."""
        return self._read(lambda connection: self.users.find_verified(connection, email))

    def user_value_is_free(self, attribute: str, value: str) -> bool:
        """Whether no user has this value, as the database compares."""
        return not self._read(lambda connection: self.users.has_value(connection, attribute, value))

    def record_login(
        self,
        identity: Identity,
        *,
        protocol: TokenProtocol,
        token: Mapping[str, Any] | None,
        requested_scope: str | None,
        kind: str,
        user_id: Any = None,
        new_user: Any = None,
        record: IdentityRecord | None = None,
        can_log_in: bool = True,
        now: float,
    ) -> tuple[IdentityRecord, Any]:
        """Write user, identity, token and event, all or nothing; three statements for a user who comes back.

        :param token: ``None`` writes no token.
        :param kind: of the event: ``login``, ``signup``, ``connect`` or ``reconnect``.
        :param user_id: the owner; left out where ``new_user`` or ``record`` is given.
        :param new_user: an instance of the user model that is in no session yet.
        :param record: the row to bring up to date; a new one is inserted when left out.
        :param can_log_in: ``False`` leaves ``login_key`` empty: a connection for its API only.
        :param now: seconds since the epoch.
        :return: the row as written, and the owner's id.
        :raises ConcurrentLogin: if a unique key of identity or user stands in the way, or ``record`` is gone.
        :raises StorageUnavailable: if the database does not answer.
        """
        if new_user is None:
            user_id = self.read_user_id(record.user_id if record is not None and user_id is None else user_id)
        access = self.token_tables[protocol]
        plain = None if token is None else access.create_values(token, now)
        login = kind in _LOGIN_KINDS

        def write(work: Work) -> tuple[IdentityRecord, Any]:
            owner = self.users.add(work, new_user) if new_user is not None else user_id
            row = self._put_identity(work, identity, owner, record, can_log_in=can_log_in, login=login, now=now)
            if plain is not None:
                self._put_token(
                    work,
                    access,
                    plain,
                    (owner, identity.name, identity.subject),
                    identity_id=row.id,
                    requested_scope=requested_scope,
                    now=now,
                    login=login,
                    is_new=kind == "signup",
                )
            self._add_event(work, Event(kind, "success", identity.name, owner, row.id, identity.subject))
            return row, owner

        return self._write_unique(write, new_user)

    def _write_unique(self, write: Callable[[Work], T], new_user: Any = None) -> T:
        """Write where a unique key decides a race.

        :raises ConcurrentLogin: for the loser.
        """
        mapper = None if new_user is None else sa.inspect(new_user).mapper
        before = () if mapper is None else mapper.primary_key_from_instance(new_user)

        def attempt(work: Work) -> T:
            try:
                return write(work)
            except Exception as error:
                if mapper is not None:
                    _forget_insert(new_user, mapper, before)
                if isinstance(error, sa.exc.IntegrityError) and is_unique_violation(error):
                    raise ConcurrentLogin from error
                raise

        return self._write(attempt)

    def _put_identity(
        self,
        work: Work,
        identity: Identity,
        user_id: Any,
        record: IdentityRecord | None,
        *,
        can_log_in: bool,
        login: bool,
        now: float,
    ) -> IdentityRecord:
        values = {**create_profile(identity), "updated_at": now}
        if login:
            values["last_login_at"] = now
        last_login_at = now if login else None
        if record is None:
            values |= {"user_id": user_id, "name": identity.name, "subject": identity.subject, "created_at": now}
            values["login_key"] = identity.login_key if can_log_in else None
            row_id = self._insert(work, self.identities, values)
            return IdentityRecord(row_id, user_id, identity, can_log_in, now, last_login_at)
        if record.can_log_in or can_log_in:
            values["login_key"] = identity.login_key
        c = self.identities.c
        statement = sa.update(self.identities).where(c.id == record.id, c.user_id == user_id).values(values)
        if work.connection.execute(statement).rowcount != 1:
            raise ConcurrentLogin
        work.touch(self.identities, record.id)
        return dataclasses.replace(
            record,
            identity=dataclasses.replace(identity, name=record.identity.name),
            can_log_in=record.can_log_in or can_log_in,
            last_login_at=last_login_at or record.last_login_at,
        )

    def _put_token(
        self,
        work: Work,
        access: TokenTable,
        plain: Mapping[str, Any],
        place: Place,
        *,
        identity_id: Any,
        requested_scope: str | None,
        now: float,
        login: bool,
        is_new: bool = False,
    ) -> Any:
        """Update the row of this place, or insert it.

        :param is_new: there can be no row yet.
        :return: its key.
        """
        c = access.table.c
        values = {name: value for name, value in plain.items() if name not in access.secret_names}
        values |= access.seal(plain, *place)
        values |= {"status": "active", "last_error": None, "updated_at": now, "requested_scope": requested_scope}
        values |= {"lease_owner": None, "lease_expires_at": None, "retry_at": None, "failures": 0}
        if login:
            values["last_login_at"] = now
        if identity_id is not None:
            values["identity_id"] = identity_id
        values = {name: value for name, value in values.items() if name in c}
        where = (c.user_id == place[0], c.name == place[1], c.account == place[2])
        if not is_new:
            row_id = self._update_token(work, access.table, {**values, "version": c.version + 1}, where)
            if row_id is not None:
                return row_id
        first = {"user_id": place[0], "name": place[1], "account": place[2], "version": 1, "created_at": now}
        return self._insert_token(work, access.table, {**values, **first}, where, is_new=is_new)

    def _update_token(self, work: Work, table: sa.Table, values: dict[str, Any], where: Any) -> Any | None:
        statement = sa.update(table).where(*where).values(values)
        if work.connection.dialect.update_returning:
            row_id = work.connection.execute(statement.returning(table.c.id)).scalar()
        elif work.connection.execute(statement).rowcount:
            row_id = work.connection.execute(sa.select(table.c.id).where(*where)).scalar()
        else:
            return None
        if row_id is not None:
            work.touch(table, row_id)
        return row_id

    def _insert_token(self, work: Work, table: sa.Table, values: dict[str, Any], where: Any, *, is_new: bool) -> Any:
        if is_new:
            return self._insert(work, table, values)
        try:
            with work.connection.begin_nested():
                return self._insert(work, table, values)
        except sa.exc.IntegrityError as error:
            if not is_unique_violation(error):
                raise
            # Somebody has inserted the same place in between: theirs is updated, the later consent wins.
            row_id = self._update_token(work, table, {**values, "version": table.c.version + 1}, where)
            if row_id is None:
                raise
            return row_id

    def set_login_key(self, identity_id: Any, user_id: Any, login_key: str | None) -> bool:
        """Make a connection a way to log in, or (``None``) one for its API only.

        :param login_key: the identity's :attr:`~flask_oauth_accounts.identity.Identity.login_key`.
        :return: ``False`` if the user has no such row.
        :raises ConcurrentLogin: if the identity logs in another user.
        """
        c = self.identities.c
        key = self._known_user_id(user_id)
        statement = sa.update(self.identities).where(c.id == identity_id, c.user_id == key).values(login_key=login_key)

        def write(work: Work) -> bool:
            work.touch(self.identities, identity_id)
            return work.connection.execute(statement).rowcount == 1

        return self._write_unique(write)

    def delete_identity(self, identity_id: Any, user_id: Any, *, event: Event) -> bool:
        """Delete the row, its tokens with it, and record the event.

        :return: ``False`` if this user has no such row; nothing is recorded then.
        """
        c = self.identities.c
        owned = (c.id == identity_id, c.user_id == self._known_user_id(user_id))

        def write(work: Work) -> bool:
            row = work.connection.execute(sa.select(c.user_id, c.name, c.subject).where(*owned)).first()
            if row is None:
                return False
            for access in self.token_tables.values():
                t = access.table.c
                place = sa.and_(t.user_id == row.user_id, t.name == row.name, t.account == row.subject)
                self._delete(work, access.table, sa.or_(t.identity_id == identity_id, place))
            self._delete(work, self.identities, *owned)
            self._add_event(work, event)
            return True

        return self._write(write)

    def delete_for_user(self, user_id: Any, *, event: Event | None = None) -> int:
        """Delete all identities, tokens and events of a user, and record the event.

        :return: the number of identities and tokens deleted.
        """
        key = self._known_user_id(user_id)
        if key is None:
            return 0

        def write(work: Work) -> int:
            tables = [access.table for access in self.token_tables.values()]
            count = sum(self._delete(work, table, table.c.user_id == key) for table in (*tables, self.identities))
            self._delete(work, self.events, self.events.c.user_id == key)
            if event is not None:
                self._add_event(work, event)
            return count

        return self._write(write)

    def delete_user_data(self, user_id: Any) -> int:
        """Delete all identities, tokens and events of a user.

        :return: the number of identities and tokens deleted.
        """
        return self.delete_for_user(user_id)

    def record(self, event: Event) -> None:
        """Write one event; the user need not exist any more."""
        self._write(lambda work: self._add_event(work, event))


def _forget_insert(user: Any, mapper: Any, before: Sequence[Any]) -> None:
    """Make an instance new again whose insert was undone."""
    if sa.inspect(user).key is not None:
        make_transient(user)
        for column, value in zip(mapper.primary_key, before, strict=True):
            setattr(user, mapper.get_property_by_column(column).key, value)
