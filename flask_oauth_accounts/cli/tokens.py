"""``flask oauth tokens``: list, refresh and revoke stored tokens. No secret is ever printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click
from flask.cli import with_appcontext

from ..errors import OAuthError
from ..protocols import Event
from ..registry import get_state
from ..tokens import StoredToken
from .common import Duration, format_time, report_errors, require_accounts, show_table

_PROTOCOLS = ("oauth2", "oauth1")


@click.group("tokens", help="Stored tokens of the users.")
def tokens_group() -> None:
    """Group of the commands below."""


def _find(name: str | None, user: str | None, status: str | None = None, **query: Any) -> Iterator[StoredToken]:
    store = require_accounts().store
    user_id = None if user is None else store.read_user_id(user)
    protocols = ("oauth2",) if "expiring_before" in query else _PROTOCOLS
    for protocol in protocols:
        yield from store.iter_tokens(protocol=protocol, status=status, name=name, user_id=user_id, **query)


@tokens_group.command("list", help="List stored tokens and how they are.")
@click.option("--name", help="Only this client.")
@click.option("--user", help="Only this user, by id.")
@click.option("--status", type=click.Choice(["active", "reauth_required", "revoked"]), help="Only this status.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_appcontext
@report_errors
def list_tokens(name: str | None, user: str | None, status: str | None, as_json: bool) -> None:
    """Print one line for each token."""
    vault = require_accounts().vault
    rows = []
    for stored in _find(name, user, status):
        health = vault.health(stored)
        if as_json:
            values = {
                "id": str(stored.id),
                "user": str(stored.user_id),
                "name": stored.name,
                "account": stored.account,
                "protocol": stored.protocol,
                "state": health.state,
                "expires_at": stored.expires_at,
                "retry_at": health.retry_at,
                "last_error": health.last_error,
                "scope": stored.scope,
            }
            click.echo(json.dumps(values))
            continue
        rows.append(
            (
                stored.user_id,
                stored.name,
                stored.account or "-",
                health.state,
                format_time(stored.expires_at),
                format_time(health.retry_at),
                health.last_error or "-",
            )
        )
    if not as_json:
        show_table(("user", "name", "account", "state", "expires", "next try", "last error"), rows)


@tokens_group.command("refresh", help="Refresh tokens ahead of time, for cron.")
@click.option("--expiring-within", type=Duration(), help="Those that expire within this time, such as 15m.")
@click.option(
    "--idle", type=Duration(), help="Also those not renewed for this time, such as 30d: unused grants may lapse."
)
@click.option("--name", help="Only this client.")
@click.option("--user", help="Only this user, by id.")
@with_appcontext
@report_errors
def refresh_tokens(expiring_within: float | None, idle: float | None, name: str | None, user: str | None) -> None:
    """Exit with 1 if a refresh has failed; the others are done all the same."""
    if expiring_within is None and idle is None and name is None and user is None:
        raise click.UsageError("say which tokens: --expiring-within, --idle, --name or --user")
    now = time.time()
    # The database finds those that expire by an index; who has been idle has to be looked for.
    soon = {"expiring_before": now + expiring_within} if expiring_within is not None and idle is None else {}
    found = (
        stored
        for stored in _find(name, user, "active", **soon)
        if stored.protocol == "oauth2" and _is_wanted(stored, now, expiring_within, idle)
    )
    counts = {"refreshed": 0, "failed": 0}
    with click.progressbar(found, label="tokens", show_pos=True) as bar:  # read in batches: nobody counts them first
        for stored in bar:
            _refresh_one(stored, expiring_within if not _is_idle(stored, now, idle) else None, counts)
    click.echo(f"{counts['refreshed']} refreshed, {counts['failed']} failed")
    if counts["failed"]:
        raise click.exceptions.Exit(1)


def _is_idle(stored: StoredToken, now: float, idle: float | None) -> bool:
    return idle is not None and stored.issued_at is not None and stored.issued_at <= now - idle


def _is_wanted(stored: StoredToken, now: float, within: float | None, idle: float | None) -> bool:
    if not stored.unreadable and not stored.token.get("refresh_token"):
        return False
    if within is None and idle is None:
        return True
    soon = within is not None and stored.expires_at is not None and stored.expires_at <= now + within
    return soon or _is_idle(stored, now, idle)


def _refresh_one(stored: StoredToken, within: float | None, counts: dict[str, int]) -> None:
    client = get_state().oauth.create_client(stored.name)
    place = f"{stored.name}, user {stored.user_id}"
    if client is None:
        click.echo(f"{place}: no client of this name is registered any more", err=True)
        return
    try:
        fresh = require_accounts().vault.refresh_now(stored, client.refresh_stored, within=within)
    except OAuthError as error:
        counts["failed"] += 1
        click.echo(f"{place}: {error.operator_message}", err=True)
        return
    counts["refreshed"] += fresh.version != stored.version


@tokens_group.command("revoke", help="Revoke grants at the provider and mark them here; the connection stays visible.")
@click.option("--name", help="Only this client.")
@click.option("--user", help="Only this user, by id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
@report_errors
def revoke_tokens(name: str | None, user: str | None, yes: bool) -> None:
    """Exit with 1 if a provider did not revoke; those rows are left as they are."""
    if name is None and user is None:
        raise click.UsageError("say which tokens: --name or --user")
    found = [stored for stored in _find(name, user) if stored.status != "revoked"]
    if found and not yes:
        click.confirm(f"Revoke {len(found)} grants?", abort=True)
    results = [_revoke_one(stored) for stored in found]
    click.echo(f"{results.count(True)} revoked, {results.count(None)} not offered, {results.count(False)} failed")
    if False in results:
        raise click.exceptions.Exit(1)


def _revoke_one(stored: StoredToken) -> bool | None:
    accounts = require_accounts()
    client = get_state().oauth.create_client(stored.name)
    result: bool | None = None
    error: str | None = None
    try:
        if client is not None and not stored.unreadable:
            result = client.revoke_token(stored.token)
    except OAuthError as failure:
        result, error = False, failure.error
        click.echo(f"{stored.name}, user {stored.user_id}: {failure.operator_message}", err=True)
    if result is not False:
        accounts.store.mark_revoked(stored)
    outcome = {True: "success", False: "failure", None: "not_offered"}[result]
    accounts.store.record(
        Event("revoked", outcome, stored.name, stored.user_id, stored.identity_id, stored.account, error)
    )
    return result
