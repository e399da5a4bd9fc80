"""Caches of every kind, and an application with the blueprint over any of them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cachelib import FileSystemCache, MemcachedCache, RedisCache, SimpleCache
from flask import Flask
from flask.testing import FlaskClient

from flask_oauth_accounts import OAuth, create_blueprint
from flask_oauth_accounts.testing import DevProvider

PROTOCOLS = {"one": "oauth1", "two": "oauth2", "three": "oidc"}


@pytest.fixture
def memcached(request: pytest.FixtureRequest) -> Iterator[str]:
    """``host:port`` of memcached: one of the test's own where the program is installed, else the shared one."""
    program = shutil.which("memcached")
    if program is None:
        yield request.getfixturevalue("memcached_server")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port), "-u", "nobody", "-m", "16"]) as process:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                continue
        yield f"127.0.0.1:{port}"
        process.terminate()


def close_connection(cache: Any) -> None:
    """Close this thread's connection to memcached, which nothing else closes before the garbage collector."""
    client = getattr(cache, "_client", cache)
    if hasattr(client, "disconnect_all"):
        client.disconnect_all()


class GetSetCache:
    """Nothing but ``get`` and ``set``."""

    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.entries.get(key)

    def set(self, key: str, value: str, expires: int | None = None) -> None:
        self.entries[key] = value


class QuietCache:
    """What somebody may have written around a client: its ``delete`` says nothing."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def get(self, key: str) -> Any:
        return self.cache.get(key)

    def set(self, key: str, value: str, expires: int | None = None) -> None:
        self.cache.set(key, value, expires)

    def delete(self, key: str) -> None:
        self.cache.delete(key)


@pytest.fixture
def make_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Any]:
    """Build a cache of a kind."""

    def make(kind: str) -> Any:
        if kind == "simple":
            return SimpleCache()
        if kind == "get-set":
            return GetSetCache()
        if kind == "files":
            return FileSystemCache(str(tmp_path / "cache"), threshold=100_000)
        if kind.startswith("memcached"):
            place = request.getfixturevalue("memcached")
            import memcache

            cache = MemcachedCache([place]) if kind == "memcached-cachelib" else memcache.Client([place])
            request.addfinalizer(lambda: close_connection(cache))
            return cache
        import redis

        class SilentRedis(redis.Redis):
            def delete(self, *names: Any) -> None:  # type: ignore[override]
                super().delete(*names)

        url = request.getfixturevalue("redis_url")
        client = (SilentRedis if kind == "redis-silent" else redis.Redis).from_url(url)
        request.addfinalizer(client.close)
        if kind in ("redis-client", "redis-silent"):
            return client
        if kind == "redis-wrapped":
            return QuietCache(client)
        connection = client.connection_pool.connection_kwargs
        cache = RedisCache(connection["host"], connection["port"], db=connection["db"])
        request.addfinalizer(cache._read_client.close)
        return cache

    return make


@pytest.fixture
def run_at_once() -> Iterator[Callable[..., list[Any]]]:
    """Run functions in threads that begin together and are switched as often as can be; gives what they return."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def run(*actions: Callable[[], Any], cache: Any = None) -> list[Any]:
        together = threading.Barrier(len(actions))
        results: list[Any] = []

        def work(action: Callable[[], Any]) -> None:
            together.wait()
            try:
                results.append(action())
            finally:
                close_connection(cache)

        threads = [threading.Thread(target=work, args=(action,)) for action in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    yield run
    sys.setswitchinterval(interval)


class Site(SimpleNamespace):
    """An application under test: ``one`` is OAuth 1, ``two`` OAuth 2, ``three`` OpenID Connect."""

    app: Flask
    provider: DevProvider

    def browser(self) -> FlaskClient:
        """A browser without cookies."""
        return self.app.test_client()

    def start(self, browser: FlaskClient, name: str, **query: str) -> str:
        """Press the button; returns the provider's address."""
        response = browser.get(f"/login/{name}", query_string=query)
        assert response.status_code == 302, response.text
        return str(response.headers["Location"])

    def consent(self, url: str, user: str = "alice") -> str:
        """Allow it at the provider; returns path and query of the callback."""
        return str(self.provider.authorize(url, user)).removeprefix("http://localhost")

    def begin(self, browser: FlaskClient, name: str, **query: str) -> str:
        """As far as the callback; returns its path and query."""
        return self.consent(self.start(browser, name, **query))

    def is_logged_in(self, browser: FlaskClient) -> bool:
        """Whether the session belongs to somebody."""
        with browser.session_transaction() as session:
            return "_user_id" in session

    def exchanges(self, name: str) -> int:
        """How often a token was asked for."""
        if name == "one":
            return self.provider.count("/oauth1/access_token")
        return self.provider.count("/oauth2/token")


@pytest.fixture
def make_site(oauth_provider: DevProvider, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Build applications; ``cache=None`` has pending logins kept in the session, other keywords are configuration."""
    made: list[Flask] = []

    def make(cache: Any, **config: Any) -> Site:
        instance = tmp_path / f"instance{len(made)}"
        app = Flask("site", instance_path=str(instance))
        app.config.update(SECRET_KEY="test", TESTING=True, CACHE_TYPE="NullCache", CACHE_NO_NULL_WARNING=True)
        app.config.update(config)
        oauth = OAuth(app, cache=cache)
        for name, kind in PROTOCOLS.items():
            arguments = oauth_provider.register_kwargs(kind)
            if cache is None and kind == "oauth1" and app.config["CACHE_TYPE"] == "NullCache":
                continue
            oauth.register(name, **arguments)
        app.register_blueprint(create_blueprint())
        made.append(app)
        return Site(app=app, provider=oauth_provider)

    yield make
    for app in made:
        with app.app_context():
            app.extensions["sqlalchemy"].engine.dispose()
