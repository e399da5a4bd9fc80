"""``flask oauth db``: the shipped migrations, for applications that use the shipped user model."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import with_appcontext

from .common import find_engine, is_shipped, report_errors, require_accounts


@click.group("db", help="The tables of the accounts.")
def db_group() -> None:
    """Group of the commands below."""


def _require_shipped() -> Any:
    """The engine of an application with the shipped user model.

    :raises click.ClickException: for an application with its own; the sentence says what to use.
    """
    accounts = require_accounts()
    if not is_shipped(accounts):
        raise click.ClickException(
            f"the tables hang on your own {accounts.user_model.__name__}, so they belong to your application's own "
            "migrations: run `flask db migrate` and `flask db upgrade` (Flask-Migrate)"
        )
    return find_engine(accounts)


@db_group.command("upgrade", help="Bring the tables up to date; safe while several workers start.")
@click.argument("revision", default="head")
@report_errors
@with_appcontext
def upgrade_command(revision: str) -> None:
    """Stop at a revision, or go to the newest."""
    from ..storage import migrate

    engine = _require_shipped()
    migrate.upgrade(engine, revision)
    click.echo(f"The tables are of revision {migrate.current(engine)}.")


@db_group.command("downgrade", help='Take migrations back; "base" drops all tables with all users.')
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
@report_errors
@with_appcontext
def downgrade_command(revision: str, yes: bool) -> None:
    """Ask first, because rows are lost."""
    from ..storage import migrate

    engine = _require_shipped()
    if not yes:
        click.confirm(f"Take the tables back to {revision}? Rows can be lost.", abort=True)
    migrate.downgrade(engine, revision)
    click.echo(f"The tables are of revision {migrate.current(engine) or 'none'}.")


@db_group.command("current", help="Show the revision of the tables.")
@report_errors
@with_appcontext
def current_command() -> None:
    """Show what is there and what is needed."""
    from ..storage import migrate

    engine = _require_shipped()
    click.echo(f"{migrate.current(engine) or 'none'} (newest: {migrate.get_head()})")


@db_group.command("stamp", help="Declare the tables to be of a revision, without touching them.")
@click.argument("revision", default="head")
@report_errors
@with_appcontext
def stamp_command(revision: str) -> None:
    """For tables that were made by ``create_all``."""
    from ..storage import migrate

    engine = _require_shipped()
    migrate.stamp(engine, revision)
    click.echo(f"The tables count as of revision {migrate.current(engine) or 'none'}.")


@db_group.command("check", help="Compare the tables with the models; exit with 1 where they differ.")
@report_errors
@with_appcontext
def check_command() -> None:
    """Print one line for each difference."""
    from ..storage import migrate

    accounts = require_accounts()
    differences = migrate.check(find_engine(accounts), None if is_shipped(accounts) else accounts.models.tables)
    for difference in differences:
        click.echo(difference)
    if differences:
        remedy = "flask oauth db upgrade" if is_shipped(accounts) else "flask db migrate, then flask db upgrade"
        raise click.ClickException(f"the tables are not up to date; run: {remedy}")
    click.echo("The tables are up to date.")
