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

from .faults import is_missing_table


def watch_user_model(user_model: Any, tables: Sequence[sa.Table]) -> None:
    """Delete the rows of a user together with the user.

    :param user_model: the mapped class of the users.
    :param tables: identities, both token tables, events.
    """

    def delete_rows(mapper: Mapper[Any], connection: sa.Connection, user: Any) -> None:
        key = mapper.primary_key_from_instance(user)[0]
        if connection.dialect.name == "sqlite":
            for table in reversed(tables):
                _delete_if_there(connection, sa.delete(table).where(table.c.user_id == key))
        elif sa.inspect(connection).has_table(tables[-1].name, schema=tables[-1].schema):
            connection.execute(sa.delete(tables[-1]).where(tables[-1].c.user_id == key))

    def delete_leftovers(mapper: Mapper[Any], connection: sa.Connection, user: Any) -> None:
        if connection.dialect.name == "sqlite":
            delete_rows(mapper, connection, user)

    event.listen(user_model, "before_delete", delete_rows, propagate=True)
    event.listen(user_model, "after_insert", delete_leftovers, propagate=True)


def _delete_if_there(connection: sa.Connection, statement: sa.Delete) -> None:
    """A host that has not created the tables yet can still write its users; SQLite goes on after such an error."""
    try:
        connection.execute(statement)
    except sa.exc.OperationalError as error:
        if not is_missing_table(error):
            raise
