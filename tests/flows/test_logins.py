"""Pending logins through the whole application: races, tabs, abandoned logins, caches that fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cachelib import FileSystemCache, SimpleCache
from flask import Flask
from flask_caching import Cache

from flask_oauth_accounts import ConfigurationError, OAuth, create_blueprint
from flask_oauth_accounts.testing import DevProvider

NAMES = ["one", "two", "three"]
EVERY_PROTOCOL = pytest.mark.parametrize("name", NAMES)
WITHOUT_A_CACHE = pytest.mark.parametrize("name", ["two", "three"])


class BreakableCache(SimpleCache):
    """A cache whose server goes away: every operation named in ``broken`` raises."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: frozenset[str] = frozenset()

    def _check(self, operation: str) -> None:
        if operation in self.broken:
            raise ConnectionError("the cache is gone")

    def get(self, key: str) -> Any:
        self._check("get")
        return super().get(key)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        self._check("set")
        return super().set(*args, **kwargs)

    def delete(self, key: str) -> Any:
        self._check("delete")
        return super().delete(key)


def copy_browser(site: Any, browser: Any) -> Any:
    """Another browser with the same cookies, as an older copy of the cookie jar is."""
    copy = site.browser()
    cookie = browser.get_cookie("session")
    if cookie is not None:
        copy.set_cookie("session", cookie.value)
    return copy


def status_of(browser: Any, path: str) -> int:
    """The status of the answer to a GET."""
    return int(browser.get(path).status_code)


def session_bytes(browser: Any) -> int:
    """Length of the session cookie, name and all."""
    cookie = browser.get_cookie("session")
    return len(f"session={cookie.value}")


@EVERY_PROTOCOL
@pytest.mark.parametrize("kind", ["simple", "files", "redis-client", "get-set"])
def test_a05_k04_of_eight_callbacks_at_once_one_logs_in(
    name: str,
    kind: str,
    make_cache: Callable[[str], Any],
    make_site: Callable[..., Any],
    run_at_once: Callable[..., list[Any]],
) -> None:
    """A double click would exchange one code twice, and providers then revoke the first token too."""
    site = make_site(make_cache(kind))
    browser = site.browser()
    callback = site.begin(browser, name)
    copies = [copy_browser(site, browser) for _ in range(8)]
    statuses = run_at_once(*[partial(status_of, copy, callback) for copy in copies])
    assert sorted(statuses) == [302] + [400] * 7
    assert site.exchanges(name) == 1


@WITHOUT_A_CACHE
def test_a05_of_eight_callbacks_at_once_one_logs_in_without_a_cache(
    name: str, make_site: Callable[..., Any], run_at_once: Callable[..., list[Any]]
) -> None:
    """Within one process, a login that lies in the cookie could be finished twice."""
    site = make_site(None)
    browser = site.browser()
    callback = site.begin(browser, name)
    copies = [copy_browser(site, browser) for _ in range(8)]
    statuses = run_at_once(*[partial(status_of, copy, callback) for copy in copies])
    assert sorted(statuses) == [302] + [400] * 7
    assert site.exchanges(name) == 1


@pytest.mark.parametrize(
    ("name", "cached"), [("one", True), ("two", True), ("three", True), ("two", False), ("three", False)]
)
def test_a04_an_older_cookie_does_not_bring_a_login_back(
    name: str, cached: bool, make_site: Callable[..., Any]
) -> None:
    """Whoever kept a copy of the cookie could log in with the same callback again."""
    site = make_site(SimpleCache() if cached else None)
    browser = site.browser()
    callback = site.begin(browser, name)
    older = copy_browser(site, browser)
    assert browser.get(callback).status_code == 302
    assert older.get(callback).status_code == 400
    assert not site.is_logged_in(older)
    assert site.exchanges(name) == 1
    assert older.get(site.begin(older, name)).status_code == 302


