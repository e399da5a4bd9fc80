"""Renewing tokens that the application keeps itself: once for all threads of a process that meet the same one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..flow import hash_key
from ..protocols import Clock
from ..tokens import TokenDict

KEPT = 60.0
"""Seconds that the outcome of a refresh is known to threads that still hold the old token."""

_MOST = 1000


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
        self._clock = clock
        self._locks = _KeyedLocks()
        self._guard = threading.Lock()
        self._renewed: dict[str, tuple[float, TokenDict]] = {}

    def __repr__(self) -> str:
        return "<OwnRefresher>"

    def renew(self, token: TokenDict, ask: Callable[[TokenDict], TokenDict]) -> TokenDict:
        """Renew a token.

        :param token: with a refresh token.
        :param ask: asks the provider and stores the answer.
        :return: the renewed token.
        :raises OAuthError: whatever ``ask`` raises.
        """
        key = fingerprint(token)
        with self._locks.hold(key):
            known = self._find(key)
            if known is not None:
                return known
            renewed = ask(token)
            self._keep(key, renewed)
            return renewed

    def _find(self, key: str) -> TokenDict | None:
        until, token = self._renewed.get(key, (0.0, None))
        return token if until > self._clock() else None

    def _keep(self, key: str, token: TokenDict) -> None:
        now = self._clock()
        with self._guard:
            fresh = {old: entry for old, entry in self._renewed.items() if entry[0] > now}
            for old in list(fresh)[: len(fresh) - _MOST + 1]:
                del fresh[old]
            self._renewed = {**fresh, key: (now + KEPT, token)}


class _KeyedLocks:
    """One lock for each key in use."""

    def __init__(self) -> None:
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
