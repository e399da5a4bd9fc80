"""What an application brings along, made one form: callbacks in their accepted signatures, its user, its cache."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, has_request_context

from .base import TokenCallbacks

AfterRefresh = Callable[[Mapping[str, Any]], None]


def adapt_callbacks(
    name: str,
    arguments: Mapping[str, Any],
    *,
    fetch_token: Callable[[str], Any] | None,
    update_token: Callable[..., Any] | None,
    after_refresh: AfterRefresh,
) -> TokenCallbacks:
    """Choose between a client's own functions and the registry's; the client's win.

    :param name: of the client.
    :param arguments: of ``register``.
    :param fetch_token: the registry's, called with the name.
    :param update_token: the registry's, called with the name and the token.
    :param after_refresh: called with the new token once ``update_token`` has returned.
    """
    fetch = arguments.get("fetch_token")
    if fetch is None and fetch_token is not None:
        fetch = functools.partial(fetch_token, name)
    update = _adapt_update(arguments.get("update_token"), ())
    if update is None:
        update = _adapt_update(update_token, (name,))

    def store(token: Mapping[str, Any], old: Mapping[str, Any]) -> None:
        if update is not None:
            update(token, old)
        after_refresh(token)

    return TokenCallbacks(
        fetch_token=fetch,
        update_token=store,
        save_request_token=arguments.get("save_request_token"),
        fetch_request_token=arguments.get("fetch_request_token"),
    )


def _adapt_update(
    update: Callable[..., Any] | None, leading: tuple[Any, ...]
) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Any] | None:
    """Call ``update_token(token)``, or Authlib's form with ``refresh_token`` and ``access_token``, as it is written."""
    if update is None:
        return None
    wanted = _keywords_of(update)

    def call(token: Mapping[str, Any], old: Mapping[str, Any]) -> Any:
        old_refresh_token = old.get("refresh_token")
        known = {
            "refresh_token": old_refresh_token,
            "access_token": None if old_refresh_token else old.get("access_token"),
        }
        return update(*leading, token, **{key: known[key] for key in wanted})

    return call


def _keywords_of(function: Callable[..., Any]) -> tuple[str, ...]:
    names = ("refresh_token", "access_token")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return names
    keyword_kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name in names if any(item.name == name and item.kind in keyword_kinds for item in parameters))


def find_current_user(app: Flask) -> Any:
    """The user whom Flask-Login knows in this request, ``None`` for a stranger or without Flask-Login."""
    if not has_request_context() or getattr(app, "login_manager", None) is None:
        return None
    from flask_login import current_user

    user = current_user._get_current_object()
    return user if user is not None and user.is_authenticated else None


def find_current_user_id(app: Flask) -> Any:
    """What Flask-Login calls this user: the text of ``get_id()``."""
    user = find_current_user(app)
    return None if user is None else user.get_id()


def find_flask_cache(app: Flask) -> Any:
    """The application's own Flask-Caching, ``None`` where it has none."""
    caches = app.extensions.get("cache")
    return next(iter(caches), None) if isinstance(caches, dict) else None
