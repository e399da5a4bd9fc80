"""One place where everything that goes wrong in a view becomes a page, a problem document and a line in the log.

Never a 500: the visitor reads what happened and how to go on (:mod:`.error_pages`), the operator reads which provider,
which code, and what to mend.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, current_app, request, session
from werkzeug.exceptions import HTTPException

from ..errors import (
    CallbackError,
    ConfigurationError,
    CsrfError,
    OAuthError,
    ProviderUnavailable,
    StorageUnavailable,
    TokenError,
    UnknownProviderError,
    clean_text,
)
from ..protocols import Event
from ..registry import get_state
from ..remote_app.adapters import find_current_user
from ..signals import login_failed
from .error_pages import PageError, PageUnavailableError, find_endpoint, is_login_step, list_links, render_error
from .guards import LoginRequiredError
from .negotiation import create_problem, error_code, wants_json

logger = logging.getLogger(__name__)

_STORAGE_PACKAGES = frozenset(
    {"sqlalchemy", "sqlite3", "redis", "pymemcache", "pylibmc", "cachelib", "psycopg", "pymysql"}
)


class InternalError(OAuthError):
    """A fault in this package or in a hook of the application; the log says where."""

    code = "internal_error"
    status = 503
    visitor = "Something on our side went wrong. Please try again in a few minutes."


def register_error_handlers(blueprint: Blueprint) -> None:
    """:param blueprint: whose views are guarded."""
    blueprint.register_error_handler(OAuthError, answer_error)
    blueprint.register_error_handler(HTTPException, _answer_http_error)
    blueprint.register_error_handler(Exception, _answer_unexpected)


def decide_status(error: OAuthError) -> int:
    """Choose the status of an error's page: 400 bad callback, 403 refused, 404, 405, 409, 502, 503 or 504.

    401 is kept for strangers: a provider that wants a new consent is something else than a visitor without a session.
    """
    status = error.status
    if status == 401 and isinstance(error, TokenError):
        return 403
    if isinstance(error, ConfigurationError) and status == 500:
        return 503
    return status if 400 <= status < 500 or status in (502, 503, 504) else 503


def answer_error(error: OAuthError) -> Response:
    """Log an error, tell those who listen, and answer.

    :param error: what a view has raised.
    """
    report_error(error)
    status = decide_status(error)
    json = wants_json()
    response = create_problem(error, status=status, **list_links(error)) if json else render_error(error, status)
    if isinstance(error, ProviderUnavailable) and error.retry_after:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    return response


def report_error(error: OAuthError) -> None:
    """Write the operator's line, send ``login_failed``, and record the failure where the user is known.

    :param error: gets the provider's name, if it has none yet.
    """
    error.provider = error.provider or _known_name()
    _log(error, decide_status(error))
    _tell(error)


def _answer_http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < 400 or error.response is not None:
        return error
    if type(error).__module__.startswith("flask_wtf"):
        return answer_error(CsrfError())
    words = f"{error.code} {error.name}: {error.description}"
    response = answer_error(PageError(error.code, words) if error.code < 500 else PageUnavailableError(503, words))
    response.headers.extend((name, value) for name, value in error.get_headers() if name != "Content-Type")
    return response


def _answer_unexpected(error: Exception) -> Any:
    """Exception texts of databases and hooks may hold what they worked on; only the type and the place are logged.

    What the application has foreseen by an error handler of its own is answered by that, as on its other pages.
    """
    if is_storage_fault(error):
        known: OAuthError = StorageUnavailable(description=f"the database or the cache failed: {type(error).__name__}")
    else:
        description = f"{type(error).__name__} was raised in a view or a hook"
        known = InternalError(description=description, provider=_known_name())
        handler = _find_own_handler(error)
        if handler is not None:
            _tell(known)
            return current_app.ensure_sync(handler)(error)
        logger.error("%s\n%s", known.description, "".join(traceback.format_tb(error.__traceback__)).rstrip())
    known.__cause__ = error
    return answer_error(known)


def _find_own_handler(error: Exception) -> Callable[..., Any] | None:
    """What the application has registered for the exception's class; one for all exceptions foresees nothing."""
    handlers = current_app.error_handler_spec[None][None]
    classes = (cls for cls in type(error).__mro__ if cls not in (Exception, BaseException))
    return next((handlers[cls] for cls in classes if cls in handlers), None)


def is_storage_fault(error: Exception) -> bool:
    """Whether our own database or cache is at fault, in the words of this package or of theirs."""
    roots = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return isinstance(error, StorageUnavailable) or bool(roots & _STORAGE_PACKAGES)


def _known_name() -> str | None:
    name = (request.view_args or {}).get("name")
    return name if name in get_state().oauth.list_names() else None


def _log(error: OAuthError, status: int) -> None:
    ours = isinstance(error, (ConfigurationError, StorageUnavailable, InternalError))
    level = logging.ERROR if ours else logging.WARNING if status >= 500 else logging.INFO
    logger.log(
        level,
        "%s failed: provider=%s code=%s status=%s: %s",
        find_endpoint(),
        clean_text(error.provider, 80) or "-",
        error_code(error),
        status,
        clean_text(error, 500),
    )


def _tell(error: OAuthError) -> None:
    """Tell those who listen that a login has failed; what is no login, or no failure of one, is not told."""
    if is_login_step() and not isinstance(error, (UnknownProviderError, LoginRequiredError, PageError)):
        user = _find_user()
        _announce(error, user)
        _record(error, user)


def _find_user() -> Any:
    """Who is logged in, ``None`` for a stranger and where it cannot be found out."""
    if "_user_id" not in session:
        return None
    try:
        return find_current_user(current_app)
    except Exception as fault:
        logger.warning("whose failure it was is not known: %s", type(fault).__name__)
        return None


def _announce(error: OAuthError, user: Any) -> None:
    """Send ``login_failed``; a receiver that raises must not turn the page into a fault of its own."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    try:
        login_failed.send(app, name=error.provider, user=user, account="", error=error)
    except Exception as fault:
        logger.error("a receiver of login_failed raised %s", type(fault).__name__)  # noqa: TRY400


def _record(error: OAuthError, user: Any) -> None:
    """Keep an event of what failed for a user; strangers and forged requests write nothing into the database."""
    if user is None or isinstance(error, (CallbackError, CsrfError)) or is_storage_fault(error):
        return
    accounts = get_state().accounts
    kind = find_endpoint() if find_endpoint() in ("connect", "reconnect") else "login"
    try:
        accounts.store.record(
            Event(kind, "failed", error.provider or "", accounts.identify(user), error=error_code(error))
        )
    except Exception as fault:
        logger.error("the failure was not recorded: %s", type(fault).__name__)  # noqa: TRY400
