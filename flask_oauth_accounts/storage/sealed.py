"""Attributes that are plain text in Python and sealed in the database.

A secret is sealed when its row is flushed, not when it is assigned, because the row's place (table, column, user,
name, account) is bound into the value and need not be complete before. Reading opens lazily and remembers.
"""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar, overload

from sqlalchemy import event, inspect
from sqlalchemy.orm import LoaderCallableStatus, Mapper
from sqlalchemy.orm.attributes import flag_modified

from ..errors import ConfigurationError
from ..protocols import Sealer
from ..tokens import Secret

_KEY_SUFFIX = "_sealed"
_PLACE = ("user_id", "name", "account")
_SOUND = {"status": "active", "last_error": None, "retry_at": None, "failures": 0}


def create_context(table: str, column: str, user_id: object, name: str, account: str) -> str:
    """Describe the place of a secret, so that the value opens nowhere else.

    :param table: ``"oauth1_token"`` or ``"oauth2_token"``, whatever the table of the host's own class is called.
    :param column: name of the secret.
    :return: text that is different for every place.
    """
    return json.dumps([table, column, str(user_id), name, account or ""], ensure_ascii=True)


class _Unsealed(str):
    """What the attribute of a column holds until the flush seals it: an empty text that carries the plain one.

    It goes wherever SQLAlchemy takes the attribute's value, and is forgotten with it. A path without mapper events
    stores the empty text rather than the plain one; a ``repr`` shows nothing, and a pickle holds nothing.

    :ivar text: the secret.
    :ivar is_moved: it was stored before, at the row's old place.
    """

    __slots__ = ("is_moved", "text")
    text: Secret
    is_moved: bool

    def __new__(cls, text: str, *, is_moved: bool = False) -> _Unsealed:
        self = super().__new__(cls)
        self.text = Secret(text)
        self.is_moved = is_moved
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


class _Opened(dict[str, tuple[str, str]]):
    """The secrets of one row that were opened, by name: the sealed value and the text; a pickle of it is empty."""

    def __repr__(self) -> str:
        return "<secrets>"

    def __reduce__(self) -> tuple[type[_Opened], tuple[()]]:
        return _Opened, ()


def _opened_of(row: Any) -> _Opened:
    opened: _Opened = row.__dict__.setdefault("_oauth_secrets", _Opened())
    return opened


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
        sealed = getattr(row, self.key)
        if sealed is None:
            return None
        if isinstance(sealed, _Unsealed):
            return sealed.text
        opened = _opened_of(row)
        known = opened.get(self.name)
        if known is not None and known[0] == sealed:
            return known[1]
        text = _sealer_of(row).unseal(sealed, _context_of(row, self.name))
        opened[self.name] = (sealed, text)
        return text

    def __set__(self, row: SealedRow, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{self.name} must be a text or None")
        setattr(row, self.key, _Unsealed(value) if value else None)


class SealedRow:
    """Base of the token mixins: seals on the way to the database, and again when the row's place changes."""

    _oauth_sealer: ClassVar[Sealer | None] = None
    _oauth_table: ClassVar[str]
    _oauth_secret_names: ClassVar[tuple[str, ...]]


def _seal(row: Any) -> None:
    for name in row._oauth_secret_names:
        value = row.__dict__.get(name + _KEY_SUFFIX)
        if isinstance(value, _Unsealed):
            sealed = _sealer_of(row).seal(value.text, _context_of(row, name))
            _opened_of(row)[name] = (sealed, value.text)
            setattr(row, name + _KEY_SUFFIX, sealed)


def _has_new_token(row: Any) -> bool:
    value = row.__dict__.get(row._oauth_secret_names[0] + _KEY_SUFFIX)
    return isinstance(value, _Unsealed) and not value.is_moved


def _note_issue(row: Any) -> None:
    if hasattr(row, "issued_at"):
        row.issued_at = int(time.time())
        row.issued_for = None if row.expires_at is None else max(row.expires_at - row.issued_at, 0)


def _revive(row: Any) -> None:
    """A new token ends whatever was wrong with the old one, as ``OAuth2Token.save`` does."""
    attributes = inspect(row).attrs
    for key, value in _SOUND.items():
        if key in attributes and not attributes[key].history.has_changes():
            setattr(row, key, value)
            flag_modified(row, key)  # what is wrong may have come into the database since the row was read


@event.listens_for(SealedRow, "before_insert", propagate=True)
def _before_insert(mapper: Mapper[Any], connection: Any, row: Any) -> None:
    if row.account is None:
        row.account = ""
    if _has_new_token(row):
        _note_issue(row)
    _seal(row)


@event.listens_for(SealedRow, "before_update", propagate=True)
def _before_update(mapper: Mapper[Any], connection: Any, row: Any) -> None:
    attributes = inspect(row).attrs
    if not any(attributes[name + _KEY_SUFFIX].history.has_changes() for name in row._oauth_secret_names):
        return
    if _has_new_token(row):
        _note_issue(row)
        _revive(row)
    _seal(row)
    # In SQL, because the row may have been refreshed since it was read here.
    row.version = type(row).version + 1
    if "lease_owner" in mapper.columns:
        row.lease_owner = row.lease_expires_at = None


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
        if text is not None and not isinstance(getattr(row, descriptor.key), _Unsealed):
            setattr(row, descriptor.key, _Unsealed(text, is_moved=True))
