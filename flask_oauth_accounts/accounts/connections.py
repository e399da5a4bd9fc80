"""The health of connected accounts, as values for a page or a front end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..protocols import IdentityRecord
from ..tokens import Protocol, StoredToken

Status = Literal["active", "reauth_required", "revoked", "no_token"]


@dataclass(frozen=True)
class Connection:
    """One connected account.

    :ivar record: the identity.
    :ivar status: ``active``; ``reauth_required`` where only a new consent helps; ``revoked``; ``no_token`` where
        none is stored.
    :ivar protocol: ``None`` where no token is stored.
    :ivar expires_at: seconds since the epoch at which the access token ends, ``None`` where unknown.
    :ivar retry_at: seconds since the epoch before which no refresh is tried again, ``None`` where none has failed.
    :ivar last_error: the code of the last failure.
    :ivar scope: as granted.
    :ivar renewable: the access token can be had anew without the user, or never ends.
    :ivar can_disconnect: ``False`` for the last way to log in.
    :ivar ended_at: seconds since the epoch at which the provider was found to accept the grant no more.
    """

    record: IdentityRecord
    status: Status
    protocol: Protocol | None = None
    expires_at: int | None = None
    retry_at: float | None = None
    last_error: str | None = None
    scope: str | None = None
    renewable: bool = False
    can_disconnect: bool = True
    ended_at: float | None = None


@dataclass(frozen=True)
class Disconnected:
    """What became of a connection that was removed here.

    :ivar revoked: ``True`` where the provider has revoked the grant, ``False`` where that did not work, ``None``
        where the provider offers no way or no token was stored.
    """

    record: IdentityRecord
    revoked: bool | None


@dataclass(frozen=True)
class Forgotten:
    """What was removed of a user.

    :ivar connections: identities deleted.
    :ivar tokens: tokens deleted.
    :ivar revoked: tokens that the provider has revoked.
    :ivar not_revoked: tokens that the provider did not revoke although it was asked.
    """

    connections: int
    tokens: int
    revoked: int
    not_revoked: int


def create_connection(record: IdentityRecord, tokens: Iterable[StoredToken], *, can_disconnect: bool) -> Connection:
    """Describe one connection by its best token: a working one before a dead one, a newer before an older.

    :param tokens: those of this identity.
    """
    best = max(tokens, key=lambda token: (_read_status(token) == "active", token.issued_at or 0), default=None)
    if best is None:
        return Connection(record, "no_token", can_disconnect=can_disconnect)
    return Connection(
        record,
        _read_status(best),
        protocol=best.protocol,
        expires_at=best.expires_at,
        retry_at=best.retry_at,
        last_error=best.last_error,
        scope=best.scope,
        renewable=best.expires_at is None or bool(best.token.get("refresh_token")),
        can_disconnect=can_disconnect,
        ended_at=best.updated_at if best.status != "active" else None,
    )


def _read_status(token: StoredToken) -> Status:
    if token.status == "revoked":
        return "revoked"
    return "reauth_required" if token.unreadable or token.status == "reauth_required" else "active"


def summarise_revocations(results: Iterable[bool | None]) -> bool | None:
    """One answer for several tokens: ``False`` if any stayed, ``True`` if one went, ``None`` if none could be asked."""
    seen = set(results)
    return False if False in seen else True if True in seen else None
