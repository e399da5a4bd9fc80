"""Users, identities, tokens and events.

Revision ID: oa0001
Revises: nothing
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision: str = "oa0001"
down_revision: str | None = None
branch_labels: tuple[str, ...] | None = ("oauth_accounts",)
depends_on: tuple[str, ...] | None = None

_MYSQL = ("mysql", "mariadb")


def _exact(length: int) -> Any:
    """MariaDB compares without case, accents and trailing blanks unless it is told otherwise."""
    return sa.String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"), *_MYSQL
    )


def _key() -> Any:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _sealed(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text().with_variant(mysql.MEDIUMTEXT(), *_MYSQL))


def _user_id() -> sa.Column[Any]:
    return sa.Column("user_id", sa.Integer(), sa.ForeignKey("oauth_user.id", ondelete="CASCADE"), nullable=False)


def _times(*names: str) -> list[sa.Column[Any]]:
    """Seconds since the epoch."""
    return [sa.Column(name, sa.Double()) for name in names]


def upgrade() -> None:
    """Create the five tables."""
    _create_user()
    _create_identity()
    _create_oauth1_token()
    _create_oauth2_token()
    _create_event()


def downgrade() -> None:
    """Drop them, with all users."""
    for table in ("oauth_event", "oauth2_token", "oauth1_token", "oauth_identity", "oauth_user"):
        op.drop_table(table)


def _create_user() -> None:
    op.create_table(
        "oauth_user",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("email", sa.String(320)),
        sa.Column("email_verified", sa.Boolean()),
        sa.Column("name", sa.String(255)),
        sa.Column("username", sa.String(255)),
        sa.Column("display_name", sa.String(255)),
        sa.Column("avatar_url", sa.Text()),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.text("'1'")),
        *_times("created_at"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_oauth_user_email", "oauth_user", ["email"])


def _create_identity() -> None:
    op.create_table(
        "oauth_identity",
        sa.Column("id", _key(), primary_key=True),
        _user_id(),
        sa.Column("name", _exact(100), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", _exact(255), nullable=False),
        sa.Column("login_key", sa.String(64)),
        sa.Column("for_login", sa.Boolean()),
        sa.Column("email", sa.String(320)),
        sa.Column("email_verified", sa.Boolean()),
        sa.Column("username", sa.String(255)),
        sa.Column("display_name", sa.String(255)),
        sa.Column("avatar_url", sa.Text()),
        sa.Column("profile_url", sa.Text()),
        sa.Column("raw_profile", sa.JSON(none_as_null=True)),
        *_times("created_at", "updated_at", "last_login_at"),
        sa.UniqueConstraint("login_key", name="uq_oauth_identity_login_key"),
        sa.UniqueConstraint("user_id", "name", "subject", name="uq_oauth_identity_user_id_name_subject"),
    )


def _token_columns() -> list[Any]:
    return [
        sa.Column("id", _key(), primary_key=True),
        _user_id(),
        sa.Column("identity_id", _key(), sa.ForeignKey("oauth_identity.id", ondelete="CASCADE")),
        sa.Column("name", _exact(100), nullable=False),
        sa.Column("account", _exact(255), nullable=False, server_default=sa.text("''")),
        sa.Column("status", sa.String(20), nullable=False, server_default=sa.text("'active'")),
        sa.Column("last_error", sa.String(255)),
        sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1")),
        *_times("created_at", "updated_at", "last_login_at"),
    ]


def _create_oauth1_token() -> None:
    op.create_table(
        "oauth1_token",
        *_token_columns(),
        _sealed("oauth_token"),
        _sealed("oauth_token_secret"),
        sa.UniqueConstraint("user_id", "name", "account", name="uq_oauth1_token_user_id_name_account"),
    )
    op.create_index("ix_oauth1_token_identity_id", "oauth1_token", ["identity_id"])


def _create_oauth2_token() -> None:
    op.create_table(
        "oauth2_token",
        *_token_columns(),
        sa.Column("token_type", sa.String(40)),
        _sealed("access_token"),
        _sealed("refresh_token"),
        _sealed("id_token"),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("issued_at", sa.BigInteger()),
        sa.Column("issued_for", sa.BigInteger()),
        sa.Column("refresh_expires_at", sa.BigInteger()),
        sa.Column("scope", sa.Text()),
        sa.Column("requested_scope", sa.Text()),
        sa.Column("lease_owner", sa.String(64)),
        *_times("lease_expires_at", "retry_at"),
        sa.Column("failures", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.UniqueConstraint("user_id", "name", "account", name="uq_oauth2_token_user_id_name_account"),
    )
    op.create_index("ix_oauth2_token_identity_id", "oauth2_token", ["identity_id"])
    op.create_index("ix_oauth2_token_status_expires_at", "oauth2_token", ["status", "expires_at"])


def _create_event() -> None:
    op.create_table(
        "oauth_event",
        sa.Column("id", _key(), primary_key=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("user_id", sa.Integer()),
        sa.Column("identity_id", sa.BigInteger()),
        sa.Column("account", _exact(255), nullable=False),
        sa.Column("error", sa.String(100)),
    )
    op.create_index("ix_oauth_event_created_at", "oauth_event", ["created_at"])
    op.create_index("ix_oauth_event_user_id_created_at", "oauth_event", ["user_id", "created_at"])
