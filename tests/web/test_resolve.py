"""An e-mail address that somebody here has already, and every way in which the link that then waits can end (E01)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cachelib import SimpleCache
from flask import request
from flask_login import UserMixin, login_user, logout_user

from flask_oauth_accounts.testing import DevUser

JSON = {"Accept": "application/json"}
LINK = "_oauth_accounts_link"
TWIN = DevUser("other", "twin", "alice@example.com", email_verified=True, name="Alice's Twin")
MALLORY = DevUser("evil", "mallory", "alice@example.com", email_verified=False, name="Mallory")
BOBBY = DevUser("bobby", "bobby", "bob@example.com", email_verified=True, name="Bobby")


def add_own_login(site: Any) -> None:
    """Give the application a sign-in of its own, and a sign-out that knows nothing of ours."""

    @site.app.get("/own/<email>")
    def own(email: str) -> str:
        login_user(site.db.session.query(site.user_model).filter_by(email=email).one())
        return str(request.args.get("next"))

    @site.app.get("/leave")
    def leave() -> str:
        logout_user()
        return ""


@pytest.fixture(params=["cache", "session"])
def site(request: pytest.FixtureRequest, make_site: Callable[..., Any]) -> Any:
    """A site where alice and bob have accounts by ``two``, and where other provider accounts have their addresses."""
    site = make_site(cache=SimpleCache() if request.param == "cache" else None)
    add_own_login(site)
    for user in (TWIN, MALLORY, BOBBY):
        site.provider.add_user(user)
    for name in ("alice", "bob"):
        site.log_in(site.browser(), "two", name)
    return site


@pytest.fixture
def browser(site: Any) -> Any:
    """A browser in which the login of alice's twin waits for its proof."""
    browser = site.browser()
    assert site.log_in(browser, "three", "twin", next="/me?wanted").status_code == 409
    return browser


def is_waiting(browser: Any) -> bool:
    with browser.session_transaction() as session:
        return LINK in session


def owners(site: Any) -> set[tuple[str, str]]:
    """Who owns which provider account."""
    with site.app.app_context():
        identity = site.accounts.models.OAuthIdentity
        rows = site.db.session.query(site.user_model.email, identity.subject)
        return set(rows.filter(site.user_model.id == identity.user_id))


BEFORE = {("alice@example.com", "dev-1001"), ("bob@example.com", "dev-1002")}
CONNECTED = {*BEFORE, ("alice@example.com", "other")}


def answer(site: Any, browser: Any, text: str = "connect", **headers: Any) -> Any:
    return browser.post("/resolve", data={"answer": text, "csrf_token": site.token(browser)}, **headers)


def switch(site: Any, browser: Any, name: str, user: str, **data: str) -> Any:
    """Log in as somebody else while somebody is logged in."""
    started = browser.post(f"/login/{name}", data={"csrf_token": site.token(browser), **data})
    return browser.get(site.consent(started.headers["Location"], user))


def test_e01_it_is_not_linked(site: Any, browser: Any) -> None:
    """Whoever has the same address at some provider would take the account over."""
    assert site.who(browser) is None
    assert owners(site) == BEFORE


def test_it_is_connected_after_the_older_way(site: Any) -> None:
    """Somebody with two providers would be locked out of one of them."""
    browser = site.browser()
    page = site.log_in(browser, "three", "twin", next="/me")
    assert "/login/two?next=/resolve" in page.text
    assert site.log_in(browser, "two", "alice", next="/resolve").headers["Location"] == "/resolve"
    page = browser.get("/resolve")
    assert "alice@example.com" in page.text
    assert owners(site) == BEFORE
    assert browser.post("/resolve", data={"answer": "connect"}).status_code == 400
    done = answer(site, browser)
    assert done.headers["Location"] == "/me"
    assert owners(site) == CONNECTED
    other = site.browser()
    site.log_in(other, "three", "twin")
    assert site.who(other) == "alice@example.com"
    assert site.count("User") == 2


def test_it_is_connected_after_the_application_s_own_login(site: Any, browser: Any) -> None:
    """Users with a password could not connect a provider whose login had waited for it."""
    browser.get("/own/alice@example.com")
    assert "Alice&#39;s Twin" in browser.get("/resolve").text
    assert answer(site, browser).headers["Location"] == "/me?wanted"
    assert owners(site) == CONNECTED