@pytest.mark.parametrize(
    ("name", "cached"), [("one", True), ("two", True), ("three", True), ("two", False), ("three", False)]
)
def test_a01_a11_k03_a_login_that_another_browser_started(
    name: str, cached: bool, make_site: Callable[..., Any]
) -> None:
    """An attacker could log a victim in to the attacker's account, and read what the victim then writes there."""
    site = make_site(SimpleCache() if cached else None)
    attacker, victim = site.browser(), site.browser()
    callback = site.begin(attacker, name)
    own = site.begin(victim, name)
    refused = victim.get(callback)
    assert refused.status_code == 400
    assert not site.is_logged_in(victim)
    assert site.exchanges(name) == 0
    assert victim.get(own).status_code == 302


@EVERY_PROTOCOL
def test_a02_a03_a08_state_is_missing_wrong_or_edited(name: str, make_site: Callable[..., Any]) -> None:
    """A check that is left out for an odd value protects nobody."""
    site = make_site(SimpleCache())
    browser = site.browser()
    callback = site.begin(browser, name)
    field = "oauth_token" if name == "one" else "state"
    value = parse_qs(urlsplit(callback).query)[field][0]
    for bad in ("", "x", value[:-1], value + "x", value.swapcase(), "\x00", "é" * 50, "[]", "%00", "a" * 20_000):
        refused = browser.get(callback.split("?")[0], query_string={field: bad, "code": "c", "oauth_verifier": "v"})
        assert refused.status_code == 400, bad
    refused = browser.get(callback.split("?")[0], query_string={"code": "c", "oauth_verifier": "v"})
    assert refused.status_code == 400
    assert site.exchanges(name) == 0
    assert not site.is_logged_in(browser)
    assert browser.get(callback).status_code == 302


def test_a07_state_cannot_be_guessed_or_found(make_site: Callable[..., Any]) -> None:
    """Whoever can foretell the state, or read it from the cookie, can forge a callback."""
    site = make_site(SimpleCache())
    browser = site.browser()
    states = [parse_qs(urlsplit(site.start(browser, "two")).query)["state"][0] for _ in range(20)]
    assert len(set(states)) == 20
    assert min(map(len, states)) >= 43  # 256 bits in base64url
    with browser.session_transaction() as session:
        text = str(dict(session))
    assert not any(state[:8] in text for state in states)


@pytest.mark.parametrize(
    ("name", "cached", "tabs"),
    [("one", True, 5), ("two", True, 5), ("three", True, 5), ("two", False, 4), ("three", False, 3)],
)
def test_a17_tabs_finish_in_any_order(name: str, cached: bool, tabs: int, make_site: Callable[..., Any]) -> None:
    """Somebody who opened several tabs would land on the wrong page, or in an error."""
    site = make_site(SimpleCache() if cached else None)
    browser = site.browser()
    callbacks = [site.begin(browser, name, next=f"/profile/{name}?tab={tab}") for tab in range(tabs)]
    for tab in [3, 0, 4, 2, 1] if tabs == 5 else range(tabs - 1, -1, -1):
        answer = browser.get(callbacks[tab])
        assert answer.status_code == 302
        assert answer.headers["Location"] == f"/profile/{name}?tab={tab}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cached", [True, False])
def test_w06_two_hundred_abandoned_logins_leave_a_small_cookie(
    name: str, cached: bool, make_site: Callable[..., Any], oauth_provider: DevProvider
) -> None:
    """Browsers drop a cookie of more than 4 kB, and nobody could log in any more."""
    if cached or name != "one":
        site = make_site(SimpleCache() if cached else None)
        start = f"/login/{name}"
    else:
        site, start = create_registry_site(oauth_provider), "/begin"
    browser = site.browser()
    largest = 0
    for number in range(200):
        assert browser.get(start, query_string={"next": f"/profile/{name}?page={number}"}).status_code == 302
        largest = max(largest, session_bytes(browser))
    assert largest < 1000
    if start != "/begin":
        assert browser.get(site.begin(browser, name)).status_code == 302


