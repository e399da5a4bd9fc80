"""The page of an error: a title, a sentence for the visitor, and a way on.

Nothing of this needs the database or the cache, for they may be what is broken.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, current_app, make_response, request, session, url_for
from markupsafe import escape

from ..errors import (
    AuthorizationDeniedError,
    CallbackError,
    CsrfError,
    EmailTakenError,
    OAuthError,
    ReauthorizationRequired,
    clean_text,
)
from . import links
from .context import create_page_context, describe_provider, list_providers, render
from .guards import LoginRequiredError
from .negotiation import error_code
from .words import mark, translate

logger = logging.getLogger(__name__)

_FLOW_ENDPOINTS = frozenset({"login", "authorize", "connect", "reconnect", "resolve"})

_TITLES_BY_ERROR: dict[type[OAuthError], str] = {
    CallbackError: mark("Please start again"),
    CsrfError: mark("Please start again"),
    ReauthorizationRequired: mark("Please connect again"),
}
_TITLES_BY_STATUS = {
    401: mark("Please sign in"),
    403: mark("That is not possible"),
    404: mark("Not found"),
    409: mark("That is not possible"),
    502: mark("The service has a problem"),
    503: mark("We have a problem"),
    504: mark("The service does not answer"),
}
_PAGE_TEXTS = {
    401: mark("Please sign in first."),
    403: mark("You may not open this page."),
    404: mark("This page does not exist."),
    413: mark("What was sent is too large."),
    429: mark("There were too many requests. Please wait a moment and try again."),
}


class PageError(OAuthError):
    """An HTTP error that is not about OAuth: a page that does not exist, a request that the application refuses.

    :param status: of the answer.
    :param description: one sentence for the operator.
    """

    code = "bad_request"
    status = 400
    visitor = "This request could not be understood."

    def __init__(self, status: int, description: str | None = None) -> None:
        super().__init__(description=description)
        self.status = status

    @property
    def visitor_message(self) -> str:
        return _PAGE_TEXTS.get(self.status, self.visitor)


class PageUnavailableError(PageError):
    """The application itself has answered with a server error, before one of our pages could."""

    code = "page_unavailable"
    status = 503
    visitor = "Something on our side does not work at the moment. Please try again in a few minutes."


def find_endpoint() -> str:
    """:return: the endpoint of the current request, without the name of the blueprint."""
    return (request.endpoint or "").rpartition(".")[2]


def is_login_step() -> bool:
    """Whether the current request starts, finishes or resolves a login or a connection."""
    return find_endpoint() in _FLOW_ENDPOINTS


def list_links(error: OAuthError) -> dict[str, str | None]:
    """:return: where a front end goes on, as members of the problem details."""
    if isinstance(error, LoginRequiredError):
        return {"login_url": url_for(".login_page")}
    if isinstance(error, ReauthorizationRequired):
        return {"reconnect_url": error.url}
    if isinstance(error, EmailTakenError) and links.is_waiting():
        return {"resolve_url": url_for(".resolve")}
    return {}


def render_error(error: OAuthError, status: int) -> Response:
    """Write the page.

    :param error: what happened.
    :param status: of the answer.
    """
    name = error.provider
    retry_url, retry_label = _choose_way_on(error)
    others = [] if "_user_id" in session or isinstance(error, PageError) else list_providers(without=name)
    values = {
        "title": translate(_choose_title(error, status)),
        "provider": describe_provider(name) if name else None,
        "message": translate(error.visitor_message),
        "said": _quote(error),
        "code": error_code(error),
        "status": status,
        "retry_url": retry_url,
        "retry_label": retry_label,
        "providers": others,
    }
    return make_response(_render_without_fail(values), status)


def _choose_title(error: OAuthError, status: int) -> str:
    if isinstance(error, AuthorizationDeniedError) and status == 403:
        return mark("Nothing was changed")
    of_class = next((title for cls, title in _TITLES_BY_ERROR.items() if isinstance(error, cls)), None)
    return of_class or _TITLES_BY_STATUS.get(status, mark("That did not work"))


def _choose_way_on(error: OAuthError) -> tuple[str, str]:
    """:return: where the main button leads, and its text."""
    if isinstance(error, ReauthorizationRequired) and error.url:
        return error.url, translate("Connect again")
    if "_user_id" in session:
        return url_for(".accounts"), translate("Your connected accounts")
    if error.provider is not None and is_login_step():
        return url_for(".login", name=error.provider), translate("Try again")
    return url_for(".login_page"), translate("Sign in")


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