def test_it_is_for_the_owner_of_the_address_however_it_is_written(site: Any, browser: Any) -> None:
    """A user whose address is stored with capitals could never connect the second provider."""
    with site.app.app_context():
        site.db.session.query(site.user_model).filter_by(email="alice@example.com").update(
            {"email": "Alice@Example.COM"}
        )
        site.db.session.commit()
    assert site.log_in(browser, "two", "alice").headers["Location"] == "/resolve"
    answer(site, browser)
    assert ("Alice@Example.COM", "other") in owners(site)


@pytest.mark.parametrize("with_email", [True, False])
def test_the_address_may_be_that_of_an_identity(make_site: Callable[..., Any], with_email: bool) -> None:
    """Where users have no address of their own, a conflict could be seen and never be resolved."""
    site = make_site() if with_email else make_site(bases=(UserMixin,))
    for user in (TWIN, BOBBY):
        site.provider.add_user(user)
    for name in ("alice", "bobby"):
        site.log_in(site.browser(), "two", name)
    if with_email:
        with site.app.app_context():
            site.db.session.query(site.user_model).update({"email": None})
            site.db.session.commit()
    for name, location, rows in (("bobby", "/profile/two", 2), ("alice", "/resolve", 3)):
        browser = site.browser()
        assert site.log_in(browser, "three", "twin").status_code == 409
        assert site.log_in(browser, "two", name).headers["Location"] == location
        answer(site, browser)
        assert site.count("OAuthIdentity") == rows
    other = site.browser()
    site.log_in(other, "three", "twin")
    assert other.get("/me").json["name"] == "Alice Ardent"


@pytest.mark.parametrize("way", ["two", "own"])
def test_whoever_logs_in_next_does_not_get_it(site: Any, browser: Any, way: str) -> None:
    """At a shared machine, an account would be connected to the next person who signs in there."""
    if way == "own":
        browser.get("/own/bob@example.com")
    else:
        assert site.log_in(browser, "two", "bob").headers["Location"] == "/profile/two"
    assert not is_waiting(browser)
    assert browser.get("/resolve").headers["Location"] == "/accounts"
    assert answer(site, browser).status_code == 400
    assert owners(site) == BEFORE


def test_a_wrong_user_is_not_sent_to_where_there_is_nothing(site: Any, browser: Any) -> None:
    """Somebody who signs in by the buttons of a page that another person has left open would end in a circle."""
    assert site.log_in(browser, "two", "bob", next="/resolve").headers["Location"] == "/profile/two"


def test_a_logged_in_user_who_is_not_meant_cannot_confirm_it(site: Any) -> None:
    """A login for another account would be connected to the account that was open all the time."""
    browser = site.browser()
    site.log_in(browser, "two", "bob")
    page = switch(site, browser, "three", "twin")
    assert page.status_code == 409
    assert "You may have an account here already" in page.text
    assert "You may have an account here already" in browser.get("/resolve").text
    assert "account" not in browser.get("/resolve", headers=JSON).json
    refused = answer(site, browser, headers=JSON)
    assert (refused.status_code, refused.json["code"]) == (409, "email_taken")
    assert "resolve_url" not in refused.json
    assert owners(site) == BEFORE
    assert not is_waiting(browser)


def test_it_survives_the_switch_to_the_right_user(site: Any) -> None:
    """Somebody with two accounts here could not connect a provider to the other one."""
    browser = site.browser()
    site.log_in(browser, "two", "bob")
    switch(site, browser, "three", "twin", next="/me")
    assert switch(site, browser, "two", "alice", next="/resolve").headers["Location"] == "/resolve"
    assert answer(site, browser).headers["Location"] == "/me"
    assert owners(site) == CONNECTED


