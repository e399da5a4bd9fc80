"""Sessions that a provider has ended through the back channel (OpenID Connect Back-Channel Logout 1.0).

The provider's request comes from a machine and not from the browser, so the session cannot be emptied there. What is
kept is when which subject or session of the provider was logged out; a session that began before is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import StorageUnavailable
from ..flow import hash_key

KEPT = 31 * 86400
"""Seconds that a logout is remembered: as long as Flask's permanent sessions live by default."""

LEEWAY = 60
"""Seconds that the clocks of provider and application may differ."""


class SessionRevocations:
    """Which sessions are over, in the cache that all workers share.

    :param find_cache: gives the cache, ``None`` where there is none.
    """

    def __init__(self, find_cache: Callable[[], Any], *, clock: Callable[[], float] = time.time) -> None:
        self._find_cache = find_cache
        self._clock = clock

    def revoke(self, name: str, claims: Mapping[str, Any]) -> None:
        """End the sessions that a logout token names.

        :param name: of the client.
        :param claims: of the validated logout token; ``sid`` ends one session, ``sub`` alone all of that subject.
        :raises StorageUnavailable: if there is no cache, or it does not take it.
        """
        cache = self._find_cache()
        if cache is None:
            raise StorageUnavailable(description="back-channel logout needs a cache that all workers share")
        key = _key(name, "sid", claims["sid"]) if claims.get("sid") else _key(name, "sub", str(claims.get("sub")))
        # What counts is when the provider said so: the same token sent again must not end a session that began since.
        now = self._clock()
        issued_at = claims.get("iat")
        ended = min(now, issued_at + LEEWAY) if isinstance(issued_at, (int, float)) else now
        try:
            # An older token may arrive after a newer one; it revives nothing.
            stored = cache.set(key, repr(max(float(ended), float(cache.get(key) or 0))), KEPT)
        except Exception as error:
            raise StorageUnavailable(description=f"the cache failed: {type(error).__name__}") from error
        if stored is False:
            raise StorageUnavailable(description="the cache did not keep a back-channel logout")

    def is_revoked(self, name: str, account: str, sid: str | None, began_at: float) -> bool:
        """Whether a session is over.

        :param name: of the client that began it.
        :param account: the subject.
        :param sid: the provider's session id, where it gave one.
        :param began_at: seconds since the epoch.
        """
        cache = self._find_cache()
        if cache is None:
            return False
        for kind, value in (("sub", account), ("sid", sid)):
            ended = cache.get(_key(name, kind, value)) if value else None
            if ended is not None and float(ended) >= began_at:
                return True
        return False


def _key(name: str, kind: str, value: str) -> str:
    return f"oauth_accounts-logout-{hash_key(name, kind, value)[:32]}"
