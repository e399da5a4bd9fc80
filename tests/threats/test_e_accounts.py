"""Accounts and links: nobody becomes somebody else, and nobody's account opens to another."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from flask_oauth_accounts.testing import DevUser

ALL = pytest.mark.parametrize("name", ["one", "two", "three"])
MALLORY = DevUser("evil-1", "mallory", "alice@example.com", email_verified=True, name="Mallory")


def at_once(*calls: Any) -> list[Any]:
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


@pytest.mark.parametrize("link_by_email", [None, "verified"])
@pytest.mark.parametrize("name", ["evil1", "evil2", "evil3"])
def test_e01_e04_an_address_opens_no_account(make_site: Any, evil: Any, name: str, link_by_email: str | None) -> None:
    """Whoever runs a provider, or registers an address there, would own every account here."""
    evil.add_user(MALLORY)
    site = make_site(evil=evil, OAUTH_ACCOUNTS_LINK_BY_EMAIL=link_by_email or False)
    site.log_in(site.browser(), "three", "alice")
    browser = site.browser()
    guard = site.guard(browser)
    guard.refused(site.log_in(browser, name, "mallory"), 409, exchanged=1, honest="three")


@pytest.mark.parametrize("name", ["evil1", "evil2", "evil3"])
def test_e01_a_login_that_waits_is_for_the_owner_of_the_address(make_site: Any, evil: Any, name: str) -> None:
    """At a shared machine an account would go to the next person; a planted one would look like the victim's own."""
    evil.add_user(replace(MALLORY, email_verified=False))
    site = make_site(evil=evil)
    for user in ("alice", "bob"):
        site.log_in(site.browser(), "three", user)
    kiosk, shared, attacker, victim = (site.browser() for _ in range(4))
    for browser in (kiosk, attacker):
        assert site.log_in(browser, name, "mallory").status_code == 409
    site.log_in(shared, "three", "bob")
    # Bob logs in where it waits, or is logged in where somebody else tries.
    site.assert_on_site(site.log_in(kiosk, "three", "bob", next="/resolve"))
    started = shared.post(f"/login/{name}", data={"csrf_token": site.csrf(shared)}).headers["Location"]
    assert shared.get(site.consent(started, "mallory")).status_code == 409
    for browser, status in ((kiosk, 400), (shared, 409)):
        assert "mallory" not in browser.get("/resolve").text.lower()
        answer = {"answer": "connect", "csrf_token": site.csrf(browser)}
        site.assert_page(browser.post("/resolve", data=answer), status)
        site.assert_page(browser.post("/resolve", data=answer), 400)
    assert site.count("oauth_identity") == 2

    site.copy_cookies(attacker, victim)
    assert site.assert_on_site(site.log_in(victim, "three", "alice")) == "/resolve"
    page = site.keep(victim.get("/resolve")).text
    for text in ("Mallory", "evil-1", "not confirmed by", "only if you have just tried to sign in with"):
        assert text in page
    victim.post("/resolve", data={"answer": "discard", "csrf_token": site.csrf(victim)})
    assert site.log_in(site.browser(), name, "mallory").status_code == 409
    assert site.find_leaks(kiosk, shared, attacker, victim) == set()


@pytest.mark.parametrize("verified", ["true", "True", 1, "1", [True], {"a": 1}, "yes", "false", None, 0, ""])
def test_e02_only_true_is_verified(make_site: Any, evil: Any, verified: Any) -> None:
    """A text that says false would count as true."""
    site = make_site(evil=evil, OAUTH_ACCOUNTS_ALLOWED_DOMAINS=["example.com"])
    evil.add_user(DevUser("evil-2", "odd", claims={"email": "odd@example.com", "email_verified": verified}))
    browser = site.browser()
    guard = site.guard(browser)
    guard.refused(site.log_in(browser, "evil3", "odd"), 403, exchanged=1, honest="three")


