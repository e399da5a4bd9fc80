"""Everything that can go wrong, as one tree.

::

    OAuthError
    ├── ConfigurationError (also RuntimeError)     the operator must mend something
    │   └── InvalidClientError                     the provider does not know our client id or secret
    ├── UnknownProviderError                       no client of that name
    ├── CallbackError                              the browser came back with something unusable
    │   ├── MismatchingStateError                  state missing, foreign, used or for another purpose
    │   │   └── ExpiredFlowError                   the login took longer than it may
    │   ├── MissingRequestTokenError               OAuth 1: the request token of this login is gone
    │   ├── MissingCodeError                       no authorization code
    │   ├── MissingVerifierError                   OAuth 1: no oauth_verifier
    │   └── IssuerMismatchError                    RFC 9207: ``iss`` names another server
    ├── CsrfError                                  an unsafe request without its token
    ├── AuthorizationDeniedError                   the authorization endpoint answered ``error=``
    ├── TokenError
    │   ├── MissingTokenError                      nothing stored for this user
    │   ├── TokenExpiredError                      expired, and no way to renew it
    │   ├── InvalidTokenError                      the API refused the token
    │   ├── UnsupportedTokenTypeError              neither Bearer nor OAuth 1
    │   ├── FetchTokenDeniedError                  OAuth 1: the provider refused to give a token
    │   ├── TokenRequestError                      RFC 6749 section 5.2: the token endpoint said no
    │   ├── InsufficientScopeError                 the grant is narrower than what is needed
    │   ├── SealedValueError                       a stored secret does not open
    │   └── ReauthorizationRequired                only the user's new consent helps; carries ``url``
    ├── IdTokenError                               an ID token that may not be believed
    ├── ProviderUnavailable                        unreachable, timed out, 5xx or 429; ``retry_after``
    ├── ProviderResponseError                      an answer that makes no sense
    ├── UntrustedHostError                         a credential was about to leave for a foreign host
    ├── AccountError                               which of our users is that
    │   ├── SignupRefusedError                     sign-up is closed, or not for this visitor
    │   ├── UserInactiveError                      the user may not log in
    │   ├── LoginRefusedError                      the application's policy said no
    │   ├── EmailTakenError                        somebody here has this e-mail address already
    │   ├── IdentityTakenError                     the provider account belongs to another user
    │   ├── SubjectMismatchError                   another account was used than the one asked for
    │   ├── UnknownConnectionError (also LookupError)  no such connected account of this user
    │   ├── LastLoginMethodError                   the last way to log in cannot be removed
    │   └── ConnectionKeptError                    the application's policy keeps a connected account
    ├── StorageUnavailable                         our own database or cache does not answer
    │   └── StorageBusy                            another transaction holds what is needed, and does not end
    └── TransactionLost                            the database has ended the application's own transaction

Each error has two audiences. ``visitor_message`` is a sentence for the person in front of the browser and
never holds text that came from outside; ``str(error)`` and ``operator_message`` are for whoever reads the log.
Neither ever holds a secret.
"""

from __future__ import annotations

from typing import Any, ClassVar

_TEXT_LIMIT = 300


def clean_text(value: object, limit: int = _TEXT_LIMIT) -> str:
    """Make text from outside fit for one log line: control characters become spaces, long text is cut.

    :param value: anything; ``None`` gives the empty string.
    :param limit: the greatest length in characters.
    :return: printable text on one line.
    """
    if value is None:
        return ""
    text = "".join(char if char.isprintable() else " " for char in str(value)[: limit * 2])
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


class OAuthError(Exception):
    """Base of every error that this package raises.

    :param error: the error code, one of RFC 6749's where the provider sent one. The class's own ``code`` when left out.
    :param description: one sentence for the operator. Text from outside is cut and made printable.
    :param provider: the name of the client in the registry.
    :param uri: ``error_uri`` as sent by the provider; never rendered as a link.
    """

    code: str = "oauth_error"
    status: int = 502
    visitor: ClassVar[str] = "Signing in did not work. Please try again."
    operator: ClassVar[str] = ""

    def __init__(
        self,
        error: str | None = None,
        description: str | None = None,
        *,
        provider: str | None = None,
        uri: str | None = None,
    ) -> None:
        self.error = clean_text(error, 100) or type(self).code
        self.description = clean_text(description) or self.operator
        self.provider = provider
        self.uri = clean_text(uri) or None
        if type(self) is OAuthError:
            self.code = self.error
        super().__init__(f"{self.error}: {self.description}")

    def __str__(self) -> str:
        return f"{self.error}: {self.description}"

    @property
    def visitor_message(self) -> str:
        """The sentence for the visitor; a fixed text of this package, safe to show and to translate."""
        return self.visitor

    @property
    def operator_message(self) -> str:
        """One line for the log: provider, code and what to mend."""
        where = f"{self.provider}: " if self.provider else ""
        return f"{where}{self}"


