"""One place where everything that goes wrong in a view becomes a page, a problem document and a line in the log.

Never a 500: the visitor reads what happened and how to go on, the operator reads which provider, which code, and
what to mend. Nothing of this needs the database or the cache, for they may be what is broken.
"""

from __future__ import annotations

import logging
import math
import traceback
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, current_app, make_response, request, session, url_for
from markupsafe import escape
from werkzeug.exceptions import HTTPException

from ..errors import (
    AuthorizationDeniedError,
    CallbackError,
    ConfigurationError,
    CsrfError,
    EmailTakenError,
    OAuthError,
    ProviderUnavailable,
    ReauthorizationRequired,
    StorageUnavailable,
    TokenError,
    UnknownProviderError,
    clean_text,
)
from ..protocols import Event
from ..registry import get_state
from ..remote_app.adapters import find_current_user
from ..signals import login_failed
from . import links
from .context import create_page_context, describe_provider, list_providers, render
from .guards import LoginRequiredError
from .negotiation import create_problem, error_code, wants_json
from .words import mark, translate

logger = logging.getLogger(__name__)

_FLOW_ENDPOINTS = frozenset({"login", "authorize", "connect", "reconnect", "resolve"})
_STORAGE_PACKAGES = frozenset(
    {"sqlalchemy", "sqlite3", "redis", "pymemcache", "pylibmc", "cachelib", "psycopg", "pymysql"}
)


class PageError(OAuthError):
    """An HTTP error that is not about OAuth: a page that does not exist, a request that nobody can read.

    :param status: of the answer.
    """

    code = "bad_request"
    status = 400
    visitor = "This request could not be understood."

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status

    @property
    def visitor_message(self) -> str:
        return mark("This page does not exist.") if self.status == 404 else self.visitor


class InternalError(OAuthError):
    """A fault in this package or in a hook of the application; the log says where."""

    code = "internal_error"
    status = 503
    visitor = "Something on our side went wrong. Please try again in a few minutes."


@dataclass(frozen=True)
class _WayOn:
    """:ivar url: where the main button of an error page leads, ``None`` where nothing can be tried again."""

    url: str | None
    label: str


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
    response = create_problem(error, status=status, **_list_links(error)) if json else _render_page(error, status)
    if isinstance(error, ProviderUnavailable) and error.retry_after:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after))
    return response


def report_error(error: OAuthError) -> None:
    """Write the operator's line, send ``login_failed``, and record the failure where the user is known.

    :param error: gets the provider's name, if it has none yet.
    """
    error.provider = error.provider or _known_name()
    _log(error, decide_status(error))
    if _endpoint() in _FLOW_ENDPOINTS and not isinstance(error, (UnknownProviderError, LoginRequiredError, PageError)):
        user = _find_user()
        _announce(error, user)
        _record(error, user)


def _answer_http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < 400 or error.response is not None:
        return error
    if type(error).__module__.startswith("flask_wtf"):
        return answer_error(CsrfError())
    response = answer_error(PageError(error.code if error.code < 500 else 503))
    for header, value in error.get_headers():
        if header in ("Allow", "Retry-After"):
            response.headers[header] = value
    return response


def _answer_unexpected(error: Exception) -> Response:
    """Exception texts of databases and hooks may hold what they worked on; only the type and the place are logged."""
    if is_storage_fault(error):
        known: OAuthError = StorageUnavailable(description=f"the database or the cache failed: {type(error).__name__}")
    else:
        known = InternalError(description=f"{type(error).__name__} was raised in a view or a hook")
        logger.error("%s\n%s", known.description, "".join(traceback.format_tb(error.__traceback__)).rstrip())
    known.__cause__ = error
    return answer_error(known)


def is_storage_fault(error: Exception) -> bool:
    """Whether our own database or cache is at fault, in the words of this package or of theirs."""
    roots = {cls.__module__.partition(".")[0] for cls in type(error).__mro__}
    return isinstance(error, StorageUnavailable) or bool(roots & _STORAGE_PACKAGES)


def _known_name() -> str | None:
    name = (request.view_args or {}).get("name")
    return name if name in get_state().oauth.list_names() else None


