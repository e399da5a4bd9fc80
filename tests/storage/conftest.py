"""A host application's database and users, without Flask: what the store needs and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_oauth_accounts.storage.memory import MemoryStore
from flask_oauth_accounts.storage.models import Models, define_models
from flask_oauth_accounts.storage.sqlalchemy import SQLAlchemyStore
from flask_oauth_accounts.vault.keys import Key, KeyRing


@dataclass
class Host:
    """A host: its engine, its models, the session of its current request, and the store beside it.

    :ivar statements: what the store has sent to the database.
    """

    engine: sa.Engine
    user_model: Any
    models: Models
    ring: KeyRing
    session: Session | None = None
    statements: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = self.create_store()

    def create_store(self) -> SQLAlchemyStore:
        """Another worker's store on the same database."""
        return SQLAlchemyStore(
            self.models,
            engine=lambda: self.engine,
            host_session=lambda: self.session,
            sealer=self.ring,
            clock=lambda: 1000.0,
        )

    def add_user(self, **values: Any) -> Any:
        """Commit a user; return its id."""
        with Session(self.engine, expire_on_commit=False) as session:
            user = self.user_model(**values)
            session.add(user)
            session.commit()
            return user.id

    def scalar(self, statement: str, **values: Any) -> Any:
        """Ask the database in a transaction of its own."""
        with self.engine.connect() as connection:
            return connection.execute(sa.text(statement), values).scalar()

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
        self.store.dispose()
        self.engine.dispose()


def create_host(url: str, **options: Any) -> Host:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str | None] = mapped_column(sa.String(320))
        email_verified: Mapped[bool | None] = mapped_column()
        name: Mapped[str | None] = mapped_column(sa.String(100), unique=True)

    engine = sa.create_engine(url, **options)
    ring = KeyRing([Key("k1", b"1" * 32)])
    host = Host(engine, User, define_models(Base, User, ring), ring)
    Base.metadata.create_all(engine)
    return host


@pytest.fixture
def make_host() -> Iterator[Callable[..., Host]]:
    """Create hosts; they are closed at the end."""
    hosts: list[Host] = []

    def make(url: str, **options: Any) -> Host:
        hosts.append(create_host(url, **options))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


@pytest.fixture
def host(database_url: str, make_host: Callable[..., Host]) -> Host:
    """A host on SQLite, PostgreSQL and MariaDB in turn."""
    return make_host(database_url)


@dataclass
class Contract:
    """A store of any kind, and a way to make users for it."""

    store: Any
    add_user: Callable[[], Any]


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mariadb"])
def contract(request: pytest.FixtureRequest, make_host: Callable[..., Host]) -> Contract:
    """Every store behind the port."""
    if request.param == "memory":
        ids = itertools.count(1)
        return Contract(MemoryStore(), lambda: next(ids))
    host = make_host(request.getfixturevalue(f"{request.param}_url"))
    return Contract(host.store, host.add_user)
