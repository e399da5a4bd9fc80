"""What a look-up costs with many rows: every query of a request and of cron goes by an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from flask_oauth_accounts.identity import Identity

ROWS = 20_000
NAMES = ("github", "google", "work")


def fill(host: Any) -> None:
    """Rows as the tables of a busy site have them; the secrets do not matter here."""
    users = range(1, ROWS + 1)
    tables = {name: getattr(host.models, name).__table__ for name in ("OAuthIdentity", "OAuth1Token", "OAuth2Token")}
    place: list[dict[str, Any]] = [{"id": user, "user_id": user, "name": NAMES[user % 3]} for user in users]
    tokens = [
        {**item, "account": f"s{item['id']}", "status": "active", "version": 1, "identity_id": item["id"]}
        for item in place
    ]
    with host.engine.begin() as connection:
        connection.execute(sa.insert(host.user_model.__table__), [{"id": user} for user in users])
        identities = [
            {**item, "issuer": "i", "subject": f"s{item['id']}", "login_key": f"{item['id']:064}"} for item in place
        ]
        connection.execute(sa.insert(tables["OAuthIdentity"]), identities)
        connection.execute(sa.insert(tables["OAuth1Token"]), tokens)
        timed = [{**item, "failures": 0, "expires_at": 1_000_000 + item["id"]} for item in tokens]
        connection.execute(sa.insert(tables["OAuth2Token"]), timed)
        if connection.dialect.name == "mysql" or connection.dialect.name == "mariadb":
            for table in tables.values():
                connection.exec_driver_sql(f"ANALYZE TABLE {table.name}").all()
        else:
            connection.exec_driver_sql("ANALYZE")


def record(host: Any, action: Callable[[], Any]) -> list[tuple[str, Any]]:
    """:return: the statements that an action sends to the tables, with their parameters."""
    statements: list[tuple[str, Any]] = []
    engine = host.store.transactions.engines.get()

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        if "oauth" in statement:
            statements.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    action()
    sa.event.remove(engine, "before_cursor_execute", note)
    assert statements
    return statements


def explain(host: Any, statement: str, parameters: Any) -> str:
    """:return: the plan, with the word FULL where a whole table or a whole index is read."""
    with host.engine.connect() as connection:
        if host.engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            return " ".join(row[3].replace("SCAN oauth", "FULL oauth") for row in rows)
        if host.engine.dialect.name == "postgresql":
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
            return " ".join(row[0].replace("Seq Scan on oauth", "FULL oauth") for row in rows)
        plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).mappings().all()
        kinds = [(row["type"], row["key"]) for row in plan if row["type"]]
        return " ".join(f"{'FULL' if kind in ('ALL', 'index') else kind} {key}" for kind, key in kinds)


def test_no_look_up_of_a_request_reads_a_whole_table(database_url: str, make_host: Callable[..., Any]) -> None:
    """With a million rows each call would take a thousand times as long as with a thousand."""
    host = make_host(database_url)
    fill(host)
    store = host.store
    identity = Identity("github", "i", "s4711")
    actions: dict[str, Callable[[], Any]] = {
        "load": lambda: store.load(4711, "google", protocol="oauth2"),
        "load an account": lambda: store.load(4711, "google", "s4711", protocol="oauth2"),
        "load an OAuth 1 token": lambda: store.load(4711, "google", protocol="oauth1"),
        "find an identity": lambda: store.find(identity),
        "find a connection": lambda: store.find_connection(4711, "google", "s4711"),
        "list a user's identities": lambda: store.list_for_user(4711),
        "tokens of an identity": lambda: store.tokens_for_identity(4711),
        "tokens of a user": lambda: store.tokens_for_user(4711),
    }
    plans = {
        (name, explain(host, *statement)) for name, action in actions.items() for statement in record(host, action)
    }
    assert [plan for plan in plans if "FULL" in plan[1]] == []


def test_cron_finds_what_expires_by_an_index(database_url: str, make_host: Callable[..., Any]) -> None:
    """Every quarter of an hour the whole table would be read."""
    host = make_host(database_url)
    fill(host)
    soon = record(host, lambda: list(host.store.iter_tokens(status="active", expiring_before=1_000_010)))
    for statement in soon:
        plan = explain(host, *statement)
        assert "FULL" not in plan
        assert "ix_oauth2_token_status_expires_at" in plan
    found = [item.id for item in host.store.iter_tokens(status="active", expiring_before=1_000_010, batch=2)]
    assert found == list(range(1, 10)), "batches meet without a gap"


@pytest.mark.parametrize("rows", [1, 2])
def test_a_refresh_writes_by_the_primary_key(database_url: str, make_host: Callable[..., Any], rows: int) -> None:
    """A claim would lock rows of other users on its way."""
    host = make_host(database_url)
    users = [host.add_user() for _ in range(rows)]
    for user in users:
        host.store.save(user, "github", {"access_token": "a", "refresh_token": "r"}, protocol="oauth2", now=1000.0)
    stored = host.store.load(users[0], "github", protocol="oauth2")
    for statement, _ in record(host, lambda: host.store.claim(stored, owner="o", now=1000.0, lease=30.0)):
        assert "WHERE oauth2_token.id = " in statement
