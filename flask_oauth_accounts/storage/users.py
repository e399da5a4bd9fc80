"""What the store asks about the host's users, whatever their model looks like."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, object_session

from ..errors import ConfigurationError
from .work import Work


class Users:
    """The user model, seen from outside.

    :param model: the mapped class, ``None`` where a host with own models did not name it.
    :param user_id: the column ``user_id`` of the identities, whose type is that of the users' key.
    """

    def __init__(self, model: Any, user_id: sa.Column[Any]) -> None:
        self.model = model
        self._mapper = None if model is None else sa.inspect(model)
        self._type = user_id.type

    def read_id(self, user_or_id: Any) -> Any:
        """Find the primary key, of the type that the column has.

        :param user_or_id: a user, a proxy of one, a key, or a key as text (from a session or a command line).
        :return: the key.
        :raises ValueError: if this can be no key of a user.
        """
        value = getattr(user_or_id, "_get_current_object", lambda: user_or_id)()
        if self.model is not None and isinstance(value, self.model):
            value = self._mapper.primary_key_from_instance(value)[0]  # type: ignore[union-attr]
        elif sa.inspect(value, raiseerr=False) is not None and hasattr(value, "__mapper__"):
            value = value.__mapper__.primary_key_from_instance(value)[0]
        if value is None:
            raise ValueError("a user without a primary key")
        return _read_key(value, self._type)

    def find_key(self, connection: sa.Connection, key: Any) -> Any:
        """Find how a key is spelt in the user's own row; MariaDB finds ``alice`` by ``Alice`` too.

        :param key: as :meth:`read_id` gives it.
        :return: the key of that row, the one given where there is none.
        """
        if self._mapper is None or not isinstance(key, str):
            return key
        column = self._mapper.primary_key[0]
        own = connection.execute(self._select(column).where(column == key)).scalar()
        return key if own is None else own

    def add(self, work: Work, new_user: Any) -> Any:
        """Insert a user with everything that hangs on it.

        :param new_user: an instance that is not stored yet; one that waits in a session is taken out of it.
        :return: its primary key.
        :raises ConfigurationError: if it lies in a transaction of the host's that has not been committed.
        """
        mapper = sa.inspect(new_user).mapper
        session = object_session(new_user)
        if session is not None and new_user in session.new:
            session.expunge(new_user)
        if sa.inspect(new_user).key is None:
            with Session(work.connection, expire_on_commit=False) as own:
                own.add(new_user)
                own.commit()
            key = mapper.primary_key_from_instance(new_user)[0]
        else:
            key = mapper.primary_key_from_instance(new_user)[0]
            self._check_visible(work.connection, mapper, key)
        for table in reversed(list(mapper.tables)) if mapper.inherits else mapper.tables:
            work.touch(table, key)
        return key

    def _check_visible(self, connection: sa.Connection, mapper: Any, key: Any) -> None:
        """The host's pending work is never committed from here, and nothing can hang on a row that may vanish."""
        query = sa.select(sa.literal(1)).select_from(mapper.selectable).where(mapper.primary_key[0] == key)
        if connection.execute(query.limit(1)).first() is None:
            raise ConfigurationError(
                "AccountPolicy.create_user has flushed the new user, and the transaction is not committed: return the "
                "instance without a flush, or commit it there"
            )

    def _columns(self, *names: str) -> list[sa.Column[Any]] | None:
        if self._mapper is None:
            return None
        found = [self._mapper.columns.get(name) for name in names]
        return None if any(column is None for column in found) else found

    def _select(self, *what: Any) -> sa.Select[Any]:
        assert self._mapper is not None
        return sa.select(*what).select_from(self._mapper.selectable)

    def has_email(self, connection: sa.Connection, email: str, *, user_id: Any = None) -> bool:
        """Whether a user, or this user where one is named, has this address, compared without case."""
        columns = self._columns("email")
        if columns is None or self._mapper is None:
            return False
        query = self._select(sa.literal(1)).where(same_text(columns[0], email)).limit(1)
        if user_id is not None:
            query = query.where(self._mapper.primary_key[0] == user_id)
        return connection.execute(query).first() is not None

    def find_verified(self, connection: sa.Connection, email: str) -> Any | None:
        """The key of the one user whose verified address this is."""
        columns = self._columns("email", "email_verified")
        if columns is None or self._mapper is None:
            return None
        query = self._select(self._mapper.primary_key[0]).where(same_text(columns[0], email), columns[1].is_(True))
        keys = connection.execute(query.limit(2)).scalars().all()
        return keys[0] if len(keys) == 1 else None

    def has_value(self, connection: sa.Connection, attribute: str, value: str) -> bool:
        """Whether a user has this value, as the database compares."""
        columns = self._columns(attribute)
        if columns is None:
            return False
        query = self._select(sa.literal(1)).where(columns[0] == value).limit(1)
        return connection.execute(query).first() is not None


def _read_key(value: Any, column_type: Any) -> Any:
    """Write a key as the database gives it back: secrets are bound to it.

    :raises ValueError: if the column cannot hold it.
    """
    try:
        python_type = column_type.python_type
    except NotImplementedError:
        return value
    if isinstance(column_type, sa.Uuid) or issubclass(python_type, uuid.UUID):
        return python_type(str(uuid.UUID(str(value))))
    if python_type in (int, str) and (not isinstance(value, python_type) or isinstance(value, bool)):
        value = python_type(str(value))
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("no database has so great a number")
    return value


def same_text(column: Any, text: str) -> sa.ColumnElement[bool]:
    """Compare without case; SQLite knows the case of ASCII letters only, so the text as it stands counts too."""
    return sa.or_(sa.func.lower(column) == text.lower(), column == text)


def read_detached(connection: sa.Connection, model: Any, key: Any) -> Any:
    """Read a row by its primary key.

    :param connection: inside a transaction.
    :param model: the mapped class.
    :param key: the primary key.
    :return: a detached instance, ``None`` if there is no such row.
    """
    with Session(connection, expire_on_commit=False) as session:
        row = session.get(model, key)
        session.expunge_all()
        return row
