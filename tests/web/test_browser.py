"""The pages in a real browser: everybody can use them, and a whole journey works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from flask_oauth_accounts.testing import DevUser

if TYPE_CHECKING:
    from playwright.sync_api import Page

ARTEFACTS = Path(__file__).resolve().parents[1] / "artefacts"
axe = pytest.importorskip("axe_playwright_python.sync_playwright")


@pytest.fixture
def address(site: Any, live_server: Callable[[Any], str]) -> str:
    """The running site."""
    site.provider.add_user(DevUser("twin", "twin", email="alice@example.com", email_verified=True, name="Alice Twin"))
    return live_server(site.app)


def consent(page: Page, user: str, *, allow: bool = True) -> None:
    """Choose a user on the provider's page, and be back."""
    page.locator(f"input[name=user][value={user}]").check()
    provider = urlsplit(page.url).netloc
    page.get_by_role("button", name="Allow" if allow else "Deny").click()
    page.wait_for_url(lambda url: urlsplit(url).netloc != provider)


def log_in(page: Page, address: str, label: str = "Two", user: str = "alice") -> None:
    page.goto(f"{address}/login")
    page.get_by_role("link", name=f"Continue with {label}").click()
    consent(page, user)


def walk_all_pages(page: Page, address: str) -> Iterator[tuple[str, str]]:
    """Go from page to page as a visitor does; yields a name for the picture and the heading of each."""
    page.goto(f"{address}/login")
    yield "login", "Sign in"
    page.get_by_role("link", name="Continue with Two").click()
    consent(page, "alice", allow=False)
    yield "error-denied", "Nothing was changed"
    page.get_by_role("link", name="Try again").click()
    consent(page, "alice")
    yield "profile", "Your Two profile"
    page.goto(f"{address}/login/three")
    yield "confirm", "You are signed in already"
    page.get_by_role("button", name="Connect Three to this account").click()
    consent(page, "bob")
    yield "accounts", "Connected accounts"
    page.get_by_role("button", name="Disconnect Three account").click()
    expect(page.get_by_role("status")).to_contain_text("disconnected")
    yield "accounts-disconnected", "Connected accounts"
    expect(page.get_by_role("button", name="Disconnect")).to_have_count(0)
    # What an older copy of the page, in another tab, would still send.
    leave = page.locator("form[action='/logout']")
    leave.evaluate("(form, path) => { form.action = path; form.submit(); }", "/accounts/1/disconnect")
    page.wait_for_url(f"{address}/accounts/1/disconnect")
    yield "error-last-way", "That is not possible"
    page.goto(f"{address}/accounts")
    page.get_by_role("button", name="Sign out").click()
    yield "signed-out", "Sign in"
    page.get_by_role("link", name="Continue with Three").click()
    consent(page, "twin")
    yield "resolve-stranger", "You may have an account here already"
    page.get_by_role("link", name="Continue with Two").click()
    consent(page, "alice")
    yield "resolve", "Connect Three?"
    page.get_by_role("button", name="Connect", exact=True).click()
    yield "accounts-resolved", "Connected accounts"
    page.goto(f"{address}/login/nope")
    yield "error-unknown", "Not found"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_is_for_everybody(address: str, open_page: Callable[..., Page], scheme: str, width: int) -> None:
    """Somebody with a screen reader, weak eyes or a small telephone could not sign in."""
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 800}, java_script_enabled=True)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if "Content Security" in message.text else None)
    seen = []
    for name, heading in walk_all_pages(page, address):
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        page.wait_for_load_state()
        seen.append(name)
        page.screenshot(path=ARTEFACTS / f"{name}-{scheme}-{width}.png", full_page=True)
        violations = axe.Axe().run(page).response["violations"]
        assert not violations, (name, [(item["id"], item["nodes"][0]["html"]) for item in violations])
        too_wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        assert not too_wide, name
    assert len(seen) == 12
    assert not complaints


def test_a_journey_without_javascript_and_by_keyboard(address: str, open_page: Callable[..., Page], site: Any) -> None:
    """Somebody without a mouse or without JavaScript could not sign in and out."""
    page = open_page(java_script_enabled=False)
    page.goto(f"{address}/login?next=/accounts")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    consent(page, "alice")
    expect(page).to_have_url(f"{address}/accounts")
    page.get_by_role("button", name="Sign out").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("You have signed out.")


def test_l17_back_and_reload(address: str, open_page: Callable[..., Page], site: Any) -> None:
    """Somebody who goes back after signing in would see a server error, or get a second account."""
    page = open_page()
    log_in(page, address)
    page.wait_for_url(f"{address}/profile/two")
    page.go_back()
    page.go_forward()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your Two profile")
    assert site.count("User") == 1


def test_the_look_changes_by_custom_properties_alone(address: str, open_page: Callable[..., Page], site: Any) -> None:
    """An application would have to rewrite the templates to get its own colours."""
    page = open_page()
    page.goto(f"{address}/login")
    before = page.locator(".oa-card").evaluate("card => getComputedStyle(card).backgroundColor")
    page.evaluate("document.documentElement.style.setProperty('--oa-surface', 'rgb(1, 2, 3)')")
    after = page.locator(".oa-card").evaluate("card => getComputedStyle(card).backgroundColor")
    assert (before, after) == ("rgb(255, 255, 255)", "rgb(1, 2, 3)")
