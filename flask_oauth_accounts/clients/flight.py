"""One request for many who need its answer."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import ProviderUnavailable

T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.done = threading.Event()
        self.values: list[T] = []
        self.error: BaseException | None = None


class SingleFlight(Generic[T]):
    """Lets one thread of a process work while the others wait for its result.

    There is no lock: a worker forked at any moment starts with no flight of its own under way.

    :param patience: seconds that the others wait at most.
    """

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience
        self._flights: dict[int, _Flight[T]] = {}

    @property
    def busy(self) -> bool:
        """Whether a thread of this process is at work."""
        return os.getpid() in self._flights

    def run(self, produce: Callable[[], T], *, provider: str) -> T:
        """Do the work, or wait for the thread that does it already.

        :param produce: the work.
        :param provider: the client's name, for errors.
        :return: its result.
        :raises ProviderUnavailable: if the other thread does not finish; else whatever the work raises.
        """
        mine: _Flight[T] = _Flight()
        flight = self._flights.setdefault(os.getpid(), mine)
        if flight is not mine:
            return self._wait(flight, provider)
        try:
            value = produce()
        except BaseException as error:
            flight.error = error
            raise
        else:
            flight.values.append(value)
            return value
        finally:
            self._flights.pop(os.getpid(), None)
            flight.done.set()

    def _wait(self, flight: _Flight[T], provider: str) -> T:
        flight.done.wait(self._patience)
        if flight.values:
            return flight.values[0]
        if isinstance(flight.error, Exception):
            # Two threads may not raise one exception object: each adds its own traceback.
            raise copy.copy(flight.error)
        raise ProviderUnavailable(provider=provider, timeout=True)
