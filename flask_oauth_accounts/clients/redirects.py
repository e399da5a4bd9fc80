"""Where an API call goes on after a redirect (RFC 9110 section 15.4), and what may go with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

import requests

from .origins import origin_of

_TRAVELLING_HEADERS = ("Accept", "Accept-Language", "User-Agent", "Range")
_BODY = ("data", "json", "files")
_BODY_HEADERS = frozenset({"content-length", "content-type", "transfer-encoding"})


def find_target(response: requests.Response) -> str:
    """:return: the absolute address that a redirect names, without its fragment; ``""`` where it names none."""
    location = response.headers["Location"].encode("latin-1", "replace").decode("utf-8", "replace")
    try:
        return urldefrag(urljoin(response.url, location.strip())).url
    except ValueError:
        return ""


def may_leave(source: str, target: str) -> bool:
    """:return: whether a redirect to another origin may be followed: never from https to http."""
    origin = origin_of(target)
    if origin is None or "@" in urlsplit(target).netloc:
        return False
    return origin.startswith("https:") or source.startswith("http:")


def change_request(method: str, options: Mapping[str, Any], status: int) -> tuple[str, dict[str, Any]] | None:
    """Say what to ask next, as requests does: 303, 302 and, after POST, 301 make it a GET; 307 and 308 keep it.

    :param method: in upper case.
    :param options: keywords of the session's ``request``.
    :param status: of the redirect.
    :return: method and keywords, without the query of the old address; ``None`` where the body has to be sent again
        and cannot, as it was read from a file or an iterator.
    """
    kept = {key: value for key, value in options.items() if key != "params"}
    if status in (307, 308):
        is_value = isinstance(kept.get("data"), (str, bytes, dict, list, tuple, type(None))) and not kept.get("files")
        return (method, kept) if is_value else None
    kept = {key: value for key, value in kept.items() if key not in _BODY}
    if method != "HEAD" and (status in (302, 303) or method == "POST"):
        method = "GET"
    if kept.get("headers"):
        kept["headers"] = {key: value for key, value in kept["headers"].items() if key.lower() not in _BODY_HEADERS}
    return method, kept


def bare_options(response: requests.Response, options: Mapping[str, Any]) -> dict[str, Any]:
    """:return: what may go to another origin: nothing that the caller or the session has added to say who is asking."""
    sent = response.request.headers
    kept: dict[str, Any] = {name: sent[name] for name in _TRAVELLING_HEADERS if name in sent}
    return {"headers": kept, "stream": bool(options.get("stream"))}


def without_token(url: str) -> str:
    """:return: the address without a token that the redirecting server has copied into its query."""
    parts = urlsplit(url)
    pairs = [pair for pair in parts.query.split("&") if not pair.lower().startswith(("access_token=", "oauth_"))]
    return urlunsplit(parts._replace(query="&".join(pairs)))
