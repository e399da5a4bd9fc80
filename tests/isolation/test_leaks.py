"""No secret anywhere it could be read: log, cookie, cache, database, ``repr``, traceback, error page."""

from __future__ import annotations

import base64
import io
import json
import logging
import pprint
import re
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from flask import Flask

from flask_oauth_accounts import OAuthError, current_oauth

EVERY_PROTOCOL = pytest.mark.parametrize("name", ["one", "two", "three"])
SECRET_KEY = "the-applications-own-secret-key-0123456789"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that any logger says, at DEBUG, tracebacks included."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s %(args)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def list_secrets(site: Any) -> set[str]:
    """All that must be found nowhere, in the spellings in which it would be found."""
    plain = site.provider.issued_secrets() | {SECRET_KEY, site.provider.client_secret}
    spelled = set(plain)
    for secret in plain:
        spelled |= {quote(secret, safe=""), quote_plus(secret), base64.b64encode(secret.encode()).decode()}
    return spelled


def find_leaks(text: str | bytes, secrets: set[str]) -> list[str]:
    """The secrets that a text holds, cut so that this report leaks none itself."""
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return [secret[:6] + "…" for secret in secrets if secret in text]


def open_cookie(value: str) -> str:
    """What anybody can read in a signed session cookie."""
    packed = value.startswith(".")
    payload = value.lstrip(".").split(".")[0]
    content = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    return value + (zlib.decompress(content) if packed else content).decode()


def live_through(site: Any, name: str, pages: list[str]) -> None:
    """Login, API call, refresh, account pages, logout; collects every page and cookie."""
    browser = site.app.test_client()

    def look(answer: Any) -> Any:
        pages.append(f"{answer.headers}\n{answer.text}")
        cookie = browser.get_cookie("session")
        if cookie is not None:
            pages.append(open_cookie(cookie.value))
        return answer

    look(browser.get("/login"))
    started = browser.get(f"/login/{name}")
    pages.append(open_cookie(browser.get_cookie("session").value))  # type: ignore[union-attr]
    callback = str(site.provider.authorize(started.headers["Location"])).removeprefix("http://localhost")
    assert look(browser.get(callback)).status_code == 302
    look(browser.get(callback))
    for path in (f"/who/{name}", f"/profile/{name}", "/accounts", "/login", "/profile/unknown"):
        look(browser.get(path))
    if name != "one":
        expire_tokens(site)
        assert look(browser.get(f"/who/{name}")).status_code == 200
        assert site.provider.count("/oauth2/token", grant_type="refresh_token") >= 1
    answer = browser.get("/accounts", headers={"Accept": "application/json"}).get_json()
    assert look(browser.post("/logout", data={"csrf_token": answer["csrf_token"]})).status_code in (302, 303)


def expire_tokens(site: Any) -> None:
    """Make every stored token look expired."""
    with site.app.app_context():
        accounts = site.app.extensions["flask_oauth_accounts"].accounts
        accounts.db.session.execute(accounts.models.OAuth2Token.__table__.update().values(expires_at=1))
        accounts.db.session.commit()


