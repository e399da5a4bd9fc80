"""The rows of identities: one for each client by which a user is connected, and the key to log in.

Several clients of one provider share its accounts. Each is a connection of its own, with its own tokens, to be
disconnected by itself. ``login_key`` is unique, so one row holds it; ``for_login`` marks every row that logs in. When
the holder goes, the next of them inherits the key. A row without ``for_login`` never does: it was connected for its
API only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ..identity import Identity, make_login_key
from ..protocols import ConcurrentLogin, IdentityRecord
from .base import BaseStore
from .rows import create_profile, create_record
from .work import Work


class IdentityMixin(BaseStore):
    """The part of the store that writes identities; every method runs inside a transaction of its caller's."""

    def _put_identity(
        self,
        work: Work,
        identity: Identity,
        user_id: Any,
        record: IdentityRecord | None,
        *,
        can_log_in: bool,
        login: bool,
        now: float,
    ) -> IdentityRecord:
        """Insert the row, or bring it up to date by one statement.

        :param record: the row of this client; one of another client means that the user may have none of this yet.
        """
        is_shared = record is not None and record.identity.name != identity.name
        if is_shared:
            record = self._find_own(work, identity, user_id)
        can_log_in = can_log_in or (record is not None and record.can_log_in)
        values = {**create_profile(identity), "updated_at": now}
        if login:
            values["last_login_at"] = now
        is_settled = record is not None and record.can_log_in and record.identity.login_key == identity.login_key
        if can_log_in and not is_settled:
            is_first = record is None and not is_shared
            key = identity.login_key if is_first else self._take_key(work, identity.login_key, user_id)
            values |= {"login_key": key, "for_login": True}
        if record is None:
            values |= {"user_id": user_id, "name": identity.name, "subject": identity.subject, "created_at": now}
            row_id = self._insert(work, self.identities, {"login_key": None, "for_login": False, **values})
            return IdentityRecord(row_id, user_id, identity, can_log_in, now, now if login else None)
        self._update_identity(work, record, user_id, values)
        if record.can_log_in and not is_settled:
            self._hand_on(work, user_id, record.identity.login_key, record.identity.subject)
        last_login_at = now if login else record.last_login_at
        return dataclasses.replace(record, identity=identity, can_log_in=can_log_in, last_login_at=last_login_at)

    def _update_identity(self, work: Work, record: IdentityRecord, user_id: Any, values: dict[str, Any]) -> None:
        c = self.identities.c
        statement = sa.update(self.identities).where(c.id == record.id, c.user_id == user_id).values(values)
        if work.connection.execute(statement).rowcount != 1:
            raise ConcurrentLogin
        work.touch(self.identities, record.id)

    def _find_own(self, work: Work, identity: Identity, user_id: Any) -> IdentityRecord | None:
        c = self.identities.c
        place = (c.user_id == user_id, c.name == identity.name, c.subject == identity.subject)
        row = work.connection.execute(sa.select(self.identities).where(*place)).mappings().first()
        return None if row is None else create_record(row)

    def _take_key(self, work: Work, login_key: str, user_id: Any) -> str | None:
        """Find the key to write into one more row of a user.

        The holder stays locked, so that it is not deleted before the row is there that would inherit from it.

        :return: the key, ``None`` where another row of this user holds it.
        :raises ConcurrentLogin: if it logs in another user.
        """
        c = self.identities.c
        query = sa.select(c.user_id).where(c.login_key == login_key).with_for_update()
        owner = work.connection.execute(query).scalar()
        if owner is not None and owner != user_id:
            raise ConcurrentLogin
        return login_key if owner is None else None

    def _hand_on(self, work: Work, user_id: Any, login_key: str, subject: str) -> None:
        """Let the row inherit the key that was last logged in with, where there is one."""
        c = self.identities.c
        query = (
            sa.select(c.id, c.issuer)
            .where(c.user_id == user_id, c.subject == subject, c.login_key.is_(None), c.for_login.is_(True))
            .order_by(sa.func.coalesce(c.last_login_at, 0).desc(), c.id)
            .with_for_update()
        )
        for row in work.connection.execute(query).all():
            if make_login_key(row.issuer, subject) == login_key:
                statement = sa.update(self.identities).where(c.id == row.id)
                work.connection.execute(statement.values(login_key=login_key, updated_at=c.updated_at))
                work.touch(self.identities, row.id)
                return

    def _lock_identities(self, work: Work, user_id: Any) -> Sequence[sa.RowMapping]:
        """Lock a user's rows in a fixed order, and read them as they are then.

        Twice, because PostgreSQL does not show the first query what was inserted while it waited. SQLite has one
        writer at a time, and no such locks.
        """
        c = self.identities.c
        query = sa.select(self.identities).where(c.user_id == user_id).order_by(c.id).with_for_update()
        work.connection.execute(query).all()
        return work.connection.execute(query).mappings().all()
