"""State, login CSRF, sessions: whoever did not start a login here does not finish one here."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from flask.sessions import SecureCookieSessionInterface

ALL = pytest.mark.parametrize("name", ["one", "two", "three"])
OAUTH2 = pytest.mark.parametrize("name", ["two", "three"])


@ALL
def test_a01_a_callback_of_the_attacker_logs_nobody_in(site: Any, browser: Any, name: str) -> None:
    """A victim would work in the attacker's account without knowing it."""
    stolen = site.callback(site.browser(), name, "bob")
    site.start(browser, name)
    guard = site.guard(browser)
    guard.refused(site.keep(browser.get(stolen)), honest=name)
    assert not site.find_leaks(browser)


@ALL
def test_a01_it_links_nothing_either(site: Any, browser: Any, name: str) -> None:
    """The attacker's account at the provider would open the victim's account here."""
    stolen = site.callback(site.browser(), name, "bob")
    site.log_in(browser, "two")
    guard = site.guard(browser)
    guard.refused(browser.get(stolen))
    assert len(site.accounts(browser)) == 1


@OAUTH2
@pytest.mark.parametrize("state", [None, "", "None", "null", "0", "x" * 43, "x" * 20000, "\x00", "é", "😀"])
def test_a02_a_callback_without_a_usable_state(site: Any, browser: Any, name: str, state: str | None) -> None:
    """Without a state that counts, everybody can finish everybody's login."""
    callback = site.callback(browser, name)
    guard = site.guard(browser)
    guard.refused(browser.get(site.change(callback, state=state)), honest=name)


@OAUTH2
def test_a02_nothing_started_and_no_state(site: Any, browser: Any, name: str) -> None:
    """None would be equal to None."""
    code = site.query_of(site.callback(site.browser(), name))["code"]
    guard = site.guard(browser)
    for query in ({"code": code}, {"code": code, "state": ""}, {}, {"state": "None", "code": code}):
        guard.refused(browser.get(f"/authorize/{name}?{urlencode(query)}"), honest=None)


@OAUTH2
def test_a03_a_mismatch_ends_the_login(site: Any, browser: Any, name: str) -> None:
    """A warning in the log would not keep the attacker out."""
    first, second = site.callback(browser, name), site.callback(site.browser(), name)
    guard = site.guard(browser)
    mixed = site.change(first, state=site.query_of(second)["state"])
    guard.refused(browser.get(mixed), honest=name)


@ALL
@pytest.mark.parametrize("cache", [None, "no cache"])
def test_a04_a_restored_cookie_finishes_nothing_twice(make_site: Any, name: str, cache: str | None) -> None:
    """Whoever reads an old cookie and the address of a callback would be logged in."""
    site = make_site()
    browser, thief = site.browser(), site.browser()
    callback = site.callback(browser, name)
    site.copy_cookies(browser, thief)
    assert browser.get(callback).status_code == 302
    guard = site.guard(thief)
    guard.refused(thief.get(callback))
    before = site.exchanges()
    assert browser.get(callback).status_code == 400
    assert site.exchanges() == before


@ALL
def test_a05_of_many_callbacks_at_once_one_counts(site: Any, browser: Any, name: str) -> None:
    """A double click would lock somebody out, or let a copied callback in."""
    callback = site.callback(browser, name)
    browsers = [site.browser() for _ in range(8)]
    for copy in browsers:
        site.copy_cookies(browser, copy)
    answers = run_at_once([partial(copy.get, callback) for copy in browsers])
    assert sorted(answer.status_code for answer in answers) == [302] + [400] * 7
    assert site.exchanges() == 1
    assert site.count("oauth_user") == 1
    assert sum(site.who(copy) is not None for copy in browsers) == 1


def run_at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run calls in threads that start together."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(number: int) -> None:
        barrier.wait()
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@ALL
def test_a06_a_login_expires(make_site: Any, name: str) -> None:
    """A callback found next week in a history would still work."""
    site = make_site(OAUTH_ACCOUNTS_FLOW_LIFETIME=0.000001)
    browser = site.browser()
    callback = site.callback(browser, name)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), code="expired_flow", honest=None)


