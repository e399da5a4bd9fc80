"""The pending login: frozen, expiring, bound to browser, provider and purpose; saved once, taken once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Protocol

from .tokens import Secret, TokenDict

APPLICATION = ""
"""The purpose of a flow that the application's own view has started."""
LOGIN = "login"
CONNECT = "connect"
CONNECT_API = "connect_api"
"""Connect an account for its API only: it is no way to log in afterwards."""
RECONNECT = "reconnect"


def new_state() -> str:
    """:return: 256 random bits, base64url; opaque and unrelated to anything else."""
    return secrets.token_urlsafe(32)


def hash_key(*parts: str) -> str:
    """:return: hex SHA-256 over the parts, so that nothing usable stands in a cache or a cookie."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class PendingFlow:
    """What is remembered between the redirect to the provider and the callback.

    :ivar name: of the client.
    :ivar key: :func:`hash_key` of the client, and state (OAuth 2) or request token (OAuth 1).
    :ivar browser: :func:`hash_key` of the browser's own random id, which lives in its session.
    :ivar purpose: :data:`LOGIN`, :data:`CONNECT`, :data:`CONNECT_API`, :data:`RECONNECT` or :data:`APPLICATION`.
    :ivar expires_at: seconds since the epoch.
    :ivar request_token: OAuth 1's temporary credentials.
    :ivar user_id: ``str`` of the id of the user who started it, ``None`` for a stranger.
    :ivar subject: the only subject that may come back, where a certain account was asked for.
    :ivar params: checks that were asked for at the start (``max_age``, ``acr_values``).
    """

    name: str
    key: str
    browser: str
    expires_at: float
    redirect_uri: str | None = None
    purpose: str = APPLICATION
    next_url: str | None = None
    nonce: str | None = field(default=None, repr=False)
    code_verifier: str | None = field(default=None, repr=False)
    request_token: dict[str, Any] | None = field(default=None, repr=False)
    user_id: str | None = None
    subject: str | None = None
    scope: str | None = None
    params: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("nonce", "code_verifier"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, Secret(value))
        if self.request_token is not None:
            object.__setattr__(self, "request_token", TokenDict(self.request_token))

    def dumps(self) -> str:
        """:return: JSON on one line, without what is empty."""
        values = {key: value for key, value in dataclasses.asdict(self).items() if value not in (None, "", {})}
        return json.dumps(values, separators=(",", ":"), default=str)

    @classmethod
    def loads(cls, text: str) -> PendingFlow:
        """:raises ValueError: if this is not what :meth:`dumps` wrote."""
        values = json.loads(text)
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError("not a pending login") from error


class FlowStore(Protocol):
    """Where pending logins wait."""

    def save(self, flow: PendingFlow) -> None:
        """:raises StorageUnavailable: if it cannot be remembered; a redirect that cannot finish is never sent."""
        ...

    def take(self, key: str) -> PendingFlow | None:
        """Exactly one of all callers gets the flow. Expiry and binding are the caller's to check."""
        ...