def test_e03_a_local_account_that_claims_the_address(make_site: Any) -> None:
    """Whoever registers a victim's address first would share the victim's account later."""
    site = make_site(OAUTH_ACCOUNTS_LINK_BY_EMAIL="verified")
    site.execute("INSERT INTO oauth_user (id, email, email_verified, is_active) VALUES (77, 'alice@example.com', 0, 1)")
    browser = site.browser()
    site.log_in(browser, "three", "alice")
    assert site.who(browser) != "77"
    assert all(str(row["user_id"]) != "77" for row in site.rows("oauth_identity"))


@pytest.mark.parametrize(
    "email",
    [
        "alice@example.com\x00",
        "ALICE@example.com",
        "alice@EXAMPLE.com",
        "alice@example.com@evil.example",
        "alice@example.com,mallory@evil.example",
        " alice@example.com",
        "al\u0131ce@example.com",
        "alice@ex\u0430mple.com",
        "",
        5,
        ["alice@example.com"],
        {"a": 1},
        "x" * 400 + "@example.com",
    ],
)
def test_e06_odd_addresses(make_site: Any, evil: Any, email: Any) -> None:
    """An address that only looks like another would be taken for it."""
    site = make_site(evil=evil, OAUTH_ACCOUNTS_LINK_BY_EMAIL="verified")
    site.log_in(site.browser(), "three", "alice")
    evil.add_user(DevUser("evil-3", "odd", claims={"email": email, "email_verified": True}))
    browser = site.browser()
    response = site.log_in(browser, "evil3", "odd")
    assert response.status_code in (302, 409)
    assert site.who(browser) != "1"
    assert {str(row["user_id"]) for row in site.rows("oauth_identity") if row["subject"] == "evil-3"} <= {"2"}


def test_e08_a_recycled_address(site: Any, browser: Any) -> None:
    """Whoever gets an old address anew would get the old account too."""
    site.log_in(site.browser(), "three", "alice")
    site.provider.add_user(DevUser("dev-9999", "alice", "alice@example.com", email_verified=True))
    guard = site.guard(browser)
    guard.refused(site.log_in(browser, "three", "alice"), 409, exchanged=1, honest=None)


def test_e10_a_name_that_is_used_for_another_issuer(make_site: Any, evil: Any) -> None:
    """After a change of provider, numbers of the new one would open accounts of the old one."""
    site = make_site()
    site.log_in(site.browser(), "three", "carol")
    moved = make_site(folder=site.folder, **evil.oidc_config("THREE"))
    browser = moved.browser()
    moved.evil = evil
    assert moved.log_in(browser, "three", "carol").status_code == 302
    assert moved.who(browser) == "2"
    moved = make_site(folder=site.folder, **evil.oauth2_config("TWO"))
    moved.evil = evil
    other = moved.browser()
    moved.log_in(other, "two", "carol")
    assert moved.who(other) not in ("1", None)


@ALL
def test_e11_subjects_are_exact(site: Any, name: str) -> None:
    """Two people whose ids differ in case or accents would share an account."""
    subjects = ["abc", "ABC", "abc ", "äbc", "a\u0308bc", "ab\u200bc", "abc\u00a0"]
    if name == "three":
        subjects = ["abc", "ABC", "abc ", "abc."]
    found = []
    for number, subject in enumerate(subjects):
        site.provider.add_user(DevUser(subject, f"user{number}"))
        browser = site.browser()
        site.log_in(browser, name, f"user{number}")
        found.append(site.who(browser))
    assert None not in found
    assert len(set(found)) == len(subjects)


@pytest.mark.parametrize("name", ["one", "two"])
def test_e12_a_profile_without_a_usable_id(site: Any, browser: Any, name: str) -> None:
    """Everybody without an id would be one and the same user."""
    odd: list[Any] = [None, "", True, False, [], ["x"], {}, 1.5, " ", "x" * 300]
    guard = site.guard(browser)
    for profile in [
        *({"id": value} for value in odd),
        {},
        {"ID": 1},
        {"login": "alice"},
        [{"id": 1}],
        {"id": None, "login": "None"},
    ]:
        callback = site.callback(browser, name)
        site.provider.next_userinfo(raw=profile)
        guard.refused(browser.get(callback), 502, exchanged=None, honest=None)
    guard.refused(browser.get(f"/authorize/{name}"), exchanged=None, honest=name)


