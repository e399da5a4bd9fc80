"""Bring the embedded database's tables up to date before they are used for the first time."""

from __future__ import annotations

import threading
from typing import Any


class AutoMigration:
    """Runs the shipped migrations once in each process and for each database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: set[str] = set()

    def ensure(self, engine: Any) -> None:
        """Upgrade the database if this process has not done so.

        :param engine: of the application.
        :raises StorageUnavailable: if the database does not answer.
        """
        key = str(engine.url)
        if key in self._done:
            return
        with self._lock:
            if key not in self._done:
                from ..storage.migrate import upgrade  # Alembic is loaded where it is needed only

                upgrade(engine)
                self._done.add(key)
