"""An attacker's bench: an application with nothing but configuration, real providers, and several browsers."""

from __future__ import annotations

import base64
import logging
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import pytest
from flask import Flask, jsonify, request
from flask.testing import FlaskClient
from flask_login import current_user
from werkzeug.test import TestResponse

from flask_oauth_accounts import OAuthError, current_oauth, oauth_bp
from flask_oauth_accounts.testing import DevProvider

KINDS = {"one": "oauth1", "two": "oauth2", "three": "oidc"}
TABLES = ("oauth_user", "oauth_identity", "oauth1_token", "oauth2_token")
TOKEN_PATHS = ("/oauth2/token", "/oauth1/access_token")
JSON = {"Accept": "application/json"}


def assert_page(response: TestResponse, *statuses: int, code: str | None = None) -> None:
    """An answer that a person understands: never a 500, never a traceback, never cached."""
    assert response.status_code in statuses, (response.status_code, response.text)
    assert "Traceback" not in response.text
    assert "<h1>" in response.text or response.content_type == "application/problem+json"
    assert "no-store" in response.headers["Cache-Control"]
    if code is not None:
        assert code in response.text


def assert_on_site(response: TestResponse) -> str:
    """Every target that is sent stays on our origin, as a browser resolves it; returns the target."""
    assert response.status_code in (302, 303), (response.status_code, response.text)
    location = response.headers["Location"]
    as_browser = location.replace("\\", "/").replace("\t", "").replace("\n", "").replace("\r", "").strip()
    parts = urlsplit(urljoin("http://localhost/", as_browser))
    assert (parts.scheme, parts.netloc) == ("http", "localhost"), location
    assert not as_browser.startswith("//"), location
    return location


def path_of(url: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(url)
    return parts.path + ("?" + parts.query if parts.query else "")


def change_query(url: str, **changes: str | None) -> str:
    """The same address with parameters changed, or removed where ``None``."""
    parts = urlsplit(url)
    values = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **changes}
    query = urlencode({key: value for key, value in values.items() if value is not None})
    return parts._replace(query=query).geturl()


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def decode_cookies(browser: FlaskClient) -> list[str]:
    """The cookies of a browser, and what can be read in them without a key."""
    texts = []
    for cookie in browser._cookies.values():
        texts.append(cookie.value)
        payload = cookie.value.lstrip(".").split(".")[0]
        try:
            raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
            texts.append((zlib.decompress(raw) if cookie.value.startswith(".") else raw).decode("utf-8", "replace"))
        except (ValueError, zlib.error):
            continue
    return texts


def copy_cookies(source: FlaskClient, target: FlaskClient) -> None:
    """Give a browser the cookies of another, as they are now."""
    target._cookies.clear()
    target._cookies.update(source._cookies)