@OAUTH2
def test_a07_a_state_is_long_random_and_nowhere_else(site: Any, browser: Any, name: str) -> None:
    """A state that can be guessed is none."""
    states = {site.query_of(site.start(browser, name))["state"] for _ in range(20)}
    assert len(states) == 20
    assert all(len(state) >= 22 for state in states)
    readable = " ".join(site.decode_cookies(browser))
    assert not any(state in readable for state in states)


@OAUTH2
def test_a08_a_state_says_nothing_and_takes_no_change(site: Any, browser: Any, name: str) -> None:
    """Whoever edits what the state carries would choose where the victim ends."""
    callback = site.callback(browser, name, next="/somewhere?very=special")
    state = site.query_of(callback)["state"]
    assert "somewhere" not in state
    assert name not in state
    assert "." not in state
    guard = site.guard(browser)
    for edited in (state[:-1], state + "A", state.swapcase(), state[::-1], f"{state}.{name}", f" {state}"):
        guard.refused(browser.get(site.change(callback, state=edited)), honest=None)
    assert browser.get(callback).headers["Location"] == "/somewhere?very=special"


def test_a09_a_state_is_worth_nothing_elsewhere(site: Any, browser: Any) -> None:
    """A sealed login, taken for a session, would be one."""
    query = site.query_of(site.start(browser, "three"))
    guard = site.guard(browser)
    for value in (query["state"], query["nonce"], query["code_challenge"]):
        stranger = site.browser()
        for cookie in ("session", "remember_token"):
            stranger.set_cookie(cookie, value)
        stranger.set_cookie("remember_token", f"1|{value}")
        assert site.who(stranger) is None
        for path in ("/accounts", "/profile/three"):
            assert stranger.get(path, headers=site.JSON).status_code == 401
        for path in ("/logout", "/connect/two", "/resolve"):
            assert stranger.post(path, data={"csrf_token": value}).status_code in (303, 400, 401)
        assert stranger.post("/backchannel-logout/three", data={"logout_token": value}).status_code == 400
    guard.unchanged()


@ALL
def test_a11_a_victim_cannot_finish_the_flow_of_an_attacker(site: Any, browser: Any, name: str) -> None:
    """The attacker's account would hold the victim's token."""
    attacker = site.browser()
    site.log_in(attacker, "two", "bob")
    started = attacker.post(f"/connect/{name}", data={"csrf_token": site.csrf(attacker)}).headers["Location"]
    callback = site.consent(started, "carol")
    site.log_in(browser, "two", "alice")
    guard = site.guard(browser)
    guard.refused(browser.get(callback))
    assert len(site.accounts(attacker)) == 1


@ALL
def test_a11_a_session_cookie_planted_by_an_attacker_is_worth_nothing(site: Any, browser: Any, name: str) -> None:
    """Whoever plants a cookie would be logged in together with the victim."""
    attacker = site.browser()
    site.start(attacker, name)
    planted = site.browser()
    site.copy_cookies(attacker, planted)
    site.log_in(planted, name)
    assert site.who(planted) is not None
    assert site.who(attacker) is None
    assert attacker.get("/accounts", headers=site.JSON).status_code == 401


@ALL
def test_a12_a_link_from_elsewhere_changes_nothing_for_a_user(site: Any, browser: Any, name: str) -> None:
    """A picture on another site would switch or link accounts."""
    site.log_in(browser, "two", "alice")
    guard, visits = site.guard(browser), len(site.provider.log)
    response = browser.get(
        f"/login/{name}", headers={"Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/"}
    )
    assert response.status_code == 200
    for method in ("HEAD", "OPTIONS"):
        assert browser.open(f"/login/{name}", method=method).status_code == 200
    assert browser.get(f"/connect/{name}").status_code == 405
    assert browser.post(f"/login/{name}").status_code == 400
    guard.unchanged()
    assert len(site.provider.log) == visits