def create_registry_site(provider: DevProvider) -> Any:
    """A registry alone, with neither cache nor blueprint: OAuth 1's request tokens lie sealed in the session."""
    from types import SimpleNamespace

    app = Flask("registry only")
    app.config.update(SECRET_KEY="test", TESTING=True)
    oauth = OAuth(app)
    client = oauth.register("one", **provider.register_kwargs("oauth1"))
    app.add_url_rule("/begin", view_func=lambda: client.authorize_redirect("http://localhost/end"), endpoint="begin")
    app.add_url_rule("/end", view_func=lambda: str(bool(client.authorize_access_token())), endpoint="end")
    return SimpleNamespace(app=app, browser=app.test_client, provider=provider)


def test_oauth_1_in_the_session_works_and_keeps_its_secret(oauth_provider: DevProvider) -> None:
    """A registry without a cache could not do OAuth 1, or would show the request token's secret to the browser."""
    site = create_registry_site(oauth_provider)
    browser = site.browser()
    location = browser.get("/begin").headers["Location"]
    with browser.session_transaction() as session:
        kept = str(dict(session))
    assert not any(secret in kept for secret in oauth_provider.issued_secrets())
    callback = str(oauth_provider.authorize(location)).removeprefix("http://localhost")
    assert browser.get(callback).text == "True"


def test_a_next_that_is_too_long_for_a_cookie_is_left_out(make_site: Callable[..., Any]) -> None:
    """The browser would drop the cookie, and the login would fail for the sake of its destination."""
    import hashlib

    site = make_site(None)
    browser = site.browser()
    target = "/profile/two?" + "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(30))
    callback = site.begin(browser, "two", next=target[:1990])
    assert session_bytes(browser) < 4000
    assert browser.get(callback).status_code == 302


@EVERY_PROTOCOL
def test_the_cap_drops_the_oldest_login(name: str, make_site: Callable[..., Any]) -> None:
    """One browser could fill the cache; or the newest login, which the visitor looks at, would be the one to fail."""
    site = make_site(SimpleCache(), OAUTH_ACCOUNTS_MAX_PENDING=3)
    browser = site.browser()
    callbacks = [site.begin(browser, name) for _ in range(5)]
    assert [browser.get(callback).status_code for callback in callbacks] == [400, 400, 302, 302, 302]


