"""Reading what a provider answered, whatever it answered."""

from __future__ import annotations

import email.utils
import json
import math
import time
from typing import Any
from urllib.parse import parse_qsl

import requests

from ..errors import ProviderResponseError, ProviderUnavailable
from .origins import place_of

_LONGEST_WAIT = 86400.0
_SECRET_FIELDS = frozenset(
    {"code", "code_verifier", "refresh_token", "access_token", "token", "assertion", "client_secret"}
    | {"client_assertion", "password", "subject_token"}
)
_SHORTEST = 4
"""Characters; what is shorter cannot be told from the words around it."""


def check_status(response: requests.Response, provider: str) -> None:
    """Tell an unavailable provider by the status of its answer (RFC 9110 section 15.6, RFC 6585 section 4).

    :param provider: the client's name.
    :raises ProviderUnavailable: for 429 and 5xx, with ``retry_after`` in seconds where the provider says so.
    """
    if response.status_code == 429 or response.status_code >= 500:
        raise ProviderUnavailable(
            description=f"{place_of(response.url)} answered {response.status_code}",
            provider=provider,
            retry_after=parse_retry_after(response.headers.get("Retry-After")),
        )


def hide_sent(text: object, response: requests.Response, *secrets: str | None) -> str:
    """Take out of a provider's words what it repeats of our request: codes, verifiers, tokens, passwords.

    :param text: such as ``error_description``.
    :param response: the answer that holds it.
    :param secrets: further values, such as the client secret.
    :return: the text with ``…`` in the place of each secret.
    """
    sent = getattr(response.request, "body", None)
    form = sent.decode("utf-8", "replace") if isinstance(sent, bytes) else sent if isinstance(sent, str) else ""
    values = [value for name, value in parse_qsl(form) if name in _SECRET_FIELDS]
    result = "" if text is None else str(text)
    for value in sorted({value for value in (*values, *secrets) if value and len(value) >= _SHORTEST}, key=len)[::-1]:
        result = result.replace(value, "…")
    return result


def parse_retry_after(value: str | None, *, now: float | None = None) -> float | None:
    """Read ``Retry-After`` (RFC 9110 section 10.2.3): a number of seconds or a date.

    :param now: seconds since the epoch, for tests.
    :return: seconds from now, between 0 and one day; ``None`` where absent or unreadable.
    """
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_WAIT)
    try:
        date = email.utils.parsedate_to_datetime(text)
        seconds = date.timestamp() - (time.time() if now is None else now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)


def parse_json(text: bytes | str, *, provider: str, source: str) -> Any:
    """Read JSON (RFC 8259) and nothing but JSON: no NaN, no infinity, no number too long to print.

    :param source: where it came from, for the error.
    :raises ProviderResponseError: if it cannot be read, for whatever reason.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError, MemoryError):
        pass
    raise ProviderResponseError(description=f"the answer of {source} is not JSON", provider=provider)


def _refuse(word: str) -> Any:
    raise ValueError(word)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def decode_json(response: requests.Response, provider: str) -> Any:
    """Read an answer that has to be JSON.

    :param provider: the client's name.
    :return: any JSON value; the caller checks its shape.
    :raises ProviderResponseError: if the body is not JSON in UTF-8.
    """
    return parse_json(response.content, provider=provider, source=place_of(response.url))


def parse_form_or_json(response: requests.Response, provider: str) -> dict[str, Any]:
    """Read an answer that is a form (RFC 5849 section 2.1) or a JSON object (RFC 6749 section 5.1).

    JSON unless ``Content-Type`` says form; text of no or another type counts as a form where it looks like one.

    :param provider: the client's name.
    :return: a new dict; of a form, the first value of each name.
    :raises ProviderResponseError: if it is neither.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = response.content.strip()
    is_form = kind == "application/x-www-form-urlencoded"
    if not is_form and kind in ("", "text/plain", "text/html") and b"=" in body:
        is_form = not body.startswith((b"{", b"[", b"<", b'"')) and not any(byte <= 32 for byte in body)
    if is_form:
        return _parse_form(body, response, provider)
    value = decode_json(response, provider)
    if not isinstance(value, dict):
        raise ProviderResponseError(
            description=f"the answer of {place_of(response.url)} is not a JSON object", provider=provider
        )
    return value


def _parse_form(body: bytes, response: requests.Response, provider: str) -> dict[str, Any]:
    form: dict[str, Any] = {}
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=200)
    except ValueError:
        pairs = []
    if not pairs and body:
        raise ProviderResponseError(
            description=f"the answer of {place_of(response.url)} is not a form", provider=provider
        )
    for name, value in pairs:
        form.setdefault(name, value)
    return form
