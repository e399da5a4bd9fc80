"""The memory of one provider. Whoever reads or writes it holds its lock, so a protocol step is one indivisible act."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from .faults import FaultPlan
from .journal import RequestLog, SecretRegister
from .keys import KeyRing
from .models import (
    AccessToken,
    Code,
    DevClient,
    DevUser,
    Grant,
    ProviderSettings,
    RefreshToken,
    TemporaryCredentials,
    TokenCredentials,
)


def new_token() -> str:
    """:return: a random secret of letters and digits, fit for every protocol here."""
    return secrets.token_hex(20)


class ProviderState:
    """Users, clients, grants and tokens, with what is scripted and what was seen.

    :ivar lock: re-entrant; held for the whole of each protocol step.
    :ivar url: the provider's own origin and issuer, known once it listens.
    """

    def __init__(self, settings: ProviderSettings, users: Iterable[DevUser]) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.url = ""
        self.log = RequestLog()
        self.secrets = SecretRegister()
        self.faults = FaultPlan()
        self.keys = KeyRing()
        self.users = {user.username: user for user in users}
        self.clients: dict[str, DevClient] = {}
        self.codes: dict[str, Code] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.request_tokens: dict[str, TemporaryCredentials] = {}
        self.oauth1_tokens: dict[str, TokenCredentials] = {}
        self.consents: dict[tuple[str, str], set[str]] = {}
        self._seen_once: set[tuple[str, ...]] = set()

    def find_user(self, name: str | None) -> DevUser | None:
        """:param name: a user name or a subject."""
        if name in self.users:
            return self.users[name]
        return next((user for user in self.users.values() if user.subject == name), None)

    def picture_url(self, user: DevUser) -> str:
        """:return: the user's own picture, or the avatar that is drawn here."""
        return user.picture or f"{self.url}/avatar/{quote(user.username, safe='')}.svg"

    def use_once(self, *parts: str) -> bool:
        """:return: ``False`` if the same nonce or ``jti`` was used before."""
        with self.lock:
            fresh = parts not in self._seen_once
            self._seen_once.add(parts)
            return fresh

    def find_access_token(self, value: str | None) -> AccessToken | None:
        """:return: the token if it is valid at this moment."""
        token = self.access_tokens.get(value or "")
        if token is None or token.revoked or token.grant.revoked:
            return None
        return None if token.expires_at is not None and token.expires_at <= time.time() else token

    def find_oauth1_token(self, value: str | None) -> TokenCredentials | None:
        """:return: the token if it has not been revoked."""
        token = self.oauth1_tokens.get(value or "")
        return None if token is None or token.revoked else token

    def grants(self, username: str | None) -> Iterator[Grant]:
        """The grants of a user, or all of them; one may come several times."""
        holders = (self.codes, self.access_tokens, self.refresh_tokens)
        for holder in holders:
            for token in holder.values():
                if username is None or token.grant.username == username:
                    yield token.grant

    def revoke_grants(self, username: str | None) -> None:
        """Withdraw every consent of a user, or of all users, in all protocols."""
        with self.lock:
            for grant in self.grants(username):
                grant.revoked = True
            for token in self.oauth1_tokens.values():
                token.revoked = token.revoked or username is None or token.username == username
            for key in [key for key in self.consents if username is None or key[0] == username]:
                del self.consents[key]

    def expire_access_tokens(self, username: str | None) -> None:
        """Let the OAuth 2 access tokens of a user, or of all users, have expired a second ago."""
        with self.lock:
            for token in self.access_tokens.values():
                if username is None or token.grant.username == username:
                    token.expires_at = time.time() - 1