class ConfigurationError(OAuthError, RuntimeError):
    """Something in the application's configuration must be mended; the sentence names the key and the remedy."""

    code = "configuration_error"
    status = 500
    visitor = "This way of signing in is not set up correctly. The people who run this site have to mend it."
    operator = "the configuration of this application must be mended"

    def __init__(
        self,
        *sentences: str | None,
        description: str | None = None,
        error: str | None = None,
        provider: str | None = None,
    ) -> None:
        """Take ``(description)``, or ``(error, description)`` as every other error does."""
        if len(sentences) > 2 or (sentences and description is not None):
            raise TypeError("ConfigurationError takes a description, or an error code and a description")
        if len(sentences) == 2:
            error = sentences[0]
        OAuthError.__init__(self, error, None, provider=provider)
        self.description = description or (sentences[-1] if sentences else None) or self.operator
        self.args = (str(self),)

    def __str__(self) -> str:
        return self.description


class InvalidClientError(ConfigurationError):
    """The provider does not accept our client id, secret or grant: RFC 6749 section 5.2 ``invalid_client`` and kin."""

    code = "invalid_client"
    status = 502
    operator = "the provider refuses our client id and secret; compare them with the provider's console"


class UnknownProviderError(OAuthError):
    """No client of that name is registered."""

    code = "unknown_provider"
    status = 404
    visitor = "There is no such way to sign in here."


class CallbackError(OAuthError):
    """The browser came back from the provider with something that cannot be used."""

    code = "invalid_callback"
    status = 400
    visitor = "The answer of the sign-in service could not be used. Please start again."


class MismatchingStateError(CallbackError):
    """The callback does not belong to a login that this browser has started (RFC 6749 section 10.12)."""

    code = "mismatching_state"
    visitor = "This sign-in was not started here, or it was used already. Please start again, with cookies allowed."
    operator = "state is missing, unknown, used, or belongs to another browser, provider or purpose"


class ExpiredFlowError(MismatchingStateError):
    """The login took longer than ``OAUTH_ACCOUNTS_FLOW_LIFETIME``."""

    code = "expired_flow"
    visitor = "This sign-in took too long and has expired. Please start again."
    operator = "the pending login had expired when the browser came back"


class MissingRequestTokenError(CallbackError):
    """OAuth 1: the request token of this login is unknown, used or expired (RFC 5849 section 2.2)."""

    code = "missing_request_token"
    visitor = "This sign-in was not started here, or it was used already. Please start again, with cookies allowed."
    operator = "the request token is missing, unknown, used, or belongs to another browser"


class MissingCodeError(CallbackError):
    """The callback carries no authorization code (RFC 6749 section 4.1.2)."""

    code = "missing_code"
    operator = "the callback has no parameter 'code'"


class MissingVerifierError(CallbackError):
    """OAuth 1: the callback carries no ``oauth_verifier`` (RFC 5849 section 2.2)."""

    code = "missing_verifier"
    operator = "the callback has no parameter 'oauth_verifier'"


class IssuerMismatchError(CallbackError):
    """``iss`` in the callback is missing or names another authorization server (RFC 9207 section 2.4)."""

    code = "issuer_mismatch"
    operator = "the parameter 'iss' of the callback is not the issuer of this provider"


class CsrfError(OAuthError):
    """A request that changes something came without its CSRF token."""

    code = "csrf"
    status = 400
    visitor = "This page was open for too long. Please go back, reload it and try again."
    operator = "the CSRF token is missing or does not fit the session"


class AuthorizationDeniedError(OAuthError):
    """The authorization endpoint answered with ``error=`` (RFC 6749 section 4.1.2.1), or the user said no."""

    code = "authorization_denied"
    status = 403
    visitor = "You did not give permission, so nothing was changed. You can try again at any time."
    _faults: ClassVar[frozenset[str]] = frozenset(
        {"server_error", "temporarily_unavailable", "invalid_request", "unauthorized_client", "invalid_scope"}
    )
    # OpenID Connect Core section 3.1.2.6: ``prompt=none``, and the provider would have had to ask.
    _silent: ClassVar[frozenset[str]] = frozenset(
        {"login_required", "interaction_required", "consent_required", "account_selection_required"}
    )

    def __init__(
        self,
        error: str | None = None,
        description: str | None = None,
        *,
        provider: str | None = None,
        uri: str | None = None,
    ) -> None:
        super().__init__(error, description, provider=provider, uri=uri)
        if self.error in self._faults or self.error == "unsupported_response_type":
            self.status = 502

    @property
    def visitor_message(self) -> str:
        if self.status == 502:
            return "The sign-in service reported a problem. Please try again in a moment."
        if self.error in self._silent:
            return "The sign-in service has to ask you something first, so nothing was changed. Please try again."
        return self.visitor


