"""What the commands share: the accounts of the current application, durations, tables, errors."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from ..clients.base import config_key
from ..errors import OAuthError
from ..registry import AppState, get_state
from ..vault.keys import DERIVED_PREFIX

_DURATION = re.compile(r"([0-9]+)\s*([smhd]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


if TYPE_CHECKING:
    _FloatType = click.ParamType[float]
else:  # click before 8.4 has no type parameter here
    _FloatType = click.ParamType


class Duration(_FloatType):
    """A duration such as ``90``, ``15m``, ``12h`` or ``30d``; the value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """:raises click.BadParameter: for anything else."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _DURATION.fullmatch(str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is no duration; write 90, 15m, 12h or 30d", param, ctx)
        return float(int(match[1]) * _UNITS[match[2]])


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    :ivar level: ``ok``; ``hint`` (worth knowing); ``problem`` (mend it).
    """

    level: Literal["ok", "hint", "problem"]
    text: str


def require_accounts() -> Any:
    """The accounts of the current application.

    :raises click.ClickException: if it has none.
    """
    state: AppState = get_state()
    if state.accounts is None:
        raise click.ClickException(
            "this application stores no accounts: register oauth_bp, or set up OAuthAccounts(oauth, db=…, user_model=…)"
        )
    return state.accounts


def find_engine(accounts: Any) -> Any:
    """The engine itself: the way the extension finds it would bring the tables up to date on the way."""
    return accounts.db.engines[getattr(accounts.user_model, "__bind_key__", None)]


def describe_no_client(state: AppState) -> str:
    """Say what to do in an application without any client."""
    key = config_key("github", "client_id")
    if state.accounts is not None and state.accounts.embedded:
        return f"no client is registered: set {key}, for example"
    return f'no client is registered: write oauth.register("github"), for example, and set {key}'


def describe_missing_key(key_id: str | None, count: int) -> str:
    """Say what to do about secrets that no configured key opens.

    :param key_id: of the key that has sealed them; ``None`` for secrets that are not sealed.
    :param count: how many secrets.
    """
    if key_id is None:
        return f"{count} stored secrets are not sealed: somebody has written them past the models"
    remedy = "put it back into OAUTH_ACCOUNTS_KEYS"
    if key_id.startswith(DERIVED_PREFIX):
        remedy = "put the SECRET_KEY that it was derived from into SECRET_KEY_FALLBACKS"
    return f"{count} stored secrets need the key {key_id}, which is not configured: {remedy}"


def is_shipped(accounts: Any) -> bool:
    """Whether the users are of the shipped model, so that the tables have the shipped migrations."""
    return bool(getattr(accounts.user_model, "is_shipped", False))


def report_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Show this package's errors as one line, without a traceback, and exit with 1."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except OAuthError as error:
            raise click.ClickException(error.operator_message) from error

    return run


def show_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print columns that are as wide as their widest value."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[index]) for line in [list(headers), *texts]) for index in range(len(headers))]
    for line in [list(headers), *texts]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def format_time(seconds: float | None) -> str:
    """:return: UTC to the second, ``-`` for ``None``."""
    if seconds is None:
        return "-"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
