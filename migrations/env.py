"""Runs the migrations of the shipped tables, in a version table of their own.

``flask oauth db`` hands over a connection that is in a transaction; the ``alembic`` command can be used as well,
with ``sqlalchemy.url`` in its configuration.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context

VERSION_TABLE = "oauth_accounts_version"

config = context.config
options: dict[str, Any] = {
    "version_table": VERSION_TABLE,
    "target_metadata": config.attributes.get("target_metadata"),
    "compare_type": True,
    "compare_server_default": True,
}


def run_offline() -> None:
    """Write SQL instead of running it."""
    context.configure(
        url=config.get_main_option("sqlalchemy.url"),
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
        **options,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_on(connection: sa.Connection) -> None:
    """Run on a connection; whoever opened it commits."""
    context.configure(connection=connection, **options)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run on the connection that was handed over, or on one of the configured address."""
    connection = config.attributes.get("connection")
    if connection is not None:
        run_on(connection)
        return
    engine = sa.engine_from_config(config.get_section(config.config_ini_section, {}), poolclass=sa.NullPool)
    with engine.connect() as own:
        run_on(own)


if context.is_offline_mode():
    run_offline()
else:
    run_online()
