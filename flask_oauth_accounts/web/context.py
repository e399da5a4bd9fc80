"""What the templates and the JSON answers are made of: frozen values, read from clients, users and records."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, render_template, url_for
from flask_login import current_user

from ..errors import ConfigurationError, UnknownProviderError
from ..registry import get_state
from . import csrf
from .brands import create_brand, css_class
from .words import find_page_language, is_right_to_left, make_initials, translate

logger = logging.getLogger(__name__)

STYLESHEET = "oauth_accounts/style.css"


@dataclass(frozen=True)
class ProviderView:
    """A provider as the pages show it.

    :ivar name: of the client in the registry.
    :ivar label: what people call it.
    :ivar initial: the letter on its mark.
    :ivar css_class: carries its colours, see the end of the stylesheet.
    """

    name: str
    label: str
    initial: str
    css_class: str
    login_url: str = ""
    connect_url: str = ""
    connect_api_url: str = ""

    @property
    def login_label(self) -> str:
        """The text of the button that signs in."""
        return translate("Continue with %(provider)s", provider=self.label)

    @property
    def connect_label(self) -> str:
        """The text of the button that connects."""
        return translate("Connect %(provider)s", provider=self.label)

    @property
    def connect_api_label(self) -> str:
        """The text of the button that connects for the API only."""
        return translate("Connect %(provider)s, not for signing in", provider=self.label)


@dataclass(frozen=True)
class PersonView:
    """Somebody as the pages show them; ``avatar_url`` only where the operator lets pictures load from elsewhere."""

    title: str
    initials: str
    avatar_url: str | None = None
    has_name: bool = True

    @property
    def signed_in_text(self) -> str:
        """Who is signed in, as far as the application knows a name."""
        if not self.has_name:
            return translate("You are signed in.")
        return translate("You are signed in as %(person)s.", person=self.title)


@dataclass(frozen=True)
class CsrfView:
    """The hidden field of every form."""

    name: str
    token: str


def find_client(name: str) -> Any:
    """:return: the client of that name.

    :raises UnknownProviderError: if there is none. Only registered names are ever looked up, so that a name from an
        address cannot reach anything else.
    """
    oauth = get_state().oauth
    client = oauth.create_client(name) if name in oauth.list_names() else None
    if client is None:
        raise UnknownProviderError
    return client


def create_provider_view(client: Any, *, next_url: str | None = None) -> ProviderView:
    """:param next_url: travels along in the address that starts a login."""
    label = str(client.display_name or client.name)
    values: dict[str, Any] = {"next": next_url} if next_url else {}
    return ProviderView(
        name=client.name,
        label=label,
        initial=make_initials(label)[:1],
        css_class=css_class(client.name),
        login_url=url_for(".login", name=client.name, **values),
        connect_url=url_for(".connect", name=client.name),
        connect_api_url=url_for(".connect", name=client.name, use="api"),
    )


def describe_provider(name: str) -> ProviderView:
    """:return: the view of a provider that a page speaks of. One that is not registered any more, or is not set up, may
    still have accounts (L14): it has its name and no addresses.
    """
    if name in get_state().oauth.list_names():
        try:
            return create_provider_view(find_client(name))
        except ConfigurationError as error:
            logger.error("%r is not set up: %s", name, error.operator_message)  # noqa: TRY400
    return ProviderView(name=name, label=name, initial=make_initials(name)[:1], css_class=css_class(name))


def list_providers(*, next_url: str | None = None, without: str | None = None) -> list[ProviderView]:
    """:return: every provider that is set up, in the order of registration. One that is not is named in the log.

    :param without: the name of one to leave out.
    """
    views = []
    for name in get_state().oauth.list_names():
        if name == without:
            continue
        try:
            views.append(create_provider_view(find_client(name), next_url=next_url))
        except ConfigurationError as error:
            logger.error("no button for %r: %s", name, error.operator_message)  # noqa: TRY400
    return views


def create_person_view(user: Any) -> PersonView:
    """Read what the user model has to show of itself."""
    title = next(
        (
            text
            for text in (getattr(user, key, None) for key in ("display_name", "name", "username", "email"))
            if isinstance(text, str) and text.strip()
        ),
        None,
    )
    picture = _picture(getattr(user, "avatar_url", None))
    return PersonView(title or "", make_initials(title), picture, has_name=title is not None)


def _picture(address: object) -> str | None:
    return safe_link(address) if get_state().settings.show_avatars else None


def safe_link(address: object) -> str | None:
    """:return: an address from a profile if it is https (http in debug and testing), else ``None`` (F04)."""
    if not isinstance(address, str) or not address.isprintable() or len(address) > 2048:
        return None
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    schemes = ("https", "http") if current_app.debug or current_app.testing else ("https",)
    return address if parts.scheme in schemes and parts.hostname and "@" not in parts.netloc else None


def create_csrf_view() -> CsrfView:
    """:return: name and value of the hidden field; starts a session."""
    return CsrfView(csrf.get_field_name(), csrf.create_token())


def get_person() -> PersonView | None:
    """:return: the user who is logged in, ``None`` for a stranger."""
    return create_person_view(current_user) if current_user.is_authenticated else None


def create_stylesheet() -> tuple[str, str]:
    """:return: the stylesheet with the colours of this application's providers, and a hash of it."""
    brands = [create_brand(view.name, _brand_color(view.name)) for view in list_providers()]
    text = current_app.jinja_env.get_template(STYLESHEET).render(brands=brands)
    return text, hashlib.sha256(text.encode()).hexdigest()[:16]


def _brand_color(name: str) -> str | None:
    color = find_client(name).brand_color
    return color if isinstance(color, str) else None


def create_page_context() -> dict[str, Any]:
    """:return: what every template gets."""
    language = find_page_language()
    return {
        "_": translate,
        "language": language.replace("_", "-"),
        "rtl": is_right_to_left(language),
        "stylesheet_url": url_for(".stylesheet", v=create_stylesheet()[1]),
    }


def render(template: str, **values: Any) -> str:
    """Render one of our templates, or the application's own file of the same name."""
    return render_template(f"oauth_accounts/{template}", **create_page_context(), **values)