def read_files(folder: Path) -> str:
    """All files of the instance folder: the database with its journals, and the cache."""
    return "".join(path.read_bytes().decode("latin-1") for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("cached", [True, False])
@EVERY_PROTOCOL
def test_k16_noleak_in_a_whole_life(name: str, cached: bool, make_site: Callable[..., Any], log: io.StringIO) -> None:
    """Whoever can read a log, a backup, a cookie or the cache could act for the user, or as the application."""
    config = {} if cached or name == "one" else {"CACHE_TYPE": "NullCache", "CACHE_NO_NULL_WARNING": True}
    if config:
        config["OAUTH_ACCOUNTS_PROVIDERS"] = [name]
    site = make_site(**{"SECRET_KEY": SECRET_KEY, "SQLALCHEMY_ECHO": True, **config})
    pages: list[str] = []
    live_through(site, name, pages)
    secrets = list_secrets(site)
    assert len(secrets) >= 10
    assert find_leaks(log.getvalue(), secrets) == []
    assert find_leaks("\n".join(pages), secrets) == []
    assert find_leaks(read_files(site.instance), secrets) == []
    assert "flask_oauth_accounts" in log.getvalue() or "sqlalchemy" in log.getvalue()


@EVERY_PROTOCOL
def test_the_rows_do_hold_what_was_looked_for(name: str, site: Any) -> None:
    """A search that could not find anything would prove nothing."""
    site.log_in(name)
    with site.app.app_context():
        accounts = site.app.extensions["flask_oauth_accounts"].accounts
        model = accounts.models.OAuth1Token if name == "one" else accounts.models.OAuth2Token
        row = accounts.db.session.query(model).one()
        text = json.dumps(dict(row.to_token()))
    assert find_leaks(text, list_secrets(site))


def collect_reprs(site: Any, name: str) -> str:
    """``repr``, ``str`` and pretty print of what an application can get hold of."""
    state = site.app.extensions["flask_oauth_accounts"]
    accounts = state.accounts
    client = state.oauth.create_client(name)
    user = accounts.db.session.query(accounts.user_model).first()
    bound = client.for_user(user.id)
    model = accounts.models.OAuth1Token if name == "one" else accounts.models.OAuth2Token
    row = accounts.db.session.query(model).one()
    identity = accounts.db.session.query(accounts.models.OAuthIdentity).one()
    stored = accounts.vault.load(user.id, name, protocol=client.protocol)
    event = accounts.db.session.query(accounts.models.OAuthEvent).first()
    things = [state, state.settings, state.keys, state.oauth, accounts, accounts.vault, accounts.store, client, bound]
    things += [client._config, client._client, client._runtime, client._callbacks, client._memo(), stored, row]
    things += [identity, user, event, vars(accounts), vars(state), vars(client), bound.token, site.app.blueprints]
    return "\n".join(f"{thing!r}\n{thing}\n{pprint.pformat(thing)}" for thing in things)


@EVERY_PROTOCOL
def test_noleak_in_reprs(name: str, make_site: Callable[..., Any]) -> None:
    """A debugger's page, an error report or a print would show the user's tokens."""
    site = make_site(SECRET_KEY=SECRET_KEY)
    site.log_in(name)
    with site.app.test_request_context():
        text = collect_reprs(site, name)
    assert find_leaks(text, list_secrets(site)) == []


def render(error: BaseException) -> str:
    """A traceback with the local variables of every frame, as test runners and error trackers show it."""
    lines = list(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    # Flask's own frames show the address that the browser asked for, as every access log does.
    lines = [re.sub(r" = <Request .*", "", line) for line in lines]
    return "".join(lines) + str(error) + repr(error) + repr(vars(error))


def provoke(site: Any, name: str, what: str) -> BaseException:
    """An error out of a call to the API with a stored token."""
    site.log_in(name)
    with site.app.app_context():
        accounts = site.app.extensions["flask_oauth_accounts"].accounts
        user = accounts.db.session.query(accounts.user_model).first()
        client = current_oauth.create_client(name).for_user(user.id)
        if what == "refresh":
            expire_tokens(site)
            site.provider.revoke_grants("alice")
        elif what == "unreachable":
            site.provider.stop()
        try:
            client.get("https://evil.example.com/" if what == "foreign host" else "/api/echo")
        except OAuthError as error:
            return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("name", "what"),
    [(name, what) for name in ("one", "two", "three") for what in ("unreachable", "foreign host")]
    + [("two", "refresh"), ("three", "refresh")],
)
def test_noleak_in_errors_of_api_calls(name: str, what: str, make_site: Callable[..., Any]) -> None:
    """An error report would carry the user's tokens to a third party."""
    site = make_site(SECRET_KEY=SECRET_KEY)
    error = provoke(site, name, what)
    assert find_leaks(render(error).replace(str(site.provider.url), ""), list_secrets(site)) == []


@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name in ("one", "two", "three") for fault in (400, 401, 500, "html", "hang up", "profile")]
    + [("three", "id token")],
)
def test_noleak_in_failed_logins(
    name: str, fault: Any, make_site: Callable[..., Any], log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that fails would write code, verifier or client secret where the failure is reported."""
    site = make_site(SECRET_KEY=SECRET_KEY)
    raised: list[str] = []
    note_errors(site.app, raised)
    browser = site.app.test_client()
    callback = site.begin(browser, name)
    path = "/oauth1/access_token" if name == "one" else "/oauth2/token"
    if fault == "hang up":
        site.provider.stop()
    elif fault == "profile":
        site.provider.next_userinfo(raw="<html>no</html>")
    elif fault == "id token":
        site.provider.next_id_token(aud="another client")
    elif fault == "html":
        site.provider.fail(path, status=200, body="<html>no</html>")
    else:
        site.provider.fail(path, status=fault)
    answer = browser.get(callback)
    assert 400 <= answer.status_code < 600
    assert raised
    secrets = list_secrets(site)
    assert find_leaks(answer.text + str(answer.headers), secrets) == []
    assert find_leaks(log.getvalue(), secrets) == []
    assert find_leaks("\n".join(raised), secrets) == []
    assert find_leaks(open_cookie(browser.get_cookie("session").value), secrets) == []  # type: ignore[union-attr]


def note_errors(app: Flask, raised: list[str]) -> None:
    """Render every error for which there is a handler, before it becomes a page."""

    def wrap(handler: Any) -> Any:
        def noting(error: BaseException) -> Any:
            raised.append(render(error))
            return handler(error)

        return noting

    for by_code in app.error_handler_spec.values():
        for by_class in by_code.values():
            by_class.update({cls: wrap(handler) for cls, handler in by_class.items()})
