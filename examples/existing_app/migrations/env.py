"""Runs the migrations on the database of the application."""

from __future__ import annotations

from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]


def run() -> None:
    """Connect as the application does, and compare with the application's metadata."""
    with migrate.db.engine.connect() as connection:
        context.configure(connection=connection, target_metadata=migrate.db.metadata, **migrate.configure_args)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("these migrations run on a database, not as a script")
run()
