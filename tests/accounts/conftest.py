"""One application for the account service: the shipped store in memory, its users, and what was told about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from flask_oauth_accounts.accounts import AccountPolicy, AccountService, Notice
from flask_oauth_accounts.config import Settings
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import AccountStore, ConcurrentLogin, Event, IdentityRecord
from flask_oauth_accounts.storage.memory import MemoryStore
from flask_oauth_accounts.tokens import StoredToken

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


class Store(MemoryStore):
    """The shipped store; ``before_write`` is where a test lets somebody else be faster."""

    def __init__(self) -> None:
        super().__init__()
        self.before_write: Callable[[], None] = lambda: None

    def record_login(self, identity: Identity, **values: Any) -> tuple[IdentityRecord, Any]:
        self.before_write()
        return super().record_login(identity, **values)


def _check_port(store: AccountStore) -> None:
    """Let the type checker compare the store with its port."""


class Asked:
    """Passes everything on to a store, and remembers what was asked."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self.store, name)


class World:
    """One application: its store, its users, and the signals that were sent."""

    user_model: Any = User

    def __init__(self) -> None:
        self.store = Store()
        self.asked = Asked(self.store)
        self.notices: list[Notice] = []
        self.now = NOW
        self.hidden: set[Any] = set()

    def create_service(
        self, policy: AccountPolicy | None = None, *, notify: Callable[[Notice], None] | None = None, **settings: Any
    ) -> AccountService:
        """An account service on this store, with these settings of the package."""
        _check_port(self.store)
        return AccountService(
            cast("AccountStore", self.asked),
            policy or AccountPolicy(),
            settings=Settings(**settings),
            load_user=self.load_user,
            clock=lambda: self.now,
            notify=notify or self.notices.append,
            user_model=self.user_model,
        )

    def load_user(self, user_id: Any) -> Any:
        """The user, unless the application hides it."""
        return None if user_id in self.hidden else self.store.users.get(user_id)

    def add_user(self, **values: Any) -> Any:
        """Insert a user.

        :raises ConcurrentLogin: if the user name or the address is taken.
        """
        for key in ("email", "username"):
            if key in values and not self.store.user_value_is_free(key, values[key]):
                raise ConcurrentLogin
        user = User()
        user.id = len(self.store.users) + 1000
        self.store.users[user.id] = user
        self.change_user(user.id, **values)
        return user

    def change_user(self, user_id: Any, **values: Any) -> None:
        """Change a user as the application does."""
        for key, value in values.items():
            setattr(self.store.users[user_id], key, value)

    @property
    def users(self) -> Sequence[Any]:
        """All users."""
        return list(self.store.users.values())

    @property
    def identities(self) -> Sequence[IdentityRecord]:
        """All connected accounts of all users."""
        return [record for user in self.users for record in self.store.list_for_user(user.id)]

    @property
    def tokens(self) -> Sequence[StoredToken]:
        """All tokens of all users."""
        return [token for user in self.users for token in self.store.tokens_for_user(user.id)]

    @property
    def events(self) -> Sequence[Event]:
        """What was recorded, in order."""
        return self.store.events

    @property
    def rows(self) -> tuple[int, int, int, int]:
        """How many users, identities, tokens and events there are."""
        return len(self.users), len(self.identities), len(self.tokens), len(self.events)

    @property
    def signals(self) -> list[str]:
        """The names of the signals that were sent."""
        return [notice.signal for notice in self.notices]

    def change_token(self, identity_id: Any, **values: Any) -> None:
        """Let something happen to the token of a connection."""
        for row in self.store.tokens_for_identity(identity_id):
            self.store._tokens[row.protocol, row.id] = dataclasses.replace(row, **values)

    def delete_token(self, identity_id: Any) -> None:
        """Lose the token of a connection."""
        for row in self.store.tokens_for_identity(identity_id):
            del self.store._tokens[row.protocol, row.id]


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
