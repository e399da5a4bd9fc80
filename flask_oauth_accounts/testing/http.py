"""From Flask's request to oauthlib's arguments, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from flask import Response, request

from .state import ProviderState

P = ParamSpec("P")
R = TypeVar("R")

_FORM = "application/x-www-form-urlencoded"


def plain_uri() -> str:
    """:return: the address as the client has sent and signed it, escapes untouched."""
    target = request.environ.get("RAW_URI") or request.full_path.removesuffix("?")
    return request.host_url.rstrip("/") + str(target)


def secure_uri() -> str:
    """The address with https, because oauthlib refuses http and its switch would be for the whole process.

    This server is for loopback only, where RFC 8252 section 8.3 allows http.
    """
    return "https://" + plain_uri().split("://", 1)[1]


def form_body() -> str:
    """:return: the raw body where it is a form, else nothing."""
    return request.get_data(as_text=True) if request.mimetype == _FORM else ""


def method() -> Any:
    """:return: the request's method; untyped, because oauthlib's stubs know a closed list."""
    return request.method


def headers() -> dict[str, str]:
    """:return: the request's headers."""
    return dict(request.headers)


def to_response(answer: tuple[dict[str, str], str | None, int]) -> Response:
    """:param answer: headers, body and status as oauthlib returns them."""
    fields, body, status = answer
    response = Response(body or "", status, fields)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def locked(view: Callable[P, R]) -> Callable[P, R]:
    """Make a method of a class with ``state`` hold the provider's lock."""

    @functools.wraps(view)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        state: ProviderState = args[0].state  # type: ignore[attr-defined]
        with state.lock:
            return view(*args, **kwargs)

    return wrapper
