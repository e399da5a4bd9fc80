"""OpenID Connect RP-Initiated Logout 1.0, and the token of Back-Channel Logout 1.0."""

from __future__ import annotations

from typing import Any

from flask import redirect
from oauthlib.common import add_params_to_uri
from werkzeug.wrappers import Response

from ..clients.oauth2 import OAuth2Client
from ..errors import ConfigurationError, MismatchingStateError
from ..flow import new_state
from .base import RemoteApp

_PURPOSE = "logout"


class LogoutMixin(RemoteApp):
    """What an OpenID client can do to end the session at the provider."""

    _client: OAuth2Client

    def create_logout_url(
        self,
        post_logout_redirect_uri: str | None = None,
        id_token_hint: str | None = None,
        state: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Build the address that logs the browser out at the provider (section 2).

        :param post_logout_redirect_uri: where the provider sends the browser afterwards.
        :param id_token_hint: the ID token of the session to end.
        :param state: replaces the generated one.
        :param kwargs: further parameters, such as ``ui_locales``.
        :return: ``url`` and ``state``.
        :raises ConfigurationError: if the provider has no such endpoint.
        """
        endpoint = self._client.find_endpoint("end_session_endpoint", "end_session_endpoint")
        if endpoint is None:
            raise ConfigurationError(
                f"{self.name} offers no logout: its metadata has no end_session_endpoint and "
                f"{self.name.upper()}_END_SESSION_ENDPOINT is not set",
                provider=self.name,
            )
        query: dict[str, Any] = {"client_id": self._config.require("client_id"), **kwargs}
        if id_token_hint:
            query["id_token_hint"] = id_token_hint
        if post_logout_redirect_uri:
            state = state or new_state()
            query.update(post_logout_redirect_uri=post_logout_redirect_uri, state=state)
        pairs = [(key, str(value)) for key, value in query.items() if value is not None]
        return {"url": str(add_params_to_uri(endpoint, pairs)), "state": state}

    def logout_redirect(
        self, post_logout_redirect_uri: str | None = None, id_token_hint: str | None = None, **kwargs: Any
    ) -> Response:
        """Send the browser to the provider's logout, and remember the state for :meth:`validate_logout_response`.

        :param post_logout_redirect_uri: where the provider sends the browser afterwards.
        :param id_token_hint: the ID token of the session to end.
        :param kwargs: further parameters.
        :return: a 302 response.
        :raises ConfigurationError: if the provider has no such endpoint.
        """
        url = self.start_logout(post_logout_redirect_uri, id_token_hint, **kwargs)
        response = redirect(url)
        response.headers["Cache-Control"] = "no-store"
        return response

    def start_logout(
        self, post_logout_redirect_uri: str | None = None, id_token_hint: str | None = None, **kwargs: Any
    ) -> str:
        """Remember that this browser logs out at the provider.

        :param post_logout_redirect_uri: where the provider sends the browser afterwards.
        :param id_token_hint: the ID token of the session to end.
        :param kwargs: further parameters.
        :return: where to send the browser.
        :raises ConfigurationError: if the provider has no such endpoint.
        :raises StorageUnavailable: if it cannot be remembered.
        """
        data = self.create_logout_url(post_logout_redirect_uri, id_token_hint, **kwargs)
        if data["state"]:
            self._save_flow(data["state"], purpose=_PURPOSE, redirect_uri=post_logout_redirect_uri)
        return str(data["url"])

    def validate_logout_response(self) -> dict[str, Any]:
        """Check in the view of ``post_logout_redirect_uri`` that this browser has asked for that logout.

        :return: ``post_logout_redirect_uri`` as it was sent.
        :raises MismatchingStateError: if it has not, or has come back before.
        """
        state = self._read_callback().get("state")
        if state is None:
            raise MismatchingStateError(provider=self.name)
        flow = self._take_flow(state, (_PURPOSE,))
        return {"post_logout_redirect_uri": flow.redirect_uri}

    def validate_logout_token(self, logout_token: str) -> dict[str, Any]:
        """Validate what the provider posts to the back channel (Back-Channel Logout 1.0 section 2.6).

        :param logout_token: the JWT.
        :return: its claims, with ``sub``, ``sid`` or both.
        :raises IdTokenError: if it may not be believed.
        """
        return self._client.openid.validate_logout_token(logout_token)
