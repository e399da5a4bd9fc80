"""Whole journeys in a browser, from the first visit to the last."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from flask_oauth_accounts.testing import DevUser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PROVIDERS = pytest.mark.parametrize("label", ["Photo Album", "Code Forge", "Company"])


def heading(page: Page) -> Locator:
    return page.get_by_role("heading", level=1)


def connect(page: Page, url: str, label: str) -> None:
    page.goto(f"{url}/accounts")
    page.get_by_role("button", name=f"Connect {label}", exact=True).click()


@PROVIDERS
def test_first_visit_and_return(place: Any, visitor: Page, log_in: Any, label: str) -> None:
    """Somebody who comes back would start again from nothing."""
    log_in(visitor, place.url, label)
    expect(heading(visitor)).to_have_text(f"Your {label} profile")
    visitor.get_by_role("button", name="Sign out").click()
    expect(visitor.get_by_role("status")).to_have_text("You have signed out.")
    log_in(visitor, place.url, label)
    expect(heading(visitor)).to_have_text(f"Your {label} profile")
    assert place.count() == 1


def test_a_second_provider(place: Any, visitor: Page, log_in: Any, consent: Any, open_page: Any, look: Any) -> None:
    """Whoever loses one account at a provider would lose the account here."""
    log_in(visitor, place.url)
    connect(visitor, place.url, "Company")
    consent(visitor, "bob")
    visitor.wait_for_url(f"{place.url}/accounts")
    expect(visitor.get_by_role("status")).to_have_text("The account is connected.")
    expect(visitor.get_by_role("listitem").filter(has_text="bob@example.com")).to_have_count(1)
    look(visitor, "accounts-two")
    other = open_page()
    log_in(other, place.url, "Company", "bob")
    expect(heading(other)).to_have_text("Your Company profile")
    assert place.count() == 1


def test_an_account_for_its_api_only(place: Any, visitor: Page, log_in: Any, consent: Any, look: Any) -> None:
    """Whoever wants to let us use an account would have to open the door to its owner as well."""
    log_in(visitor, place.url)
    visitor.goto(f"{place.url}/accounts")
    visitor.get_by_text("Connect without signing in with it").click()
    look(visitor, "accounts-api-open")
    visitor.get_by_role("button", name="Connect Photo Album, not for signing in").click()
    consent(visitor, "bob")
    visitor.wait_for_url(f"{place.url}/accounts")
    expect(visitor.get_by_role("status")).to_have_text("The account is connected. It is not a way to sign in.")
    row = visitor.get_by_role("listitem").filter(has_text="not for signing in.").first
    expect(row.get_by_role("button", name="Disconnect Photo Album")).to_have_count(1)
    expect(visitor.get_by_role("button", name="Disconnect Code Forge")).to_have_count(0)
    look(visitor, "accounts-api")


def test_a_taken_address_is_resolved_through_the_older_provider(
    place: Any, visitor: Page, log_in: Any, consent: Any, open_page: Any
) -> None:
    """Somebody with two providers would be locked out of one of them, or out of what they came for."""
    log_in(open_page(), place.url)
    visitor.goto(f"{place.url}/login?next=/accounts%3Fhere=1")
    visitor.get_by_role("link", name="Continue with Company").click()
    consent(visitor, "twin")
    expect(heading(visitor)).to_have_text("You may have an account here already")
    visitor.get_by_role("link", name="Continue with Code Forge").click()
    consent(visitor, "alice")
    expect(heading(visitor)).to_have_text("Connect Company?")
    visitor.get_by_role("button", name="Connect", exact=True).click()
    expect(visitor).to_have_url(f"{place.url}/accounts?here=1")
    assert place.count() == 1


def test_the_last_way_in(place: Any, visitor: Page, log_in: Any, consent: Any, look: Any) -> None:
    """Somebody could lock themselves out by a page that was left open in another tab."""
    log_in(visitor, place.url)
    connect(visitor, place.url, "Company")
    consent(visitor, "bob")
    visitor.wait_for_url(f"{place.url}/accounts")
    stale = visitor.context.new_page()
    stale.goto(f"{place.url}/accounts")
    visitor.get_by_role("button", name="Disconnect Company").click()
    expect(visitor.get_by_role("status")).to_contain_text("has been revoked")
    expect(visitor.get_by_role("button", name="Disconnect")).to_have_count(0)
    expect(visitor.get_by_text("This is your only way to sign in.")).to_have_count(1)
    look(visitor, "accounts-last")
    stale.get_by_role("button", name="Disconnect Code Forge").click()
    expect(heading(stale)).to_have_text("That is not possible")
    stale.get_by_role("link", name="Your connected accounts").click()
    expect(stale.get_by_role("listitem").filter(has_text="alice@example.com")).to_have_count(1)


def test_a_dead_grant_is_reconnected(place: Any, visitor: Page, log_in: Any, consent: Any, look: Any) -> None:
    """What stopped working would stay so for ever, or be repaired with somebody else's account."""
    log_in(visitor, place.url)
    place.provider.revoke_grants("alice")
    place.expire_tokens()
    visitor.goto(f"{place.url}/profile/code")
    expect(heading(visitor)).to_have_text("Please connect again")
    look(visitor, "error-reconnect")
    visitor.goto(f"{place.url}/accounts")
    expect(visitor.get_by_role("main")).to_contain_text("Code Forge stopped accepting our access just now.")
    look(visitor, "accounts-dead")
    visitor.get_by_role("link", name="Reconnect Code Forge account").click()
    consent(visitor, "bob")
    expect(visitor.get_by_role("main")).to_contain_text("another account than the one to reconnect")
    look(visitor, "error-other-account")
    visitor.get_by_role("link", name="Your connected accounts").click()
    visitor.get_by_role("link", name="Reconnect Code Forge account").click()
    consent(visitor, "alice")
    visitor.wait_for_url(f"{place.url}/accounts")
    expect(visitor.get_by_role("status")).to_have_text("The account is connected again.")
    expect(visitor.get_by_role("main")).to_contain_text("Connected and working.")
    assert place.count() == 1


