"""What the provider knows: users, clients, grants and tokens, as plain values."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class DevUser:
    """Somebody who can log in at the provider.

    :ivar subject: the stable id, ``sub`` and ``id`` in answers; never the user name.
    :ivar username: what the consent page and :meth:`DevProvider.authorize` choose by.
    :ivar email: ``None`` for a user without e-mail.
    :ivar email_verified: ``None`` leaves the claim out.
    :ivar picture: an address; an avatar drawn by the provider when ``None``.
    :ivar password: for the grant ``password`` (RFC 6749 section 4.3).
    :ivar claims: further claims, added to userinfo and ID tokens as they are.
    """

    subject: str
    username: str
    email: str | None = None
    email_verified: bool | None = None
    name: str | None = None
    picture: str | None = None
    password: str = field(default="correct horse", repr=False)
    claims: Mapping[str, Any] = field(default_factory=dict)

    @property
    def display_name(self) -> str:
        """The name, else the user name."""
        return self.name or self.username


def default_users() -> tuple[DevUser, ...]:
    """:return: alice (verified e-mail), bob (unverified e-mail) and carol (no e-mail)."""
    return (
        DevUser("dev-1001", "alice", "alice@example.com", email_verified=True, name="Alice Ardent"),
        DevUser("dev-1002", "bob", "bob@example.com", email_verified=False, name="Bob Builder"),
        DevUser("dev-1003", "carol", name="Carol Cipher"),
    )


DEV_KEY = "dev"
"""Stands for the public key of this process's clients, which is not generated before somebody needs it."""


@dataclass(frozen=True)
class DevClient:
    """An application registered at the provider (RFC 6749 section 2).

    :ivar client_secret: ``None`` for a public client.
    :ivar redirect_uris: compared as whole strings.
    :ivar any_loopback_redirect: whether any address on a loopback host will do as well.
    :ivar auth_methods: the only ways to authenticate that are accepted; all it has keys for when ``None``.
    :ivar grant_types: the only grants it may use; all when ``None``.
    :ivar public_key: PEM, for ``private_key_jwt`` and OAuth 1's RSA signatures; :data:`DEV_KEY` for the one whose
        private half is ``DevProvider.client_private_key``.
    :ivar backchannel_logout_uri: where logout tokens are posted to.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    name: str = "Demo application"
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    any_loopback_redirect: bool = False
    auth_methods: tuple[str, ...] | None = None
    grant_types: tuple[str, ...] | None = None
    public_key: str | None = field(default=None, repr=False)
    backchannel_logout_uri: str | None = None

    @property
    def is_public(self) -> bool:
        """Whether it has nothing to authenticate with."""
        return self.client_secret is None and self.public_key is None

    def allows_redirect(self, uri: str) -> bool:
        """Whether the browser may be sent there with a code or an error."""
        return uri in self.redirect_uris or (self.any_loopback_redirect and is_loopback_url(uri))

    def allows_post_logout_redirect(self, uri: str) -> bool:
        """Whether the browser may be sent there after a logout."""
        return uri in self.post_logout_redirect_uris or (self.any_loopback_redirect and is_loopback_url(uri))


def is_loopback_host(host: str | None) -> bool:
    """:return: whether a host name or address never leaves this machine."""
    if not host:
        return False
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_url(uri: str) -> bool:
    """:return: whether this is an absolute web address on a loopback host, without user name and fragment."""
    if not uri.isprintable() or "\\" in uri or " " in uri:
        return False
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return False
    plain = "@" not in parts.netloc and "#" not in uri
    return parts.scheme in {"http", "https"} and plain and is_loopback_host(parts.hostname)


@dataclass
class Grant:
    """One consent of one user to one client; the family that all its tokens belong to."""

    client_id: str
    scope: tuple[str, ...]
    username: str | None = None
    nonce: str | None = field(default=None, repr=False)
    auth_time: int | None = None
    sid: str = field(default_factory=lambda: secrets.token_hex(8))
    revoked: bool = False


@dataclass
class Code:
    """An authorization code (RFC 6749 section 4.1.2) with its PKCE challenge (RFC 7636)."""

    grant: Grant
    redirect_uri: str
    challenge: str | None
    challenge_method: str | None
    expires_at: float
    used: bool = False


@dataclass
class AccessToken:
    """An access token; ``expires_at`` in seconds since the epoch, ``None`` for never."""

    grant: Grant
    scope: tuple[str, ...]
    issued_at: float
    expires_at: float | None
    revoked: bool = False


@dataclass
class RefreshToken:
    """A refresh token and, once it was exchanged, the answer that replaced it."""

    grant: Grant
    expires_at: float | None
    rotated_at: float | None = None
    successor: dict[str, Any] | None = field(default=None, repr=False)


@dataclass
class TemporaryCredentials:
    """OAuth 1: a request token on its way to consent (RFC 5849 section 2.1)."""

    client_id: str
    secret: str = field(repr=False)
    callback: str
    username: str | None = None
    verifier: str | None = field(default=None, repr=False)


@dataclass
class TokenCredentials:
    """OAuth 1: an access token (RFC 5849 section 2.3)."""

    client_id: str
    secret: str = field(repr=False)
    username: str
    revoked: bool = False


@dataclass
class ProviderSettings:
    """How the provider behaves; may be changed while it runs. All times are seconds.

    :ivar access_token_lifetime: ``None`` leaves ``expires_in`` out of answers, and tokens live for ever.
    :ivar refresh_token_lifetime: ``None`` for ever.
    :ivar rotate_refresh_tokens: each refresh gives a new refresh token and ends the old one.
    :ivar reuse_detection: a refresh token that was exchanged already revokes its whole grant (RFC 9700 section 4.14.2).
    :ivar rotation_grace: so long after an exchange the old refresh token gets the very same answer again.
    :ivar token_delay: the token endpoint does its work, then waits so long before it answers.
    :ivar code_lifetime: of authorization codes.
    :ivar id_token_lifetime: of ID tokens.
    :ivar require_pkce: refuse authorization requests without ``code_challenge``; public clients always need it.
    :ivar granted_scope: consent covers no more than these; everything asked for when ``None``.
    :ivar issue_refresh_tokens: whether codes and passwords give a refresh token.
    :ivar id_token_on_refresh: whether a refresh gives a new ID token (OpenID Connect Core section 12.2).
    :ivar iss_in_callback: RFC 9207.
    :ivar signing_alg: of ID and logout tokens, ``RS256`` or ``ES256``.
    """

    access_token_lifetime: float | None = 3600
    refresh_token_lifetime: float | None = None
    rotate_refresh_tokens: bool = True
    reuse_detection: bool = True
    rotation_grace: float = 0.0
    token_delay: float = 0.0
    code_lifetime: float = 60.0
    id_token_lifetime: float = 600.0
    require_pkce: bool = False
    granted_scope: Collection[str] | None = None
    issue_refresh_tokens: bool = True
    id_token_on_refresh: bool = True
    iss_in_callback: bool = True
    signing_alg: str = "RS256"