@pytest.mark.parametrize("name", ["one", "two"])
def test_e12_a_number_and_its_text_are_one(site: Any, name: str) -> None:
    """A provider that changes how it writes ids would lock everybody out."""
    found: set[Any] = set()
    for value in (7, "7"):
        browser = site.browser()
        callback = site.callback(browser, name)
        site.provider.next_userinfo(raw={"id": value})
        browser.get(callback)
        found.add(site.user_id(browser))
    assert len(found) == 1


@ALL
def test_e13_a_profile_sets_only_what_it_may(site: Any, browser: Any, name: str) -> None:
    """A provider would make its users administrators."""
    claims = {
        "active": False,
        "is_active": False,
        "is_admin": True,
        "admin": True,
        "user_id": 1,
        "created_at": 0,
        "password": "x",
        "roles": ["admin"],
        "login_key": "x",
        "status": "x",
        "issuer": "https://evil.example",
    }
    site.provider.add_user(DevUser("dev-7", "eve", claims=claims))
    site.log_in(site.browser(), "two", "alice")
    site.log_in(browser, name, "eve")
    row = site.rows("oauth_user")[-1]
    assert site.who(browser) == str(row["id"]) == "2"
    assert row["is_active"] == 1
    assert "evil.example" not in str([row["issuer"] for row in site.rows("oauth_identity")])


@ALL
def test_e14_nothing_is_connected_without_the_user_s_own_click(site: Any, browser: Any, name: str) -> None:
    """The attacker's account at a provider would open the victim's account here."""
    site.log_in(browser, "two", "alice")
    other = site.browser()
    site.log_in(other, "two", "bob")
    guard = site.guard(browser)
    for data in (
        {},
        {"csrf_token": ""},
        {"csrf_token": "x"},
        {"csrf_token": site.csrf(other)},
        {"csrf_token": "é"},
        {"csrf_token": "\x00"},
    ):
        for accept in ("text/html", "application/json"):
            response = browser.post(
                f"/connect/{name}", data=data, headers={"Accept": accept, "Origin": "https://evil.example"}
            )
            assert response.status_code == 400
    assert browser.get(f"/connect/{name}?csrf_token={site.csrf(browser)}").status_code == 405
    response = browser.post(f"/connect/{name}", json={"csrf_token": site.csrf(browser)})
    assert response.status_code == 400
    guard.unchanged()


POSTS = ["/login/two", "/connect/two", "/accounts/1/disconnect", "/logout", "/resolve"]


@pytest.mark.parametrize("path", POSTS)
def test_e14_every_post_needs_its_token(site: Any, browser: Any, path: str) -> None:
    """Another site would log out, disconnect or switch accounts."""
    site.log_in(browser, "two", "alice")
    guard = site.guard(browser)
    for data in ({}, {"csrf_token": "x" * 96}, {"csrf_token": "x" * 100_000}):
        site.assert_page(browser.post(path, data=data), 400)
        site.assert_page(browser.post(path, data=data, headers={"X-CSRF-Token": "x"}), 400)
        site.assert_page(browser.post(path, data=data, headers=site.JSON), 400)
    response = browser.post(path, query_string={"csrf_token": site.csrf(browser)})
    assert response.status_code == 400
    guard.unchanged()


@ALL
@pytest.mark.parametrize("then", ["another user", "nobody"])
def test_e15_another_user_at_the_callback_of_a_connect(site: Any, browser: Any, name: str, then: str) -> None:
    """An account would be connected to whoever sits there now."""
    site.log_in(browser, "two", "alice")
    started = browser.post(f"/connect/{name}", data={"csrf_token": site.csrf(browser)}).headers["Location"]
    callback = site.consent(started, "carol")
    browser.post("/logout", data={"csrf_token": site.csrf(browser)})
    if then == "another user":
        site.log_in(browser, "two", "bob")
    guard = site.guard(browser)
    guard.refused(browser.get(callback))


