"""Stored tokens in memory, one half of :class:`.memory.MemoryStore`."""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import SealedValueError
from ..tokens import Protocol, StoredToken, TokenDict, join_scope, merge_refreshed, parse_expires_at, parse_expires_in

_FREE: dict[str, Any] = {"lease_owner": None, "lease_expires_at": None}
_HEALTHY: dict[str, Any] = {**_FREE, "status": "active", "retry_at": None, "failures": 0, "last_error": None}


class MemoryTokenStore:
    """Stored tokens in a dictionary behind one lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ids = itertools.count(1)
        self._tokens: dict[tuple[Protocol, Any], StoredToken] = {}
        self._last_logins: dict[tuple[Protocol, Any], float] = {}

    def load(self, user_id: Any, name: str, account: str | None = None, *, protocol: Protocol) -> StoredToken | None:
        with self._lock:
            found = [
                row
                for row in self._tokens.values()
                if (row.protocol, row.user_id, row.name) == (protocol, user_id, name)
                and (account is None or row.account == account)
            ]
            newest = max(found, key=lambda row: (self._last_logins[protocol, row.id], row.id), default=None)
            return None if newest is None else _copy(newest)

    def reload(self, stored: StoredToken) -> StoredToken | None:
        with self._lock:
            row = self._tokens.get((stored.protocol, stored.id))
            return None if row is None or not _is_same_row(row, stored) else _copy(row)

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
            place = (user_id, name, account)
            links = {"identity_id": identity_id, "requested_scope": requested_scope}
            return self._save_token(place, token, protocol, **links, now=now, login=True)

    def _save_token(
        self,
        place: tuple[Any, str, str],
        token: Mapping[str, Any],
        protocol: Protocol,
        *,
        identity_id: Any,
        requested_scope: str | None,
        now: float,
        login: bool,
    ) -> StoredToken:
        user_id, name, account = place
        old = self.load(user_id, name, account, protocol=protocol)
        if old is None:
            first = secrets.randbelow(2**30)
            old = StoredToken(next(self._ids), user_id, name, account, protocol, TokenDict(), version=first)
            self._last_logins[protocol, old.id] = 0.0
        if login:
            self._last_logins[protocol, old.id] = now
        return self._put_token(
            old,
            merge_refreshed(old.token, _create_plain(_complete_scope(token, requested_scope), protocol, now)),
            now,
            identity_id=old.identity_id if identity_id is None else identity_id,
            requested_scope=requested_scope,
        )

    def claim(self, stored: StoredToken, *, owner: str, now: float, lease: float) -> StoredToken | None:
        with self._lock:
            found = self._get_version(stored)
            row = None if found is None else _copy(found)
            if row is None or row.status != "active" or row.failures != stored.failures:
                return None
            if row.protocol == "oauth1" or (row.lease_owner and (row.lease_expires_at or 0) > now):
                return None
            return self._put(dataclasses.replace(row, lease_owner=owner, lease_expires_at=now + lease))

    def commit_refresh(self, stored: StoredToken, *, owner: str, token: TokenDict, now: float) -> StoredToken | None:
        with self._lock:
            row = self._get_version(stored)
            return None if row is None else self._put_token(row, _create_plain(token, row.protocol, now), now)

    def release(self, stored: StoredToken, *, owner: str, error: str, retry_at: float | None, failures: int) -> None:
        with self._lock:
            row = self._get_version(stored)
            if row is None or row.lease_owner != owner:
                return
            self._put(dataclasses.replace(row, **_FREE, retry_at=retry_at, failures=failures, last_error=error or None))

    def when_settled(self, action: Callable[[], object]) -> None:
        action()

    def mark_reauth_required(self, stored: StoredToken, *, error: str) -> bool:
        with self._lock:
            row = self._get_version(stored)
            if row is None:
                return False
            if stored.unreadable:
                marked: dict[str, Any] = {"status": "reauth_required", "last_error": error, "updated_at": time.time()}
                self._put(dataclasses.replace(row, **marked))
                return row.status == "active"
            self._end(row, "reauth_required", error, ("refresh_token",))
            return True

    def mark_revoked(self, stored: StoredToken, *, error: str | None = None) -> bool:
        with self._lock:
            row = self._get_version(stored)
            if row is None:
                return False
            self._end(row, "revoked", error, tuple(row.token))
            return True

    def delete_token(self, stored: StoredToken) -> bool:
        with self._lock:
            row = self._tokens.get((stored.protocol, stored.id))
            if row is None:
                return False
            self._delete_tokens([row])
            return True

    def _end(self, row: StoredToken, status: str, error: str | None, dropped: Sequence[str]) -> None:
        token = TokenDict({key: value for key, value in row.token.items() if key not in dropped})
        ended: dict[str, Any] = {
            **_HEALTHY,
            "status": status,
            "last_error": error,
            "token": token,
            "updated_at": time.time(),
        }
        self._put(dataclasses.replace(row, **ended, version=row.version + 1))

    def tokens_for_identity(self, identity_id: Any) -> Sequence[StoredToken]:
        with self._lock:
            return [_copy(row) for row in self._tokens.values() if row.identity_id == identity_id]

    def tokens_for_user(self, user_id: Any) -> Sequence[StoredToken]:
        with self._lock:
            return [_copy(row) for row in self._tokens.values() if row.user_id == user_id]

    def iter_tokens(
        self,
        *,
        protocol: Protocol = "oauth2",
        status: str | None = None,
        expiring_before: float | None = None,
        name: str | None = None,
        user_id: Any = None,
        batch: int = 500,
    ) -> Iterator[StoredToken]:
        with self._lock:
            rows = [_copy(row) for row in self._tokens.values() if row.protocol == protocol]
        for row in rows:
            if (
                status in (None, row.status)
                and name in (None, row.name)
                and user_id in (None, row.user_id)
                and (expiring_before is None or (row.expires_at is not None and row.expires_at < expiring_before))
            ):
                yield row

    def _get_version(self, stored: StoredToken) -> StoredToken | None:
        row = self._tokens.get((stored.protocol, stored.id))
        return row if row is not None and _is_same_row(row, stored) and row.version == stored.version else None

    def _put_token(self, row: StoredToken, token: TokenDict, now: float, **values: Any) -> StoredToken:
        values = {**_HEALTHY, **values, "expires_at": token.get("expires_at"), "scope": token.get("scope")}
        values |= {"issued_at": int(now), "updated_at": now, "version": row.version + 1}
        return self._put(dataclasses.replace(row, **values, token=token))

    def _put(self, row: StoredToken) -> StoredToken:
        self._tokens[row.protocol, row.id] = row
        return _copy(row)

    def _delete_tokens(self, rows: Sequence[StoredToken]) -> None:
        for row in rows:
            del self._tokens[row.protocol, row.id]
            del self._last_logins[row.protocol, row.id]


def _is_same_row(one: StoredToken, other: StoredToken) -> bool:
    return (one.user_id, one.name, one.account) == (other.user_id, other.name, other.account)


def _copy(row: StoredToken) -> StoredToken:
    """What is read: a row that was marked because it did not open is active again, for here it opens."""
    marked = (row.status, row.last_error) == ("reauth_required", SealedValueError.code)
    healthy: dict[str, Any] = {"status": "active", "last_error": None} if marked else {}
    return dataclasses.replace(row, token=TokenDict(row.token), **healthy)


def _complete_scope(token: Mapping[str, Any], requested_scope: str | None) -> Mapping[str, Any]:
    """RFC 6749 section 5.1: a scope that the answer to a consent leaves out is the one that was asked for."""
    return {**token, "scope": join_scope(requested_scope)} if requested_scope and not token.get("scope") else token


def _create_plain(token: Mapping[str, Any], protocol: Protocol, now: float) -> TokenDict:
    """The token as ``to_token()`` writes it: the known fields, without what is ``None``."""
    if protocol == "oauth1":
        keys = ("oauth_token", "oauth_token_secret")
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
