"""A client bound to the request: the login's two halves, API calls with the right token, and the profile.

A client object holds no state of any user. What belongs to a request lies in that request's memo, what belongs to a
pending login in the flow store, what belongs to a user in the vault.
"""

from __future__ import annotations

import copy
import hmac
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urljoin, urlsplit

import requests
from flask import redirect
from werkzeug.wrappers import Response

from ..clients.base import ClientConfig, split_allowed_host
from ..clients.transport import Transport
from ..config import Settings
from ..errors import (
    ConfigurationError,
    ExpiredFlowError,
    InvalidTokenError,
    MismatchingStateError,
    MissingRequestTokenError,
    MissingTokenError,
    OAuthError,
    ProviderResponseError,
    UntrustedHostError,
)
from ..flow import APPLICATION, FlowStore, PendingFlow, hash_key
from ..identity import Identity, UserInfo
from ..protocols import Clock
from ..providers import Preset, map_profile
from ..tokens import StoredToken, TokenDict
from ..vault.refresh import Vault
from .callbacks import CallbackParams, read_callback
from .flow_stores import browser_id
from .hosts import TrustedHosts
from .memo import Memo, current_memo

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True)
class Runtime:
    """What one application lends its clients.

    :ivar flows: gives the store of pending logins for the current request.
    :ivar session: gives the browser's session.
    :ivar current_user_id: the id of the user who is logged in, ``None`` where nobody is or nothing is known of users.
    :ivar vault: stored tokens; ``None`` for a registry without accounts.
    :ivar reauthorize_url: where to send a user whose grant is dead.
    """

    settings: Settings
    flows: Callable[[], Any]
    session: Callable[[], Any]
    current_user_id: Callable[[], Any]
    allow_http: Callable[[str], bool]
    vault: Vault | None = None
    reauthorize_url: Callable[[str, StoredToken], str | None] | None = None
    refuse_forgetful_cache: Callable[[str], None] = field(default=lambda name: None)
    clock: Clock = time.time


@dataclass(frozen=True)
class TokenCallbacks:
    """The application's own way to its tokens, in any of the accepted signatures made one.

    :ivar fetch_token: no arguments; a dictionary or ``None``.
    :ivar update_token: called after a refresh with the new token and the old one.
    """

    fetch_token: Callable[[], Mapping[str, Any] | None] | None = None
    update_token: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] | None = None
    save_request_token: Callable[[Mapping[str, Any]], Any] | None = None
    fetch_request_token: Callable[[], Mapping[str, Any] | None] | None = None


@dataclass(frozen=True)
class FinishedFlow:
    """A login that came back and was exchanged.

    :ivar claims: of the ID token, where there is one.
    :ivar extra: what else the callback brought, such as Apple's ``user``.
    """

    flow: PendingFlow
    token: TokenDict = field(repr=False)
    claims: UserInfo | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class _Binding:
    """The user and account a client speaks for, where it is not the current user."""

    user_id: Any
    account: str | None = None


