"""Interruptions and load: whatever breaks in the middle leaves nothing half done, and works again afterwards."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from flask_oauth_accounts import signals
from flask_oauth_accounts.testing import DevUser

ALL = pytest.mark.parametrize("name", ["one", "two", "three"])
OAUTH2 = pytest.mark.parametrize("name", ["two", "three"])


@OAUTH2
@pytest.mark.parametrize(
    "error", ["access_denied", "login_required", "server_error", "temporarily_unavailable", "never_heard_of"]
)
def test_l01_the_provider_says_no(site: Any, browser: Any, name: str, error: str) -> None:
    """Somebody who changed their mind would see a server error, or could not try again."""
    callback = site.change(site.callback(browser, name), error=error, code=None)
    guard = site.guard(browser)
    response = browser.get(callback)
    guard.refused(response, 403, 502, honest=None)
    site.assert_page(browser.get(callback), 400)
    assert f"/login/{name}" in response.text
    assert site.log_in(browser, name).status_code == 302


@OAUTH2
@pytest.mark.parametrize("state", [None, "", "foreign"])
def test_l02_a_foreign_error_ends_no_login(site: Any, browser: Any, name: str, state: str | None) -> None:
    """A link from elsewhere would end the login that somebody is in."""
    callback = site.callback(browser, name)
    foreign = site.query_of(site.start(site.browser(), name))["state"]
    query = {} if state is None else {"state": foreign if state == "foreign" else state}
    response = browser.get(f"/authorize/{name}", query_string={"error": "access_denied", **query})
    site.assert_page(response, 400)
    assert browser.get(callback).status_code == 302


@ALL
def test_l04_a_new_secret_key_in_mid_flow(site: Any, browser: Any, name: str) -> None:
    """After a change of keys everybody on their way would see a server error."""
    callback = site.callback(browser, name)
    site.app.config["SECRET_KEY"] = "another key of thirty-two letters"
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest=None)
    assert site.log_in(site.browser(), name, "carol").status_code == 302


@ALL
@pytest.mark.parametrize("what", ["oauth_user", "oauth_identity", "token"])
def test_l05_the_database_fails_after_the_exchange(site: Any, browser: Any, name: str, what: str) -> None:
    """A session would begin for a user who is not there, and a token would live on unseen."""
    table = {"token": "oauth1_token" if name == "one" else "oauth2_token"}.get(what, what)
    callback = site.callback(browser, name)
    site.execute(f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk'); END")
    guard = site.guard(browser)
    guard.refused(site.keep(browser.get(callback)), 503, exchanged=1, honest=None)
    if name != "one":
        assert site.provider.count("/oauth2/revoke") >= 1
    assert not site.find_leaks(browser)
    site.execute("DROP TRIGGER broken")
    assert site.log_in(browser, name).status_code == 302


@ALL
def test_l05_the_database_is_locked(make_site: Any, name: str) -> None:
    """A lock would be a server error, or a login without a row."""
    site = make_site(SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 0.1}}, SQLALCHEMY_DATABASE_URI=None)
    browser = site.browser()
    callback = site.callback(browser, name)
    with closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        response = browser.get(callback)
        other.execute("ROLLBACK")
    site.assert_page(response, 503)
    assert site.who(browser) is None
    assert site.log_in(browser, name).status_code == 302


@ALL
@pytest.mark.parametrize("when", ["start", "callback"])
def test_l06_k11_the_cache_is_gone(make_site: Any, name: str, when: str) -> None:
    """A redirect that cannot finish would be sent, or a check be left out."""
    site = make_site()
    browser = site.browser()
    callback = site.callback(browser, name) if when == "callback" else f"/login/{name}"
    folder = site.folder / "oauth_accounts_cache"
    shutil.rmtree(folder)
    folder.write_text("no folder")
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 400, 503, honest=None)
    folder.unlink()
    folder.mkdir()
    assert site.log_in(browser, name).status_code == 302


def test_k11_a_cache_that_forgets_everything(make_site: Any) -> None:
    """Visitors would be sent to a provider and could never come back."""
    with pytest.raises(Exception, match="NullCache"):
        site = make_site(CACHE_TYPE="NullCache", CACHE_NO_NULL_WARNING=True)
        response = site.browser().get("/login/one")
        assert response.status_code == 503
        raise AssertionError("NullCache")


@ALL
def test_l07_the_cache_is_emptied(site: Any, browser: Any, name: str) -> None:
    """A cache that was emptied would let somebody through, or be a server error."""
    callback = site.callback(browser, name)
    for path in (site.folder / "oauth_accounts_cache").iterdir():
        path.unlink()
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest=name)


@ALL
def test_l10_a_flood_of_callbacks(site: Any, browser: Any, name: str) -> None:
    """Anybody could let us flood the provider."""
    site.start(browser, name)
    guard, before = site.guard(browser), len(site.provider.log)
    for number in range(30):
        query = {"state": f"s{number}", "code": f"c{number}", "oauth_token": f"t{number}", "oauth_verifier": "v"}
        assert browser.get(f"/authorize/{name}", query_string=query).status_code == 400
    assert len(site.provider.log) == before
    guard.unchanged()


ODD_NAMES: list[Any] = ["nobody", "__class__", "ONE", "two ", "cache", "register"]


def test_l12_a_provider_that_is_not_registered(site: Any, browser: Any) -> None:
    """A made-up name would be looked up, asked, or a server error."""
    guard = site.guard(browser)
    files = sorted((site.folder / "oauth_accounts_cache").iterdir())
    for name in ODD_NAMES:
        for path in (f"/login/{name}", f"/authorize/{name}?code=x&state=x"):
            site.assert_page(browser.get(path), 404)
        assert not len(site.provider.log)
        assert sorted((site.folder / "oauth_accounts_cache").iterdir()) == files
        guard.unchanged()


def test_l14_a_provider_that_was_removed(make_site: Any) -> None:
    """Accounts of a provider that is offered no longer would break every page, and never go away."""
    site = make_site()
    browser = site.browser()
    site.log_in(browser, "three")
    site.connect(browser, "two")
    started = site.browser()
    callback = site.callback(started, "two")
    smaller = make_site(folder=site.folder, OAUTH_ACCOUNTS_PROVIDERS=["three"])
    other = smaller.browser()
    site.copy_cookies(browser, other)
    assert {item["provider"] for item in smaller.accounts(other)} == {"two", "three"}
    assert other.get("/accounts").status_code == 200
    for path in ("/login/two", "/profile/two", callback):
        assert other.get(path).status_code == 404
    number = next(item["id"] for item in smaller.accounts(other) if item["provider"] == "two")
    assert other.get(f"/reconnect/{number}").status_code == 404
    assert other.post(f"/accounts/{number}/disconnect", data={"csrf_token": smaller.csrf(other)}).status_code == 303
    assert len(smaller.accounts(other)) == 1


@pytest.mark.parametrize(("skew", "accepted"), [(60, True), (-60, True), (600, False), (-1200, False)])
def test_l15_clocks_that_differ(site: Any, browser: Any, skew: int, accepted: bool) -> None:
    """A clock that is a little wrong would shut everybody out; one that is very wrong would pass old tokens."""
    callback = site.callback(browser, "three")
    now = int(time.time()) + skew
    site.provider.next_id_token(iat=now, exp=now + 600, nbf=now)
    assert browser.get(callback).status_code == (302 if accepted else 502)


@ALL
def test_l16_two_workers(make_site: Any, name: str) -> None:
    """With several workers every second login would fail."""
    first = make_site()
    second = make_site(folder=first.folder)
    browser, other = first.browser(), second.browser()
    callback = first.callback(browser, name)
    first.copy_cookies(browser, other)
    assert other.get(callback).status_code == 302
    assert browser.get(callback).status_code == 400


@ALL
def test_l17_reload_and_back(site: Any, browser: Any, name: str) -> None:
    """A reload of the callback would be a server error, a second account or a logout."""
    callback = site.callback(browser, name)
    assert browser.get(callback).status_code == 302
    for _ in range(2):
        response = browser.get(callback)
        site.assert_page(response, 400)
        assert "/accounts" in response.text
    assert site.who(browser) == "1"
    assert site.count("oauth_user") == site.count("oauth_identity") == 1


@pytest.mark.parametrize(
    ("name", "fault"),
    [("one", {"status": 500}), ("two", {"status": 503}), ("three", {"drop": True}), ("two", {"status": 429})],
)
def test_l18_a_code_is_sent_once(site: Any, browser: Any, name: str, fault: dict[str, Any]) -> None:
    """A second try with the same code would end every grant of the user."""
    callback = site.callback(browser, name)
    site.provider.fail("/oauth1/access_token" if name == "one" else "/oauth2/token", times=None, **fault)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 502, 503, exchanged=1, honest=None)
    site.provider.clear_faults()


def test_l20_the_first_visitors_together(site: Any) -> None:
    """A restart under load would ask the provider for its metadata many times at once."""
    answers: list[int] = []
    browsers = [site.browser() for _ in range(8)]
    threads = [
        threading.Thread(target=lambda b=browser: answers.append(b.get("/login/three").status_code))
        for browser in browsers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [302] * 8
    assert site.provider.count("/openid-configuration") == 1


@ALL
@pytest.mark.parametrize("how", ["url_prefix", "APPLICATION_ROOT", "SCRIPT_NAME"])
def test_l22_below_a_prefix(make_site: Any, name: str, how: str) -> None:
    """Below a prefix no login would ever come back."""
    site = make_site(url_prefix="/sub") if how == "url_prefix" else make_site(APPLICATION_ROOT="/sub")
    browser = site.browser()
    base = {"base_url": "http://localhost/sub/"} if how != "url_prefix" else {}
    prefix = "/sub" if how == "url_prefix" else ""
    started = browser.get(f"{prefix}/login/{name}", **base)
    callback = site.consent(started.headers["Location"])
    assert callback.startswith(f"/sub/authorize/{name}")
    finished = browser.get(callback.removeprefix("/sub") if base else callback, **base)
    assert finished.headers["Location"] == f"/sub/profile/{name}"
    assert (
        browser.get(
            finished.headers["Location"].removeprefix("/sub") if base else finished.headers["Location"], **base
        ).status_code
        == 200
    )


HOOKS = [signals.login_succeeded, signals.user_created]


@ALL
@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.name)
def test_l23_a_receiver_that_raises(site: Any, browser: Any, name: str, hook: Any) -> None:
    """A fault in the application's own code would leave a login half done."""

    def fail(sender: Any, **values: Any) -> None:
        raise RuntimeError("secret-of-the-hook")

    callback = site.callback(browser, name)
    with hook.connected_to(fail):
        response = browser.get(callback)
    assert response.status_code in (302, 503)
    assert "secret-of-the-hook" not in response.text
    assert (site.who(browser) is not None) is (response.status_code == 302)
    assert site.log_in(site.browser(), name).status_code == 302
    assert site.count("oauth_user") == 1


def test_l24_many_logins_at_once(site: Any) -> None:
    """Under load somebody would be logged in as somebody else."""
    people = [f"person{number}" for number in range(24)]
    for user in people:
        site.provider.add_user(DevUser(f"sub-{user}", user))
    who: dict[str, Any] = {}

    def log_in(user: str, name: str) -> None:
        browser = site.browser()
        site.log_in(browser, name, user)
        who[user] = [item["account"]["subject"] for item in site.accounts(browser)]

    threads = [
        threading.Thread(target=log_in, args=(user, ("one", "two", "three")[number % 3]))
        for number, user in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert who == {user: [f"sub-{user}"] for user in people}
