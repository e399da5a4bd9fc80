"""The addresses that have to be registered with the providers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import current_app

from ..registry import get_state


def find_redirect_uri(name: str) -> str | None:
    """The callback's address, as the pages will send it.

    :param name: of the client.
    :return: absolute where ``OAUTH_ACCOUNTS_EXTERNAL_URL`` or ``SERVER_NAME`` says which host, else for
        ``http://localhost:5000``; ``None`` where no blueprint is registered.
    """
    endpoint = next((key for key, view in current_app.view_functions.items() if _is_callback(view)), None)
    if endpoint is None:
        return None
    root = (current_app.config["APPLICATION_ROOT"] or "/").rstrip("/")
    adapter = current_app.create_url_adapter(None) or current_app.url_map.bind("localhost:5000", root or "/")
    address = adapter.build(endpoint, {"name": name}, force_external=True)
    external = get_state().settings.external_url
    if not external:
        return address
    path = urlsplit(address).path
    # The prefix under which the application lies may be part of the address already.
    return external + (path.removeprefix(root) if root and urlsplit(external).path.endswith(root) else path)


def _is_callback(view: Any) -> bool:
    """By its name, for the command line does not import the pages."""
    place = (getattr(view, "__module__", None), getattr(view, "__name__", None))
    return place == ("flask_oauth_accounts.web.callback", "authorize")
