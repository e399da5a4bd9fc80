"""One login, written all or nothing: user, identity, token and event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import make_transient

from ..errors import ConfigurationError
from ..identity import Identity
from ..protocols import ConcurrentLogin, Event, IdentityRecord
from ..tokens import Protocol as TokenProtocol
from ..tokens import join_scope
from . import faults
from .identities import IdentityMixin
from .mixins import first_version
from .rows import TokenTable
from .work import Work

T = TypeVar("T")
Place = tuple[Any, str, str]
"""User id, name and account: what is unique about a token."""

_LOGIN_KINDS = ("login", "signup")


class LoginMixin(IdentityMixin):
    """The part of the store that writes what a login has brought."""

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
        :param record: the row to bring up to date; a new one is inserted when left out. A row of another client, by
            which the same account logs in, gets a row of this client beside it.
        :param can_log_in: ``False`` leaves ``login_key`` empty: a connection for its API only.
        :param now: seconds since the epoch.
        :return: the row as written, and the owner's id.
        :raises ConcurrentLogin: if a unique key of identity or user stands in the way, or ``record`` is gone.
        :raises ConfigurationError: if the table of the users does not take ``new_user``.
        :raises StorageUnavailable: if the database does not answer.
        """
        if new_user is None:
            user_id = self.read_user_id(record.user_id if record is not None and user_id is None else user_id)
        access = self.token_tables[protocol]
        plain = None if token is None else access.create_values(token, now)
        login = kind in _LOGIN_KINDS

        def write(work: Work) -> tuple[IdentityRecord, Any]:
            owner = user_id if new_user is None else self._add_user(work, new_user, identity.name)
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

    def _add_user(self, work: Work, new_user: Any, name: str) -> Any:
        """:raises ConfigurationError: if the user's table does not take the row; it holds none of its values."""
        try:
            return self.users.add(work, new_user)
        except sa.exc.SQLAlchemyError as error:
            if not faults.is_unfit(error):
                raise
            model = type(new_user)
            attributes = {column.name: key for key, column in sa.inspect(model).columns.items()}
            found = faults.find_column(error, attributes)
        place = f"{model.__name__}.{attributes[found]}" if found else f"a column of {model.__name__}"
        raise ConfigurationError(
            f"the new user cannot be stored: {place} has no value, or one that does not fit; "
            "override AccountPolicy.create_user to fill it, or give the column a default",
            provider=name,
        )

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
                if isinstance(error, sa.exc.IntegrityError) and faults.is_unique_violation(error):
                    raise ConcurrentLogin from error
                raise

        return self._write(attempt)

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
        if requested_scope:
            # RFC 6749 section 5.1: a scope that the answer to a consent leaves out is the one that was asked for.
            values.setdefault("scope", join_scope(requested_scope))
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
        values |= {"user_id": place[0], "name": place[1], "account": place[2], "created_at": now}
        return self._insert_token(work, access.table, {**values, "version": first_version()}, where, is_new=is_new)

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
            if not faults.is_unique_violation(error):
                raise
            # Somebody has inserted the same place in between: theirs is updated, the later consent wins.
            row_id = self._update_token(work, table, {**values, "version": table.c.version + 1}, where)
            if row_id is None:
                raise
            return row_id


def _forget_insert(user: Any, mapper: Any, before: Sequence[Any]) -> None:
    """Make an instance new again whose insert was undone."""
    if sa.inspect(user).key is not None:
        make_transient(user)
        for column, value in zip(mapper.primary_key, before, strict=True):
            setattr(user, mapper.get_property_by_column(column).key, value)
