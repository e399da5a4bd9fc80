"""Whole logins through all three protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

JSON = {"Accept": "application/json"}
PROTOCOLS = pytest.mark.parametrize("name", ["one", "two", "three"])


@PROTOCOLS
def test_a_login_makes_a_user_and_the_next_one_finds_them(site: Any, name: str) -> None:
    """Somebody who comes back would start with an empty account."""
    browser = site.browser()
    response = site.log_in(browser, name)
    assert response.status_code == 302
    assert response.headers["Location"] == f"/profile/{name}"
    page = browser.get(f"/profile/{name}")
    assert page.status_code == 200
    assert "alice" in page.text.lower()
    again = site.browser()
    site.log_in(again, name)
    assert site.who(again) == site.who(browser)
    assert site.count("User") == site.count("OAuthIdentity") == 1


@PROTOCOLS
def test_m11_next_survives_the_detour(site: Any, name: str) -> None:
    """A visitor would lose the page they came from."""
    response = site.log_in(site.browser(), name, next="/me?a=b&c=d#e")
    assert response.headers["Location"] == "/me?a=b&c=d#e"


@pytest.mark.parametrize("target", ["//evil.com", "/\\evil.com", "https://evil.com/", "/login", "javascript:alert(1)"])
def test_d01_hostile_next_is_dropped(site: Any, target: str) -> None:
    """A visitor would be sent from the login to an attacker."""
    response = site.log_in(site.browser(), "two", next=target)
    assert response.headers["Location"] == "/profile/two"


def test_login_redirect_is_a_path_or_an_endpoint(make_site: Callable[..., Any]) -> None:
    """The operator's own start page would not be shown."""
    site = make_site(OAUTH_ACCOUNTS_LOGIN_REDIRECT="me")
    assert site.log_in(site.browser()).headers["Location"] == "/me"
    site = make_site(OAUTH_ACCOUNTS_LOGIN_REDIRECT="/me?x=1")
    assert site.log_in(site.browser()).headers["Location"] == "/me?x=1"
    site = make_site(OAUTH_ACCOUNTS_LOGIN_REDIRECT="no_such_endpoint")
    assert site.log_in(site.browser()).headers["Location"] == "/profile/two"


@PROTOCOLS
def test_a17_five_tabs_finish_in_any_order(site: Any, name: str) -> None:
    """Somebody who pressed the button in several tabs could finish only the last."""
    browser = site.browser()
    urls = [site.start(browser, name, next=f"/me?tab={tab}") for tab in range(5)]
    for tab in (3, 0, 4, 1, 2):
        response = browser.get(site.consent(urls[tab]))
        assert response.headers.get("Location") == f"/me?tab={tab}"


