"""The two halves of a login: the redirect to the provider, and what comes back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from flask import redirect
from werkzeug.wrappers import Response

from ..errors import ConfigurationError, ExpiredFlowError, MismatchingStateError, MissingRequestTokenError
from ..flow import APPLICATION, FlowStore, PendingFlow, hash_key
from ..tokens import TokenDict
from .callbacks import CallbackParams, read_callback
from .calls import ApiCalls
from .flow_stores import browser_id
from .runtime import FinishedFlow, same_text


class Logins(ApiCalls):
    """A client that logs people in."""

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
        """The protocol's own, see :class:`OAuth1App` and :class:`OAuth2App`."""
        raise NotImplementedError

    def save_authorize_data(self, **kwargs: Any) -> None:
        """The protocol's own, see :class:`OAuth1App` and :class:`OAuth2App`."""
        raise NotImplementedError

    def _require_data(self, data: Mapping[str, Any], key: str) -> Any:
        if not data.get(key):
            raise ConfigurationError(
                f"save_authorize_data() needs {key}, as create_authorization_url() gave it", provider=self.name
            )
        return data[key]

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
        # The name alone would let a client of that name in another registry finish what this one has started.
        provider = self.authorize_url or self.server_metadata_url or self.issuer or ""
        return hash_key(self.name, self.client_id or "", provider, secret)[:32]

    def _take_flow(self, secret: str, purposes: Collection[str]) -> PendingFlow:
        """:raises MismatchingStateError: if it is not there, or of another browser, provider, purpose or user."""
        flow: PendingFlow | None = self._runtime.flows().take(self._flow_key(secret))
        browser = browser_id(self._runtime.session(), create=False)
        refused = self._mismatch()
        if flow is None or browser is None or flow.name != self.name:
            raise refused(provider=self.name)
        if not same_text(flow.browser, hash_key(browser)[:32]) or flow.purpose not in purposes:
            raise refused(provider=self.name)
        if flow.user_id is not None and str(self._runtime.current_user_id()) != flow.user_id:
            raise refused(description="another user is logged in than the one who started", provider=self.name)
        if flow.expires_at <= self._runtime.clock():
            raise ExpiredFlowError(provider=self.name)
        return flow

    def _mismatch(self) -> type[MismatchingStateError] | type[MissingRequestTokenError]:
        return MismatchingStateError

    def hold_form_post(self) -> str:
        """Keep the answer of a callback that came by POST, for the browser's cookies stay behind on it.

        :return: a handle that works once and for a minute; send the browser to the same address by GET with it.
        :raises CallbackError: if it cannot be an answer: a parameter is repeated, or it is too long.
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
        """The protocol's own, see :class:`OAuth1App` and :class:`OAuth2App`."""
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