@OAUTH2
@pytest.mark.parametrize("parameter", ["state", "code", "error", "iss"])
@pytest.mark.parametrize("same", [True, False])
def test_a13_a_parameter_that_comes_twice(site: Any, browser: Any, name: str, parameter: str, same: bool) -> None:
    """Two readers of one address would see two different answers."""
    callback = site.callback(browser, name)
    value = site.query_of(callback).get(parameter, "x")
    extra = f"&{parameter}={quote(value if same else 'other')}"
    if parameter not in site.query_of(callback):
        extra += f"&{parameter}=x"
    guard = site.guard(browser)
    guard.refused(browser.get(callback + extra), honest=name)


@pytest.mark.parametrize("parameter", ["oauth_token", "oauth_verifier"])
def test_a13_a_parameter_of_oauth1_that_comes_twice(site: Any, browser: Any, parameter: str) -> None:
    """Two readers of one address would see two different answers."""
    callback = site.callback(browser, "one")
    guard = site.guard(browser)
    guard.refused(browser.get(f"{callback}&{parameter}=other"), honest="one")


@OAUTH2
@pytest.mark.parametrize("error", ["access_denied", "0"])
def test_a14_error_and_code_together(site: Any, browser: Any, name: str, error: str) -> None:
    """A login that the provider refused would go through."""
    callback = site.change(site.callback(browser, name), error=error or "x")
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 400, 403, 502, honest=name)


@OAUTH2
@pytest.mark.parametrize("parameter", ["access_token", "id_token", "token"])
def test_a15_a_token_in_the_callback_is_ignored(site: Any, browser: Any, name: str, parameter: str) -> None:
    """A token made for another application would log in here."""
    other = site.browser()
    site.log_in(other, name, "bob")
    token = next(row["access_token"] for row in site.rows("oauth2_token"))
    callback = site.callback(browser, name)
    guard = site.guard(browser)
    injected = site.change(callback, code=None, **{parameter: token, "token_type": "Bearer", "expires_in": "3600"})
    guard.refused(browser.get(injected), code="missing_code", honest=name)


@ALL
def test_a17_tabs_finish_in_any_order(site: Any, browser: Any, name: str) -> None:
    """The second tab would end where the first one wanted to go, or nowhere."""
    callbacks = {f"/tab/{number}": site.callback(browser, name, next=f"/tab/{number}") for number in range(3)}
    for target in ("/tab/1", "/tab/2", "/tab/0"):
        assert site.assert_on_site(browser.get(callbacks[target])) == target


HIJACKS = {
    "redirect_uri": "https://evil.example/",
    "client_id": "evil",
    "response_type": "token",
    "scope": "admin",
    "state": "fixed",
    "nonce": "fixed",
    "code_challenge": "x" * 43,
    "code_challenge_method": "plain",
    "response_mode": "fragment",
    "request": "x",
    "request_uri": "https://evil.example/",
    "access_type": "offline",
    "oauth_callback": "https://evil.example/",
    "oauth_token": "fixed",
    "max_age": "0",
    "user_id": "1",
    "subject": "dev-1002",
    "purpose": "connect",
    "display": "x",
    "url": "https://evil.example/",
    "authorize_url": "https://evil.example/",
}


@ALL
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a19_a_visitor_chooses_no_protocol_parameter(site: Any, browser: Any, name: str, method: str) -> None:
    """A link would send the code to the attacker."""
    if method == "POST":
        site.log_in(browser, "two")
        form = {"csrf_token": site.csrf(browser), **HIJACKS}
        location = browser.post(f"/connect/{name}", data=form, query_string=HIJACKS).headers["Location"]
    else:
        location = site.start(browser, name, **HIJACKS, prompt="login", login_hint="alice")
    query = site.query_of(location)
    assert location.startswith(site.provider.url)
    for key, value in HIJACKS.items():
        assert query.get(key) != value, key
    assert "evil" not in location
    callback = site.consent(location, "carol")
    site.assert_on_site(browser.get(callback))
    assert site.who(browser) is not None


@ALL
def test_a20_without_cookies_there_is_one_page_and_no_circle(site: Any, name: str) -> None:
    """A visitor who blocks cookies would go round in circles."""
    browser = site.browser(use_cookies=False)
    response = browser.get(site.callback(browser, name))
    site.assert_page(response, 400)
    assert "cookies" in response.text
    assert "Location" not in response.headers


