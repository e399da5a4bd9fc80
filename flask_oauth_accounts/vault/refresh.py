"""The vault: stored tokens that are fresh when they are used, refreshed exactly once however many want them.

::

    fresh ── not due ──────────────────────────────────────────────▶ the token, no SQL
      └─ due ── another thread is at it ── still valid ────────────▶ the old token
                   │                   └── wait for its outcome, and look at the row if that takes long
                   └─ first of this process ── look at the row again
                         ├─ somebody has refreshed ────────────────▶ the new token
                         ├─ somebody holds the claim ── still valid ▶ the old token, else look again in a moment
                         └─ claim it ── ask the provider ── save, if the row still has that version
                                               ├─ passing failure ─▶ back off; the old token while it is valid
                                               ├─ refused ── look again ── really ours ─▶ the user must consent
                                               └─ our client is refused ─▶ the operator must mend it
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from random import SystemRandom
from typing import Any, Literal

from ..config import Settings
from ..errors import ReauthorizationRequired, StorageUnavailable
from ..protocols import EventSink, TokenStore
from ..tokens import Protocol, StoredToken
from .attempt import RefreshAttempt
from .decide import ACTIVE, REAUTH_REQUIRED, Need, Step, create_consent_error, decide_step, is_served
from .flights import Abandoned, Arrived, Failed, Flight, Flights, Outcome, copy_error
from .revoking import AskToRevoke, revoke_grant
from .tools import Asking, Notice, OnOrphan, Refresh, Report, Tools, get_row_key, log

_PATIENCE = 0.5
"""Seconds for which a thread trusts another one to refresh, before it looks at the row itself."""

HealthState = Literal["fresh", "due", "refreshing", "backing_off", "expired", "reauth_required", "revoked"]


@dataclass(frozen=True)
class TokenHealth:
    """How a stored token is, for pages and the command line. Holds no secret.

    :ivar state: ``fresh``; ``due`` (the next use refreshes it); ``refreshing``; ``backing_off`` (the last refresh has
        failed, the next one is tried at ``retry_at``); ``expired`` (and no refresh token);
        ``reauth_required`` (dead or unreadable, the user must consent again); ``revoked``.
    :ivar usable: an API call with it would not fail here.
    :ivar refreshable: there is a refresh token.
    :ivar expires_at: seconds since the epoch, ``None`` where unknown.
    :ivar retry_at: seconds since the epoch of the next try, while backing off.
    :ivar failures: refreshes that have failed in a row.
    :ivar last_error: the code of the last failure.
    """

    state: HealthState
    usable: bool
    refreshable: bool
    expires_at: int | None = None
    retry_at: float | None = None
    failures: int = 0
    last_error: str | None = None


class Vault:
    """Stored tokens of one application. One vault serves all its threads; it survives a fork.

    :param store: where the tokens are.
    :param settings: ``refresh_lease``, ``refresh_wait`` and ``refresh_leeway`` are used.
    :param clock: seconds since the epoch.
    :param monotonic: seconds that only grow, to measure waiting.
    :param wait: waits the given seconds between two looks at a row.
    :param random: a number from 0 to 1, for jitter.
    :param events: records what has happened to a grant.
    :param notify: is told after the database has committed. What it raises is logged and harms nobody.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
        random: Callable[[], float] | None = None,
        events: EventSink | None = None,
        notify: Callable[[Notice], object] | None = None,
    ) -> None:
        self.store = store
        self.settings = settings
        self.clock = clock
        if settings.refresh_lease <= settings.http_total_timeout:
            log.warning(
                "OAUTH_ACCOUNTS_REFRESH_LEASE (%g s) is not longer than OAUTH_ACCOUNTS_HTTP_TOTAL_TIMEOUT (%g s): "
                "where a provider takes that long, a second worker asks it too, and it may end the grant",
                settings.refresh_lease,
                settings.http_total_timeout,
            )
        self._flights = Flights()
        self._wait = wait
        self._tools = Tools(
            store=store,
            settings=settings,
            clock=clock,
            monotonic=monotonic,
            wait=wait or _wait,
            random=random or SystemRandom().random,
            events=events,
            notify=notify,
        )

    def load(self, user_id: Any, name: str, account: str | None = None, *, protocol: Protocol) -> StoredToken | None:
        """Load a token as it is; nobody is asked.

        :param user_id: of the type that the user model has.
        :param name: of the client in the registry.
        :param account: the provider account; ``None`` for the one last logged in with, where there are several.
        :param protocol: ``oauth1`` or ``oauth2``.
        :return: the row, ``None`` if nothing is stored.
        :raises StorageUnavailable: if the database does not answer.
        """
        return self.store.load(user_id, name, account, protocol=protocol)

    def save(
        self,
        user_id: Any,
        name: str,
        token: Mapping[str, Any],
        account: str = "",
        *,
        protocol: Protocol,
        identity_id: Any = None,
        requested_scope: str | None = None,
    ) -> StoredToken:
        """Store the token of a new consent; it ends any back-off and revives a dead row.

        :param user_id: of the type that the user model has.
        :param name: of the client in the registry.
        :param token: as the client has received it.
        :param account: the provider account.
        :param protocol: ``oauth1`` or ``oauth2``.
        :param identity_id: the identity it belongs to.
        :param requested_scope: what was asked for, to compare with what was granted.
        :return: the row.
        :raises StorageUnavailable: if the database does not answer.
        """
        return self.store.save(
            user_id,
            name,
            token,
            account,
            protocol=protocol,
            identity_id=identity_id,
            requested_scope=requested_scope,
            now=self.clock(),
        )

    def fresh(
        self,
        stored: StoredToken,
        refresh: Refresh,
        *,
        rejected: str | None = None,
        leeway: float | None = None,
        prepare: Callable[[], object] | None = None,
        on_orphan: OnOrphan | None = None,
    ) -> StoredToken:
        """Get a token that may be used now, refreshed when it is due.

        However many threads, processes and machines call this for one row, the provider is asked once, with no
        transaction open. A token that has not expired yet is served while somebody else refreshes it, and while the
        provider is down. Where nothing can be done about a rejected token (it has no refresh token, or it is an
        OAuth 1 token), ``stored`` comes back as it is: the API's answer stands.

        :param stored: the row as it was loaded.
        :param refresh: asks the provider with the row's refresh token. Returns what
            :func:`~flask_oauth_accounts.tokens.parse_token_answer` made of the answer, or raises one of this
            package's errors. Called at most once.
        :param rejected: the access token that the API has just answered 401 to: it is refreshed even if it is not
            due, unless the row holds another one meanwhile.
        :param leeway: seconds before its expiry from which the token is due, in place of ``refresh_leeway``.
        :param prepare: called before the claim, where ``refresh`` is going to be called: loads what that needs beside
            the answer, such as metadata and keys, so that the claim lasts for one request only. What it raises counts
            as a failure of the refresh.
        :param on_orphan: gets the new grant where the user disconnected during the refresh; it should revoke it.
        :return: the row with a usable token.
        :raises MissingTokenError: if the row is gone.
        :raises ReauthorizationRequired: if only a new consent helps: the provider refused the grant for good, the
            token has expired without a refresh token, or the stored secret does not open. Its ``url`` is not set.
        :raises ProviderUnavailable: if the token has expired and the provider does not answer, is being left alone
            after a failure (``retry_after`` says how long), or somebody else's refresh takes longer than
            ``refresh_wait``.
        :raises ProviderResponseError: if the token has expired and the answer makes no sense; nothing of it is saved.
        :raises IdTokenError: if the answer is about another user; nothing of it is saved.
        :raises TokenRequestError: for an error code of the token endpoint that is neither final nor ours.
        :raises ConfigurationError: if the provider refuses our client registration; the row stays as it is.
        :raises StorageUnavailable: if the database does not answer. A refreshed token that cannot be stored is never
            used; it is kept in memory and stored before anything else is tried for this row.
        """
        need = Need(rejected, self.settings.refresh_leeway if leeway is None else leeway)
        return self._obtain(stored, Asking(refresh, prepare, on_orphan), need)

    def refresh_now(
        self,
        stored: StoredToken,
        refresh: Refresh,
        *,
        within: float | None = None,
        prepare: Callable[[], object] | None = None,
        on_orphan: OnOrphan | None = None,
    ) -> StoredToken:
        """Refresh ahead of time, for the command line and for cron. Unlike :meth:`fresh` this never hides a failure.

        :param stored: the row as it was loaded.
        :param refresh: as for :meth:`fresh`.
        :param within: refresh only if the token expires within so many seconds; when left out, refresh this very
            token in any case.
        :param prepare: as for :meth:`fresh`.
        :param on_orphan: as for :meth:`fresh`.
        :return: the row; unchanged where there is no refresh token.
        :raises OAuthError: as :meth:`fresh` does.
        """
        if within is not None:
            need = Need(within=within, strict=True)
        else:
            need = Need(rejected=stored.token.get("access_token"), strict=True)
        return self._obtain(stored, Asking(refresh, prepare, on_orphan), need)

    def revoke(self, stored: StoredToken, ask: AskToRevoke, *, ends_anyway: bool = False) -> bool | None:
        """End a grant at the provider and mark its row, as :func:`~.revoking.revoke_grant` does."""
        return revoke_grant(self._tools, stored, ask, ends_anyway=ends_anyway)

    def health(self, stored: StoredToken) -> TokenHealth:
        """Tell how a token is, without asking anybody.

        :param stored: the row as it was loaded.
        :return: a view for pages and the command line.
        """
        now = self.clock()
        need = Need(leeway=self.settings.refresh_leeway)
        state = _get_state(stored, need, now)
        backing_off = state == "backing_off"
        return TokenHealth(
            state=state,
            usable=state in ("fresh", "due") or is_served(stored, need, now=now),
            refreshable=bool(stored.token.get("refresh_token")),
            expires_at=stored.expires_at,
            retry_at=stored.retry_at if backing_off else None,
            failures=stored.failures,
            last_error="sealed_value_unreadable" if stored.unreadable else stored.last_error,
        )

    def _obtain(self, stored: StoredToken, asking: Asking, need: Need) -> StoredToken:
        known = self._serve_as_is(stored, need)
        if known is not None:
            return known
        key = get_row_key(stored)
        while True:
            flight, leads = self._flights.join(key)
            land = partial(self._flights.land, key, flight)
            wait = None if leads else partial(self._wait_beside, flight)
            attempt = RefreshAttempt(
                self._tools, stored, asking, need, on_blocked=partial(land, Abandoned()), wait=wait
            )
            if leads:
                return self._lead(attempt, land)
            if is_served(stored, need, now=self.clock()):
                return stored
            match flight.wait(min(_PATIENCE, self.settings.refresh_wait)):
                case Arrived(token):
                    if self._serve_as_is(token, need) is not None:
                        return token
                case Failed(error):
                    raise copy_error(error) from error
                case _:
                    # The one who leads may be waiting for a lock that this thread's own host transaction holds.
                    return self._go_alone(attempt)

    def _wait_beside(self, flight: Flight, seconds: float) -> None:
        if self._wait is not None or flight.has_landed:
            self._tools.wait(seconds)
        else:
            flight.wait(seconds)

    def _serve_as_is(self, stored: StoredToken, need: Need) -> StoredToken | None:
        step = decide_step(stored, need, now=self.clock())
        if step is Step.CONSENT:
            error = create_consent_error(stored)
            if stored.unreadable and stored.status == ACTIVE:
                self._mark_unreadable(stored, error)
            raise error
        return stored if step is Step.USE else None

    def _mark_unreadable(self, stored: StoredToken, error: ReauthorizationRequired) -> None:
        """Let the row say what its user has to do, and tell so once."""
        try:
            marked = self.store.mark_reauth_required(stored, error=error.error)
        except StorageUnavailable:
            return  # it is marked the next time
        if marked:
            dead = replace(stored, status=REAUTH_REQUIRED, last_error=error.error)
            report = Report(self._tools)
            report.add_event("reauth_required", "reauthorization_required", dead, error)
            report.send()

    def _lead(self, attempt: RefreshAttempt, land: Callable[[Outcome], object]) -> StoredToken:
        outcome: Outcome = Abandoned()  # by whatever is no ordinary error, as KeyboardInterrupt
        try:
            token = attempt.run()
            outcome = Arrived(token)
        except Exception as error:
            outcome = Failed(error)
            raise
        finally:
            land(outcome)
            attempt.report.send()
        return token

    def _go_alone(self, attempt: RefreshAttempt) -> StoredToken:
        try:
            return attempt.run()
        finally:
            attempt.report.send()


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _get_state(stored: StoredToken, need: Need, now: float) -> HealthState:
    if stored.status not in (ACTIVE, REAUTH_REQUIRED):
        return "revoked"
    # A strict need: the view shows what is going on, even where the old token is still served.
    step = decide_step(stored, Need(leeway=need.leeway, strict=True), now=now)
    states: dict[Step, HealthState] = {
        Step.USE: "fresh",
        Step.ASK: "due",
        Step.WAIT: "refreshing",
        Step.BACK_OFF: "backing_off",
        Step.EXPIRED: "expired",
        Step.CONSENT: "reauth_required",
    }
    return states[step]
