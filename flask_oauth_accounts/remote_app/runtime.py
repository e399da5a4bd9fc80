"""What an application lends its clients, as plain values."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..clients.base import AllowHttp, ClientConfig
from ..clients.transport import Transport
from ..config import Settings
from ..flow import PendingFlow
from ..identity import UserInfo
from ..protocols import Clock
from ..tokens import StoredToken, TokenDict
from ..vault.refresh import Vault


class Source(Enum):
    """Where a token comes from."""

    VAULT = "vault"
    APPLICATION = "application"
    """The application's own store."""
    CALL = "call"
    """It was given with the call or obtained in this request."""


@dataclass(frozen=True)
class Runtime:
    """What one application lends its clients.

    :ivar flows: gives the store of pending logins for the current request.
    :ivar session: gives the browser's session.
    :ivar current_user_id: the id of the user who is logged in, ``None`` where nobody is or nothing is known of users.
    :ivar identify: the primary key of a user, of a proxy of one or of a key in another form; ``None`` for what is
        none.
    :ivar vault: stored tokens; ``None`` for a registry without accounts.
    :ivar reauthorize_url: where to send a user whose grant is dead.
    """

    settings: Settings
    flows: Callable[[], Any]
    session: Callable[[], Any]
    current_user_id: Callable[[], Any]
    allow_http: AllowHttp
    identify: Callable[[Any], Any] = field(default=lambda user_or_id: user_or_id)
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
class Binding:
    """The user and account a client speaks for, where it is not the current user."""

    user_id: Any
    account: str | None = None


def create_transport(config: ClientConfig, runtime: Runtime) -> Transport:
    """Build the connections of one client, with its own limits where it has any."""
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


def same_text(left: str, right: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
