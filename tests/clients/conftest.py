"""Two kinds of provider on loopback: one that speaks HTTP, and one that says whatever bytes a test wants."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from flask_oauth_accounts.clients.transport import Transport


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that gives up early is part of many tests, and no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the server says to one path."""

    body: bytes | str | dict[str, Any] = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class WebServer:
    """Answers by ``routes``, and remembers requests and connections."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer | Callable[[Seen], Answer]] = {}
        self.seen: list[Seen] = []
        self.connections: set[Any] = set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def setup(self) -> None:
                super().setup()
                outer.connections.add(self.client_address)

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                outer.seen.append(seen)
                route = outer.routes.get(self.path.partition("?")[0], Answer(b"no such page", 404))
                answer = route(seen) if callable(route) else route
                content = answer.body
                if isinstance(content, dict):
                    content = json.dumps(content)
                content = content.encode() if isinstance(content, str) else content
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if isinstance(answer.body, dict) and "Content-Type" not in answer.headers:
                    self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_POST = do_HEAD = do_PUT = do_OPTIONS = do_DELETE = _answer

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def wrap(self, context: Any) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class RawServer:
    """Reads one request head on each connection, then lets ``script`` do with the socket what it wants."""

    def __init__(self) -> None:
        self.script: Callable[[socket.socket], None] = lambda connection: None
        self.stop = threading.Event()
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self.script(connection)

    def drip(self, connection: socket.socket, text: bytes) -> None:
        """Send one byte after the other, with a pause in which the client's own patience never ends."""
        for byte in text:
            connection.sendall(bytes([byte]))
            if self.stop.wait(0.05):
                return

    def close(self) -> None:
        self.stop.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def create_web() -> Iterator[Callable[[], WebServer]]:
    """Start any number of HTTP servers."""
    servers: list[WebServer] = []

    def create() -> WebServer:
        servers.append(WebServer())
        return servers[-1]

    yield create
    for server in servers:
        server.close()


@pytest.fixture
def web(create_web: Callable[[], WebServer]) -> WebServer:
    """An HTTP server."""
    return create_web()


@pytest.fixture
def raw() -> Iterator[RawServer]:
    """A server of bytes."""
    server = RawServer()
    yield server
    server.close()


@pytest.fixture
def answer() -> type[Answer]:
    """The class of a server's answers."""
    return Answer


@pytest.fixture
def create_transport() -> Iterator[Callable[..., Transport]]:
    """Build transports that may speak plain http to loopback, and close their connections afterwards."""
    made: list[Transport] = []

    def create(**options: Any) -> Transport:
        options.setdefault("allow_http", lambda host, port: host in ("127.0.0.1", "localhost"))
        made.append(Transport(provider="acme", **options))
        return made[-1]

    yield create
    for transport in made:
        transport.close()


@pytest.fixture
def transport(create_transport: Callable[..., Transport]) -> Transport:
    """A transport with the usual limits."""
    return create_transport()
