"""Signed tokens (RFC 7515, compact form only): which signature counts, and which header may not say anything."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joserfc.jws import JWSRegistry

from ..errors import OAuthError, ProviderResponseError, clean_text
from .answers import parse_json
from .jwks import KeySource

# A token is read before it is trusted, so what reading may cost is bounded.
MAX_TOKEN_LENGTH = 64 * 1024
MAX_CANDIDATES = 20
_SEGMENT = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_HMAC = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}


class RefusedError(Exception):
    """Why a token may not be believed; turned into an error of this package by whoever asked."""


class MissingKeyError(RefusedError):
    """The provider publishes no key that the token names; maybe not any more."""


def verify_token(
    token: object,
    *,
    keys: KeySource | None,
    algorithms: Sequence[str],
    client_secret: str | None,
    provider: str,
    accepts_type: Callable[[str | None], bool],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Check a token's signature and read it.

    The algorithm has to be one that was configured; the keys come from the provider's key set, or for HMAC from the
    client secret, and never from the token (RFC 8725 section 3).

    :param token: in compact form.
    :param algorithms: that were configured; ``none`` never counts.
    :param client_secret: the key for HS256, HS384 and HS512.
    :param accepts_type: says of ``typ``, in lower case and without ``application/``, whether it will do.
    :return: header and claims.
    :raises RefusedError: with the reason.
    :raises OAuthError: if the keys cannot be had.
    """
    if not isinstance(token, str) or not token or len(token) > MAX_TOKEN_LENGTH:
        raise RefusedError(f"it is not a text of at most {MAX_TOKEN_LENGTH} characters")
    segments = token.split(".", 3)
    if len(segments) != 3 or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise RefusedError("it is not a signed token in compact form")
    header = _read_object(segments[0], "header", provider)
    alg = _check_header(header, algorithms, accepts_type)
    signed, signature = f"{segments[0]}.{segments[1]}".encode("ascii"), _decode(segments[2], "signature")
    if alg in _HMAC:
        valid = _verify_hmac(alg, signed, signature, client_secret)
    else:
        valid = _verify_public(header, alg, signed, signature, keys)
    if not valid:
        raise RefusedError("its signature is wrong")
    return header, _read_object(segments[1], "payload", provider)


def _check_header(header: dict[str, Any], algorithms: Sequence[str], accepts_type: Callable[[str | None], bool]) -> str:
    alg, kind, kid = header.get("alg"), header.get("typ"), header.get("kid")
    allowed = [name for name in algorithms if name.lower() != "none"]
    if not isinstance(alg, str) or alg not in allowed:
        raise RefusedError(f"its algorithm is {_show(alg)}, and allowed is {', '.join(allowed) or 'none at all'}")
    if "crit" in header or "b64" in header:
        raise RefusedError("its header has critical extensions, and none is known here")
    if not isinstance(kind, (str, type(None))):
        raise RefusedError("its typ is not a text")
    if not accepts_type(kind.lower().removeprefix("application/") if kind else None):
        raise RefusedError(f"its typ is {_show(kind)}")
    if not isinstance(kid, (str, type(None))):
        raise RefusedError("its kid is not a text")
    return alg


def _verify_hmac(alg: str, signed: bytes, signature: bytes, client_secret: str | None) -> bool:
    if not client_secret:
        raise RefusedError(f"its algorithm is {alg}, and no client secret is configured")
    expected = hmac.digest(client_secret.encode("utf-8", "surrogatepass"), signed, _HMAC[alg])
    return hmac.compare_digest(expected, signature)


def _verify_public(
    header: Mapping[str, Any], alg: str, signed: bytes, signature: bytes, keys: KeySource | None
) -> bool:
    algorithm = JWSRegistry.algorithms.get(alg)
    if algorithm is None or keys is None:
        raise RefusedError(f"its algorithm {alg} is not supported")
    candidates = keys.keys_for(header)
    if not candidates:
        raise MissingKeyError(f"the provider has no key {_show(header.get('kid'))} for {alg}")
    return any(_fits(algorithm, candidate.key, signed, signature) for candidate in candidates[:MAX_CANDIDATES])


def _fits(algorithm: Any, key: Any, signed: bytes, signature: bytes) -> bool:
    try:
        algorithm.check_key(key)
        return bool(algorithm.verify(signed, signature, key))
    except Exception:
        return False


def _read_object(segment: str, what: str, provider: str) -> dict[str, Any]:
    try:
        value = parse_json(_decode(segment, what), provider=provider, source="the token")
    except ProviderResponseError:
        value = None
    if not isinstance(value, dict):
        raise RefusedError(f"its {what} is not a JSON object")
    return value


def _decode(segment: str, what: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise RefusedError(f"its {what} is not base64url") from None


def _show(value: object) -> str:
    return repr(clean_text(value, 60)) if isinstance(value, str) else "missing or not a text"


def refuse(kind: type[OAuthError], what: str, reason: RefusedError, provider: str) -> OAuthError:
    """:return: the error for a token that was refused: which one, and why."""
    return kind(description=f"the {what} is refused: {reason}", provider=provider)
