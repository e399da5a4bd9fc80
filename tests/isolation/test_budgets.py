"""What a page may cost: SQL statements, connections, calls into the package. Counted, never timed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_login import LoginManager

import flask_oauth_accounts
from flask_oauth_accounts import OAuth, create_blueprint, current_oauth

PACKAGE = str(Path(flask_oauth_accounts.__file__).parent)
EVERY_PROTOCOL = pytest.mark.parametrize("name", ["one", "two", "three"])


def count_package_calls(action: Callable[[], Any]) -> list[str]:
    """Names of the package's functions that run meanwhile."""
    calls: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def create_crowded_app(instance: Path) -> Flask:
    """An application with the blueprint and 30 providers, in which nobody has logged in yet."""
    app = Flask("crowded", instance_path=str(instance))
    app.config.update(SECRET_KEY="test", TESTING=True)
    oauth = OAuth(app)
    for number in range(30):
        oauth.register(f"p{number}", preset="github", client_id="id", client_secret="secret")
    app.register_blueprint(create_blueprint())
    app.add_url_rule("/plain", view_func=lambda: "a page", endpoint="plain")
    return app


def test_a_page_without_the_package_costs_nothing(tmp_path: Path, count_sql: Callable[[], Any]) -> None:
    """Every page of the application would be slower because some of its users log in through a provider."""
    app = create_crowded_app(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    browser = app.test_client()
    with count_sql() as statements:
        calls = count_package_calls(lambda: browser.get("/plain"))
    answer = browser.get("/plain")
    assert statements == []
    assert calls == []
    assert sorted(tmp_path.rglob("*")) == before
    assert "Set-Cookie" not in answer.headers
    plain = Flask("plain")
    plain.secret_key = "test"
    LoginManager(plain)
    plain.add_url_rule("/plain", view_func=lambda: "a page", endpoint="plain")
    expected = plain.test_client().get("/plain")
    assert dict(answer.headers) == dict(expected.headers)  # Flask-Login's own Vary, and nothing more


def test_a_registry_alone_leaves_every_page_as_it_was(tmp_path: Path) -> None:
    """Pages would become uncacheable for a registry that they do not use."""
    app = Flask("registry", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="test", TESTING=True)
    oauth = OAuth(app)
    for number in range(30):
        oauth.register(f"p{number}", preset="github", client_id="id", client_secret="secret")
    app.add_url_rule("/plain", view_func=lambda: "a page", endpoint="plain")
    assert count_package_calls(lambda: app.test_client().get("/plain")) == []
    answer = app.test_client().get("/plain")
    assert "Vary" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert list(tmp_path.iterdir()) == []


def test_a_page_costs_nothing_for_a_user_who_is_logged_in(site: Any, count_sql: Callable[[], Any]) -> None:
    """Pages that never ask who is there would load the user and their token."""
    browser = site.log_in("two")
    with count_sql() as statements:
        calls = count_package_calls(lambda: browser.get("/plain"))
    assert statements == []
    assert calls == []
    assert "Set-Cookie" not in browser.get("/plain").headers


@EVERY_PROTOCOL
def test_the_callback_of_a_returning_user_takes_six_statements(
    site: Any, name: str, count_sql: Callable[[], Any]
) -> None:
    """Logins would load the database more than they need to."""
    site.log_in(name)
    browser = site.app.test_client()
    callback = site.begin(browser, name)
    with count_sql() as statements:
        assert browser.get(callback).status_code == 302
    assert len(statements) <= 6, statements


@EVERY_PROTOCOL
def test_an_api_call_takes_one_statement_and_the_next_none(site: Any, name: str, count_sql: Callable[[], Any]) -> None:
    """Each call to the provider's API would ask the database again."""
    user_id = site.user_id(site.log_in(name))
    path = "/oauth1/api/echo" if name == "one" else "/api/echo"
    with site.app.app_context():
        client = current_oauth.create_client(name).for_user(user_id)
        with count_sql() as statements:
            assert client.get(path).status_code == 200
        assert len(statements) == 1, statements
        with count_sql() as statements:
            assert client.get(path).status_code == 200
            assert current_oauth.create_client(name).for_user(user_id).get(path).status_code == 200
        assert statements == []


@EVERY_PROTOCOL
def test_a_page_with_an_api_call_loads_user_and_token(site: Any, name: str, count_sql: Callable[[], Any]) -> None:
    """A page that shows something of the provider's would cost more than the user and the token."""
    browser = site.log_in(name)
    with count_sql() as statements:
        assert browser.get(f"/who/{name}").status_code == 200
    assert len(statements) == 2, statements


def test_the_accounts_page_does_not_ask_for_each_account(site: Any, count_sql: Callable[[], Any]) -> None:
    """The page would become slow for somebody with many accounts."""
    browser = site.log_in("one")
    with count_sql() as few:
        assert browser.get("/accounts").status_code == 200
    for name in ("two", "three"):
        token = browser.get("/accounts", headers={"Accept": "application/json"}).get_json()["csrf_token"]
        location = browser.post(f"/connect/{name}", data={"csrf_token": token}).headers["Location"]
        callback = str(site.provider.authorize(location, "bob" if name == "two" else "carol"))
        assert browser.get(callback.removeprefix("http://localhost")).status_code == 302
    with count_sql() as many:
        assert len(browser.get("/accounts", headers={"Accept": "application/json"}).get_json()["accounts"]) == 3
    assert len(many) <= len(few) + 1
    assert len(many) <= 5, many


class CountingServer(ThreadingHTTPServer):
    """Answers everything, and counts connections."""

    daemon_threads = True
    connections = 0


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1, so that connections stay open."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """A running server."""
    running = CountingServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_a_hundred_api_calls_take_one_connection(protocol: str, server: CountingServer) -> None:
    """Each call would wait for a connection and a TLS handshake."""
    app = Flask("app")
    app.config.update(SECRET_KEY="test", TESTING=True)
    oauth = OAuth(app)
    url = f"http://127.0.0.1:{server.server_port}"
    endpoints = {"api_base_url": url, "authorize_url": f"{url}/a", "access_token_url": f"{url}/t"}
    if protocol == "oauth1":
        endpoints["request_token_url"] = f"{url}/r"
    oauth.register("dev", client_id="id", client_secret="secret", **endpoints)
    for number in range(100):
        token = {"access_token": f"t{number}", "oauth_token": f"t{number}", "oauth_token_secret": "s"}
        with app.test_request_context():
            assert oauth.dev.get("/x", token=token).status_code == 200
    assert server.connections == 1
