"""What our pages and logs show: text from outside is text, and nothing of a login stays behind."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from flask_oauth_accounts.testing import DevUser

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
PAGES = (
    "/login",
    "/login/two",
    "/login/nobody",
    "/authorize/two?code=x",
    "/accounts",
    "/profile/two",
    "/resolve",
    "/logged-out/three",
)


@pytest.mark.parametrize("name", ["two", "three"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_f01_words_of_the_provider(site: Any, browser: Any, name: str, accept: str) -> None:
    """A link to our callback would run a script on our origin."""
    state = site.query_of(site.start(browser, name))["state"]
    issuer = {"iss": site.provider.issuer} if name == "three" else {}
    query = {
        "state": state,
        "error": XSS,
        "error_description": XSS * 50,
        "error_uri": "https://evil.example/x",
        **issuer,
    }
    response = browser.get(f"/authorize/{name}", query_string=query, headers={"Accept": accept})
    assert response.status_code == 403
    assert "<script" not in response.text
    assert "<img" not in response.text
    assert "evil.example" not in response.text
    assert len(response.text) < 5000


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_f02_words_of_strangers(site: Any, browser: Any, accept: str) -> None:
    """An attacker would let our page say whatever they like."""
    site.start(browser, "two")
    for state in ({}, {"state": "x"}, {"state": ""}):
        query = {
            "error": "call-555-1234",
            "error_description": "Call 555-1234",
            "error_uri": "https://evil.example/",
            **state,
        }
        response = browser.get("/authorize/two", query_string=query, headers={"Accept": accept})
        assert response.status_code == 400
        assert "555" not in response.text
        assert "evil" not in response.text
    denied = browser.get("/authorize/one", query_string={"denied": "call-555-1234", "oauth_problem": "555"})
    assert denied.status_code == 400
    assert "555" not in denied.text


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_f03_f04_f10_a_hostile_profile(make_site: Any, name: str) -> None:
    """A user's name or picture would run a script in somebody's browser."""
    site = make_site(OAUTH_ACCOUNTS_SHOW_AVATARS=True)
    claims = {
        "name": XSS,
        "preferred_username": XSS,
        "login": XSS,
        "email": f"{XSS.replace(' ', '')}@example.com",
        "picture": "javascript:alert(1)",
        "profile": "javascript:alert(1)",
        "html_url": "data:text/html,x",
    }
    site.provider.add_user(DevUser("x-1", "hostile", claims=claims))
    browser = site.browser()
    site.log_in(browser, name, "hostile")
    for path in ("/accounts", f"/profile/{name}", "/login", f"/login/{name}"):
        page = browser.get(path)
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "<img src=x" not in page.text
        assert "javascript:" not in page.text
        assert "data:text" not in page.text
        answer = browser.get(path, headers=site.JSON)
        assert "<script" not in answer.text or answer.content_type.startswith("application/json")
        assert "javascript:" not in answer.text
    assert "javascript:" not in json.dumps([row["avatar_url"] for row in site.rows("oauth_identity")])


ODD_PICTURES: list[Any] = [
    "http://x.example/p.png",
    "//x.example/p",
    "https://u:p@x.example/",
    'https://x.example/" onload="x',
    "ftp://x",
    "JAVASCRIPT:x",
    " javascript:x",
    "https://",
    5,
    ["x"],
    "https://x.example/" + "a" * 9000,
]


def test_f04_pictures(make_site: Any) -> None:
    """An address from a profile would become a script, or a plain request that tells who looks."""
    site = make_site(OAUTH_ACCOUNTS_SHOW_AVATARS=True)
    for picture in ODD_PICTURES:
        site.provider.add_user(DevUser("x-1", "odd", claims={"picture": picture}))
        browser = site.browser()
        site.log_in(browser, "three", "odd")
        page = browser.get("/profile/three").text
        assert "<img" not in page or "http://x.example/p.png" in page
        assert "onload" not in page


ODD_NAMES: list[Any] = [
    "<script>alert(1)</script>",
    "%3Cscript%3E",
    "x" * 3000,
    "%00",
    "%F0%9F%98%80",
    "..",
    "__class__",
    "cache",
    "%0d%0ax",
]


def test_f05_a_provider_that_is_not_there(site: Any, browser: Any) -> None:
    """A made-up name would come back as part of the page."""
    site.log_in(browser, "two")
    csrf = {"csrf_token": site.csrf(browser)}
    for name in ODD_NAMES:
        for page in ("login", "authorize", "profile", "connect", "backchannel-logout", "logged-out", "reconnect"):
            for accept in ("text/html", "application/json"):
                headers = {"Accept": accept}
                method = browser.post if page in ("connect", "backchannel-logout") else browser.get
                response = method(
                    f"/{page}/{name}", headers=headers, **({"data": csrf} if method == browser.post else {})
                )
                assert response.status_code in (404, 308)
                assert "script" not in response.text
                assert "xxxxx" not in response.text


def test_f06_one_event_is_one_line(site: Any, browser: Any, debug_log: pytest.LogCaptureFixture) -> None:
    """An attacker would write lines into the log that look like ours."""
    callback = site.callback(browser, "two")
    forged = "x\r\nINFO:root:admin logged in\x1b[2J\u2028"
    browser.get(site.change(callback, error=forged, error_description=forged, code=None))
    site.provider.fail("/oauth2/token", 400, {"error": forged, "error_description": forged})
    browser.get(site.callback(browser, "two"))
    browser.get(f"/authorize/two?state={'x' * 50}%0d%0aINFO:root:admin")
    browser.get("/login/x%0d%0aINFO:root:admin")
    ours = [record.getMessage() for record in debug_log.records if record.name.startswith("flask_oauth_accounts")]
    assert ours
    assert all(line.replace("\n  File", "").isprintable() for line in ours)


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_f07_f08_f09_f10_f11_headers_of_every_page(site: Any, browser: Any, accept: str) -> None:
    """A proxy, a frame, another tab or the history would keep what a login leaves behind."""
    user = site.browser()
    site.log_in(user, "two")
    callback = site.callback(site.browser(), "three")
    for who in (browser, user):
        for path in (*PAGES, callback):
            response = who.get(path, headers={"Accept": accept})
            headers = response.headers
            assert "no-store" in headers["Cache-Control"], path
            assert "Cookie" in headers["Vary"], path
            assert headers["Referrer-Policy"] == "no-referrer", path
            assert headers["X-Frame-Options"] == "DENY", path
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
            assert "unsafe-inline" not in headers["Content-Security-Policy"], path
            assert not re.search(r"<script|<style|\sstyle=|\son\w+=", response.text), path
            assert response.status_code == 302 or not re.search(r'(?:src|href)="(?!/)', response.text), path


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_f07_a_callback_leaves_its_address(site: Any, browser: Any, name: str) -> None:
    """The code would stay in the history and go along as Referer."""
    location = site.assert_on_site(site.log_in(browser, name))
    assert "?" not in location
    refused = site.browser().get(site.callback(site.browser(), name))
    assert "code=" not in refused.text
    assert "oauth_verifier" not in refused.text


def test_f09_the_session_is_never_shared(site: Any, browser: Any) -> None:
    """A cache between us and the visitors would hand out somebody's session."""
    site.log_in(browser, "two")
    for path in PAGES:
        response = browser.get(path)
        if response.headers.get("Set-Cookie"):
            assert "no-store" in response.headers["Cache-Control"]
    style = browser.get("/oauth-accounts.css")
    assert "Set-Cookie" not in style.headers


def test_f06_the_log_names_no_secret_on_failure(site: Any, browser: Any, debug_log: pytest.LogCaptureFixture) -> None:
    """The log of a failed login would hold its code."""
    for name in ("one", "two", "three"):
        callback = site.callback(browser, name)
        site.provider.fail("/token" if name != "one" else "/access_token", 400, {"error": "invalid_grant"})
        site.keep(browser.get(callback))
    assert logging.getLogger().level <= logging.DEBUG
    assert not site.find_leaks(browser, log=debug_log.text)