@PROVIDERS
def test_deny_and_try_again(place: Any, visitor: Page, consent: Any, label: str) -> None:
    """Whoever changes their mind would be stuck on an error page."""
    visitor.goto(f"{place.url}/login?next=/accounts")
    visitor.get_by_role("link", name=f"Continue with {label}").click()
    consent(visitor, allow=False)
    expect(heading(visitor)).to_have_text("Nothing was changed")
    assert place.count() == 0
    visitor.get_by_role("link", name="Try again").click()
    consent(visitor)
    expect(heading(visitor)).to_have_text(f"Your {label} profile")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_five_tabs_in_any_order(place: Any, visitor: Page, consent: Any, seed: int) -> None:
    """Opening the sign-in page twice would break both."""
    labels = ["Code Forge", "Company", "Photo Album", "Code Forge", "Company"]
    tabs = [visitor, *(visitor.context.new_page() for _ in range(4))]
    for tab, label in zip(tabs, labels, strict=True):
        tab.goto(f"{place.url}/login?next=/accounts?tab={label[:2]}")
        tab.get_by_role("link", name=f"Continue with {label}").click()
        tab.get_by_role("button", name="Allow").wait_for()
    random.Random(seed).shuffle(tabs)
    users = {"Code Forge": "alice", "Company": "bob", "Photo Album": "carol"}
    finished = 0
    for tab in tabs:
        label = next(label for label in users if _is_for(tab, label))
        consent(tab, users[label])
        tab.wait_for_url(f"{place.url}/accounts?tab=*")
        expect(heading(tab)).to_have_text("Connected accounts")
        finished += 1
    assert finished == 5
    assert place.count() == 3


def _is_for(tab: Page, label: str) -> bool:
    kinds = {"Photo Album": "/oauth1/", "Company": "openid", "Code Forge": "scope=profile"}
    return kinds[label] in tab.url


def test_back_reload_and_the_callback_once_more(place: Any, visitor: Page, log_in: Any, look: Any) -> None:
    """Going back or reloading would sign somebody out, or in twice."""
    seen: list[str] = []
    visitor.on("request", lambda request: seen.append(request.url))
    log_in(visitor, place.url)
    visitor.wait_for_url(f"{place.url}/profile/code")
    callback = next(url for url in seen if "/authorize/code?" in url and url.startswith(place.url))
    visitor.go_back()
    visitor.go_back()
    visitor.go_forward()
    visitor.goto(callback)
    expect(heading(visitor)).to_have_text("Please start again")
    visitor.reload()
    expect(heading(visitor)).to_have_text("Please start again")
    look(visitor, "error-callback-again")
    visitor.get_by_role("link", name="Your connected accounts").click()
    expect(heading(visitor)).to_have_text("Connected accounts")
    assert place.count() == 1


