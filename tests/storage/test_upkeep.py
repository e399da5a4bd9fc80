"""Work on many rows: lists, rotation of keys, orphans, query plans."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from flask_oauth_accounts.errors import StorageBusy
from flask_oauth_accounts.protocols import Event
from flask_oauth_accounts.storage.sqlalchemy import SQLAlchemyStore
from flask_oauth_accounts.tokens import TokenDict
from flask_oauth_accounts.vault.keys import Key, KeyRing

NOW = 1_700_000_000.0
OLD, NEW = Key("k1", b"1" * 32), Key("k2", b"2" * 32)


def fill(host: Any, count: int) -> list[Any]:
    users = [host.add_user() for _ in range(count)]
    for number, user in enumerate(users):
        token = {"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 60 * (number + 1)}
        host.store.save(user, "github" if number % 2 else "lab", token, protocol="oauth2", now=NOW)
    return users


def test_tokens_are_listed_in_batches_and_by_what_is_asked(host: Any) -> None:
    """A cron job would refresh all tokens, or only the first few."""
    users = fill(host, 7)
    store = host.store
    assert [item.user_id for item in store.iter_tokens(batch=2)] == users
    assert store.count_tokens("oauth2") == 7
    assert store.count_tokens("oauth1") == 0
    assert [item.user_id for item in store.iter_tokens(name="github")] == users[1::2]
    assert [item.user_id for item in store.iter_tokens(expiring_before=NOW + 181)] == users[:3]
    store.mark_reauth_required(store.load(users[0], "lab", protocol="oauth2"), error="invalid_grant")
    assert [item.user_id for item in store.iter_tokens(status="reauth_required")] == users[:1]
    assert [item.user_id for item in store.iter_tokens(user_id=str(users[3]))] == [users[3]]
    assert list(store.iter_tokens(protocol="oauth1", expiring_before=NOW)) == []


def test_a_dead_grant_keeps_its_row_but_not_its_secrets(host: Any) -> None:
    """A refresh token that is spent, or a revoked token, would lie about for nothing."""
    (user,) = fill(host, 1)
    stored = host.store.load(user, "lab", protocol="oauth2")
    assert host.store.mark_reauth_required(stored, error="invalid_grant")
    dead = host.store.reload(stored)
    assert "refresh_token" not in dead.token
    assert host.store.mark_revoked(dead)
    assert not host.store.mark_revoked(dead)
    gone = host.store.reload(stored)
    assert (gone.status, set(gone.token) & {"access_token", "refresh_token"}) == ("revoked", set())
    assert host.store.delete_token(gone)
    assert not host.store.delete_token(gone)
    assert host.store.reload(stored) is None


def with_keys(host: Any, *keys: Key) -> SQLAlchemyStore:
    return SQLAlchemyStore(host.models, engine=lambda: host.engine, sealer=KeyRing(keys), clock=lambda: NOW)


def test_keys_are_rotated_in_batches_that_can_be_resumed(host: Any) -> None:
    """An interrupted rotation would leave secrets that nobody can open."""
    users = fill(host, 5)
    store = with_keys(host, NEW, OLD)
    assert store.count_by_key(batch=2) == {"k1": 10}
    first = store.reseal("oauth2", key_id="k2", batch=2)
    assert (first.seen, first.changed, first.unreadable) == (2, 2, 0)
    assert store.count_by_key() == {"k1": 6, "k2": 4}
    last, total = None, 0
    while True:
        done = store.reseal("oauth2", after=last, key_id="k2", batch=2)
        total += done.changed
        if (last := done.last_id) is None:
            break
    assert total == 3
    assert store.count_by_key() == {"k2": 10}
    only_new = with_keys(host, NEW)
    assert [item.token["access_token"] for item in only_new.iter_tokens()] == [f"a{n}" for n in range(len(users))]
    assert with_keys(host, OLD).load(users[0], "lab", protocol="oauth2").unreadable  # type: ignore[union-attr]
    assert with_keys(host, OLD).reseal("oauth2", key_id="k1").unreadable == 5
    for each in (store, only_new):
        each.dispose()


def test_a_rotation_beside_live_traffic_loses_nothing(host: Any) -> None:
    """A token refreshed during the rotation would be overwritten by the old one."""
    users = fill(host, 12)
    store = with_keys(host, NEW, OLD)
    stop, errors = threading.Event(), []

    def refresh(user: Any, name: str) -> None:
        number = 0
        try:
            while not stop.is_set() or number < 3:
                stored = store.load(user, name, protocol="oauth2")
                assert stored is not None
                assert not stored.unreadable
                token = TokenDict(access_token=f"live-{number + 1}", refresh_token=f"live-{number + 1}")
                try:
                    assert store.commit_refresh(stored, owner="me", token=token, now=NOW) is not None
                except StorageBusy:
                    continue  # SQLite lets one wait longer than others; the vault tries again too
                number += 1
                assert store.reload(stored).token["refresh_token"] == f"live-{number}"  # type: ignore[union-attr]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=refresh, args=(users[n], "github" if n % 2 else "lab")) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        last = None
        while (last := store.reseal("oauth2", after=last, key_id="k2", batch=3).last_id) is not None:
            pass
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    while store.reseal("oauth2", key_id="k2", batch=100).changed:
        pass
    assert store.count_by_key() == {"k2": 24}
    store.dispose()


def test_old_events_and_orphans_are_purged(host: Any) -> None:
    """The database would grow for ever."""
    users = fill(host, 2)
    host.store.record(Event("login", "success", user_id=users[0]))
    assert host.store.purge_events(999.0) == 0
    assert host.store.purge_events(1001.0) == 1
    with host.engine.begin() as connection:
        connection.execute(sa.text(f"DELETE FROM users WHERE id = {users[0]}"))
    assert host.store.purge_orphans() == (1 if host.engine.dialect.name == "sqlite" else 0)
    assert [item.user_id for item in host.store.iter_tokens()] == users[1:]


def test_lookups_use_an_index(database_url: str, make_host: Callable[..., Any]) -> None:
    """With a million rows, each API call would read the whole table."""
    host = make_host(database_url)
    users = fill(host, 30)
    statements: list[tuple[str, Any]] = []
    engine = host.store.transactions.engines.get()

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: Any) -> None:
        statements.append((statement, parameters))

    host.store.load(users[3], "github", protocol="oauth2")
    host.store.load(users[3], "github", "", protocol="oauth2")
    sa.event.remove(engine, "before_cursor_execute", note)
    with host.engine.connect() as connection:
        if host.engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")
        prefix = "EXPLAIN QUERY PLAN " if host.engine.dialect.name == "sqlite" else "EXPLAIN "
        for statement, parameters in statements:
            rows = connection.exec_driver_sql(prefix + statement, parameters).all()
            assert "uq_oauth2_token_user_id_name_account" in str(rows) or "INDEX" in str(rows)
            assert "SCAN" not in str(rows)
