"""What one request has learnt about tokens, so that a second call costs no look-up.

It is keyed by client *and* user: a switch of user within one request or one app context never shows another's token.
"""

from __future__ import annotations

from typing import Any

from flask import g, has_app_context, has_request_context, request

from ..tokens import StoredToken, TokenDict

_ATTRIBUTE = "_oauth_accounts_memo"
_MISSING = object()


class Memo:
    """The tokens of one request; its ``repr`` shows none."""

    def __init__(self) -> None:
        self._obtained: dict[Any, tuple[Any, Any]] = {}
        self._services: dict[Any, TokenDict] = {}
        self._fetched: dict[Any, TokenDict] = {}
        self._renewed: dict[Any, TokenDict] = {}
        self._stored: dict[Any, StoredToken] = {}

    def __repr__(self) -> str:
        return "<Memo>"

    def remember_obtained(self, key: Any, token: Any, user_id: Any) -> None:
        """Keep a token that was obtained in this request; ``None`` forgets it."""
        if token is None:
            self._obtained.pop(key, None)
            self._services.pop(key, None)
        else:
            self._obtained[key] = (token, user_id)

    def find_obtained(self, key: Any, user_id: Any) -> Any:
        """The token, if it was obtained by this user, or by a stranger who has become this user since."""
        token, owner = self._obtained.get(key, (None, _MISSING))
        if owner is None and user_id is not None:
            self._obtained[key] = (token, user_id)
            return token
        return token if owner == user_id and token is not None else None

    def remember_service(self, key: Any, token: TokenDict) -> None:
        """Keep a token that speaks for the client itself and for no user."""
        self._services[key] = token

    def find_service(self, key: Any) -> TokenDict | None:
        """The token that speaks for the client itself."""
        return self._services.get(key)

    def remember_fetched(self, key: Any, user_id: Any, token: TokenDict) -> None:
        """Keep what the application's ``fetch_token`` gave for this user."""
        self._fetched[key, user_id] = token

    def find_fetched(self, key: Any, user_id: Any) -> TokenDict | None:
        """What ``fetch_token`` gave for this user before."""
        return self._fetched.get((key, user_id))

    def remember_renewed(self, key: Any, old: str, token: TokenDict) -> None:
        """Keep what replaced a token in this request.

        :param old: the fingerprint of the replaced token: where no user is known, it tells whose token this is.
        """
        self._renewed[key, old] = token

    def find_renewed(self, key: Any, old: str) -> TokenDict | None:
        """What replaced that token in this request."""
        return self._renewed.get((key, old))

    def remember_stored(self, key: Any, user_id: Any, account: str | None, stored: StoredToken | None) -> None:
        """Keep a row of the vault; ``None`` forgets it."""
        if stored is None:
            self._stored.pop((key, user_id, account), None)
        else:
            self._stored[key, user_id, account] = stored

    def find_stored(self, key: Any, user_id: Any, account: str | None) -> StoredToken | None:
        """The row that was read before."""
        return self._stored.get((key, user_id, account))


def current_memo() -> Memo:
    """The memo of the current request, else of the app context, else a new one that nobody keeps."""
    holder: Any
    if has_request_context():
        holder = request._get_current_object()  # type: ignore[attr-defined]
    elif has_app_context():
        holder = g
    else:
        return Memo()
    memo = getattr(holder, _ATTRIBUTE, None)
    if memo is None:
        memo = Memo()
        setattr(holder, _ATTRIBUTE, memo)
    return memo
