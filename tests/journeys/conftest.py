"""A running site with a real provider, browsers to visit it with, and a close look at every page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cachelib import SimpleCache
from flask import Flask
from flask_login import LoginManager, UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_oauth_accounts import OAuth, OAuthAccounts, create_blueprint
from flask_oauth_accounts.testing import DevProvider, DevUser

if TYPE_CHECKING:
    from playwright.sync_api import Page

ARTEFACTS = Path(__file__).resolve().parents[1] / "artefacts"
KINDS = {"photos": "oauth1", "code": "oauth2", "company": "oidc"}
LABELS = {"photos": "Photo Album", "code": "Code Forge", "company": "Company"}


class Place(SimpleNamespace):
    """A running site.

    :ivar url: its address.
    """

    url: str
    app: Flask
    provider: DevProvider
    oauth: OAuth
    accounts: OAuthAccounts
    db: SQLAlchemy
    user_model: Any

    def count(self) -> int:
        """How many users there are."""
        with self.app.app_context():
            return int(self.db.session.query(self.user_model).count())

    def expire_tokens(self) -> None:
        """Let every stored access token have run out."""
        with self.app.app_context():
            self.db.session.query(self.accounts.models.OAuth2Token).update({"expires_at": 1})
            self.db.session.commit()


def create_place(provider: DevProvider, database: str, **config: Any) -> Place:
    """Build a site with one client of each protocol."""

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class User(UserMixin, db.Model):  # type: ignore[name-defined,misc]
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None]
        display_name: Mapped[str | None]

    oauth = OAuth(cache=SimpleCache())
    accounts = OAuthAccounts(oauth, db=db, user_model=User)
    for name, kind in KINDS.items():
        oauth.register(name, display_name=LABELS[name], **provider.register_kwargs(kind))
    app = Flask("place")
    app.config.update(SECRET_KEY="test", TESTING=True, SQLALCHEMY_DATABASE_URI=database, **config)
    db.init_app(app)
    LoginManager(app).user_loader(lambda key: db.session.get(User, int(key)))
    accounts.init_app(app)
    app.register_blueprint(create_blueprint())
    with app.app_context():
        db.create_all()
    return Place(app=app, provider=provider, oauth=oauth, accounts=accounts, db=db, user_model=User)


@pytest.fixture
def provider() -> Iterator[DevProvider]:
    """A provider with a second account that has Alice's address."""
    with DevProvider() as running:
        running.add_user(DevUser("twin", "twin", email="alice@example.com", email_verified=True, name="Alice Twin"))
        yield running


@pytest.fixture
def make_place(
    provider: DevProvider, live_server: Callable[[Flask], str], tmp_path: Path
) -> Iterator[Callable[..., Place]]:
    """Start sites; keyword arguments are configuration, ``prepare`` is called with each before it starts."""
    made: list[Place] = []

    def make(prepare: Callable[[Place], Any] | None = None, **config: Any) -> Place:
        place = create_place(provider, f"sqlite:///{tmp_path / f'place{len(made)}.db'}", **config)
        if prepare is not None:
            prepare(place)
        place.url = live_server(place.app)
        made.append(place)
        return place

    yield make
    for place in made:
        with place.app.app_context():
            place.db.engine.dispose()


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    """One running site."""
    return make_place()


@pytest.fixture
def visitor(open_page: Callable[..., Page]) -> Page:
    """A browser that has never been here."""
    return open_page()


@pytest.fixture
def consent(provider: DevProvider) -> Callable[..., None]:
    """Choose a user on the provider's page, and be back."""

    def choose(page: Page, user: str = "alice", *, allow: bool = True) -> None:
        page.locator(f"input[name=user][value={user}]").check()
        page.get_by_role("button", name="Allow" if allow else "Deny").click()
        page.wait_for_url(lambda url: not url.startswith(provider.url))

    return choose


@pytest.fixture
def log_in(consent: Callable[..., None]) -> Callable[..., None]:
    """A whole login from the sign-in page."""

    def run(page: Page, url: str, label: str = "Code Forge", user: str = "alice") -> None:
        page.goto(f"{url}/login")
        page.get_by_role("link", name=f"Continue with {label}").click()
        consent(page, user)

    return run


@pytest.fixture
def look() -> Callable[[Page, str], None]:
    """Look at the page that is open, light and dark, on a telephone and a desk: a picture and axe's judgement."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def look_at(page: Page, name: str) -> None:
        page.wait_for_load_state()
        size = page.viewport_size
        for scheme in ("light", "dark"):
            for width in (320, 1280):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.set_viewport_size({"width": width, "height": 800})
                page.screenshot(path=ARTEFACTS / f"journey-{name}-{scheme}-{width}.png", full_page=True)
                violations = axe.run(page).response["violations"]
                assert not violations, (name, [(item["id"], item["nodes"][0]["html"]) for item in violations])
                wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
                assert not page.evaluate(wide), (name, width)
        if size is not None:
            page.set_viewport_size(size)

    return look_at
