"""``token_required``: a view that needs the provider's consent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from flask import current_app, redirect, request, url_for

from ..errors import (
    InsufficientScopeError,
    MissingTokenError,
    OAuthError,
    ReauthorizationRequired,
    UnknownProviderError,
)
from ..registry import get_state
from ..remote_app.adapters import find_current_user
from ..tokens import StoredToken, parse_scope
from ..web.negotiation import create_problem, wants_json
from ..web.starts import login_page
from .wiring import reconnect_url

_READ_METHODS = ("GET", "HEAD")


def token_required(name: str, scopes: Iterable[str] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a view run only when the current user's token for a provider is there, alive and wide enough.

    A browser is sent to log in or to consent and then comes back; a client that asks for JSON gets a problem document:
    401 where nobody is logged in, no token is stored or the grant is dead, 403 where scopes are missing, with the
    address to send the user to as ``url``. Consent is asked for the union of what was granted and what is needed.

    :param name: of the client.
    :param scopes: that the view needs.
    :return: the decorator.
    """
    needed = frozenset(scopes)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            refusal = _check(name, needed)
            if refusal is not None:
                return refusal
            try:
                return current_app.ensure_sync(view)(*args, **kwargs)
            except ReauthorizationRequired as error:
                if error.provider != name:
                    raise
                return _send_to(error.url, error)

        return guarded

    return decorate


def _check(name: str, needed: frozenset[str]) -> Any:
    state = get_state()
    app = state.app
    client = state.oauth.create_client(name)
    if client is None:
        raise UnknownProviderError(description=f"token_required({name!r}): no such client")
    user = find_current_user(app)
    if user is None:
        return _send_to(_login_url(), MissingTokenError(description="nobody is logged in", provider=name))
    accounts = state.accounts
    user_id = accounts.identify(user)
    stored: StoredToken | None = accounts.vault.load(user_id, name, protocol=client.protocol)
    if stored is None:
        error: OAuthError = MissingTokenError(provider=name)
    elif stored.unreadable or stored.status != "active":
        error = ReauthorizationRequired(provider=name)
    elif needed and stored.scope is not None and not needed <= parse_scope(stored.scope):
        error = InsufficientScopeError(provider=name)
    elif needed and stored.scope is None and not needed <= parse_scope(stored.requested_scope):
        # RFC 6749 section 5.1: a scope that is left out is the one that was asked for.
        error = InsufficientScopeError(provider=name)
    else:
        client.remember_stored(stored)
        return None
    return _send_to(_consent_url(name, stored, user_id, needed), error)


def _consent_url(name: str, stored: StoredToken | None, user_id: Any, needed: frozenset[str]) -> str | None:
    accounts = get_state().accounts
    target = str((stored.identity_id if stored is not None else None) or name)
    query = {"next": request.full_path.rstrip("?")} if request.method in _READ_METHODS else {}
    if needed:
        query["scope"] = accounts.seal(" ".join(sorted(needed)), f"consent:{user_id}:{target}")
    return reconnect_url(get_state().app, target, **query)


def _login_url() -> str | None:
    endpoint = next((name for name, view in current_app.view_functions.items() if view is login_page), None)
    login_view = getattr(current_app.login_manager, "login_view", None)  # type: ignore[attr-defined]
    query: dict[str, Any] = {"next": request.full_path.rstrip("?")} if request.method in _READ_METHODS else {}
    chosen = login_view or endpoint
    return url_for(chosen, **query) if chosen else None


def _send_to(url: str | None, error: OAuthError) -> Any:
    if url is None or wants_json():
        return create_problem(error, status=error.status, url=url)
    return redirect(url)
