"""Sessions that a provider has ended from behind (OpenID Connect Back-Channel Logout 1.0 section 2.7).

A session cookie cannot be taken back. So a session that began with an ID token asks whether it has ended whenever its
user is looked up; pages that do not ask who is there, and sessions that began otherwise, ask nothing.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, current_app, request, session
from flask_login import COOKIE_NAME, user_accessed, user_logged_out

from ..registry import get_state
from .sessions import LOGIN_KEY, LoginMark, read_login_mark

logger = logging.getLogger(__name__)


def watch_sessions(app: Flask) -> None:
    """Look whenever Flask-Login looks for the user, and forget how a session began when the application ends it.

    :param app: the application.
    """
    user_accessed.connect(_end_revoked_session, app)
    user_logged_out.connect(_forget_mark, app)


def _forget_mark(sender: Flask, **_: Any) -> None:
    """The next session may begin by a password, and then ends by no provider's word."""
    if LOGIN_KEY in session:
        session.pop(LOGIN_KEY)


def _end_revoked_session(sender: Flask, **_: Any) -> None:
    mark = read_login_mark() if LOGIN_KEY in session else None
    if mark is None or not mark.is_openid or not _is_revoked(mark):
        return
    for key in ("_user_id", "_fresh", "_id", LOGIN_KEY):
        session.pop(key, None)
    if current_app.config.get("REMEMBER_COOKIE_NAME", COOKIE_NAME) in request.cookies:
        session["_remember"] = "clear"


def _is_revoked(mark: LoginMark) -> bool:
    """A cache that fails is logged and the session goes on: the application's pages must not depend on it."""
    try:
        return bool(get_state().accounts.sessions.is_revoked(mark.name, mark.subject, mark.sid, mark.at))
    except Exception as error:
        logger.error("whether a session has ended is not known, the cache failed: %s", type(error).__name__)  # noqa: TRY400
        return False