def test_cookies_are_blocked(place: Any, chromium: Browser, consent: Any, look: Any, tmp_path: Path) -> None:
    """Somebody who blocks cookies would go in circles without a word."""
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    preferences = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences))
    context = chromium.browser_type.launch_persistent_context(
        str(profile), executable_path=_find_executable(chromium), args=["--no-sandbox", "--disable-gpu"]
    )
    try:
        page = context.new_page()
        page.goto(f"{place.url}/login")
        page.get_by_role("link", name="Continue with Code Forge").click()
        consent(page)
        expect(heading(page)).to_have_text("Please start again")
        expect(page.get_by_role("main")).to_contain_text("with cookies allowed")
        look(page, "error-no-cookies")
        assert not context.cookies(place.url)
    finally:
        context.close()
    assert place.count() == 0


def _find_executable(chromium: Browser) -> str:
    import os

    return os.environ.get("TEST_CHROMIUM", "/usr/bin/chromium")


def test_the_session_expires_in_the_middle(place: Any, visitor: Page, log_in: Any, consent: Any, look: Any) -> None:
    """Whoever was called to the telephone while signing in would be stuck."""
    visitor.goto(f"{place.url}/login")
    visitor.get_by_role("link", name="Continue with Company").click()
    visitor.context.clear_cookies()
    consent(visitor)
    expect(heading(visitor)).to_have_text("Please start again")
    visitor.get_by_role("link", name="Try again").click()
    consent(visitor)
    expect(heading(visitor)).to_have_text("Your Company profile")
    connect(visitor, place.url, "Code Forge")
    visitor.context.clear_cookies()
    consent(visitor, "bob")
    expect(heading(visitor)).to_have_text("Please start again")
    assert place.count() == 1
    log_in(visitor, place.url, "Company")
    visitor.goto(f"{place.url}/accounts")
    visitor.context.clear_cookies()
    visitor.get_by_role("button", name="Connect Code Forge", exact=True).click()
    expect(heading(visitor)).to_have_text("Sign in")
    look(visitor, "login")


def test_signing_out_at_the_provider_too(make_place: Callable[..., Any], visitor: Page, log_in: Any) -> None:
    """The next visitor of the machine would be signed in by the provider at once."""
    place = make_place(OAUTH_ACCOUNTS_PROVIDER_LOGOUT=True)
    log_in(visitor, place.url, "Company")
    visitor.get_by_role("button", name="Sign out").click()
    expect(visitor).to_have_url(re.compile(re.escape(place.provider.url)))
    visitor.get_by_role("button").first.click()
    visitor.wait_for_url(f"{place.url}/login?out=1")
    expect(visitor.get_by_role("status")).to_have_text("You have signed out.")
    visitor.goto(f"{place.url}/accounts")
    expect(heading(visitor)).to_have_text("Sign in")


def test_signing_out_in_one_tab(place: Any, visitor: Page, log_in: Any) -> None:
    """A page that was left open would show an error instead of the way on."""
    log_in(visitor, place.url)
    other = visitor.context.new_page()
    other.goto(f"{place.url}/accounts")
    visitor.get_by_role("button", name="Sign out").click()
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("status")).to_have_text("You have signed out.")


def test_the_provider_ends_the_session(place: Any, visitor: Page, log_in: Any) -> None:
    """Somebody whom the company has shut out would go on reading."""
    log_in(visitor, place.url, "Company")
    answer = place.provider.send_backchannel_logout("alice", url=f"{place.url}/backchannel-logout/company")
    assert answer.status_code == 200
    visitor.goto(f"{place.url}/accounts")
    expect(heading(visitor)).to_have_text("Sign in")
    log_in(visitor, place.url, "Company")
    expect(heading(visitor)).to_have_text("Your Company profile")
    visitor.goto(f"{place.url}/accounts")
    expect(heading(visitor)).to_have_text("Connected accounts")


def test_names_of_every_length(place: Any, visitor: Page, log_in: Any, look: Any) -> None:
    """A long name would push the buttons off a small screen, and a hostile one turn the page around."""
    long = "Wolfeschlegelsteinhausenbergerdorff" * 3
    place.provider.add_user(
        DevUser("long", "long", email=f"{'x' * 60}@{'y' * 60}.example.com", name=f"{long} \u202eevil")
    )
    log_in(visitor, place.url, "Company", "long")
    look(visitor, "profile-long-name")
    visitor.goto(f"{place.url}/accounts")
    look(visitor, "accounts-long-name")
