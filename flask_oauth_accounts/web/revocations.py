"""Sessions that a provider has ended from behind (OpenID Connect Back-Channel Logout 1.0 section 2.7).

A session cookie cannot be taken back, so the logout is remembered in the cache that all workers share, and a session
that began with an ID token asks there whenever its user is looked up – once, as long as that provider never ended one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app, request, session
from flask_login import COOKIE_NAME, user_accessed

from ..errors import StorageUnavailable
from ..flow import hash_key
from ..registry import get_state
from .sessions import LOGIN_KEY, LoginMark, read_login_mark

logger = logging.getLogger(__name__)

_MONTH = 31 * 24 * 3600
_REPLAY_WINDOW = 15 * 60


def revoke_sessions(name: str, claims: Mapping[str, Any], *, now: float | None = None) -> None:
    """Remember that sessions are over.

    :param name: of the client.
    :param claims: of a valid logout token: ``sid`` ends one session, ``sub`` alone ends all of that account.
    :param now: seconds since the epoch.
    :raises StorageUnavailable: if it cannot be remembered for all workers.
    """
    moment = int(time.time() if now is None else now)
    sid, subject = claims.get("sid"), claims.get("sub")
    key = _key(name, "sid", str(sid)) if sid else _key(name, "sub", str(subject))
    cache = get_state().cache
    if cache is None:
        raise StorageUnavailable(description="back-channel logout needs a cache that all workers share", provider=name)
    replay = _key(name, "jti", str(claims.get("jti")))
    lifetime = max(_MONTH, int(current_app.permanent_session_lifetime.total_seconds()))
    try:
        if cache.get(replay):
            return
        stored = [cache.set(key, str(moment), lifetime), cache.set(_key(name, "any", ""), str(moment), lifetime)]
        cache.set(replay, "1", _REPLAY_WINDOW)
    except Exception as error:
        raise StorageUnavailable(description=f"the cache failed: {type(error).__name__}", provider=name) from error
    if False in stored:
        raise StorageUnavailable(description="the cache did not store a back-channel logout", provider=name)


def is_revoked(mark: LoginMark) -> bool:
    """Whether a session was ended by its provider. A cache that fails is logged, and the session goes on.

    :param mark: how the session began.
    """
    cache = get_state().cache
    if cache is None or not mark.is_openid:
        return False
    try:
        if not cache.get(_key(mark.name, "any", "")):
            return False
        if mark.sid and cache.get(_key(mark.name, "sid", mark.sid)):
            return True
        moment = cache.get(_key(mark.name, "sub", mark.subject))
    except Exception as error:
        logger.error("whether a session has ended is not known, the cache failed: %s", type(error).__name__)  # noqa: TRY400
        return False
    return bool(moment) and mark.at <= int(moment)


def watch_sessions(app: Flask) -> None:
    """Look whenever Flask-Login looks for the user; pages that do not ask who is there cost nothing.

    :param app: the application.
    """
    user_accessed.connect(_end_revoked_session, app)


def _end_revoked_session(sender: Flask, **_: Any) -> None:
    mark = read_login_mark() if LOGIN_KEY in session else None
    if mark is None or not is_revoked(mark):
        return
    for key in ("_user_id", "_fresh", "_id", LOGIN_KEY):
        session.pop(key, None)
    if current_app.config.get("REMEMBER_COOKIE_NAME", COOKIE_NAME) in request.cookies:
        session["_remember"] = "clear"


def _key(name: str, kind: str, value: str) -> str:
    return f"oauth_accounts-ended-{hash_key(name, kind, value)[:32]}"