@pytest.mark.parametrize(
    ("name", "cached"), [("one", True), ("two", True), ("three", True), ("two", False), ("three", False)]
)
def test_a06_k12_a_login_expires(
    name: str, cached: bool, make_site: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback that somebody finds in a log or history later would still log in."""
    site = make_site(SimpleCache() if cached else None, OAUTH_ACCOUNTS_FLOW_LIFETIME=60)
    browser = site.browser()
    callback = site.begin(browser, name)
    with site.app.app_context():
        client = site.app.extensions["flask_oauth_accounts"].oauth.create_client(name)
    runtime = client._runtime
    monkeypatch.setitem(client.__dict__, "_runtime", type(runtime)(**{**vars(runtime), "clock": lambda: 9e9}))
    answer = browser.get(callback)
    assert answer.status_code == 400
    assert "expired" in answer.text
    assert not site.is_logged_in(browser)
    assert site.exchanges(name) == 0
    monkeypatch.undo()
    assert browser.get(site.begin(browser, name)).status_code == 302


@pytest.mark.parametrize(
    ("name", "cached"), [("one", True), ("two", True), ("three", True), ("two", False), ("three", False)]
)
def test_l04_secret_key_is_rotated_in_between(name: str, cached: bool, make_site: Callable[..., Any]) -> None:
    """A login under way would be a server error, or go on unchecked."""
    site = make_site(SimpleCache() if cached else None)
    browser = site.browser()
    callback = site.begin(browser, name)
    state = site.app.extensions["flask_oauth_accounts"]
    site.app.config["SECRET_KEY"] = "rotated"
    state.__dict__.pop("keys", None)
    answer = browser.get(callback)
    assert answer.status_code == 400
    assert site.exchanges(name) == 0
    assert browser.get(site.begin(browser, name)).status_code == 302


@EVERY_PROTOCOL
def test_l07_the_cache_is_flushed_in_between(name: str, make_site: Callable[..., Any]) -> None:
    """Somebody whose login was evicted would see a server error."""
    cache = SimpleCache()
    site = make_site(cache)
    browser = site.browser()
    callback = site.begin(browser, name)
    cache.clear()
    assert browser.get(callback).status_code == 400
    assert site.exchanges(name) == 0
    assert browser.get(site.begin(browser, name)).status_code == 302


@EVERY_PROTOCOL
@pytest.mark.parametrize("operation", ["get", "set", "delete"])
def test_k11_l06_the_cache_is_down(name: str, operation: str, make_site: Callable[..., Any]) -> None:
    """The visitor would be sent away to come back to an error, or the check would be skipped."""
    cache = BreakableCache()
    site = make_site(cache)
    browser = site.browser()
    callback = site.begin(browser, name)
    cache.broken = frozenset({operation})
    started = browser.get(f"/login/{name}")
    assert started.status_code == (302 if operation == "delete" else 503)
    answer = browser.get(callback)
    # Setting is needed to start a login, not to finish one.
    assert answer.status_code == (302 if operation == "set" else 503)
    assert site.is_logged_in(browser) is (operation == "set")
    cache.broken = frozenset()
    stranger = site.browser()
    assert stranger.get(site.begin(stranger, name)).status_code == 302


def test_k11_oauth_1_with_a_null_cache_is_refused_at_start(oauth_provider: DevProvider, tmp_path: Path) -> None:
    """An operator would learn only from visitors that OAuth 1 needs a cache."""
    app = Flask("app", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="test", TESTING=True, CACHE_TYPE="NullCache", CACHE_NO_NULL_WARNING=True)
    Cache(app)
    oauth = OAuth(app)
    with pytest.raises(ConfigurationError, match="CACHE_TYPE"):
        oauth.register("one", **oauth_provider.register_kwargs("oauth1"))
        app.register_blueprint(create_blueprint())


def test_k11_oauth_2_with_a_null_cache_waits_in_the_session(make_site: Callable[..., Any]) -> None:
    """With Flask-Caching's default, every callback would be refused."""
    site = make_site(None, CACHE_TYPE="NullCache")
    browser = site.browser()
    callback = site.begin(browser, "two")
    with browser.session_transaction() as session:
        assert session["_oauth_accounts"]["f"].startswith("v1.")
    assert browser.get(callback).status_code == 302


@pytest.mark.parametrize("odd", ["a b", "x" * 300, "\r\nset k 0 0 1", "é", "\x00", "../../etc/passwd", "%0d%0a"])
@pytest.mark.parametrize("kind", ["simple", "files", "redis-client", "memcached-client"])
def test_k14_odd_tokens_in_a_callback(
    kind: str, odd: str, make_cache: Callable[[str], Any], make_site: Callable[..., Any]
) -> None:
    """A value from the address line would become a key of the cache, or a file's name."""
    site = make_site(make_cache(kind))
    browser = site.browser()
    site.start(browser, "one")
    answer = browser.get("/authorize/one", query_string={"oauth_token": odd, "oauth_verifier": "v"})
    assert answer.status_code == 400
    assert site.exchanges("one") == 0


@EVERY_PROTOCOL
def test_l16_a_login_goes_on_in_another_worker(name: str, make_site: Callable[..., Any], tmp_path: Path) -> None:
    """With two workers, every other login would fail."""
    one = make_site(FileSystemCache(str(tmp_path / "shared")))
    other = make_site(FileSystemCache(str(tmp_path / "shared")))
    browser = one.browser()
    callback = one.begin(browser, name)
    elsewhere = copy_browser(other, browser)
    assert elsewhere.get(callback).status_code == 302
    assert browser.get(callback).status_code == 400