class TokenError(OAuthError):
    """Base of the errors about a token."""

    code = "token_error"
    visitor = "The connection to this service does not work at the moment. Please connect it again."


class MissingTokenError(TokenError):
    """No token is stored for this user and provider."""

    code = "missing_token"
    status = 401
    visitor = "We have no access to this service. Please connect it first."
    operator = "no token is stored for this user and provider"


class TokenExpiredError(TokenError):
    """The token has expired and there is no refresh token to renew it with."""

    code = "token_expired"
    status = 401
    operator = "the token has expired and cannot be refreshed"


class InvalidTokenError(TokenError):
    """The provider's API does not accept the token (RFC 6750 section 3.1)."""

    code = "invalid_token"
    operator = "the provider does not accept the token"


class UnsupportedTokenTypeError(TokenError):
    """The token is of a type that this client cannot use (RFC 6749 section 7.1)."""

    code = "unsupported_token_type"
    operator = "the token type is not supported"


class FetchTokenDeniedError(TokenError):
    """OAuth 1: the provider answered 400 or more where a token was asked for (RFC 5849 section 2)."""

    code = "fetch_token_denied"
    visitor = "The sign-in service reported a problem. Please try again in a moment."
    operator = "the provider refused to give a token"


class TokenRequestError(TokenError):
    """The token endpoint answered with an error (RFC 6749 section 5.2); ``error`` holds its code."""

    code = "token_request_failed"
    visitor = "The sign-in service reported a problem. Please try again in a moment."


class InsufficientScopeError(TokenError):
    """The stored grant does not cover the scopes that are needed (RFC 6750 section 3.1)."""

    code = "insufficient_scope"
    status = 403
    visitor = "This needs more permissions than you have given so far."
    operator = "the stored grant does not cover the scopes that the view needs"


class SealedValueError(TokenError):
    """A stored secret does not open: the key is gone, or the value was changed or moved."""

    code = "sealed_value_unreadable"
    operator = "a stored secret cannot be opened with the keys that are configured"


