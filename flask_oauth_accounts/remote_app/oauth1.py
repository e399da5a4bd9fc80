"""An OAuth 1 client bound to the request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

import requests

from ..clients.base import ClientConfig
from ..clients.oauth1 import OAuth1Client
from ..clients.transport import check_status, decode_json
from ..errors import (
    AuthorizationDeniedError,
    ConfigurationError,
    InvalidTokenError,
    MissingRequestTokenError,
    MissingTokenError,
    MissingVerifierError,
    ProviderResponseError,
    TokenRequestError,
)
from ..flow import APPLICATION, PendingFlow
from ..identity import UserInfo
from ..tokens import TokenDict
from .base import FinishedFlow, RemoteApp, Runtime, TokenCallbacks
from .runtime import same_text


class OAuth1App(RemoteApp):
    """What the registry gives for a client with a ``request_token_url``."""

    protocol: ClassVar[Literal["oauth1"]] = "oauth1"

    def __init__(self, config: ClientConfig, runtime: Runtime, callbacks: TokenCallbacks) -> None:
        super().__init__(config, runtime, callbacks)
        self._client = OAuth1Client(config, self._transport, clock=runtime.clock)

    def create_authorization_url(self, redirect_uri: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Fetch a request token and build the address to send the browser to (RFC 5849 sections 2.1 and 2.2).

        :param redirect_uri: the callback's address.
        :param kwargs: further parameters of that address; ``realm`` goes to the request token endpoint.
        :return: ``url``, ``state`` (the request token's key) and ``request_token``.
        :raises FetchTokenDeniedError: if the provider refuses.
        :raises ProviderResponseError: if its answer is unusable.
        :raises ProviderUnavailable: if there is none.
        """
        if self._callbacks.save_request_token is None:
            self._runtime.refuse_forgetful_cache(self.name)
        self._config.require("authorize_url")
        realm = kwargs.pop("realm", None)
        request_token = self._client.fetch_request_token(redirect_uri, **({"realm": realm} if realm else {}))
        url = self._client.create_authorization_url(request_token["oauth_token"], **kwargs)
        return {"url": url, "state": request_token["oauth_token"], "request_token": request_token}

    def save_authorize_data(self, **kwargs: Any) -> None:
        """Remember the login until the browser comes back.

        :param kwargs: ``request_token`` and ``redirect_uri``, as :meth:`create_authorization_url` gave them.
        :raises ConfigurationError: without ``request_token``.
        :raises StorageUnavailable: if it cannot be remembered.
        """
        request_token = dict(self._require_data(kwargs, "request_token"))
        if self._callbacks.save_request_token is not None:
            self._callbacks.save_request_token(request_token)
            if not kwargs.get("_purpose"):
                return
        kept = {key: request_token[key] for key in ("oauth_token", "oauth_token_secret") if key in request_token}
        self._save_flow(
            request_token["oauth_token"],
            request_token=kept,
            redirect_uri=kwargs.get("redirect_uri"),
            purpose=kwargs.get("_purpose") or APPLICATION,
            next_url=kwargs.get("_next_url"),
            user_id=kwargs.get("_user_id"),
            subject=kwargs.get("_subject"),
        )

    def _mismatch(self) -> type[MissingRequestTokenError]:
        return MissingRequestTokenError

    def finish_flow(self, purposes: Collection[str] = (APPLICATION,), **kwargs: Any) -> FinishedFlow:
        """Check the callback and exchange the request token (RFC 5849 section 2.3).

        :param purposes: those that this view may finish.
        :param kwargs: further keywords of the token request.
        :return: the token and what was remembered of the login.
        :raises MissingRequestTokenError: if this browser has not started that login, or it is used or expired.
        :raises AuthorizationDeniedError: if the user said no.
        :raises MissingVerifierError: if there is no verifier.
        :raises FetchTokenDeniedError: if the provider refuses.
        """
        params = self._read_callback()
        oauth_token = params.get("oauth_token") or params.get("denied")
        flow = self._find_flow(oauth_token, purposes)
        request_token = flow.request_token or {}
        denied = params.get("denied")
        if denied or params.get("error"):
            raise AuthorizationDeniedError(params.get("error") or "access_denied", provider=self.name)
        if not same_text(str(request_token.get("oauth_token")), oauth_token or ""):
            raise MissingRequestTokenError(provider=self.name)
        verifier = params.get("oauth_verifier")
        if verifier is None:
            raise MissingVerifierError(provider=self.name)
        token = self._client.fetch_access_token(request_token, verifier, **kwargs)
        return FinishedFlow(flow, token, None, params.extra())

    def _find_flow(self, oauth_token: str | None, purposes: Collection[str]) -> PendingFlow:
        """The remembered login; the application's own functions go before the cache."""
        fetch = self._callbacks.fetch_request_token
        if fetch is None or self._callbacks.save_request_token is None:
            if not oauth_token:
                raise MissingRequestTokenError(provider=self.name)
            return self._take_flow(oauth_token, purposes)
        request_token = fetch()
        if not request_token:
            raise MissingRequestTokenError(provider=self.name)
        if APPLICATION in purposes and len(purposes) == 1:
            return PendingFlow(self.name, "", "", 0.0, request_token=dict(request_token))
        if not oauth_token:
            raise MissingRequestTokenError(provider=self.name)
        return self._take_flow(oauth_token, purposes)

    def fetch_access_token(self, request_token: Mapping[str, Any] | None = None, **kwargs: Any) -> TokenDict:
        """Exchange a request token that the caller has kept.

        :param request_token: with ``oauth_token`` and ``oauth_token_secret``.
        :param kwargs: ``oauth_verifier`` (or ``verifier``), and keywords of the token request.
        :return: the token.
        :raises MissingRequestTokenError: without a request token.
        :raises MissingVerifierError: without a verifier.
        :raises FetchTokenDeniedError: if the provider refuses.
        """
        if not request_token:
            raise MissingRequestTokenError(provider=self.name)
        verifier = kwargs.pop("oauth_verifier", None) or kwargs.pop("verifier", None)
        token = self._client.fetch_access_token(request_token, verifier, **kwargs)
        self.token = token
        return token

    def revoke_token(self, token: Any = None, token_type_hint: str | None = None) -> bool | None:
        """Ask the provider to end a grant in its own way; OAuth 1 itself knows none.

        :param token: a token dictionary; the current user's when left out.
        :param token_type_hint: of OAuth 2; not used.
        :return: ``True`` if the provider did, ``None`` if it offers no way.
        :raises MissingTokenError: if there is no token.
        :raises OAuthError: if the provider refuses or does not answer.
        """
        facts = self.preset.revocation if self.preset else None
        if facts is None or facts.kind != "request":
            return None
        usable = token if token is not None else self._find_token()[0]
        if not usable:
            raise MissingTokenError(provider=self.name)
        url = self.resolve_url(facts.url)
        self._hosts.check(url, provider=self.name)
        response = self._send(facts.method, url, TokenDict(usable), headers=self._api_headers(None))
        check_status(response, self.name)
        if response.status_code >= 400 and response.status_code not in (401, 404):
            raise TokenRequestError(
                "revocation_failed", f"the provider answered {response.status_code}", provider=self.name
            )
        return True

    def introspect_token(self, token: Any = None, token_type_hint: str | None = None) -> dict[str, Any]:
        """:raises ConfigurationError: always; OAuth 1 knows no introspection."""
        raise ConfigurationError(f"{self.name} is an OAuth 1 client, and OAuth 1 knows no introspection")

    def _send(self, method: str, url: str, token: TokenDict | None, **kwargs: Any) -> requests.Response:
        return self._client.request(method, url, token, **kwargs)

    def _fetch_profile(self, token: TokenDict, claims: UserInfo | None, **options: Any) -> UserInfo:
        url = self.resolve_url(str(self._config.require("userinfo_endpoint")))
        options["headers"] = {"Accept": "application/json", **self._api_headers(options.get("headers"))}
        response = self._send("GET", url, token, **options)
        check_status(response, self.name)
        if response.status_code in (401, 403):
            raise InvalidTokenError(
                description=f"the profile was refused with {response.status_code}", provider=self.name
            )
        if response.status_code >= 400:
            raise ProviderResponseError(
                description=f"the profile was answered with {response.status_code}", provider=self.name
            )
        payload = decode_json(response, self.name)
        if not isinstance(payload, dict) or not payload:
            raise ProviderResponseError(description="the profile is not a JSON object", provider=self.name)
        return UserInfo(payload)