class RemoteApp:
    """Base of :class:`OAuth1App` and :class:`OAuth2App`.

    :param config: the client's settings.
    :param runtime: what the application lends it.
    :param callbacks: the application's own token functions.
    """

    OAUTH_APP_CONFIG: ClassVar[Mapping[str, Any] | None] = None
    protocol: ClassVar[Any]

    def __init__(self, config: ClientConfig, runtime: Runtime, callbacks: TokenCallbacks) -> None:
        self._config = config
        self._runtime = runtime
        self._callbacks = callbacks
        self._binding: _Binding | None = None
        self._transport = _create_transport(config, runtime)
        self._hosts = TrustedHosts(
            config.api_base_url,
            [split_allowed_host(config.name, host) for host in config.allowed_hosts],
            (config.userinfo_endpoint, config.revocation_endpoint, config.introspection_endpoint),
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The client's name in the registry."""
        return self._config.name

    @property
    def preset(self) -> Preset | None:
        """The preset it was made from."""
        return self._config.preset

    @property
    def is_openid(self) -> bool:
        """Whether an ID token is asked for."""
        return self._config.is_openid

    @property
    def display_name(self) -> str:
        """The provider's name for people: ``display_name``, else the preset's, else made of the client's name."""
        if self._config.display_name:
            return self._config.display_name
        if self.preset is not None and self.preset.key != "oidc":
            return self.preset.display_name
        return self.name.replace("_", " ").replace("-", " ").title()

    @property
    def brand_color(self) -> str | None:
        """The provider's colour, ``#rrggbb``."""
        return self.preset.brand_color if self.preset else None

    def __getattr__(self, name: str) -> Any:
        # The registered values: client_id, api_base_url, authorize_url, client_kwargs, …
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return getattr(self.__dict__["_config"], name)
        except (KeyError, AttributeError):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    # -- whose token --------------------------------------------------------------------------------------------------

    def for_user(self, user_or_id: Any, account: str | None = None) -> Any:
        """The same client, bound to the stored token of a user; an app context is enough.

        :param user_or_id: a user, or the id of one.
        :param account: which provider account; the one last logged in with, where there are several.
        :return: a client.
        :raises ConfigurationError: if no accounts are set up for this registry.
        """
        if self._runtime.vault is None:
            raise ConfigurationError(
                f"{self.name}.for_user() needs stored tokens: set up OAuthAccounts(oauth, db=…, user_model=…), or give "
                "the token with the call",
                provider=self.name,
            )
        bound = copy.copy(self)
        bound._binding = _Binding(_user_id(user_or_id), account)
        return bound

    @property
    def token(self) -> Any:
        """The token that a call would use now: obtained in this request, else the stored one, else ``None``."""
        return self._find_token()[0]

    @token.setter
    def token(self, token: Mapping[str, Any] | None) -> None:
        self._memo().remember_obtained((self._memo_key(), self._binding), token, self._speaks_for())

    def _speaks_for(self) -> Any:
        """The id of the user whose token is used: the one this client is bound to, else the current one."""
        return self._binding.user_id if self._binding else self._runtime.current_user_id()

    def _memo(self) -> Memo:
        return current_memo()

    def _memo_key(self) -> tuple[int, str]:
        return (id(self._runtime), self.name)

    def _find_token(self) -> tuple[TokenDict | None, StoredToken | None]:
        """The token and, where it comes from the vault, its row."""
        memo, key = self._memo(), self._memo_key()
        user_id = self._speaks_for()
        account = self._binding.account if self._binding else None
        obtained = memo.find_obtained((key, self._binding), user_id)
        if obtained is not None:
            return self._latest(TokenDict(obtained)), None
        if self._binding is None and self._callbacks.fetch_token is not None:
            token = self._ask_application(self._callbacks.fetch_token, user_id)
            return (None if token is None else self._latest(token)), None
        vault = self._runtime.vault
        if vault is None or user_id is None:
            return None, None
        stored = memo.find_stored(key, user_id, account)
        if stored is None:
            stored = vault.load(user_id, self.name, account, protocol=self.protocol)
            memo.remember_stored(key, user_id, account, stored)
        return (None, None) if stored is None else (stored.token, stored)

    def remember_stored(self, stored: StoredToken) -> None:
        """Use a row of the vault that was read in this request already.

        :param stored: of the current user, the account last logged in with.
        """
        self._memo().remember_stored(self._memo_key(), stored.user_id, None, stored)

    def _ask_application(self, fetch: Callable[[], Mapping[str, Any] | None], user_id: Any) -> TokenDict | None:
        memo, key = self._memo(), self._memo_key()
        if user_id is not None:
            fetched = memo.find_fetched(key, user_id)
            if fetched is not None:
                return fetched
        token = fetch()
        if token is None:
            return None
        result = TokenDict({name: value for name, value in token.items() if value is not None})
        if user_id is not None:
            memo.remember_fetched(key, user_id, result)
        return result

    # -- API calls ----------------------------------------------------------------------------------------------------

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        """GET, see :meth:`request`."""
        return self.request("GET", url, **kwargs)

    def post(self, url: str, **kwargs: Any) -> requests.Response:
        """POST, see :meth:`request`."""
        return self.request("POST", url, **kwargs)

    def put(self, url: str, **kwargs: Any) -> requests.Response:
        """PUT, see :meth:`request`."""
        return self.request("PUT", url, **kwargs)

    def patch(self, url: str, **kwargs: Any) -> requests.Response:
        """PATCH, see :meth:`request`."""
        return self.request("PATCH", url, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> requests.Response:
        """DELETE, see :meth:`request`."""
        return self.request("DELETE", url, **kwargs)

    def head(self, url: str, **kwargs: Any) -> requests.Response:
        """HEAD, see :meth:`request`."""
        return self.request("HEAD", url, **kwargs)

    def options(self, url: str, **kwargs: Any) -> requests.Response:
        """OPTIONS, see :meth:`request`."""
        return self.request("OPTIONS", url, **kwargs)

    def request(
        self,
        method: str,
        url: str,
        token: Mapping[str, Any] | None = None,
        withhold_token: bool = False,
        **requests_kwargs: Any,
    ) -> requests.Response:
        """Call the provider's API with the user's token, refreshed when due.

        :param method: of HTTP.
        :param url: relative to ``api_base_url`` as :func:`urllib.parse.urljoin` joins them, or absolute.
        :param token: use this one instead of the stored one.
        :param withhold_token: send no credential; the address may be any.
        :param requests_kwargs: of :meth:`requests.Session.request`; ``timeout`` in seconds.
        :return: the response, whatever its status.
        :raises MissingTokenError: if there is no token.
        :raises ReauthorizationRequired: if only the user's new consent helps.
        :raises UntrustedHostError: if the address is not the provider's; nothing was sent.
        :raises ProviderUnavailable: if there is no answer.
        """
        target = self.resolve_url(url)
        method = method.upper()
        requests_kwargs.setdefault("timeout", self._config.client_kwargs.get("default_timeout"))
        headers = self._api_headers(requests_kwargs.pop("headers", None))
        if withhold_token:
            return self._send(method, target, None, headers=headers, **requests_kwargs)
        self._hosts.check(target, provider=self.name)
        if token is not None:
            usable = self._refresh_given(TokenDict(token))
            return self._send(method, target, usable, headers=headers, **requests_kwargs)
        usable, stored = self._usable_token()
        response = self._send(method, target, usable, headers=headers, **requests_kwargs)
        if response.status_code == 401 and method in _IDEMPOTENT and not requests_kwargs.get("stream"):
            renewed = self._renew_rejected(usable, stored)
            if renewed is not None:
                response = self._send(method, target, renewed, headers=headers, **requests_kwargs)
        return response

    def resolve_url(self, url: str) -> str:
        """Join a relative address to ``api_base_url``.

        :raises UntrustedHostError: for an address that a browser and :func:`~urllib.parse.urljoin` read differently.
        """
        if not isinstance(url, str) or any(ord(char) <= 32 or char == "\\" for char in url):
            raise UntrustedHostError(description="the address holds a blank, control character or backslash")
        try:
            joined = urljoin(self._config.api_base_url or "", url)
            parts = urlsplit(joined)
        except ValueError as error:
            raise UntrustedHostError(description="the address cannot be read", provider=self.name) from error
        if not parts.scheme or not parts.netloc:
            raise ConfigurationError(
                f"{url!r} is relative and {self.name} has no api_base_url; set {self.name.upper()}_API_BASE_URL",
                provider=self.name,
            )
        return joined

    def _api_headers(self, given: Mapping[str, str] | None) -> dict[str, str]:
        headers = dict(self._config.client_kwargs.get("headers") or {})
        if self.preset is not None:
            headers = {**self.preset.create_api_headers(self._config.client_id or ""), **headers}
        return {**headers, **(given or {})}

    def _usable_token(self) -> tuple[TokenDict, StoredToken | None]:
        token, stored = self._find_token()
        if token is None:
            raise MissingTokenError(provider=self.name)
        if stored is None:
            return self._refresh_own(token), None
        fresh = self._freshen(stored)
        return fresh.token, fresh

    def _send(self, method: str, url: str, token: TokenDict | None, **kwargs: Any) -> requests.Response:
        raise NotImplementedError

    def _freshen(self, stored: StoredToken, rejected: str | None = None) -> StoredToken:
        return stored

    def _refresh_own(self, token: TokenDict) -> TokenDict:
        """Renew a token of the application's own store, if that is due and possible."""
        return token

    def _refresh_given(self, token: TokenDict) -> TokenDict:
        """Renew a token that came with the call, if that is due and possible."""
        return token

    def _latest(self, token: TokenDict) -> TokenDict:
        """What a token was renewed to in this request."""
        return token

    def _renew_rejected(self, token: TokenDict, stored: StoredToken | None) -> TokenDict | None:
        return None

    # -- the two halves of a login ------------------------------------------------------------------------------------

    def authorize_redirect(self, redirect_uri: str | None = None, **kwargs: Any) -> Response:
        """Start a login: remember it and send the browser to the provider.

        :param redirect_uri: the callback's address.
        :param kwargs: further authorization parameters; ``state``, ``nonce`` and ``code_verifier`` replace the
            generated ones.
        :return: a 302 response.
        :raises ConfigurationError: if something is missing.
        :raises StorageUnavailable: if the login cannot be remembered.
        """
        data = self.create_authorization_url(redirect_uri, **kwargs)
        self.save_authorize_data(redirect_uri=redirect_uri, **data)
        response = redirect(data["url"])
        response.headers["Cache-Control"] = "no-store"
        return response

    def create_authorization_url(self, redirect_uri: str | None = None, **kwargs: Any) -> dict[str, Any]:
        raise NotImplementedError

    def save_authorize_data(self, **kwargs: Any) -> None:
        raise NotImplementedError

    def _save_flow(self, key: str, **values: Any) -> None:
        session = self._runtime.session()
        browser = browser_id(session, create=True)
        flow = PendingFlow(
            name=self.name,
            key=self._flow_key(key),
            browser=hash_key(browser or "")[:32],
            expires_at=float(int(self._runtime.clock() + self._runtime.settings.flow_lifetime)),
            **values,
        )
        store: FlowStore = self._runtime.flows()
        store.save(flow)

    def _flow_key(self, secret: str) -> str:
        return hash_key(self.name, secret)[:32]

    def _take_flow(self, secret: str, purposes: Collection[str]) -> PendingFlow:
        """:raises MismatchingStateError: if there is none, or it belongs to another browser, provider or purpose."""
        flow: PendingFlow | None = self._runtime.flows().take(self._flow_key(secret))
        browser = browser_id(self._runtime.session(), create=False)
        refused = self._mismatch()
        if flow is None or browser is None or flow.name != self.name:
            raise refused(provider=self.name)
        if not same_text(flow.browser, hash_key(browser)[:32]) or flow.purpose not in purposes:
            raise refused(provider=self.name)
        if flow.expires_at <= self._runtime.clock():
            raise ExpiredFlowError(provider=self.name)
        return flow

    def _mismatch(self) -> type[MismatchingStateError] | type[MissingRequestTokenError]:
        return MismatchingStateError

    def hold_form_post(self) -> str:
        """Keep the answer of a callback that came by POST, for the browser's cookies stay behind on it.

        :return: a handle that works once and for a minute; send the browser to the same address by GET with it.
        :raises StorageUnavailable: if it cannot be kept.
        """
        params = read_callback(None)
        handle: str = self._runtime.flows().save_form(params.values)
        return handle

    def _read_callback(self) -> CallbackParams:
        return read_callback(self._runtime.flows())

    def start_flow(
        self,
        redirect_uri: str | None,
        *,
        purpose: str,
        next_url: str | None = None,
        user_id: Any = None,
        subject: str | None = None,
        scopes: Collection[str] = (),
        params: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a login for a purpose.

        :param redirect_uri: the callback's address.
        :param purpose: one of those in :mod:`~flask_oauth_accounts.flow`.
        :param next_url: a checked address to go to afterwards.
        :param user_id: who starts it; the callback must come from the same user.
        :param subject: the only provider account that may come back.
        :param scopes: asked for in place of the configured ones.
        :param params: further authorization parameters.
        :return: where to send the browser.
        :raises OAuthError: if it cannot be started.
        """
        extra = dict(params or {})
        if scopes:
            extra["scope"] = " ".join(scopes)
        data = self.create_authorization_url(redirect_uri, **extra)
        self.save_authorize_data(
            redirect_uri=redirect_uri,
            _purpose=purpose,
            _next_url=next_url,
            _user_id=None if user_id is None else str(user_id),
            _subject=subject,
            **data,
        )
        return str(data["url"])

    def finish_flow(self, purposes: Collection[str] = (APPLICATION,), **kwargs: Any) -> FinishedFlow:
        raise NotImplementedError

    def authorize_access_token(self, **kwargs: Any) -> TokenDict:
        """Finish a login in the callback's view: check what came back and exchange it for a token.

        :param kwargs: further parameters of the token request.
        :return: the token, with ``userinfo`` where there is an ID token; it is used for the rest of this request.
        :raises CallbackError: if the callback is not that of a login this browser has started.
        :raises AuthorizationDeniedError: if the user or the provider said no.
        :raises OAuthError: if the exchange fails.
        """
        finished = self.finish_flow((APPLICATION,), **kwargs)
        self.token = finished.token
        return finished.token

    # -- who is it ----------------------------------------------------------------------------------------------------

    def fetch_identity(self, finished: FinishedFlow) -> Identity:
        """Ask the provider who has just logged in.

        :raises OAuthError: if the provider does not say, or says what cannot be believed.
        """
        return self._identify(finished.token, finished.claims, finished.extra)

    def profile(self) -> Identity:
        """Ask the provider about the user whose token this is.

        :raises MissingTokenError: if there is no token.
        :raises OAuthError: if the provider does not say.
        """
        token, stored = self._usable_token()
        try:
            return self._identify(token, self._known_claims(token), {})
        except InvalidTokenError:
            renewed = self._renew_rejected(token, stored)
            if renewed is None:
                raise
            return self._identify(renewed, self._known_claims(renewed), {})

    def _known_claims(self, token: TokenDict) -> UserInfo | None:
        """The claims that came with a token, where there are any."""
        claims = token.get("userinfo")
        return claims if isinstance(claims, UserInfo) else None

    def userinfo(self, **kwargs: Any) -> UserInfo:
        """Ask the userinfo endpoint.

        :param kwargs: of :meth:`request`, ``token`` among them.
        :return: the raw claims.
        :raises OAuthError: if there is no such endpoint, or the provider does not say.
        """
        token = kwargs.pop("token", None)
        usable = TokenDict(token) if token is not None else self._usable_token()[0]
        return self._fetch_profile(usable, None)

    def _identify(self, token: TokenDict, claims: UserInfo | None, extra: Mapping[str, Any]) -> Identity:
        source = self.preset.identity_source if self.preset else "userinfo"
        raw: Mapping[str, Any] = {}
        if source == "token_response":
            raw = token
        elif source == "userinfo" and (claims is None or self._has_userinfo()):
            raw = self._fetch_profile(token, claims)
            if not raw:
                raise ProviderResponseError(description="the profile is empty", provider=self.name)
        if not raw and claims is None:
            raise ConfigurationError(
                f"nothing says who is behind a token of {self.name}: set {self.name.upper()}_USERINFO_ENDPOINT",
                provider=self.name,
            )
        answers = {**extra, **self._fetch_extra(token)}
        return map_profile(
            self.preset, self.name, issuer=self._identity_issuer(claims), raw=raw, claims=claims, extra=answers
        )

    def _fetch_extra(self, token: TokenDict) -> dict[str, Any]:
        """Further answers that a preset names; without one of them its part of the profile stays empty."""
        answers: dict[str, Any] = {}
        for key, method, url in self.preset.extra_requests if self.preset else ():
            try:
                response = self._send(method, self.resolve_url(url), token, headers=self._api_headers(None))
                if response.status_code < 400:
                    answers[key] = response.json()
            except (OAuthError, ValueError, RecursionError):
                continue
        return answers

    def _has_userinfo(self) -> bool:
        return bool(self._config.userinfo_endpoint)

    def _identity_issuer(self, claims: UserInfo | None) -> str | None:
        return self._config.account_issuer

    def _fetch_profile(self, token: TokenDict, claims: UserInfo | None) -> UserInfo:
        raise NotImplementedError


def _create_transport(config: ClientConfig, runtime: Runtime) -> Transport:
    settings, kwargs = runtime.settings, config.client_kwargs
    timeout = kwargs.get("default_timeout")
    pair = settings.http_timeout
    if isinstance(timeout, (int, float)):
        pair = (min(float(timeout), pair[0]), float(timeout))
    elif isinstance(timeout, (list, tuple)) and len(timeout) == 2:
        pair = (float(timeout[0]), float(timeout[1]))
    return Transport(
        provider=config.name,
        timeout=pair,
        total_timeout=settings.http_total_timeout,
        max_bytes=settings.http_max_bytes,
        verify=kwargs.get("verify", True),
        proxies=kwargs.get("proxies"),
        operator_hosts=config.operator_hosts,
        allow_http=runtime.allow_http,
    )


def _user_id(user_or_id: Any) -> Any:
    mapper = getattr(type(user_or_id), "__mapper__", None)
    if mapper is not None:
        return mapper.primary_key_from_instance(user_or_id)[0]
    if hasattr(user_or_id, "get_id"):
        return user_or_id.get_id()
    return user_or_id


def same_text(left: str, right: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
