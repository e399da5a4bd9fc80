"""What every test may ask for: real databases, a real cache server, a real browser, real HTTP on loopback.

Where a server is missing, a test that needs it is skipped with the reason; under ``CI=true`` it fails instead, so
that nothing is left out unseen. The addresses come from ``TEST_POSTGRESQL_URL``, ``TEST_MARIADB_URL``,
``TEST_REDIS_URL``, ``TEST_MEMCACHED`` and ``TEST_CHROMIUM``.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import sqlalchemy as sa
from werkzeug.serving import make_server

from flask_oauth_accounts.testing.pytest_plugin import oauth_provider  # noqa: F401 – a fixture for everybody

if TYPE_CHECKING:
    from flask import Flask
    from playwright.sync_api import Browser, BrowserContext, Page

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
MARIADB = os.environ.get("TEST_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/test")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
MEMCACHED = os.environ.get("TEST_MEMCACHED", "127.0.0.1:11211")
CHROMIUM = os.environ.get("TEST_CHROMIUM", "/usr/bin/chromium")

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def unavailable(what: str) -> NoReturn:
    """Skip the test, or fail it where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not available, and CI=true allows no gaps", pytrace=False)
    pytest.skip(f"{what} is not available")


@contextmanager
def _own_database(server: str, what: str, *, options: str = "", drop_options: str = "") -> Iterator[str]:
    """Create a database that only this test uses, and drop it afterwards whatever is still connected."""
    name = f"foa_{secrets.token_hex(6)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}{options}")
    except sa.exc.OperationalError:
        unavailable(what)
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            if engine.dialect.name != "postgresql":
                _disconnect_all(connection, name)
            connection.exec_driver_sql(f"DROP DATABASE {name}{drop_options}")


def _disconnect_all(connection: sa.Connection, name: str) -> None:
    """End what a failed test has left open in a database of MariaDB: it would keep the database from being dropped."""
    found = connection.execute(sa.text("SELECT id FROM information_schema.processlist WHERE db = :db"), {"db": name})
    for (process,) in found.all():
        with suppress(sa.exc.DBAPIError):  # it has ended by itself
            connection.exec_driver_sql(f"KILL {process:d}")


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with _own_database(POSTGRESQL, "PostgreSQL", drop_options=" WITH (FORCE)") as url:
        yield url


@pytest.fixture
def mariadb_url() -> Iterator[str]:
    """The URL of an empty MariaDB database of the test's own, with the server's case-insensitive default collation."""
    with _own_database(MARIADB, "MariaDB", options=" CHARACTER SET utf8mb4") as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of the test's own, on each of the three systems in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The URL of an empty Redis database of the test's own: one of the numbers 1–15, claimed in number 0."""
    redis = pytest.importorskip("redis")
    base = REDIS.rsplit("/", 1)[0]
    with closing(redis.Redis.from_url(f"{base}/0")) as claims:
        try:
            number = next((n for n in range(1, 16) if claims.set(f"foa-test-db:{n}", "1", nx=True, ex=900)), None)
        except redis.ConnectionError:
            unavailable("Redis")
        if number is None:
            unavailable("a free Redis database")
        with closing(redis.Redis.from_url(f"{base}/{number}")) as own:
            own.flushdb()
            yield f"{base}/{number}"
            own.flushdb()
        claims.delete(f"foa-test-db:{number}")


@pytest.fixture
def memcached_server() -> str:
    """``host:port`` of memcached. Its content is shared: use a key prefix of your own."""
    host, _, port = MEMCACHED.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        unavailable("memcached")
    return MEMCACHED


@pytest.fixture
def live_server() -> Iterator[Callable[[Flask], str]]:
    """Run applications on loopback, each on a free port in threads of its own.

    Call it with an application; it returns the address, without a slash at the end.
    """
    running: list[tuple[Any, threading.Thread]] = []

    def start(app: Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One Chromium for the whole run; each test opens a context of its own in it."""
    if not Path(CHROMIUM).is_file():
        unavailable("Chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=15_000)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Open pages in fresh browsers, with the options of Playwright's contexts."""
    contexts: list[BrowserContext] = []

    def open_fresh(**options: Any) -> Page:
        context = chromium.new_context(**options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        return context.new_page()

    yield open_fresh
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A page in a fresh browser context: no cookies, nothing cached."""
    return open_page()
