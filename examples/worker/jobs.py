"""What the worker runs. It imports this module by name and calls a function with what was queued."""

from __future__ import annotations

import functools
from typing import Any

from flask import Flask

from flask_oauth_accounts import ReauthorizationRequired, current_oauth


@functools.cache
def get_app() -> Flask:
    """One application for each process of the worker."""
    from . import create_app

    return create_app()


def report(user_id: int) -> dict[str, Any]:
    """Ask the provider for the user's own profile.

    The token is taken from the database and refreshed when it is due: once, however many workers want it.

    :param user_id: the only thing that travels through the queue; a token never does.
    :return: what the page shows.
    """
    with get_app().app_context():
        try:
            response = current_oauth.github.for_user(user_id).get(get_app().config["PROFILE_PATH"])
        except ReauthorizationRequired as error:
            return {"reconnect": error.url}  # only the user can mend this: show the link, or send it by mail
        response.raise_for_status()
        return {"name": response.json()["name"]}
