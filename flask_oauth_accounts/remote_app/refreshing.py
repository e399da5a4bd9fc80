"""Renewing tokens that the application keeps itself: once for all threads of a process that meet the same one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..flow import hash_key
from ..protocols import Clock
from ..tokens import TokenDict
from .forks import ForkSafe
from .recent import Recent


def fingerprint(token: Mapping[str, Any]) -> str:
    """:return: what tells one token from all others, and from itself before it was renewed."""
    return hash_key(str(token.get("access_token")), str(token.get("refresh_token")))


class OwnRefresher:
    """Renews a token, or tells what it was renewed to a moment ago.

    A thread may have read its row before another one refreshed it, and its database session may go on showing it the
    old row. Asked with the old refresh token again, a provider that detects reuse would end the grant.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Clock) -> None:
        self._locks = _KeyedLocks()
        self._renewed: Recent[TokenDict] = Recent(clock)

    def __repr__(self) -> str:
        return "<OwnRefresher>"

    def find(self, token: Mapping[str, Any]) -> TokenDict | None:
        """:return: what the token was renewed to less than a minute ago."""
        return self._renewed.find(fingerprint(token))

    def renew(self, token: TokenDict, ask: Callable[[TokenDict], TokenDict]) -> TokenDict:
        """Renew a token.

        :param token: with a refresh token.
        :param ask: asks the provider and stores the answer.
        :return: the renewed token.
        :raises OAuthError: whatever ``ask`` raises.
        """
        key = fingerprint(token)
        with self._locks.hold(key):
            known = self._renewed.find(key)
            if known is not None:
                return known
            renewed = ask(token)
            self._renewed.put(key, renewed)
            return renewed


class Refusals:
    """Which addresses have refused even a token that had just been renewed for them.

    An API that answers 401 where it means "not for you" would otherwise cost a refresh at each call, and a provider
    that limits those would end up refusing them all.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Clock) -> None:
        self._refused: Recent[bool] = Recent(clock)

    def __repr__(self) -> str:
        return "<Refusals>"

    def remember(self, token: Mapping[str, Any], url: str) -> None:
        """A renewed token was refused.

        :param token: the renewed one.
        :param url: of the request; its query does not count.
        """
        self._refused.put(_refusal_key(token, url), True)

    def knows(self, token: Mapping[str, Any], url: str) -> bool:
        """:return: whether to renew this token again is of no use there."""
        return self._refused.find(_refusal_key(token, url)) is not None


def _refusal_key(token: Mapping[str, Any], url: str) -> str:
    return hash_key(fingerprint(token), url.partition("?")[0])


class _KeyedLocks(ForkSafe):
    """One lock for each key in use."""

    def _renew(self) -> None:
        self._guard = threading.Lock()
        self._entries: dict[str, tuple[threading.Lock, list[int]]] = {}

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        with self._guard:
            lock, users = self._entries.setdefault(key, (threading.Lock(), [0]))
            users[0] += 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                users[0] -= 1
                if not users[0]:
                    self._entries.pop(key, None)
