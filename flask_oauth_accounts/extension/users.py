"""How an application's users are read, and where its database is."""

from __future__ import annotations

import uuid
from typing import Any

from flask_sqlalchemy import SQLAlchemy

from ..storage.users import read_detached
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

    def load(self, user_id: Any) -> Any:
        """A user by primary key, even one committed after the session's snapshot; ``None`` if there is none."""
        engine = self.find_engine()
        user = self._db.session.get(self._user_model, user_id)
        return user if user is not None else read_detached(engine, self._user_model, user_id)

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
