"""The tables as mixins: columns, keys and indexes, for the shipped models and for a host's own classes.

Every time is in seconds since the epoch, UTC. Column types are SQLAlchemy's own, so that a migration generated for
them imports nothing of this package. Texts that identify somebody compare exactly on every database, to the last
blank, accent and case.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, validates

from ..errors import ConfigurationError
from ..tokens import Protocol as TokenProtocol
from ..tokens import TokenDict, parse_expires_at
from .sealed import SealedRow, SealedText

if TYPE_CHECKING:
    from .sqlalchemy import SQLAlchemyStore

_MYSQL = ("mysql", "mariadb")


def exact(length: int) -> sa.String:
    """A text that compares byte for byte; MariaDB's usual collations ignore case, accents and trailing blanks."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), *_MYSQL
    )


def _id() -> Any:
    """SQLite numbers rows by itself only where the key is declared as INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def first_version() -> int:
    """Draw the version of a new row; it grows by one with every write, and fits an integer of 32 bits for ever.

    SQLite gives the key of a deleted row to the next one. Two rows of one key must not share a version too, or a
    refresh that was asked for the first would be written into the second.
    """
    return secrets.randbelow(2**30) + 1


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
    for_login: Mapped[bool | None] = mapped_column(sa.Boolean())
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
    status: Mapped[str] = mapped_column(sa.String(20), default="active", server_default=sa.text("'active'"))
    last_error: Mapped[str | None] = mapped_column(sa.String(255))
    version: Mapped[int] = mapped_column(sa.Integer(), default=first_version, server_default=sa.text("1"))
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
    issued_for: Mapped[int | None] = mapped_column(sa.BigInteger())
    refresh_expires_at: Mapped[int | None] = mapped_column(sa.BigInteger())
    scope: Mapped[str | None] = mapped_column(sa.Text())
    requested_scope: Mapped[str | None] = mapped_column(sa.Text())
    lease_owner: Mapped[str | None] = mapped_column(sa.String(64))
    lease_expires_at: Mapped[float | None] = mapped_column(sa.Double())
    retry_at: Mapped[float | None] = mapped_column(sa.Double())
    failures: Mapped[int] = mapped_column(sa.Integer(), default=0, server_default=sa.text("0"))

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> Any:
        table = cls.__tablename__
        return (*_token_table_args(table), sa.Index(f"ix_{table}_status_expires_at", "status", "expires_at"))

    @validates("expires_at", "refresh_expires_at")
    def _read_expiry(self, key: str, value: object) -> int | None:
        return parse_expires_at(value)

    def to_token(self) -> TokenDict:
        """:return: the token for a client, as code written for Authlib has it; what is ``None`` is left out."""
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


class UserMixin:
    """``oauth_user``: the shipped users, with what Flask-Login asks of one."""

    __tablename__: Any = "oauth_user"
    is_shipped: ClassVar[bool] = True
    id: Mapped[int] = mapped_column(sa.Integer(), primary_key=True)
    email: Mapped[str | None] = mapped_column(sa.String(320))
    email_verified: Mapped[bool | None] = mapped_column(sa.Boolean())
    name: Mapped[str | None] = mapped_column(sa.String(255))
    username: Mapped[str | None] = mapped_column(sa.String(255))
    display_name: Mapped[str | None] = mapped_column(sa.String(255))
    avatar_url: Mapped[str | None] = mapped_column(sa.Text())
    is_active: Mapped[bool] = mapped_column(sa.Boolean(), default=True, server_default=sa.text("'1'"))
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
