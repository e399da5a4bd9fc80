"""A token endpoint of its own that rotates refresh tokens and revokes the family when one is used twice.

Also applications on each kind of database that use stored tokens, and worker processes of them.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from flask_oauth_accounts.errors import InvalidClientError, ProviderUnavailable, TokenRequestError
from flask_oauth_accounts.tokens import StoredToken, TokenDict, parse_token_answer

Answer = tuple[int, dict[str, str], str]
WORKER = Path(__file__).with_name("refresh_worker.py")


@dataclass
class TokenEndpoint:
    """A provider with one grant.

    :ivar url: of the token endpoint; the API is at ``url + "/me"``.
    :ivar asked: refresh requests that have arrived.
    :ivar refused: refresh requests that were answered with an error.
    :ivar revoked: the family was revoked because a spent refresh token came back.
    :ivar delay: seconds to think before each answer.
    :ivar arrived: set by each refresh request.
    :ivar rotated: set by each rotation.
    :ivar grace: the refresh token before the current one still works, and gets the current answer again.
    :ivar gate: a refresh request is answered only while this is set.
    :ivar answers: answers to give in place of the usual ones, first to last.
    """

    url: str = ""
    asked: int = 0
    refused: int = 0
    revoked: bool = False
    delay: float = 0.0
    lifetime: int = 3600
    refresh_token: str = "refresh-0"
    access_token: str = "access-0"
    issued: list[str] = field(default_factory=lambda: ["refresh-0", "access-0"])
    answers: list[Answer] = field(default_factory=list)
    grace: bool = False
    rotated: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def first_token(self, **values: Any) -> dict[str, Any]:
        """The token of a consent."""
        token = {"access_token": self.access_token, "refresh_token": self.refresh_token, "expires_in": self.lifetime}
        return {**token, **values}

    def refresh(self, stored: StoredToken) -> TokenDict:
        """Ask as a client does."""
        form = {"grant_type": "refresh_token", "refresh_token": stored.token["refresh_token"]}
        response = requests.post(self.url, data=form, timeout=30)
        if response.status_code == 429 or response.status_code >= 500:
            wait = response.headers.get("Retry-After")
            raise ProviderUnavailable(provider=stored.name, retry_after=float(wait) if wait else None)
        payload = response.json()
        if response.status_code == 401:
            raise InvalidClientError(error=payload["error"], provider=stored.name)
        if response.status_code != 200:
            raise TokenRequestError(payload["error"], provider=stored.name)
        return parse_token_answer(payload, now=time.time(), provider=stored.name)

    def accepts(self, access_token: str) -> bool:
        """Whether the API takes this token now."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(self.url + "/me", headers=headers, timeout=30).status_code == 200

    def answer(self, form: dict[str, list[str]]) -> Answer:
        """Rotate, or refuse."""
        with self.lock:
            self.asked += 1
            self.arrived.set()
        time.sleep(self.delay)
        self.gate.wait(30)
        with self.lock:
            if self.answers:
                return self.answers.pop(0)
            given = form.get("refresh_token", [""])[0]
            if self.grace and given in self.issued[-4:-2]:
                return 200, {}, json.dumps(self.first_token())
            if given != self.refresh_token or self.revoked:
                self.revoked = self.revoked or given in self.issued
                self.refused += 1
                return 400, {}, json.dumps({"error": "invalid_grant"})
            number = len(self.issued) // 2
            self.refresh_token, self.access_token = f"refresh-{number}", f"access-{number}"
            self.rotated.set()
            self.issued += [self.refresh_token, self.access_token]
            return 200, {}, json.dumps(self.first_token(token_type="Bearer"))


def _create_handler(endpoint: TokenEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            self._send(*endpoint.answer(parse_qs(body)))

        def do_GET(self) -> None:
            with endpoint.lock:
                good = self.headers.get("Authorization") == f"Bearer {endpoint.access_token}" and not endpoint.revoked
            self._send(200 if good else 401, {}, "{}")

        def _send(self, status: int, headers: dict[str, str], body: str) -> None:
            try:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())
            except ConnectionError:
                self.close_connection = True  # the caller was killed

        def log_message(self, *args: Any) -> None:
            return

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture
def create_endpoint() -> Iterator[Callable[[], TokenEndpoint]]:
    """Start token endpoints, each on a port of its own."""
    running: list[tuple[_Server, threading.Thread, TokenEndpoint]] = []

    def create() -> TokenEndpoint:
        endpoint = TokenEndpoint()
        endpoint.gate.set()
        server = _Server(("127.0.0.1", 0), _create_handler(endpoint))
        endpoint.url = f"http://127.0.0.1:{server.server_port}/token"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        running.append((server, thread, endpoint))
        return endpoint

    yield create
    for server, thread, endpoint in running:
        endpoint.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def endpoint(create_endpoint: Callable[[], TokenEndpoint]) -> TokenEndpoint:
    """One token endpoint."""
    return create_endpoint()


def _load_worker() -> Any:
    spec = importlib.util.spec_from_file_location("refresh_worker", WORKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


worker = _load_worker()


class Process:
    """One worker process."""

    def __init__(self, database_url: str, token_url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), database_url, token_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        assert self.stdout.readline() == "ready\n"

    def start_calls(self, calls: int, offset: float = 0.0) -> None:
        self.stdin.write(json.dumps({"calls": calls, "offset": offset}) + "\n")
        self.stdin.flush()

    def read_results(self) -> list[str]:
        results: list[str] = json.loads(self.stdout.readline())
        return results

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.stdin.close()
        self.stdout.close()


@pytest.fixture
def start_process(endpoint: TokenEndpoint) -> Iterator[Callable[[str], Process]]:
    """Start worker processes; they are ended at the end."""
    running: list[Process] = []

    def start(database_url: str) -> Process:
        running.append(Process(database_url, endpoint.url))
        return running[-1]

    yield start
    for process in running:
        process.close()


@pytest.fixture
def make_app(endpoint: TokenEndpoint) -> Iterator[Callable[..., Any]]:
    """Create applications with their tables, or (``tables=False``) more workers of one; they are closed at the end."""
    apps: list[Any] = []

    def make(database_url: str, *, tables: bool = True, **options: Any) -> Any:
        app = worker.create_app(database_url, endpoint.url, **options)
        apps.append(app)
        if tables:
            app.create_tables()
        return app

    yield make
    endpoint.gate.set()
    for app in apps:
        app.close()


@pytest.fixture
def app(database_url: str, make_app: Callable[..., Any]) -> Any:
    """An application on SQLite, PostgreSQL and MariaDB in turn."""
    return make_app(database_url)
