"""requests-oauthlib's sessions, one for each call, with this package's transport and hooks.

A session is never shared or reused: it holds one token, and replacing the token of a session leaves parts of the old
one behind. What is shared is the transport's connection pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import requests
from oauthlib.oauth1 import SIGNATURE_TYPE_AUTH_HEADER, SIGNATURE_TYPE_BODY
from oauthlib.oauth2.rfc6749.tokens import prepare_bearer_body, prepare_bearer_uri
from requests.structures import CaseInsensitiveDict
from requests_oauthlib import OAuth1Session, OAuth2Session

from ..errors import ConfigurationError
from ..tokens import Secret
from .signing import SigningClient
from .transport import PooledSession, Transport

Hook = Callable[..., Any]

HOOKS = (
    "access_token_request",
    "access_token_response",
    "refresh_token_request",
    "refresh_token_response",
    "protected_request",
    "revoke_token_request",
    "introspect_token_request",
)


class _Hooks:
    """Compliance hooks by type, in the order in which they were registered."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[Hook]] = {}

    def add(self, kind: str, hook: Hook) -> None:
        if kind not in HOOKS:
            raise ConfigurationError(f"there is no compliance hook {kind!r}; known are {', '.join(HOOKS)}")
        self._hooks.setdefault(kind, []).append(hook)

    def request(self, kind: str, url: str, headers: Mapping[str, str], data: Any) -> tuple[str, Any, Any]:
        headers = CaseInsensitiveDict(headers)
        for hook in self._hooks.get(kind, ()):
            url, headers, data = hook(url, headers, data)
        return url, headers, data

    def response(self, kind: str, response: requests.Response) -> requests.Response:
        for hook in self._hooks.get(kind, ()):
            response = hook(response) or response
        return response


class OAuth2ClientSession(OAuth2Session, PooledSession):
    """An OAuth 2 session for one call.

    :param transport: the client's connections.
    :param client_id: of this client.
    :param access_token: the Bearer token, or ``None`` to send none.
    :param placement: where the token goes (RFC 6750 section 2): ``header``, ``uri`` or ``body``.
    """

    def __init__(
        self,
        transport: Transport,
        client_id: str | None,
        access_token: str | None = None,
        placement: str = "header",
    ) -> None:
        token = {"access_token": access_token, "token_type": "Bearer"} if access_token else None
        super().__init__(client_id, token=token)
        self.hooks_by_type = _Hooks()
        self._access_token = access_token
        self._placement = placement
        transport.prepare(self)

    def register_compliance_hook(self, hook_type: str, hook: Hook) -> None:
        """Add a hook; ``protected_request(url, headers, data)`` sees the token already placed.

        :raises ConfigurationError: for an unknown type.
        """
        self.hooks_by_type.add(hook_type, hook)

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send without requests-oauthlib's own handling of tokens; the token is added by :meth:`prepare_request`."""
        return requests.Session.request(self, method, url, *args, **kwargs)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Add the token where the provider wants it (RFC 6750 section 2), then let the hooks see what will be sent.

        A call with an ``auth`` of its own goes without the token.
        """
        prepared = super().prepare_request(request)
        if self._access_token is None or request.auth is not None:
            return prepared
        url, headers, data = str(prepared.url), _read_headers(prepared), prepared.body
        # Secret, for a hook may raise, and its local variables end up in error reports.
        if self._placement == "uri":
            url = Secret(prepare_bearer_uri(self._access_token, url))
        elif self._placement == "body":
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
            text = data.decode() if isinstance(data, bytes) else data
            data = Secret(prepare_bearer_body(self._access_token, text or ""))
        else:
            headers["Authorization"] = Secret(f"Bearer {self._access_token}")
        return _apply(prepared, *self.hooks_by_type.request("protected_request", url, headers, data))


class OAuth1ClientSession(OAuth1Session, PooledSession):
    """An OAuth 1 session for one call; knows the hooks that requests-oauthlib's own does not have.

    :param transport: the client's connections.
    :param client_key: this client's id.
    :param signing: keywords of :class:`requests_oauthlib.OAuth1`.
    :ivar signs: whether requests are signed and seen by hooks.
    :ivar asks_for_token: whether ``access_token_request`` sees them too.
    """

    def __init__(self, transport: Transport, client_key: str, **signing: Any) -> None:
        super().__init__(client_key, client_class=SigningClient, **signing)
        self.signs = True
        self.asks_for_token = False
        self.hooks_by_type = _Hooks()
        transport.prepare(self)

    def register_compliance_hook(self, hook_type: str, hook: Hook) -> None:
        """Add a hook; ``protected_request(url, headers, data)`` and ``access_token_request`` see the signed request.

        :raises ConfigurationError: for an unknown type.
        """
        self.hooks_by_type.add(hook_type, hook)

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """Sign, then let the hooks see what will be sent."""
        if not self.signs:
            request.auth = request.auth or _leave_unsigned  # or requests would take the session's
            return super().prepare_request(request)
        if _is_stream(request.data) and _content_type(request) is None:
            # Without a type, oauthlib would read the stream to see whether it is a form.
            request.headers = {**request.headers, "Content-Type": "application/octet-stream"}
        client = self.auth.client
        if client.signature_type == SIGNATURE_TYPE_BODY and not _carries_form(request):
            client.signature_type = SIGNATURE_TYPE_AUTH_HEADER
        prepared = super().prepare_request(request)
        sent = self.hooks_by_type.request(
            "protected_request", str(prepared.url), _read_headers(prepared), prepared.body
        )
        if self.asks_for_token:
            sent = self.hooks_by_type.request("access_token_request", *sent)
        return _apply(prepared, *sent)


def _leave_unsigned(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared


def _read_headers(prepared: requests.PreparedRequest) -> dict[str, str]:
    return {_as_text(name): _as_text(value) for name, value in prepared.headers.items()}


def _apply(
    prepared: requests.PreparedRequest, url: str, headers: Mapping[str, str], data: Any
) -> requests.PreparedRequest:
    prepared.url = url
    prepared.headers.clear()
    prepared.headers.update(headers)
    if data is not prepared.body:
        prepared.prepare_body(data, None)
    return prepared


def _carries_form(request: requests.Request) -> bool:
    """Whether a signature may stand in the body: only in a form (RFC 5849 section 3.5.2)."""
    if str(request.method).upper() in ("GET", "HEAD") or request.json is not None or request.files:
        return False
    kind = _content_type(request)
    if kind is not None:
        return "application/x-www-form-urlencoded" in str(kind)
    return not request.data or isinstance(request.data, (dict, list, tuple))


def _is_stream(data: Any) -> bool:
    return data is not None and not isinstance(data, (str, bytes, bytearray, dict, list, tuple))


def _content_type(request: requests.Request) -> Any:
    return next((value for name, value in (request.headers or {}).items() if name.lower() == "content-type"), None)


def _as_text(value: str | bytes) -> str:
    """requests-oauthlib leaves the signed header in bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else value
