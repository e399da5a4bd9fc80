"""The provider's pages, in a browser and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import expect

from flask_oauth_accounts.testing import DevProvider, DevUser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<script>alert(1)</script>\"'><img src=x>"


def create_url(provider: DevProvider, **params: str) -> str:
    """An authorization request that comes back to the provider's own start page."""
    values = {"response_type": "code", "client_id": "dev-client", "redirect_uri": f"{provider.url}/?back=1"}
    return f"{provider.url}/oauth2/authorize?{urlencode({**values, 'scope': 'openid profile email', **params})}"


def test_everything_is_escaped() -> None:
    """A name, a scope or a state with markup in it would run in the developer's browser."""
    with DevProvider(users=[DevUser("1", EVIL, EVIL, email_verified=False, name=EVIL)]) as provider:
        provider.add_client("evil", name=EVIL, any_loopback_redirect=True)
        for response_mode in ("query", "form_post"):
            url = create_url(provider, client_id="evil", scope=EVIL, state=EVIL, response_mode=response_mode)
            pages = [requests.get(url, timeout=10).text]
            form = {"user": EVIL, "decision": "allow"}
            pages.append(requests.post(url, data=form, allow_redirects=False, timeout=10).text)
            for page in pages:
                assert "<script>alert" not in page
                assert "<img src=x" not in page
        index = requests.get(provider.url, timeout=10).text
        assert "<script>alert" not in index


@pytest.mark.parametrize("path", ["/", "/logout", "/oauth2/authorize", "/oauth1/authorize?oauth_token=x"])
def test_headers(oauth_provider: DevProvider, path: str) -> None:
    """A page with a code in its address would be framed, cached or named to the next site."""
    headers = requests.get(oauth_provider.url + path, timeout=10).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_pages_have_no_inline_code(oauth_provider: DevProvider) -> None:
    """The pages would break under their own policy."""
    for url in (create_url(oauth_provider), oauth_provider.url, f"{oauth_provider.url}/logout"):
        page = requests.get(url, timeout=10).text
        assert "<script" not in page
        assert "style=" not in page
        assert "<style" not in page


def test_unknown_user_is_refused(oauth_provider: DevProvider) -> None:
    """A mistyped user name in a test would log in somebody else."""
    answer = requests.post(create_url(oauth_provider), data={"user": "mallory", "decision": "allow"}, timeout=10)
    assert answer.status_code == 400
    with pytest.raises(RuntimeError, match="alice, bob, carol"):
        oauth_provider.authorize(create_url(oauth_provider), "mallory")


def test_choosing_a_person_in_a_browser(oauth_provider: DevProvider, page: Page) -> None:
    """Somebody who tries the demo could not log in."""
    page.goto(create_url(oauth_provider))
    page.get_by_label("Bob Builder").check()
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url("**/?back=1&code=*")
    assert oauth_provider.requests("/oauth2/authorize", method="POST")[0].user == "bob"
    page.goto(create_url(oauth_provider))
    expect(page.get_by_label("Bob Builder")).to_be_checked()
    page.get_by_role("button", name="Deny").click()
    page.wait_for_url("**/?back=1&error=access_denied*")


def test_choosing_by_keyboard(oauth_provider: DevProvider, page: Page) -> None:
    """Somebody without a mouse could not log in."""
    page.goto(create_url(oauth_provider))
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?back=1&code=*")
    assert oauth_provider.requests("/oauth2/authorize", method="POST")[0].user == "carol"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessible_at_320_pixels(
    oauth_provider: DevProvider, chromium: Browser, scheme: Literal["light", "dark"]
) -> None:
    """Somebody with a small screen, a screen reader or a dark desktop could not use the pages."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    urls = [
        create_url(oauth_provider),
        create_url(oauth_provider, redirect_uri="https://elsewhere.example/"),
        oauth_provider.url,
        f"{oauth_provider.url}/logout",
    ]
    context = chromium.new_context(color_scheme=scheme, viewport={"width": 320, "height": 640})
    try:
        for url in urls:
            page = context.new_page()
            page.goto(url)
            results = axe.run(page)
            assert results.violations_count == 0, results.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
    finally:
        context.close()