class ReauthorizationRequired(TokenError):
    """Only a new consent of the user helps.

    :param url: where to send the user's browser, by GET.
    """

    code = "reauthorization_required"
    status = 401
    visitor = "This service has stopped accepting our access. Please connect it again."
    operator = "the stored grant is no longer valid; send the user to the error's url"

    def __init__(
        self,
        error: str | None = None,
        description: str | None = None,
        *,
        provider: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(error, description, provider=provider)
        self.url = url


class IdTokenError(OAuthError):
    """An ID token that may not be believed (OpenID Connect Core section 3.1.3.7)."""

    code = "invalid_id_token"
    visitor = "The answer of the sign-in service could not be trusted. Please try again."
    operator = "the ID token is not valid"


class ProviderUnavailable(OAuthError):
    """The provider cannot be reached, does not answer in time, or answers 5xx or 429.

    :param retry_after: seconds to wait before the next try, as the provider asked.
    :param timeout: ``True`` where time ran out; the HTTP status is then 504.
    """

    code = "provider_unavailable"
    visitor = "The service does not answer at the moment. Please try again in a few minutes."
    operator = "the provider does not answer"

    def __init__(
        self,
        error: str | None = None,
        description: str | None = None,
        *,
        provider: str | None = None,
        retry_after: float | None = None,
        timeout: bool = False,
    ) -> None:
        super().__init__(error, description, provider=provider)
        self.retry_after = retry_after
        if timeout:
            self.status = 504


class ProviderResponseError(OAuthError):
    """The provider's answer makes no sense."""

    code = "provider_response"
    visitor = "The service gave an answer that we do not understand. Please try again in a moment."
    operator = "the provider's answer is not what the specification asks for"


class UntrustedHostError(OAuthError):
    """A request with a credential was about to leave for a host that is not the provider's. Nothing was sent."""

    code = "untrusted_host"
    status = 502
    operator = "refused to send a credential to this host; name it in allowed_hosts if it is the provider's"


class AccountError(OAuthError):
    """Base of the errors about our own users."""

    code = "account_error"
    status = 403


class SignupRefusedError(AccountError):
    """The identity is new here, and signing up is closed or not open to this visitor."""

    code = "signup_refused"
    visitor = "There is no account for you here yet, and new accounts are not being accepted."
    operator = "an unknown identity was refused: sign-up is closed or the policy said no"


class UserInactiveError(AccountError):
    """The user exists but may not log in."""

    code = "user_inactive"
    visitor = "This account is not active. Please ask the people who run this site."
    operator = "the user is inactive"


class LoginRefusedError(AccountError):
    """The application's policy refused this login."""

    code = "login_refused"
    visitor = "You may not sign in here with this account."
    operator = "AccountPolicy.may_log_in refused"


class EmailTakenError(AccountError):
    """A user with this e-mail address exists; nothing was linked.

    :ivar pending: the :class:`~flask_oauth_accounts.accounts.PendingLink` that can be completed after the proof.
    """

    code = "email_taken"
    pending: Any = None
    status = 409
    visitor = "There may be an account for you here already. Sign in the way you did before to connect the two."
    operator = "the e-mail address belongs to a user already; linking needs proof"


class IdentityTakenError(AccountError):
    """This provider account belongs to another user."""

    code = "identity_taken"
    status = 409
    visitor = "This account is already connected to somebody else here."
    operator = "the identity belongs to another user"


class SubjectMismatchError(AccountError):
    """A new consent was asked for one provider account, and another one came back."""

    code = "subject_mismatch"
    visitor = "You used another account than the one to reconnect. Please choose the same account as before."
    operator = "the provider's answer is about another subject than the one that was asked for"


class LastLoginMethodError(AccountError):
    """The last way to log in cannot be removed."""

    code = "last_login_method"
    status = 409
    visitor = "This is your only way to sign in. Connect another one before you remove it."
    operator = "refused to remove the user's last way to log in"


class ConnectionKeptError(AccountError):
    """The application's policy keeps this connected account, although it is not the last way to log in."""

    code = "connection_kept"
    visitor = "This account cannot be disconnected here."
    operator = "AccountPolicy.may_disconnect refused"


class UnknownConnectionError(AccountError, LookupError):
    """This user has no such connected account; somebody else may."""

    code = "unknown_connection"
    status = 404
    visitor = "There is no such connected account."
    operator = "the user has no connection with this id"


class StorageUnavailable(OAuthError):
    """Our own database or cache does not answer."""

    code = "storage_unavailable"
    status = 503
    visitor = "Something on our side does not work at the moment. Please try again in a few minutes."
    operator = "the database or the cache does not answer"


class StorageBusy(StorageUnavailable):
    """Another transaction holds a row, or the file, that must be written, and does not end."""

    code = "storage_busy"
    operator = "the database stayed locked by another transaction"


class TransactionLost(OAuthError):
    """The database has ended the application's own transaction, in which something had to be written.

    Nothing that the application had written in it is stored. Its session takes a rollback only.
    """

    code = "transaction_lost"
    status = 503
    visitor = StorageUnavailable.visitor
    operator = (
        "the database has rolled back the application's whole transaction, because of a deadlock or an outdated "
        "snapshot; roll the session back and run the request again"
    )


__all__ = [
    "AccountError",
    "AuthorizationDeniedError",
    "CallbackError",
    "ConfigurationError",
    "ConnectionKeptError",
    "CsrfError",
    "EmailTakenError",
    "ExpiredFlowError",
    "FetchTokenDeniedError",
    "IdTokenError",
    "IdentityTakenError",
    "InsufficientScopeError",
    "InvalidClientError",
    "InvalidTokenError",
    "IssuerMismatchError",
    "LastLoginMethodError",
    "LoginRefusedError",
    "MismatchingStateError",
    "MissingCodeError",
    "MissingRequestTokenError",
    "MissingTokenError",
    "MissingVerifierError",
    "OAuthError",
    "ProviderResponseError",
    "ProviderUnavailable",
    "ReauthorizationRequired",
    "SealedValueError",
    "SignupRefusedError",
    "StorageBusy",
    "StorageUnavailable",
    "SubjectMismatchError",
    "TokenError",
    "TokenExpiredError",
    "TokenRequestError",
    "TransactionLost",
    "UnknownConnectionError",
    "UnknownProviderError",
    "UnsupportedTokenTypeError",
    "UntrustedHostError",
    "UserInactiveError",
]
