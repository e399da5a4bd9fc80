"""Storing a refreshed token before anybody uses it, also where the database does not want it yet.

The provider has spent the old refresh token by then: a token that is not stored is a grant that is lost. So it is
tried again as long as the caller may wait, and kept in memory after that, where the next caller of this process finds
it. It is kept there too while the host can still undo what was written within its own transaction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial

from ..errors import StorageBusy, StorageUnavailable
from ..tokens import StoredToken, TokenDict, parse_expires_at
from .decide import ACTIVE, REAUTH_REQUIRED
from .tools import OnOrphan, Report, Tools, Unsaved, get_row_key, load_successor, log, reload_row

_FIRST_PAUSE = 0.1
_GREATEST_PAUSE = 2.0
_LEAST_PATIENCE = 2.0
"""Seconds for which it is tried however long the provider took."""


class Saver:
    """Stores what one attempt has got.

    :param tools: of the vault.
    :param report: gets what is to be told.
    :param on_orphan: gets a new grant whose row has been deleted meanwhile.
    :param on_blocked: called when the database refuses the token for now.
    """

    def __init__(
        self, tools: Tools, report: Report, *, on_orphan: OnOrphan | None, on_blocked: Callable[[], object]
    ) -> None:
        self._tools = tools
        self._report = report
        self._on_orphan = on_orphan
        self._on_blocked = on_blocked

    def save(self, claimed: StoredToken, owner: str, token: TokenDict, deadline: float) -> StoredToken | None:
        """Store a token, trying as long as the caller may wait and the claim holds.

        :param claimed: the row with the claim.
        :param owner: of the claim.
        :param token: the refreshed token, merged with the stored one.
        :param deadline: until which the caller may wait, on the monotonic clock.
        :return: the row as stored, or as it is to be stored where another transaction holds it all the time;
            ``None`` if somebody else wrote meanwhile, or the row is gone.
        :raises StorageUnavailable: if the database took it at no time; it is kept in memory.
        """
        key = get_row_key(claimed)
        unsaved = self._tools.unsaved[key] = Unsaved(claimed, owner, token)
        failure: StorageUnavailable | None = None
        for pause in self._pauses(deadline):
            if pause:
                self._on_blocked()
                self._tools.wait(pause)
                if self._tools.unsaved.get(key) is not unsaved:
                    return None  # another thread could write, and has saved it
            try:
                return self._save(unsaved)
            except StorageUnavailable as error:
                failure = error
        log.critical(
            "%s: the database refuses the refreshed token of user %s; it is kept in memory until it can be saved",
            claimed.name,
            claimed.user_id,
        )
        if isinstance(failure, StorageBusy):
            return _show(unsaved)
        raise failure or StorageUnavailable(provider=claimed.name)

    def find_unsaved(self, stored: StoredToken) -> StoredToken | None:
        """:return: the row as it is to be stored, where it could not be stored yet and nothing newer is."""
        unsaved = self._tools.unsaved.get(get_row_key(stored))
        if unsaved is None or not is_unchanged(stored, unsaved.stored):
            return None
        return _show(unsaved)

    def save_unsaved(self, stored: StoredToken) -> StoredToken | None:
        """Store what an earlier attempt could not; asking the provider instead would spend a spent refresh token.

        :param stored: the row it is about.
        :return: the row as stored; ``None`` if there is nothing to store, or no row for it any more.
        :raises StorageUnavailable: if the database still does not take it.
        """
        unsaved = self._tools.unsaved.get(get_row_key(stored))
        return None if unsaved is None else self._save(unsaved)

    def _pauses(self, deadline: float) -> Iterator[float]:
        now = self._tools.monotonic()
        end = min(now + self._tools.settings.refresh_lease, max(deadline, now + _LEAST_PATIENCE))
        yield 0.0
        pause = _FIRST_PAUSE
        while self._tools.monotonic() + pause < end:
            yield pause
            pause = min(_GREATEST_PAUSE, pause * 2)

    def _save(self, unsaved: Unsaved) -> StoredToken | None:
        stored = unsaved.stored
        saved = self._write_if_ours(unsaved)
        if saved is not None:
            self._report.add_event("refresh", "token_update", saved)
            self._tools.store.when_settled(partial(self._forget, unsaved))
            return saved
        current = reload_row(self._tools.store, stored) or load_successor(self._tools.store, stored)
        if current is None or current.status not in (ACTIVE, REAUTH_REQUIRED):
            # Only where no new consent is stored: many providers revoke that together with the old grant.
            self._give_back(unsaved)
        self._forget(unsaved)
        return None

    def _forget(self, unsaved: Unsaved) -> None:
        key = get_row_key(unsaved.stored)
        if self._tools.unsaved.get(key) is unsaved:
            self._tools.unsaved.pop(key, None)

    def _write_if_ours(self, unsaved: Unsaved) -> StoredToken | None:
        """The version fences off everybody who writes to the row, and a new row under the key of a deleted one."""
        store, now = self._tools.store, self._tools.clock()
        saved = store.commit_refresh(unsaved.stored, owner=unsaved.owner, token=unsaved.token, now=now)
        if saved is not None:
            return saved
        current = reload_row(store, unsaved.stored)
        if current is None or not _is_declared_dead(current, unsaved.stored):
            return None
        return store.commit_refresh(current, owner=unsaved.owner, token=unsaved.token, now=now)

    def _give_back(self, unsaved: Unsaved) -> None:
        log.info("%s: the grant was ended here during a refresh; the new token is not stored", unsaved.stored.name)
        if self._on_orphan is not None:
            on_orphan, token = self._on_orphan, unsaved.token
            self._report.add_action(lambda: on_orphan(token))


def _show(unsaved: Unsaved) -> StoredToken:
    """The row as it will be read once it is stored."""
    expires_at = parse_expires_at(unsaved.token.get("expires_at"))
    return dataclasses.replace(unsaved.stored, token=unsaved.token, expires_at=expires_at, issued_for=None)


def _is_declared_dead(current: StoredToken, claimed: StoredToken) -> bool:
    """One write later and dead: a slower process has believed a refusal that our own rotation had caused."""
    return current.version == claimed.version + 1 and current.status == REAUTH_REQUIRED


def is_unchanged(current: StoredToken, claimed: StoredToken) -> bool:
    """:return: whether nobody has written a token since; a new row under an old key has another version."""
    return (get_row_key(current), current.version) == (get_row_key(claimed), claimed.version)
