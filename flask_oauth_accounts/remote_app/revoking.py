"""Ending a grant at the provider, and asking about a token."""

from __future__ import annotations

from typing import Any

from ..clients.oauth2 import OAuth2Client
from ..errors import MissingTokenError, TokenRequestError
from ..tokens import Secret, TokenDict
from .base import RemoteApp


class RevocationMixin(RemoteApp):
    """What an OAuth 2 client can do with a token beside using it."""

    _client: OAuth2Client

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
            self._client.revoke_token(Secret(token), token_type_hint)
            return True
        if token.get("refresh_token"):
            self._client.revoke_token(Secret(token["refresh_token"]), "refresh_token")
        if token.get("access_token"):
            self._client.revoke_token(Secret(token["access_token"]), "access_token")
        return True

    def _revoke_by_request(self, token: Any) -> bool:
        facts = self.preset.revocation  # type: ignore[union-attr]
        access_token = Secret(token if isinstance(token, str) else token["access_token"])
        client_id = str(self._config.require("client_id"))
        url = self.resolve_url(facts.url.replace("{client_id}", client_id))
        self._hosts.check(url, provider=self.name)
        kwargs: dict[str, Any] = {"headers": self._api_headers(None)}
        if facts.token_field:
            kwargs["json"] = {facts.token_field: access_token}
        if facts.auth == "client":
            kwargs["auth"] = (client_id, Secret(self._config.require("client_secret")))
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
