"""``examples/existing_app`` in a browser: its own look, and its own login beside the providers."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask_migrate import upgrade
from playwright.sync_api import expect

from flask_oauth_accounts.testing import DevProvider, DevUser

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a long password"


@pytest.fixture
def orchard(
    provider: DevProvider,
    live_server: Callable[[Flask], str],
    tmp_path: Path,
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """The running example, with a user who was there before."""
    monkeypatch.syspath_prepend(str(ROOT))
    before = set(sys.modules)
    example = importlib.import_module("examples.existing_app")
    provider.add_user(DevUser("dora", "dora", email="dora@example.com", email_verified=True, name="Dora"))
    config: dict[str, Any] = {
        "TESTING": True,
        "SECRET_KEY": "for this test",
        "SQLALCHEMY_DATABASE_URI": sqlite_url,
        "CACHE_DIR": str(tmp_path / "cache"),
        **provider.oidc_config("company"),
        **provider.oauth2_config("github"),
    }
    app = example.create_app(config)
    with app.app_context():
        upgrade()
        user = example.models.User(email="dora@example.com", email_verified=True, name="Dora")
        user.set_password(PASSWORD)
        example.db.session.add(user)
        example.db.session.commit()
    yield SimpleNamespace(url=live_server(app), app=app, example=example)
    with app.app_context():
        example.db.engine.dispose()
    for name in set(sys.modules) - before:
        if name.startswith("examples"):
            del sys.modules[name]


def sign_in(page: Page) -> None:
    page.get_by_label("E-mail").fill("dora@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()


def test_a_taken_address_is_proved_by_password(orchard: Any, visitor: Page, consent: Any, look: Any) -> None:
    """Users who have a password could not add the company's login, or anybody with their address could."""
    visitor.goto(f"{orchard.url}/auth/login")
    look(visitor, "orchard-login")
    visitor.get_by_role("link", name="Continue with").filter(has_text="ompany").click()
    consent(visitor, "dora")
    expect(visitor.get_by_role("heading", level=1)).to_have_text("You may have an account here already")
    look(visitor, "orchard-resolve-stranger")
    visitor.get_by_role("link", name="Sign in another way").click()
    look(visitor, "orchard-own-login")
    sign_in(visitor)
    expect(visitor.get_by_role("main")).to_contain_text("so that you can sign in with it from now on?")
    look(visitor, "orchard-resolve")
    visitor.get_by_role("button", name="Connect", exact=True).click()
    visitor.goto(f"{orchard.url}/auth/accounts")
    expect(visitor.get_by_role("status")).to_have_text("The account is connected.")
    look(visitor, "orchard-accounts")
    # A password is one more way in, so the only provider may go.
    visitor.get_by_role("button", name="Disconnect").click()
    expect(visitor.get_by_role("main").get_by_text("No account is connected yet.")).to_have_count(1)
    look(visitor, "orchard-accounts-empty")


def test_without_a_password_the_last_provider_stays(orchard: Any, visitor: Page, consent: Any, look: Any) -> None:
    """Whoever has no password could lock themselves out."""
    visitor.goto(f"{orchard.url}/auth/login")
    visitor.get_by_role("link", name="Continue with").filter(has_text="ompany").click()
    consent(visitor, "bob")
    expect(visitor).to_have_url(f"{orchard.url}/")
    look(visitor, "orchard-home")
    visitor.get_by_role("link", name="Accounts").click()
    expect(visitor.get_by_role("button", name="Disconnect")).to_have_count(0)
    expect(visitor.get_by_text("This is your only way to sign in.")).to_have_count(1)
    look(visitor, "orchard-accounts-last")


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_own_login_leads_nowhere_else(orchard: Any, visitor: Page, target: str) -> None:
    """The example would teach its readers an open redirect."""
    from urllib.parse import quote

    visitor.goto(f"{orchard.url}/sign-in?next={quote(target)}")
    sign_in(visitor)
    visitor.wait_for_url(f"{orchard.url}/")
