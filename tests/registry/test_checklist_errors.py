"""The errors that the seed's code could catch: section 1.13 of its checklist."""

from __future__ import annotations

import pytest

import flask_oauth_accounts
from flask_oauth_accounts import OAuthError, errors

DOCUMENTED = {
    "MissingRequestTokenError": "missing_request_token",
    "MissingTokenError": "missing_token",
    "MissingCodeError": "missing_code",
    "MissingVerifierError": "missing_verifier",
    "FetchTokenDeniedError": "fetch_token_denied",
    "TokenExpiredError": "token_expired",
    "InvalidTokenError": "invalid_token",
    "UnsupportedTokenTypeError": "unsupported_token_type",
    "MismatchingStateError": "mismatching_state",
}


@pytest.mark.parametrize(("name", "code"), DOCUMENTED.items())
def test_documented_errors(name: str, code: str) -> None:
    """1.13: ``except MismatchingStateError`` of old code would not import, or not catch."""
    cls = getattr(flask_oauth_accounts, name)
    assert cls is getattr(errors, name)
    assert issubclass(cls, OAuthError)
    error = cls(description="why")
    assert (error.error, error.code, error.description) == (code, code, "why")
    assert str(error) == f"{code}: why"


def test_every_error_of_the_package_is_exported() -> None:
    """An application could not catch one of the errors by name."""
    for name in errors.__all__:
        assert getattr(flask_oauth_accounts, name) is getattr(errors, name)


def test_configuration_errors_are_runtime_errors() -> None:
    """Old code that catches ``RuntimeError`` before ``init_app`` would crash."""
    assert issubclass(errors.ConfigurationError, RuntimeError)
    assert issubclass(errors.ConfigurationError, OAuthError)
