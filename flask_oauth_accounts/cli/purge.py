"""``flask oauth purge``: what is of no use any more."""

from __future__ import annotations

import time

import click
from flask.cli import with_appcontext

from ..registry import get_state
from .common import Duration, report_errors, require_accounts


@click.command("purge", help="Delete old events, and rows whose user is gone.")
@click.option("--events-older-than", type=Duration(), help="OAUTH_ACCOUNTS_EVENT_RETENTION when left out.")
@report_errors
@with_appcontext
def purge_command(events_older_than: float | None) -> None:
    """Print what was deleted."""
    age = get_state().settings.event_retention if events_older_than is None else events_older_than
    store = require_accounts().store
    events = store.purge_events(time.time() - age)
    orphans = store.purge_orphans()
    click.echo(f"{events} events and {orphans} rows without a user deleted")
