"""What to do with a stored token, and what a failed refresh means. Pure: no clock, no store, no provider."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum

from ..errors import (
    ConfigurationError,
    InvalidClientError,
    OAuthError,
    ProviderUnavailable,
    ReauthorizationRequired,
    TokenRequestError,
)
from ..tokens import StoredToken, is_due

FIRST_BACK_OFF = 1.0
"""Seconds to wait after the first failure that passes."""
GREATEST_BACK_OFF = 60.0
"""Seconds to wait at most, where the provider names no time of its own."""
GREATEST_RETRY_AFTER = 3600.0
"""Seconds to wait at most, whatever the provider asks for."""

ACTIVE = "active"
REAUTH_REQUIRED = "reauth_required"

TERMINAL_CODES = frozenset(
    {
        "invalid_grant",  # RFC 6749 section 5.2
        "interaction_required",  # OpenID Connect Core section 3.1.2.6, sent by token endpoints too
        "login_required",
        "consent_required",
        "account_selection_required",
        "bad_refresh_token",  # GitHub
        "invalid_refresh_token",  # Slack
        "token_expired",
        "token_revoked",
    }
)
"""Codes after which only a new consent of the user helps."""

OPERATOR_CODES = frozenset(
    {
        "invalid_client",  # RFC 6749 section 5.2
        "unauthorized_client",
        "unsupported_grant_type",
        "incorrect_client_credentials",  # GitHub
        "bad_client_id",  # Slack
        "bad_client_secret",
        "invalid_client_id",
    }
)
"""Codes that accuse our own client registration. No user can mend them."""

UNAVAILABLE_CODES = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
"""Codes that say in words what HTTP says with 503."""


@dataclass(frozen=True)
class Need:
    """What a caller asks of a token.

    :ivar rejected: an access token that will not do, for the API has answered 401 to it.
    :ivar leeway: seconds before its expiry from which a token is due; ``None`` for the usual rule.
    :ivar within: seconds before its expiry from which a token is due, whatever its lifetime; goes before ``leeway``.
    :ivar strict: a token that is due but still valid will not do.
    """

    rejected: str | None = dataclasses.field(default=None, repr=False)
    leeway: float | None = None
    within: float | None = None
    strict: bool = False


class Step(Enum):
    """What to do next with a row."""

    USE = "use"
    ASK = "ask"
    WAIT = "wait"
    BACK_OFF = "back_off"
    EXPIRED = "expired"
    CONSENT = "consent"


def is_valid(stored: StoredToken, need: Need, *, now: float) -> bool:
    """Whether the token can still be sent to the API, due or not.

    :param now: seconds since the epoch.
    """
    if stored.unreadable or stored.status != ACTIVE or _is_rejected(stored, need):
        return False
    return not stored.expires_at or stored.expires_at > now


def is_served(stored: StoredToken, need: Need, *, now: float) -> bool:
    """Whether the token will do while it cannot be refreshed at the moment."""
    return not need.strict and is_valid(stored, need, now=now)


def decide_step(stored: StoredToken, need: Need, *, now: float) -> Step:
    """Decide what to do with a row as it is.

    :param stored: the row.
    :param need: what the caller asks.
    :param now: seconds since the epoch.
    :return: ``CONSENT`` for a dead or unreadable row; ``USE`` for a token that will do as it is, or that nothing can
        make better; ``EXPIRED`` where it has expired and has no refresh token; ``BACK_OFF`` and ``WAIT`` where
        nothing may be asked at the moment and the old token will not do; else ``ASK``.
    """
    if stored.unreadable or stored.status != ACTIVE:
        return Step.CONSENT
    if need.within is None:
        due = is_due(stored.expires_at, stored.lifetime, now=now, leeway=need.leeway)
    else:
        due = is_due(stored.expires_at, None, now=now, leeway=need.within)
    if stored.protocol == "oauth1" or not (due or _is_rejected(stored, need)):
        return Step.USE
    if not stored.token.get("refresh_token"):
        return Step.EXPIRED if stored.expires_at and stored.expires_at <= now else Step.USE
    blocked = _what_blocks(stored, now=now)
    if blocked is None:
        return Step.ASK
    return Step.USE if is_served(stored, need, now=now) else blocked


def _is_rejected(stored: StoredToken, need: Need) -> bool:
    return need.rejected is not None and stored.token.get("access_token") == need.rejected


def _what_blocks(stored: StoredToken, *, now: float) -> Step | None:
    if stored.retry_at and stored.retry_at > now:
        return Step.BACK_OFF
    if stored.lease_owner and stored.lease_expires_at and stored.lease_expires_at > now:
        return Step.WAIT
    return None


class Verdict(Enum):
    """What a failed refresh says about the grant."""

    DEAD = "dead"
    OPERATOR = "operator"
    LATER = "later"


def judge_failure(error: Exception) -> Verdict:
    """Tell the failures of a refresh apart.

    The error code counts, not the class. Whatever is not known to be final is taken as a failure that passes, so
    that an odd answer disconnects nobody.

    :param error: what asking the provider has raised.
    :return: ``DEAD`` if only a new consent helps; ``OPERATOR`` if our client registration must be mended;
        ``LATER`` for everything else.
    """
    if isinstance(error, ConfigurationError):
        return Verdict.OPERATOR
    if isinstance(error, ReauthorizationRequired):
        return Verdict.DEAD
    if isinstance(error, TokenRequestError):
        if error.error in TERMINAL_CODES:
            return Verdict.DEAD
        if error.error in OPERATOR_CODES:
            return Verdict.OPERATOR
    return Verdict.LATER


def create_back_off(failures: int, retry_after: float | None, *, random: float) -> float:
    """How long to leave the provider alone.

    :param failures: refreshes that have failed in a row, with this one; 1 or more.
    :param retry_after: seconds that the provider asked for.
    :param random: a number from 0 to 1, for the jitter.
    :return: seconds: from 1 doubling to 60, of which the second half is left to chance; never less than
        ``retry_after`` up to one hour.
    """
    base = min(GREATEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** min(max(failures, 1) - 1, 16))
    delay = base * (0.5 + 0.5 * random)
    if retry_after is not None and retry_after > 0:
        spread = min(retry_after, FIRST_BACK_OFF) * random
        delay = max(delay, min(retry_after + spread, GREATEST_RETRY_AFTER))
    return delay


def create_public_error(error: Exception, stored: StoredToken, *, retry_after: float | None = None) -> Exception:
    """Make the error that the caller sees out of the one that the provider's answer has raised.

    :param error: what asking the provider has raised.
    :param stored: the row it is about.
    :param retry_after: seconds until the provider is asked again.
    :return: ``InvalidClientError`` or ``ConfigurationError`` for the operator's faults, ``ProviderUnavailable`` for
        codes that say so, else ``error`` itself.
    """
    if isinstance(error, ProviderUnavailable) and error.retry_after is None:
        late = error.status == 504
        return ProviderUnavailable(
            error.error, error.description, provider=stored.name, retry_after=retry_after, timeout=late
        )
    if not isinstance(error, TokenRequestError):
        return error
    if error.error in OPERATOR_CODES:
        if error.error == "unsupported_grant_type":
            text = f"{stored.name}: the token endpoint does not refresh tokens; look at refresh_token_url"
            return ConfigurationError(text, error=error.error, provider=stored.name)
        return InvalidClientError(error=error.error, provider=stored.name)
    if error.error in UNAVAILABLE_CODES:
        return ProviderUnavailable(error.error, error.description, provider=stored.name, retry_after=retry_after)
    return error


def create_consent_error(stored: StoredToken, error: str | None = None) -> ReauthorizationRequired:
    """:return: the error for a row that only a new consent revives; the edge adds its ``url``."""
    if error is None:
        unreadable = stored.unreadable and stored.status == ACTIVE
        error = "sealed_value_unreadable" if unreadable else stored.last_error or stored.status
    return ReauthorizationRequired(error, provider=stored.name)


def get_error_code(error: Exception) -> str:
    """:return: the code that is kept in the row and in the event; the text of an unknown error is not."""
    return error.error[:64] if isinstance(error, OAuthError) else "refresh_failed"
