"""``flask oauth import``: take over what Flask-Dance or python-social-auth has stored in the same database."""

from __future__ import annotations

import dataclasses
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click
from flask.cli import with_appcontext

from ..errors import OAuthError, ProviderResponseError
from ..identity import Identity, parse_subject
from ..protocols import ConcurrentLogin
from ..registry import get_state
from ..storage.legacy import TABLES, Kind, LegacyRow, LegacyTable, add_token, find_users, was_disconnected
from ..tokens import TokenDict
from .common import report_errors, require_accounts

_SUBJECTS = {
    "bitbucket": re.compile(r"[^{]+"),  # elsewhere the UUID in braces
    "microsoft": re.compile(r"[A-Za-z0-9_-]{43}"),  # elsewhere the id of Microsoft Graph
    "salesforce": re.compile(r"https://.+"),  # elsewhere the id of the user
    "vimeo": re.compile(r"/users/.+"),  # elsewhere the number alone
}
"""Preset → what its subjects look like, where other packages keep another id of the same account."""


class NotImportedError(Exception):
    """Why a row stays behind; the text is for the operator and holds no secret."""


_SHOWN = 20
"""Rows that stay behind, and reasons, that are named; the others are counted."""


@dataclass
class Report:
    """:ivar left: why rows stay behind, and how many for each reason.
    :ivar shown: the first of these rows.
    """

    counts: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)

    def leave(self, row: LegacyRow, reason: str) -> None:
        """Count a row that stays behind."""
        self.left[reason] += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(f"row {row.id} ({row.provider}, user {row.user_id}): {reason}")


class Importer:
    """Writes rows of another package as identities and sealed tokens. What is there already is left as it is.

    :param names: name there → name of the client here.
    :param dry_run: look at everything, write nothing.
    """

    def __init__(self, names: Mapping[str, str], *, dry_run: bool) -> None:
        self._accounts = require_accounts()
        self._oauth = get_state().oauth
        self._names = names
        self._dry_run = dry_run
        self._issuers: dict[str, str | None] = {}
        self.report = Report()

    def take(self, rows: list[LegacyRow]) -> None:
        """Import a batch.

        :param rows: as they were read.
        """
        keys = {row.id: self._find_key(row) for row in rows}
        known = find_users(self._accounts.store, {key for key in keys.values() if key is not None})
        for row in rows:
            try:
                if keys[row.id] not in known:
                    raise NotImportedError("there is no such user" if row.user_id is not None else "it has no user")
                self._take_one(row, keys[row.id])
            except NotImportedError as reason:
                self.report.leave(row, str(reason))
            except OAuthError as error:
                self.report.leave(row, error.operator_message)

    def _find_key(self, row: LegacyRow) -> Any:
        try:
            return None if row.user_id is None else self._accounts.store.read_user_id(row.user_id)
        except OAuthError:
            return None

    def _take_one(self, row: LegacyRow, user_id: Any) -> None:
        name = self._names.get(row.provider, row.provider)
        client = self._find_client(name, row.provider)
        secret = "oauth_token" if client.protocol == "oauth1" else "access_token"
        token = row.token if row.token.get(secret) else None
        if row.subject is None or not _is_subject(client, row.subject):
            self._take_token(client, user_id, token)
        else:
            self._take_identity(client, user_id, row.subject, token)

    def _find_client(self, name: str, given: str) -> Any:
        try:
            client = self._oauth.create_client(name)
        except OAuthError as error:
            raise NotImportedError(error.operator_message) from error
        if client is None:
            raise NotImportedError(f"no client {name!r} is registered; say --map {given}=NAME, or register it")
        return client

    def _take_token(self, client: Any, user_id: Any, token: TokenDict | None) -> None:
        """Without the provider account nobody can log in by it, but the token works.

        Which account it is of is not known, so it is of no use to a user who has a token of this client.
        """
        if token is None:
            raise NotImportedError("it has no usable token, and does not name the account as a login here does")
        store = self._accounts.store
        if store.load(user_id, client.name, protocol=client.protocol) is not None:
            self.report.counts["present"] += 1
            return
        if was_disconnected(store, user_id, client.name):
            self.report.counts["disconnected"] += 1
            return
        if not self._dry_run:
            add_token(store, user_id, client.name, token, protocol=client.protocol)
        self.report.counts["tokens"] += 1
        self.report.counts["nameless"] += 1

    def _take_identity(self, client: Any, user_id: Any, text: str, token: Mapping[str, Any] | None) -> None:
        store = self._accounts.store
        identity = Identity(client.name, self._find_issuer(client), _read_subject(text, client.name))
        record = store.find(identity)
        if record is not None and record.user_id != user_id:
            raise NotImportedError("the provider account belongs to another user here")
        stored = store.load(user_id, client.name, identity.subject, protocol=client.protocol)
        if record is not None and (stored is not None or token is None):
            self.report.counts["present"] += 1
            return
        if record is None and was_disconnected(store, user_id, client.name, identity.subject):
            self.report.counts["disconnected"] += 1
            return
        self.report.counts["identities"] += record is None
        self.report.counts["tokens"] += token is not None and stored is None
        if self._dry_run:
            return
        try:
            self._write(client, identity, user_id, None if stored is not None else token)
        except ConcurrentLogin:
            raise NotImportedError("somebody logged in with this account just now; run the import again") from None

    def _write(self, client: Any, identity: Identity, user_id: Any, token: Mapping[str, Any] | None) -> None:
        store = self._accounts.store
        record = store.find(identity)
        store.record_login(
            identity if record is None else dataclasses.replace(record.identity, name=client.name),
            protocol=client.protocol,
            token=token,
            requested_scope=None,
            kind="import",
            user_id=user_id,
            record=record or store.find_connection(user_id, client.name, identity.subject),
            can_log_in=True,
            now=time.time(),
        )

    def _find_issuer(self, client: Any) -> str:
        if client.name not in self._issuers:
            try:
                self._issuers[client.name] = client._identity_issuer(None)
            except OAuthError as error:
                raise NotImportedError(error.operator_message) from error
        issuer = self._issuers[client.name]
        if not issuer:
            raise NotImportedError(
                f"the issuer of {client.name} is not the same for all its accounts, so nobody knows it"
            )
        return issuer


