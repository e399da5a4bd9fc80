"""The connections a user has already: list them, remove one, forget them all."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import Settings
from ..errors import ConnectionKeptError, LastLoginMethodError, OAuthError, UnknownConnectionError
from ..identity import Identity
from ..protocols import AccountStore, Clock, Event, IdentityRecord
from ..tokens import StoredToken
from .connections import Connection, Disconnected, Forgotten, create_connection, summarise_revocations
from .linking import is_same_user
from .policy import AccountPolicy, call_hook

_log = logging.getLogger(__name__)

Revoke = Callable[[StoredToken], bool | None]
"""Ask the provider to revoke: ``True`` done, ``False`` not done, ``None`` where it offers no way."""


@dataclass(frozen=True)
class Notice:
    """One signal to send, after the database has committed.

    :ivar signal: the name in :mod:`flask_oauth_accounts.signals`.
    :ivar values: the further keywords of that signal.
    """

    signal: str
    name: str
    user: Any
    account: str
    values: Mapping[str, Any] = field(default_factory=dict)


class ConnectionKeeper:
    """What can be done with the connections of a user.

    :param store: users, identities, tokens and events.
    :param policy: the application's hooks.
    :param settings: the package's configuration.
    :param load_user: a user by id, or ``None``. It must see what has just been committed elsewhere.
    :param clock: seconds since the epoch.
    :param notify: called for each signal to send, after the commit.
    :param user_model: the class of the users, for ``AccountPolicy.create_user``.
    :param identify: the primary key of a user that ``AccountPolicy.match_user`` returned.
    """

    def __init__(
        self,
        store: AccountStore,
        policy: AccountPolicy,
        *,
        settings: Settings,
        load_user: Callable[[Any], Any],
        clock: Clock,
        notify: Callable[[Notice], None],
        user_model: Any = None,
        identify: Callable[[Any], Any] = operator.attrgetter("id"),
    ) -> None:
        self.policy = policy.bind(user_model=user_model, settings=settings, store=store)
        self._store = store
        self._settings = settings
        self._load_user = load_user
        self._clock = clock
        self._notify = notify
        self._identify = identify

    def connections(self, user_id: Any) -> list[Connection]:
        """The user's connected accounts with their health.

        :param user_id: of the user.
        :return: in the store's order.
        """
        records = list(self._store.list_for_user(user_id))
        if not records:
            return []
        user = self._load_user(user_id)
        tokens = self._store.tokens_for_user(user_id)
        return [
            create_connection(
                record,
                find_tokens(record, records, tokens),
                can_disconnect=self._may_disconnect(user, record, records),
            )
            for record in records
        ]

    def disconnect(self, user: Any, user_id: Any, identity_id: Any, revoke: Revoke) -> Disconnected:
        """Revoke at the provider as far as it goes, then delete here in any case.

        A refresh under way finds its row gone and writes nothing (E22).

        :param user: the user who asks.
        :param user_id: their id.
        :param identity_id: of the connection, also as text.
        :param revoke: asks the provider about one token.
        :raises UnknownConnectionError: if this user has no such connection; the same for one of somebody else.
        :raises LastLoginMethodError: if the policy keeps it because it is the last way to log in.
        :raises ConnectionKeptError: if the policy keeps it although it is not.
        """
        records = list(self._store.list_for_user(user_id))
        record = next((item for item in records if is_same_user(item.id, identity_id)), None)
        if record is None:
            raise UnknownConnectionError
        identity = record.identity
        if not self._may_disconnect(user, record, records):
            raise choose_refusal(record, records)(provider=identity.name)
        tokens = find_tokens(record, records, self._store.tokens_for_user(user_id))
        results = [_ask_to_revoke(revoke, token) for token in tokens]
        revoked = summarise_revocations(results)
        event = describe_event("disconnect", record, error="revocation_failed" if revoked is False else None)
        try:
            keep = self._must_keep_a_login(user, record, records)
            deleted = self._store.delete_identity(record.id, user_id, event=event, keep_a_login=keep)
        except LastLoginMethodError:
            for token in (token for token, result in zip(tokens, results, strict=True) if result):
                self._store.mark_revoked(token)
            raise
        if not deleted:
            raise UnknownConnectionError(provider=identity.name)
        self._tell_disconnected(record, user, revoked)
        return Disconnected(record, revoked)

    def forget_user(self, user_id: Any, revoke: Revoke) -> Forgotten:
        """Revoke and delete everything that is stored about a user, the last way in too.

        Call it before you delete the user.

        :param user_id: of the user.
        :param revoke: asks the provider about one token.
        :return: what was removed.
        """
        user = self._load_user(user_id)
        records = list(self._store.list_for_user(user_id))
        tokens = list(self._store.tokens_for_user(user_id))
        results = {(token.protocol, token.id): _ask_to_revoke(revoke, token) for token in tokens}
        failed = sum(result is False for result in results.values())
        error = "revocation_failed" if failed else None
        self._store.delete_for_user(user_id, event=Event("forget", "success", user_id=user_id, error=error))
        for record in records:
            own = [results[token.protocol, token.id] for token in find_tokens(record, records, tokens)]
            self._tell_disconnected(record, user, summarise_revocations(own))
        return Forgotten(len(records), len(tokens), sum(result is True for result in results.values()), failed)

    def _may_disconnect(self, user: Any, record: IdentityRecord, records: list[IdentityRecord]) -> bool:
        others = [other for other in records if other.id != record.id]
        return bool(call_hook(self.policy.may_disconnect, user, record, others))

    def _must_keep_a_login(self, user: Any, record: IdentityRecord, records: list[IdentityRecord]) -> bool:
        """Whether the store is to look once more: two requests at once could each count on what the other removes.

        Where there was no other way in to count on, the policy has answered for it.
        """
        has_others = record.can_log_in and not _is_last_way_in(record, records)
        return has_others and not call_hook(self.policy.has_other_way_in, user)

    def _tell_disconnected(self, record: IdentityRecord, user: Any, revoked: bool | None) -> None:
        if revoked:
            self._tell("token_revoked", record.identity, user)
        self._tell("identity_disconnected", record.identity, user, identity=record.identity, revoked=revoked)

    def _tell(self, signal: str, identity: Identity, user: Any, /, **values: Any) -> None:
        self._notify(Notice(signal, identity.name, user, identity.subject, values))


def find_tokens(
    record: IdentityRecord, records: Collection[IdentityRecord], tokens: Iterable[StoredToken]
) -> list[StoredToken]:
    """Find the tokens that go with a connection; those that name no account go with the last one of their client.

    :param record: the connection.
    :param records: all of the user, this one too.
    :param tokens: all of the user.
    """
    is_last = all(other.id == record.id for other in records if other.name == record.name)
    accounts = (record.subject, "") if is_last else (record.subject,)
    return [
        token
        for token in tokens
        if is_same_user(token.identity_id, record.id) or (token.name == record.name and token.account in accounts)
    ]


def choose_refusal(
    record: IdentityRecord, records: Collection[IdentityRecord]
) -> type[LastLoginMethodError] | type[ConnectionKeptError]:
    """Say why a connection stays that the policy does not let go.

    :param record: the connection.
    :param records: all of the user, this one too.
    """
    return LastLoginMethodError if _is_last_way_in(record, records) else ConnectionKeptError


def _is_last_way_in(record: IdentityRecord, records: Collection[IdentityRecord]) -> bool:
    return record.can_log_in and not any(other.can_log_in for other in records if other.id != record.id)


def describe_event(kind: str, record: IdentityRecord, *, error: str | None = None) -> Event:
    identity = record.identity
    return Event(kind, "success", identity.name, record.user_id, record.id, identity.subject, error)


def _ask_to_revoke(revoke: Revoke, token: StoredToken) -> bool | None:
    """Ask the provider, and go on whatever happens: a provider that is down must not keep a user connected."""
    if token.status == "revoked":
        return None
    if token.unreadable:
        return False
    try:
        return revoke(token)
    except OAuthError as error:
        _log.warning("%s: the token was not revoked: %s", token.name, error.code)
    except Exception as error:
        _log.warning("%s: the token was not revoked: %s", token.name, type(error).__name__)
    return False
