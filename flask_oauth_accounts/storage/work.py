"""One unit of writing: its connection, and the rows that it touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True)
class Image:
    """How a row was left; ``values`` is ``None`` for one that was deleted.

    :ivar key: of the row's primary key, of one column.
    """

    table: sa.Table
    key: Any
    values: dict[str, Any] | None


class Work:
    """What a writing function gets.

    :ivar connection: inside a transaction, which the function neither commits nor rolls back.
    :ivar is_vain: nothing has been written, so no lock need stay.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.is_vain = False
        self._touched: dict[tuple[sa.Table, Any], None] = {}

    def touch(self, table: sa.Table, key: Any) -> None:
        """Name a row that was inserted, changed or deleted, so that it can be written again."""
        self._touched[table, key] = None

    def take_images(self) -> list[Image]:
        """Read back the touched rows, in the order in which they were touched.

        :return: their images.
        """
        images = []
        for table, key in self._touched:
            row = self.connection.execute(sa.select(table).where(key_column(table) == key)).mappings().first()
            images.append(Image(table, key, None if row is None else {column.name: row[column] for column in table.c}))
        return images


def key_column(table: sa.Table) -> sa.Column[Any]:
    """:return: the primary key, which is one column in every table that is written here."""
    return next(iter(table.primary_key.columns))
