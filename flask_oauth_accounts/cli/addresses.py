"""The addresses that have to be registered with the providers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import current_app

from ..registry import get_state

ASSUMED_HOST = "127.0.0.1:5000"
"""Where ``flask run`` listens."""


def find_redirect_uri(name: str) -> str | None:
    """The callback's address, as the pages will send it.

    :param name: of the client.
    :return: absolute where ``OAUTH_ACCOUNTS_EXTERNAL_URL`` or ``SERVER_NAME`` says which host, else for
        :data:`ASSUMED_HOST`; ``None`` where no blueprint is registered.
    """
    return _find_address("callback", "authorize", name)


def find_backchannel_logout_uri(name: str) -> str | None:
    """As :func:`find_redirect_uri`, where a provider tells of sessions that have ended there."""
    return _find_address("logout", "backchannel_logout", name)


def find_post_logout_redirect_uri(name: str) -> str | None:
    """As :func:`find_redirect_uri`, where a provider sends the browser after a logout there."""
    return _find_address("logout", "logged_out", name)


def is_host_assumed() -> bool:
    """Whether nothing says which host the application has."""
    return not get_state().settings.external_url and not current_app.config["SERVER_NAME"]


def _find_address(module: str, view_name: str, name: str) -> str | None:
    endpoint = next(
        (key for key, view in current_app.view_functions.items() if _is_view(view, module, view_name)), None
    )
    if endpoint is None:
        return None
    root = (current_app.config["APPLICATION_ROOT"] or "/").rstrip("/")
    adapter = current_app.create_url_adapter(None) or current_app.url_map.bind(ASSUMED_HOST, root or "/")
    address = adapter.build(endpoint, {"name": name}, force_external=True)
    external = get_state().settings.external_url
    if not external:
        return address
    path = urlsplit(address).path
    # The prefix under which the application lies may be part of the address already.
    return external + (path.removeprefix(root) if root and urlsplit(external).path.endswith(root) else path)


def _is_view(view: Any, module: str, name: str) -> bool:
    """By its name, for the command line does not import the pages."""
    place = (getattr(view, "__module__", None), getattr(view, "__name__", None))
    return place == (f"flask_oauth_accounts.web.{module}", name)
