"""Logging out: here, at the provider, and when the provider says so."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, make_response, redirect, request, url_for
from flask_login import current_user

from ..errors import CallbackError, IdTokenError, OAuthError, UnknownProviderError
from ..registry import get_state
from . import csrf, links
from .addresses import create_external_url, read_next, resolve_target
from .context import find_client
from .negotiation import create_json, wants_json
from .sessions import LoginMark, end_session, get_user_id, read_login_mark

logger = logging.getLogger(__name__)


def logout() -> Any:
    """Log out here, and at the provider where ``OAUTH_ACCOUNTS_PROVIDER_LOGOUT`` asks for it and it has a way.

    A stranger has no session to end, and leaves no link behind that waits for a proof.
    """
    target = read_next() or _choose_target()
    if not current_user.is_authenticated:
        links.drop_link()
    else:
        csrf.require_token()
        mark, user_id = read_login_mark(), get_user_id()
        hint = _find_id_token(mark, user_id)
        links.drop_link()
        end_session()
        target = _create_provider_logout(mark, hint) or target
    if wants_json():
        return create_json({"outcome": "logged_out", "next": target})
    return redirect(target, 303)


def logged_out(name: str) -> Any:
    """Where a provider sends the browser after a logout there (OpenID Connect RP-Initiated Logout 1.0 section 3)."""
    client = find_client(name)
    if not client.is_openid:
        raise UnknownProviderError
    if request.method == "HEAD":
        return make_response("")
    client.validate_logout_response()
    return redirect(_choose_target(), 303)


def _choose_target() -> str:
    return resolve_target(get_state().settings.logout_redirect, url_for(".login_page", out=1))


def _wants_provider_logout(mark: LoginMark | None) -> bool:
    state = get_state()
    return bool(state.settings.provider_logout and mark is not None and mark.name in state.oauth.list_names())


def _find_id_token(mark: LoginMark | None, user_id: Any) -> str | None:
    """The ID token of the login, as the hint that spares the visitor a question at the provider."""
    if mark is None or not _wants_provider_logout(mark):
        return None
    try:
        token = find_client(mark.name).for_user(user_id, account=mark.subject).token
    except OAuthError as error:
        logger.info("%s: logging out there without a hint: %s", mark.name, error.code)
        return None
    hint = (token or {}).get("id_token")
    return hint if isinstance(hint, str) else None


def _create_provider_logout(mark: LoginMark | None, hint: str | None) -> str | None:
    """:return: where to send the browser so that it is logged out at the provider, ``None`` where that is not to be."""
    if mark is None or not _wants_provider_logout(mark):
        return None
    client = find_client(mark.name)
    if not client.is_openid:
        return None
    try:
        back = create_external_url(".logged_out", name=mark.name)
        return str(client.start_logout(back, hint))
    except OAuthError as error:
        logger.warning("%s: logged out here only: %s", mark.name, error.operator_message)
        return None


def backchannel_logout(name: str) -> Response:
    """Log sessions out because the provider says so (OpenID Connect Back-Channel Logout 1.0 section 2.5)."""
    client = find_client(name)
    if not client.is_openid:
        raise UnknownProviderError
    try:
        claims = client.validate_logout_token(request.form.get("logout_token", ""))
    except IdTokenError as error:
        # Section 2.8: 400, whatever is wrong with the token.
        raise CallbackError(description=error.description, provider=name) from error
    get_state().accounts.sessions.revoke(name, claims)
    return Response("", 200)
