"""The clock of the database's machine, to compare with ours: leases and expiries are times of ours."""

from __future__ import annotations

import sqlalchemy as sa

from . import faults

_QUESTIONS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp(sysdate(6))",
    "mariadb": "SELECT unix_timestamp(sysdate(6))",
}


def read_clock(engine: sa.Engine) -> float | None:
    """Ask the database what time it is.

    :param engine: of the database.
    :return: seconds since the epoch; ``None`` for a database that has no machine of its own.
    :raises StorageUnavailable: if the database does not answer.
    """
    question = _QUESTIONS.get(engine.dialect.name)
    if question is None:
        return None
    with faults.translated(engine), engine.connect() as connection:
        return float(connection.exec_driver_sql(question).scalar_one())
