"""``flask oauth keys``: the keys that seal stored secrets."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import with_appcontext

from ..registry import get_state
from ..vault.keys import generate_key_line
from .common import describe_missing_key, report_errors, require_accounts, show_table

_PROTOCOLS = ("oauth2", "oauth1")


@click.group("keys", help="The keys that seal stored secrets.")
def keys_group() -> None:
    """Group of the commands below."""


@keys_group.command("generate", help="Print a new key for OAUTH_ACCOUNTS_KEYS; put it first in the list.")
@click.option("--id", "key_id", default=None, help="Its id; a random one when left out.")
@report_errors
def generate(key_id: str | None) -> None:
    """Print one line; nothing is stored."""
    click.echo(generate_key_line(key_id))


@keys_group.command("status", help="Show which key has sealed how many secrets.")
@report_errors
@with_appcontext
def status() -> None:
    """Exit with 1 where a secret was sealed with a key that is not configured."""
    ring = get_state().keys
    counts = require_accounts().store.count_by_key()
    rows = [
        (key_id, "seals" if index == 0 else "opens", counts.pop(key_id, 0)) for index, key_id in enumerate(ring.key_ids)
    ]
    rows.extend((key_id or "(not sealed)", "MISSING", count) for key_id, count in counts.items())
    show_table(("key", "use", "secrets"), rows)
    if counts:
        raise click.ClickException("; ".join(describe_missing_key(key_id, count) for key_id, count in counts.items()))


@keys_group.command(
    "rotate", help="Seal every secret with the first key. Can be stopped and started again at any time."
)
@click.option("--batch", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Rows looked at at once.")
@report_errors
@with_appcontext
def rotate(batch: int) -> None:
    """Safe beside live traffic: a row that somebody writes meanwhile carries the new key anyway."""
    ring = get_state().keys
    store = require_accounts().store
    key_id = ring.key_ids[0]
    changed = unreadable = 0
    for protocol in _PROTOCOLS:
        total = store.count_tokens(protocol)
        if not total:
            continue
        with click.progressbar(length=total, label=f"{protocol} tokens") as bar:
            last: Any = None
            while True:
                result = store.reseal(protocol, after=last, key_id=key_id, batch=batch)
                changed += result.changed
                unreadable += result.unreadable
                bar.update(result.seen)
                last = result.last_id
                if last is None:
                    break
    click.echo(f"{changed} rows are sealed with {key_id} now.")
    if unreadable:
        raise click.ClickException(
            f"{unreadable} rows cannot be opened with the keys that are configured, and were left as they are; "
            "`flask oauth keys status` names what is missing"
        )


@keys_group.command("drop", help="Tell whether a key may be taken out of the configuration.")
@click.argument("key_id")
@report_errors
@with_appcontext
def drop(key_id: str) -> None:
    """Refuse while a secret still needs the key; the key itself is removed from the configuration by hand."""
    ring = get_state().keys
    if key_id not in ring.key_ids:
        raise click.ClickException(f"there is no key {key_id!r}; known are {', '.join(ring.key_ids)}")
    if key_id == ring.key_ids[0]:
        raise click.ClickException(
            f"{key_id} seals now; put another key before it first, then run: flask oauth keys rotate"
        )
    count = require_accounts().store.count_by_key().get(key_id, 0)
    if count:
        raise click.ClickException(f"{count} secrets still need {key_id}; run first: flask oauth keys rotate")
    click.echo(f"No secret needs {key_id}. Take it out of OAUTH_ACCOUNTS_KEYS (or SECRET_KEY_FALLBACKS) and restart.")
