"""One caller's way to a fresh token: look, claim, ask, save – or give the claim back.

No transaction is open while the provider is asked or while anybody waits: every call of the store is one of its own.
What a failure means is decided in :mod:`.decide`; this module carries it out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ..config import Settings
from ..errors import MissingTokenError, OAuthError, ProviderUnavailable, StorageUnavailable
from ..protocols import Event, EventSink, TokenStore
from ..tokens import StoredToken, TokenDict, merge_refreshed
from .decide import (
    REAUTH_REQUIRED,
    Need,
    Step,
    Verdict,
    create_back_off,
    create_consent_error,
    create_public_error,
    decide_step,
    get_error_code,
    is_served,
    judge_failure,
)

log = logging.getLogger("flask_oauth_accounts.vault")

Refresh = Callable[[StoredToken], TokenDict]
"""Asks the provider with the stored refresh token and returns the checked answer."""
OnOrphan = Callable[[TokenDict], object]
"""Gets a grant that nobody will use any more, to revoke it."""

NoticeKind = Literal["token_update", "token_refresh_failed", "reauthorization_required"]

_STORE_TRIES = 3
_FIRST_PAUSE = 0.05
_GREATEST_PAUSE = 1.0


@dataclass(frozen=True)
class Notice:
    """Something that the application may want to know; sent after it is stored, and never with a secret in ``repr``.

    :ivar kind: the name of the signal that fits.
    :ivar stored: the row as it is now.
    :ivar error: what went wrong, for the two kinds of failure.
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


