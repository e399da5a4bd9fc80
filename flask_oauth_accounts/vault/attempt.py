"""One caller's way to a fresh token: look, claim, ask, save – or give the claim back.

No transaction is open while the provider is asked or while anybody waits: every call of the store is one of its own.
What a failure means is decided in :mod:`.decide`; this module carries it out.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import threading
from collections.abc import Callable

from ..errors import MissingTokenError, ProviderResponseError, ProviderUnavailable, StorageBusy, StorageUnavailable
from ..tokens import StoredToken, merge_refreshed
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
from .saving import Saver, is_unchanged
from .tools import Asking, Notice, Report, Tools, load_successor, log, reload_row

__all__ = ["Notice", "RefreshAttempt", "create_wait_error"]

_STORE_TRIES = 3
_FIRST_PAUSE = 0.05
_GREATEST_PAUSE = 1.0
_SECOND_LOOK = 0.25
"""Seconds in which whoever had the row locked, and was rolled back, has written again what it had renewed."""


class RefreshAttempt:
    """The state of one caller, from the first look at the row to the outcome.

    :param tools: of the vault.
    :param stored: the row as the caller knows it.
    :param asking: how the provider is asked.
    :param need: what the caller asks of the token.
    :param on_blocked: called when the database refuses a write for now, so that nobody waits for this attempt
        who might be the one that holds the lock.
    :param wait: waits the given seconds, or until there is something to see.
    """

    def __init__(
        self,
        tools: Tools,
        stored: StoredToken,
        asking: Asking,
        need: Need,
        *,
        on_blocked: Callable[[], object] = lambda: None,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self.tools = tools
        self.store = tools.store
        self.stored = stored
        self.asking = asking
        self.need = need
        self.on_blocked = on_blocked
        self.wait = wait or tools.wait
        self.report = Report(tools)
        self.saver = Saver(tools, self.report, on_orphan=asking.on_orphan, on_blocked=on_blocked)
        self.owner = f"{os.getpid()}-{threading.get_ident():x}-{secrets.token_hex(8)}"
        self._deadline = tools.monotonic() + tools.settings.refresh_wait
        self._pause = _FIRST_PAUSE if wait is None else _GREATEST_PAUSE
        self._looked_last = False
        self._was_locked = False
        self._is_prepared = False
        self._unprepared: Exception | None = None
        self._store_failures = 0
        self._store_error: StorageUnavailable | None = None

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
                current = self.saver.save_unsaved(self.stored) or self._look()
                found = self._take_step(current)
                claimed = None if found is not None else self._claim(current)
            except StorageBusy:
                found, claimed = self._serve_while_locked(), None
            except StorageUnavailable as error:
                found, claimed = self._after_store_failure(error), None
            if found is not None:
                return found
            result = None if claimed is None else self._ask(claimed)
            if result is not None:
                return result
            self._pause_before_next_look()

    # Looking

    def _look(self) -> StoredToken:
        current = reload_row(self.store, self.stored) or load_successor(self.store, self.stored)
        if current is None:
            raise MissingTokenError(provider=self.stored.name)
        self.stored = current
        self._store_error = None
        return current

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
        if decide_step(current, self.need, now=self.tools.clock()) is not Step.ASK:
            return None
        self._prepare()
        now = self.tools.clock()
        lease = self.tools.settings.refresh_lease
        claimed = self.store.claim(current, owner=self.owner, now=now, lease=lease)
        return self._look_twice(claimed) if claimed is not None and self._was_locked else claimed

    def _prepare(self) -> None:
        """Once, before the claim. A failure counts as one of the refresh, for it backs off in the same way."""
        if self._is_prepared or self.asking.prepare is None:
            return
        self._is_prepared = True
        try:
            self.asking.prepare()
        except Exception as error:
            self._unprepared = error

    def _look_twice(self, claimed: StoredToken) -> StoredToken | None:
        """Make sure that the row is still the newest one where others had it locked until a moment ago."""
        self.tools.wait(_SECOND_LOOK)
        self._was_locked = False
        return claimed if is_unchanged(self._look(), claimed) else None

    def _serve_while_locked(self) -> StoredToken | None:
        """Another transaction holds the row: whatever is valid is served, and else it is waited for."""
        self._was_locked = True
        now = self.tools.clock()
        renewed = self.saver.find_unsaved(self.stored)
        if renewed is not None and decide_step(renewed, self.need, now=now) is Step.USE:
            return renewed
        if is_served(self.stored, self.need, now=now):
            return self.stored
        self.on_blocked()
        return None

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
            if self._unprepared is not None:
                raise self._unprepared
            answer = self.asking.refresh(claimed)
            if not answer.get("access_token"):
                raise ProviderResponseError(description="the answer has no access_token", provider=claimed.name)
        except Exception as error:
            return self._handle_failure(claimed, error)
        except BaseException:
            self._release_unchanged(claimed)
            raise
        try:
            return self.saver.save(claimed, self.owner, merge_refreshed(claimed.token, answer), self._deadline)
        except StorageUnavailable:
            if is_served(claimed, self.need, now=self.tools.clock()):
                return claimed
            raise

    def _handle_failure(self, claimed: StoredToken, error: Exception) -> StoredToken | None:
        verdict = judge_failure(error)
        code = get_error_code(error)
        if verdict is Verdict.DEAD:
            return self._believe(claimed, error, code)
        if verdict is Verdict.OPERATOR:
            self._release_unchanged(claimed)
            public = create_public_error(error, claimed)
            log.error("%s: refreshing fails for every user until this is mended: %s", claimed.name, public)
            self.report.add_notice("token_refresh_failed", claimed, public)
            raise public from error
        return self._back_off(claimed, error, code)

    def _back_off(self, claimed: StoredToken, error: Exception, code: str) -> StoredToken:
        failures = claimed.failures + 1
        delay = create_back_off(failures, getattr(error, "retry_after", None), random=self.tools.random())
        self._release(claimed, code, self.tools.clock() + delay, failures)
        log.warning("%s: refresh failed (%s), next try in %.1f s", claimed.name, code, delay)
        public = create_public_error(error, claimed, retry_after=delay)
        self.report.add_event("refresh_failed", "token_refresh_failed", claimed, public)
        if is_served(claimed, self.need, now=self.tools.clock()):
            return claimed
        if public is error:
            raise error
        raise public from error

    def _believe(self, claimed: StoredToken, error: Exception, code: str) -> StoredToken | None:
        """A refusal counts only if nobody else has rotated, or is about to (RFC 9700 section 4.14.2)."""
        current = self._look()
        is_held = bool(current.lease_owner) and (current.lease_expires_at or 0) > self.tools.clock()
        if is_unchanged(current, claimed) and not (is_held and current.lease_owner != self.owner):
            self._declare_dead(claimed, code, error)
        return None

    def _declare_dead(self, stored: StoredToken, code: str, cause: Exception | None = None) -> None:
        """:raises ReauthorizationRequired: unless the row has moved on."""
        if not self.store.mark_reauth_required(stored, error=code):
            return
        log.warning("%s: the grant of user %s is dead (%s)", stored.name, stored.user_id, code)
        dead = dataclasses.replace(stored, status=REAUTH_REQUIRED, last_error=code)
        public = create_consent_error(dead, code)
        self.report.add_event("reauth_required", "reauthorization_required", dead, public)
        raise public from cause

    def _release_unchanged(self, claimed: StoredToken) -> None:
        self._release(claimed, claimed.last_error or "", claimed.retry_at, claimed.failures)

    def _release(self, claimed: StoredToken, code: str, retry_at: float | None, failures: int) -> None:
        try:
            self.store.release(claimed, owner=self.owner, error=code, retry_at=retry_at, failures=failures)
        except Exception:
            # The claim runs out by itself; the error that is on its way says more than this one.
            log.exception("%s: a claim could not be given back and holds until its lease ends", claimed.name)


def create_wait_error(stored: StoredToken) -> ProviderUnavailable:
    """:return: the error for a caller that has waited for somebody else's refresh as long as it may."""
    return ProviderUnavailable(
        description="somebody else's refresh of this token takes too long; see OAUTH_ACCOUNTS_REFRESH_WAIT",
        provider=stored.name,
        retry_after=1.0,
        timeout=True,
    )
