"""What goes with a user who is deleted through a session, where the database does not see to it itself.

SQLite enforces foreign keys only on demand, gives the number of a deleted row to the next one, and events have no
foreign key on purpose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Mapper


def watch_user_model(user_model: Any, tables: Sequence[sa.Table]) -> None:
    """Delete the rows of a user together with the user.

    :param user_model: the mapped class of the users.
    :param tables: identities, both token tables, events.
    """

    def delete_rows(mapper: Mapper[Any], connection: sa.Connection, user: Any) -> None:
        key = mapper.primary_key_from_instance(user)[0]
        sqlite = connection.dialect.name == "sqlite"
        for table in reversed(tables) if sqlite else tables[-1:]:
            if sa.inspect(connection).has_table(table.name, schema=table.schema):
                connection.execute(sa.delete(table).where(table.c.user_id == key))

    def delete_leftovers(mapper: Mapper[Any], connection: sa.Connection, user: Any) -> None:
        if connection.dialect.name == "sqlite":
            delete_rows(mapper, connection, user)

    event.listen(user_model, "before_delete", delete_rows, propagate=True)
    event.listen(user_model, "after_insert", delete_leftovers, propagate=True)
