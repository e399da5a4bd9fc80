"""A small real store for the account service: users, identities and tokens behind one lock, with unique keys."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from flask_oauth_accounts.accounts import AccountPolicy, AccountService, Notice
from flask_oauth_accounts.config import Settings
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import AccountStore, ConcurrentLogin, Event, IdentityRecord
from flask_oauth_accounts.tokens import Protocol, StoredToken, TokenDict

NOW = 1_700_000_000.0


class User:
    """A user model without a database."""

    id: Any = None
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    username: str | None = None
    display_name: str | None = None
    avatar_url: str | None = None
    is_active: bool = True
    is_admin: bool = False


class Store:
    """What :class:`AccountStore` asks for, in memory."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.ids = itertools.count(1)
        self.users: dict[Any, User] = {}
        self.identities: dict[Any, IdentityRecord] = {}
        self.tokens: dict[Any, StoredToken] = {}
        self.events: list[Event] = []
        self.before_write: Callable[[], None] = lambda: None

    def add_user(self, **values: Any) -> User:
        """Insert a user.

        :raises ConcurrentLogin: if the user name or the address is taken.
        """
        user = User()
        for key, value in values.items():
            setattr(user, key, value)
        self._insert_user(user)
        return user

    def _insert_user(self, user: User) -> None:
        for key in ("email", "username"):
            value = getattr(user, key)
            if value is not None and not self.user_value_is_free(key, value):
                raise ConcurrentLogin
        user.id = next(self.ids)
        self.users[user.id] = user

    def find(self, identity: Identity) -> IdentityRecord | None:
        with self.lock:
            rows = self.identities.values()
            return next((r for r in rows if r.can_log_in and r.identity.login_key == identity.login_key), None)

    def find_connection(self, user_id: Any, name: str, subject: str) -> IdentityRecord | None:
        with self.lock:
            wanted = (user_id, name, subject)
            rows = self.identities.values()
            return next((r for r in rows if (r.user_id, r.identity.name, r.identity.subject) == wanted), None)

    def list_for_user(self, user_id: Any) -> Sequence[IdentityRecord]:
        with self.lock:
            return [row for row in self.identities.values() if row.user_id == user_id]

    def email_is_taken(self, email: str) -> bool:
        with self.lock:
            wanted = email.lower()
            verified = [r.identity.email for r in self.identities.values() if r.identity.email_verified is True]
            emails = [user.email for user in self.users.values()] + verified
            return any(item is not None and item.lower() == wanted for item in emails)

    def record(self, event: Event) -> None:
        self.events.append(event)

    def record_login(
        self,
        identity: Identity,
        *,
        protocol: Protocol,
        token: Mapping[str, Any],
        requested_scope: str | None,
        kind: str,
        user_id: Any = None,
        new_user: Any = None,
        record: IdentityRecord | None = None,
        can_log_in: bool = True,
        now: float,
    ) -> tuple[IdentityRecord, Any]:
        self.before_write()
        with self.lock:
            other = self.find(identity)
            if can_log_in and other is not None and (record is None or other.id != record.id):
                raise ConcurrentLogin
            if record is not None and record.id not in self.identities:
                raise ConcurrentLogin
            if new_user is not None:
                self._insert_user(new_user)
                user_id = new_user.id
            created_at = now if record is None else record.created_at
            row_id = next(self.ids) if record is None else record.id
            row = IdentityRecord(row_id, user_id, identity, can_log_in, created_at, now)
            self.identities[row.id] = row
            self.put_token(row, token, protocol=protocol, requested_scope=requested_scope, issued_at=int(now))
            self.events.append(Event(kind, "ok", identity.name, user_id, row.id, identity.subject))
            return row, user_id

    def put_token(self, row: IdentityRecord, token: Mapping[str, Any], **values: Any) -> StoredToken:
        old = next((item for item in self.tokens.values() if item.identity_id == row.id), None)
        stored = StoredToken(
            id=next(self.ids) if old is None else old.id,
            user_id=row.user_id,
            name=row.identity.name,
            account=row.identity.subject,
            token=TokenDict(token),
            identity_id=row.id,
            scope=token.get("scope"),
            expires_at=token.get("expires_at"),
            **values,
        )
        self.tokens[stored.id] = stored
        return stored

    def change_token(self, identity_id: Any, **values: Any) -> None:
        [stored] = self.tokens_for_identity(identity_id)
        self.tokens[stored.id] = dataclasses.replace(stored, **values)

    def delete_identity(self, identity_id: Any, user_id: Any, *, event: Event) -> bool:
        with self.lock:
            row = self.identities.get(identity_id)
            if row is None or row.user_id != user_id:
                return False
            del self.identities[identity_id]
            for token in self.tokens_for_identity(identity_id):
                del self.tokens[token.id]
            self.events.append(event)
            return True

    def tokens_for_identity(self, identity_id: Any) -> Sequence[StoredToken]:
        return [token for token in self.tokens.values() if token.identity_id == identity_id]

    def tokens_for_user(self, user_id: Any) -> Sequence[StoredToken]:
        return [token for token in self.tokens.values() if token.user_id == user_id]

    def delete_for_user(self, user_id: Any, *, event: Event) -> int:
        with self.lock:
            rows, tokens = self.list_for_user(user_id), self.tokens_for_user(user_id)
            for row in rows:
                del self.identities[row.id]
            for token in tokens:
                del self.tokens[token.id]
            self.events.append(event)
            return len(rows) + len(tokens)

    def find_verified_user(self, email: str) -> Any | None:
        rows = self.users.values()
        return next((u.id for u in rows if u.email_verified and (u.email or "").lower() == email.lower()), None)

    def user_value_is_free(self, attribute: str, value: str) -> bool:
        with self.lock:
            return all(getattr(user, attribute) != value for user in self.users.values())


def _check_port(store: Store) -> AccountStore:
    return store


@dataclass
class World:
    """One application: its store, its policy and settings, and what it was told."""

    store: Store = field(default_factory=Store)
    notices: list[Notice] = field(default_factory=list)
    now: float = NOW

    def create_service(
        self,
        policy: AccountPolicy | None = None,
        *,
        notify: Callable[[Notice], None] | None = None,
        **settings: Any,
    ) -> AccountService:
        """An account service on this store, with these settings of the package."""
        return AccountService(
            self.store,
            policy or AccountPolicy(),
            settings=Settings(**settings),
            load_user=self.store.users.get,
            clock=lambda: self.now,
            notify=notify or self.notices.append,
            user_model=User,
        )

    @property
    def signals(self) -> list[str]:
        """The names of the signals that were sent."""
        return [notice.signal for notice in self.notices]

    @property
    def rows(self) -> tuple[int, int, int, int]:
        """How many users, identities, tokens and events there are."""
        store = self.store
        return len(store.users), len(store.identities), len(store.tokens), len(store.events)


@pytest.fixture
def world() -> World:
    """An application without any user."""
    return World()


@pytest.fixture
def make_identity() -> Callable[..., Identity]:
    """Make identities of GitHub's, with one subject unless another is given."""

    def make(subject: str = "1", **values: Any) -> Identity:
        return Identity(**{"name": "github", "issuer": "https://github.com", "subject": subject, **values})

    return make
