"""Ending a grant: at the provider, and in the row that holds it."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import OAuthError
from ..protocols import Event
from ..tokens import StoredToken
from .decide import ACTIVE, REAUTH_REQUIRED
from .tools import Report, Tools, reload_row

AskToRevoke = Callable[[StoredToken], bool | None]
"""Asks the provider to end the grant of a row: ``True`` if it did, ``None`` if it offers no way."""


def revoke_grant(tools: Tools, stored: StoredToken, ask: AskToRevoke, *, ends_anyway: bool) -> bool | None:
    """Let the provider end a grant and mark its row; where it was refreshed meanwhile, the new token is ended too.

    :param tools: of the vault.
    :param stored: the row, as it was read before.
    :param ask: asks the provider about the row as it is now.
    :param ends_anyway: mark the row where the provider offers no way, too.
    :return: what ``ask`` has returned; ``True`` where somebody else has ended the grant or removed the row.
    :raises OAuthError: whatever ``ask`` raises; the row stays as it is.
    """
    while True:
        current = reload_row(tools.store, stored)
        if current is None or current.status not in (ACTIVE, REAUTH_REQUIRED):
            return True
        try:
            result = ask(current)
        except OAuthError as error:
            _tell(tools, current, "failure", error.error)
            raise
        if result is None and not ends_anyway:
            return None
        if tools.store.mark_revoked(current):
            _tell(tools, current, "success" if result else "not_offered")
            return result


def _tell(tools: Tools, stored: StoredToken, outcome: str, code: str | None = None) -> None:
    report = Report(tools)
    event = Event("revoked", outcome, stored.name, stored.user_id, stored.identity_id, stored.account, code)
    if tools.events is not None:
        sink = tools.events
        report.add_action(lambda: sink.record(event))
    if outcome == "success":
        report.add_notice("token_revoked", stored)
    report.send()
