"""The pure part of the vault: what to do with a row, and what a failed refresh means."""

from __future__ import annotations

from typing import Any

import pytest

from flask_oauth_accounts.errors import (
    ConfigurationError,
    IdTokenError,
    InvalidClientError,
    ProviderResponseError,
    ProviderUnavailable,
    ReauthorizationRequired,
    TokenRequestError,
    UnsupportedTokenTypeError,
)
from flask_oauth_accounts.tokens import StoredToken, TokenDict
from flask_oauth_accounts.vault.decide import (
    Need,
    Step,
    Verdict,
    create_back_off,
    create_consent_error,
    create_public_error,
    decide_step,
    get_error_code,
    is_valid,
    judge_failure,
)

NOW = 1_000_000


def create_row(refresh_token: str | None = "r", **values: Any) -> StoredToken:
    token = TokenDict(access_token="a", token_type="Bearer")
    if refresh_token:
        token["refresh_token"] = refresh_token
    fields: dict[str, Any] = {"id": 1, "user_id": 1, "name": "x", "account": "", "protocol": "oauth2", "token": token}
    return StoredToken(**{**fields, "issued_at": NOW - 3000, **values})


OLD = NOW - 1
SOON = NOW + 30
LATER = NOW + 600
HELD = {"lease_owner": "other", "lease_expires_at": NOW + 5.0}
LEFT = {"lease_owner": "other", "lease_expires_at": NOW - 5.0}
BACKING_OFF = {"retry_at": NOW + 5.0, "failures": 2}


@pytest.mark.parametrize(
    ("row", "need", "step"),
    [
        # An unknown expiry is never due, and neither is one that is far enough away.
        ({"expires_at": None}, Need(), Step.USE),
        ({"expires_at": LATER}, Need(), Step.USE),
        ({"expires_at": SOON}, Need(), Step.ASK),
        ({"expires_at": OLD}, Need(), Step.ASK),
        ({"expires_at": LATER}, Need(leeway=601), Step.ASK),
        ({"expires_at": SOON}, Need(leeway=0), Step.USE),
        # The API's 401 counts against that very token only.
        ({"expires_at": LATER}, Need(rejected="a"), Step.ASK),
        ({"expires_at": None}, Need(rejected="a"), Step.ASK),
        ({"expires_at": LATER}, Need(rejected="older"), Step.USE),
        # Somebody else is at it.
        ({"expires_at": OLD, **HELD}, Need(), Step.WAIT),
        ({"expires_at": OLD, **LEFT}, Need(), Step.ASK),
        ({"expires_at": SOON, **HELD}, Need(), Step.USE),
        ({"expires_at": SOON, **HELD}, Need(strict=True), Step.WAIT),
        ({"expires_at": LATER, **HELD}, Need(rejected="a"), Step.WAIT),
        # The provider is being left alone.
        ({"expires_at": OLD, **BACKING_OFF}, Need(), Step.BACK_OFF),
        ({"expires_at": OLD, **BACKING_OFF, "retry_at": NOW - 1.0}, Need(), Step.ASK),
        ({"expires_at": SOON, **BACKING_OFF}, Need(), Step.USE),
        ({"expires_at": SOON, **BACKING_OFF}, Need(strict=True), Step.BACK_OFF),
        ({"expires_at": SOON, **BACKING_OFF}, Need(rejected="a"), Step.BACK_OFF),
        # Nothing to refresh with.
        ({"refresh_token": None, "expires_at": OLD}, Need(), Step.EXPIRED),
        ({"refresh_token": None, "expires_at": SOON}, Need(), Step.USE),
        ({"refresh_token": None, "expires_at": None}, Need(rejected="a"), Step.USE),
        # Dead or unreadable.
        ({"status": "reauth_required", "expires_at": LATER}, Need(), Step.CONSENT),
        ({"status": "revoked", "expires_at": LATER}, Need(), Step.CONSENT),
        ({"unreadable": True, "expires_at": LATER}, Need(), Step.CONSENT),
        # OAuth 1 knows no refresh.
        ({"protocol": "oauth1", "expires_at": None}, Need(rejected="a"), Step.USE),
        ({"protocol": "oauth1", "status": "reauth_required"}, Need(), Step.CONSENT),
    ],
)
def test_each_row_has_one_next_step(row: dict[str, Any], need: Need, step: Step) -> None:
    """Users lose calls that would have worked, or refresh tokens, if a row is judged wrongly."""
    assert decide_step(create_row(**row), need, now=NOW) is step


def test_token_is_due_a_tenth_of_its_lifetime_before_it_expires() -> None:
    """Tokens of a few seconds are refreshed all the time if the usual minute counts for them."""
    row = create_row(issued_at=NOW - 80, expires_at=NOW + 20)
    assert decide_step(row, Need(), now=NOW) is Step.USE
    assert decide_step(row, Need(), now=NOW + 10) is Step.ASK


