"""Tokens as plain values: what an answer may hold, what it may not erase, and when a token is due.

Nothing here talks to anybody.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ProviderResponseError, UnsupportedTokenTypeError

MAX_TOKEN_LENGTH = 65_536
"""The longest token that is accepted, in characters."""

_MAX_LIFETIME = 100 * 366 * 86_400
_LATEST = 10**11
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_SECRET_KEYS = frozenset({"access_token", "refresh_token", "id_token", "oauth_token", "oauth_token_secret"})

Protocol = Literal["oauth1", "oauth2"]


class Secret(str):
    """A text that is as any other, but that a ``repr`` does not show.

    Local variables end up in error reports by their ``repr``; so what is secret is one of these while it is at hand.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"

    def __str__(self) -> str:
        return self


def hide(value: str | None) -> str | None:
    """:return: the text as a :class:`Secret`, ``None`` for ``None``."""
    return None if value is None else Secret(value)


class TokenDict(dict[str, Any]):
    """A token as a dictionary, whose ``repr`` shows no secret."""

    def __repr__(self) -> str:
        shown = {key: ("…" if key in _SECRET_KEYS and value else value) for key, value in self.items()}
        known = {key: shown[key] for key in ("token_type", "expires_at", "scope") if key in shown}
        return f"<{type(self).__name__} {', '.join(sorted(self))} {known}>"

    __str__ = __repr__

    def is_expired(self, now: float | None = None) -> bool:
        """Whether ``expires_at`` has passed; an unknown expiry (``None`` or ``0``) never has.

        :param now: seconds since the epoch; the current time when left out.
        """
        expires_at = parse_expires_at(self.get("expires_at"))
        return expires_at is not None and expires_at <= (time.time() if now is None else now)


def parse_expires_at(value: object) -> int | None:
    """Read a stored ``expires_at``.

    :param value: seconds since the epoch as a number or a string of digits; ``None``, ``0`` and ``""`` mean unknown.
    :return: whole seconds since the epoch, at most those that every database takes, or ``None`` where the expiry is
        unknown.
    """
    seconds = _number(value)
    return max(-_LATEST, min(_LATEST, int(seconds))) if seconds else None


def parse_expires_in(value: object) -> int | None:
    """Read the ``expires_in`` of an answer (RFC 6749 section 5.1).

    :param value: seconds, as a number or a string of digits.
    :return: whole seconds, 0 for a token that has expired already, or ``None`` where the value says nothing usable.
    """
    seconds = _number(value)
    if seconds is None or seconds < 0:
        return None
    return min(int(seconds), _MAX_LIFETIME)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text or len(text) > 20:
            return None
        try:
            value = float(text)
        except ValueError:
            return None
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def parse_scope(value: object) -> frozenset[str]:
    """Read a scope in any of the forms that are sent: separated by spaces or commas, or a list.

    :return: the single scopes.
    """
    if isinstance(value, str):
        return frozenset(value.replace(",", " ").split())
    if isinstance(value, Iterable) and not isinstance(value, Mapping):
        return frozenset(item for item in value if isinstance(item, str) and item)
    return frozenset()


def join_scope(value: object) -> str | None:
    """Write a scope as RFC 6749 section 3.3 does, in the order given.

    :return: the single scopes that consist of that section's characters, which every database takes, with spaces in
        between; ``None`` where there is none.
    """
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    if not isinstance(value, (list, tuple)):
        return None
    parts = (part for item in value if isinstance(item, str) for part in item.split())
    return " ".join(part for part in parts if _SCOPE.fullmatch(part)) or None


def _secret(payload: Mapping[str, Any], key: str, provider: str | None) -> str | None:
    value = payload.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_TOKEN_LENGTH or not value.isprintable() or " " in value:
        raise ProviderResponseError(description=f"'{key}' in the answer is not a usable token", provider=provider)
    return value


def is_bearer(token: Mapping[str, Any]) -> bool:
    """:return: whether ``token_type`` is Bearer, in any case (RFC 6749 section 5.1); absent, null and empty are."""
    token_type = token.get("token_type")
    return token_type is None or (isinstance(token_type, str) and token_type.lower() in ("", "bearer"))


