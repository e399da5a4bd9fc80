"""Brings the shipped tables up to date, one worker at a time.

Applications with a user model of their own have these tables in their own migrations; for them only :func:`check`
is of use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.orm import DeclarativeBase

from .. import _resources
from ..errors import ConfigurationError
from .faults import translated
from .models import define_models, define_user

VERSION_TABLE = "oauth_accounts_version"
_LOCK_NUMBER = 7_311_904_526_118_442_003
_LOCK_SECONDS = 60


def upgrade(engine: sa.Engine, revision: str = "head") -> None:
    """Bring the tables up to date. Several workers may call it at once: one works, the others wait.

    :param engine: of the database.
    :param revision: where to stop.
    :raises ConfigurationError: if there is no such revision, or if the tables were not made by the migrations.
    :raises StorageUnavailable: if the database does not answer.
    """
    if revision == "head" and current(engine) == get_head():
        return

    def work(config: Config) -> None:
        _check_origin(config.attributes["connection"])
        command.upgrade(config, revision)

    _run(engine, work)


def _check_origin(connection: sa.Connection) -> None:
    """:raises ConfigurationError: where the tables are there without a revision."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    if context.get_current_revision() is None:
        there = sorted({*create_shipped_metadata().tables} & {*sa.inspect(connection).get_table_names()})
        if there:
            raise ConfigurationError(
                f"the table {there[0]} is there already, but no migration has made it: where db.create_all() has made "
                "the tables, run `flask oauth db stamp` once"
            )


def downgrade(engine: sa.Engine, revision: str = "-1") -> None:
    """Take migrations back; ``"base"`` drops the tables with all users.

    :raises ConfigurationError: if there is no such revision.
    :raises StorageUnavailable: if the database does not answer.
    """
    _run(engine, lambda config: command.downgrade(config, revision))


def stamp(engine: sa.Engine, revision: str = "head") -> None:
    """Declare the tables to be of this revision without touching them.

    :raises ConfigurationError: if there is no such revision.
    :raises StorageUnavailable: if the database does not answer.
    """
    _run(engine, lambda config: command.stamp(config, revision))


def current(engine: sa.Engine) -> str | None:
    """:return: the revision of the tables, ``None`` where the migrations have never run.

    :raises StorageUnavailable: if the database does not answer.
    """
    with translated(engine), engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def get_head() -> str | None:
    """:return: the revision that this version of the package needs."""
    return ScriptDirectory.from_config(create_config()).get_current_head()


def check(engine: sa.Engine, tables: Iterable[sa.Table] | None = None) -> list[str]:
    """Compare the database with the models.

    :param engine: of the database.
    :param tables: the tables to look at; the shipped ones when left out, and then their revision counts too.
    :return: one line for each difference, none where all is up to date.
    :raises StorageUnavailable: if the database does not answer.
    """
    differences = []
    if tables is None:
        tables = create_shipped_metadata().tables.values()
        found, head = current(engine), get_head()
        if found != head:
            differences.append(f"the tables are of revision {found or 'none'}, and {head} is needed")
    wanted = list(tables)
    names = {table.name for table in wanted}
    with translated(engine), engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "compare_server_default": _compare_default,
                "include_name": lambda name, kind, parents: kind != "table" or name in names,
                "include_object": lambda item, name, kind, reflected, other: kind != "table" or name in names,
            },
        )
        found_differences = compare_metadata(context, wanted[0].metadata) if wanted else []
    return differences + [_describe(item) for item in found_differences]


def _compare_default(  # noqa: PLR0917  Alembic calls it by position
    context: Any, inspected: Any, wanted: Any, found: Any, default: Any, rendered: Any
) -> bool | None:
    """Whether a column's default differs; ``None`` leaves the answer to Alembic.

    MariaDB stores ``true`` as ``1``, which Alembic before 1.16 takes for another default.
    """
    if isinstance(wanted.type, sa.Boolean) and found is not None and rendered is not None:
        words = {"1": "true", "0": "false"}
        texts = [str(item).strip("'()").lower() for item in (found, rendered)]
        return words.get(texts[0], texts[0]) != words.get(texts[1], texts[1])
    return None


def _describe(difference: Any) -> str:
    """One of Alembic's tuples (or lists of them) in words."""
    if isinstance(difference, list):
        return "; ".join(_describe(item) for item in difference)
    words = [str(difference[0]).replace("_", " ")]
    for part in difference[1:]:
        if isinstance(part, sa.Table):
            words.append(part.name)
        elif isinstance(part, (sa.Column, sa.Constraint, sa.Index)):
            table = getattr(part, "table", None)
            words.append(f"{part.name}" if table is None else f"{table.name}.{part.name}")
        elif isinstance(part, str):
            words.append(part)
    return " ".join(words)


def create_shipped_metadata() -> sa.MetaData:
    """:return: the tables of the shipped user and of the models on it."""

    class Base(DeclarativeBase):
        pass

    define_models(Base, define_user(Base))
    return Base.metadata


def create_config() -> Config:
    """:return: Alembic's configuration for the shipped migrations."""
    config = Config()
    config.set_main_option("script_location", str(_resources.migrations()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _run(engine: sa.Engine, function: Callable[[Config], None]) -> None:
    with translated(engine), engine.connect() as connection, _locked(connection):
        config = create_config()
        config.attributes["connection"] = connection
        try:
            function(config)
        except CommandError as error:
            raise ConfigurationError(
                f"the tables cannot be migrated: {error}. This version of the package knows the revisions up to "
                f"{get_head()}"
            ) from error


@contextmanager
def _locked(connection: sa.Connection) -> Iterator[None]:
    """A transaction that only one worker at a time can be in."""
    if connection.dialect.name in ("mysql", "mariadb"):
        # Each statement that changes a table commits there; a named lock outlives that.
        name = hashlib.sha256(f"{VERSION_TABLE} {connection.engine.url.database}".encode()).hexdigest()[:40]
        if connection.execute(sa.func.get_lock(name, _LOCK_SECONDS)).scalar() != 1:
            raise sa.exc.TimeoutError("another worker has been migrating for too long")
        connection.commit()
        try:
            with connection.begin():
                yield
        finally:
            connection.execute(sa.func.release_lock(name))
            connection.commit()
        return
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))
        elif connection.dialect.name == "sqlite":
            _lock_sqlite(connection)
        yield


def _lock_sqlite(connection: sa.Connection) -> None:
    """Take the write lock before reading the revision; SQLite takes back changed tables as well."""
    raw: Any = connection.connection.dbapi_connection
    if not raw.in_transaction:
        before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_LOCK_SECONDS * 1000}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(before)}")