def test_a21_logging_in_as_somebody_else_is_a_clean_switch(site: Any) -> None:
    """What belongs to the first user would be seen by the second."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    with browser.session_transaction() as session:
        session["basket"] = "alice's"
    page = browser.get("/login/two")
    assert page.status_code == 200
    token = site.token(browser)
    started = browser.post("/login/two", data={"csrf_token": token})
    assert started.status_code == 303
    browser.get(site.consent(started.headers["Location"], "bob"))
    assert site.who(browser) == "bob@example.com"
    with browser.session_transaction() as session:
        assert "basket" not in session
    assert site.count("User") == 2


def test_session_keep_survives_a_login(make_site: Callable[..., Any]) -> None:
    """A visitor would lose the basket by signing in, although the operator wants it kept."""
    site = make_site(OAUTH_ACCOUNTS_SESSION_KEEP=["basket"])
    browser = site.browser()
    with browser.session_transaction() as session:
        session.update(basket="mine", other="gone")
    site.log_in(browser)
    with browser.session_transaction() as session:
        assert session["basket"] == "mine"
        assert "other" not in session


def test_a12_a_get_starts_nothing_while_somebody_is_logged_in(site: Any) -> None:
    """Another site could switch the user by a link or a picture."""
    browser = site.browser()
    site.log_in(browser)
    before = site.provider.count()
    response = browser.get("/login/three")
    assert response.status_code == 200
    assert 'method="post"' in response.text
    assert browser.post("/login/three").status_code == 400
    assert site.provider.count() == before


def test_head_starts_nothing(site: Any) -> None:
    """A link checker would fill the store of pending logins."""
    browser = site.browser()
    response = browser.head("/login/two")
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers


def test_a19_only_prompt_and_login_hint_pass(site: Any) -> None:
    """A link could change what the application asks the provider for."""
    url = site.start(
        site.browser(),
        "two",
        prompt="select_account",
        login_hint="a@example.com",
        scope="admin",
        redirect_uri="https://evil.com",
        client_id="evil",
        response_type="token",
        state="fixed",
    )
    assert "prompt=select_account" in url
    assert "login_hint=a%40example.com" in url
    assert all(word not in url for word in ("admin", "evil", "response_type=token", "state=fixed"))
    assert "prompt" not in site.start(site.browser(), "two", prompt="none evil")


def test_json_all_the_way(site: Any) -> None:
    """A front end of its own could not log anybody in."""
    browser = site.browser()
    started = browser.get("/login/three", headers=JSON)
    assert started.status_code == 200
    done = browser.get(site.consent(started.json["url"]), headers=JSON)
    assert done.json == {"outcome": "signup", "provider": "three", "next": "/profile/three"}
    profile = browser.get("/profile/three", headers=JSON).json
    assert profile["profile"]["email"] == "alice@example.com"
    token = browser.get("/accounts", headers=JSON).json["csrf_token"]
    out = browser.post("/logout", headers={**JSON, "X-CSRF-Token": token})
    assert out.json == {"outcome": "logged_out", "next": "/login?out=1"}
    assert site.who(browser) is None


def test_logging_out_empties_the_session(site: Any) -> None:
    """The next user of the machine would find the last one's session."""
    browser = site.browser()
    site.log_in(browser)
    assert browser.post("/logout").status_code == 400
    response = browser.post("/logout", data={"csrf_token": site.token(browser)})
    assert response.headers["Location"] == "/login?out=1"
    with browser.session_transaction() as session:
        assert not session
    assert "signed out" in browser.get("/login?out=1").text


def test_d11_the_redirect_uri_is_the_external_address(make_site: Callable[..., Any]) -> None:
    """A forged Host header would send codes to an attacker's host."""
    site = make_site(OAUTH_ACCOUNTS_EXTERNAL_URL="https://www.example.com/app")
    response = site.browser().get("/login/two", headers={"Host": "evil.com"})
    assert "redirect_uri=https%3A%2F%2Fwww.example.com%2Fapp%2Fauthorize%2Ftwo" in response.headers["Location"]


@pytest.mark.parametrize("host", ["", "a b", "[::1", "a@b", "x:y", "\\", "a/b"])
def test_d11_a_malformed_host_is_no_server_error(site: Any, host: str) -> None:
    """Anybody could fill the log with server errors."""
    assert site.browser().get("/login/two", headers={"Host": host}).status_code < 500


def test_l22_under_a_prefix(make_site: Callable[..., Any]) -> None:
    """A site that lies under a path could not log anybody in."""
    site = make_site()
    response = site.browser().get("/login/two", environ_overrides={"SCRIPT_NAME": "/sub"})
    assert "%2Fsub%2Fauthorize%2Ftwo" in response.headers["Location"]


def test_a_stranger_is_sent_to_the_sign_in_page_and_back(site: Any) -> None:
    """A stranger would see an error in place of the sign-in page."""
    browser = site.browser()
    response = browser.get("/accounts")
    assert response.status_code == 302
    assert response.headers["Location"] == "/login?next=/accounts"
    answer = browser.get("/accounts", headers=JSON)
    assert (answer.status_code, answer.json["code"]) == (401, "login_required")
    assert "next=/accounts" in browser.get("/login?next=/accounts").text
