"""OAuth 1.0a (RFC 5849): temporary credentials, the redirect, token credentials, signed calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests
from oauthlib.common import add_params_to_uri

from ..errors import (
    FetchTokenDeniedError,
    MissingTokenError,
    MissingVerifierError,
    ProviderResponseError,
)
from ..protocols import Clock
from ..tokens import MAX_TOKEN_LENGTH, TokenDict
from .base import ClientConfig, config_key
from .http_options import check_oauth1_options
from .sessions import OAuth1ClientSession
from .signing import read_signing
from .transport import Transport, check_status, parse_form_or_json


class OAuth1Client:
    """One OAuth 1 provider, framework-free and without state of any user.

    :param config: of protocol OAuth 1.
    :param transport: the client's connections.
    """

    def __init__(self, config: ClientConfig, transport: Transport, *, clock: Clock = time.time) -> None:
        self.config = config
        self.transport = transport
        self.clock = clock
        self._signing = read_signing(config.client_kwargs, where=config_key(config.name, "client_kwargs"))

    def create_session(
        self, token: Mapping[str, Any] | None = None, *, signs: bool = True, **extra: Any
    ) -> OAuth1ClientSession:
        """Build a session for one call and let ``compliance_fix`` see it.

        :param token: with ``oauth_token`` and ``oauth_token_secret``, or ``None``.
        :param signs: ``False`` for a call without any credential.
        :param extra: ``callback_uri`` or ``verifier``.
        """
        token = token or {}
        session = OAuth1ClientSession(
            self.transport,
            str(self.config.require("client_id")),
            client_secret=self.config.client_secret,
            resource_owner_key=token.get("oauth_token"),
            resource_owner_secret=token.get("oauth_token_secret"),
            **self._signing,
            **extra,
        )
        session.signs = signs
        if self.config.compliance_fix is not None:
            self.config.compliance_fix(session)
        return session

    def fetch_request_token(self, redirect_uri: str | None, **request_kwargs: Any) -> TokenDict:
        """Ask for temporary credentials (RFC 5849 section 2.1).

        :param redirect_uri: ``oauth_callback``; ``None`` sends ``oob``.
        :param request_kwargs: keywords of the HTTP request, over ``request_token_params``.
        :return: ``oauth_token`` and ``oauth_token_secret``.
        :raises FetchTokenDeniedError: if the provider refuses.
        :raises ProviderResponseError: if the answer is unusable or does not confirm the callback.
        :raises ProviderUnavailable: if there is no answer.
        """
        kwargs = {**self.config.request_token_params, **request_kwargs}
        session = self.create_session(callback_uri=redirect_uri or "oob")
        token = self._fetch(session, self.config.require("request_token_url"), kwargs)
        if str(token.get("oauth_callback_confirmed")).lower() != "true":
            raise ProviderResponseError(
                description="the request token answer lacks oauth_callback_confirmed=true (RFC 5849 section 2.1)",
                provider=self.config.name,
            )
        return token

    def create_authorization_url(self, request_token: str, **params: Any) -> str:
        """Build the address to send the browser to (RFC 5849 section 2.2).

        :param request_token: ``oauth_token`` of the temporary credentials.
        :param params: further parameters; the configured ``authorize_params`` win.
        :raises ConfigurationError: if there is no ``authorize_url``.
        """
        merged = {**params, **self.config.authorize_params, "oauth_token": request_token}
        url = str(self.config.require("authorize_url"))
        return str(add_params_to_uri(url, [(key, str(value)) for key, value in merged.items() if value is not None]))

    def fetch_access_token(
        self, request_token: Mapping[str, Any], verifier: str | None, **request_kwargs: Any
    ) -> TokenDict:
        """Exchange temporary for token credentials (RFC 5849 section 2.3).

        :param request_token: what :meth:`fetch_request_token` returned.
        :param verifier: ``oauth_verifier`` of the callback.
        :param request_kwargs: keywords of the HTTP request, over ``access_token_params``.
        :return: the whole answer, with ``oauth_token`` and ``oauth_token_secret``.
        :raises MissingVerifierError: without a verifier.
        :raises FetchTokenDeniedError: if the provider refuses.
        :raises ProviderResponseError: if the answer is unusable.
        """
        if not verifier:
            raise MissingVerifierError(provider=self.config.name)
        session = self.create_session(request_token, verifier=verifier)
        kwargs = {**self.config.access_token_params, **request_kwargs}
        return self._fetch(session, self.config.require("access_token_url"), kwargs)

    def _fetch(self, session: OAuth1ClientSession, url: str, kwargs: dict[str, Any]) -> TokenDict:
        name = self.config.name
        check_oauth1_options(kwargs, where=f"the token request of {name}", provider=name)
        method = kwargs.pop("method", "POST")
        realm = kwargs.pop("realm", None)
        if realm is not None:
            session.auth.client.realm = realm
        session.asks_for_token = True
        response = self.transport.fetch(method, url, session=session, **kwargs)
        response = session.hooks_by_type.response("access_token_response", response)
        check_status(response, name)
        if response.status_code >= 400:
            raise FetchTokenDeniedError(
                description=f"the provider answered {response.status_code} where a token was asked for", provider=name
            )
        payload = parse_form_or_json(response, name)
        if not isinstance(payload, Mapping):
            raise ProviderResponseError(description="the token answer is not a form", provider=name)
        token = TokenDict(payload)
        for key in ("oauth_token", "oauth_token_secret"):
            value = token.get(key)
            if key == "oauth_token_secret" and value == "":
                continue
            if not isinstance(value, str) or not value or len(value) > MAX_TOKEN_LENGTH or not value.isprintable():
                raise ProviderResponseError(description=f"the token answer has no usable {key}", provider=name)
        return token

    def request(
        self, method: str, url: str, token: Mapping[str, Any] | None, **requests_kwargs: Any
    ) -> requests.Response:
        """Send a signed API call; without a token it is sent unsigned.

        :raises OAuthError: whatever goes wrong on the way.
        """
        if token is None:
            return self.transport.send_api(self.create_session(signs=False), method, url, **requests_kwargs)
        if not token.get("oauth_token"):
            raise MissingTokenError(provider=self.config.name)
        return self.transport.send_api(self.create_session(token), method, url, **requests_kwargs)
