"""The threads of one process that want the same refresh do it once.

This only spares work: between processes, and if everything here were taken away, the claim in the row decides.
"""

from __future__ import annotations

import copy
import os
import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass

from ..tokens import StoredToken


@dataclass(frozen=True)
class Arrived:
    """The leader has got a token."""

    token: StoredToken


@dataclass(frozen=True)
class Failed:
    """The leader has got an error, which counts for all."""

    error: Exception


@dataclass(frozen=True)
class Abandoned:
    """The leader was interrupted, or cannot write because of a lock: each goes on alone, one may have that lock."""


Outcome = Arrived | Failed | Abandoned


class Flight:
    """One refresh under way."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._outcome: Outcome = Abandoned()

    def land(self, outcome: Outcome) -> None:
        """Wake everybody who waits; the first outcome counts."""
        if not self._done.is_set():
            self._outcome = outcome
            self._done.set()

    @property
    def has_landed(self) -> bool:
        return self._done.is_set()

    def wait(self, timeout: float) -> Outcome | None:
        """:param timeout: seconds.
        :return: the outcome, ``None`` while it is still under way.
        """
        return self._outcome if self._done.wait(max(0.0, timeout)) else None


class Flights:
    """The refreshes under way in this process, by row."""

    def __init__(self) -> None:
        self._forget()
        _all_flights.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Flight] = {}

    def join(self, key: Hashable) -> tuple[Flight, bool]:
        """:return: the flight for this row, and whether the caller leads it and must :meth:`land` it."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = Flight()
            return flight, True

    def land(self, key: Hashable, flight: Flight, outcome: Outcome) -> None:
        """End a flight: whoever comes from now on starts a new one."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
        flight.land(outcome)


_all_flights: weakref.WeakSet[Flights] = weakref.WeakSet()


def _after_fork() -> None:
    # The threads that lead these flights stayed in the parent, and one of them may have held the lock.
    for flights in list(_all_flights):
        flights._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def copy_error(error: Exception) -> Exception:
    """:return: a copy for one more thread, so that no two threads share a traceback or a ``url``."""
    try:
        copied = copy.copy(error)
    except Exception:  # an error class whose constructor asks for more than it keeps
        return error
    return copied if type(copied) is type(error) else error
