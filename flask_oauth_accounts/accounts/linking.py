"""Which of our users is that: one pure function from what is known to one decision.

Nothing here reads or writes anything. :mod:`.service` gathers what is known, asks :func:`decide`, and carries the
decision out. The rules, in the order in which they are tried:

1. An identity is (issuer, subject). An e-mail address or a user name never says who somebody is.
2. Where a certain account was asked for, no other will do.
3. A login goes to the owner of the identity. It never links, but for the policy's own match and for the
   operator's ``OAUTH_ACCOUNTS_LINK_BY_EMAIL``; an e-mail address that is taken makes a conflict instead.
4. Connecting links to the user who is logged in; an identity of somebody else stays theirs.
5. Reconnecting repairs a connection that is there, and makes none: it can be started by a plain link, and a link
   must never be able to add a way in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..config import Settings
from ..errors import (
    AccountError,
    IdentityTakenError,
    LoginRefusedError,
    SignupRefusedError,
    SubjectMismatchError,
    UserInactiveError,
)
from ..flow import APPLICATION, CONNECT, LOGIN, RECONNECT
from ..identity import Identity
from ..protocols import IdentityRecord
from .emails import is_domain_allowed, is_linkable


@dataclass(frozen=True)
class Visitor:
    """Who sits in front of the browser.

    :ivar user_id: of the user who is logged in, ``None`` for a stranger.
    """

    user_id: Any = None


STRANGER = Visitor()
"""Nobody is logged in."""


@dataclass(frozen=True)
class Known:
    """What the store and the policy know about an identity.

    :ivar record: the row by which this identity logs in, whoever owns it; of this client's name, if there is one.
    :ivar own: the visitor's own connection of this client's name and this subject, where ``record`` is none.
    :ivar email_taken: a user has this e-mail address already.
    :ivar matched_user_id: whom :meth:`AccountPolicy.match_user` named.
    :ivar email_owner_id: the user whose own, verified address this is.
    :ivar user_active: whether the user who would be logged in or linked may log in at all.
    """

    record: IdentityRecord | None = None
    own: IdentityRecord | None = None
    email_taken: bool = False
    matched_user_id: Any = None
    email_owner_id: Any = None
    user_active: bool = True


@dataclass(frozen=True)
class Rules:
    """The operator's settings for one provider.

    :ivar signup_open: an unknown identity may become a user.
    :ivar allowed_domains: where given, only verified addresses of these domains may.
    :ivar link_by_email: ``OAUTH_ACCOUNTS_LINK_BY_EMAIL`` is ``"verified"``.
    :ivar trusts_email: the preset is trusted to have verified the addresses that it calls verified.
    :ivar for_login: the provider is a way to log in; ``False`` for one that is connected for its API only.
    """

    signup_open: bool = True
    allowed_domains: tuple[str, ...] | None = None
    link_by_email: bool = False
    trusts_email: bool = False
    for_login: bool = True

    @classmethod
    def from_settings(cls, settings: Settings, *, trusts_email: bool = False, for_login: bool = True) -> Rules:
        """Read the rules from the package's configuration."""
        return cls(
            signup_open=settings.signup == "open",
            allowed_domains=settings.allowed_domains,
            link_by_email=settings.link_by_email == "verified",
            trusts_email=trusts_email,
            for_login=for_login,
        )


@dataclass(frozen=True)
class LogIn:
    """The identity is known: log its owner in."""

    user_id: Any
    record: IdentityRecord


@dataclass(frozen=True)
class Link:
    """Store the identity for this user.

    :ivar record: the connection to bring up to date, ``None`` for a new one. One by another client makes a new one as
        well, which shares its way to log in.
    """

    user_id: Any
    record: IdentityRecord | None = None


@dataclass(frozen=True)
class SignUp:
    """The identity is new: make a user, if the policy agrees."""


@dataclass(frozen=True)
class Conflict:
    """Somebody has this e-mail address already: the visitor must prove an older way in before anything is linked."""

    email: str


@dataclass(frozen=True)
class Refuse:
    """Nothing is written and nobody is logged in.

    :ivar error: the class of the error to raise.
    :ivar reason: a sentence for the operator.
    """

    error: type[AccountError]
    reason: str = field(default="", compare=False)


Decision = LogIn | Link | SignUp | Conflict | Refuse


def is_same_user(one: Any, other: Any) -> bool:
    """Whether two ids mean one user: a session keeps as text what the database keeps as a number or a UUID."""
    return one is not None and other is not None and str(one) == str(other)


