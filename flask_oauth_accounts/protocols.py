"""The ports: what the domain asks of caches, clocks and stores. Adapters live in ``storage`` and at the edge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from .identity import Identity
from .tokens import Protocol as TokenProtocol
from .tokens import StoredToken, TokenDict

Clock = Callable[[], float]
"""Seconds since the epoch, as :func:`time.time`."""


@runtime_checkable
class Cache(Protocol):
    """What the registry accepts as a cache; ``delete`` and ``add`` are used where they are there."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: str, seconds: int, /) -> Any: ...


class Sealer(Protocol):
    """Authenticated encryption of one value, bound to its place."""

    def seal(self, plaintext: str, context: str) -> str:
        """:param context: where the value lives; the same text is needed to open it."""
        ...

    def unseal(self, sealed: str, context: str) -> str:
        """:raises SealedValueError: if the key is gone or the value was changed or moved."""
        ...

    def key_id(self, sealed: str) -> str | None:
        """The id of the key that sealed the value, ``None`` for what is not a sealed value."""
        ...


class TokenStore(Protocol):
    """Stored tokens. Every method is one short transaction of its own; no method keeps one open."""

    def load(
        self, user_id: Any, name: str, account: str | None = None, *, protocol: TokenProtocol
    ) -> StoredToken | None:
        """:param account: ``None`` for the one last logged in with, where there are several."""
        ...

    def reload(self, stored: StoredToken) -> StoredToken | None:
        """The same row as it is now, past any snapshot; ``None`` if it is gone."""
        ...

    def save(
        self,
        user_id: Any,
        name: str,
        token: Mapping[str, Any],
        account: str = "",
        *,
        protocol: TokenProtocol,
        identity_id: Any = None,
        requested_scope: str | None = None,
        now: float,
    ) -> StoredToken:
        """Insert or replace; a new consent clears status, lease and back-off."""
        ...

    def claim(self, stored: StoredToken, *, owner: str, now: float, lease: float) -> StoredToken | None:
        """Take the right to refresh this very version for ``lease`` seconds; ``None`` if somebody was faster.

        :raises StorageBusy: if another transaction holds the row; nobody waits for it here.
        """
        ...

    def commit_refresh(self, stored: StoredToken, *, owner: str, token: TokenDict, now: float) -> StoredToken | None:
        """Write the refreshed token if the row still has this version; ``None`` if it was rewritten or is gone.

        The fence is the version, not the lease: an answer that comes after the lease has run out is still the
        newest grant, as long as nobody else wrote.

        :raises StorageBusy: if another transaction holds the row for longer than a moment.
        """
        ...

    def when_settled(self, action: Callable[[], object]) -> None:
        """Call an action once nobody can undo any more what this context has written; at once where nobody can now.

        It is not called where what was written is lost.
        """
        ...

    def release(self, stored: StoredToken, *, owner: str, error: str, retry_at: float | None, failures: int) -> None:
        """Give the claim back after a failure that passes."""
        ...

    def mark_reauth_required(self, stored: StoredToken, *, error: str) -> bool:
        """Keep the row, but only a new consent revives it; ``False`` if the version has moved on.

        A row that does not open keeps its version and its secrets, and is active again where it opens again;
        ``False`` if it was marked already.
        """
        ...

    def mark_revoked(self, stored: StoredToken, *, error: str | None = None) -> bool:
        """Keep the row without its secrets; ``False`` if the version has moved on."""
        ...


@dataclass(frozen=True)
class IdentityRecord:
    """One row of ``oauth_identity`` as a value."""

    id: Any
    user_id: Any
    identity: Identity
    can_log_in: bool
    created_at: float | None = None
    last_login_at: float | None = None

    @property
    def name(self) -> str:
        """Of the client; a record reads like the identity it holds, for hooks that call it one."""
        return self.identity.name

    @property
    def issuer(self) -> str:
        """Of the identity."""
        return self.identity.issuer

    @property
    def subject(self) -> str:
        """Of the identity."""
        return self.identity.subject

    @property
    def email(self) -> str | None:
        """Of the identity."""
        return self.identity.email

    @property
    def email_verified(self) -> bool | None:
        """Of the identity."""
        return self.identity.email_verified

    @property
    def username(self) -> str | None:
        """Of the identity."""
        return self.identity.username

    @property
    def login_key(self) -> str | None:
        """As the row has it: ``None`` where nobody can log in with it."""
        return self.identity.login_key if self.can_log_in else None


