"""The stores in memory: for tests, and for trying the package without a database. Nothing outlives the process.

It keeps the promises of the ports as the database does, and is tested by the same suite.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import LastLoginMethodError
from ..identity import Identity
from ..protocols import ConcurrentLogin, Event, IdentityRecord
from ..tokens import Protocol
from .memory_tokens import MemoryTokenStore


class MemoryStore(MemoryTokenStore):
    """Tokens, identities, events and users in one: what the vault and the account service ask of a store.

    :param unique: attributes of users that no two may share.
    :ivar users: by id. An object put here is a user of the application; one without an ``id`` gets the next number.
    :ivar events: everything recorded, oldest first.
    """

    def __init__(self, *, unique: Sequence[str] = ("email", "username")) -> None:
        super().__init__()
        self.unique = tuple(unique)
        self.users: dict[Any, Any] = {}
        self.events: list[Event] = []
        self._identities: dict[Any, IdentityRecord] = {}

    def find(self, identity: Identity) -> IdentityRecord | None:
        key = identity.login_key
        with self._lock:
            rows = [row for row in self._identities.values() if row.can_log_in and row.identity.login_key == key]
            return max(rows, key=lambda row: row.identity.name == identity.name, default=None)

    def find_connection(self, user_id: Any, name: str, subject: str) -> IdentityRecord | None:
        wanted = (user_id, name, subject)
        with self._lock:
            rows = self._identities.values()
            return next((r for r in rows if (r.user_id, r.identity.name, r.identity.subject) == wanted), None)

    def list_for_user(self, user_id: Any) -> Sequence[IdentityRecord]:
        with self._lock:
            return [row for row in self._identities.values() if row.user_id == user_id]

    def email_is_taken(self, email: str) -> bool:
        return bool(self._find_owners(email))

    def owns_email(self, user_id: Any, email: str) -> bool:
        return user_id in self._find_owners(email)

    def _find_owners(self, email: str) -> set[Any]:
        wanted = email.strip().lower()
        with self._lock:
            addresses = [(key, getattr(user, "email", None)) for key, user in self.users.items()]
            rows = [row for row in self._identities.values() if row.identity.email_verified is True]
            addresses += [(row.user_id, row.identity.email) for row in rows]
        return {owner for owner, address in addresses if address and address.strip().lower() == wanted}

    def find_verified_user(self, email: str) -> Any | None:
        wanted = email.strip().lower()
        with self._lock:
            found = [
                key
                for key, user in self.users.items()
                if (getattr(user, "email", None) or "").strip().lower() == wanted
                and getattr(user, "email_verified", None) is True
            ]
        return found[0] if len(found) == 1 else None

    def user_value_is_free(self, attribute: str, value: str) -> bool:
        with self._lock:
            return all(getattr(user, attribute, None) != value for user in self.users.values())

    def record(self, event: Event) -> None:
        with self._lock:
            self.events.append(event)

    def record_login(
        self,
        identity: Identity,
        *,
        protocol: Protocol,
        token: Mapping[str, Any] | None,
        requested_scope: str | None,
        kind: str,
        user_id: Any = None,
        new_user: Any = None,
        record: IdentityRecord | None = None,
        can_log_in: bool = True,
        now: float,
    ) -> tuple[IdentityRecord, Any]:
        login = kind in ("login", "signup")
        with self._lock:
            if record is not None and user_id is None:
                user_id = record.user_id
            is_shared = record is not None and record.identity.name != identity.name
            if is_shared:
                record = self.find_connection(user_id, identity.name, identity.subject)
            can_log_in = can_log_in or (record is not None and record.can_log_in)
            self._check_unique(identity, user_id, new_user, record, can_log_in=can_log_in, is_shared=is_shared)
            if new_user is not None:
                user_id = self._add_user(new_user)
            old = record or IdentityRecord(next(self._ids), user_id, identity, can_log_in, created_at=now)
            written = dataclasses.replace(
                old,
                identity=identity,
                can_log_in=can_log_in,
                last_login_at=now if login else old.last_login_at,
            )
            self._identities[written.id] = written
            if token is not None:
                self._save_token(
                    (user_id, identity.name, identity.subject),
                    token,
                    protocol,
                    identity_id=written.id,
                    requested_scope=requested_scope,
                    now=now,
                    login=login,
                )
            self.record(Event(kind, "success", identity.name, user_id, written.id, identity.subject))
            return written, user_id

    def delete_identity(self, identity_id: Any, user_id: Any, *, event: Event, keep_a_login: bool = False) -> bool:
        with self._lock:
            row = self._identities.get(identity_id)
            if row is None or row.user_id != user_id:
                return False
            others = [item for item in self.list_for_user(user_id) if item.id != row.id]
            if keep_a_login and row.can_log_in and not any(other.can_log_in for other in others):
                raise LastLoginMethodError(provider=row.identity.name)
            is_last = all(other.name != row.name for other in others)
            accounts = (row.subject, "") if is_last else (row.subject,)
            tokens = self.tokens_for_user(user_id)
            self._delete_tokens(
                [t for t in tokens if t.identity_id == identity_id or (t.name == row.name and t.account in accounts)]
            )
            del self._identities[identity_id]
            self.record(event)
            return True

    def delete_for_user(self, user_id: Any, *, event: Event | None = None) -> int:
        with self._lock:
            tokens, identities = self.tokens_for_user(user_id), self.list_for_user(user_id)
            self._delete_tokens(tokens)
            for row in identities:
                del self._identities[row.id]
            self.events = [known for known in self.events if known.user_id != user_id]
            if event is not None:
                self.record(event)
            return len(tokens) + len(identities)

    def _check_unique(
        self,
        identity: Identity,
        user_id: Any,
        new_user: Any,
        record: IdentityRecord | None,
        *,
        can_log_in: bool,
        is_shared: bool,
    ) -> None:
        """:raises ConcurrentLogin: where a database would refuse the rows; nothing is written yet."""
        known = self.find(identity) if can_log_in else None
        if known is not None and (known.user_id != user_id or (record is None and not is_shared)):
            raise ConcurrentLogin
        connected = self.find_connection(user_id, identity.name, identity.subject)
        if connected is not None and (record is None or connected.id != record.id):
            raise ConcurrentLogin
        if record is not None and record.id not in self._identities:
            raise ConcurrentLogin
        if new_user is None:
            return
        for attribute in self.unique:
            value = getattr(new_user, attribute, None)
            if value is not None and not self.user_value_is_free(attribute, value):
                raise ConcurrentLogin

    def _add_user(self, user: Any) -> Any:
        if getattr(user, "id", None) is None:
            user.id = next(self._ids)
        self.users[user.id] = user
        return user.id
