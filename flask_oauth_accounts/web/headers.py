"""Response headers of our own pages; what the application has set already is left alone."""

from __future__ import annotations

from flask import Response

_PROTECTIVE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def create_policy(*, pictures: bool) -> str:
    """Write the Content Security Policy of our pages.

    ``form-action`` is left out: Chromium applies it to the redirect that follows a form, and ours lead to providers.

    :param pictures: whether pictures of users are loaded from the providers' hosts.
    """
    images = "'self' https:" if pictures else "'self'"
    return f"default-src 'self'; img-src {images}; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"


def protect(response: Response, policy: str, *, referrer: str = "no-referrer") -> Response:
    """Set the headers that a page about logins needs.

    :param response: any answer of the blueprint.
    :param policy: see :func:`create_policy`.
    :param referrer: the ``Referrer-Policy``.
    """
    response.headers.setdefault("Referrer-Policy", referrer)
    for name, value in _PROTECTIVE.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", policy)
    response.vary.add("Cookie")
    response.vary.add("Accept")
    return response


def name_language(response: Response, language: str) -> None:
    """Say which language an answer is in, and that another browser may get another one (RFC 9110 section 8.5).

    :param response: with words for a visitor.
    :param language: as ``de`` or ``pt-BR``.
    """
    response.headers.setdefault("Content-Language", language)
    response.vary.add("Accept-Language")
