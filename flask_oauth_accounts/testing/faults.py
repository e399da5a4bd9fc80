"""Scripted trouble: an endpoint that fails, stalls or hangs up, and answers that are not what they should be."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Response, request


class Fault:
    """One scripted fault.

    :ivar entered: set as soon as a request has met it; wait for it instead of sleeping.
    :ivar hits: how many requests have met it.
    """

    def __init__(
        self,
        path: str,
        *,
        status: int | None,
        body: str | bytes | Mapping[str, Any],
        content_type: str | None,
        headers: Mapping[str, str] | None,
        times: int | None,
        delay: float,
        hang: bool,
        drop: bool,
        after: bool,
    ) -> None:
        self.path, self.status, self.after = path, status, after
        self.entered = threading.Event()
        self.hits = 0
        self._body, self._content_type, self._headers = body, content_type, dict(headers or {})
        self._left, self._delay, self._hang, self._drop = times, delay, hang, drop
        self._released = threading.Event()

    def release(self) -> None:
        """Let the requests that hang in here go on."""
        self._released.set()

    def take(self, path: str) -> bool:
        """Whether this request is to fail; counts it if so."""
        if not path.endswith(self.path) or self._left == 0:
            return False
        self._left = None if self._left is None else self._left - 1
        self.hits += 1
        return True

    def answer(self) -> Response | None:
        """Wait as long as scripted, then fail.

        :return: the faulty answer, or ``None`` to go on with the true one.
        """
        self.entered.set()
        if self._hang or self._delay:
            self._released.wait(None if self._hang else self._delay)
        if self._drop:
            _hang_up()
            return Response(status=500)
        if self.status is None:
            return None
        body, content_type = self._body, self._content_type
        if isinstance(body, Mapping):
            body, content_type = json.dumps(dict(body)), content_type or "application/json"
        return Response(body, self.status, self._headers, content_type=content_type or "text/html; charset=utf-8")


def _hang_up() -> None:
    """Close the connection without an answer."""
    connection = request.environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        connection.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True)
class Tampering:
    """Changes to one answer: values set, values removed, or the whole of it replaced."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    remove: Collection[str] = ()
    raw: Any = None
    transform: Callable[[Any], Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """:return: a changed copy."""
        changed = {**values, **self.overrides}
        return {key: value for key, value in changed.items() if key not in self.remove}


class FaultPlan:
    """The faults and tamperings still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._tamperings: defaultdict[str, list[list[Any]]] = defaultdict(list)
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """:return: the fault, for its :attr:`~Fault.entered` and :meth:`~Fault.release`."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, path: str) -> Fault | None:
        """The first fault for this request."""
        with self._lock:
            return next((fault for fault in self._faults if fault.take(path)), None)

    def tamper(self, what: str, tampering: Tampering, *, times: int | None) -> None:
        """Change the next answers of a kind; ``times=None`` for all of them."""
        with self._lock:
            self._tamperings[what].append([times, tampering])

    def take_tampering(self, what: str) -> Tampering:
        """The changes for the answer at hand; empty ones where nothing is scripted."""
        with self._lock:
            waiting = self._tamperings[what]
            if not waiting:
                return Tampering()
            times, tampering = waiting[0]
            if times is not None:
                waiting[0][0] = times - 1
                if times <= 1:
                    waiting.pop(0)
            assert isinstance(tampering, Tampering)
            return tampering

    def clear(self) -> None:
        """Forget everything scripted, and release whoever hangs."""
        with self._lock:
            faults, self._faults = self._faults, []
            self._tamperings.clear()
        for fault in faults:
            fault.release()
