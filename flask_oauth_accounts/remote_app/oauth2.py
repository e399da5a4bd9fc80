"""An OAuth 2 or OpenID Connect client bound to the request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

import requests

from ..clients.base import ClientConfig
from ..clients.oauth2 import OAuth2Client
from ..clients.pkce import create_code_verifier
from ..errors import (
    AuthorizationDeniedError,
    IdTokenError,
    MismatchingStateError,
    MissingCodeError,
    MissingTokenError,
    OAuthError,
    ProviderResponseError,
    ProviderUnavailable,
    ReauthorizationRequired,
    TokenExpiredError,
    TokenRequestError,
)
from ..flow import APPLICATION, PendingFlow, new_state
from ..identity import UserInfo
from ..tokens import StoredToken, TokenDict, is_due, merge_refreshed, parse_expires_at, parse_expires_in
from .base import FinishedFlow, RemoteApp, Runtime, TokenCallbacks
from .logout import LogoutMixin
from .refreshing import OwnRefresher, fingerprint

_RENEWALS = 8
"""How often one token is followed to the one that replaced it."""

_CHECKED_PARAMS = ("max_age", "acr_values")


class OAuth2App(LogoutMixin, RemoteApp):
    """What the registry gives for every client without a ``request_token_url``."""

    protocol: ClassVar[Literal["oauth2"]] = "oauth2"

    def __init__(self, config: ClientConfig, runtime: Runtime, callbacks: TokenCallbacks) -> None:
        super().__init__(config, runtime, callbacks)
        self._client = OAuth2Client(config, self._transport, clock=runtime.clock)
        self._refresher = OwnRefresher(runtime.clock)

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
        :raises StorageUnavailable: if it cannot be remembered.
        """
        query = parse_qs(urlsplit(kwargs.get("url") or "").query)
        self._save_flow(
            kwargs["state"],
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
        :param kwargs: further parameters of the token request; ``leeway`` in seconds is for the ID token.
        :return: the token, the claims of its ID token, and what was remembered of the login.
        :raises MismatchingStateError: if this browser has not started that login, or it is used or expired.
        :raises AuthorizationDeniedError: if the user or the provider said no.
        :raises IssuerMismatchError: if the answer comes from another server.
        :raises MissingCodeError: if there is no code.
        :raises IdTokenError: if there is an ID token that may not be believed.
        :raises OAuthError: if the exchange fails.
        """
        leeway = kwargs.pop("leeway", None)
        kwargs.pop("claims_options", None)  # Authlib's; issuer and audience are always checked here.
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
        return FinishedFlow(flow, token, claims, params.extra())

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
            token["id_token"],
            nonce=flow.nonce,
            access_token=token["access_token"],
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
        :return: the token; it is used for the rest of this request.
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
        self.token = token
        return token

    # -- OpenID Connect -----------------------------------------------------------------------------------------------

    def load_server_metadata(self) -> dict[str, Any]:
        """The provider's metadata (OpenID Connect Discovery section 3, RFC 8414), discovered and cached.

        :return: a copy.
        :raises OAuthError: if it cannot be had or names another issuer.
        """
        return dict(self._client.openid.load_metadata())

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
        self, token: Mapping[str, Any], nonce: str | None, leeway: float | None = None, **kwargs: Any
    ) -> UserInfo | None:
        """Validate the ID token of a token answer (OpenID Connect Core section 3.1.3.7).

        :param token: with ``id_token``.
        :param nonce: the one that was sent; ``None`` if none was.
        :param leeway: seconds of clock difference.
        :return: its claims, or ``None`` where there is no ID token.
        :raises IdTokenError: if it may not be believed.
        """
        if not token.get("id_token"):
            return None
        return self._client.openid.validate_id_token(
            token["id_token"], nonce=nonce, access_token=token.get("access_token"), leeway=leeway
        )

    def _has_userinfo(self) -> bool:
        return bool(self._client.find_endpoint("userinfo_endpoint", "userinfo_endpoint"))

    def _fetch_profile(self, token: TokenDict, claims: UserInfo | None) -> UserInfo:
        subject = claims.get("sub") if claims is not None else None
        return self._client.fetch_userinfo(token, subject=subject if isinstance(subject, str) else None)

    def _identity_issuer(self, claims: UserInfo | None) -> str | None:
        openid = self._client.openid
        if claims is not None:
            return openid.canonical_issuer(claims)
        if self.is_openid:
            return openid.issuer_or_none() or self._config.account_issuer
        return self._config.account_issuer or openid.issuer_or_none()

    def _known_claims(self, token: TokenDict) -> UserInfo | None:
        claims = super()._known_claims(token)
        if claims is None and self.is_openid and token.get("id_token"):
            return self._client.openid.read_stored_id_token(token["id_token"])
        return claims

    # -- what can be done with a token --------------------------------------------------------------------------------

    def revoke_token(self, token: Any = None, token_type_hint: str | None = None) -> bool | None:
        """Ask the provider to end a grant: by RFC 7009, or in its own way.

        :param token: a token dictionary, or the text of one; the current user's when left out.
        :param token_type_hint: ``access_token`` or ``refresh_token``, for a token given as text.
        :return: ``True`` if the provider did, ``None`` if it offers no way.
        :raises MissingTokenError: if there is no token.
        :raises OAuthError: if the provider refuses or does not answer.
        """
        if token is None:
            token = self._find_token()[0]
        if not token:
            raise MissingTokenError(provider=self.name)
        facts = self.preset.revocation if self.preset else None
        if facts is not None and facts.kind == "request" and self._config.revocation_endpoint is None:
            return self._revoke_by_request(token)
        if self._client.find_endpoint("revocation_endpoint", "revocation_endpoint") is None:
            return None
        if isinstance(token, str):
            self._client.revoke_token(token, token_type_hint)
            return True
        if token.get("refresh_token"):
            self._client.revoke_token(token["refresh_token"], "refresh_token")
        if token.get("access_token"):
            self._client.revoke_token(token["access_token"], "access_token")
        return True

    def _revoke_by_request(self, token: Any) -> bool:
        facts = self.preset.revocation  # type: ignore[union-attr]
        access_token = token if isinstance(token, str) else token["access_token"]
        client_id = str(self._config.require("client_id"))
        url = self.resolve_url(facts.url.replace("{client_id}", client_id))
        self._hosts.check(url, provider=self.name)
        kwargs: dict[str, Any] = {"headers": self._api_headers(None)}
        if facts.token_field:
            kwargs["json"] = {facts.token_field: access_token}
        if facts.auth == "client":
            kwargs["auth"] = (client_id, str(self._config.require("client_secret")))
        bearer = TokenDict(access_token=access_token) if facts.auth == "token" else None
        response = self._send(facts.method, url, bearer, **kwargs)
        if response.status_code >= 400 and response.status_code != 404:
            raise TokenRequestError(
                "revocation_failed", f"the provider answered {response.status_code}", provider=self.name
            )
        return True

    def introspect_token(self, token: Any = None, token_type_hint: str | None = None) -> dict[str, Any]:
        """Ask the provider about a token (RFC 7662).

        :param token: a token dictionary, or the text of one; the current user's when left out.
        :param token_type_hint: ``access_token`` or ``refresh_token``.
        :return: the answer, with ``active``.
        :raises MissingTokenError: if there is no token.
        :raises OAuthError: if the provider refuses or does not answer.
        """
        if token is None:
            token = self._find_token()[0]
        if not token:
            raise MissingTokenError(provider=self.name)
        text = token if isinstance(token, str) else str(token["access_token"])
        return self._client.introspect_token(text, token_type_hint)

    def _send(self, method: str, url: str, token: TokenDict | None, **kwargs: Any) -> requests.Response:
        return self._client.request(method, url, token, **kwargs)

    # -- refreshing ---------------------------------------------------------------------------------------------------

    def refresh_stored(self, stored: StoredToken) -> TokenDict:
        """Ask the provider to renew a stored token; nothing is written.

        :param stored: with a refresh token.
        :return: the answer alone.
        :raises OAuthError: as :meth:`OAuth2Client.refresh_token`; :class:`IdTokenError` where the answer speaks of
            another subject.
        """
        answer = self._client.refresh_token(str(stored.token["refresh_token"]))
        self._check_refreshed(answer, stored.token, stored.account)
        return answer

    def _check_refreshed(self, answer: TokenDict, old: Mapping[str, Any], account: str) -> None:
        """OpenID Connect Core section 12.2: a refreshed ID token is about the same subject."""
        if answer.get("id_token") and self.is_openid:
            self._client.openid.check_refreshed_id_token(answer["id_token"], old.get("id_token"), account)

    def _freshen(self, stored: StoredToken, rejected: str | None = None) -> StoredToken:
        vault = self._runtime.vault
        assert vault is not None
        try:
            fresh: StoredToken = vault.fresh(
                stored, self.refresh_stored, rejected=rejected, on_orphan=self._drop_orphan
            )
        except ReauthorizationRequired as error:
            build = self._runtime.reauthorize_url
            url = build(self.name, stored) if build is not None else None
            raise ReauthorizationRequired(error.error, error.description, provider=self.name, url=url) from error
        if fresh is not stored:
            binding = self._binding
            account = binding.account if binding else None
            self._memo().remember_stored(self._memo_key(), stored.user_id, account, fresh)
        return fresh

    def _drop_orphan(self, token: Mapping[str, Any]) -> None:
        """A grant that was renewed while its row was deleted must not live on at the provider."""
        try:
            self.revoke_token(token)
        except OAuthError:
            return

    def _refresh_own(self, token: TokenDict) -> TokenDict:
        if not token.get("access_token"):
            raise MissingTokenError(provider=self.name)
        for _ in range(_RENEWALS):
            if not self._is_due(token):
                break
            renewed = self._refresh_due(token)
            if renewed is token:
                break
            token = renewed
        return token

    def _is_due(self, token: TokenDict) -> bool:
        return is_due(
            parse_expires_at(token.get("expires_at")),
            parse_expires_in(token.get("expires_in")),
            now=self._runtime.clock(),
            leeway=self._runtime.settings.refresh_leeway,
        )

    def _refresh_due(self, token: TokenDict) -> TokenDict:
        """Renew a token that is due; one that is still valid is used where it cannot be renewed."""
        expired = token.is_expired(self._runtime.clock())
        if not self._can_refresh(token):
            if expired:
                raise TokenExpiredError(provider=self.name)
            return token
        try:
            return self._renew(token)
        except (ProviderUnavailable, ProviderResponseError):
            if expired:
                raise
            return token

    def _can_refresh(self, token: TokenDict) -> bool:
        config = self._config
        known = config.refresh_token_url or config.access_token_url or config.server_metadata_url
        return bool(token.get("refresh_token") and known)

    def _renew(self, token: TokenDict) -> TokenDict:
        renewed = self._refresher.renew(token, self._ask_and_store)
        self._memo().remember_renewed(self._memo_key(), fingerprint(token), renewed)
        return renewed

    def _ask_and_store(self, token: TokenDict) -> TokenDict:
        try:
            answer = self._client.refresh_token(str(token["refresh_token"]))
        except TokenRequestError as error:
            if error.error != "invalid_grant":
                raise
            return self._read_again(token, error)
        self._check_refreshed(answer, token, "")
        renewed = merge_refreshed(token, answer)
        if self._callbacks.update_token is not None:
            self._callbacks.update_token(renewed, token)
        return renewed

    def _read_again(self, token: TokenDict, error: TokenRequestError) -> TokenDict:
        """The grant counts as dead only if nobody else has rotated the token in the meantime."""
        fetch = self._callbacks.fetch_token
        found = fetch() if fetch is not None else None
        if not found or not found.get("access_token") or found.get("refresh_token") == token.get("refresh_token"):
            raise ReauthorizationRequired(error.error, error.description, provider=self.name) from error
        return TokenDict({name: value for name, value in found.items() if value is not None})

    def _refresh_given(self, token: TokenDict) -> TokenDict:
        if not token.get("access_token"):
            raise MissingTokenError(provider=self.name)
        if self._runtime.vault is not None and self._callbacks.fetch_token is None:
            # It may be a copy of a row of the vault, which alone may rotate it.
            return token
        return self._refresh_own(self._latest(token))

    def _latest(self, token: TokenDict) -> TokenDict:
        memo, key = self._memo(), self._memo_key()
        for _ in range(_RENEWALS):
            renewed = memo.find_renewed(key, fingerprint(token))
            if renewed is None:
                break
            token = renewed
        return token

    def _renew_rejected(self, token: TokenDict, stored: StoredToken | None) -> TokenDict | None:
        if not token.get("refresh_token"):
            return None
        try:
            if stored is not None:
                fresh = self._freshen(stored, rejected=str(token["access_token"])).token
            elif self._callbacks.fetch_token is not None and self._can_refresh(token):
                fresh = self._renew(token)
            else:
                return None
        except (ProviderUnavailable, ProviderResponseError):
            return None
        return fresh if fresh.get("access_token") != token["access_token"] else None
