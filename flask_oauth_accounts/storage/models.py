"""The models: made on a host's metadata, or a host's own classes with the mixins."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import MappedAsDataclass, mapped_column

from ..errors import ConfigurationError
from ..protocols import Sealer
from ..tokens import Protocol as TokenProtocol
from .cascade import watch_user_model
from .mixins import OAuth1TokenMixin, OAuth2TokenMixin, OAuthEventMixin, OAuthIdentityMixin, UserMixin

if TYPE_CHECKING:
    from .sqlalchemy import SQLAlchemyStore

__all__ = [
    "Models",
    "OAuth1TokenMixin",
    "OAuth2TokenMixin",
    "OAuthEventMixin",
    "OAuthIdentityMixin",
    "bind_sealer",
    "bind_store",
    "define_models",
    "define_user",
    "find_user_key",
    "read_models",
]

_INFO_KEY = "flask_oauth_accounts"


@dataclass(frozen=True)
class Models:
    """The four classes in use, and the user model behind them where it is known."""

    OAuthIdentity: Any
    OAuth1Token: Any
    OAuth2Token: Any
    OAuthEvent: Any
    user_model: Any = None

    @property
    def tables(self) -> tuple[sa.Table, ...]:
        """The four tables, identities first."""
        return tuple(
            model.__table__ for model in (self.OAuthIdentity, self.OAuth1Token, self.OAuth2Token, self.OAuthEvent)
        )

    def token_model(self, protocol: TokenProtocol) -> Any:
        """The class that holds tokens of this protocol."""
        return self.OAuth1Token if protocol == "oauth1" else self.OAuth2Token


_NAMES = ("OAuthIdentity", "OAuth1Token", "OAuth2Token", "OAuthEvent")
_MIXINS = (OAuthIdentityMixin, OAuth1TokenMixin, OAuth2TokenMixin, OAuthEventMixin)


def find_user_key(user_model: Any) -> sa.Column[Any]:
    """:return: the primary key column of the user model.

    :raises ConfigurationError: if the class is not mapped or its key has several columns.
    """
    mapper = sa.inspect(user_model, raiseerr=False)
    if mapper is None or not hasattr(mapper, "primary_key"):
        raise ConfigurationError(f"user_model={user_model!r} is not a mapped class; give the class of your users")
    if len(mapper.primary_key) != 1:
        raise ConfigurationError(f"{user_model.__name__} has a primary key of several columns; one is needed")
    key: sa.Column[Any] = mapper.primary_key[0]
    return key


def define_models(base: Any, user_model: Any, sealer: Sealer | None = None) -> Models:
    """Create the four models on a host's declarative base, with a foreign key to its users.

    Called again for the same base and user model, it returns the same classes.

    :param base: the declarative base, ``db.Model`` with Flask-SQLAlchemy.
    :param user_model: a mapped class with a primary key of one column of any type.
    :param sealer: seals the secrets; may be given later by :func:`bind_sealer`.
    :return: the classes.
    :raises ConfigurationError: if the user model does not fit.
    """
    key = find_user_key(user_model)
    metadata = key.table.metadata
    known: dict[Any, Models] = metadata.info.setdefault(_INFO_KEY, {})
    models = known.get(user_model)
    if models is None:
        classes = [
            _create_class(base, name, mixin, user_model, _create_user_column(key, mixin))
            for name, mixin in zip(_NAMES, _MIXINS, strict=True)
        ]
        models = known[user_model] = Models(classes[0], classes[1], classes[2], classes[3], user_model)
        watch_user_model(user_model, [item.__table__ for item in classes])
    if sealer is not None:
        bind_sealer(models, sealer)
    return models


def _create_user_column(key: sa.Column[Any], mixin: type) -> Any:
    if mixin is OAuthEventMixin:
        return mapped_column(key.type, nullable=True)
    return mapped_column(key.type, sa.ForeignKey(key, ondelete="CASCADE"), nullable=False)


def _create_class(base: Any, name: str, mixin: type, user_model: Any, user_id: Any) -> Any:
    namespace = {"user_id": user_id, "__module__": __name__}
    bind_key = getattr(user_model, "__bind_key__", None)
    if bind_key is not None:
        namespace["__bind_key__"] = bind_key
    if issubclass(base, MappedAsDataclass):
        # A dataclass cannot inherit mapped attributes from mixins that are none; a plain base on the same registry can.
        namespace["metadata"] = user_model.__table__.metadata
        base = base.registry.generate_base()
    return types.new_class(name, (mixin, base), {}, lambda target: target.update(namespace))


def define_user(base: Any) -> Any:
    """Create the shipped user model, table ``oauth_user``, on a declarative base.

    It has what Flask-Login asks of a user: ``is_authenticated``, ``is_active``, ``is_anonymous``, ``get_id()``.

    :param base: the declarative base.
    :return: the class ``User``.
    """
    known: dict[Any, Any] = base.metadata.info.setdefault(f"{_INFO_KEY}.user", {})
    if base not in known:
        known[base] = types.new_class(
            "User", (UserMixin, base), {}, lambda target: target.update({"__module__": __name__})
        )
    return known[base]


def read_models(models: Any, user_model: Any = None) -> Models:
    """Accept a host's own classes.

    :param models: a namespace, a mapping, or the four classes in the order identity, OAuth 1, OAuth 2, event.
    :param user_model: the class of the users, where it is known.
    :return: the classes.
    :raises ConfigurationError: if one is missing or does not have its mixin; the sentence names it.
    """
    if isinstance(models, Mapping):
        found = [models.get(name) for name in _NAMES]
    elif isinstance(models, Iterable) and not isinstance(models, type):
        found = [*models, None, None, None, None][:4]
    else:
        found = [getattr(models, name, None) for name in _NAMES]
    for name, mixin, class_ in zip(_NAMES, _MIXINS, found, strict=True):
        if not isinstance(class_, type) or not issubclass(class_, mixin):
            raise ConfigurationError(f"models must give {name}, a class with {mixin.__name__}")
        if not hasattr(class_, "user_id"):
            raise ConfigurationError(f"{class_.__name__} must declare user_id, of the type of your users' key")
    if isinstance(models, Models) and user_model is None:
        return models
    if user_model is not None:
        watch_user_model(user_model, [class_.__table__ for class_ in found if class_ is not None])
    return Models(found[0], found[1], found[2], found[3], user_model)


def bind_sealer(models: Models, sealer: Sealer) -> None:
    """Give the token classes what seals their secrets; classes shared by several apps take one that asks the app."""
    for class_ in (models.OAuth1Token, models.OAuth2Token):
        class_._oauth_sealer = sealer


def bind_store(models: Models, store: Callable[[], SQLAlchemyStore]) -> None:
    """Give the token classes the store behind ``save``, by a function that finds the current app's."""
    for class_ in (models.OAuth1Token, models.OAuth2Token):
        class_._oauth_store = staticmethod(store)
