"""Where a browser may be sent next. Pure: everything that is needed is passed in.

What is judged is the value that will stand in the ``Location`` header, after the normalising that Werkzeug does on
its way there, and as a browser resolves it (RFC 9700 section 4.11.1).
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from werkzeug.urls import iri_to_uri

MAX_LENGTH = 2000
"""The longest ``next`` that is kept, in characters; a pending login must fit into a cookie."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def safe_next(
    value: object, *, origins: Collection[str], siblings: Collection[str] = (), reserved: Collection[str] = ()
) -> str | None:
    """Read a ``next`` parameter: a path, or an absolute address on one of our own origins.

    :param value: what came from outside.
    :param origins: our own origins, as ``"https://www.example.com"``; compared in full (RFC 6454 section 5).
    :param siblings: the origins of this application's other hosts; an address on one of them stays absolute.
    :param reserved: paths that start, finish or end a login; neither they nor anything below them is a target.
    :return: a path with its query and fragment, percent-encoded so that a redirect sends it unchanged, behind the
        sibling's origin where it is one's; ``None`` for everything else.
    """
    if not isinstance(value, str) or not value or len(value) > MAX_LENGTH or not _is_plain(value):
        return None
    try:
        parts = urlsplit(value)
        is_path = value.startswith("/") and not value.startswith("//")
        home = "" if is_path or _find_origin(parts, origins) else _find_origin(parts, siblings)
        if home is None:
            return None
        target = iri_to_uri(urlunsplit(("", "", parts.path or "/", parts.query, parts.fragment)))
    except (ValueError, UnicodeError):
        return None
    if not _stays_here(target) or len(target) > 2 * MAX_LENGTH or is_below(target, reserved):
        return None
    return home + target


def _is_plain(value: str) -> bool:
    """No control characters, no blanks at the ends, no backslash: browsers drop or turn them, parsers do not."""
    return value == value.strip() and "\\" not in value and all(_is_plain_char(char) for char in value)


def _is_plain_char(char: str) -> bool:
    return char == " " or (char.isprintable() and not 0xD800 <= ord(char) <= 0xDFFF)


def _find_origin(parts: SplitResult, origins: Collection[str]) -> str | None:
    if not parts.scheme or not parts.netloc or "@" in parts.netloc or not parts.netloc.isascii():
        return None
    origin = make_origin(parts)
    return next((own for own in origins if origin is not None and make_origin(urlsplit(own)) == origin), None)


def make_origin(parts: SplitResult) -> tuple[str, str, int] | None:
    """:return: scheme, host and port of an http address; ``None`` for anything else."""
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return scheme, parts.hostname.lower(), parts.port if parts.port is not None else _DEFAULT_PORTS[scheme]


def _stays_here(target: str) -> bool:
    """Whether a browser resolves the target against our page to a path on our origin."""
    if not target.startswith("/") or target.startswith("//") or iri_to_uri(target) != target:
        return False
    path = urlsplit(target).path
    decoded = unquote(path)
    return not resolve_dots(decoded).startswith("//") and "\\" not in decoded and decoded.isprintable()


def resolve_dots(path: str) -> str:
    """Resolve ``.`` and ``..`` as a browser does, keeping empty segments (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def is_below(target: str, reserved: Collection[str]) -> bool:
    """Whether a path is one of the reserved ones, or lies below one, however it is spelled."""
    path = posixpath.normpath(unquote(urlsplit(target).path))
    path = "/" + path.lstrip("/")
    return any(path == own or path.startswith(own.rstrip("/") + "/") for own in reserved if own.rstrip("/"))


def join_external(external_url: str, script_root: str, path: str) -> str:
    """Put a path of this application behind the address that the browser sees.

    :param external_url: ``OAUTH_ACCOUNTS_EXTERNAL_URL``, with or without the prefix under which the application lies.
    :param script_root: the prefix as the server knows it, ``""`` where there is none.
    :param path: as ``url_for`` builds it, with ``script_root`` in front.
    :return: the absolute address.
    """
    base = external_url.rstrip("/")
    root = script_root.rstrip("/")
    if root and urlsplit(base).path.endswith(root) and path.startswith(root + "/"):
        path = path.removeprefix(root)
    return base + path


def strip_origin(url: str) -> str:
    """:return: path, query and fragment of an address of our own; a path as it is."""
    parts = urlsplit(url)
    return url.removeprefix(f"{parts.scheme}://{parts.netloc}")


def is_secure_address(url: str) -> bool:
    """Whether an address is https, or leads to this very machine (RFC 8252 section 8.3)."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    loopback = host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")
    return parts.scheme == "https" or loopback
