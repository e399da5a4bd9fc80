"""An OAuth 2 or OpenID Connect client bound to the request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

import requests

from ..clients.base import ClientConfig
from ..clients.claims import ClaimsOptions, check_claims, check_claims_options
from ..clients.http_options import split_oauth2_options
from ..clients.id_token import UncheckableIdTokenError
from ..clients.oauth2 import OAuth2Client
from ..clients.pkce import create_code_verifier
from ..errors import (
    AuthorizationDeniedError,
    IdTokenError,
    MismatchingStateError,
    MissingCodeError,
    ProviderUnavailable,
)
from ..flow import APPLICATION, PendingFlow, new_state
from ..identity import UserInfo
from ..tokens import Secret, TokenDict, hide
from .base import FinishedFlow, Runtime, TokenCallbacks
from .logout import LogoutMixin
from .refreshing import OwnRefresher, Refusals
from .renewing import RenewalMixin
from .runtime import Source

_CHECKED_PARAMS = ("max_age", "acr_values")


class OAuth2App(LogoutMixin, RenewalMixin):
    """What the registry gives for every client without a ``request_token_url``."""

    protocol: ClassVar[Literal["oauth2"]] = "oauth2"

    def __init__(self, config: ClientConfig, runtime: Runtime, callbacks: TokenCallbacks) -> None:
        super().__init__(config, runtime, callbacks)
        self._client = OAuth2Client(config, self._transport, clock=runtime.clock)
        self._refresher = OwnRefresher(runtime.clock)
        self._refusals = Refusals(runtime.clock)

    # -- the two halves of a login ------------------------------------------------------------------------------------

    def create_authorization_url(self, redirect_uri: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Build the address to send the browser to (RFC 6749 section 4.1.1).

        :param redirect_uri: the callback's address.
        :param kwargs: further parameters; ``state``, ``nonce`` and ``code_verifier`` replace the generated ones.
        :return: ``url``, ``state``, and ``nonce`` and ``code_verifier`` where they are used.
        :raises ConfigurationError: if something is missing.
        """
        data: dict[str, Any] = {"state": kwargs.pop("state", None) or new_state()}
        nonce = kwargs.pop("nonce", None)
        scope = self._config.authorize_params.get("scope") or kwargs.get("scope") or self._config.scope or ""
        wants_id_token = "openid" in (scope.split() if isinstance(scope, str) else scope)
        if nonce or (wants_id_token and (self.preset is None or self.preset.uses_nonce)):
            data["nonce"] = nonce or new_state()[:22]
        verifier = kwargs.pop("code_verifier", None)
        if verifier or self._config.code_challenge_method:
            data["code_verifier"] = verifier or create_code_verifier()
        data["url"] = self._client.create_authorization_url(
            redirect_uri,
            state=data["state"],
            nonce=data.get("nonce"),
            code_verifier=data.get("code_verifier"),
            **kwargs,
        )
        return data

    def save_authorize_data(self, **kwargs: Any) -> None:
        """Remember the login until the browser comes back.

        :param kwargs: ``state``, ``redirect_uri``, ``url``, ``nonce`` and ``code_verifier``, as
            :meth:`create_authorization_url` gave them.
        :raises ConfigurationError: without ``state``.
        :raises StorageUnavailable: if it cannot be remembered.
        """
        query = parse_qs(urlsplit(kwargs.get("url") or "").query)
        self._save_flow(
            self._require_data(kwargs, "state"),
            redirect_uri=kwargs.get("redirect_uri"),
            nonce=kwargs.get("nonce"),
            code_verifier=kwargs.get("code_verifier"),
            purpose=kwargs.get("_purpose") or APPLICATION,
            next_url=kwargs.get("_next_url"),
            user_id=kwargs.get("_user_id"),
            subject=kwargs.get("_subject"),
            scope=query["scope"][0] if "scope" in query else None,
            params={key: query[key][0] for key in _CHECKED_PARAMS if key in query},
        )

    def finish_flow(self, purposes: Collection[str] = (APPLICATION,), **kwargs: Any) -> FinishedFlow:
        """Check the callback and exchange the code (RFC 6749 section 4.1.3, RFC 9207 section 2.4).

        :param purposes: those that this view may finish.
        :param kwargs: further parameters of the token request; ``leeway`` in seconds and ``claims_options`` are for the
            ID token, see :meth:`parse_id_token`.
        :return: the token, the claims of its ID token, and what was remembered of the login.
        :raises MismatchingStateError: if this browser has not started that login, or it is used or expired.
        :raises AuthorizationDeniedError: if the user or the provider said no.
        :raises IssuerMismatchError: if the answer comes from another server.
        :raises MissingCodeError: if there is no code.
        :raises IdTokenError: if there is an ID token that may not be believed.
        :raises OAuthError: if the exchange fails.
        :raises TypeError: for a keyword that nothing would read.
        """
        leeway = kwargs.pop("leeway", None)
        options = check_claims_options(kwargs.pop("claims_options", None))
        _refuse_claims_cls(kwargs.pop("claims_cls", None))
        self._check_keywords(kwargs)
        params = self._read_callback()
        state = params.get("state")
        if state is None:
            raise MismatchingStateError(provider=self.name)
        flow = self._take_flow(state, purposes)
        self._client.openid.check_callback_issuer(params.get("iss"))
        if params.get("error"):
            raise AuthorizationDeniedError(
                params.get("error"), params.get("error_description"), provider=self.name, uri=params.get("error_uri")
            )
        code = params.get("code")
        if code is None:
            raise MissingCodeError(provider=self.name)
        body = {"code": code, "redirect_uri": flow.redirect_uri, "code_verifier": flow.code_verifier, **kwargs}
        token = self._client.fetch_token("authorization_code", **body)
        claims = self._read_id_token(token, flow, leeway)
        check_claims(claims, options, provider=self.name)
        return FinishedFlow(flow, token, claims, params.extra())

    def _check_keywords(self, kwargs: Mapping[str, Any]) -> None:
        """Refuse what cannot be a parameter of the token request, such as a restriction whose name is misspelt."""
        _, form = split_oauth2_options(kwargs, where="authorize_access_token()", provider=self.name)
        for key, value in form.items():
            if isinstance(value, Mapping) or callable(value):
                raise TypeError(
                    f"authorize_access_token() got an unexpected keyword argument {key!r}: it takes leeway, "
                    "claims_options, keywords of the HTTP request, and parameters of the token request as text"
                )

    def _read_id_token(self, token: TokenDict, flow: PendingFlow, leeway: float | None) -> UserInfo | None:
        asked = "openid" in (flow.scope or "").split()
        if not token.get("id_token"):
            if asked and flow.purpose != APPLICATION:
                raise IdTokenError(
                    description="the scope has openid, but the answer holds no ID token", provider=self.name
                )
            return None
        if not asked and not self.is_openid:
            return None
        max_age = flow.params.get("max_age")
        claims = self._client.openid.validate_id_token(
            Secret(token["id_token"]),
            nonce=flow.nonce,
            access_token=Secret(token["access_token"]),
            max_age=int(max_age) if max_age and str(max_age).isdigit() else None,
            acr_values=flow.params.get("acr_values"),
            leeway=leeway,
        )
        token["userinfo"] = claims
        return claims

    def fetch_access_token(self, redirect_uri: str | None = None, **kwargs: Any) -> TokenDict:
        """Ask the token endpoint directly.

        :param redirect_uri: of the authorization request.
        :param kwargs: ``grant_type`` (``authorization_code`` where there is a ``code``, else ``client_credentials``;
            ``password`` with ``username`` and ``password``) and the grant's parameters.
        :return: the token; it is used for the rest of this request, one for the client itself
            (``client_credentials``) only where there is none of a user.
        :raises OAuthError: if there is none.
        """
        kwargs.pop("state", None)
        grant_type = kwargs.pop("grant_type", None)
        if grant_type is None:
            grant_type = "authorization_code" if "code" in kwargs else "client_credentials"
            grant_type = "password" if "username" in kwargs and "code" not in kwargs else grant_type
        if grant_type == "authorization_code" and not kwargs.get("code"):
            raise MissingCodeError(provider=self.name)
        if redirect_uri:
            kwargs["redirect_uri"] = redirect_uri
        token = self._client.fetch_token(grant_type, **kwargs)
        if grant_type == "client_credentials":
            self._memo().remember_service(self._obtained_key(), token)
        else:
            self.token = token
        return token

    # -- OpenID Connect -----------------------------------------------------------------------------------------------

    def load_server_metadata(self) -> dict[str, Any]:
        """The provider's metadata (OpenID Connect Discovery section 3, RFC 8414), discovered and cached.

        :return: a copy.
        :raises OAuthError: if it cannot be had or names another issuer.
        """
        return dict(self._client.openid.load_metadata())

    def fetch_discovery_document(self) -> dict[str, Any]:
        """Ask the provider for its metadata anew, and leave out what the application has set itself.

        :return: a copy.
        :raises OAuthError: if it cannot be had or names another issuer.
        """
        return dict(self._client.openid.fetch_document())

    @property
    def server_metadata(self) -> dict[str, Any]:
        """As :meth:`load_server_metadata`, for code written for Authlib."""
        return self.load_server_metadata()

    def fetch_jwk_set(self, force: bool = False) -> dict[str, Any]:
        """The provider's signing keys (RFC 7517 section 5), cached.

        :param force: ask again.
        :raises OAuthError: if they cannot be had.
        """
        return dict(self._client.openid.fetch_jwk_set(force=force))

    def parse_id_token(
        self,
        token: Mapping[str, Any],
        nonce: str | None,
        claims_options: ClaimsOptions | None = None,
        claims_cls: None = None,
        leeway: float | None = None,
    ) -> UserInfo | None:
        """Validate the ID token of a token answer (OpenID Connect Core section 3.1.3.7).

        :param token: with ``id_token``.
        :param nonce: the one that was sent; ``None`` if none was.
        :param claims_options: what else the claims must satisfy, see :mod:`~flask_oauth_accounts.clients.claims`.
        :param claims_cls: of Authlib; not used here.
        :param leeway: seconds of clock difference.
        :return: its claims, or ``None`` where there is no ID token.
        :raises IdTokenError: if it may not be believed.
        :raises TypeError: if ``claims_options`` hold what nothing would read, or ``claims_cls`` is given.
        """
        options = check_claims_options(claims_options)
        _refuse_claims_cls(claims_cls)
        claims = None
        if token.get("id_token"):
            claims = self._client.openid.validate_id_token(
                Secret(token["id_token"]), nonce=nonce, access_token=hide(token.get("access_token")), leeway=leeway
            )
        check_claims(claims, options, provider=self.name)
        return claims

    def _has_userinfo(self) -> bool:
        return bool(self._client.find_endpoint("userinfo_endpoint", "userinfo_endpoint"))

    def _fetch_profile(self, token: TokenDict, claims: UserInfo | None, **options: Any) -> UserInfo:
        subject = claims.get("sub") if claims is not None else None
        return self._client.fetch_userinfo(token, subject=subject if isinstance(subject, str) else None, **options)

    def _identity_issuer(self, claims: UserInfo | None) -> str | None:
        openid = self._client.openid
        if claims is not None:
            return openid.canonical_issuer(claims)
        if self.is_openid:
            return openid.issuer_or_none() or self._config.account_issuer
        return self._config.account_issuer or openid.issuer_or_none()

    def _known_claims(self, token: TokenDict, source: Source) -> UserInfo | None:
        claims = super()._known_claims(token, source)
        if claims is not None or not self.is_openid or not token.get("id_token"):
            return claims
        id_token, openid = Secret(token["id_token"]), self._client.openid
        if source is Source.VAULT:
            return openid.read_stored_id_token(id_token)
        # Where the provider is asked, an ID token says nothing that is not known without it: it may be an old one.
        is_asked = self._identity_source() == "userinfo" and self._has_userinfo()
        try:
            return openid.validate_kept_id_token(id_token, check_expiry=source is Source.CALL and not is_asked)
        except (UncheckableIdTokenError, ProviderUnavailable):
            if not is_asked:
                raise
            return None

    def _send(self, method: str, url: str, token: TokenDict | None, **kwargs: Any) -> requests.Response:
        return self._client.request(method, url, token, **kwargs)


def _refuse_claims_cls(claims_cls: object) -> None:
    if claims_cls is not None:
        raise TypeError(
            "claims_cls is not used here, where an ID token is always checked in full; put what else must hold into "
            'claims_options, such as {"hd": {"validate": lambda claims, value: value == "example.com"}}'
        )