class Site:
    """An application under attack.

    :ivar app: with the clients ``one`` (OAuth 1), ``two`` (OAuth 2) and ``three`` (OpenID Connect) of ``provider``.
    :ivar evil: another provider, for the clients ``evil1``, ``evil2`` and ``evil3``, where one was asked for.
    """

    def __init__(self, app: Flask, provider: DevProvider, folder: Path, evil: DevProvider | None = None) -> None:
        self.app, self.provider, self.folder, self.evil = app, provider, folder, evil
        self.answers: list[TestResponse] = []

    # what tests cannot import from here

    JSON = JSON
    assert_page = staticmethod(assert_page)
    assert_on_site = staticmethod(assert_on_site)
    path_of = staticmethod(path_of)
    change = staticmethod(change_query)
    query_of = staticmethod(query_of)
    decode_cookies = staticmethod(decode_cookies)
    copy_cookies = staticmethod(copy_cookies)

    # browsers

    def browser(self, **options: Any) -> FlaskClient:
        """A browser without cookies."""
        return self.app.test_client(**options)

    def start(self, browser: FlaskClient, name: str, **query: Any) -> str:
        """Press the button of a provider; returns where the browser is sent."""
        response = browser.get(f"/login/{name}", query_string=query)
        assert response.status_code == 302, response.text
        return str(response.headers["Location"])

    def provider_of(self, name: str) -> DevProvider:
        """The provider behind a client."""
        if name.startswith("evil"):
            assert self.evil is not None
            return self.evil
        return self.provider

    def consent(self, url: str, user: str = "alice", *, allow: bool = True) -> str:
        """Choose a user at the provider; returns path and query of the callback."""
        provider = self.evil if self.evil is not None and url.startswith(self.evil.url + "/") else self.provider
        return path_of(str(provider.authorize(url, user, allow=allow)))

    def callback(self, browser: FlaskClient, name: str, user: str = "alice", **query: Any) -> str:
        """Start a login and consent; returns the callback that is yet to be opened."""
        return self.consent(self.start(browser, name, **query), user)

    def log_in(self, browser: FlaskClient, name: str = "two", user: str = "alice", **query: Any) -> TestResponse:
        """A whole login; returns the answer to the callback."""
        return self.keep(browser.get(self.callback(browser, name, user, **query)))

    def keep(self, response: TestResponse) -> TestResponse:
        """Remember an answer for :meth:`find_leaks`."""
        self.answers.append(response)
        return response

    def who(self, browser: FlaskClient) -> str | None:
        """The id of the user who is logged in."""
        return (browser.get("/whoami").json or {}).get("id")

    def user_id(self, browser: FlaskClient) -> str:
        """The same where somebody must be logged in."""
        found = self.who(browser)
        assert found is not None
        return found

    def csrf(self, browser: FlaskClient) -> str:
        """The CSRF token of a browser that is logged in."""
        answer = browser.get("/accounts", headers=JSON).json
        assert answer is not None
        return str(answer["csrf_token"])

    def accounts(self, browser: FlaskClient) -> list[dict[str, Any]]:
        """What the page of connected accounts lists."""
        answer = browser.get("/accounts", headers=JSON).json
        assert answer is not None
        return list(answer["accounts"])

    def connect(self, browser: FlaskClient, name: str, user: str = "alice") -> TestResponse:
        """Connect one more account; returns the answer to the callback."""
        response = browser.post(f"/connect/{name}", data={"csrf_token": self.csrf(browser)})
        assert response.status_code == 303, response.text
        return browser.get(self.consent(response.headers["Location"], user))

    # what has happened

    @property
    def database(self) -> Path:
        """The embedded database."""
        return self.folder / "oauth_accounts.db"

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(self.rows(table))

    def execute(self, statement: str, *values: Any) -> None:
        """Change the database behind the application's back."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of users, identities and tokens."""
        return {table: self.rows(table) for table in TABLES}

    def exchanges(self) -> int:
        """How many requests the token endpoints of all providers got."""
        providers = [self.provider, *([self.evil] if self.evil else [])]
        return sum(provider.count(path) for provider in providers for path in TOKEN_PATHS)

    def guard(self, browser: FlaskClient) -> Guard:
        """Take stock before an attack."""
        return Guard(self, browser)

    # secrets

    def find_leaks(self, *browsers: FlaskClient, log: str = "") -> set[str]:
        """Places in which a secret stands: bodies, headers, cookies, log, database and cache files.

        :param log: everything that was logged.
        """
        providers = [self.provider, *([self.evil] if self.evil else [])]
        secrets = set().union(*(provider.issued_secrets() for provider in providers))
        places: dict[str, str] = {"log": log}
        for number, answer in enumerate(self.answers):
            places[f"answer {number} {answer.request.path}"] = answer.text + repr(answer.headers.to_wsgi_list())
        for number, browser in enumerate(browsers):
            places[f"cookies of browser {number}"] = " ".join(decode_cookies(browser))
        for path in self.folder.rglob("*"):
            if path.is_file():
                places[path.name] = path.read_bytes().decode("latin-1")
        return {place for place, text in places.items() for secret in secrets if secret in text}


class Guard:
    """What must still hold after an attack."""

    def __init__(self, site: Site, browser: FlaskClient) -> None:
        self.site, self.browser = site, browser
        self.tables, self.exchanges, self.user = site.tables(), site.exchanges(), site.who(browser)

    def refused(
        self,
        response: TestResponse,
        *statuses: int,
        code: str | None = None,
        exchanged: int | None = 0,
        honest: str | None = "two",
        by: FlaskClient | None = None,
    ) -> None:
        """The attack ended at a page, logged nobody in, changed no row, and an honest login still works.

        :param statuses: of the page; 400 where none is given.
        :param code: of the error, as the page shows it.
        :param exchanged: how many requests the token endpoints got.
        :param honest: the client for the honest login, ``None`` for none.
        :param by: the browser of the honest login.
        """
        assert_page(response, *(statuses or (400,)), code=code)
        self.unchanged(exchanged=exchanged)
        self.site.provider.clear_faults()
        if honest is not None:
            visitor = by or (self.browser if self.user is None else self.site.browser())
            assert_on_site(self.site.log_in(visitor, honest))
            assert self.site.who(visitor) is not None

    def unchanged(self, *, exchanged: int | None = 0) -> None:
        """Nobody else is logged in than before, no row has changed, and no code was exchanged."""
        assert self.site.who(self.browser) == self.user
        if self.user is None:
            with self.browser.session_transaction() as session:
                assert not {"_user_id", "user_id"} & set(session)
        assert self.site.tables() == self.tables
        if exchanged is not None:
            assert self.site.exchanges() - self.exchanges == exchanged


