"""The pages a person sees at the provider. They need no JavaScript and load nothing from elsewhere."""

from __future__ import annotations

import time
import zlib
from typing import Any

from flask import Response, render_template, session

from .journal import note
from .models import DevClient, DevUser
from .state import ProviderState, new_token

_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"


def create_page(template: str, *, status: int = 200, **context: Any) -> Response:
    """:return: a page that is never cached, framed, or named to the next site."""
    response = Response(render_template(template, **context), status)
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def create_error_page(message: str, *, status: int = 400) -> Response:
    """:return: a page for what must not be sent back to a client that nobody can trust."""
    return create_page("error.html", status=status, message=message)


def create_consent_page(
    state: ProviderState, client: DevClient, *, protocol: str, scopes: list[str], hint: str | None, returns_to: str
) -> Response:
    """The page on which a person chooses who to be, and allows or denies.

    :param state: the provider's memory.
    :param client: who asks.
    :param protocol: shown on the page.
    :param scopes: what is asked for.
    :param hint: a user name, subject or e-mail to choose beforehand.
    :param returns_to: the host that the browser goes back to.
    :return: the page; its form posts to the address it came from.
    """
    users = list(state.users.values())
    chosen = next((user for user in users if hint and hint in {user.username, user.subject, user.email}), None)
    return create_page(
        "consent.html",
        client=client,
        protocol=protocol,
        scopes=scopes,
        users=users,
        chosen=chosen or (users[0] if users else None),
        picture_url=state.picture_url,
        returns_to=returns_to,
    )


def sign_in(user: DevUser) -> dict[str, Any]:
    """Remember in the browser who was chosen.

    :return: ``auth_time`` and ``sid`` for the grant.
    """
    session["user"] = user.username
    session["auth_time"] = int(time.time())
    session["sid"] = new_token()[:16]
    note(user=user.username)
    return signed_in()


def signed_in() -> dict[str, Any]:
    """:return: ``auth_time`` and ``sid`` of the browser's session, empty for a stranger."""
    return {key: session[key] for key in ("auth_time", "sid")} if "user" in session else {}


def create_avatar(user: DevUser) -> Response:
    """:return: a drawing of the user's initials on a colour of their own."""
    initials = "".join(part[0] for part in user.display_name.split()[:2]).upper()
    hue = zlib.crc32(user.subject.encode()) % 360
    svg = render_template("avatar.svg", initials=initials, hue=hue)
    return Response(svg, mimetype="image/svg+xml", headers={"Cache-Control": "max-age=3600"})