class RefreshAttempt:
    """The state of one caller, from the first look at the row to the outcome.

    :param tools: of the vault.
    :param stored: the row as the caller knows it.
    :param refresh: asks the provider.
    :param need: what the caller asks of the token.
    :param on_orphan: gets a new grant whose row has been deleted meanwhile.
    :param on_blocked: called when the database refuses a write for now, so that nobody waits for this attempt
        who might be the one that holds the lock.
    :param wait: waits the given seconds, or until there is something to see.
    """

    def __init__(
        self,
        tools: Tools,
        stored: StoredToken,
        refresh: Refresh,
        need: Need,
        *,
        on_orphan: OnOrphan | None = None,
        on_blocked: Callable[[], object] = lambda: None,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.tools = tools
        self.store = tools.store
        self.stored = stored
        self.refresh = refresh
        self.need = need
        self.on_orphan = on_orphan
        self.on_blocked = on_blocked
        self.wait = wait or tools.wait
        self.owner = f"{os.getpid()}-{threading.get_ident():x}-{secrets.token_hex(8)}"
        self._deadline = tools.monotonic() + tools.settings.refresh_wait
        self._pause = _FIRST_PAUSE
        self._looked_last = False
        self._store_failures = 0
        self._store_error: StorageUnavailable | None = None
        self._after: list[Callable[[], object]] = []

    def run(self) -> StoredToken:
        """Get a token that satisfies the need.

        :return: the row as it is stored now.
        :raises MissingTokenError: if the row is gone.
        :raises ReauthorizationRequired: if only a new consent helps.
        :raises ProviderUnavailable: if the provider cannot be asked now, or somebody else's refresh takes too long.
        :raises ConfigurationError: if the provider refuses our client registration.
        :raises StorageUnavailable: if the database does not answer.
        """
        while True:
            try:
                current = self._save_unsaved() or self._look()
                found = self._take_step(current)
                claimed = None if found is not None else self._claim(current)
            except StorageUnavailable as error:
                found, claimed = self._after_store_failure(error), None
            if found is not None:
                return found
            result = None if claimed is None else self._ask(claimed)
            if result is not None:
                return result
            self._pause_before_next_look()

    def settle(self) -> None:
        """Record events, send notices and give orphans back, after everybody who waits has the outcome."""
        actions, self._after = self._after, []
        for action in actions:
            try:
                action()
            except Exception:
                log.exception("%s: what follows a refresh has failed; the token itself is safe", self.stored.name)

    # Looking

    def _look(self) -> StoredToken:
        current = self._reload(self.stored) or self._load_successor(self.stored)
        if current is None:
            raise MissingTokenError(provider=self.stored.name)
        self.stored = current
        self._store_error = None
        return current

    def _reload(self, stored: StoredToken) -> StoredToken | None:
        # A database may give the key of a deleted row to a new one; that is not the row this is about.
        current = self.store.reload(stored)
        return current if current is not None and _is_same_row(current, stored) else None

    def _load_successor(self, stored: StoredToken) -> StoredToken | None:
        """The user may have disconnected and connected again: same account, new row."""
        return self.store.load(stored.user_id, stored.name, stored.account, protocol=stored.protocol)

    def _take_step(self, current: StoredToken) -> StoredToken | None:
        now = self.tools.clock()
        step = decide_step(current, self.need, now=now)
        if step is Step.USE:
            return current
        if step is Step.CONSENT:
            raise create_consent_error(current)
        if step is Step.BACK_OFF:
            raise ProviderUnavailable(
                description="the last refresh has failed; the provider is left alone for a moment",
                provider=current.name,
                retry_after=(current.retry_at or now) - now,
            )
        if step is Step.EXPIRED:
            self._declare_dead(current, "token_expired")
        return None

    def _claim(self, current: StoredToken) -> StoredToken | None:
        now = self.tools.clock()
        if decide_step(current, self.need, now=now) is not Step.ASK:
            return None
        lease = self.tools.settings.refresh_lease
        return self.store.claim(current, owner=self.owner, now=now, lease=lease)

    def _after_store_failure(self, error: StorageUnavailable) -> StoredToken | None:
        """Before the provider is asked, a database that does not answer may be asked again."""
        if is_served(self.stored, self.need, now=self.tools.clock()):
            return self.stored
        self._store_failures += 1
        self._store_error = error
        if self._store_failures >= _STORE_TRIES:
            raise error
        self.on_blocked()
        return None

    def _pause_before_next_look(self) -> None:
        left = self._deadline - self.tools.monotonic()
        if left > 0:
            pause, self._pause = self._pause, min(_GREATEST_PAUSE, self._pause * 1.5)
            self.wait(min(left, pause * (0.5 + 0.5 * self.tools.random())))
            return
        if self._looked_last:
            raise self._store_error or create_wait_error(self.stored)
        self._looked_last = True

    # Asking

    def _ask(self, claimed: StoredToken) -> StoredToken | None:
        try:
            answer = self.refresh(claimed)
        except Exception as error:
            return self._handle_failure(claimed, error)
        except BaseException:
            self._release(claimed, claimed.last_error or "", claimed.retry_at, claimed.failures)
            raise
        return self._save(claimed, merge_refreshed(claimed.token, answer))

    def _handle_failure(self, claimed: StoredToken, error: Exception) -> StoredToken | None:
        verdict = judge_failure(error)
        code = get_error_code(error)
        if verdict is Verdict.DEAD:
            return self._believe(claimed, error, code)
        if verdict is Verdict.OPERATOR:
            self._release(claimed, claimed.last_error or "", claimed.retry_at, claimed.failures)
            public = create_public_error(error, claimed)
            log.error("%s: refreshing fails for every user until this is mended: %s", claimed.name, public)
            self._notify("token_refresh_failed", claimed, public)
            raise public from error
        failures = claimed.failures + 1
        delay = create_back_off(failures, getattr(error, "retry_after", None), random=self.tools.random())
        self._release(claimed, code, self.tools.clock() + delay, failures)
        log.warning("%s: refresh failed (%s), next try in %.1f s", claimed.name, code, delay)
        public = create_public_error(error, claimed, retry_after=delay)
        self._report("refresh_failed", claimed, "token_refresh_failed", public)
        if is_served(claimed, self.need, now=self.tools.clock()):
            return claimed
        if public is error:
            raise error
        raise public from error

    def _believe(self, claimed: StoredToken, error: Exception, code: str) -> StoredToken | None:
        """A refusal counts only if nobody else has rotated, or is about to (RFC 9700 section 4.14.2)."""
        current = self._look()
        if current.version != claimed.version:
            return None
        now = self.tools.clock()
        if current.lease_owner != self.owner and (current.lease_expires_at or 0) > now and current.lease_owner:
            return None
        self._declare_dead(claimed, code, error)
        return None

    def _declare_dead(self, stored: StoredToken, code: str, cause: Exception | None = None) -> None:
        """:raises ReauthorizationRequired: unless the row has moved on."""
        if not self.store.mark_reauth_required(stored, error=code):
            return
        log.warning("%s: the grant of user %s is dead (%s)", stored.name, stored.user_id, code)
        dead = dataclasses.replace(stored, status=REAUTH_REQUIRED, last_error=code)
        public = create_consent_error(dead, code)
        self._report("reauth_required", dead, "reauthorization_required", public)
        raise public from cause

    def _release(self, claimed: StoredToken, code: str, retry_at: float | None, failures: int) -> None:
        try:
            self.store.release(claimed, owner=self.owner, error=code, retry_at=retry_at, failures=failures)
        except Exception:
            # The claim runs out by itself; the error that is on its way says more than this one.
            log.exception("%s: a claim could not be given back and holds until its lease ends", claimed.name)

    # Saving

    def _save(self, claimed: StoredToken, merged: TokenDict) -> StoredToken | None:
        """Store before use. What the database will not take is tried again while the claim holds, then kept in
        memory for the next attempt of this process: the provider has spent the old refresh token already.
        """
        unsaved = Unsaved(claimed, self.owner, merged)
        key = get_row_key(claimed)
        self.tools.unsaved[key] = unsaved
        failure: Exception | None = None
        for pause in self._save_pauses():
            if pause:
                self.on_blocked()
                self.tools.wait(pause)
                if self.tools.unsaved.get(key) is not unsaved:
                    return None  # another thread could write, and has saved it
            try:
                saved = self._commit(unsaved)
            except Exception as error:
                failure = error
            else:
                self._drop_unsaved(unsaved)
                return saved
        log.critical(
            "%s: the database refuses the refreshed token of user %s (%s); it is kept in memory until it can be saved",
            claimed.name,
            claimed.user_id,
            type(failure).__name__,
        )
        if is_served(claimed, self.need, now=self.tools.clock()):
            return claimed
        if isinstance(failure, OAuthError):
            raise failure
        raise StorageUnavailable(provider=claimed.name) from failure

    def _save_pauses(self) -> Iterator[float]:
        end = self.tools.monotonic() + self.tools.settings.refresh_lease
        pause = 0.0
        while pause == 0 or self.tools.monotonic() + pause < end:
            yield pause
            pause = min(2.0, pause * 2 or 0.1)

    def _save_unsaved(self) -> StoredToken | None:
        """Save what an earlier attempt could not; asking the provider instead would spend a spent refresh token."""
        unsaved = self.tools.unsaved.get(get_row_key(self.stored))
        if unsaved is None:
            return None
        saved = self._commit(unsaved)
        self._drop_unsaved(unsaved)
        return saved

    def _drop_unsaved(self, unsaved: Unsaved) -> None:
        key = get_row_key(unsaved.stored)
        if self.tools.unsaved.get(key) is unsaved:
            with contextlib.suppress(KeyError):
                del self.tools.unsaved[key]

    def _commit(self, unsaved: Unsaved) -> StoredToken | None:
        """:return: the saved row, ``None`` if somebody else wrote meanwhile or the row is gone."""
        saved = self._write_if_ours(unsaved)
        if saved is not None:
            self._report("refresh", saved, "token_update")
        elif self._reload(unsaved.stored) is None and self._load_successor(unsaved.stored) is None:
            # Only where no new consent is stored: many providers revoke that together with the old grant.
            self._give_back(unsaved)
        return saved

    def _write_if_ours(self, unsaved: Unsaved) -> StoredToken | None:
        """The version fences off everybody who writes to the row. The look before it tells apart a new row under
        the key of a deleted one, which SQLite hands out again: it would get the token of a removed connection.
        """
        current = self._reload(unsaved.stored)
        if current is None:
            return None
        if current.version == unsaved.stored.version:
            if current.token.get("refresh_token") != unsaved.stored.token.get("refresh_token"):
                return None
        elif current.version != unsaved.stored.version + 1 or current.status != REAUTH_REQUIRED:
            return None
        # One version on and dead: a slower process has believed a refusal that our own rotation caused. The grant
        # in hand is newer, and revives the row.
        now = self.tools.clock()
        return self.store.commit_refresh(current, owner=unsaved.owner, token=unsaved.token, now=now)

    def _give_back(self, unsaved: Unsaved) -> None:
        log.info("%s: the connection was removed during a refresh; the new token is not stored", unsaved.stored.name)
        if self.on_orphan is not None:
            on_orphan, token = self.on_orphan, unsaved.token
            self._after.append(lambda: on_orphan(token))

    # Telling

    def _report(self, event: str, stored: StoredToken, kind: NoticeKind, error: Exception | None = None) -> None:
        events = self.tools.events
        if events is not None:
            record = Event(
                kind=event,
                outcome="success" if error is None else "failure",
                name=stored.name,
                user_id=stored.user_id,
                identity_id=stored.identity_id,
                account=stored.account,
                error=None if error is None else get_error_code(error),
            )
            self._after.append(lambda: events.record(record))
        self._notify(kind, stored, error)

    def _notify(self, kind: NoticeKind, stored: StoredToken, error: Exception | None) -> None:
        notify = self.tools.notify
        if notify is not None:
            notice = Notice(kind, stored, error)
            self._after.append(lambda: notify(notice))


def _is_same_row(one: StoredToken, other: StoredToken) -> bool:
    return (one.user_id, one.name, one.account) == (other.user_id, other.name, other.account)


def create_wait_error(stored: StoredToken) -> ProviderUnavailable:
    """:return: the error for a caller that has waited for somebody else's refresh as long as it may."""
    return ProviderUnavailable(
        description="somebody else's refresh of this token takes too long; see OAUTH_ACCOUNTS_REFRESH_WAIT",
        provider=stored.name,
        retry_after=1.0,
        timeout=True,
    )
