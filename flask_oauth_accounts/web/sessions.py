"""The browser's session: begun afresh at a login, emptied at a logout.

Nothing that stood in the session before a login survives it, but for what finishes other tabs' logins, a link that
waits for its proof, and the keys of ``OAUTH_ACCOUNTS_SESSION_KEEP``. A session that an attacker has prepared can still
bring a link along, to be connected to whoever has its e-mail address: so its page names the account, and says who
should not confirm it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from flask import current_app, session
from flask_login import current_user, login_user, logout_user

from ..errors import ConfigurationError, UserInactiveError
from ..registry import get_state
from ..remote_app.flow_stores import SESSION_KEY as FLOWS_KEY

LOGIN_KEY = "_oauth_accounts_login"
"""Which provider account began this session; for a logout at the provider."""
LINK_KEY = "_oauth_accounts_link"
"""A link that waits for the visitor's proof, see :mod:`.links`."""
NOTICE_KEY = "_oauth_accounts_notice"

_OWN_KEYS = (FLOWS_KEY, LINK_KEY, "_permanent")


@dataclass(frozen=True)
class LoginMark:
    """How the session began.

    :ivar name: of the client.
    :ivar subject: the provider account.
    :ivar sid: the provider's own session id (OpenID Connect Front- and Back-Channel Logout), where it gave one.
    :ivar at: seconds since the epoch, not whole ones: who logs in right after a logout is not logged out by it.
    :ivar is_openid: an ID token came with it, so the provider may end it from behind.
    """

    name: str
    subject: str
    sid: str | None
    at: float
    is_openid: bool = False


def get_user() -> Any:
    """:return: the user object itself, not Flask-Login's proxy for it."""
    return current_user._get_current_object()


def get_user_id() -> Any:
    """:return: the primary key of the user who is logged in, ``None`` for a stranger."""
    return get_state().accounts.identify(get_user()) if current_user.is_authenticated else None


def is_login_user(user_or_class: Any) -> bool:
    """:return: whether Flask-Login can log a user, or users of a class, in."""
    return all(hasattr(user_or_class, key) for key in ("is_active", "is_authenticated", "get_id"))


def find_login_user(user: Any) -> Any:
    """:return: the user, or what the application's ``user_loader`` makes of one that Flask-Login cannot log in.

    :param user: of the application's class.
    :raises ConfigurationError: if Flask-Login can log in neither; the sentence says what to write.
    """
    if is_login_user(user):
        return user
    load = current_app.login_manager._user_callback  # type: ignore[attr-defined]
    loaded = load(str(get_state().accounts.identify(user))) if load is not None else None
    if not is_login_user(loaded):
        raise describe_no_login_user(type(user))
    return loaded


def describe_no_login_user(user_model: Any) -> ConfigurationError:
    """:return: the error that says what to write."""
    name = user_model.__name__
    return ConfigurationError(
        f"Flask-Login cannot log a {name} in, for it lacks is_active, is_authenticated or get_id: let {name} inherit "
        "from flask_login.UserMixin, or return a user that has them from @login_manager.user_loader"
    )


def begin_session(user: Any, mark: LoginMark) -> None:
    """Log somebody in with a fresh session; somebody else who was logged in before leaves nothing behind (A21).

    :param user: of the application's class.
    :param mark: how the session began.
    :raises UserInactiveError: if Flask-Login refuses the user; nobody is logged in then.
    :raises ConfigurationError: if Flask-Login cannot work with the user.
    """
    user = find_login_user(user)
    if not user.is_active:
        raise UserInactiveError(provider=mark.name)
    before = current_user.get_id() if current_user.is_authenticated else None
    if before is not None and before != user.get_id():
        logout_user()
    forget_remembered = session.get("_remember") == "clear"
    _renew(get_state().settings.session_keep)
    if forget_remembered:
        session["_remember"] = "clear"
    try:
        if not login_user(user):
            raise UserInactiveError(provider=mark.name)
    except Exception:
        # A receiver of Flask-Login's signal may raise when the user already stands in the session.
        abandon_session()
        raise
    values = {"name": mark.name, "account": mark.subject, "sid": mark.sid, "at": mark.at, "oidc": mark.is_openid}
    kept = {key: value for key, value in values.items() if value not in (None, False)}
    session[LOGIN_KEY] = {**kept, "user": session["_user_id"]}


def abandon_session() -> None:
    """Take a login back: nobody is logged in afterwards."""
    _renew(get_state().settings.session_keep)
    current_app.login_manager._update_request_context_with_user()  # type: ignore[attr-defined]


def end_session() -> None:
    """Log out and forget everything, pending logins and links too."""
    logout_user()
    forget_remembered = session.get("_remember")
    session.clear()
    if forget_remembered:
        session["_remember"] = forget_remembered


def read_login_mark() -> LoginMark | None:
    """:return: how this session began, ``None`` where it was not by this package.

    An application that logs somebody else in by Flask-Login alone leaves the mark of the user before.
    """
    values = session.get(LOGIN_KEY)
    if not isinstance(values, dict) or values.get("user") != session.get("_user_id"):
        return None
    name, subject, sid, at = (values.get(key) for key in ("name", "account", "sid", "at"))
    if not isinstance(name, str) or not isinstance(subject, str) or not isinstance(at, int | float):
        return None
    return LoginMark(name, subject, sid if isinstance(sid, str) else None, at, values.get("oidc") is True)


def create_login_mark(name: str, subject: str, claims: Any) -> LoginMark:
    """:param claims: of the ID token, ``None`` where there was none."""
    sid = claims.get("sid") if claims else None
    usable = sid if isinstance(sid, str) and len(sid) <= 255 else None
    return LoginMark(name, subject, usable, round(time.time(), 6), claims is not None)


def put_notice(code: str) -> None:
    """Leave a word for the next page.

    :param code: a key of the page's own table of texts.
    """
    session[NOTICE_KEY] = code


def take_notice() -> str | None:
    """:return: what :func:`put_notice` left, once. A session that holds nothing is left untouched."""
    code = session.pop(NOTICE_KEY, None) if NOTICE_KEY in session else None
    return code if isinstance(code, str) else None


def _renew(keep: Collection[str]) -> None:
    kept = {key: session[key] for key in (*_OWN_KEYS, *keep) if key in session}
    regenerate = getattr(current_app.session_interface, "regenerate", None)
    if callable(regenerate):
        # A session that lives on the server gets another id; an empty one would keep the id that the browser chose.
        session[NOTICE_KEY] = ""
        regenerate(session)
    session.clear()
    session.update(kept)
    session.modified = True
