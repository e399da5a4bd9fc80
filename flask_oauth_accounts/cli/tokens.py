"""``flask oauth tokens``: list, refresh and revoke stored tokens. No secret is ever printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import click
from flask.cli import with_appcontext

from ..errors import OAuthError, SealedValueError, StorageUnavailable, UnknownProviderError
from ..registry import get_state
from ..tokens import Protocol, StoredToken
from .common import Duration, format_time, report_errors, require_accounts, show_table


@click.group("tokens", help="Stored tokens of the users.")
def tokens_group() -> None:
    """Group of the commands below."""


def _find(
    name: str | None,
    user: str | None,
    status: str | None = None,
    *,
    protocols: Iterable[Protocol] = ("oauth2", "oauth1"),
    **query: Any,
) -> Iterator[StoredToken]:
    store = require_accounts().store
    user_id = None if user is None else _read_user_id(store, user)
    for protocol in protocols:
        yield from store.iter_tokens(protocol=protocol, status=status, name=name, user_id=user_id, **query)


def _read_user_id(store: Any, text: str) -> Any:
    try:
        return store.read_user_id(text)
    except StorageUnavailable:
        raise click.BadParameter(f"{text!r} can be no user id here", param_hint="--user") from None


@tokens_group.command("list", help="List stored tokens and how they are.")
@click.option("--name", help="Only this client.")
@click.option("--user", help="Only this user, by id.")
@click.option("--status", type=click.Choice(["active", "reauth_required", "revoked"]), help="Only this status.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@report_errors
@with_appcontext
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
@report_errors
@with_appcontext
def refresh_tokens(expiring_within: float | None, idle: float | None, name: str | None, user: str | None) -> None:
    """Exit with 1 if a refresh has failed; the others are done all the same."""
    if expiring_within is None and idle is None and name is None and user is None:
        raise click.UsageError("say which tokens: --expiring-within, --idle, --name or --user")
    selection = _Selection(time.time(), expiring_within, idle)
    counts = {"refreshed": 0, "failed": 0}
    # Read in batches: nobody counts them first.
    with click.progressbar(selection.find(name, user), label="tokens", show_pos=True) as bar:
        for stored in bar:
            _refresh_one(stored, selection, counts)
    click.echo(f"{counts['refreshed']} refreshed, {counts['failed']} failed")
    if counts["failed"]:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class _Selection:
    """Which tokens are refreshed: all that are found, where there is neither rule.

    :ivar now: seconds since the epoch.
    :ivar within: those that expire within so many seconds.
    :ivar idle: those that were not renewed for so many seconds.
    """

    now: float
    within: float | None
    idle: float | None

    def find(self, name: str | None, user: str | None) -> Iterator[StoredToken]:
        soon = {}
        if self.within is not None and self.idle is None:
            # The database finds those that expire by an index; who has been idle has to be looked for. A new token
            # that expires as soon as that, too, stands behind the old one's place, and would come again.
            soon = {"expiring_before": self.now + self.within, "updated_before": self.now}
        return filter(self.holds, _find(name, user, "active", protocols=("oauth2",), **soon))

    def holds(self, stored: StoredToken) -> bool:
        if not stored.unreadable and not stored.token.get("refresh_token"):
            return False
        if self.within is None and self.idle is None:
            return True
        soon = self.within is not None and stored.expires_at is not None and stored.expires_at <= self.now + self.within
        return soon or self.is_idle(stored)

    def is_idle(self, stored: StoredToken) -> bool:
        return self.idle is not None and stored.issued_at is not None and stored.issued_at <= self.now - self.idle


def _refresh_one(stored: StoredToken, selection: _Selection, counts: dict[str, int]) -> None:
    accounts = require_accounts()
    within = None if selection.is_idle(stored) else selection.within
    try:
        client = get_state().oauth.create_client(stored.name)
        if client is None:
            _complain(stored, "no client of this name is registered any more")
            return
        fresh = client.refresh_now(stored, within=within)
    except OAuthError as error:
        counts["failed"] += 1
        _complain(stored, accounts.store.explain_unreadable(stored) or str(error))
        return
    counts["refreshed"] += fresh.version != stored.version


def _complain(stored: StoredToken, reason: str) -> None:
    click.echo(f"{stored.name}, user {stored.user_id}: {reason}", err=True)


@tokens_group.command("revoke", help="Revoke grants at the provider and mark them here; the connection stays visible.")
@click.option("--name", help="Only this client.")
@click.option("--user", help="Only this user, by id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@report_errors
@with_appcontext
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
    try:
        result: bool | None = require_accounts().vault.revoke(stored, _ask_to_revoke, ends_anyway=True)
    except OAuthError as error:
        _complain(stored, str(error))
        return False
    return result


def _ask_to_revoke(stored: StoredToken) -> bool | None:
    """:return: ``True`` if the provider has ended the grant, ``None`` if it offers no way.

    :raises OAuthError: if it was not asked, or did not do it.
    """
    client = get_state().oauth.create_client(stored.name)
    if client is None:
        raise UnknownProviderError(description="no client of this name is registered; register it to revoke its grants")
    unreadable = require_accounts().store.explain_unreadable(stored)
    if unreadable is not None:
        raise SealedValueError(description=unreadable)
    result: bool | None = client.revoke_token(stored.token)
    return result
