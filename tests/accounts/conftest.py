"""One application for the account service, over each shipped store: its users, and what was told about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_oauth_accounts.accounts import AccountPolicy, AccountService, Notice
from flask_oauth_accounts.config import Settings
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import AccountStore, ConcurrentLogin, Event, IdentityRecord
from flask_oauth_accounts.storage.memory import MemoryStore
from flask_oauth_accounts.storage.models import define_models
from flask_oauth_accounts.storage.sqlalchemy import SQLAlchemyStore
from flask_oauth_accounts.tokens import StoredToken
from flask_oauth_accounts.vault.keys import Key, KeyRing

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


class Base(DeclarativeBase):
    """The metadata of the application with a database."""


class MappedUser(Base):
    """The same user with a database."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(sa.String(254), unique=True)
    email_verified: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str | None] = mapped_column(sa.String(100))
    username: Mapped[str | None] = mapped_column(sa.String(100), unique=True)
    display_name: Mapped[str | None] = mapped_column(sa.String(100))
    avatar_url: Mapped[str | None] = mapped_column(sa.String(500))
    is_active: Mapped[bool] = mapped_column(default=True)
    is_admin: Mapped[bool] = mapped_column(default=False)


RING = KeyRing([Key("k1", b"1" * 32)])
MODELS = define_models(Base, MappedUser, RING)


class MappedStore(SQLAlchemyStore):
    """The shipped store; ``before_write`` is where a test lets somebody else be faster."""

    before_write: Callable[[], None] = staticmethod(lambda: None)

    def record_login(self, identity: Identity, **values: Any) -> tuple[IdentityRecord, Any]:
        self.before_write()
        return super().record_login(identity, **values)


class MappedWorld(World):
    """An application with a database."""

    user_model = MappedUser

    def __init__(self, url: str) -> None:
        super().__init__()
        self.engine = sa.create_engine(url)
        Base.metadata.create_all(self.engine)
        store: Any = MappedStore(MODELS, engine=lambda: self.engine, sealer=RING, clock=lambda: self.now)
        self.store = store
        self.asked = Asked(store)

    def close(self) -> None:
        """Close all connections."""
        self.asked.store.dispose()
        self.engine.dispose()

    def load_user(self, user_id: Any) -> Any:
        if user_id in self.hidden:
            return None
        with Session(self.engine, expire_on_commit=False) as session:
            return session.get(MappedUser, user_id)

    def add_user(self, **values: Any) -> Any:
        with Session(self.engine, expire_on_commit=False) as session:
            user = MappedUser(**values)
            session.add(user)
            session.commit()
            return user

    def change_user(self, user_id: Any, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.update(MappedUser).where(MappedUser.id == user_id).values(values))

    @property
    def users(self) -> Sequence[Any]:
        with Session(self.engine, expire_on_commit=False) as session:
            return session.scalars(sa.select(MappedUser).order_by(MappedUser.id)).all()

    @property
    def events(self) -> Sequence[Event]:
        names = [field.name for field in dataclasses.fields(Event)]
        table = MODELS.OAuthEvent.__table__
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.id)).mappings().all()
        return [Event(**{name: row[name] for name in names}) for row in rows]

    def change_token(self, identity_id: Any, **values: Any) -> None:
        if values.pop("unreadable", False):
            values = {"access_token": "damaged"}
        table = MODELS.OAuth2Token.__table__
        with self.engine.begin() as connection:
            connection.execute(sa.update(table).where(table.c.identity_id == identity_id).values(values))

    def delete_token(self, identity_id: Any) -> None:
        table = MODELS.OAuth2Token.__table__
        with self.engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.identity_id == identity_id))


@contextmanager
def _open_world(kind: str, request: pytest.FixtureRequest) -> Iterator[World]:
    if kind == "memory":
        yield World()
        return
    world = MappedWorld(request.getfixturevalue(f"{kind}_url"))
    yield world
    world.close()


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An application without any user, in memory and with a database."""
    with _open_world(request.param, request) as opened:
        yield opened


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mariadb"])
def any_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The same on every database, for what a database decides."""
    with _open_world(request.param, request) as opened:
        yield opened


@pytest.fixture
def make_identity() -> Callable[..., Identity]:
    """Make identities of GitHub's, with one subject unless another is given."""

    def make(subject: str = "1", **values: Any) -> Identity:
        return Identity(**{"name": "github", "issuer": "https://github.com", "subject": subject, **values})

    return make
