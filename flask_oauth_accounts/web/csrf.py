"""One token for every form that changes something: the application's Flask-WTF where it is used, else our own.

The own token is a fresh random number and its HMAC under a secret that lives in the session, so that each page shows
another one and none of them can be made without the session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Any

from flask import Flask, current_app, request, session

from ..errors import CsrfError

SESSION_KEY = "_oauth_accounts_csrf"
FIELD_NAME = "csrf_token"
HEADER_NAMES = ("X-CSRF-Token", "X-CSRFToken")

_NONCE_LENGTH = 32


def create_token() -> str:
    """Make the token for a form or a front end; starts a session where there is none.

    :return: Flask-WTF's token where the application uses ``CSRFProtect``, else a new one of our own.
    """
    if uses_flask_wtf(current_app):
        from flask_wtf.csrf import generate_csrf

        return str(generate_csrf())
    secret = session.get(SESSION_KEY)
    if not isinstance(secret, str):
        secret = session[SESSION_KEY] = secrets.token_urlsafe(32)
    nonce = secrets.token_hex(_NONCE_LENGTH // 2)
    return nonce + _sign(secret, nonce)


def get_field_name() -> str:
    """:return: the name of the form field that carries the token."""
    if uses_flask_wtf(current_app):
        return str(current_app.config.get("WTF_CSRF_FIELD_NAME", FIELD_NAME))
    return FIELD_NAME


def require_token() -> None:
    """Check the token of the current request: in its form, or in the header ``X-CSRF-Token``.

    :raises CsrfError: if it is missing or does not fit the session.
    """
    token = request.form.get(get_field_name()) or next(
        (request.headers[name] for name in HEADER_NAMES if request.headers.get(name)), ""
    )
    if uses_flask_wtf(current_app):
        _require_flask_wtf(token)
    elif not is_valid_token(session.get(SESSION_KEY), token):
        raise CsrfError


def is_valid_token(secret: object, token: str) -> bool:
    """Compare in constant time.

    :param secret: what the session holds; anything but a text is a refusal.
    :param token: what the request brought.
    """
    if not isinstance(secret, str) or not secret or not token.isascii():
        return False
    nonce, signature = token[:_NONCE_LENGTH], token[_NONCE_LENGTH:]
    return hmac.compare_digest(_sign(secret, nonce), signature)


def exempt_from_flask_wtf(view: Callable[..., Any]) -> None:
    """Keep Flask-WTF from a view that other servers post to; it carries proofs of its own.

    Nothing happens where the application does not use ``CSRFProtect``.

    :param view: the view function.
    """
    if uses_flask_wtf(current_app):
        current_app.extensions["csrf"].exempt(view)


def _sign(secret: str, nonce: str) -> str:
    return hmac.new(secret.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def uses_flask_wtf(app: Flask) -> bool:
    """Whether the application has set up Flask-WTF's ``CSRFProtect``, or a class of its own made from it."""
    return any(cls.__module__ == "flask_wtf.csrf" for cls in type(app.extensions.get("csrf")).__mro__)


def _require_flask_wtf(token: str) -> None:
    from flask_wtf.csrf import validate_csrf
    from wtforms.validators import ValidationError  # type: ignore[import-untyped]

    if not current_app.config.get("WTF_CSRF_ENABLED", True):
        return
    try:
        validate_csrf(token)
    except ValidationError as error:
        raise CsrfError from error
