"""Applications with nothing but a registry, and a provider that says what a test wants and remembers what it saw."""

from __future__ import annotations

import base64
import http.server
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from flask_oauth_accounts import OAuth


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that gives up early is part of many tests, and no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@dataclass
class Seen:
    """One request as the provider saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]
    body: bytes = b""

    @property
    def basic(self) -> tuple[str, ...]:
        """User and password of Basic authentication."""
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        return tuple(base64.b64decode(rest).decode().split(":", 1)) if scheme == "Basic" else ()


@dataclass
class StubProvider:
    """A web server whose answers are scripted.

    :ivar answers: by path: a dict for JSON, text for a form, a tuple of status, content and perhaps headers, or a
        function of the request.
    """

    url: str = ""
    port: int = 0
    answers: dict[str, Any] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    def find(self, path: str) -> list[Seen]:
        """The requests to one path, in the order they came."""
        return [request for request in self.seen if request.path == path]

    def oauth2(self, **more: Any) -> dict[str, Any]:
        """Arguments of ``register`` for an OAuth 2 client of this server."""
        return {
            "client_id": "the-client",
            "client_secret": "the-client-secret",
            "authorize_url": f"{self.url}/authorize",
            "access_token_url": f"{self.url}/token",
            "api_base_url": f"{self.url}/api/",
            **more,
        }

    def oauth1(self, **more: Any) -> dict[str, Any]:
        """Arguments of ``register`` for an OAuth 1 client of this server."""
        return {
            "client_id": "the-client",
            "client_secret": "the-client-secret",
            "request_token_url": f"{self.url}/request_token",
            "authorize_url": f"{self.url}/authorize",
            "access_token_url": f"{self.url}/access_token",
            "api_base_url": f"{self.url}/api/",
            **more,
        }


def _read(handler: http.server.BaseHTTPRequestHandler) -> Seen:
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    parts = urlsplit(handler.path)
    headers = {name.lower(): value for name, value in handler.headers.items()}
    is_form = "form-urlencoded" in headers.get("content-type", "")
    form = {key: values[0] for key, values in parse_qs(body.decode(), True).items()} if is_form else {}
    query = {key: values[0] for key, values in parse_qs(parts.query, True).items()}
    return Seen(handler.command, parts.path, query, headers, form, body)


def _create_handler(stub: StubProvider) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def _answer(self) -> None:
            seen = _read(self)
            stub.seen.append(seen)
            stub.connections.add(self.client_address)
            answer = stub.answers.get(seen.path, {"ok": True})
            answer = answer(seen) if callable(answer) else answer
            status, content, *more = answer if isinstance(answer, tuple) else (200, answer)
            kind = "application/json" if isinstance(content, (dict, list)) else "application/x-www-form-urlencoded"
            content = json.dumps(content) if isinstance(content, (dict, list)) else content
            content = content.encode() if isinstance(content, str) else content
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in (more[0] if more else {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def stub() -> Iterator[StubProvider]:
    """A provider that answers as scripted."""
    found = StubProvider()
    server = _Server(("127.0.0.1", 0), _create_handler(found))
    found.port = server.server_port
    found.url = f"http://127.0.0.1:{found.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(5)


class Listener:
    """A socket that listens and keeps every byte that arrives."""

    def __init__(self) -> None:
        self.received = b""
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                with connection:
                    connection.settimeout(5)
                    self.received += connection.recv(65536)

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A foreign host that must not hear a thing."""
    found = Listener()
    yield found
    found.close()


@pytest.fixture
def create_app() -> Callable[..., Flask]:
    """Build an application that has nothing but a secret key, in testing so that loopback may do without TLS."""

    def create(config: Mapping[str, Any] | None = None, **more: Any) -> Flask:
        app = Flask(__name__)
        app.config.update(SECRET_KEY="for this test, 32 characters long", TESTING=True)
        app.config.update({**(config or {}), **more})
        return app

    return create


@pytest.fixture
def app(create_app: Callable[..., Flask]) -> Flask:
    """An application without anything."""
    return create_app()


@pytest.fixture
def add_views() -> Callable[..., None]:
    """Give an application the two views of a login, ``/login/<name>`` and ``/authorize/<name>``."""

    def add(app: Flask, oauth: OAuth, **options: Any) -> None:
        from flask import url_for

        @app.route("/login/<name>")
        def login(name: str) -> Any:
            redirect_uri = url_for("authorize", name=name, _external=True)
            return oauth.create_client(name).authorize_redirect(redirect_uri, **options)

        @app.route("/authorize/<name>", methods=["GET", "POST"])
        def authorize(name: str) -> Any:
            return dict(oauth.create_client(name).authorize_access_token())

        from flask_oauth_accounts import OAuthError

        @app.errorhandler(OAuthError)
        def refused(error: OAuthError) -> Any:
            return {"error": error.error, "code": error.code, "class": type(error).__name__}, error.status

    return add
