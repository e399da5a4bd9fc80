"""The stores in memory: for tests, and for trying the vault without a database. Nothing outlives the process."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..identity import Identity
from ..protocols import Event, IdentityRecord
from ..tokens import Protocol, StoredToken, TokenDict, join_scope, parse_expires_at, parse_expires_in

_RowKey = tuple[Protocol, Any]


class MemoryStore:
    """Tokens, identities and events behind one lock: ``TokenStore``, ``IdentityStore`` and ``EventSink`` in one.

    :param clock: seconds since the epoch, for identities.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.events: list[Event] = []
        self._lock = threading.RLock()
        self._ids = itertools.count(1)
        self._tokens: dict[_RowKey, StoredToken] = {}
        self._identities: dict[Any, IdentityRecord] = {}

    # TokenStore

    def load(self, user_id: Any, name: str, account: str | None = None, *, protocol: Protocol) -> StoredToken | None:
        with self._lock:
            found = [
                row
                for row in self._tokens.values()
                if (row.protocol, row.user_id, row.name) == (protocol, user_id, name)
                and (account is None or row.account == account)
            ]
            return _copy(max(found, key=lambda row: (self._last_login(row), row.id))) if found else None

    def reload(self, stored: StoredToken) -> StoredToken | None:
        with self._lock:
            row = self._tokens.get((stored.protocol, stored.id))
            return _copy(row) if row is not None else None

    def save(
        self,
        user_id: Any,
        name: str,
        token: Mapping[str, Any],
        account: str = "",
        *,
        protocol: Protocol,
        identity_id: Any = None,
        requested_scope: str | None = None,
        now: float,
    ) -> StoredToken:
        with self._lock:
            old = self.load(user_id, name, account, protocol=protocol)
            plain = _create_plain(token, protocol, now)
            row = StoredToken(
                id=next(self._ids) if old is None else old.id,
                user_id=user_id,
                name=name,
                account=account,
                protocol=protocol,
                token=plain,
                version=1 if old is None else old.version + 1,
                identity_id=identity_id if identity_id is not None or old is None else old.identity_id,
                expires_at=plain.get("expires_at"),
                issued_at=int(now),
                scope=plain.get("scope"),
                requested_scope=requested_scope,
            )
            return self._put(row)

    def claim(self, stored: StoredToken, *, owner: str, now: float, lease: float) -> StoredToken | None:
        with self._lock:
            row = self._get_version(stored)
            if row is None or row.status != "active" or (row.lease_owner and (row.lease_expires_at or 0) > now):
                return None
            return self._put(dataclasses.replace(row, lease_owner=owner, lease_expires_at=now + lease))

    def commit_refresh(self, stored: StoredToken, *, owner: str, token: TokenDict, now: float) -> StoredToken | None:
        with self._lock:
            row = self._get_version(stored)
            if row is None:
                return None
            plain = _create_plain(token, row.protocol, now)
            row = dataclasses.replace(
                row,
                token=plain,
                version=row.version + 1,
                status="active",
                expires_at=plain.get("expires_at"),
                issued_at=int(now),
                scope=plain.get("scope"),
                lease_owner=None,
                lease_expires_at=None,
                retry_at=None,
                failures=0,
                last_error=None,
            )
            return self._put(row)

    def release(self, stored: StoredToken, *, owner: str, error: str, retry_at: float | None, failures: int) -> None:
        with self._lock:
            row = self._get_version(stored)
            if row is None or row.lease_owner != owner:
                return
            row = dataclasses.replace(row, lease_owner=None, lease_expires_at=None)
            self._put(dataclasses.replace(row, retry_at=retry_at, failures=failures, last_error=error or None))

    def mark_reauth_required(self, stored: StoredToken, *, error: str) -> bool:
        with self._lock:
            row = self._get_version(stored)
            if row is None:
                return False
            row = dataclasses.replace(
                row,
                status="reauth_required",
                version=row.version + 1,
                last_error=error,
                lease_owner=None,
                lease_expires_at=None,
                retry_at=None,
            )
            self._put(row)
            return True

    # IdentityStore

    def find(self, identity: Identity) -> IdentityRecord | None:
        with self._lock:
            key = identity.login_key
            return next(
                (row for row in self._identities.values() if row.can_log_in and row.identity.login_key == key), None
            )

    def find_connection(self, user_id: Any, name: str, subject: str) -> IdentityRecord | None:
        with self._lock:
            wanted = (user_id, name, subject)
            rows = self._identities.values()
            return next((r for r in rows if (r.user_id, r.identity.name, r.identity.subject) == wanted), None)

    def list_for_user(self, user_id: Any) -> Sequence[IdentityRecord]:
        with self._lock:
            return [row for row in self._identities.values() if row.user_id == user_id]

    def email_is_taken(self, email: str) -> bool:
        wanted = email.strip().casefold()
        with self._lock:
            return any(
                row.identity.email_verified is True and (row.identity.email or "").strip().casefold() == wanted
                for row in self._identities.values()
            )

    # EventSink

    def record(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)

    def _put(self, row: StoredToken) -> StoredToken:
        self._tokens[row.protocol, row.id] = row
        return _copy(row)

    def _get_version(self, stored: StoredToken) -> StoredToken | None:
        row = self._tokens.get((stored.protocol, stored.id))
        return row if row is not None and row.version == stored.version else None

    def _last_login(self, row: StoredToken) -> float:
        record = self._identities.get(row.identity_id)
        return (record.last_login_at if record is not None else None) or 0.0


def _copy(row: StoredToken) -> StoredToken:
    return dataclasses.replace(row, token=TokenDict(row.token))


def _create_plain(token: Mapping[str, Any], protocol: Protocol, now: float) -> TokenDict:
    """The token as ``to_token()`` writes it: the known fields, without what is ``None``."""
    if protocol == "oauth1":
        keys: tuple[str, ...] = ("oauth_token", "oauth_token_secret")
        return TokenDict({key: token[key] for key in keys if token.get(key) is not None})
    expires_at = parse_expires_at(token.get("expires_at"))
    lifetime = parse_expires_in(token.get("expires_in"))
    if expires_at is None and lifetime is not None:
        expires_at = int(now) + lifetime
    values = {
        "access_token": token.get("access_token"),
        "token_type": token.get("token_type") or "Bearer",
        "refresh_token": token.get("refresh_token") or None,
        "id_token": token.get("id_token") or None,
        "scope": join_scope(token.get("scope")),
        "expires_at": expires_at,
    }
    return TokenDict({key: value for key, value in values.items() if value is not None})
