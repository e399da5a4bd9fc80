"""What a process remembers for a minute, never more than so much of it."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from ..protocols import Clock
from .forks import ForkSafe

_T = TypeVar("_T")

KEPT = 60.0
"""Seconds that an entry lives."""

_MOST = 1000


class Recent(ForkSafe, Generic[_T]):
    """A dictionary whose entries are gone after a minute, the oldest first where there are too many.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._entries: dict[str, tuple[float, _T]] = {}

    def _renew(self) -> None:
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return "<Recent>"

    def find(self, key: str) -> _T | None:
        """:return: what was put there less than a minute ago."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > self._clock() else None

    def put(self, key: str, value: _T) -> None:
        """Remember a value.

        :param key: a later value of the same key takes its place.
        """
        now = self._clock()
        with self._guard:
            fresh = {old: entry for old, entry in self._entries.items() if entry[0] > now and old != key}
            for old in list(fresh)[: max(0, len(fresh) - _MOST + 1)]:
                del fresh[old]
            self._entries = {**fresh, key: (now + KEPT, value)}