def parse_token_answer(payload: object, *, now: float, provider: str | None = None) -> TokenDict:
    """Check the body of a successful token answer (RFC 6749 section 5.1).

    ``token_type`` absent or null means Bearer; ``expires_at`` from outside is ignored, the own clock counts.
    Fields that this package does not know are kept as they came.

    :param payload: the decoded body.
    :param now: seconds since the epoch.
    :param provider: name of the client, for the error.
    :return: the token, with ``access_token``, ``token_type`` and, where they are known, ``refresh_token``,
        ``id_token``, ``scope``, ``expires_in`` and ``expires_at``.
    :raises ProviderResponseError: if there is no usable access token.
    :raises UnsupportedTokenTypeError: if the type is neither Bearer nor absent.
    """
    if not isinstance(payload, Mapping):
        raise ProviderResponseError(description="the token answer is not a JSON object", provider=provider)
    access_token = _secret(payload, "access_token", provider)
    if access_token is None:
        raise ProviderResponseError(description="the token answer has no access_token", provider=provider)
    token_type = payload.get("token_type")
    if not is_bearer(payload):
        raise UnsupportedTokenTypeError(description="the token answer is not of the type Bearer", provider=provider)
    known = {"access_token", "token_type", "refresh_token", "id_token", "scope", "expires_in", "expires_at"}
    token = TokenDict({key: value for key, value in payload.items() if key not in known})
    token["access_token"] = access_token
    token["token_type"] = token_type or "Bearer"
    for key in ("refresh_token", "id_token"):
        secret = _secret(payload, key, provider)
        if secret is not None:
            token[key] = secret
    scope = join_scope(payload.get("scope"))
    if scope is not None:
        token["scope"] = scope
    lifetime = parse_expires_in(payload.get("expires_in"))
    if lifetime is not None:
        token["expires_in"] = lifetime
        token["expires_at"] = int(now) + lifetime
    return token


def merge_refreshed(stored: Mapping[str, Any], answer: Mapping[str, Any]) -> TokenDict:
    """Lay a refresh answer over the stored token.

    An absent or null ``refresh_token``, ``scope`` or ``id_token`` never erases a stored one; an absent
    ``expires_in`` makes the expiry unknown, for the old one belongs to the old access token.

    :param stored: the token that was refreshed.
    :param answer: what :func:`parse_token_answer` returned.
    :return: a new token; neither argument is changed.
    """
    merged = TokenDict(answer)
    for key in ("refresh_token", "scope", "id_token"):
        if not merged.get(key) and stored.get(key):
            merged[key] = stored[key]
    return merged


def is_due(expires_at: int | None, lifetime: int | None, *, now: float, leeway: float | None = None) -> bool:
    """Whether a token should be refreshed before it is used.

    :param expires_at: seconds since the epoch; ``None`` where unknown, which is never due.
    :param lifetime: seconds from issue to expiry; ``None`` where unknown.
    :param now: seconds since the epoch.
    :param leeway: seconds before the expiry from which on the token is due, of which no more than half of a known
        lifetime counts, or a new token would be due at once; when left out, the smaller of 60 s and a tenth of the
        lifetime.
    """
    if not expires_at:
        return False
    if lifetime is None or lifetime <= 0:
        leeway = 60.0 if leeway is None else leeway
    else:
        leeway = min(60.0, lifetime / 10) if leeway is None else min(leeway, lifetime / 2)
    return expires_at - leeway <= now


@dataclass(frozen=True)
class StoredToken:
    """One row of ``oauth1_token`` or ``oauth2_token`` as a value; ``repr`` shows no secret.

    :ivar id: primary key.
    :ivar user_id: of the type that the user model has.
    :ivar name: of the client in the registry.
    :ivar account: the provider account (its subject), ``""`` where it is not known.
    :ivar token: in the form that clients take, as ``to_token()`` writes it.
    :ivar status: ``active``, ``reauth_required`` or ``revoked``.
    :ivar version: grows by one with every write.
    :ivar expires_at: seconds since the epoch, ``None`` where unknown.
    :ivar issued_at: seconds since the epoch of the last new access token.
    :ivar issued_for: its lifetime in seconds when it came, whatever becomes of ``expires_at``.
    :ivar lease_owner: who refreshes it at the moment.
    :ivar lease_expires_at: seconds since the epoch up to which that claim holds.
    :ivar retry_at: seconds since the epoch before which no refresh is tried again.
    :ivar failures: refreshes that failed in a row.
    :ivar unreadable: the sealed secrets do not open; ``token`` is empty then.
    :ivar updated_at: seconds since the epoch of the last change; for a dead token, since when it is dead.
    """

    id: Any
    user_id: Any
    name: str
    account: str
    protocol: Protocol
    token: TokenDict = field(repr=False)
    status: str = "active"
    version: int = 0
    identity_id: Any = None
    expires_at: int | None = None
    issued_at: int | None = None
    issued_for: int | None = None
    refresh_expires_at: int | None = None
    scope: str | None = None
    requested_scope: str | None = None
    lease_owner: str | None = None
    lease_expires_at: float | None = None
    retry_at: float | None = None
    failures: int = 0
    last_error: str | None = None
    unreadable: bool = False
    updated_at: float | None = None

    @property
    def lifetime(self) -> int | None:
        """Seconds from issue to expiry, ``None`` where unknown."""
        if self.issued_for is not None:
            return self.issued_for
        if self.expires_at is None or self.issued_at is None:
            return None
        return self.expires_at - self.issued_at
