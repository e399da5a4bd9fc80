"""Headers and the pages themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_wtf.csrf import CSRFProtect

from flask_oauth_accounts.web.context import safe_link

JSON = {"Accept": "application/json"}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "json.md"


@pytest.mark.parametrize("path", ["/login", "/login/two", "/login/nope", "/authorize/two", "/accounts", "/profile/two"])
def test_f07_to_f11_headers(site: Any, path: str) -> None:
    """A code would be kept in a cache or sent to another site; a page could be framed."""
    response = site.browser().get(path)
    headers = response.headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Cookie" in headers["Vary"]


def test_the_application_s_own_policy_wins(site: Any) -> None:
    """An application could not send its own policy with our pages."""

    @site.app.after_request
    def set_policy(response: Any) -> Any:
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        return response

    assert site.browser().get("/login").headers["Content-Security-Policy"] == "default-src 'none'"


def test_an_anonymous_sign_in_page_sets_no_cookie(site: Any) -> None:
    """Every visitor would get a cookie for having seen the page."""
    response = site.browser().get("/login")
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert response.text.count("oa-provider") == 3


def test_f11_pages_have_no_inline_style_or_script(site: Any) -> None:
    """Our pages would not work under a strict policy."""
    browser = site.browser()
    pages = [browser.get(path).text for path in ("/login", "/login/nope")]
    site.log_in(browser)
    pages += [browser.get(path).text for path in ("/login", "/login/two", "/profile/two", "/accounts")]
    for page in pages:
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", page)
        assert not re.search(r'(src|href)="(https?:)?//', page.replace(site.provider.url, ""))


def test_the_stylesheet_is_cached_and_changes_its_address(site: Any) -> None:
    """Each page view would load the stylesheet anew, or a changed one would never be seen."""
    browser = site.browser()
    address = re.search(r'href="(/oauth-accounts\.css\?v=[0-9a-f]+)"', browser.get("/login").text)
    assert address
    response = browser.get(address[1])
    assert response.mimetype == "text/css"
    assert "immutable" in response.headers["Cache-Control"]
    assert "Set-Cookie" not in response.headers
    assert ".oa-brand-two {" in response.text
    assert "no-cache" in browser.get("/oauth-accounts.css").headers["Cache-Control"]
    again = browser.get("/oauth-accounts.css", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


ALLOWED = {
    "/login": "GET, HEAD, OPTIONS",
    "/login/two": "GET, HEAD, OPTIONS, POST",
    "/authorize/two": "GET, HEAD, OPTIONS, POST",
    "/profile/two": "GET, HEAD, OPTIONS",
    "/accounts": "GET, HEAD, OPTIONS",
    "/connect/two": "OPTIONS, POST",
    "/reconnect/1": "GET, HEAD, OPTIONS",
    "/resolve": "GET, HEAD, OPTIONS, POST",
    "/accounts/1/disconnect": "OPTIONS, POST",
    "/logout": "OPTIONS, POST",
    "/backchannel-logout/three": "OPTIONS, POST",
    "/oauth-accounts.css": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize("flask_wtf", [False, True])
@pytest.mark.parametrize("path", ALLOWED)
def test_wrong_methods(site: Any, path: str, flask_wtf: bool) -> None:
    """A link could log somebody out or connect an account, and a front end would get pages that it cannot read."""
    if flask_wtf:
        CSRFProtect(site.app)
    browser = site.browser()
    options = browser.options(path)
    assert (options.status_code, options.headers["Allow"], options.data) == (200, ALLOWED[path], b"")
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(ALLOWED[path].split(", ")):
        page = browser.open(path, method=method)
        assert (page.status_code, page.headers["Allow"]) == (405, ALLOWED[path])
        assert "<h1>" in page.text
        assert page.headers["Cache-Control"] == "no-store"
        assert "Content-Security-Policy" in page.headers
        problem = browser.open(path, method=method, headers=JSON)
        assert (problem.status_code, problem.headers["Allow"]) == (405, ALLOWED[path])
        assert problem.content_type == "application/problem+json"


def test_an_application_overrides_a_template(site: Any, tmp_path: Path) -> None:
    """An application could not give the pages its own look."""
    folder = tmp_path / "templates" / "oauth_accounts"
    folder.mkdir(parents=True)
    (folder / "base.html").write_text("<p>ours</p>{% block content %}{% endblock %}")
    site.app.jinja_loader.searchpath.insert(0, str(tmp_path / "templates"))
    text = site.browser().get("/login").text
    assert text.startswith("<p>ours</p>")
    assert "Continue with" in text


def test_three_macros_are_enough(site: Any, tmp_path: Path) -> None:
    """An application that restyles the three pieces it knows of would get server errors from the others."""
    folder = tmp_path / "templates" / "oauth_accounts"
    folder.mkdir(parents=True)
    (folder / "_macros.html").write_text(
        "{% macro provider_button(provider, label, url, csrf=none, next_url=none) %}<b>{{ label }}</b>{% endmacro %}"
        "{% macro account(account, csrf, words) %}<li>{{ account.title }}</li>{% endmacro %}"
        "{% macro notice(kind, text) %}<p>{{ text }}</p>{% endmacro %}"
    )
    site.app.jinja_loader.searchpath.insert(0, str(tmp_path / "templates"))
    browser = site.browser()
    pages = [browser.get("/login"), browser.get("/authorize/two?state=x")]
    site.log_in(browser)
    pages += [browser.get(path) for path in ("/login", "/login/two", "/profile/two", "/accounts")]
    assert [page.status_code for page in pages] == [200, 400, 200, 200, 200, 200]
    assert "<b>Continue with Two</b>" in pages[0].text
    assert all('name="csrf_token"' in page.text for page in pages[-2:])


def test_f03_f04_profiles_are_text(site: Any, make_site: Callable[..., Any]) -> None:
    """A profile at the provider could run a script on our pages."""
    hostile = '"><script>alert(1)</script>'
    site.provider.next_userinfo(name=hostile, picture="javascript:alert(1)", profile="javascript:alert(1)", times=None)
    for current in (site, make_site(OAUTH_ACCOUNTS_SHOW_AVATARS=True)):
        browser = current.browser()
        current.log_in(browser, "two")
        for path in ("/profile/two", "/accounts", "/login", "/login/two"):
            text = browser.get(path).text
            assert "<script" not in text
            assert "javascript:" not in text
        assert browser.get("/profile/two", headers=JSON).json["profile"]["avatar_url"] is None


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://pictures.example.com/a.png", True),
        ("http://pictures.example.com/a.png", False),
        ("javascript:alert(1)", False),
        ("data:image/png;base64,AA", False),
        ("//pictures.example.com/a.png", False),
        ("https://user@pictures.example.com/", False),
        ("https://[::1", False),
        ("https:///a.png", False),
        ("https://a.example/\n", False),
        ("https://a.example/" + "x" * 3000, False),
        (None, False),
        (5, False),
    ],
)
def test_f04_addresses_from_profiles(address: Any, kept: bool) -> None:
    """A link or picture of a profile could run a script or read a local file."""
    with Flask(__name__).app_context():
        assert safe_link(address) == (address if kept else None)


def test_pictures_come_only_where_the_operator_wants_them(site: Any, make_site: Callable[..., Any]) -> None:
    """Each page view would tell the provider who looks at what."""
    site.provider.next_userinfo(picture="https://pictures.example.com/alice.png", times=None)
    browser = site.browser()
    site.log_in(browser)
    page = browser.get("/profile/two")
    assert "<img" not in page.text
    assert "https:" not in page.headers["Content-Security-Policy"]
    shown = make_site(OAUTH_ACCOUNTS_SHOW_AVATARS=True)
    browser = shown.browser()
    shown.log_in(browser)
    page = browser.get("/profile/two")
    assert 'src="https://pictures.example.com/alice.png"' in page.text
    assert "img-src 'self' https:" in page.headers["Content-Security-Policy"]


def list_keys(value: Any) -> Any:
    """The shape of an answer: keys, and the shape of what is in a list."""
    if isinstance(value, dict):
        return {key: list_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [list_keys(value[0])] if value else []
    return None


def read_documented(name: str) -> Any:
    block = re.search(rf"<!-- answer: {name} -->\n```json\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert block, name
    return list_keys(json.loads(block[1]))


def test_the_documented_json_is_the_real_one(site: Any) -> None:
    """A front end written by the documentation would not work."""
    browser = site.browser()
    get = lambda path: list_keys(browser.get(path, headers=JSON).json)  # noqa: E731
    assert get("/login") == read_documented("login_page")
    assert get("/login/two") == read_documented("login")
    assert get("/authorize/two?state=x") == read_documented("problem")
    callback = site.consent(browser.get("/login/two", headers=JSON).json["url"])
    assert get(callback) == read_documented("authorize")
    assert get("/login/two") == read_documented("confirm")
    assert get("/accounts") == read_documented("accounts")
    assert get("/profile/two") == read_documented("profile")
    headers = {**JSON, "X-CSRF-Token": site.token(browser)}
    site.connect(browser, "one", "bob")
    number = browser.get("/accounts", headers=JSON).json["accounts"][0]["id"]
    removed = browser.post(f"/accounts/{number}/disconnect", headers=headers).json
    assert list_keys(removed) == read_documented("disconnect")
    assert list_keys(browser.post("/logout", headers=headers).json) == read_documented("logout")