@ALL
def test_a21_another_login_in_the_same_browser_is_a_clean_switch(site: Any, browser: Any, name: str) -> None:
    """Data of the first person would be shown to the second, or their accounts would become one."""
    site.log_in(browser, "two", "alice")
    first = site.user_id(browser)
    with browser.session_transaction() as session:
        session["basket"] = "private"
    response = browser.post(f"/login/{name}", data={"csrf_token": site.csrf(browser)})
    assert response.status_code == 303
    site.assert_on_site(browser.get(site.consent(response.headers["Location"], "carol")))
    assert site.who(browser) not in (None, first)
    assert [account["account"]["subject"] for account in site.accounts(browser)] == ["dev-1003"]
    with browser.session_transaction() as session:
        assert "basket" not in session
    identities = site.rows("oauth_identity")
    assert {row["subject"]: str(row["user_id"]) for row in identities}["dev-1001"] == first


def test_a21_a_pending_connect_does_not_become_a_login(site: Any, browser: Any) -> None:
    """A connect that is finished after a logout would log somebody in."""
    site.log_in(browser, "two", "alice")
    started = browser.post("/connect/three", data={"csrf_token": site.csrf(browser)}).headers["Location"]
    callback = site.consent(started, "alice")
    assert browser.post("/logout", data={"csrf_token": site.csrf(browser)}).status_code == 303
    guard = site.guard(browser)
    guard.refused(browser.get(callback))


def test_a22_cookies_are_marked(make_site: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A script, another site or a plain connection would carry the session away."""
    site = make_site(TESTING=False, SESSION_COOKIE_SECURE=True, OAUTH_ACCOUNTS_ALLOW_HTTP=["127.0.0.1"])
    browser = site.browser()
    response = browser.get("/login/two", base_url="https://localhost")
    cookie = response.headers["Set-Cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" in cookie
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        make_site(TESTING=False, OAUTH_ACCOUNTS_ALLOW_HTTP=["127.0.0.1"])
    assert "SESSION_COOKIE_SECURE" in caplog.text


@pytest.mark.parametrize("length", [0, 1, 42])
def test_a23_a_prefix_of_a_secret_is_no_secret(site: Any, browser: Any, length: int) -> None:
    """A comparison that stops early tells how much of a guess is right."""
    callback = site.callback(browser, "three")
    state = site.query_of(callback)["state"]
    guard = site.guard(browser)
    guard.refused(browser.get(site.change(callback, state=state[:length])), honest=None)
    site.log_in(browser, "three")
    token = site.csrf(browser)
    assert browser.post("/logout", data={"csrf_token": token[:length]}).status_code == 400


ODD_COOKIES: list[Any] = ["", "x", ".", "a.b.c", "x" * 3000, "é", "eyJfdXNlcl9pZCI6IjEifQ.aaaa.bbbb", "\x7f"]


def test_a09_a_broken_cookie_is_no_cookie(site: Any, browser: Any) -> None:
    """A cookie that nobody can read would be a server error on every page."""
    site.log_in(browser, "two")
    for value in ODD_COOKIES:
        stranger = site.browser()
        for name in ("session", "remember_token"):
            stranger.set_cookie(name, value)
        for path in ("/login", "/login/two", "/login/one", "/authorize/two", "/accounts", "/resolve"):
            assert stranger.get(path).status_code in (200, 302, 303, 400)
        assert site.who(stranger) is None


@pytest.mark.parametrize(
    "entry", [None, 1, "x", [], {"b": 1}, {"b": "x", "f": 1}, {"b": "x", "f": "AAAA"}, {"f": None}]
)
def test_a02_an_odd_session_fails_closed(site: Any, browser: Any, entry: Any) -> None:
    """What an older version has left in a session would let a login through, or be a server error."""
    callback = site.callback(browser, "three")
    with browser.session_transaction() as session:
        session["_oauth_accounts"] = entry
        session["_oauth_accounts_login"] = entry
        session["_oauth_accounts_link"] = entry
        session["_oauth_accounts_csrf"] = entry
        session["_oauth_accounts_notice"] = entry
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest="three")
    assert isinstance(site.app.session_interface, SecureCookieSessionInterface)