class IdentityStore(Protocol):
    """Identities and the users behind them."""

    def find(self, identity: Identity) -> IdentityRecord | None:
        """The row by which this identity logs in: of the client it names, else of another one of the same user."""
        ...

    def find_connection(self, user_id: Any, name: str, subject: str) -> IdentityRecord | None: ...

    def list_for_user(self, user_id: Any) -> Sequence[IdentityRecord]: ...

    def email_is_taken(self, email: str) -> bool:
        """By the user model's ``email`` or by a verified e-mail of an identity, compared without case."""
        ...

    def owns_email(self, user_id: Any, email: str) -> bool:
        """Whether this user is one of those by whom the address is taken."""
        ...


@dataclass(frozen=True)
class Event:
    """One row of ``oauth_event``: who, what, outcome, error code. No secret, ever."""

    kind: str
    outcome: str
    name: str = ""
    user_id: Any = None
    identity_id: Any = None
    account: str = ""
    error: str | None = None


class EventSink(Protocol):
    def record(self, event: Event) -> None: ...


class ConcurrentLogin(Exception):
    """Somebody else wrote the same identity or user in between; nothing was written. Read again and decide anew."""


class AccountStore(IdentityStore, EventSink, Protocol):
    """What the account service asks of its store. Every method is one short transaction of its own."""

    def record_login(
        self,
        identity: Identity,
        *,
        protocol: TokenProtocol,
        token: Mapping[str, Any],
        requested_scope: str | None,
        kind: str,
        user_id: Any = None,
        new_user: Any = None,
        record: IdentityRecord | None = None,
        can_log_in: bool = True,
        now: float,
    ) -> tuple[IdentityRecord, Any]:
        """Write user, identity, token and event, all or nothing.

        :param kind: of the event: ``login``, ``signup``, ``connect`` or ``reconnect``.
        :param user_id: the owner; left out where ``new_user`` is given.
        :param new_user: an instance of the user model that is in no session yet.
        :param record: the row to bring up to date, identity and issuer included; a new one is inserted when left out.
            A row of another client, by which the same account logs in, gets a row of this client beside it.
        :param can_log_in: ``False`` leaves ``login_key`` empty: a connection for its API only.
        :return: the row as written, and the owner's id.
        :raises ConcurrentLogin: if a unique key of identity or user stands in the way.
        """
        ...

    def delete_identity(self, identity_id: Any, user_id: Any, *, event: Event, keep_a_login: bool = False) -> bool:
        """Delete the row, its tokens with it, and record the event; ``False`` if this user has no such row.

        :param keep_a_login: delete a row that can log in only if another one of this user remains.
        :raises LastLoginMethodError: if none would remain, also where several are being deleted at this moment.
        """
        ...

    def mark_revoked(self, stored: StoredToken, *, error: str | None = None) -> bool:
        """Keep the row without its secrets; ``False`` if the version has moved on."""
        ...

    def tokens_for_identity(self, identity_id: Any) -> Sequence[StoredToken]: ...

    def tokens_for_user(self, user_id: Any) -> Sequence[StoredToken]:
        """All tokens of the user, those without an identity too."""
        ...

    def delete_for_user(self, user_id: Any, *, event: Event) -> int:
        """Delete all identities and tokens of the user and record the event; the number of rows deleted."""
        ...

    def find_verified_user(self, email: str) -> Any | None:
        """The id of the one user whose own address this is and is marked as verified, compared without case."""
        ...

    def user_value_is_free(self, attribute: str, value: str) -> bool:
        """Whether no user has this value in that attribute, as the database compares."""
        ...
