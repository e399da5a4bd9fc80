"""Attributes that are plain text in Python and sealed in the database.

A secret is sealed when its row is flushed, not when it is assigned, because the row's place (table, column, user,
name, account) is bound into the value and need not be complete before. Reading opens lazily and remembers.
"""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar, overload

from sqlalchemy import event
from sqlalchemy.orm import LoaderCallableStatus, Mapper, QueryContext

from ..errors import ConfigurationError
from ..protocols import Sealer

_KEY_SUFFIX = "_sealed"
_PLACE = ("user_id", "name", "account")


def create_context(table: str, column: str, user_id: object, name: str, account: str) -> str:
    """Describe the place of a secret, so that the value opens nowhere else.

    :param table: ``"oauth1_token"`` or ``"oauth2_token"``, whatever the table of the host's own class is called.
    :param column: name of the secret.
    :return: text that is different for every place.
    """
    return json.dumps([table, column, str(user_id), name, account or ""], ensure_ascii=True)


class _Secrets:
    """What one row knows in plain text; shows nothing, and a pickle of it is empty."""

    __slots__ = ("opened", "pending")

    def __init__(self) -> None:
        self.pending: dict[str, str | None] = {}
        self.opened: dict[str, tuple[str, str]] = {}

    def __repr__(self) -> str:
        return "<secrets>"

    def __reduce__(self) -> tuple[type[_Secrets], tuple[()]]:
        return _Secrets, ()


def _secrets_of(row: Any) -> _Secrets:
    secrets = row.__dict__.get("_oauth_secrets")
    if secrets is None:
        secrets = row.__dict__["_oauth_secrets"] = _Secrets()
    return secrets  # type: ignore[no-any-return]


def _sealer_of(row: SealedRow) -> Sealer:
    sealer = type(row)._oauth_sealer
    if sealer is None:
        raise ConfigurationError(
            f"{type(row).__name__} has no keys to seal its secrets with; give the class to OAuthAccounts(models=…), "
            "or call bind_sealer(models, sealer)"
        )
    return sealer


def _context_of(row: Any, name: str) -> str:
    return create_context(row._oauth_table, name, row.user_id, row.name, row.account)


class SealedText:
    """Descriptor of a secret: plain text in Python, beside a mapped attribute of the name with ``_sealed``."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.key = name + _KEY_SUFFIX

    @overload
    def __get__(self, row: None, owner: type | None = None) -> SealedText: ...

    @overload
    def __get__(self, row: SealedRow, owner: type | None = None) -> str | None: ...

    def __get__(self, row: SealedRow | None, owner: type | None = None) -> SealedText | str | None:
        if row is None:
            return self
        secrets = _secrets_of(row)
        if self.name in secrets.pending:
            return secrets.pending[self.name]
        sealed = getattr(row, self.key)
        if sealed is None:
            return None
        known = secrets.opened.get(self.name)
        if known is not None and known[0] == sealed:
            return known[1]
        text = _sealer_of(row).unseal(sealed, _context_of(row, self.name))
        secrets.opened[self.name] = (sealed, text)
        return text

    def __set__(self, row: SealedRow, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{self.name} must be a text or None")
        _secrets_of(row).pending[self.name] = value or None
        # The column stays empty until the flush, so that a path without mapper events stores nothing rather than
        # plain text; the assignment is what makes the session write the row.
        setattr(row, self.key, None)


class SealedRow:
    """Base of the token mixins: seals on the way to the database, and again when the row's place changes."""

    _oauth_sealer: ClassVar[Sealer | None] = None
    _oauth_table: ClassVar[str]
    _oauth_secret_names: ClassVar[tuple[str, ...]]


def _seal_pending(row: Any) -> None:
    secrets = _secrets_of(row)
    for name, text in tuple(secrets.pending.items()):
        if text is None:
            secrets.opened.pop(name, None)
            setattr(row, name + _KEY_SUFFIX, None)
        else:
            sealed = _sealer_of(row).seal(text, _context_of(row, name))
            secrets.opened[name] = (sealed, text)
            setattr(row, name + _KEY_SUFFIX, sealed)
        del secrets.pending[name]


def _touch(row: Any) -> None:
    access = row._oauth_secret_names[0]
    if access in _secrets_of(row).pending and hasattr(row, "issued_at"):
        row.issued_at = int(time.time())
        row.issued_for = None if row.expires_at is None else max(row.expires_at - row.issued_at, 0)


@event.listens_for(SealedRow, "before_insert", propagate=True)
def _before_insert(mapper: Mapper[Any], connection: Any, row: Any) -> None:
    if row.account is None:
        row.account = ""
    _touch(row)
    _seal_pending(row)


@event.listens_for(SealedRow, "before_update", propagate=True)
def _before_update(mapper: Mapper[Any], connection: Any, row: Any) -> None:
    if not _secrets_of(row).pending:
        return
    _touch(row)
    _seal_pending(row)
    # In SQL, because the row may have been refreshed since it was read here.
    row.version = type(row).version + 1
    if "lease_owner" in mapper.columns:
        row.lease_owner = row.lease_expires_at = None


@event.listens_for(SealedRow, "expire", propagate=True)
def _on_expire(row: Any, names: Any) -> None:
    _forget(row, names)


@event.listens_for(SealedRow, "refresh", propagate=True)
def _on_refresh(row: Any, context: QueryContext, names: Any) -> None:
    _forget(row, names)


def _forget(row: Any, keys: Any) -> None:
    """Drop what was assigned and not yet written, where the session has read or expired the column itself."""
    pending = _secrets_of(row).pending
    for name in tuple(pending):
        if keys is None or name + _KEY_SUFFIX in keys:
            del pending[name]


@event.listens_for(SealedRow, "mapper_configured", propagate=True)
def _watch_place(mapper: Mapper[Any], class_: Any) -> None:
    for name in _PLACE:
        event.listen(getattr(class_, name), "set", _before_move, active_history=True)


def _before_move(row: Any, value: Any, old: Any, initiator: Any) -> None:
    """Open the secrets while their old place is still known; the flush seals them for the new one.

    :raises SealedValueError: if they do not open; such a row cannot be moved.
    """
    if old is LoaderCallableStatus.NO_VALUE or old is None or old == value:
        return
    for name in row._oauth_secret_names:
        descriptor: SealedText = getattr(type(row), name)
        text = descriptor.__get__(row)
        if text is not None:
            descriptor.__set__(row, text)