def test_the_right_user_may_be_logged_in_already(site: Any) -> None:
    """Somebody who is signed in would be asked to sign in."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    page = switch(site, browser, "three", "twin")
    assert page.status_code == 409
    assert "Connect Three?" in page.text
    answer(site, browser)
    assert owners(site) == CONNECTED


def test_it_can_be_discarded(site: Any, browser: Any) -> None:
    """A visitor could not get rid of the question."""
    site.log_in(browser, "two", "alice")
    answer(site, browser, "discard")
    assert owners(site) == BEFORE
    assert browser.get("/resolve").headers["Location"] == "/accounts"
    assert answer(site, browser).status_code == 400


def test_a_stranger_s_logout_ends_it(site: Any, browser: Any) -> None:
    """Who leaves a shared machine by the sign-out button would leave the question behind."""
    assert browser.post("/logout").status_code == 303
    assert not is_waiting(browser)
    assert site.log_in(browser, "two", "alice").headers["Location"] == "/profile/two"


def test_a_user_s_logout_ends_it(site: Any, browser: Any) -> None:
    """The question would come back at the next sign-in, when nobody remembers what it is about."""
    site.log_in(browser, "two", "alice")
    assert browser.post("/logout", data={"csrf_token": "forged"}).status_code == 400
    assert is_waiting(browser)
    browser.post("/logout", data={"csrf_token": site.token(browser)})
    assert site.log_in(browser, "two", "alice").headers["Location"] == "/profile/two"


def test_the_application_s_own_logout_gives_it_to_nobody(site: Any, browser: Any) -> None:
    """An application that logs out by itself would hand the question on to the next user."""
    site.log_in(browser, "two", "alice")
    browser.get("/leave")
    browser.get("/own/bob@example.com")
    assert not is_waiting(browser)
    assert answer(site, browser).status_code == 400


@pytest.mark.parametrize("use", ["login", "api"])
def test_connecting_the_same_account_ends_it(site: Any, browser: Any, use: str) -> None:
    """The page would go on asking about an account that is connected."""
    site.log_in(browser, "two", "alice")
    started = browser.post("/connect/three", data={"csrf_token": site.token(browser), "use": use})
    browser.get(site.consent(started.headers["Location"], "twin"))
    assert not is_waiting(browser)
    assert owners(site) == CONNECTED


def test_connecting_another_account_does_not_end_it(site: Any, browser: Any) -> None:
    """Somebody who connects a third provider first would have to begin with the second one anew."""
    site.log_in(browser, "two", "alice")
    site.connect(browser, "one", "carol")
    assert is_waiting(browser)


def test_it_ends_where_the_account_was_connected_in_another_browser(site: Any, browser: Any) -> None:
    """A visitor who signs in by both providers by now would still be asked."""
    elsewhere = site.browser()
    site.log_in(elsewhere, "two", "alice")
    site.connect(elsewhere, "three", "twin")
    assert site.log_in(browser, "three", "twin", next="/me").headers["Location"] == "/me"
    assert not is_waiting(browser)


def test_the_next_conflict_takes_its_place(site: Any, browser: Any) -> None:
    """The page would ask about another account than the one that was tried last."""
    assert site.log_in(browser, "three", "bobby").status_code == 409
    assert site.log_in(browser, "two", "alice").headers["Location"] == "/profile/two"
    again = site.browser()
    for user in ("twin", "bobby"):
        site.log_in(again, "three", user)
    assert site.log_in(again, "two", "bob").headers["Location"] == "/resolve"
    answer(site, again)
    assert owners(site) == {*BEFORE, ("bob@example.com", "bobby")}


def test_a_conflict_that_cannot_be_kept_leaves_no_older_one(site: Any, browser: Any) -> None:
    """A visitor whose cookie has no room for the second account would be asked about the first."""
    picture = f"https://pictures.example/{'p' * 1900}"
    site.provider.add_user(DevUser("long", "long", "bob@example.com", email_verified=True, picture=picture))
    assert site.log_in(browser, "three", "long").status_code == 409
    assert site.log_in(browser, "two", "alice").headers["Location"] == "/profile/two"


@pytest.mark.parametrize("how", ["expired", "evicted"])
def test_a_link_that_is_gone_sends_nobody_astray(site: Any, how: str) -> None:
    """Who was slow would not come to where they wanted to go."""

    def lose(browser: Any) -> None:
        site.log_in(browser, "three", "twin", next="/me?wanted")
        with browser.session_transaction() as session:
            session[LINK] = {**session[LINK], **({"until": 1} if how == "expired" else {"sealed": "", "handle": ""})}

    for next_url, location in (("/me?mine", "/me?mine"), ("/resolve", "/me?wanted"), ("", "/profile/two")):
        browser = site.browser()
        lose(browser)
        query = {"next": next_url} if next_url else {}
        assert site.log_in(browser, "two", "alice", **query).headers["Location"] == location
    browser = site.browser()
    lose(browser)
    browser.get("/own/alice@example.com")
    assert browser.get("/resolve").headers["Location"] == "/me?wanted"
    assert owners(site) == BEFORE


def test_without_the_cookie_there_is_nothing(site: Any, browser: Any) -> None:
    """A link would wait for whoever comes with a fresh browser."""
    for cookie in list(browser._cookies.values()):
        browser.delete_cookie(cookie.key)
    assert browser.get("/resolve").headers["Location"] == "/login"
    assert site.log_in(browser, "two", "alice").headers["Location"] == "/profile/two"
    assert answer(site, browser).status_code == 400


def test_it_waits_for_this_browser_only(site: Any, browser: Any) -> None:
    """An attacker's account would wait to be connected in the browser of a victim."""
    victim = site.browser()
    with browser.session_transaction() as session:
        link = session[LINK]
    site.log_in(victim, "two", "alice")
    with victim.session_transaction() as session:
        session[LINK] = link
    assert answer(site, victim).status_code == 400
    assert owners(site) == BEFORE


