"""What a token look-up costs with a thousand rows and with a million: ``python benchmarks/lookups.py [--url URL]``.

The store's own ``load`` is measured, with opening the secrets, on SQLite in a temporary file unless ``--url`` names an
empty database. The tests assert the query plans; the numbers are for the curious.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_oauth_accounts.storage.models import define_models
from flask_oauth_accounts.storage.sealed import create_context
from flask_oauth_accounts.storage.sqlalchemy import SQLAlchemyStore
from flask_oauth_accounts.vault.keys import Key, KeyRing

BATCH = 10_000


def create_store(engine: sa.Engine) -> SQLAlchemyStore:
    """:return: a store on new tables."""

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)

    ring = KeyRing([Key("bench", b"b" * 32)])
    models = define_models(Base, User, ring)
    Base.metadata.create_all(engine)
    return SQLAlchemyStore(models, engine=lambda: engine, sealer=ring)


def fill(engine: sa.Engine, store: SQLAlchemyStore, first: int, last: int) -> None:
    """Add users with a grant each.

    :param first: id of the first user.
    :param last: id of the last one.
    """
    users = store.models.user_model.__table__
    tokens = store.models.OAuth2Token.__table__
    for start in range(first, last + 1, BATCH):
        ids = range(start, min(start + BATCH, last + 1))
        rows = [
            {
                "user_id": user,
                "name": "github",
                "account": str(user),
                "status": "active",
                "version": 1,
                "failures": 0,
                "access_token": store.sealer.seal(
                    f"a{user}", create_context("oauth2_token", "access_token", user, "github", str(user))
                ),
            }
            for user in ids
        ]
        with engine.begin() as connection:
            connection.execute(sa.insert(users), [{"id": user} for user in ids])
            connection.execute(sa.insert(tokens), rows)


def measure(store: SQLAlchemyStore, rows: int, repeats: int) -> float:
    """:return: the median of one look-up of a user chosen at random, in microseconds."""
    chance = random.Random(rows)
    times = []
    for _ in range(repeats):
        user = chance.randint(1, rows)
        begun = time.perf_counter()
        stored = store.load(user, "github", protocol="oauth2")
        times.append(time.perf_counter() - begun)
        assert stored is not None
        assert stored.token["access_token"] == f"a{user}"
    return statistics.median(times) * 1e6


def main() -> None:
    """Fill, measure, fill up, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="an empty database; its tables are dropped at the end")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 1_000_000], help="numbers of rows")
    parser.add_argument("--repeats", type=int, default=2_000, help="look-ups for each number of rows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = sa.create_engine(options.url or f"sqlite:///{Path(folder) / 'lookups.db'}")
        store = create_store(engine)
        try:
            rows = 0
            for size in sorted(options.sizes):
                fill(engine, store, rows + 1, size)
                rows = size
                measure(store, rows, options.repeats // 10)  # connections and caches are warm for all alike
                print(f"{rows:>9,} rows: {measure(store, rows, options.repeats):7.0f} µs for one look-up")
        finally:
            store.dispose()
            store.models.user_model.metadata.drop_all(engine)
            engine.dispose()


if __name__ == "__main__":
    main()