def _endpoint() -> str:
    return (request.endpoint or "").rpartition(".")[2]


def _log(error: OAuthError, status: int) -> None:
    ours = isinstance(error, (ConfigurationError, StorageUnavailable, InternalError))
    level = logging.ERROR if ours else logging.WARNING if status >= 500 else logging.INFO
    logger.log(
        level,
        "%s failed: provider=%s code=%s status=%s: %s",
        _endpoint(),
        clean_text(error.provider, 80) or "-",
        error_code(error),
        status,
        clean_text(error, 500),
    )


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
    kind = _endpoint() if _endpoint() in ("connect", "reconnect") else "login"
    try:
        accounts.store.record(
            Event(kind, "failed", error.provider or "", accounts.identify(user), error=error_code(error))
        )
    except Exception as fault:
        logger.error("the failure was not recorded: %s", type(fault).__name__)  # noqa: TRY400


def _list_links(error: OAuthError) -> dict[str, str | None]:
    if isinstance(error, LoginRequiredError):
        return {"login_url": url_for(".login_page")}
    if isinstance(error, ReauthorizationRequired):
        return {"reconnect_url": error.url}
    if isinstance(error, EmailTakenError) and links.is_waiting():
        return {"resolve_url": url_for(".resolve")}
    return {}


def _choose_title(error: OAuthError, status: int) -> str:
    if isinstance(error, AuthorizationDeniedError) and status == 403:
        return translate("Nothing was changed")
    if isinstance(error, (CallbackError, CsrfError)):
        return translate("Please start again")
    if isinstance(error, ReauthorizationRequired):
        return translate("Please connect again")
    titles = {
        400: mark("That did not work"),
        401: mark("Please sign in"),
        403: mark("That is not possible"),
        404: mark("Not found"),
        405: mark("That did not work"),
        409: mark("That is not possible"),
        502: mark("The service has a problem"),
        503: mark("We have a problem"),
        504: mark("The service does not answer"),
    }
    return translate(titles.get(status, mark("That did not work")))


def _choose_way_on(error: OAuthError, name: str | None) -> _WayOn:
    logged_in = "_user_id" in session
    if isinstance(error, ReauthorizationRequired) and error.url:
        return _WayOn(error.url, translate("Connect again"))
    if logged_in:
        return _WayOn(url_for(".accounts"), translate("Your connected accounts"))
    if name is not None and _endpoint() in _FLOW_ENDPOINTS:
        return _WayOn(url_for(".login", name=name), translate("Try again"))
    return _WayOn(url_for(".login_page"), translate("Sign in"))


def _render_page(error: OAuthError, status: int) -> Response:
    name = error.provider
    way_on = _choose_way_on(error, name)
    others = [] if "_user_id" in session or isinstance(error, PageError) else list_providers(without=name)
    values = {
        "title": _choose_title(error, status),
        "provider": describe_provider(name) if name else None,
        "message": translate(error.visitor_message),
        "said": _quote(error),
        "code": error_code(error),
        "status": status,
        "retry_url": way_on.url,
        "retry_label": way_on.label,
        "providers": others,
    }
    return make_response(_render_without_fail(values), status)


def _quote(error: OAuthError) -> str | None:
    """What the provider said, shown as text: only where the state was valid, for such an error is raised after it."""
    if not isinstance(error, AuthorizationDeniedError) or error.error == "access_denied":
        return None
    return clean_text(error.description) or None


def _render_without_fail(values: dict[str, Any]) -> str:
    """Context processors may ask the database, as Flask-Login's does; where they fail, the page goes without them."""
    try:
        return render("error.html", **values)
    except Exception as fault:
        logger.warning("error.html could not be rendered as usual: %s", type(fault).__name__)
    try:
        template = current_app.jinja_env.get_template("oauth_accounts/error.html")
        return template.render(**create_page_context(), **values)
    except Exception as fault:
        logger.error("error.html could not be rendered at all: %s", type(fault).__name__)  # noqa: TRY400
        title, message = escape(values["title"]), escape(values["message"])
        return f'<!doctype html><html lang="en"><title>{title}</title><h1>{title}</h1><p>{message}</p></html>'
