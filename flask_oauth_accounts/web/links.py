"""A link that waits for its proof: kept for this browser, for a few minutes, through the detour of an older login.

It is sealed and bound to the browser. Where the registry has a cache it lies there, and the session holds only the
handle; else it lies in the session, if it is small enough for a cookie.

It is meant for the user who has the e-mail address, and for nobody else who logs in at this browser. It ends when
that user confirms or discards it, when its account is connected in another way, when somebody else logs in, at a
logout, by the next conflict, and by itself after ``OAUTH_ACCOUNTS_FLOW_LIFETIME``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
import time
from typing import Any

from flask import Flask, session
from flask_login import user_logged_in

from ..accounts import PendingLink, Visitor
from ..errors import SealedValueError
from ..flow import hash_key
from ..identity import Identity
from ..registry import get_state
from ..remote_app.flow_stores import browser_id
from ..tokens import TokenDict
from .sessions import LINK_KEY

logger = logging.getLogger(__name__)

_COOKIE_ROOM = 1800
"""Characters that a cookie of 4 kB can spare."""


def watch_logins(app: Flask) -> None:
    """Look whenever somebody logs in, at our pages or at the application's own.

    :param app: the application.
    """
    user_logged_in.connect(_drop_foreign_link, app)


def _drop_foreign_link(sender: Flask, user: Any, **_: Any) -> None:
    """Drop a link that is not for this user. Where that is not known it stays, for it is asked again at the end."""
    try:
        waiting = load_link() if LINK_KEY in session else None
        accounts = get_state().accounts
        if waiting is not None and not accounts.service.may_complete(waiting[0], Visitor(accounts.identify(user))):
            drop_link()
    except Exception as error:
        logger.warning("whether a pending link is for the user who logs in is not known: %s", type(error).__name__)


def keep_link(pending: PendingLink, *, next_url: str | None) -> bool:
    """Remember a link until the visitor has proved an older way in; one that has waited so far gives way.

    :param pending: from :class:`~flask_oauth_accounts.errors.EmailTakenError`.
    :param next_url: where the visitor wanted to go.
    :return: ``False`` if it could not be kept; the visitor can still connect the account after the older login.
    """
    drop_link()
    binding = hash_key(browser_id(session, create=True) or "")
    entry: dict[str, Any] = {"until": int(pending.expires_at), "next": next_url}
    cache = _cache()
    if cache is not None:
        handle = secrets.token_urlsafe(16)
        text = pending.dumps(get_state().keys, binding=binding)
        seconds = max(1, int(pending.expires_at - time.time()))
        try:
            stored = cache.set(_cache_key(handle), text, seconds)
        except Exception as error:
            logger.error("the cache did not keep a pending link: %s", type(error).__name__)  # noqa: TRY400
            return False
        if stored is False:
            return False
        entry["handle"] = handle
    else:
        text = _shrink(pending).dumps(get_state().keys, binding=binding)
        if len(text) > _COOKIE_ROOM:
            return False
        entry["sealed"] = text
    session[LINK_KEY] = entry
    return True


def _shrink(pending: PendingLink) -> PendingLink:
    """Leave out what the next login brings anew: the raw profile, the ID token and its claims."""
    identity = dataclasses.replace(pending.identity, raw={})
    token = {key: value for key, value in pending.token.items() if key not in ("id_token", "userinfo")}
    return dataclasses.replace(pending, identity=identity, token=TokenDict(token))


def is_waiting() -> bool:
    """Whether this browser has a link that waits and has not expired; asks nobody."""
    return _read_entry() is not None


def _read_entry() -> dict[str, Any] | None:
    entry = session.get(LINK_KEY)
    if not isinstance(entry, dict) or not isinstance(entry.get("until"), int) or entry["until"] <= time.time():
        return None
    return entry


def load_link() -> tuple[PendingLink, str | None] | None:
    """:return: the link that waits and where the visitor wanted to go, or ``None``."""
    entry = _read_entry()
    browser = browser_id(session, create=False)
    if entry is None or browser is None:
        return None
    text = entry.get("sealed")
    cache = _cache()
    if text is None and cache is not None:
        text = cache.get(_cache_key(str(entry.get("handle"))))
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str) or not text:
        return None
    try:
        return PendingLink.loads(text, get_state().keys, binding=hash_key(browser)), entry.get("next")
    except (SealedValueError, ValueError):
        return None


def drop_connected(identity: Identity) -> None:
    """Forget the link that waits if it is for this identity, which has just been connected in another way."""
    waiting = load_link() if LINK_KEY in session else None
    if waiting is not None and waiting[0].identity.login_key == identity.login_key:
        drop_link()


def drop_link() -> str | None:
    """Forget the link that waits, or what is left of it.

    :return: where the visitor wanted to go.
    """
    entry = session.pop(LINK_KEY, None) if LINK_KEY in session else None
    if not isinstance(entry, dict):
        return None
    cache = _cache()
    if cache is not None and isinstance(entry.get("handle"), str):
        key = _cache_key(entry["handle"])
        with contextlib.suppress(Exception):  # It is useless without the session's part, and expires.
            cache.delete(key) if hasattr(cache, "delete") else cache.set(key, "", 1)
    return entry.get("next")


def _cache_key(handle: str) -> str:
    return f"oauth_accounts-link-{hash_key(handle)[:32]}"


def _cache() -> Any:
    return get_state().cache
