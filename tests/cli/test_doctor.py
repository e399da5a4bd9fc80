"""``flask oauth doctor``: what it finds, and that it is content where nothing is wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_caching import Cache
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_oauth_accounts import OAuth, OAuthAccounts
from flask_oauth_accounts.providers import list_presets, load_preset
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


HALF = {"HALF_CLIENT_ID": "id", "HALF_CLIENT_SECRET": "s"}
URLS = {"HALF_AUTHORIZE_URL": "https://p.example/a", "HALF_ACCESS_TOKEN_URL": "https://p.example/t"}


@pytest.mark.parametrize(
    ("arguments", "config", "words"),
    [
        ({"preset": "oidc"}, {}, ("HALF_SERVER_METADATA_URL", "/.well-known/openid-configuration")),
        ({}, {}, ("no such preset", "HALF_SERVER_METADATA_URL", "HALF_AUTHORIZE_URL", "HALF_ACCESS_TOKEN_URL")),
        ({"authorize_url": "https://p.example/a"}, {}, ("HALF_ACCESS_TOKEN_URL",)),
        ({}, URLS, ("nothing says who logs in", "HALF_USERINFO_ENDPOINT", "openid")),
        ({"scope": "openid"}, URLS, ("who issues its ID tokens", "HALF_ISSUER")),
        ({"scope": "openid", "issuer": "https://p.example"}, URLS, ("keys", "HALF_JWKS_URI")),
        ({"preset": "microsoft"}, {}, ("HALF_TENANT is common", "HALF_ALLOWED_TENANTS")),
        ({"preset": "microsoft", "tenant": "organizations"}, {}, ("HALF_TENANT is organizations",)),
        (
            {"preset": "apple"},
            {"HALF_CLIENT_SECRET": ...},
            ("HALF_TEAM_ID", "HALF_KEY_ID", "HALF_PRIVATE_KEY", "HALF_CLIENT_SECRET"),
        ),
        (
            {"request_token_url": "https://p.example/r", "authorize_url": "https://p.example/a"},
            {},
            ("HALF_ACCESS_TOKEN_URL",),
        ),
    ],
)
def test_finds_a_client_that_is_half_described(
    make_site: MakeSite, arguments: dict[str, Any], config: dict[str, Any], words: tuple[str, ...]
) -> None:
    """The first visitor would find out, with an error page."""
    site = make_site(
        lambda app: OAuth(app).register("half", **arguments), OAUTH_ACCOUNTS_PROVIDERS=..., **{**HALF, **config}
    )
    find(site, "half: ", *words, options=("--offline",))


def test_a_misspelt_preset_is_recognised(make_site: MakeSite) -> None:
    """A developer would look for the fault in the addresses."""
    site = make_site(
        lambda app: OAuth(app).register("gitub", client_id="id", client_secret="s"), OAUTH_ACCOUNTS_PROVIDERS=...
    )
    find(site, "gitub", "did you mean 'github'?")


def test_finds_a_discovery_document_that_lacks_an_endpoint(make_site: MakeSite, provider: DevProvider) -> None:
    """A document for something else than logins would be noticed by the first visitor."""
    provider.next_metadata(token_endpoint=None, times=None)
    find(make_site(), "three", "THREE_ACCESS_TOKEN_URL")


def test_every_preset_is_complete(make_site: MakeSite) -> None:
    """A preset that works would be called broken, and no other line be read any more."""
    values = {"hostname": "p.example", "label": "p", "segment": "p", "base_url": "https://p.example", "list": "*"}

    def register(app: Flask) -> None:
        oauth = OAuth(app)
        for preset in map(load_preset, list_presets()):
            given = {item.name: values[item.kind] for item in preset.placeholders}
            if preset.key != "oidc":
                oauth.register(preset.key, client_id="id", client_secret="s", **given)

    output = make_site(register, OAUTH_ACCOUNTS_PROVIDERS=...).run("doctor", "--offline").output
    assert output.count("register this redirect URI") > 50


def test_a_client_for_an_api_only_is_no_problem(make_site: MakeSite) -> None:
    """An application that asks an API in its own name would never get a clean report."""
    machine = {"MACHINE_CLIENT_ID": "id", "MACHINE_CLIENT_SECRET": "s"}
    site = make_site(
        lambda app: OAuth(app).register("machine", access_token_url="https://p.example/t"),
        OAUTH_ACCOUNTS_PROVIDERS=...,
        **machine,
    )
    assert "hint     machine: without MACHINE_AUTHORIZE_URL" in site.run("doctor").output


def report_on_own_users(folder: Path, **config: Any) -> str:
    """What the doctor says of an application of way B without any client."""
    db = SQLAlchemy()

    class User(db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)

    app = Flask("own", instance_path=str(folder))
    app.config.update(SECRET_KEY="x", TESTING=True, SQLALCHEMY_DATABASE_URI="sqlite://", CACHE_TYPE="SimpleCache")
    app.config.update(GITHUB_CLIENT_ID="id", GITHUB_CLIENT_SECRET="s", **config)
    db.init_app(app)
    LoginManager(app)
    OAuthAccounts(OAuth(), db=db, user_model=User).init_app(app)
    return str(app.test_cli_runner().invoke(args=["oauth", "doctor", "--offline"]).output)


def test_finds_providers_that_nobody_registers(tmp_path: Path) -> None:
    """The setting works where the blueprint sets up everything, and would be silently without effect here."""
    output = report_on_own_users(tmp_path, OAUTH_ACCOUNTS_PROVIDERS="github,google")
    assert 'here write oauth.register("github")' in output
    assert 'here write oauth.register("google")' in output
    assert "set GITHUB_CLIENT_ID" not in output


def test_an_application_that_registers_its_clients_is_told_to(tmp_path: Path) -> None:
    """A developer would set a key that is set already, and wonder."""
    assert 'PROBLEM  no client is registered: write oauth.register("github")' in report_on_own_users(tmp_path)


def test_addresses_of_logouts_are_shown_where_they_are_used(make_site: MakeSite) -> None:
    """The provider would refuse the way back from its logout, or never tell that a session has ended."""
    output = make_site(**PRODUCTION, OAUTH_ACCOUNTS_PROVIDER_LOGOUT=True).run("doctor").output
    assert "three: register this post-logout redirect URI too: https://www.example.com/logged-out/three\n" in output
    assert "can be registered too: https://www.example.com/backchannel-logout/three\n" in output
    assert "logged-out/two" not in output
    assert "logged-out" not in make_site(**PRODUCTION).run("doctor").output


def test_an_assumed_host_is_said(make_site: MakeSite) -> None:
    """An operator would register an address of this machine with the provider."""
    assert "the host 127.0.0.1:5000 is assumed" in make_site().run("doctor").output
    assert "is assumed" not in make_site(SERVER_NAME="example.org").run("doctor").output
    assert "is assumed" not in make_site(**PRODUCTION).run("doctor").output


def test_an_empty_list_of_keys_is_no_list(make_site: MakeSite) -> None:
    """The report would praise a key of its own where ``SECRET_KEY`` seals."""
    assert "derived from SECRET_KEY" in make_site(OAUTH_ACCOUNTS_KEYS="").run("doctor").output


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
