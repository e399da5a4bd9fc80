"""OAuth 2.0 (RFC 6749) and OpenID Connect: the authorization request, the token endpoint and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlencode, urljoin

import requests
from oauthlib.common import add_params_to_uri

from ..errors import (
    InvalidClientError,
    ProviderResponseError,
    ProviderUnavailable,
    TokenRequestError,
    UnsupportedTokenTypeError,
    clean_text,
)
from ..identity import UserInfo
from ..protocols import Clock
from ..tokens import Secret, TokenDict, is_bearer, parse_token_answer
from .answers import hide_sent
from .authentication import authenticate
from .base import ClientConfig, config_key
from .http_options import split_oauth2_options
from .openid import OpenIDSupport
from .pkce import create_code_challenge
from .sessions import OAuth2ClientSession
from .transport import Transport, check_status, parse_form_or_json

_OPERATOR_FAULTS = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type"})
_PASSING_FAULTS = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
_RESERVED = frozenset(
    {"response_type", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"}
)

# Names that GitHub, Slack and others use for RFC 6749's invalid_client and invalid_grant.
_SYNONYMS = {
    "incorrect_client_credentials": "invalid_client",
    "bad_client_credentials": "invalid_client",
    "bad_client_id": "invalid_client",
    "bad_client_secret": "invalid_client",
    "invalid_client_id": "invalid_client",
    "bad_verification_code": "invalid_grant",
    "bad_refresh_token": "invalid_grant",
    "invalid_refresh_token": "invalid_grant",
    "token_expired": "invalid_grant",
    "token_revoked": "invalid_grant",
}


class OAuth2Client:
    """One OAuth 2 provider, framework-free and without state of any user.

    :param config: of protocol OAuth 2.
    :param transport: the client's connections.
    """

    def __init__(self, config: ClientConfig, transport: Transport, *, clock: Clock = time.time) -> None:
        self.config = config
        self.transport = transport
        self.clock = clock
        self.openid = OpenIDSupport(config, transport, clock=clock)

    # -- where things are ---------------------------------------------------------------------------------------------

    def find_endpoint(self, argument: str, metadata_name: str) -> str | None:
        """The address given by the application, else the discovered one.

        :param argument: the name in :class:`ClientConfig`.
        :param metadata_name: the name in the provider's metadata (RFC 8414 section 2).
        """
        configured = getattr(self.config, argument)
        if configured:
            return str(configured)
        value = self.openid.load_metadata().get(metadata_name)
        return value if isinstance(value, str) and value else None

    def require_endpoint(self, argument: str, metadata_name: str) -> str:
        """As :meth:`find_endpoint`.

        :raises ConfigurationError: if there is none; of an OpenID provider of which nothing is known, discovery tells
            every endpoint, so its address is what is missing.
        :raises ProviderResponseError: if the metadata names one that may not be used.
        """
        url = self.find_endpoint(argument, metadata_name)
        if url is None:
            self.openid.check_endpoint(metadata_name)
            config = self.config
            known = config.authorize_url or config.access_token_url or config.server_metadata_url
            config.require("server_metadata_url" if config.is_openid and not known else argument)
        return str(url)

    # -- the authorization request ------------------------------------------------------------------------------------

    def create_authorization_url(
        self, redirect_uri: str | None, *, state: str, nonce: str | None, code_verifier: str | None, **params: Any
    ) -> str:
        """Build the address to send the browser to (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

        :param redirect_uri: where the provider sends the browser back to.
        :param state: opaque, bound to this browser.
        :param nonce: OpenID Connect's, ``None`` to send none.
        :param code_verifier: its S256 challenge is sent; ``None`` switches PKCE off.
        :param params: further parameters; the configured ``authorize_params`` win, and neither replaces a parameter
            of the protocol.
        :raises ConfigurationError: if the address or the client id is missing.
        """
        config = self.config
        query: dict[str, Any] = {"response_type": "code", "client_id": config.require("client_id")}
        if redirect_uri:
            query["redirect_uri"] = redirect_uri
        extra = {**params, **config.authorize_params}
        scope = extra.pop("scope", None) or config.scope
        if scope:
            query["scope"] = scope if isinstance(scope, str) else " ".join(scope)
        query["state"] = state
        if nonce:
            query["nonce"] = nonce
        if code_verifier:
            query["code_challenge"] = create_code_challenge(code_verifier)
            query["code_challenge_method"] = "S256"
        for key in ("response_mode", "prompt"):
            if config.client_kwargs.get(key):
                query[key] = config.client_kwargs[key]
        query.update({key: value for key, value in extra.items() if value is not None and key not in _RESERVED})
        url = self.require_endpoint("authorize_url", "authorization_endpoint")
        base, _, fragment = url.partition("#")
        result = str(add_params_to_uri(base, [(key, str(value)) for key, value in query.items()]))
        return f"{result}#{fragment}" if fragment else result

    # -- the token endpoint -------------------------------------------------------------------------------------------

    def fetch_token(self, grant_type: str, **body: Any) -> TokenDict:
        """Ask the token endpoint for a token (RFC 6749 sections 4.1.3, 4.3.2 and 4.4.2).

        :param grant_type: ``authorization_code``, ``client_credentials``, ``password`` or an extension's.
        :param body: the grant's own parameters, over ``access_token_params``; ``headers``, ``timeout``, ``verify``,
            ``cert``, ``proxies``, ``cookies`` and ``auth`` are those of the HTTP request.
        :return: the checked token.
        :raises TokenRequestError: if the provider refuses; its ``error`` is RFC 6749's.
        :raises InvalidClientError: if the provider does not accept this client.
        :raises ProviderResponseError: if the answer makes no sense.
        :raises ProviderUnavailable: if there is none.
        """
        form = {"grant_type": grant_type, **self.config.access_token_params, **body}
        if grant_type in ("client_credentials", "password") and self.config.scope:
            form.setdefault("scope", self.config.scope)
        return self._post_token(self.require_endpoint("access_token_url", "token_endpoint"), form, "access_token")

    def refresh_token(self, refresh_token: str, **body: Any) -> TokenDict:
        """Renew a token (RFC 6749 section 6). No scope is sent, so the grant's own stays.

        :param refresh_token: of the stored token.
        :param body: further parameters, over ``refresh_token_params``.
        :return: the answer alone, see :func:`~flask_oauth_accounts.tokens.merge_refreshed`.
        :raises TokenRequestError: if the provider refuses, with ``error`` ``invalid_grant`` where the grant is dead.
        :raises InvalidClientError: if the provider does not accept this client.
        :raises ProviderResponseError: if the answer makes no sense.
        :raises ProviderUnavailable: if there is none.
        """
        form = {
            **self.config.refresh_token_params,
            **body,
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
        }
        url = self.config.refresh_token_url or self.require_endpoint("access_token_url", "token_endpoint")
        return self._post_token(url, form, "refresh_token")

    def _post_token(self, url: str, form: dict[str, Any], kind: str) -> TokenDict:
        session, name = self.create_session(), self.config.name
        options, form = split_oauth2_options(form, where=f"the token request of {name}", provider=name)
        response = self._post(url, form, session, request_hook=f"{kind}_request", **options)
        response = session.hooks_by_type.response(f"{kind}_response", response)
        payload = self._read_answer(response)
        return parse_token_answer(payload, now=self.clock(), provider=name)

    def _post(
        self, url: str, form: Mapping[str, Any], session: OAuth2ClientSession, *, request_hook: str, **options: Any
    ) -> requests.Response:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        body = {key: value for key, value in form.items() if value is not None}
        if "auth" not in options:
            authenticate(self.config, body, headers, audience=url, now=self.clock())
        headers.update(options.pop("headers", {}))
        # As text, the form in which hooks written for other clients expect it.
        form_body = Secret(urlencode(body, doseq=True))
        url, headers, data = session.hooks_by_type.request(request_hook, url, headers, form_body)
        return self.transport.fetch("POST", url, session=session, headers=headers, data=data, **options)

    def _read_answer(self, response: requests.Response) -> object:
        name = self.config.name
        check_status(response, name)
        try:
            payload = parse_form_or_json(response, name)
        except ProviderResponseError:
            if response.status_code == 401:
                raise InvalidClientError(provider=name) from None
            raise
        if isinstance(payload, Mapping) and payload.get("error"):
            self._raise_error(payload, response)
        if response.status_code == 401:
            raise InvalidClientError(provider=name)
        if response.status_code >= 400:
            raise ProviderResponseError(
                description=f"the token endpoint answered {response.status_code} without saying why", provider=name
            )
        return payload

    def _raise_error(self, payload: Mapping[str, Any], response: requests.Response) -> NoReturn:
        name, secret = self.config.name, self.config.client_secret
        error, description = payload["error"], payload.get("error_description")
        if isinstance(error, Mapping):  # Facebook's form
            description = error.get("message")
            error = error.get("type") or error.get("code")
        code = clean_text(hide_sent(error, response, secret), 100)
        code = _SYNONYMS.get(code, code)
        text = clean_text(hide_sent(description, response, secret))
        if code in _OPERATOR_FAULTS or (response.status_code == 401 and not code):
            keys = f"{config_key(name, 'client_id')} and {config_key(name, 'client_secret')}"
            raise InvalidClientError(
                f"the provider answered {code}: {text or 'no description'}. Compare {keys} with the provider's console",
                error=code,
                provider=name,
            )
        if code in _PASSING_FAULTS:
            raise ProviderUnavailable(code, text, provider=name)
        raise TokenRequestError(code, text, provider=name)

    # -- what can be done with a token --------------------------------------------------------------------------------

    def revoke_token(self, token: str, token_type_hint: str | None = None) -> None:
        """Ask the provider to forget a token (RFC 7009 section 2.1).

        :param token: access or refresh token.
        :param token_type_hint: ``access_token`` or ``refresh_token``.
        :raises ConfigurationError: if the provider has no revocation endpoint.
        :raises OAuthError: if it refuses or does not answer.
        """
        url = self.require_endpoint("revocation_endpoint", "revocation_endpoint")
        form = {"token": token, "token_type_hint": token_type_hint}
        response = self._post(url, form, self.create_session(), request_hook="revoke_token_request")
        check_status(response, self.config.name)
        if response.status_code >= 400:
            self._read_answer(response)

    def introspect_token(self, token: str, token_type_hint: str | None = None) -> dict[str, Any]:
        """Ask the provider about a token (RFC 7662 section 2).

        :return: the answer, with ``active``.
        :raises ConfigurationError: if the provider has no introspection endpoint.
        :raises OAuthError: if it refuses or does not answer.
        """
        url = self.require_endpoint("introspection_endpoint", "introspection_endpoint")
        form = {"token": token, "token_type_hint": token_type_hint}
        payload = self._read_answer(
            self._post(url, form, self.create_session(), request_hook="introspect_token_request")
        )
        if not isinstance(payload, Mapping) or not isinstance(payload.get("active"), bool):
            raise ProviderResponseError(description="the introspection has no 'active'", provider=self.config.name)
        return dict(payload)

    def fetch_userinfo(
        self,
        token: Mapping[str, Any],
        *,
        subject: str | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | tuple[float, float] | None = None,
    ) -> UserInfo:
        """Ask who the token speaks for (OpenID Connect Core section 5.3).

        :param token: with ``access_token``.
        :param subject: ``sub`` of the ID token, which the answer must repeat.
        :param params: of the query, over ``userinfo_params``.
        :param headers: over those that the provider's API asks for.
        :param timeout: seconds to wait, one number or the pair.
        :raises ConfigurationError: if no userinfo endpoint is known.
        :raises InvalidTokenError: if the provider does not accept the token.
        :raises ProviderResponseError: if the answer makes no sense.
        :raises ProviderUnavailable: if there is none.
        """
        endpoint = self.require_endpoint("userinfo_endpoint", "userinfo_endpoint")
        url = urljoin(self.config.api_base_url or "", endpoint)
        headers = {"Accept": "application/json", **self.api_headers(), **(headers or {})}
        query = {**self._userinfo_query(), **(params or {})}
        session = self.create_session(token)
        preset = self.config.preset
        usual = preset.userinfo_method if preset is not None else "GET"
        method = str(self.config.userinfo_params.get("method", usual))
        response = self.transport.fetch(method, url, session=session, headers=headers, params=query, timeout=timeout)
        return self.openid.read_userinfo(response, subject=subject)

    def _userinfo_query(self) -> dict[str, Any]:
        return {key: value for key, value in self.config.userinfo_params.items() if key != "method"}

    def api_headers(self) -> dict[str, str]:
        """Headers that the provider's API asks for with every call."""
        preset = self.config.preset
        headers = preset.create_api_headers(self.config.client_id or "") if preset is not None else {}
        headers.update(self.config.client_kwargs.get("headers") or {})
        return headers

    def create_session(self, token: Mapping[str, Any] | None = None) -> OAuth2ClientSession:
        """Build a session for one call and let ``compliance_fix`` see it.

        :raises UnsupportedTokenTypeError: if the token is not a Bearer token; another kind is not sent as one.
        """
        if token and not is_bearer(token):
            raise UnsupportedTokenTypeError(
                description="the token in use is not of the type Bearer", provider=self.config.name
            )
        session = OAuth2ClientSession(
            self.transport,
            self.config.client_id,
            Secret(token["access_token"]) if token else None,
            str(self.config.client_kwargs.get("token_placement") or "header"),
        )
        if self.config.compliance_fix is not None:
            self.config.compliance_fix(session)
        return session

    def request(
        self, method: str, url: str, token: Mapping[str, Any] | None, **requests_kwargs: Any
    ) -> requests.Response:
        """Send an API call with the token, or without one.

        :raises OAuthError: whatever goes wrong on the way.
        """
        return self.transport.send_api(self.create_session(token), method, url, **requests_kwargs)
