"""Calls of the provider's API with the right token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from ..errors import ConfigurationError, MissingTokenError, UntrustedHostError
from ..tokens import StoredToken, TokenDict
from .holding import TokenHolder

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class ApiCalls(TokenHolder):
    """A client that calls the provider's API."""

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
        if response.status_code == 401 and method in _IDEMPOTENT and _can_be_sent_again(requests_kwargs):
            renewed = self._renew_rejected(usable, stored, target)
            if renewed is not None:
                response.close()
                response = self._send(method, target, renewed, headers=headers, **requests_kwargs)
                if response.status_code == 401:
                    self._note_refusal(renewed, target)
        return response

    def resolve_url(self, url: str) -> str:
        """Join a relative address to ``api_base_url``; a blank within it is sent as ``%20``.

        :raises UntrustedHostError: for an address that a browser and :func:`~urllib.parse.urljoin` read differently.
        """
        if not isinstance(url, str) or url.strip() != url or any(ord(char) < 32 or char == "\\" for char in url):
            raise UntrustedHostError(
                description="the address holds a control character or backslash, or a blank at its end",
                provider=self.name,
            )
        try:
            joined = urljoin(self._config.api_base_url or "", url.replace(" ", "%20"))
            parts = urlsplit(joined)
            if "%20" in parts.netloc:
                raise ValueError("a blank in the host name")
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

    def _renew_rejected(self, token: TokenDict, stored: StoredToken | None, url: str) -> TokenDict | None:
        """Renew a token that an address has refused.

        :return: ``None`` if that is not possible, or of no use there.
        """
        return None

    def _note_refusal(self, renewed: TokenDict, url: str) -> None:
        """Keep in mind that an address has refused a token that was renewed for it."""


def _can_be_sent_again(requests_kwargs: Mapping[str, Any]) -> bool:
    """Whether the body is a value; a file or an iterator has been read once it is sent."""
    data = requests_kwargs.get("data")
    is_value = data is None or isinstance(data, (str, bytes, dict, list, tuple))
    return is_value and not requests_kwargs.get("files")