@ALL
def test_e15_a_switch_between_start_and_callback(site: Any, browser: Any, name: str) -> None:
    """An account would be connected to whoever has logged in from another tab."""
    site.log_in(browser, "two", "alice")
    csrf = {"csrf_token": site.csrf(browser)}
    callback = site.consent(browser.post(f"/connect/{name}", data=csrf).headers["Location"], "carol")
    switch = browser.post("/login/two", data=csrf)
    browser.get(site.consent(switch.headers["Location"], "bob"))
    guard = site.guard(browser)
    guard.refused(browser.get(callback))


def test_e17_an_account_that_somebody_else_owns(site: Any, browser: Any) -> None:
    """An account would change hands, or the page would say whose it is."""
    site.log_in(site.browser(), "three", "carol")
    site.log_in(browser, "two", "alice")
    guard = site.guard(browser)
    response = site.connect(browser, "three", "carol")
    assert "carol" not in response.text.lower()
    guard.refused(response, 409, exchanged=1)


def test_e18_several_accounts_and_the_same_one_twice(site: Any, browser: Any) -> None:
    """Connecting again would make rows that nobody can tell apart."""
    site.log_in(browser, "two", "alice")
    for user in ("carol", "carol", "alice"):
        assert site.connect(browser, "three", user).status_code == 302
    assert site.count("oauth_identity") == 3
    assert site.count("oauth2_token") == 3
    assert len(site.accounts(browser)) == 3


FOREIGN_NUMBERS: list[Any] = [
    "{other}",
    "0",
    "-1",
    "99999999999999999999",
    "x",
    "1%00",
    "1;DROP",
    "١",
    "1.0",
    "None",
    "{other} ",
    "%F0%9F%98%80",
]


def test_e20_accounts_of_others_are_not_there(site: Any, browser: Any) -> None:
    """Anybody could disconnect anybody's accounts by counting."""
    site.log_in(site.browser(), "two", "bob")
    other = site.rows("oauth_identity")[0]["id"]
    site.log_in(browser, "two", "alice")
    site.connect(browser, "three", "alice")
    guard = site.guard(browser)
    for number in FOREIGN_NUMBERS:
        for accept in ("text/html", "application/json"):
            headers = {"Accept": accept}
            path = f"/accounts/{number.format(other=other)}/disconnect"
            assert browser.post(path, data={"csrf_token": site.csrf(browser)}, headers=headers).status_code == 404
            assert browser.get(f"/reconnect/{number.format(other=other)}", headers=headers).status_code == 404
        guard.unchanged()


def test_e22_a_refresh_in_flight_brings_nothing_back(site: Any, browser: Any) -> None:
    """An account that was disconnected would come back with a live token."""
    site.log_in(browser, "three", "alice")
    site.connect(browser, "two", "alice")
    number = next(item["id"] for item in site.accounts(browser) if item["provider"] == "two")
    site.execute("UPDATE oauth2_token SET expires_at = 1 WHERE name = 'two'")
    fault = site.provider.fail("/oauth2/token", None, hang=True)
    caller, remover = site.browser(), site.browser()
    site.copy_cookies(browser, caller)
    site.copy_cookies(browser, remover)
    csrf = site.csrf(remover)
    thread = threading.Thread(target=lambda: caller.get("/profile/two"))
    thread.start()
    assert fault.entered.wait(10)
    assert remover.post(f"/accounts/{number}/disconnect", data={"csrf_token": csrf}).status_code == 303
    fault.release()
    thread.join(30)
    assert [row["name"] for row in site.rows("oauth2_token")] == ["three"]
    assert [row["name"] for row in site.rows("oauth_identity")] == ["three"]
    assert site.provider.count("/oauth2/revoke") >= 2


@ALL
def test_e23_a_user_who_may_not_log_in(site: Any, browser: Any, name: str) -> None:
    """Somebody who was banned would come in by another door."""
    site.log_in(site.browser(), name, "carol")
    site.execute("UPDATE oauth_user SET is_active = 0")
    guard = site.guard(browser)
    guard.refused(site.log_in(browser, name, "carol"), 403, exchanged=1, honest=None)


