"""Ending a grant at the provider, and asking about a token."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

import requests

from ..clients.oauth2 import OAuth2Client
from ..clients.transport import check_status, decode_json
from ..errors import MissingTokenError, OAuthError, TokenRequestError, clean_text
from ..providers import RevocationFacts
from ..tokens import Secret, StoredToken, TokenDict
from .base import RemoteApp

_NOTHING_LEFT = frozenset({"invalid_token", "invalid_grant", "unsupported_token_type"})
"""Errors that say of a refresh token that it is dead already, or that this provider revokes access tokens only."""


class RevocationMixin(RemoteApp):
    """What an OAuth 2 client can do with a token beside using it."""

    _client: OAuth2Client

    def revoke_token(self, token: Any = None, token_type_hint: str | None = None) -> bool | None:
        """Ask the provider to end a grant: by RFC 7009, or in its own way.

        :param token: a token dictionary, or the text of one; when left out, the current user's, whose stored row is
            marked as revoked then.
        :param token_type_hint: ``access_token`` or ``refresh_token``, for a token given as text.
        :return: ``True`` if the provider did, ``None`` if it offers no way.
        :raises MissingTokenError: if there is no token.
        :raises OAuthError: if the provider refuses or does not answer.
        """
        if token is None:
            token, stored = self._find_token()
            if stored is not None:
                return self._revoke_stored(stored)
        if not token or not (isinstance(token, str) or token.get("access_token") or token.get("refresh_token")):
            raise MissingTokenError(provider=self.name)
        facts = self.preset.revocation if self.preset else RevocationFacts()
        if facts.kind == "request" and self._config.revocation_endpoint is None:
            return self._revoke_by_request(facts, token)
        if self._client.find_endpoint("revocation_endpoint", "revocation_endpoint") is None:
            return None
        if isinstance(token, str):
            self._client.revoke_token(Secret(token), token_type_hint)
            return True
        return self._revoke_pair(token.get("refresh_token"), token.get("access_token"), ends=facts.ends)

    def _revoke_stored(self, stored: StoredToken) -> bool | None:
        vault = self._runtime.vault
        assert vault is not None
        for account in (None, stored.account):
            self._memo().remember_stored(self._memo_key(), stored.user_id, account, None)
        return vault.revoke(stored, lambda row: self.revoke_token(row.token))

    def _revoke_pair(self, refresh_token: str | None, access_token: str | None, *, ends: str) -> bool:
        """Revoke the refresh token, with which the grant goes (RFC 7009 section 2.1), and then the access token."""
        refusal = None
        if refresh_token:
            try:
                self._client.revoke_token(Secret(refresh_token), "refresh_token")
            except TokenRequestError as error:
                refusal = error
            else:
                if access_token and ends != "grant":
                    with suppress(OAuthError):
                        self._client.revoke_token(Secret(access_token), "access_token")
                return True
        if access_token:
            self._client.revoke_token(Secret(access_token), "access_token")
        if refusal is not None and not (access_token and refusal.error in _NOTHING_LEFT):
            raise refusal
        return True

    def _revoke_by_request(self, facts: RevocationFacts, token: Any) -> bool:
        access_token = Secret(token if isinstance(token, str) else token.get("access_token") or "")
        if not access_token:
            raise MissingTokenError(provider=self.name)
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
        check_status(response, self.name)
        if response.status_code >= 400 and response.status_code != 404:
            self._refuse_revocation(response.status_code)
        if facts.success_field and response.status_code < 400:
            self._check_success(facts.success_field, response)
        return True

    def _check_success(self, field: str, response: requests.Response) -> None:
        answer = decode_json(response, self.name)
        answer = answer if isinstance(answer, Mapping) else {}
        if answer.get(field) is not True:
            self._refuse_revocation(clean_text(answer.get("error") or f"without {field}", 100))

    def _refuse_revocation(self, answered: object) -> NoReturn:
        raise TokenRequestError("revocation_failed", f"the provider answered {answered}", provider=self.name)

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