def test_the_page_names_the_account_and_not_a_mere_address(site: Any) -> None:
    """A victim would take an attacker's account, which claims the victim's address, for their own."""
    attacker, victim = site.browser(), site.browser()
    site.log_in(attacker, "three", "mallory")
    victim.set_cookie("session", attacker.get_cookie("session").value)
    site.log_in(victim, "two", "alice")
    page = victim.get("/resolve").text
    for text in ("Mallory", "evil", "alice@example.com (not confirmed by Three)", "only if you have just tried"):
        assert text in page
    shown = victim.get("/resolve", headers=JSON).json["account"]
    assert (shown["display_name"], shown["subject"], shown["email_verified"]) == ("Mallory", "evil", False)


def test_a_confirmed_address_is_shown_as_it_is(site: Any, browser: Any) -> None:
    """Visitors would be warned of their own account."""
    site.log_in(browser, "two", "alice")
    page = browser.get("/resolve").text
    assert "alice@example.com" in page
    assert "not confirmed" not in page


@pytest.mark.parametrize("where", ["endpoint", "path", "address", "blueprint"])
def test_the_application_s_own_login_is_offered(site: Any, where: str) -> None:
    """Somebody who has a password here would be told to sign in as before, and find no way to."""
    manager = site.app.login_manager
    if where == "blueprint":
        manager.login_view, manager.blueprint_login_views = "oauth.login_page", {"oauth": "me"}
    else:
        manager.login_view = {"path": "/me", "address": "http://localhost/me"}.get(where, "me")
    page = site.log_in(site.browser(), "three", "twin").text
    assert f'href="{"http://localhost" if where == "address" else ""}/me?next=%2Fresolve"' in page


@pytest.mark.parametrize("view", [None, "/login", "oauth.login_page", "no_such_endpoint"])
def test_there_may_be_no_login_but_ours(site: Any, view: str | None) -> None:
    """The page would offer itself, or be a server error."""
    site.app.login_manager.login_view = view
    page = site.log_in(site.browser(), "three", "twin")
    assert page.status_code == 409
    assert "?next=%2Fresolve" not in page.text


def test_in_json(site: Any) -> None:
    """A front end could not offer the way out."""
    browser = site.browser()
    callback = site.consent(site.start(browser, "three"), "twin")
    problem = browser.get(callback, headers=JSON)
    assert (problem.status_code, problem.json["code"]) == (409, "email_taken")
    assert problem.json["resolve_url"] == "/resolve"
    waiting = browser.get("/resolve", headers=JSON).json
    assert set(waiting) == {"provider", "logged_in", "providers", "expires_at"}
    site.log_in(browser, "two", "alice")
    assert set(browser.get("/resolve", headers=JSON).json) - set(waiting) == {"account", "csrf_token"}


def test_nothing_waits_in_json(site: Any) -> None:
    """A front end would be sent to a page that it cannot read."""
    user, stranger = site.browser(), site.browser()
    site.log_in(user, "two", "alice")
    for browser in (user, stranger):
        nothing = browser.get("/resolve", headers=JSON)
        assert (nothing.status_code, nothing.content_type) == (404, "application/problem+json")
