"""``examples/worker``: a real queue on Redis and a real worker beside the pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis

from flask_oauth_accounts.testing import DevProvider, oauth_login

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(oauth_provider: DevProvider, redis_url: str, sqlite_url: str) -> dict[str, Any]:
    """What the pages and the worker are told alike."""
    return {
        "SECRET_KEY": "for this test",
        "REDIS_URL": redis_url,
        "PROFILE_PATH": "me",
        "SQLALCHEMY_DATABASE_URI": sqlite_url,
        "CACHE_TYPE": "RedisCache",
        "CACHE_REDIS_URL": redis_url,
        "OAUTH_ACCOUNTS_AUTO_MIGRATE": "true",
        "OAUTH_ACCOUNTS_PROVIDERS": "github",
        "OAUTH_ACCOUNTS_ALLOW_HTTP": "127.0.0.1",
        "OAUTH_ACCOUNTS_EXTERNAL_URL": "http://localhost",
        "GITHUB_ISSUER": oauth_provider.issuer,
        **oauth_provider.oauth2_config("github"),
    }


@pytest.fixture
def app(load_example: Callable[[str], ModuleType], config: dict[str, Any]) -> Iterator[Flask]:
    app: Flask = load_example("worker").create_app(config)
    yield app
    with app.app_context():
        accounts = app.extensions["flask_oauth_accounts"].accounts
        accounts.store.dispose()
        accounts.db.engine.dispose()


@pytest.fixture
def browser(app: Flask, oauth_provider: DevProvider) -> FlaskClient:
    browser = app.test_client()
    response = oauth_login(browser, "github", provider=oauth_provider)
    assert response.status_code == 302, response.text
    return browser


def start_report(browser: FlaskClient) -> str:
    """Press the button; returns the address of the report."""
    page = browser.get("/")
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found is not None, page.text
    response = browser.post("/reports", data={"csrf_token": found[1]})
    assert response.status_code == 303, response.text
    return str(response.headers["Location"])


def start_worker(config: dict[str, Any]) -> subprocess.Popen[str]:
    """``rq worker`` as an operator starts it; it ends when the queue is empty."""
    command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--serializer", "json", "--url"]
    environment = {f"FLASK_{key}": str(value) for key, value in config.items()}
    return subprocess.Popen(
        [*command, config["REDIS_URL"], "reports"],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*workers: subprocess.Popen[str]) -> str:
    outputs = [worker.communicate(timeout=90)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), outputs
    return "\n".join(outputs)


def test_a_job_uses_the_users_token(browser: FlaskClient, config: dict[str, Any], oauth_provider: DevProvider) -> None:
    """Work in the background would have no token, or need one in the queue."""
    address = start_report(browser)
    assert browser.get(address).get_json() == {"status": "queued", "result": None}
    with Redis.from_url(config["REDIS_URL"]) as redis:
        queued = b"".join(value for key in redis.keys("rq:job:*") for value in redis.hgetall(key).values())
    assert not [secret for secret in oauth_provider.issued_secrets() if secret.encode() in queued]
    output = finish(start_worker(config))
    assert browser.get(address).get_json() == {"status": "finished", "result": {"name": "Alice Ardent"}}
    assert not [secret for secret in oauth_provider.issued_secrets() if secret in output]


def test_two_workers_refresh_an_expired_token_once(
    browser: FlaskClient, app: Flask, config: dict[str, Any], oauth_provider: DevProvider
) -> None:
    """The second refresh would use a spent refresh token, and the provider revoke the grant."""
    addresses = [start_report(browser) for _ in range(4)]
    with app.app_context():
        accounts = app.extensions["flask_oauth_accounts"].accounts
        stored = accounts.store.load(1, "github", protocol="oauth2")
        accounts.vault.save(1, "github", {**stored.token, "expires_at": 1}, stored.account, protocol="oauth2")
    oauth_provider.expire_access_tokens()
    before = oauth_provider.count("/oauth2/token")
    finish(start_worker(config), start_worker(config))
    results = [browser.get(address).get_json() for address in addresses]
    assert results == [{"status": "finished", "result": {"name": "Alice Ardent"}}] * 4
    assert oauth_provider.count("/oauth2/token") == before + 1


def test_a_job_whose_grant_is_dead_gives_the_link(
    browser: FlaskClient, app: Flask, config: dict[str, Any], oauth_provider: DevProvider
) -> None:
    """The user would never learn why nothing happens."""
    address = start_report(browser)
    with app.app_context():
        accounts = app.extensions["flask_oauth_accounts"].accounts
        stored = accounts.store.load(1, "github", protocol="oauth2")
        accounts.vault.save(1, "github", {**stored.token, "expires_at": 1}, stored.account, protocol="oauth2")
    oauth_provider.revoke_grants("alice")
    finish(start_worker(config))
    result = browser.get(address).get_json()["result"]
    assert result["reconnect"].startswith("http://localhost/reconnect/1")
    callback = oauth_provider.authorize(browser.get(result["reconnect"]).headers["Location"], "alice")
    assert browser.get(str(callback)).status_code == 302
    address = start_report(browser)
    finish(start_worker(config))
    assert browser.get(address).get_json()["result"] == {"name": "Alice Ardent"}


def test_a_report_is_shown_to_its_owner_alone(browser: FlaskClient, app: Flask, oauth_provider: DevProvider) -> None:
    """Whoever guesses a number would read somebody else's report."""
    address = start_report(browser)
    other = app.test_client()
    oauth_login(other, "github", "bob", provider=oauth_provider)
    assert other.get(address).status_code == 404
    assert app.test_client().get(address).status_code == 302
