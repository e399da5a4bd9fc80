"""Rows that were written inside the host's transaction, and outlive its rollback.

A rotated refresh token exists nowhere else: the provider has forgotten the old one. So what was written on the
host's connection is remembered as images of rows until the host's transaction has ended. If it was rolled back, the
images are written again in a transaction of the package's own. Rows of the host stay as the host left them: a token
whose user was rolled back goes with the user.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from ..errors import StorageUnavailable, TransactionLost
from .locks import wait_for_nobody
from .work import Image, key_column

_INFO_KEY = "flask_oauth_accounts.borrowed"
_log = logging.getLogger(__name__)

RunAlone = Callable[[Callable[[sa.Connection], None]], None]


@contextmanager
def savepoint(link: sa.Connection) -> Iterator[sa.NestedTransaction]:
    """Do something inside the host's transaction: all or nothing, and without waiting for anybody.

    :return: the savepoint; it may be rolled back at the end.
    :raises TransactionLost: if the database has ended the transaction, with all that the host had written: its
        savepoints are gone then. The connection is given up, so that the host cannot commit the rest unawares.
    """
    nested = link.begin_nested()
    try:
        with wait_for_nobody(link):
            yield nested
        if nested.is_active:
            nested.commit()
    except BaseException as error:
        try:
            nested.rollback()
        except sa.exc.DBAPIError:
            link.invalidate()
            raise TransactionLost from error
        raise


class Keeper:
    """Keeps the images of one session's transaction.

    :param run_alone: runs a function in a transaction of the package's own.
    """

    def __init__(self, run_alone: RunAlone) -> None:
        self._run_alone = run_alone
        self._images: dict[tuple[sa.Table, Any], Image] = {}
        self._actions: list[Callable[[], object]] = []
        self._committed = False
        self._lost = False

    @property
    def is_pending(self) -> bool:
        """Whether something is written that is not yet sure to stay."""
        return bool(self._images)

    @property
    def is_lost(self) -> bool:
        """Whether a savepoint of the host may have taken it back."""
        return self._lost and self.is_pending

    def has(self, table: sa.Table | None, values: Mapping[str, Any]) -> bool:
        """Whether such a row is among them.

        :param table: ``None`` for any.
        :param values: that the row must have; of a deleted one, only its key is known.
        """
        return any(table in (None, image.table) and _matches(image, values) for image in self._images.values())

    def keep(self, images: list[Image]) -> None:
        """Remember rows until the transaction has ended."""
        for image in images:
            self._images[image.table, image.key] = image

    def when_settled(self, action: Callable[[], object]) -> None:
        """Call an action once the transaction has ended and the rows are there for good."""
        self._actions.append(action)

    def reapply(self, connection: sa.Connection) -> None:
        """Write the rows again on the same connection."""
        self._write(connection)
        self._lost = False

    def on_commit(self, session: Session) -> None:
        if not session.in_nested_transaction():
            self._committed = True

    def on_rollback(self, session: Session, transaction: SessionTransaction) -> None:
        self._lost = self.is_pending  # at the end of the outermost transaction nothing is

    def on_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is not None:
            return
        gone = self._images and (self._lost or not self._committed)
        actions = self._actions
        try:
            if gone:
                self._run_alone(self._write)
            for action in actions:
                action()
        except StorageUnavailable as error:
            # The host is in the middle of its own clean-up; there is nobody to raise this to.
            _log.critical("what was written beside a rolled back transaction could not be written again: %s", error)
        finally:
            self._images.clear()
            self._actions = []
            self._committed = self._lost = False

    def _write(self, connection: sa.Connection) -> None:
        for image in self._images.values():
            try:
                with connection.begin_nested():
                    _write_image(connection, image)
            except sa.exc.IntegrityError:
                _log.warning("a row of %s was not written again: what it belongs to is gone", image.table.name)


def _matches(image: Image, values: Mapping[str, Any]) -> bool:
    key = key_column(image.table).name
    if image.values is None:
        return key not in values or values[key] == image.key
    return all(image.values[name] == value for name, value in values.items())


def _write_image(connection: sa.Connection, image: Image) -> None:
    table, key = image.table, key_column(image.table)
    if image.values is None:
        connection.execute(sa.delete(table).where(key == image.key))
        return
    known = connection.execute(sa.select(table).where(key == image.key)).mappings().first()
    if known is None:
        if _has_user(connection, image):
            connection.execute(sa.insert(table).values(image.values))
    elif _is_same_place(known, image.values) and _is_newer(image.values, known):
        connection.execute(sa.update(table).where(key == image.key).values(image.values))


def _is_same_place(known: Mapping[Any, Any], values: Mapping[str, Any]) -> bool:
    """Whether a row of ours is still what it was; after a rollback its key may be that of another row by now."""
    names = [name for name in ("user_id", "name", "account", "subject") if name in values]
    return "user_id" in names and all(known[name] == values[name] for name in names)


def _is_newer(values: Mapping[str, Any], known: Mapping[Any, Any]) -> bool:
    """Whether nobody has written to a row since, nor claimed it."""
    claimed = known.get("lease_owner") not in (None, values.get("lease_owner"))
    version = values.get("version", 0)
    return bool(known.get("version", 0) < version or (known.get("version", 0) == version and not claimed))


def _has_user(connection: sa.Connection, image: Image) -> bool:
    """Whether the user is still there; SQLite does not ask by itself."""
    column = image.table.c.get("user_id")
    if column is None or image.values is None:
        return True
    for foreign in column.foreign_keys:
        query = sa.select(sa.literal(1)).where(foreign.column == image.values["user_id"])
        if connection.execute(query).first() is None:
            return False
    return True


def find_keeper(session: Session | None) -> Keeper | None:
    """:return: the keeper of this session, if one was ever needed."""
    return None if session is None else session.info.get(_INFO_KEY)


def get_keeper(session: Session, run_alone: RunAlone) -> Keeper:
    """:return: the keeper of this session, listening to how its transactions end."""
    keeper = find_keeper(session)
    if keeper is None:
        keeper = session.info[_INFO_KEY] = Keeper(run_alone)
        event.listen(session, "after_commit", keeper.on_commit)
        event.listen(session, "after_soft_rollback", keeper.on_rollback)
        event.listen(session, "after_transaction_end", keeper.on_end)
    return keeper
