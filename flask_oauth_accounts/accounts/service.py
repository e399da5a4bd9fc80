"""Carry decisions out: gather what is known, ask :func:`~.linking.decide`, write, and tell.

The order in every login is: refuse before anything is written; write user, identity, token and event in one
transaction of the store; send notices; run ``after_login``; hand the outcome back. Only then does the caller begin
a session. So whatever raises on the way – a hook, a receiver, the database – nobody is logged in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import (
    ConfigurationError,
    EmailTakenError,
    ExpiredFlowError,
    StorageUnavailable,
    UserInactiveError,
)
from ..flow import APPLICATION, CONNECT, LOGIN, RECONNECT
from ..identity import Identity
from ..protocols import ConcurrentLogin, IdentityRecord
from ..tokens import Protocol, TokenDict
from .emails import clean_identity
from .hooks import check_may_log_in, create_user, find_match, is_active
from .keeping import ConnectionKeeper, describe_event
from .linking import (
    STRANGER,
    Conflict,
    Known,
    Link,
    LogIn,
    Refuse,
    Rules,
    SignUp,
    Visitor,
    decide,
    is_same_user,
    may_link_by_email,
)
from .pending import PendingLink
from .policy import call_hook

_ATTEMPTS = 4

Kind = Literal["login", "signup", "connect", "reconnect"]


@dataclass(frozen=True)
class Outcome:
    """What a proven identity led to.

    :ivar user: the instance that ``load_user`` gave.
    :ivar record: the identity as it is stored now.
    :ivar kind: ``login`` and ``signup`` begin a session; ``connect`` and ``reconnect`` leave it as it is.
    """

    user: Any
    user_id: Any
    record: IdentityRecord
    kind: Kind


@dataclass(frozen=True)
class _Arrival:
    """One proven identity with all that came with it."""

    identity: Identity
    token: TokenDict = field(repr=False)
    protocol: Protocol
    requested_scope: str | None
    purpose: str
    visitor: Visitor
    subject: str | None
    rules: Rules


class AccountService(ConnectionKeeper):
    """Which of our users is that, and what happens to their connections."""

    def complete(
        self,
        identity: Identity,
        *,
        token: Mapping[str, Any],
        protocol: Protocol,
        requested_scope: str | None = None,
        purpose: str = LOGIN,
        visitor: Visitor = STRANGER,
        subject: str | None = None,
        trusts_email: bool = False,
        for_login: bool = True,
    ) -> Outcome:
        """Find or make the user of a proven identity, and keep the token.

        :param identity: who the provider says this is.
        :param token: as the provider gave it.
        :param protocol: ``"oauth1"`` or ``"oauth2"``.
        :param requested_scope: the scope that was asked for.
        :param purpose: what the flow was started for, a constant of :mod:`flask_oauth_accounts.flow`.
        :param visitor: who is logged in at the moment.
        :param subject: the only subject that will do, where a certain account was asked for.
        :param trusts_email: the preset is trusted to have verified what it calls verified.
        :param for_login: ``False`` connects the account for its API only, as no way to log in.
        :return: the user, and whether a session is to begin.
        :raises EmailTakenError: with ``pending``, which :meth:`complete_pending` can finish.
        :raises AccountError: for every other refusal; nothing was written then.
        :raises ConfigurationError: if the user model cannot hold the new user.
        """
        rules = Rules.from_settings(self._settings, trusts_email=trusts_email, for_login=for_login)
        return self._complete(
            _Arrival(
                clean_identity(identity),
                TokenDict(token),
                protocol,
                requested_scope,
                purpose,
                visitor,
                subject,
                rules,
            )
        )

    def complete_pending(self, pending: PendingLink, visitor: Visitor) -> Outcome:
        """Link what had waited, after the visitor has logged in by an older way and has confirmed.

        :param pending: from the error's ``pending``, kept for this browser only.
        :param visitor: the user who is logged in now.
        :raises ExpiredFlowError: if it has waited longer than ``OAUTH_ACCOUNTS_FLOW_LIFETIME``.
        :raises EmailTakenError: if the visitor is not the one who has the address.
        :raises AccountError: if the link is refused for another reason.
        """
        identity = pending.identity
        if pending.expires_at <= self._clock():
            raise ExpiredFlowError(description="the pending link had expired", provider=identity.name)
        if visitor.user_id is not None and not self._is_proved(pending, visitor):
            raise EmailTakenError(
                description="the user who is logged in does not have the e-mail address of the pending link",
                provider=identity.name,
            )
        return self._complete(
            _Arrival(
                identity,
                TokenDict(pending.token),
                pending.protocol,
                pending.requested_scope,
                CONNECT,
                visitor,
                None,
                Rules.from_settings(self._settings),
            )
        )

    def may_complete(self, pending: PendingLink, visitor: Visitor) -> bool:
        """Whether the visitor is to be asked about a pending link: it is theirs, and has not been connected since.

        :param pending: from the error's ``pending``.
        :param visitor: the user who is logged in now.
        """
        return self._is_proved(pending, visitor) and self._store.find(pending.identity) is None

    def _is_proved(self, pending: PendingLink, visitor: Visitor) -> bool:
        """Whoever logs in by an older way has proved to be somebody; only the owner of the address is who was meant."""
        email, user_id = pending.identity.email, visitor.user_id
        return email is not None and user_id is not None and self._store.owns_email(user_id, email)

    def _complete(self, arrival: _Arrival) -> Outcome:
        for _ in range(_ATTEMPTS):
            try:
                return self._try_once(arrival)
            except ConcurrentLogin:
                # Somebody else wrote this identity or user first (E26): read again, and go on as what is there now.
                continue
        raise ConfigurationError(
            "the user or identity cannot be stored: a unique or required column of the user model stands in the way; "
            "override AccountPolicy.create_user to fill it",
            provider=arrival.identity.name,
        )

    def _try_once(self, arrival: _Arrival) -> Outcome:
        known, user = self._look_up(arrival)
        decision = decide(
            arrival.identity, known, arrival.visitor, arrival.rules, purpose=arrival.purpose, subject=arrival.subject
        )
        match decision:
            case LogIn():
                return self._log_in(arrival, user, decision.user_id, decision.record)
            case Link() if arrival.purpose in (LOGIN, APPLICATION):
                return self._link_and_log_in(arrival, user, decision.user_id)
            case Link():
                return self._connect(arrival, user, decision)
            case SignUp():
                return self._sign_up(arrival)
            case Conflict():
                if known.record is None and self._store.find(arrival.identity) is not None:
                    # The address was taken between the two look-ups by this very identity's first login.
                    raise ConcurrentLogin
                raise self._create_conflict(arrival)
            case Refuse():
                raise decision.error(description=decision.reason or None, provider=arrival.identity.name)

    # -- what is known -------------------------------------------------------------------------------------------

    def _look_up(self, arrival: _Arrival) -> tuple[Known, Any]:
        """Read no more than the decision needs; a returning user costs one look-up and the loading of the user."""
        record = self._store.find(arrival.identity)
        if arrival.purpose in (LOGIN, APPLICATION):
            return self._look_up_login(arrival, record)
        visitor_id = arrival.visitor.user_id
        if visitor_id is None:
            return Known(record), None
        user = self._load_user(visitor_id)
        own = None
        is_own = record is not None and is_same_user(record.user_id, visitor_id)
        if record is None or not is_own or record.identity.name != arrival.identity.name:
            own = self._store.find_connection(visitor_id, arrival.identity.name, arrival.identity.subject)
        return Known(record, own, user_active=is_active(user)), user

    def _look_up_login(self, arrival: _Arrival, record: IdentityRecord | None) -> tuple[Known, Any]:
        identity, rules = arrival.identity, arrival.rules
        if record is not None and record.can_log_in:
            user = self._load_user(record.user_id)
            return Known(record, user_active=is_active(user)), user
        match = find_match(self.policy, identity, self._identify, self._load_user)
        if match is not None:
            user_id, user = match
            return Known(record, matched_user_id=user_id, user_active=is_active(user)), user
        if identity.email is None:
            return Known(record), None
        owner_id, owner = None, None
        if may_link_by_email(identity, rules):
            owner_id = self._store.find_verified_user(identity.email)
            owner = self._load_user(owner_id) if owner_id is not None else None
        taken = owner_id is not None or self._store.email_is_taken(identity.email)
        active = owner_id is None or is_active(owner)
        return Known(record, email_taken=taken, email_owner_id=owner_id, user_active=active), owner

    # -- what is done --------------------------------------------------------------------------------------------

    def _log_in(self, arrival: _Arrival, user: Any, user_id: Any, record: IdentityRecord) -> Outcome:
        check_may_log_in(self.policy, user, arrival.identity)
        written, user_id = self._write(arrival, "login", record, can_log_in=True, user_id=user_id)
        call_hook(self.policy.after_login, user, arrival.identity)
        return Outcome(user, user_id, written, "login")

    def _link_and_log_in(self, arrival: _Arrival, user: Any, user_id: Any) -> Outcome:
        identity = arrival.identity
        check_may_log_in(self.policy, user, identity)
        own = self._store.find_connection(user_id, identity.name, identity.subject)
        written, user_id = self._write(arrival, "login", own, can_log_in=True, user_id=user_id)
        self._store.record(describe_event("connect", written))
        self._tell("identity_connected", written.identity, user, identity=identity)
        call_hook(self.policy.after_login, user, identity)
        return Outcome(user, user_id, written, "login")

    def _connect(self, arrival: _Arrival, user: Any, link: Link) -> Outcome:
        kind: Kind = "reconnect" if arrival.purpose == RECONNECT else "connect"
        record = link.record
        # A connection by another client is no reason why this one should log in.
        own = record if record is not None and record.identity.name == arrival.identity.name else None
        was_login = own is not None and own.can_log_in
        can_log_in = was_login or (kind == "connect" and arrival.rules.for_login)
        written, user_id = self._write(arrival, kind, record, can_log_in=can_log_in, user_id=link.user_id)
        is_same = own is not None and own.identity.login_key == arrival.identity.login_key
        if not is_same or can_log_in != was_login:
            self._tell("identity_connected", written.identity, user, identity=arrival.identity)
        return Outcome(user, user_id, written, kind)

    def _sign_up(self, arrival: _Arrival) -> Outcome:
        identity = arrival.identity
        new_user = create_user(self.policy, identity, self._shield_email(arrival))
        check_may_log_in(self.policy, new_user, identity)
        written, user_id = self._write(arrival, "signup", None, can_log_in=True, new_user=new_user)
        user = self._load_user(user_id)
        if user is None:
            raise StorageUnavailable(description="the new user was stored and cannot be read", provider=identity.name)
        self._tell("user_created", written.identity, user, identity=identity)
        if not is_active(user):
            raise UserInactiveError(provider=identity.name)
        call_hook(self.policy.after_login, user, identity)
        return Outcome(user, user_id, written, "signup")

    def _shield_email(self, arrival: _Arrival) -> Identity:
        """Where verified addresses can link, a provider that is not trusted for them must not make one (E04)."""
        if self._settings.link_by_email and not arrival.rules.trusts_email and arrival.identity.email_verified:
            return replace(arrival.identity, email_verified=None)
        return arrival.identity

    def _write(
        self, arrival: _Arrival, kind: Kind, record: IdentityRecord | None, *, can_log_in: bool, **owner: Any
    ) -> tuple[IdentityRecord, Any]:
        return self._store.record_login(
            arrival.identity,
            protocol=arrival.protocol,
            token=arrival.token,
            requested_scope=arrival.requested_scope,
            kind=kind,
            record=record,
            can_log_in=can_log_in,
            now=self._clock(),
            **owner,
        )

    def _create_conflict(self, arrival: _Arrival) -> EmailTakenError:
        error = EmailTakenError(provider=arrival.identity.name)
        error.pending = PendingLink(
            arrival.identity,
            arrival.token,
            arrival.protocol,
            arrival.requested_scope,
            self._clock() + self._settings.flow_lifetime,
        )
        return error
