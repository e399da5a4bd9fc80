"""The tables, as mixins for a host's own classes and as ready-made models on a host's metadata.

Every time is in seconds since the epoch, UTC. Column types are SQLAlchemy's own, so that a migration generated for
them imports nothing of this package. Texts that identify somebody compare exactly on every database, to the last
blank, accent and case.
"""

from __future__ import annotations

import time
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, MappedAsDataclass, declared_attr, mapped_column, validates

from ..errors import ConfigurationError
from ..protocols import Sealer
from ..tokens import Protocol as TokenProtocol
from ..tokens import TokenDict, parse_expires_at
from .cascade import watch_user_model
from .sealed import SealedRow, SealedText

if TYPE_CHECKING:
    from .sqlalchemy import SQLAlchemyStore

_MYSQL = ("mysql", "mariadb")
_INFO_KEY = "flask_oauth_accounts"


def exact(length: int) -> sa.String:
    """A text that compares byte for byte; MariaDB's usual collations ignore case, accents and trailing blanks."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), *_MYSQL
    )


def _id() -> Any:
    """SQLite numbers rows by itself only where the key is declared as INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _sealed() -> Any:
    """MariaDB's TEXT ends at 64 KB, which a sealed token can exceed."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), *_MYSQL)


class OAuthIdentityMixin:
    """``oauth_identity``: one provider account of one of our users. The class declares ``user_id``."""

    __tablename__: Any = "oauth_identity"
    if TYPE_CHECKING:
        user_id: Mapped[Any]

    id: Mapped[int] = mapped_column(_id(), primary_key=True)
    name: Mapped[str] = mapped_column(exact(100))
    issuer: Mapped[str] = mapped_column(sa.Text())
    subject: Mapped[str] = mapped_column(exact(255))
    login_key: Mapped[str | None] = mapped_column(sa.String(64))
    email: Mapped[str | None] = mapped_column(sa.String(320))
    email_verified: Mapped[bool | None] = mapped_column(sa.Boolean())
    username: Mapped[str | None] = mapped_column(sa.String(255))
    display_name: Mapped[str | None] = mapped_column(sa.String(255))
    avatar_url: Mapped[str | None] = mapped_column(sa.Text())
    profile_url: Mapped[str | None] = mapped_column(sa.Text())
    raw_profile: Mapped[Any | None] = mapped_column(sa.JSON(none_as_null=True))
    created_at: Mapped[float | None] = mapped_column(sa.Double(), default=time.time)
    updated_at: Mapped[float | None] = mapped_column(sa.Double(), default=time.time, onupdate=time.time)
    last_login_at: Mapped[float | None] = mapped_column(sa.Double())

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> Any:
        table = cls.__tablename__
        return (
            sa.UniqueConstraint("login_key", name=f"uq_{table}_login_key"),
            sa.UniqueConstraint("user_id", "name", "subject", name=f"uq_{table}_user_id_name_subject"),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name} user={self.user_id}>"


class _TokenMixin(SealedRow):
    """What both token tables share."""

    _oauth_store: ClassVar[Callable[[], SQLAlchemyStore] | None] = None
    _oauth_protocol: ClassVar[TokenProtocol]
    __identity_table__: ClassVar[str] = "oauth_identity"
    __tablename__: Any
    if TYPE_CHECKING:
        user_id: Mapped[Any]

    id: Mapped[int] = mapped_column(_id(), primary_key=True)
    name: Mapped[str] = mapped_column(exact(100))
    account: Mapped[str] = mapped_column(exact(255), default="", server_default=sa.text("''"))
    status: Mapped[str] = mapped_column(sa.String(20), default="active")
    last_error: Mapped[str | None] = mapped_column(sa.String(255))
    version: Mapped[int] = mapped_column(sa.Integer(), default=0)
    created_at: Mapped[float | None] = mapped_column(sa.Double(), default=time.time)
    updated_at: Mapped[float | None] = mapped_column(sa.Double(), default=time.time, onupdate=time.time)
    last_login_at: Mapped[float | None] = mapped_column(sa.Double())

    @declared_attr
    @classmethod
    def identity_id(cls) -> Mapped[int | None]:
        return mapped_column(_id(), sa.ForeignKey(f"{cls.__identity_table__}.id", ondelete="CASCADE"))

    @classmethod
    def save(cls, user_or_id: Any, name: str, token: Mapping[str, Any], account: str = "") -> Self:
        """Insert or replace the token of one account, in a short transaction of its own.

        What the token leaves out of ``refresh_token``, ``scope`` and ``id_token`` stays as it is stored.

        :param user_or_id: a user, or its primary key.
        :param name: of the client in the registry.
        :param token: as ``authorize_access_token()`` returns it.
        :param account: the subject at the provider, where a user may have several accounts of it.
        :return: the row, detached from any session.
        :raises ConfigurationError: if the class was not given to ``OAuthAccounts``.
        :raises StorageUnavailable: if the database does not answer.
        """
        if cls._oauth_store is None:
            raise ConfigurationError(f"{cls.__name__}.save needs the extension; call OAuthAccounts.init_app first")
        row: Self = cls._oauth_store().save_row(cls, user_or_id, name, token, account)
        return row

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name} user={self.user_id} {self.status}>"

    def _token_of(self, *names: str) -> TokenDict:
        values = {name: getattr(self, name) for name in names}
        return TokenDict({name: value for name, value in values.items() if value is not None})


class OAuth1TokenMixin(_TokenMixin):
    """``oauth1_token``: one OAuth 1 token. The class declares ``user_id``."""

    _oauth_table = "oauth1_token"
    _oauth_protocol = "oauth1"
    _oauth_secret_names = ("oauth_token", "oauth_token_secret")
    __tablename__: Any = "oauth1_token"

    oauth_token_sealed: Mapped[str | None] = mapped_column("oauth_token", _sealed())
    oauth_token_secret_sealed: Mapped[str | None] = mapped_column("oauth_token_secret", _sealed())
    oauth_token = SealedText()
    oauth_token_secret = SealedText()

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> Any:
        return _token_table_args(cls.__tablename__)

    def to_token(self) -> TokenDict:
        """:return: ``oauth_token`` and ``oauth_token_secret``, for a client; what is ``None`` is left out."""
        return self._token_of("oauth_token", "oauth_token_secret")


class OAuth2TokenMixin(_TokenMixin):
    """``oauth2_token``: one OAuth 2 grant and how its refreshes go. The class declares ``user_id``."""

    _oauth_table = "oauth2_token"
    _oauth_protocol = "oauth2"
    _oauth_secret_names = ("access_token", "refresh_token", "id_token")
    __tablename__: Any = "oauth2_token"

    token_type: Mapped[str | None] = mapped_column(sa.String(40))
    access_token_sealed: Mapped[str | None] = mapped_column("access_token", _sealed())
    refresh_token_sealed: Mapped[str | None] = mapped_column("refresh_token", _sealed())
    id_token_sealed: Mapped[str | None] = mapped_column("id_token", _sealed())
    access_token = SealedText()
    refresh_token = SealedText()
    id_token = SealedText()
    expires_at: Mapped[int | None] = mapped_column(sa.BigInteger())
    issued_at: Mapped[int | None] = mapped_column(sa.BigInteger())
    refresh_expires_at: Mapped[int | None] = mapped_column(sa.BigInteger())
    scope: Mapped[str | None] = mapped_column(sa.Text())
    requested_scope: Mapped[str | None] = mapped_column(sa.Text())
    lease_owner: Mapped[str | None] = mapped_column(sa.String(64))
    lease_expires_at: Mapped[float | None] = mapped_column(sa.Double())
    retry_at: Mapped[float | None] = mapped_column(sa.Double())
    failures: Mapped[int] = mapped_column(sa.Integer(), default=0)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> Any:
        table = cls.__tablename__
        return (*_token_table_args(table), sa.Index(f"ix_{table}_status_expires_at", "status", "expires_at"))

    @validates("expires_at", "refresh_expires_at")
    def _read_expiry(self, key: str, value: object) -> int | None:
        return parse_expires_at(value)

    def to_token(self) -> TokenDict:
        """:return: the token for a client, as the seed's ``to_token`` has it; what is ``None`` is left out."""
        return self._token_of("access_token", "token_type", "refresh_token", "expires_at", "scope", "id_token")


