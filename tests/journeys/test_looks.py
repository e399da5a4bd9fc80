"""Pages that are rarely seen while developing: no provider at all, forty of them, other languages, other colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from flask_oauth_accounts.providers import list_presets, load_preset

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_no_provider(make_place: Callable[..., Any], visitor: Page, look: Any) -> None:
    """An operator who has set up nothing yet would see an empty page."""

    def remove_all(place: Any) -> None:
        for name in ("photos", "code", "company"):
            place.oauth.unregister(name)

    place = make_place(remove_all)
    visitor.goto(f"{place.url}/login")
    expect(visitor.get_by_role("main")).to_contain_text("No way to sign in has been set up here yet.")
    look(visitor, "login-empty")


def test_forty_providers(make_place: Callable[..., Any], visitor: Page, log_in: Any, look: Any) -> None:
    """Buttons would be unreadable in somebody's colours, or an endless column on a desk."""

    names = [name for name in list_presets() if not load_preset(name).placeholders and name != "oidc"][:37]

    def add_presets(place: Any) -> None:
        for name in names:
            place.oauth.register(f"p-{name}", preset=name, client_id="x", client_secret="y")

    place = make_place(add_presets)
    visitor.goto(f"{place.url}/login")
    expect(visitor.get_by_role("link", name="Continue with")).to_have_count(40)
    look(visitor, "login-forty")
    log_in(visitor, place.url)
    visitor.goto(f"{place.url}/accounts")
    look(visitor, "accounts-forty")


@pytest.mark.parametrize("language", ["de", "fr"])
def test_other_languages(place: Any, open_page: Callable[..., Page], consent: Any, look: Any, language: str) -> None:
    """Longer words would break the layout."""
    page = open_page(locale=language)
    page.goto(f"{place.url}/login")
    expect(page.locator("html")).to_have_attribute("lang", language)
    look(page, f"login-{language}")
    page.locator("a.oa-provider").nth(1).click()
    consent(page)
    look(page, f"profile-{language}")
    page.goto(f"{place.url}/accounts")
    page.locator("summary").click()
    look(page, f"accounts-{language}")
    page.goto(f"{place.url}/authorize/code?state=x")
    look(page, f"error-{language}")


def test_right_to_left(make_place: Callable[..., Any], visitor: Page, consent: Any, look: Any, tmp_path: Path) -> None:
    """A page in Hebrew would have its marks and buttons on the wrong side."""
    from babel.messages.catalog import Catalog
    from babel.messages.mofile import write_mo
    from flask_babel import Babel

    catalogue = Catalog(locale="he")
    catalogue.add("Continue with %(provider)s", "המשך עם %(provider)s")
    catalogue.add("Sign in", "כניסה")
    target = tmp_path / "he" / "LC_MESSAGES" / "oauth_accounts.mo"
    target.parent.mkdir(parents=True)
    with target.open("wb") as file:
        write_mo(file, catalogue)

    def use_hebrew(place: Any) -> None:
        Babel(place.app, default_translation_directories=str(tmp_path), locale_selector=lambda: "he")

    place = make_place(use_hebrew)
    visitor.goto(f"{place.url}/login")
    expect(visitor.locator("html")).to_have_attribute("dir", "rtl")
    button = visitor.locator("a.oa-provider").first
    mark, outer = button.locator(".oa-mark").bounding_box(), button.bounding_box()
    assert mark is not None
    assert outer is not None
    assert mark["x"] > outer["x"] + outer["width"] / 2
    look(visitor, "login-rtl")
    visitor.locator("a.oa-provider").nth(1).click()
    consent(visitor)
    visitor.goto(f"{place.url}/accounts")
    look(visitor, "accounts-rtl")


def test_the_look_by_custom_properties_alone(
    make_place: Callable[..., Any], visitor: Page, look: Any, tmp_path: Path
) -> None:
    """An application would have to copy our stylesheet to have its own colours."""
    folder = tmp_path / "templates" / "oauth_accounts"
    folder.mkdir(parents=True)
    (folder / "theme.css").write_text(":root { --oa-surface: rgb(1, 2, 3); --oa-text: #ffffff; --oa-muted: #dddddd; }")

    def use_theme(place: Any) -> None:
        place.app.jinja_loader.searchpath.insert(0, str(tmp_path / "templates"))

    place = make_place(use_theme)
    visitor.goto(f"{place.url}/login")
    color = visitor.locator(".oa-card").evaluate("card => getComputedStyle(card).backgroundColor")
    assert color == "rgb(1, 2, 3)"
