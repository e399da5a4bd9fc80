"""Reads what other packages have stored: Flask-Dance's tokens, and the social accounts of python-social-auth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa

from ..errors import ConfigurationError
from ..tokens import Protocol, TokenDict, join_scope, parse_expires_at, parse_expires_in
from .models import find_user_key
from .sqlalchemy import SQLAlchemyStore
from .work import Work

Kind = Literal["flask-dance", "social-auth"]

TABLES: Mapping[Kind, str] = {"flask-dance": "flask_dance_oauth", "social-auth": "social_auth_usersocialauth"}
"""What their tables are called where nobody has said otherwise."""

_NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "flask-dance": ("id", "provider", "token"),
    "social-auth": ("id", "provider", "uid", "extra_data", "user_id"),
}
_SUBJECT: Mapping[Kind, str] = {"flask-dance": "provider_user_id", "social-auth": "uid"}
_EARLIEST = 10**9
"""Seconds since the epoch; a smaller number is a lifetime, of 31 years at most."""


@dataclass(frozen=True)
class LegacyRow:
    """One stored account of another package.

    :ivar id: primary key of the row there.
    :ivar provider: its name there.
    :ivar user_id: as it is stored there.
    :ivar subject: the provider account, ``None`` where it was not kept.
    :ivar token: the fields that are stored here, with ``expires_at`` in seconds since the epoch; empty without one.
    """

    id: Any
    provider: str
    user_id: Any
    subject: str | None
    token: TokenDict = field(repr=False)


class LegacyTable:
    """A table of another package in the database of the accounts.

    :param store: of the accounts; its connections are used.
    :param kind: whose table it is.
    :param name: with the schema in front, where there is one; the package's own name when left out.
    :raises ConfigurationError: if there is no such table, or it lacks a column.
    :raises StorageUnavailable: if the database does not answer.
    """

    def __init__(self, store: SQLAlchemyStore, kind: Kind, name: str | None = None) -> None:
        self._store = store
        self._kind = kind
        self._table = store._read(lambda connection: _reflect(connection, kind, name or TABLES[kind]))

    def count(self) -> int:
        """:return: the number of rows."""
        query = sa.select(sa.func.count()).select_from(self._table)
        return int(self._store._fetch(query)[0][0])

    def list_providers(self) -> list[str]:
        """:return: the names of the providers that there are rows of, sorted."""
        return sorted(str(row[0]) for row in self._store._fetch(sa.select(self._table.c.provider).distinct()))

    def read(self, *, after: Any = None, batch: int = 200) -> list[LegacyRow]:
        """Read rows in the order of their primary key.

        :param after: the id of the last row that was read.
        :param batch: rows at most.
        """
        key = self._table.c.id
        wanted = {*_NEEDED[self._kind], _SUBJECT[self._kind], "user_id", "created_at"}
        # As the driver gives them: a type of SQLAlchemy's would fail with the whole batch at one odd value.
        columns = [sa.type_coerce(c, sa.types.NullType()).label(c.name) for c in self._table.c if c.name in wanted]
        query: Any = sa.select(*columns).order_by(key).limit(batch)
        rows = self._store._fetch(query if after is None else query.where(key > after))
        return [self._parse(row._mapping) for row in rows]

    def _parse(self, row: Mapping[Any, Any]) -> LegacyRow:
        subject = row.get(_SUBJECT[self._kind])
        token = _read_dance(row) if self._kind == "flask-dance" else _read_social(row)
        return LegacyRow(
            row["id"], str(row["provider"]), row.get("user_id"), None if subject in (None, "") else str(subject), token
        )


def find_users(store: SQLAlchemyStore, user_ids: Iterable[Any]) -> set[Any]:
    """:return: those of these keys that belong to a user."""
    key = find_user_key(store.models.user_model)
    return {row[0] for row in store._fetch(sa.select(key).where(key.in_(list(user_ids))))}


def was_disconnected(store: SQLAlchemyStore, user_id: Any, name: str, account: str | None = None) -> bool:
    """Whether the user has removed this account here, as far back as the events are kept.

    :param account: any account of the client when left out.
    """
    c = store.events.c
    query = sa.select(c.id).where(c.user_id == user_id, c.kind == "disconnect", c.name == name).limit(1)
    return bool(store._fetch(query if account is None else query.where(c.account == account)))


def add_token(store: SQLAlchemyStore, user_id: Any, name: str, token: TokenDict, *, protocol: Protocol) -> None:
    """Store a token that names no account, without making it the one last logged in with."""
    access, now = store.token_tables[protocol], store.clock()
    plain = access.create_values(token, now)

    def write(work: Work) -> None:
        place = (user_id, name, "")
        store._put_token(work, access, plain, place, identity_id=None, requested_scope=None, now=now, login=False)

    store._write(write)


def _reflect(connection: sa.Connection, kind: Kind, name: str) -> sa.Table:
    schema, _, bare = name.rpartition(".")
    try:
        table = sa.Table(bare, sa.MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
    except sa.exc.NoSuchTableError:
        raise ConfigurationError(
            f"this database has no table {name}: say --table NAME, and copy it here if it lies in another database"
        ) from None
    missing = [column for column in _NEEDED[kind] if column not in table.c]
    if missing:
        raise ConfigurationError(f"the table {name} has no column {', '.join(missing)}: is it one of {kind}?")
    return table


def _read_json(value: object) -> Mapping[str, Any]:
    """JSON columns come as values on some databases and as text on others."""
    for _ in range(2):  # python-social-auth has stored JSON as text within JSON
        if isinstance(value, (str, bytes)):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return {}
    return value if isinstance(value, Mapping) else {}


def _read_dance(row: Mapping[Any, Any]) -> TokenDict:
    token = _read_json(row["token"])
    made = row.get("created_at")
    if isinstance(made, str):  # SQLite
        try:
            made = datetime.fromisoformat(made)
        except ValueError:
            made = None
    since = made.replace(tzinfo=UTC).timestamp() if isinstance(made, datetime) and made.tzinfo is None else None
    return _create_token(token, since)


def _read_social(row: Mapping[Any, Any]) -> TokenDict:
    extra = dict(_read_json(row["extra_data"]))
    access = extra.get("access_token")
    if isinstance(access, Mapping):  # OAuth 1
        return _create_token(access, None)
    since = parse_expires_at(extra.get("auth_time"))
    extra.pop("expires_at", None)  # of no fixed meaning there
    for key in ("expires_on", "expires"):  # a time for some providers, a lifetime for others
        number = parse_expires_at(extra.get(key))
        if number is not None:
            extra["expires_at" if number >= _EARLIEST else "expires_in"] = number
    return _create_token(extra, since)


def _create_token(values: Mapping[str, Any], since: float | None) -> TokenDict:
    """Take over what is known; a lifetime counts from when the token was issued, and not from now.

    :param since: seconds since the epoch; ``None`` where unknown, and then the expiry is unknown too.
    """
    names = ("access_token", "refresh_token", "id_token", "token_type", "oauth_token", "oauth_token_secret")
    token = TokenDict({name: values[name] for name in names if isinstance(values.get(name), str) and values[name]})
    scope = join_scope(values.get("scope"))
    if scope:
        token["scope"] = scope
    expires_at = parse_expires_at(values.get("expires_at"))
    lifetime = parse_expires_in(values.get("expires_in"))
    if expires_at is None and lifetime and since is not None:
        expires_at = int(since) + lifetime
    if expires_at is not None:
        token["expires_at"] = expires_at
    return token