def decide(
    identity: Identity,
    known: Known,
    visitor: Visitor,
    rules: Rules,
    *,
    purpose: str = LOGIN,
    subject: str | None = None,
) -> Decision:
    """Decide what a proven identity means here.

    :param identity: who the provider says this is.
    :param known: what store and policy know.
    :param visitor: who is logged in at the moment.
    :param rules: the operator's settings.
    :param purpose: :data:`~flask_oauth_accounts.flow.LOGIN`, ``CONNECT`` or ``RECONNECT``; ``APPLICATION`` is a login.
    :param subject: the only subject that will do, where a certain account was asked for.
    :return: exactly one decision.
    :raises ValueError: for a purpose that does not exist.
    """
    if subject is not None and subject != identity.subject:
        return Refuse(SubjectMismatchError)
    if purpose in (LOGIN, APPLICATION):
        return _decide_login(identity, known, rules)
    if purpose not in (CONNECT, RECONNECT):
        raise ValueError(f"there is no purpose {purpose!r}")
    if visitor.user_id is None:
        return Refuse(LoginRefusedError, "nobody is logged in whom the account could be connected to")
    if not known.user_active:
        return Refuse(UserInactiveError)
    if purpose == CONNECT:
        return _decide_connect(identity, known, visitor)
    return _decide_reconnect(identity, known, visitor)


def _decide_login(identity: Identity, known: Known, rules: Rules) -> Decision:
    if not rules.for_login:
        return Refuse(LoginRefusedError, "this provider is connected for its API only and is no way to log in")
    if known.record is not None and known.record.can_log_in:
        return LogIn(known.record.user_id, known.record) if known.user_active else Refuse(UserInactiveError)
    target = _find_link_target(identity, known, rules)
    if target is not None:
        return Link(target) if known.user_active else Refuse(UserInactiveError)
    if identity.email and known.email_taken:
        return Conflict(identity.email)
    reason = find_signup_obstacle(identity, rules)
    return SignUp() if reason is None else Refuse(SignupRefusedError, reason)


def _find_link_target(identity: Identity, known: Known, rules: Rules) -> Any:
    """The user whom a login links to: the policy's match, or the owner of an address that both sides have verified."""
    if known.matched_user_id is not None:
        return known.matched_user_id
    return known.email_owner_id if may_link_by_email(identity, rules) else None


def may_link_by_email(identity: Identity, rules: Rules) -> bool:
    """Whether the provider's word is good enough to link by the address.

    An address alone is not (E01): the operator must have asked for it, the preset must be trusted (E04), and the
    provider must say ``True`` (E02). The local user must have proved the address as well (E03) – else whoever
    registers somebody's address here first would later receive their login – which is for the caller to look up.
    """
    vouched = rules.link_by_email and rules.trusts_email and identity.email_verified is True
    return vouched and is_linkable(identity.email)


def _decide_connect(identity: Identity, known: Known, visitor: Visitor) -> Decision:
    record = known.record
    if record is None or not record.can_log_in:
        return Link(visitor.user_id, known.own)
    if is_same_user(record.user_id, visitor.user_id):
        return Link(visitor.user_id, record if record.identity.name == identity.name else known.own or record)
    return Refuse(IdentityTakenError)


def _decide_reconnect(identity: Identity, known: Known, visitor: Visitor) -> Decision:
    for record in (known.record, known.own):
        if record is None or not is_same_user(record.user_id, visitor.user_id):
            continue
        if (record.identity.login_key, record.identity.name) == (identity.login_key, identity.name):
            return Link(visitor.user_id, record)
    taken = known.record
    if taken is not None and taken.can_log_in and not is_same_user(taken.user_id, visitor.user_id):
        return Refuse(IdentityTakenError)
    return Refuse(SubjectMismatchError, "the user has no such connection that could be reconnected")


def find_signup_obstacle(identity: Identity, rules: Rules) -> str | None:
    """Why the operator's settings keep this identity from becoming a user.

    :return: a sentence for the operator, ``None`` where nothing stands in the way.
    """
    if not rules.signup_open:
        return "OAUTH_ACCOUNTS_SIGNUP is closed"
    if rules.allowed_domains is None:
        return None
    if identity.email_verified is not True:
        return "OAUTH_ACCOUNTS_ALLOWED_DOMAINS asks for a verified e-mail address, and the provider vouches for none"
    if not is_domain_allowed(identity.email, rules.allowed_domains):
        return "the domain of the e-mail address is not in OAUTH_ACCOUNTS_ALLOWED_DOMAINS"
    return None
