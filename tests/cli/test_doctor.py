"""``flask oauth doctor``: what it finds, and that it is content where nothing is wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_caching import Cache
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_oauth_accounts.testing import DevProvider

PRODUCTION = {
    "TESTING": False,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "OAUTH_ACCOUNTS_EXTERNAL_URL": "https://www.example.com",
    "OAUTH_ACCOUNTS_ALLOW_HTTP": ["127.0.0.1"],
}
MakeSite = Callable[..., Any]


def test_nothing_is_wrong(make_site: MakeSite, provider: DevProvider) -> None:
    """A doctor who always finds something is not listened to."""
    site = make_site(**PRODUCTION)
    output = site.run("doctor").output
    assert "PROBLEM" not in output
    assert output.endswith("0 problems\n")
    for name in ("one", "two", "three"):
        assert f"{name}: register this redirect URI" in output
        assert f": https://www.example.com/authorize/{name}\n" in output
    assert f"three: discovery answers, issuer {provider.issuer}" in output


def test_nothing_is_wrong_with_used_tables_either(make_site: MakeSite) -> None:
    """After the first login the tables are there, and would be called outdated."""
    site = make_site()
    site.log_in()
    output = site.run("doctor").output
    assert "tables are up to date" in output


def test_looking_creates_no_tables(make_site: MakeSite, tmp_path: Path) -> None:
    """A check that changes the database is no check."""
    site = make_site()
    assert "brought up to date on first use" in site.run("doctor").output
    with sqlite3.connect(tmp_path / "instance" / "oauth_accounts.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def find(site: Any, *words: str, options: tuple[str, ...] = ()) -> None:
    """Run it; one line that is marked as a problem has all these words."""
    output = site.run("doctor", *options, code=1).output
    lines = [line for line in output.splitlines() if line.startswith("PROBLEM")]
    assert any(all(word in line for word in words) for line in lines), output


def test_finds_a_missing_client_secret(make_site: MakeSite) -> None:
    """Every login would fail at the token endpoint."""
    find(make_site(TWO_CLIENT_SECRET=...), "two", "TWO_CLIENT_SECRET")
    find(make_site(ONE_CLIENT_SECRET=...), "one", "ONE_CLIENT_SECRET")


def test_a_public_client_needs_no_secret(make_site: MakeSite) -> None:
    """A client that is public on purpose would be called broken."""
    make_site(TWO_CLIENT_SECRET=..., TWO_CLIENT_KWARGS={"token_endpoint_auth_method": "none"}).run("doctor")


def test_finds_that_no_client_is_registered(make_site: MakeSite) -> None:
    """An application whose environment is empty would show a sign-in page without a button."""
    find(make_site(OAUTH_ACCOUNTS_PROVIDERS=...), "GITHUB_CLIENT_ID")


def test_finds_unreachable_discovery(make_site: MakeSite, provider: DevProvider) -> None:
    """A firewall between server and provider would be noticed by the first visitor."""
    site = make_site()
    provider.stop()
    find(site, "three", "discovery")
    assert "PROBLEM" not in site.run("doctor", "--offline").output


def test_finds_a_wrong_issuer(make_site: MakeSite, provider: DevProvider) -> None:
    """ID tokens of another issuer than configured are all refused."""
    provider.next_metadata(issuer="https://other.example", times=None)
    find(make_site(), "three", "issuer")
    provider.clear_faults()
    find(make_site(THREE_ISSUER="https://configured.example"), "three", "issuer")


def test_finds_changed_discovery(make_site: MakeSite, provider: DevProvider) -> None:
    """A provider that has moved its token endpoint would fail at an address that is still configured."""
    site = make_site(THREE_ACCESS_TOKEN_URL=f"{provider.url}/old/token")
    find(site, "three", f"{provider.url}/old/token", f"{provider.url}/oauth2/token")


def test_finds_missing_and_outdated_tables(make_site: MakeSite, tmp_path: Path) -> None:
    """After an update of the package the first login would meet a table without a column."""
    url = f"sqlite:///{tmp_path / 'own.db'}"
    site = make_site(SQLALCHEMY_DATABASE_URI=url)
    find(site, "tables", "flask oauth db upgrade")
    site.run("db", "upgrade")
    site.run("doctor")
    with sqlite3.connect(tmp_path / "own.db") as connection:
        connection.execute("ALTER TABLE oauth2_token DROP COLUMN requested_scope")
    find(site, "tables", "requested_scope", "flask oauth db upgrade")


def test_finds_a_database_that_does_not_answer(make_site: MakeSite) -> None:
    """A wrong address of the database would be noticed by the first visitor."""
    find(make_site(SQLALCHEMY_DATABASE_URI="postgresql+psycopg://nobody@127.0.0.1:1/none"), "database")


def test_finds_a_null_cache(make_site: MakeSite) -> None:
    """With a cache that forgets everything every login ends in "state missing"."""
    site = make_site(OAUTH_ACCOUNTS_PROVIDERS="two", CACHE_TYPE="NullCache", CACHE_NO_NULL_WARNING=True)
    find(site, "NullCache")


def test_hints_at_a_cache_of_one_process(make_site: MakeSite) -> None:
    """With several workers every second login would fail."""
    site = make_site(lambda app: Cache(app, config={"CACHE_TYPE": "SimpleCache"}))
    assert "SimpleCache is one process's own" in site.run("doctor").output


@pytest.mark.parametrize(
    ("key", "value"),
    [("SESSION_COOKIE_SECURE", False), ("SESSION_COOKIE_HTTPONLY", False), ("SESSION_COOKIE_SAMESITE", "Strict")],
)
def test_finds_insecure_cookies(make_site: MakeSite, key: str, value: object) -> None:
    """The session could be read on the way, or by scripts, or would stay behind at the callback."""
    # Where the address is known to be https, way A marks the cookie by itself.
    find(make_site(**{**PRODUCTION, "OAUTH_ACCOUNTS_EXTERNAL_URL": ..., key: value}), key)


@pytest.mark.parametrize(
    ("config", "wrap", "expected"),
    [
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": "http://www.example.com"}, None, "use https"),
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": ...}, None, "ProxyFix"),
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": ...}, {"x_proto": 0, "x_host": 0}, "X-Forwarded-Proto"),
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": ...}, {"x_proto": 1, "x_host": 1}, None),
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": "http://localhost:5000"}, None, None),
    ],
)
def test_finds_a_scheme_that_a_proxy_hides(
    make_site: MakeSite, config: dict[str, Any], wrap: dict[str, int] | None, expected: str | None
) -> None:
    """Redirect URIs would begin with http, and the provider refuse them."""

    def proxy(app: Flask) -> None:
        if wrap is not None:
            app.wsgi_app = ProxyFix(app.wsgi_app, **wrap)  # type: ignore[method-assign]

    site = make_site(proxy, **{**PRODUCTION, **config})
    if expected is None:
        site.run("doctor")
    else:
        find(site, expected)


def test_finds_secrets_whose_key_is_gone(make_site: MakeSite) -> None:
    """Every user would have to connect again, and the operator not know why."""
    site = make_site(OAUTH_ACCOUNTS_KEYS=["old:" + "A" * 43])
    site.log_in()
    site.run("doctor")
    find(make_site(OAUTH_ACCOUNTS_KEYS=["new:" + "B" * 42 + "A"]), "key old", "OAUTH_ACCOUNTS_KEYS")


def test_finds_a_secret_that_nobody_sealed(make_site: MakeSite, tmp_path: Path) -> None:
    """A script that writes plain tokens past the models would be noticed by whoever steals the database."""
    site = make_site()
    site.log_in()
    with sqlite3.connect(tmp_path / "instance" / "oauth_accounts.db") as connection:
        connection.execute("UPDATE oauth2_token SET access_token = 'plain'")
    find(site, "not sealed")
