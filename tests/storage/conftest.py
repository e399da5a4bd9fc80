"""A host application's database and users, without Flask: what the store needs and nothing else."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
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
    """A host: its engine, its models, the session of its current request, and the store beside it."""

    engine: sa.Engine
    user_model: Any
    models: Models
    ring: KeyRing
    session: Session | None = None

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


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str | None] = mapped_column(sa.String(320))
    email_verified: Mapped[bool | None] = mapped_column()
    name: Mapped[str | None] = mapped_column(sa.String(100), unique=True)


RING = KeyRing([Key("k1", b"1" * 32)])
MODELS = define_models(Base, User, RING)


def create_host(url: str, **options: Any) -> Host:
    host = Host(sa.create_engine(url, **options), User, MODELS, RING)
    Base.metadata.create_all(host.engine)
    with host.engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(sa.delete(table))
    return host


SERVERS = {
    "postgresql": (
        os.environ.get("TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
        "",
        " WITH (FORCE)",
    ),
    "mariadb": (
        os.environ.get("TEST_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
        " CHARACTER SET utf8mb4",
        "",
    ),
}


@pytest.fixture(scope="session")
def server_url() -> Iterator[Callable[[str], str]]:
    """One database on each server for the whole run; :func:`create_host` empties it before each test."""
    made: dict[str, tuple[sa.Engine, str]] = {}

    def find(kind: str) -> str:
        address, options, _ = SERVERS[kind]
        if kind not in made:
            engine = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
            name = f"foa_{secrets.token_hex(6)}"
            try:
                with engine.connect() as connection:
                    connection.exec_driver_sql(f"CREATE DATABASE {name}{options}")
            except sa.exc.OperationalError:
                if os.environ.get("CI") == "true":
                    pytest.fail(f"{kind} is not available, and CI=true allows no gaps", pytrace=False)
                pytest.skip(f"{kind} is not available")
            made[kind] = (engine, name)
        return sa.make_url(address).set(database=made[kind][1]).render_as_string(hide_password=False)

    yield find
    for kind, (engine, name) in made.items():
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{SERVERS[kind][2]}")


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
def make_kind(
    make_host: Callable[..., Host], server_url: Callable[[str], str], tmp_path: Path
) -> Callable[[str], Host]:
    """Create a host by the kind of its database."""
    return lambda kind: make_host(f"sqlite:///{tmp_path / 'host.db'}" if kind == "sqlite" else server_url(kind))


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def host(request: pytest.FixtureRequest, make_kind: Callable[[str], Host]) -> Host:
    """A host on SQLite, PostgreSQL and MariaDB in turn."""
    return make_kind(request.param)


@dataclass
class Contract:
    """A store of any kind, and a way to make users for it."""

    store: Any
    add_user: Callable[[], Any]


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mariadb"])
def contract(request: pytest.FixtureRequest, make_kind: Callable[[str], Host]) -> Contract:
    """Every store behind the port."""
    if request.param == "memory":
        ids = itertools.count(1)
        return Contract(MemoryStore(), lambda: next(ids))
    host = make_kind(request.param)
    return Contract(host.store, host.add_user)
