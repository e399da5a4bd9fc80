"""Fill a new user from an identity: six attributes, and only where the user model has them.

What a provider answers is text from outside. Nothing else of it ever reaches the user model, whatever its keys
are called (E13).
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigurationError
from ..identity import Identity

IsFree = Callable[[str, str], bool]
"""Whether no user has this value (second) in this attribute (first)."""

_NAMES = frozenset({"name", "username", "display_name"})
_MAX_NUMBER = 20
_ABSENT = object()


@dataclass(frozen=True)
class _Attribute:
    """What matters about one attribute of a user model."""

    length: int | None = None
    unique: bool = False
    required: bool = False


def create_instance(user_model: Any) -> Any:
    """Call the model without arguments.

    :raises ConfigurationError: if the model cannot be made that way; the sentence says what to override.
    """
    if user_model is None:
        raise ConfigurationError("AccountPolicy has no user model; give OAuthAccounts(user_model=…)")
    try:
        return user_model()
    except TypeError as error:
        raise ConfigurationError(
            f"{user_model.__name__}() needs arguments; override AccountPolicy.create_user to give them"
        ) from error


def fill_user(user: Any, identity: Identity, is_free: IsFree) -> None:
    """Set those of the six attributes that the user's class has.

    Text that is longer than its column is cut where it is a name, and left out where a part would be wrong. A name
    that must be unique and is taken gets a number.

    :param user: a new instance, changed in place.
    :param is_free: asked for ``username``, and for other names whose column is unique.
    """
    values = {
        "email": identity.email,
        "email_verified": identity.email_verified is True,
        "name": identity.display_name,
        "username": identity.username,
        "display_name": identity.display_name,
        "avatar_url": identity.avatar_url,
    }
    for key, value in values.items():
        attribute = _find_attribute(type(user), key)
        if attribute is None:
            continue
        fitting = _fit(key, value, attribute, identity, is_free)
        if fitting is not None:
            setattr(user, key, fitting)


def _fit(key: str, value: Any, attribute: _Attribute, identity: Identity, is_free: IsFree) -> Any:
    if key in _NAMES:
        return _choose_name(key, value, attribute, identity, is_free)
    too_long = isinstance(value, str) and attribute.length is not None and len(value) > attribute.length
    return None if too_long else value


def _find_attribute(user_model: type, key: str) -> _Attribute | None:
    """Describe an attribute that may be set, ``None`` for anything else: methods, relationships, read-only values."""
    found = inspect.getattr_static(user_model, key, _ABSENT)
    columns = getattr(getattr(found, "property", None), "columns", None)
    if columns:
        column = columns[0]
        has_default = column.default is not None or column.server_default is not None
        return _Attribute(
            length=getattr(column.type, "length", None),
            unique=bool(getattr(column, "unique", False)),
            required=not getattr(column, "nullable", True) and not has_default,
        )
    if getattr(found, "fset", None) is not None:
        return _Attribute()
    if hasattr(user_model, "__mapper__") or callable(found) or isinstance(found, property):
        return None
    annotated = any(key in inspect.get_annotations(base) for base in user_model.__mro__)
    return _Attribute() if annotated or found is not _ABSENT else None


def _choose_name(key: str, value: str | None, attribute: _Attribute, identity: Identity, is_free: IsFree) -> str | None:
    if not value and attribute.required:
        value = identity.username or identity.display_name or "user"
    if not value:
        return None
    if key != "username" and not attribute.unique:
        return value[: attribute.length]
    for candidate in _number_names(value, attribute.length or 255):
        if is_free(key, candidate):
            return candidate
    return None


def _number_names(name: str, length: int) -> Iterator[str]:
    """The name itself, then with numbers, then with something nobody has; each at most ``length`` characters."""
    yield name[:length]
    endings = [f"-{number}" for number in range(2, _MAX_NUMBER)] + [f"-{secrets.token_hex(4)}"]
    for ending in endings:
        yield name[: max(length - len(ending), 1)] + ending
