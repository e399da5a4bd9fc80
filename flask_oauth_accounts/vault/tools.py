"""What the parts of the vault share: its tools, what they hand to each other, and what is told afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..config import Settings
from ..protocols import Event, EventSink, TokenStore
from ..tokens import StoredToken, TokenDict
from .decide import get_error_code

log = logging.getLogger("flask_oauth_accounts.vault")

Refresh = Callable[[StoredToken], TokenDict]
"""Asks the provider with the stored refresh token and returns the checked answer."""
OnOrphan = Callable[[TokenDict], object]
"""Gets a grant that nobody will use any more, to revoke it."""


@dataclass(frozen=True)
class Asking:
    """How one row's provider is asked.

    :ivar refresh: asks with the stored refresh token, while the claim holds.
    :ivar prepare: loads beforehand what that needs, so that the claim need not last as long.
    :ivar on_orphan: gets a new grant whose row has been deleted meanwhile.
    """

    refresh: Refresh
    prepare: Callable[[], object] | None = None
    on_orphan: OnOrphan | None = None


NoticeKind = Literal["token_update", "token_refresh_failed", "reauthorization_required", "token_revoked"]


@dataclass(frozen=True)
class Notice:
    """Something that the application may want to know; sent after it is stored, and never with a secret in ``repr``.

    :ivar kind: the name of the signal that fits.
    :ivar stored: the row as it is now.
    :ivar error: what went wrong, where something did.
    """

    kind: NoticeKind
    stored: StoredToken
    error: Exception | None = None


@dataclass(frozen=True)
class Unsaved:
    """A refreshed token that the database would not take yet; kept in memory only."""

    stored: StoredToken
    owner: str
    token: TokenDict = field(repr=False)


@dataclass(frozen=True)
class Tools:
    """What every attempt of one vault works with.

    :ivar clock: seconds since the epoch.
    :ivar monotonic: seconds that only grow, to measure waiting.
    :ivar wait: waits the given seconds.
    :ivar random: a number from 0 to 1.
    :ivar unsaved: grants that wait for the database, by row.
    """

    store: TokenStore
    settings: Settings
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    wait: Callable[[float], object]
    random: Callable[[], float]
    events: EventSink | None = None
    notify: Callable[[Notice], object] | None = None
    unsaved: dict[tuple[str, Any], Unsaved] = field(default_factory=dict, repr=False)


def get_row_key(stored: StoredToken) -> tuple[str, Any]:
    """:return: what tells a row from all others in the store."""
    return stored.protocol, stored.id


def reload_row(store: TokenStore, stored: StoredToken) -> StoredToken | None:
    """Read a row again.

    :return: the row, ``None`` if it is gone. A database may give the key of a deleted row to a new one; that is not
        the row that was asked for.
    """
    current = store.reload(stored)
    if current is None:
        return None
    same = (current.user_id, current.name, current.account) == (stored.user_id, stored.name, stored.account)
    return current if same else None


def load_successor(store: TokenStore, stored: StoredToken) -> StoredToken | None:
    """:return: the row of a user who has disconnected and connected again: same account, new row."""
    return store.load(stored.user_id, stored.name, stored.account, protocol=stored.protocol)


class Report:
    """What is to be told, once everybody who waits has the outcome.

    :param tools: of the vault.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._actions: list[Callable[[], object]] = []

    def add_action(self, action: Callable[[], object]) -> None:
        """:param action: to be called later; what it raises is logged."""
        self._actions.append(action)

    def add_event(self, event: str, kind: NoticeKind, stored: StoredToken, error: Exception | None = None) -> None:
        """Record an event, and send the notice of it."""
        sink = self._tools.events
        if sink is not None:
            record = Event(
                kind=event,
                outcome="success" if error is None else "failure",
                name=stored.name,
                user_id=stored.user_id,
                identity_id=stored.identity_id,
                account=stored.account,
                error=None if error is None else get_error_code(error),
            )
            self.add_action(lambda: sink.record(record))
        self.add_notice(kind, stored, error)

    def add_notice(self, kind: NoticeKind, stored: StoredToken, error: Exception | None = None) -> None:
        """Send a notice only."""
        notify = self._tools.notify
        if notify is not None:
            notice = Notice(kind, stored, error)
            self.add_action(lambda: notify(notice))

    def send(self) -> None:
        """Do it. Nothing that goes wrong here may cost the caller the token."""
        actions, self._actions = self._actions, []
        for action in actions:
            try:
                action()
            except Exception:
                log.exception("what follows a refresh has failed; the token itself is safe")