class Bench:
    """Builds applications that differ in configuration only."""

    def __init__(self, provider: DevProvider, folder: Path, template: Path | None) -> None:
        self.provider, self.folder, self.template = provider, folder, template
        self.made = 0

    def __call__(
        self,
        *,
        evil: DevProvider | None = None,
        setup: Callable[[Flask], None] | None = None,
        url_prefix: str | None = None,
        folder: Path | None = None,
        **config: Any,
    ) -> Site:
        """Build an application as somebody would who has read the first page of the documentation only.

        :param evil: a second provider, for the clients ``evil1``, ``evil2`` and ``evil3``.
        :param setup: called with the application before the blueprint is registered.
        :param folder: of another application, to share its database and cache as a second worker does.
        :param config: further configuration; ``None`` takes a key away.
        """
        if folder is None:
            self.made += 1
            folder = self.folder / f"site{self.made}"
            folder.mkdir()
            if self.template is not None:
                shutil.copy(self.template, folder / "oauth_accounts.db")
        app = Flask("threats", instance_path=str(folder))
        app.config.update(SECRET_KEY="0123456789abcdef" * 2, TESTING=True)
        names = list(KINDS)
        for name, kind in KINDS.items():
            app.config.update(self.provider.config(kind, name))
        if evil is not None:
            for number, kind in enumerate(KINDS.values(), 1):
                names.append(f"evil{number}")
                app.config.update(evil.config(kind, f"evil{number}"))
        app.config["OAUTH_ACCOUNTS_PROVIDERS"] = names
        app.config.update(config)
        for key in [key for key, value in config.items() if value is None]:
            del app.config[key]
        if setup is not None:
            setup(app)
        app.register_blueprint(oauth_bp, **({"url_prefix": url_prefix} if url_prefix else {}))
        app.add_url_rule("/whoami", "whoami", _whoami)
        app.add_url_rule("/api/<name>", "api", _api)
        app.add_url_rule("/fetch/<name>", "fetch", _fetch)
        return Site(app, self.provider, folder, evil)


def _whoami() -> Any:
    return jsonify(id=current_user.get_id() if current_user.is_authenticated else None)


def _api(name: str) -> Any:
    """An application's own view that uses the token of whoever is logged in."""
    return jsonify(getattr(current_oauth, name).get("echo").json())


def _fetch(name: str) -> Any:
    """An application's own view that asks the provider for an address of the visitor's choice."""
    try:
        answer = getattr(current_oauth, name).get(request.args["url"])
    except OAuthError as error:
        return jsonify(error=error.code)
    return jsonify(status=answer.status_code, text=answer.text[:1000])


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded database with its tables, made once."""
    folder = tmp_path_factory.mktemp("template")
    with DevProvider() as provider:
        site = Bench(provider, folder, None)()
        site.browser().get("/accounts")
        site.log_in(site.browser())
        for table in ("oauth_event", *reversed(TABLES)):
            site.execute(f"DELETE FROM {table}")
        site.execute("DELETE FROM sqlite_sequence")
        with closing(sqlite3.connect(site.database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(site.database, folder / "template.db")
    return folder / "template.db"


@pytest.fixture
def provider(oauth_provider: DevProvider) -> DevProvider:
    """The honest provider."""
    return oauth_provider


@pytest.fixture
def evil() -> Iterator[DevProvider]:
    """A provider that an attacker runs, with people of the attacker's choice."""
    with DevProvider(client_id="evil-client") as running:
        yield running


@pytest.fixture
def make_site(provider: DevProvider, tmp_path: Path, template_database: Path) -> Bench:
    """Build applications; see :class:`Bench`."""
    return Bench(provider, tmp_path, template_database)


@pytest.fixture
def site(make_site: Bench) -> Site:
    """An application with its default configuration."""
    return make_site()


@pytest.fixture
def browser(site: Site) -> FlaskClient:
    """The victim's browser."""
    return site.browser()


@pytest.fixture
def debug_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anybody logs, from DEBUG on."""
    caplog.set_level(logging.DEBUG)
    return caplog
