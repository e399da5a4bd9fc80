"""HTML or JSON: what the client asked for, and errors as RFC 9457 problem details."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import HTTP_STATUS_CODES

from ..errors import OAuthError
from .words import translate

PROBLEM_TYPE = "application/problem+json"
_OFFERED = ("text/html", "application/json", PROBLEM_TYPE)


def wants_json() -> bool:
    """Whether the current request prefers JSON; a browser, or a client without an opinion, gets HTML.

    Parameters of a media type do not matter: ``application/json; charset=utf-8`` asks for JSON.
    """
    accepted = MIMEAccept((value.partition(";")[0].strip(), quality) for value, quality in request.accept_mimetypes)
    return accepted.best_match(_OFFERED) in _OFFERED[1:]


def read_field(name: str) -> str | None:
    """Read what a form or a front end sends.

    :param name: of the field: in the form, the query or the JSON object of the current request, in this order.
    :return: its text, ``None`` where it is not there or is no text.
    """
    value: object = request.form.get(name) or request.args.get(name)
    if value is None and request.is_json:
        body = request.get_json(silent=True)
        value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def create_json(payload: dict[str, Any], status: int = 200) -> Response:
    """:return: a JSON answer.

    :param payload: the object to send; without secrets.
    :param status: the HTTP status.
    """
    return Response(
        current_app.json.dumps(payload) + "\n", status=status, content_type="application/json; charset=utf-8"
    )


def create_problem(error: OAuthError, *, status: int, **extra: object) -> Response:
    """Write an error as problem details (RFC 9457 section 3).

    ``detail`` is the visitor's sentence; nothing that came from outside is in it. ``code`` is the stable name of the
    error, ``type`` an identifier made of it.

    :param error: what happened.
    :param status: the HTTP status that is sent.
    :param extra: further members; those that are ``None`` are left out.
    """
    payload = {
        "type": f"tag:flask-oauth-accounts,2026:{error_code(error)}",
        "title": HTTP_STATUS_CODES.get(status, "Error"),
        "status": status,
        "detail": translate(error.visitor_message),
        "code": error_code(error),
        "provider": error.provider,
        **extra,
    }
    response = create_json({key: value for key, value in payload.items() if value is not None}, status)
    response.content_type = PROBLEM_TYPE
    return response


def error_code(error: OAuthError) -> str:
    """:return: the stable code of the error's class; never a text from outside."""
    return type(error).code