def _is_subject(client: Any, text: str) -> bool:
    """Whether a login with this client could bring such a subject."""
    form = _SUBJECTS.get(client.preset.key) if client.preset is not None else None
    return form is None or bool(form.fullmatch(text))


def _read_subject(text: str, name: str) -> str:
    if "@" in text:
        raise NotImportedError("it names an e-mail address, not the provider's own id of the account")
    try:
        return parse_subject(text, provider=name)
    except ProviderResponseError:
        raise NotImportedError("it names no usable provider account") from None


@click.group("import", help="Take over accounts and tokens of another package from the same database.")
def import_group() -> None:
    """Group of the commands below."""


def _parse_names(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    names = {}
    for value in values:
        old, equals, new = value.partition("=")
        if not (old and equals and new):
            raise click.BadParameter(f"{value!r} is no OLD=NEW")
        names[old] = new
    return names


def _with_options(kind: Kind) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    options = (
        click.option("--table", default=TABLES[kind], show_default=True, help="Its table, schema.table where needed."),
        click.option(
            "--map", "names", multiple=True, metavar="OLD=NEW", callback=_parse_names, help="A client's name here."
        ),
        click.option("--batch", default=200, show_default=True, type=click.IntRange(1, 10_000), help="Rows at once."),
        click.option("--dry-run", is_flag=True, help="Look at everything, write nothing."),
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return report_errors(with_appcontext(command))

    return decorate


@import_group.command("flask-dance", help="Tokens that Flask-Dance's SQLAlchemy storage has kept.")
@_with_options("flask-dance")
def import_flask_dance(table: str, names: Mapping[str, str], batch: int, dry_run: bool) -> None:
    """Can be stopped and started again at any time."""
    _run("flask-dance", table, names, batch, dry_run=dry_run)


@import_group.command("social-auth", help="Accounts and tokens of python-social-auth.")
@_with_options("social-auth")
def import_social_auth(table: str, names: Mapping[str, str], batch: int, dry_run: bool) -> None:
    """Can be stopped and started again at any time."""
    _run("social-auth", table, names, batch, dry_run=dry_run)


def _run(kind: Kind, table_name: str, names: Mapping[str, str], batch: int, *, dry_run: bool) -> None:
    importer = Importer(names, dry_run=dry_run)
    table = LegacyTable(require_accounts().store, kind, table_name)
    providers = table.list_providers()
    unknown = next((name for name in names if name not in providers), None)
    if providers and unknown is not None:
        raise click.BadParameter(
            f"{table_name} has no row of {unknown!r}, but of {', '.join(providers)}", param_hint="--map"
        )
    with click.progressbar(length=table.count(), label=table_name) as bar:
        last: Any = None
        while rows := table.read(after=last, batch=batch):
            importer.take(rows)
            last = rows[-1].id
            bar.update(len(rows))
    _show(importer.report, dry_run=dry_run)


def _show(report: Report, *, dry_run: bool) -> None:
    verb = "would be imported" if dry_run else "imported"
    counts = report.counts
    click.echo(
        f"{counts['identities']} identities and {counts['tokens']} tokens {verb}, {counts['present']} rows were here "
        f"already, {report.left.total()} cannot be imported"
    )
    if counts["disconnected"]:
        click.echo(f"{counts['disconnected']} rows are left out because their users have disconnected the account here")
    if counts["nameless"]:
        click.echo(
            f"{counts['nameless']} of the tokens are for API calls only, because their rows do not name the account as "
            "a login here does; their users connect it once to log in with it"
        )
    for line in report.shown:
        click.echo(line, err=True)
    if report.left.total() > len(report.shown):
        click.echo("and others; in all:", err=True)
        for reason, count in report.left.most_common(_SHOWN):
            click.echo(f"{count} times: {reason}", err=True)
    if report.left:
        raise click.exceptions.Exit(1)