def test_a_new_token_is_never_due_for_a_long_leeway() -> None:
    """Each call refreshes if the operator's leeway is longer than the provider lets a token live."""
    row = create_row(issued_at=NOW, expires_at=NOW + 600)
    assert decide_step(row, Need(leeway=3600), now=NOW) is Step.USE
    assert decide_step(row, Need(leeway=3600), now=NOW + 300) is Step.ASK
    assert decide_step(row, Need(within=3600, strict=True), now=NOW) is Step.ASK


def test_valid_is_not_the_same_as_fresh() -> None:
    """Users see failures in the last minute of every token if a due one counts as expired."""
    assert is_valid(create_row(expires_at=SOON), Need(), now=NOW)
    assert is_valid(create_row(expires_at=None), Need(), now=NOW)
    assert not is_valid(create_row(expires_at=NOW), Need(), now=NOW)
    assert not is_valid(create_row(expires_at=SOON), Need(rejected="a"), now=NOW)
    assert not is_valid(create_row(expires_at=SOON, unreadable=True), Need(), now=NOW)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (TokenRequestError("invalid_grant"), Verdict.DEAD),
        (TokenRequestError("bad_refresh_token"), Verdict.DEAD),
        (TokenRequestError("interaction_required"), Verdict.DEAD),
        (ReauthorizationRequired(), Verdict.DEAD),
        (InvalidClientError(), Verdict.OPERATOR),
        (ConfigurationError("no refresh_token_url"), Verdict.OPERATOR),
        (TokenRequestError("invalid_client"), Verdict.OPERATOR),
        (TokenRequestError("unauthorized_client"), Verdict.OPERATOR),
        (TokenRequestError("unsupported_grant_type"), Verdict.OPERATOR),
        (TokenRequestError("temporarily_unavailable"), Verdict.LATER),
        (TokenRequestError("invalid_request"), Verdict.LATER),
        (TokenRequestError("something_new"), Verdict.LATER),
        (ProviderUnavailable(), Verdict.LATER),
        (ProviderUnavailable("invalid_grant"), Verdict.LATER),
        (ProviderResponseError(), Verdict.LATER),
        (UnsupportedTokenTypeError(), Verdict.LATER),
        (IdTokenError(), Verdict.LATER),
        (ZeroDivisionError(), Verdict.LATER),
    ],
)
def test_failures_are_told_apart(error: Exception, verdict: Verdict) -> None:
    """Users are disconnected by an outage or by the operator's typo if failures are thrown together."""
    assert judge_failure(error) is verdict


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (4, 4, 8), (5, 8, 16), (6, 16, 32), (7, 30, 60), (8, 30, 60), (10**6, 30, 60)],
)
def test_back_off_doubles_up_to_a_minute(failures: int, least: float, most: float) -> None:
    """A provider in trouble is hammered, or a healthy one avoided for hours, if the table is not kept."""
    assert create_back_off(failures, None, random=0.0) == least
    assert create_back_off(failures, None, random=1.0) == most


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [(30.0, 30, 31), (5000.0, 3600, 3600), (0.0, 0.5, 1), (-3.0, 0.5, 1), (0.1, 0.5, 1)],
)
def test_retry_after_is_honoured_up_to_an_hour(retry_after: float, least: float, most: float) -> None:
    """The application is banned if it comes back too early, and users wait for ever if a provider may ask for it."""
    assert create_back_off(1, retry_after, random=0.0) == least
    assert create_back_off(1, retry_after, random=1.0) == most


def test_errors_for_the_caller() -> None:
    """An application cannot tell the operator's fault from an outage if codes are passed on as they come."""
    row = create_row()
    assert isinstance(create_public_error(TokenRequestError("invalid_client"), row), InvalidClientError)
    unsupported = create_public_error(TokenRequestError("unsupported_grant_type"), row)
    assert type(unsupported) is ConfigurationError
    assert "refresh_token_url" in str(unsupported)
    down = create_public_error(TokenRequestError("temporarily_unavailable"), row, retry_after=3)
    assert isinstance(down, ProviderUnavailable)
    assert down.retry_after == 3
    late = create_public_error(ProviderUnavailable(timeout=True), row, retry_after=2)
    assert isinstance(late, ProviderUnavailable)
    assert (late.retry_after, late.status) == (2, 504)
    unknown = TokenRequestError("something_new")
    assert create_public_error(unknown, row) is unknown


def test_consent_error_names_the_cause() -> None:
    """An operator cannot tell a lost key from a dead grant if both read the same."""
    assert create_consent_error(create_row(unreadable=True)).error == "sealed_value_unreadable"
    assert (
        create_consent_error(create_row(status="reauth_required", last_error="invalid_grant")).error == "invalid_grant"
    )
    assert create_consent_error(create_row(status="revoked")).error == "revoked"
    assert create_consent_error(create_row()).code == "reauthorization_required"


def test_text_of_unknown_errors_is_not_kept() -> None:
    """A secret in the text of some exception lands in the database if that text is stored."""
    assert get_error_code(RuntimeError("token s3cret")) == "refresh_failed"
    assert get_error_code(TokenRequestError("invalid_grant")) == "invalid_grant"
