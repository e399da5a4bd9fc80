"""The errors that code written for Authlib's Flask client can catch."""

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


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_takes_a_code_and_a_description(name: str) -> None:
    """``raise ConfigurationError("code", "sentence")``, as the base class has it, would be a ``TypeError``."""
    cls = getattr(errors, name)
    error = cls("code", "a sentence")
    assert (error.error, error.description) == ("code", "a sentence")
    assert cls().visitor_message
    assert cls().operator_message


def test_configuration_errors_take_a_sentence_alone() -> None:
    """The remedy would be shown as a code."""
    error = errors.ConfigurationError("set A_KEY")
    assert (error.error, error.description, str(error)) == ("configuration_error", "set A_KEY", "set A_KEY")
    assert errors.ConfigurationError(description="set A_KEY", error="x").error == "x"
    with pytest.raises(TypeError):
        errors.ConfigurationError("a", "b", "c")
