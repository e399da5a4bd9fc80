"""Renewing tokens that the application keeps itself: once for all threads of a process that meet the same one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from ..flow import hash_key
from ..protocols import Clock
from ..tokens import TokenDict
from ..vault.flights import copy_error
from .forks import ForkSafe
from .recent import Recent


def fingerprint(token: Mapping[str, Any]) -> str:
    """:return: what tells one token from all others, and from itself before it was renewed."""
    return hash_key(str(token.get("access_token")), str(token.get("refresh_token")))


class OwnRefresher(ForkSafe):
    """Renews a token, or tells what it was renewed to a moment ago.

    A thread may have read its row before another one refreshed it, and its database session may go on showing it the
    old row. Asked with the old refresh token again, a provider that detects reuse would end the grant.

    :param clock: seconds since the epoch.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._renewed: Recent[TokenDict] = Recent(clock)

    def _renew(self) -> None:
        self._guard = threading.Lock()
        self._flights: dict[str, Future[TokenDict]] = {}

    def __repr__(self) -> str:
        return "<OwnRefresher>"

    def find(self, token: Mapping[str, Any]) -> TokenDict | None:
        """:return: what the token was renewed to less than a minute ago."""
        return self._renewed.find(fingerprint(token))

    def renew(self, token: TokenDict, ask: Callable[[TokenDict], TokenDict]) -> TokenDict:
        """Renew a token, or wait for the thread that does it already and share its outcome.

        :param token: with a refresh token.
        :param ask: asks the provider and stores the answer.
        :return: the renewed token.
        :raises OAuthError: whatever ``ask`` raises.
        """
        key = fingerprint(token)
        while True:
            mine: Future[TokenDict] = Future()
            with self._guard:
                known = self._renewed.find(key)
                if known is not None:
                    return known
                flight = self._flights.setdefault(key, mine)
            if flight is mine:
                return self._lead(key, mine, token, ask)
            error = flight.exception()
            if error is None:
                return flight.result()
            if isinstance(error, Exception):  # else that thread was broken off, and this one tries itself
                raise copy_error(error) from error

    def _lead(
        self, key: str, flight: Future[TokenDict], token: TokenDict, ask: Callable[[TokenDict], TokenDict]
    ) -> TokenDict:
        try:
            renewed = ask(token)
            self._renewed.put(key, renewed)
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(renewed)
            return renewed
        finally:
            with self._guard:
                self._flights.pop(key, None)


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
