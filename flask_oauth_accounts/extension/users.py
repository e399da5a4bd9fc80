"""How an application's users are read, and where its database is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from flask_sqlalchemy import SQLAlchemy

from ..errors import ConfigurationError, StorageUnavailable
from .migration import AutoMigration


class UserLoader:
    """Reads users through the application's own session.

    :param migration: brings the tables up to date before the first use, for the embedded database.
    """

    def __init__(self, db: SQLAlchemy, user_model: Any, migration: AutoMigration | None = None) -> None:
        self._db = db
        self._user_model = user_model
        self._migration = migration

    @property
    def migrates(self) -> bool:
        """Whether the tables are brought up to date on first use."""
        return self._migration is not None

    def find_engine(self) -> Any:
        """The engine of the database that holds the users; needs an app context."""
        engine = self._db.engines[getattr(self._user_model, "__bind_key__", None)]
        if self._migration is not None:
            self._migration.ensure(engine)
        return engine

    def find_session(self) -> Any:
        """The application's session of this context; needs an app context."""
        return self._db.session()

    def load(self, user_id: Any, *, read: Callable[[Any], Any]) -> Any:
        """A user by primary key, even one committed after the session's snapshot; ``None`` if there is none.

        :param read: reads a user beside the session; detached.
        """
        self.find_engine()
        user = self._db.session.get(self._user_model, user_id)
        return user if user is not None else read(user_id)

    def load_beside(self, user_id: Any, *, read: Callable[[Any], Any]) -> Any:
        """A user as the session has it, without a statement of the session, which may have to wait for a connection.

        :param read: as for :meth:`load`.
        :return: an instance in the session, ``None`` if there is no such user.
        """
        session = self.find_session()
        known = session.identity_map.get(self._user_model.__mapper__.identity_key_from_primary_key((user_id,)))
        if known is not None:
            return known
        user = read(user_id)
        return None if user is None else session.merge(user, load=False)

    def load_by_text(self, text: str) -> Any:
        """A user by what ``get_id()`` gave, for Flask-Login; ``None`` if there is none."""
        self.find_engine()
        key = _parse_key(text, self._user_model)
        return None if key is None else self._db.session.get(self._user_model, key)


def _parse_key(text: str, user_model: Any) -> Any:
    column = user_model.__mapper__.primary_key[0]
    try:
        kind = column.type.python_type
        if kind is int:
            return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
        return uuid.UUID(text) if kind is uuid.UUID else kind(text)
    except (NotImplementedError, ValueError, TypeError):
        return None


def create_identify(user_model: Any, read_user_id: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Build the function that gives the primary key of a user.

    :param user_model: the application's class of users.
    :param read_user_id: reads a user of this class, or a key in any form.
    """

    def identify(user_or_id: Any) -> Any:
        """:raises ConfigurationError: for a user of another class, whose keys say nothing about ours."""
        user = getattr(user_or_id, "_get_current_object", lambda: user_or_id)()
        if isinstance(user, user_model):
            return read_user_id(user)
        if hasattr(type(user), "__mapper__"):
            raise ConfigurationError(
                f"the user is a {type(user).__name__}, but OAuthAccounts keeps accounts of {user_model.__name__}: give "
                f"it user_model={type(user).__name__}, or load {user_model.__name__} in @login_manager.user_loader"
            )
        # An application may wrap its rows for Flask-Login.
        return read_user_id(user.get_id() if hasattr(user, "get_id") else user)

    return identify


def create_find_user_id(identify: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Build the function that gives the primary key of a user, ``None`` for what can be no key of one.

    :param identify: as :func:`create_identify` makes it.
    """

    def find_user_id(user_or_id: Any) -> Any:
        """:raises ConfigurationError: for a user of another class."""
        try:
            return identify(user_or_id)
        except StorageUnavailable:
            return None

    return find_user_id