def test_e23_a_ban_ends_the_session_that_is_there(site: Any, browser: Any) -> None:
    """Somebody who was banned would stay until they log out."""
    site.log_in(browser, "two", "carol")
    site.execute("UPDATE oauth_user SET is_active = 0")
    response = browser.get("/accounts", headers=site.JSON)
    assert response.status_code in (200, 401, 403)
    assert browser.post("/connect/three", data={"csrf_token": "x"}).status_code in (303, 400, 401, 403)


def test_e24_a_deleted_user_leaves_nothing_to_the_next_of_that_number(site: Any, browser: Any) -> None:
    """A new user would find the accounts of a deleted one."""
    site.log_in(browser, "two", "alice")
    model = site.app.extensions["flask_oauth_accounts"].accounts
    with site.app.app_context():
        db = model.db
        db.session.delete(db.session.get(model.user_model, 1))
        db.session.commit()
        db.engine.dispose()
    assert site.count("oauth_identity") == site.count("oauth2_token") == 0
    assert site.who(browser) is None
    assert browser.get("/accounts", headers=site.JSON).status_code == 401
    other = site.browser()
    site.log_in(other, "two", "carol")
    assert [item["account"]["subject"] for item in site.accounts(other)] == ["dev-1003"]
    assert site.who(browser) is None


@ALL
def test_e25_sign_up_is_closed(make_site: Any, name: str) -> None:
    """Anybody would get an account where only some may."""
    site = make_site(OAUTH_ACCOUNTS_SIGNUP="closed")
    browser = site.browser()
    guard = site.guard(browser)
    guard.refused(site.log_in(browser, name, "alice"), 403, exchanged=1, honest=None)


@pytest.mark.parametrize(
    ("user", "status"), [("alice", 302), ("bob", 403), ("carol", 403), ("sub", 403), ("evil", 403)]
)
def test_e25_only_some_domains(make_site: Any, user: str, status: int) -> None:
    """Anybody would get an account where only some may."""
    site = make_site(OAUTH_ACCOUNTS_ALLOWED_DOMAINS=["example.com"])
    site.provider.add_user(DevUser("s", "sub", "x@sub.example.com", email_verified=True))
    site.provider.add_user(DevUser("e", "evil", "x@example.com.evil.example", email_verified=True))
    browser = site.browser()
    assert site.log_in(browser, "three", user).status_code == status
    assert (site.who(browser) is not None) is (status == 302)


@ALL
def test_e26_the_first_login_twice_at_once(site: Any, name: str) -> None:
    """One person would get two accounts, or an error page."""
    browsers = [site.browser() for _ in range(4)]
    callbacks = [site.callback(browser, name, "alice") for browser in browsers]
    calls = [partial(browser.get, callback) for browser, callback in zip(browsers, callbacks, strict=True)]
    assert [answer.status_code for answer in at_once(*calls)] == [302] * 4
    assert {site.who(browser) for browser in browsers} == {"1"}
    assert site.count("oauth_user") == site.count("oauth_identity") == 1


def test_e27_the_answer_does_not_tell_who_is_here(make_site: Any) -> None:
    """Anybody could ask which addresses have an account."""
    site = make_site(OAUTH_ACCOUNTS_SIGNUP="closed")
    site.provider.add_user(DevUser("n", "nobody", "nobody@example.com", email_verified=True))
    unknown = site.log_in(site.browser(), "three", "nobody")
    site.execute("INSERT INTO oauth_user (id, email, email_verified, is_active) VALUES (5, 'alice@example.com', 1, 1)")
    known = site.log_in(site.browser(), "three", "alice")
    hint = site.browser()
    pages = {
        hint.get("/login/two", query_string={"login_hint": who}).status_code for who in ("alice@example.com", "x@y.z")
    }
    assert pages == {302}
    assert (unknown.status_code, known.status_code) in ((403, 403), (403, 409))
