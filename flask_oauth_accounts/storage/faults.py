"""What a database can answer instead of doing its work, told apart, and said as an error of this package."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm.exc import FlushError

from ..errors import ConfigurationError, StorageBusy, StorageUnavailable

_LOCK_TIMEOUT = {"55P03", 1205, 3572}
_RETRY = {"40001", "40P01", 1213}
_NO_PARENT = {"23503", 1452}
_TAKEN = {"23505", 1062}
_REFUSED = {1048, 1364, 4025}
_COLUMN = (
    re.compile(r"(?:[Cc]olumn|[Ff]ield) '(\w+)' (?:cannot|doesn't|at)"),  # MariaDB
    re.compile(r"`(\w+)` at row"),
    re.compile(r"NOT NULL constraint failed: \w+\.(\w+)"),  # SQLite
)
_NO_TABLE = {"42P01", "42703", 1146, 1054}


def _codes(error: BaseException) -> set[object]:
    """SQLSTATE (PostgreSQL) and error number (MariaDB) of a driver's error."""
    original = getattr(error, "orig", None)
    first = (getattr(original, "args", None) or (None,))[0]
    return {getattr(original, "sqlstate", None), getattr(original, "pgcode", None), first} - {None}


def is_locked(error: BaseException) -> bool:
    """Whether another transaction, perhaps the host's own, holds what this one needs."""
    if not isinstance(error, exc.DBAPIError):
        return False
    text = str(error.orig)
    return bool(_codes(error) & _LOCK_TIMEOUT) or "database is locked" in text or "table is locked" in text


def is_retryable(error: BaseException) -> bool:
    """Whether the database gave this transaction up in favour of another one (deadlock, serialisation)."""
    return isinstance(error, exc.DBAPIError) and bool(_codes(error) & _RETRY)


def is_missing_parent(error: BaseException) -> bool:
    """Whether a foreign key points to a row that nobody else can see yet."""
    return isinstance(error, exc.IntegrityError) and bool(_codes(error) & _NO_PARENT)


def is_unique_violation(error: BaseException) -> bool:
    """Whether somebody else has the value of a unique key already."""
    if not isinstance(error, exc.IntegrityError):
        return False
    text = str(error.orig)
    return bool(_codes(error) & _TAKEN) or "UNIQUE constraint failed" in text or "PRIMARY KEY must be unique" in text


def is_unfit(error: BaseException) -> bool:
    """Whether a row lacks a value that it must have, or has one in a form that does not fit."""
    if not isinstance(error, exc.DBAPIError):
        return isinstance(error, (exc.StatementError, FlushError))
    if is_unique_violation(error) or is_missing_parent(error) or is_locked(error) or is_retryable(error):
        return False
    return isinstance(error, (exc.IntegrityError, exc.DataError)) or bool(_codes(error) & _REFUSED)


def find_column(error: BaseException, names: Iterable[str]) -> str | None:
    """Read out of a driver's error which column it is about.

    :param names: of the columns that there are; nothing else of the text is given away, for it can hold values.
    """
    original = getattr(error, "orig", None)
    told = getattr(getattr(original, "diag", None), "column_name", None)
    said = {told, *(name for pattern in _COLUMN for name in pattern.findall(str(original)))}
    return next((name for name in names if name in said), None)


def is_missing_table(error: BaseException) -> bool:
    """Whether the tables of the package are not there, or are those of an older version."""
    if not isinstance(error, exc.DBAPIError):
        return False
    text = str(error.orig)
    return bool(_codes(error) & _NO_TABLE) or "no such table" in text or "no such column" in text


@contextmanager
def translated(engine: sa.Engine | None = None) -> Iterator[None]:
    """Turn what SQLAlchemy raises into :class:`StorageUnavailable`, without any value of the statement.

    :param engine: of the database, to name its address where it does not answer; its password is not shown.
    :raises StorageBusy: if another transaction holds what is needed.
    :raises StorageUnavailable: for every other error of the database.
    """
    try:
        yield
    except (UnicodeError, OverflowError) as error:
        raise StorageUnavailable(description="a value is of a form or size that the database does not take") from error
    except exc.SQLAlchemyError as error:
        if is_missing_table(error):
            raise StorageUnavailable(
                description="the tables are missing or out of date; run `flask oauth db upgrade`, "
                "or your application's own migrations"
            ) from error
        if is_locked(error) or is_retryable(error):
            raise StorageBusy from error
        if isinstance(error, (exc.IntegrityError, exc.DataError)) or _codes(error) & _REFUSED:
            raise StorageUnavailable(
                description="the database refused a row: the user is gone, or the user model needs a value that "
                "AccountPolicy.create_user does not give, or gives in a form that does not fit"
            ) from error
        # The query of an address can hold a password too.
        where = "" if engine is None else f" at {engine.url.set(query={}).render_as_string(hide_password=True)}"
        raise StorageUnavailable(description=f"the database{where} does not answer ({_find_reason(error)})") from error


def _find_reason(error: exc.SQLAlchemyError) -> str:
    """What the driver says of a connection that failed; of a statement it could repeat values."""
    if isinstance(error, exc.OperationalError) and error.statement is None:
        return f"{type(error).__name__}: {error.orig}"
    return type(error).__name__


@contextmanager
def checked_addresses() -> Iterator[None]:
    """Say which key to mend where the engines of ``SQLALCHEMY_DATABASE_URI`` cannot be made.

    :raises ConfigurationError: for an address that is none, or one whose driver is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(f"SQLALCHEMY_DATABASE_URI needs a driver that is not installed ({error})") from error
    except exc.ArgumentError:  # its text, and what led to it, may repeat the address with its password
        raise ConfigurationError(
            "SQLALCHEMY_DATABASE_URI is no address of a database that SQLAlchemy knows; write one like "
            '"sqlite:///site.db" or "postgresql+psycopg://user:password@host/name"'
        ) from None
