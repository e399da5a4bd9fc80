"""One exchange with a provider: its time, its size, and what its failures are called.

The socket's own timeout counts from byte to byte, so a server that sends one byte a second never trips it. Here each
read from the socket gets no more time than the whole exchange has left. The exchange under way is found through a
thread-local, because requests and urllib3 have no place to hand it through.
"""

from __future__ import annotations

import http.client
import io
import threading
import time
from types import TracebackType
from typing import Any

from .faults import Stage, find_cause, translate_fault


class Exchange:
    """The budget of one exchange; a context manager that turns foreign exceptions into this package's own.

    :ivar stage: how far it has come.
    :ivar own_call: the address that is asked stands in the application's own call.
    :ivar named_origin: of an address that only the application's own call names; it may be in a private network.
    :ivar body_fault: what the application's body raised while it was sent.

    :param provider: the client's name, for errors.
    :param seconds: for everything together, redirects included; ``None`` for no limit.
    :param max_bytes: greatest body after decompression; ``None`` for no limit.
    :param timeout: seconds to connect and to wait for the next byte.
    """

    __slots__ = (
        *("_outer", "body_fault", "expires", "max_bytes", "named_origin", "own_call", "provider", "stage"),
        *("timeout", "url"),
    )

    def __init__(
        self, *, provider: str, seconds: float | None, max_bytes: int | None, timeout: tuple[float, float]
    ) -> None:
        self.provider = provider
        self.expires = None if seconds is None else time.monotonic() + seconds
        self.max_bytes = max_bytes
        self.timeout = timeout
        self.url: str | None = None
        self.stage: Stage = "preparing"
        self.own_call = False
        self.named_origin: str | None = None
        self.body_fault: Exception | None = None
        self._outer: Exchange | None = None

    def clip(self, seconds: float | None) -> float | None:
        """Shorten a wait to what is left.

        :param seconds: the wait; ``None`` for no limit.
        :raises TimeoutError: if nothing is left.
        """
        if self.expires is None:
            return seconds
        left = self.expires - time.monotonic()
        if left <= 0:
            raise TimeoutError("the whole exchange took too long")
        return left if seconds is None or left < seconds else seconds

    def __enter__(self) -> Exchange:
        self._outer = current_exchange()
        _state.exchange = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        _state.exchange = self._outer
        if fault is None:
            return
        if self.body_fault is not None:
            raise self.body_fault from self.body_fault.__cause__
        error = translate_fault(fault, provider=self.provider, stage=self.stage, url=self.url, own_call=self.own_call)
        if error is not None:
            raise error from find_cause(fault)


class _State(threading.local):
    exchange: Exchange | None = None


_state = _State()


def current_exchange() -> Exchange | None:
    """:return: the exchange that this thread has under way."""
    return _state.exchange


class _TimedReader(io.RawIOBase):
    """Reads from a socket, each time with no more patience than the exchange has left."""

    def __init__(self, raw: Any, sock: Any, exchange: Exchange) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._exchange = exchange
        self._patience: float | None = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._exchange.expires is not None:
            self._sock.settimeout(self._exchange.clip(self._patience))
        count: int | None = self._raw.readinto(buffer)
        return count

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class TimedResponse(http.client.HTTPResponse):
    """An HTTP response whose status line, headers and body together obey the exchange's deadline."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        exchange = current_exchange()
        if exchange is not None and exchange.expires is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_TimedReader(raw, sock, exchange))
