"""Rows that were written inside the host's transaction, and outlive its rollback.

A rotated refresh token exists nowhere else: the provider has forgotten the old one. So what was written on the
host's connection is remembered as images of rows until the host's transaction has ended. If it was rolled back, the
images are written again in a transaction of the package's own. Rows of the host stay as the host left them: a token
whose user was rolled back goes with the user.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from ..errors import StorageUnavailable
from .work import Image, key_column

_INFO_KEY = "flask_oauth_accounts.borrowed"
_log = logging.getLogger(__name__)

RunAlone = Callable[[Callable[[sa.Connection], None]], None]


class Keeper:
    """Keeps the images of one session's transaction.

    :param run_alone: runs a function in a transaction of the package's own.
    """

    def __init__(self, run_alone: RunAlone) -> None:
        self._run_alone = run_alone
        self._images: dict[tuple[sa.Table, Any], Image] = {}
        self._committed = False
        self._lost = False

    @property
    def is_pending(self) -> bool:
        """Whether something is written that is not yet sure to stay."""
        return bool(self._images)

    def keep(self, images: list[Image]) -> None:
        """Remember rows until the transaction has ended."""
        for image in images:
            self._images[image.table, image.key] = image

    def reapply(self, connection: sa.Connection) -> None:
        """Write again what a savepoint of the host has taken back, on the same connection."""
        if self._lost and self._images:
            with connection.begin_nested():
                self._write(connection)
        self._lost = False

    def on_commit(self, session: Session) -> None:
        if not session.in_nested_transaction():
            self._committed = True

    def on_rollback(self, session: Session, transaction: SessionTransaction) -> None:
        self._lost = True

    def on_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is not None:
            return
        gone = self._images and (self._lost or not self._committed)
        try:
            if gone:
                self._run_alone(self._write)
        except StorageUnavailable as error:
            # The host is in the middle of its own clean-up; there is nobody to raise this to.
            _log.critical("tokens written beside a rolled back transaction are lost: %s", error)
        finally:
            self._images.clear()
            self._committed = self._lost = False

    def _write(self, connection: sa.Connection) -> None:
        for image in self._images.values():
            try:
                with connection.begin_nested():
                    _write_image(connection, image)
            except sa.exc.IntegrityError:
                _log.warning("a row of %s was not written again: what it belongs to is gone", image.table.name)


def _write_image(connection: sa.Connection, image: Image) -> None:
    table, key = image.table, key_column(image.table)
    if image.values is None:
        connection.execute(sa.delete(table).where(key == image.key))
        return
    known = connection.execute(sa.select(table).where(key == image.key)).mappings().first()
    if known is None:
        if _has_user(connection, image):
            connection.execute(sa.insert(table).values(image.values))
    elif _is_same_place(known, image.values) and known.get("version", 0) <= image.values.get("version", 0):
        connection.execute(sa.update(table).where(key == image.key).values(image.values))


def _is_same_place(known: Mapping[Any, Any], values: Mapping[str, Any]) -> bool:
    """Whether a row of ours is still what it was; after a rollback its key may be that of another row by now."""
    names = [name for name in ("user_id", "name", "account", "subject") if name in values]
    return "user_id" in names and all(known[name] == values[name] for name in names)


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