class OAuthEventMixin:
    """``oauth_event``: what happened to whom. No secret, ever. The class declares ``user_id``.

    ``user_id`` has no foreign key: an event must not wait for a lock on the user's row, which the host's own
    transaction may hold. Events go with their user all the same when the user is deleted through a session.
    """

    __tablename__: Any = "oauth_event"
    if TYPE_CHECKING:
        user_id: Mapped[Any]

    id: Mapped[int] = mapped_column(_id(), primary_key=True)
    created_at: Mapped[float] = mapped_column(sa.Double(), default=time.time)
    kind: Mapped[str] = mapped_column(sa.String(40))
    outcome: Mapped[str] = mapped_column(sa.String(20))
    name: Mapped[str] = mapped_column(sa.String(100), default="")
    identity_id: Mapped[int | None] = mapped_column(sa.BigInteger())
    account: Mapped[str] = mapped_column(exact(255), default="")
    error: Mapped[str | None] = mapped_column(sa.String(100))

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> Any:
        table = cls.__tablename__
        return (
            sa.Index(f"ix_{table}_created_at", "created_at"),
            sa.Index(f"ix_{table}_user_id_created_at", "user_id", "created_at"),
        )


def _token_table_args(table: str) -> tuple[Any, ...]:
    return (
        sa.UniqueConstraint("user_id", "name", "account", name=f"uq_{table}_user_id_name_account"),
        sa.Index(f"ix_{table}_identity_id", "identity_id"),
    )


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
            "User", (_UserMixin, base), {}, lambda target: target.update({"__module__": __name__})
        )
    return known[base]


class _UserMixin:
    __tablename__: Any = "oauth_user"
    is_shipped: ClassVar[bool] = True
    id: Mapped[int] = mapped_column(sa.Integer(), primary_key=True)
    email: Mapped[str | None] = mapped_column(sa.String(320))
    email_verified: Mapped[bool | None] = mapped_column(sa.Boolean())
    name: Mapped[str | None] = mapped_column(sa.String(255))
    username: Mapped[str | None] = mapped_column(sa.String(255))
    display_name: Mapped[str | None] = mapped_column(sa.String(255))
    avatar_url: Mapped[str | None] = mapped_column(sa.Text())
    is_active: Mapped[bool] = mapped_column(sa.Boolean(), default=True)
    created_at: Mapped[float | None] = mapped_column(sa.Double(), default=time.time)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> Any:
        # A deleted user's number is never given to another one: an old cookie must not open a new account.
        return (sa.Index("ix_oauth_user_email", "email"), {"sqlite_autoincrement": True})

    @property
    def is_authenticated(self) -> bool:
        return bool(self.is_active)

    @property
    def is_anonymous(self) -> bool:
        return False

    def get_id(self) -> str:
        """:return: the primary key as text, for the session."""
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


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
    "exact",
    "find_user_key",
    "read_models",
]
