"""Identities, the users behind them, and what happened to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ..errors import LastLoginMethodError
from ..identity import Identity, make_login_key
from ..protocols import Event, IdentityRecord
from ..tokens import StoredToken
from .logins import LoginMixin
from .rows import create_record
from .users import same_text
from .work import Work


class AccountMixin(LoginMixin):
    """The part of the store that the account service and the pages ask."""

    def find(self, identity: Identity) -> IdentityRecord | None:
        """Find the row by which this identity logs in: the client's own, else one of another client.

        :return: the row; every other one by which the identity logs in is the same user's.
        """
        c, key = self.identities.c, identity.login_key
        owner = sa.select(c.user_id).where(c.login_key == key).scalar_subquery()
        own = sa.and_(c.name == identity.name, c.subject == identity.subject, c.for_login.is_(True))
        query = sa.select(self.identities).where(c.user_id == owner, sa.or_(c.login_key == key, own))
        rows = self._read(lambda connection: connection.execute(query).mappings().all())
        records = [create_record(row) for row in rows if row["login_key"] == key or _read_key(row) == key]
        return max(records, key=lambda record: record.identity.name == identity.name, default=None)

    def find_connection(self, user_id: Any, name: str, subject: str) -> IdentityRecord | None:
        """:return: the user's own row for this provider account, whether it can log in or not."""
        c = self.identities.c
        query = sa.select(self.identities).where(
            c.user_id == self._known_user_id(user_id), c.name == name, c.subject == subject
        )
        row = self._read(lambda connection: connection.execute(query).mappings().first())
        return None if row is None else create_record(row)

    def list_for_user(self, user_id: Any) -> Sequence[IdentityRecord]:
        """:return: the user's identities, the oldest first."""
        query = sa.select(self.identities).where(self.identities.c.user_id == self._known_user_id(user_id))
        rows = self._read(lambda connection: connection.execute(query.order_by(self.identities.c.id)).mappings().all())
        return [create_record(row) for row in rows]

    def tokens_for_identity(self, identity_id: Any) -> list[StoredToken]:
        """:return: the identity's tokens of both protocols."""
        return self._find_tokens("identity_id", identity_id)

    def tokens_for_user(self, user_id: Any) -> list[StoredToken]:
        """:return: all tokens of the user, those without an identity too."""
        return self._find_tokens("user_id", self._known_user_id(user_id))

    def _find_tokens(self, column: str, value: Any) -> list[StoredToken]:
        def read(connection: sa.Connection) -> list[StoredToken]:
            found: list[StoredToken] = []
            for access in self.token_tables.values():
                query = access.select().where(access.table.c[column] == value).order_by(access.table.c.id)
                found += [access.read(row) for row in connection.execute(query).mappings()]
            return found

        return self._read(read)

    def email_is_taken(self, email: str) -> bool:
        """Whether a user has this address, or an identity has it and is verified; compared without case.

        Asked for unknown identities only, before a sign-up. It reads all addresses, about 1 s for a million, because
        no index on ``lower(email)`` can be made on every database. Where that is too long, PostgreSQL and SQLite use
        two indexes together that you add to both tables: one on ``email``, one on ``lower(email)``.
        """
        return self._has_email(email)

    def owns_email(self, user_id: Any, email: str) -> bool:
        """Whether this user is one of those by whom the address is taken."""
        key = self._known_user_id(user_id)
        return key is not None and self._has_email(email, key)

    def _has_email(self, email: str, user_id: Any = None) -> bool:
        c = self.identities.c
        query = sa.select(sa.literal(1)).where(same_text(c.email, email), c.email_verified.is_(True)).limit(1)
        if user_id is not None:
            query = query.where(c.user_id == user_id)
        return self._read(
            lambda connection: (
                self.users.has_email(connection, email, user_id=user_id)
                or connection.execute(query).first() is not None
            )
        )

    def find_verified_user(self, email: str) -> Any | None:
        """:return: the key of the one user whose own, verified address this is."""
        return self._read(lambda connection: self.users.find_verified(connection, email))

    def user_value_is_free(self, attribute: str, value: str) -> bool:
        """Whether no user has this value, as the database compares."""
        return not self._read(lambda connection: self.users.has_value(connection, attribute, value))

    def delete_identity(self, identity_id: Any, user_id: Any, *, event: Event, keep_a_login: bool = False) -> bool:
        """Delete the row, its tokens with it, and record the event; another client's row inherits the login key.

        With the last row of a client go its tokens that name no account, too.

        :param keep_a_login: delete only if another row of this user that can log in remains, however many are
            being deleted at this moment.
        :return: ``False`` if this user has no such row; nothing is recorded then.
        :raises LastLoginMethodError: if ``keep_a_login`` forbids it.
        """
        key = self._known_user_id(user_id)

        def write(work: Work) -> bool:
            rows = self._lock_identities(work, key)
            row = next((item for item in rows if str(item["id"]) == str(identity_id)), None)
            if row is None:
                return False
            others = [create_record(item) for item in rows if item["id"] != row["id"]]
            if keep_a_login and create_record(row).can_log_in and not any(other.can_log_in for other in others):
                raise LastLoginMethodError(provider=row["name"])
            is_last = all(other.name != row["name"] for other in others)
            self._delete_row(work, row, accounts=(row["subject"], "") if is_last else (row["subject"],))
            self._add_event(work, event)
            return True

        return self._write(write)

    def _delete_row(self, work: Work, row: Any, *, accounts: tuple[str, ...]) -> None:
        for access in self.token_tables.values():
            t = access.table.c
            place = sa.and_(t.user_id == row["user_id"], t.name == row["name"], t.account.in_(accounts))
            self._delete(work, access.table, sa.or_(t.identity_id == row["id"], place))
        self._delete(work, self.identities, self.identities.c.id == row["id"])
        if row["login_key"] is not None:
            self._hand_on(work, row["user_id"], row["login_key"], row["subject"])

    def delete_for_user(self, user_id: Any, *, event: Event | None = None) -> int:
        """Delete all identities, tokens and events of a user, and record the event.

        :return: the number of identities and tokens deleted.
        """
        key = self._known_user_id(user_id)
        if key is None:
            return 0

        def write(work: Work) -> int:
            tables = [access.table for access in self.token_tables.values()]
            count = sum(self._delete(work, table, table.c.user_id == key) for table in (*tables, self.identities))
            self._delete(work, self.events, self.events.c.user_id == key)
            if event is not None:
                self._add_event(work, event)
            return count

        return self._write(write)

    def record(self, event: Event) -> None:
        """Write one event; the user need not exist any more."""
        self._write(lambda work: self._add_event(work, event))


def _read_key(row: Any) -> str:
    return make_login_key(row["issuer"], row["subject"])
