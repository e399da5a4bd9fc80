"""``flask oauth keys``: new keys, rotation beside live traffic, and a key that may not go yet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from flask_oauth_accounts.vault.keys import KeyRing

OLD, NEW = "old:" + "A" * 43, "new:" + "B" * 42 + "A"
MakeSite = Callable[..., Any]


def test_a_generated_key_can_be_used_as_it_is_printed(site: Any) -> None:
    """An operator would paste a key that the application then refuses."""
    first, second = (site.run("keys", "generate").output.strip() for _ in range(2))
    named = site.run("keys", "generate", "--id", "spring").output.strip()
    assert first.partition(":")[2] != second.partition(":")[2]
    ring = KeyRing.from_configuration((named, first), "secret key", ())
    assert ring.key_ids[0] == "spring"
    assert ring.unseal(ring.seal("text", "place"), "place") == "text"
    assert "A" * 43 not in first


def fill(site: Any, count: int) -> None:
    """Users of whom each has an OAuth 2 and an OAuth 1 token."""
    with site.app.app_context():
        accounts, db = site.accounts, site.accounts.db
        accounts.store.count_tokens("oauth2")  # makes the tables
        users = [accounts.user_model() for _ in range(count)]
        db.session.add_all(users)
        db.session.commit()
        for user in users:
            accounts.vault.save(user.id, "two", token(user.id, 0), protocol="oauth2")
            secret = {"oauth_token": f"t{user.id}", "oauth_token_secret": f"s{user.id}"}
            accounts.vault.save(user.id, "one", secret, protocol="oauth1")
        db.session.remove()


def token(user_id: int, number: int) -> dict[str, Any]:
    return {"access_token": f"a{user_id}-{number}", "refresh_token": f"r{user_id}-{number}", "expires_in": 3600}


def test_status_shows_which_key_has_sealed_what(make_site: MakeSite) -> None:
    """An operator could not tell whether a rotation is finished."""
    site = make_site(OAUTH_ACCOUNTS_KEYS=[OLD])
    fill(site, 3)
    assert ["old", "seals", "12"] in [line.split() for line in site.run("keys", "status").output.splitlines()]
    both = make_site(OAUTH_ACCOUNTS_KEYS=[NEW, OLD])
    lines = [line.split() for line in both.run("keys", "status").output.splitlines()]
    assert ["new", "seals", "0"] in lines
    assert ["old", "opens", "12"] in lines
    gone = make_site(OAUTH_ACCOUNTS_KEYS=[NEW]).run("keys", "status", code=1).output
    assert "MISSING" in gone
    assert "12 stored secrets need the key old, which is not configured: put it back into OAUTH_ACCOUNTS_KEYS" in gone


def test_a_missing_derived_key_is_sent_home(make_site: MakeSite) -> None:
    """An operator would look for a key that nobody has ever written down."""
    fill(make_site(SECRET_KEY="one"), 1)
    gone = make_site(SECRET_KEY="two").run("keys", "status", code=1).output
    assert "put the SECRET_KEY that it was derived from into SECRET_KEY_FALLBACKS" in gone
    assert "OAUTH_ACCOUNTS_KEYS" not in gone


def test_a_rotation_leaves_nothing_sealed_with_the_old_key(make_site: MakeSite) -> None:
    """Dropping the old key afterwards would lose grants."""
    fill(make_site(OAUTH_ACCOUNTS_KEYS=[OLD]), 5)
    site = make_site(OAUTH_ACCOUNTS_KEYS=[NEW, OLD])
    output = site.run("keys", "rotate", "--batch", "2").output
    assert "10 rows are sealed with new now." in output
    assert "oauth2 tokens" in output
    assert "0 rows" in site.run("keys", "rotate").output
    site.run("keys", "drop", "old")
    alone = make_site(OAUTH_ACCOUNTS_KEYS=[NEW])
    alone.run("keys", "status")
    for user in range(1, 6):
        assert alone.load(user).token["access_token"] == f"a{user}-0"
        assert alone.load(user, "one", "oauth1").token["oauth_token_secret"] == f"s{user}"


def test_a_key_that_rows_still_need_is_not_dropped(make_site: MakeSite) -> None:
    """The tokens of all users who did not come lately would be lost."""
    fill(make_site(OAUTH_ACCOUNTS_KEYS=[OLD]), 2)
    site = make_site(OAUTH_ACCOUNTS_KEYS=[NEW, OLD])
    assert "8 secrets still need old" in site.run("keys", "drop", "old", code=1).output
    assert "seals now" in site.run("keys", "drop", "new", code=1).output
    assert "no key 'nope'" in site.run("keys", "drop", "nope", code=1).output


def test_keys_derived_from_the_secret_key_rotate_as_well(make_site: MakeSite) -> None:
    """An application that has never heard of these keys would lose all tokens with a new SECRET_KEY."""
    fill(make_site(SECRET_KEY="one"), 2)
    site = make_site(SECRET_KEY="two", SECRET_KEY_FALLBACKS=["one"])
    assert "4 rows" in site.run("keys", "rotate").output
    alone = make_site(SECRET_KEY="two")
    alone.run("keys", "status")
    assert alone.load(1).token["refresh_token"] == "r1-0"


def test_an_interrupted_rotation_goes_on_where_it_stopped(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle would leave rows half done."""
    fill(make_site(OAUTH_ACCOUNTS_KEYS=[OLD]), 6)
    site = make_site(OAUTH_ACCOUNTS_KEYS=[NEW, OLD])
    calls: list[int] = []
    store = type(site.accounts.store)
    reseal = store.reseal

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return reseal(*args, **kwargs)

    monkeypatch.setattr(store, "reseal", interrupted)
    site.run("keys", "rotate", "--batch", "2", code=1)
    monkeypatch.undo()
    assert "16 secrets still need old" in site.run("keys", "drop", "old", code=1).output
    assert "8 rows" in site.run("keys", "rotate", "--batch", "2").output
    site.run("keys", "drop", "old")


def test_a_secret_that_no_key_opens_is_counted_and_left(make_site: MakeSite) -> None:
    """One damaged row would stop the rotation of all others, or be lost without a word."""
    lost = make_site(OAUTH_ACCOUNTS_KEYS=["lost:" + "C" * 42 + "A"])
    fill(lost, 1)
    site = make_site(OAUTH_ACCOUNTS_KEYS=[OLD])
    fill(site, 2)
    rotated = make_site(OAUTH_ACCOUNTS_KEYS=[NEW, OLD])
    output = rotated.run("keys", "rotate", code=1).output
    assert "4 rows are sealed with new" in output
    assert "2 rows cannot be opened" in output
    assert "connect again" not in output, "they open again with their key"
    assert lost.load(1).token["access_token"] == "a1-0"


def test_a_refresh_in_the_very_moment_of_the_rotation_wins(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old token would be written over the one that has just come from the provider."""
    fill(make_site(OAUTH_ACCOUNTS_KEYS=[OLD]), 3)
    site = make_site(OAUTH_ACCOUNTS_KEYS=[NEW, OLD])
    store = type(site.accounts.store)
    reseal_row = store._reseal_row
    written: list[bool] = []

    def meanwhile(self: Any, access: Any, row: Any, key_id: str) -> Any:
        values = reseal_row(self, access, row, key_id)
        if (access.protocol, row["user_id"]) == ("oauth2", 2) and not written:
            written.append(True)
            site.accounts.vault.save(2, "two", token(2, 7), protocol="oauth2")
        return values

    monkeypatch.setattr(store, "_reseal_row", meanwhile)
    assert "5 rows are sealed" in site.run("keys", "rotate").output
    assert site.load(2).token["refresh_token"] == "r2-7"
    site.run("keys", "drop", "old")


def test_a_rotation_beside_live_traffic_loses_no_write(make_site: MakeSite) -> None:
    """A refresh that is written while the row is sealed anew would be overwritten by the old token."""
    fill(make_site(OAUTH_ACCOUNTS_KEYS=[OLD]), 10)
    site = make_site(OAUTH_ACCOUNTS_KEYS=[NEW, OLD])
    done = threading.Event()
    latest: dict[int, int] = {}
    faults: list[BaseException] = []

    def write(mine: range) -> None:
        try:
            with site.app.app_context():
                number = 0
                while not done.is_set():
                    number += 1
                    for user in mine:
                        site.accounts.vault.save(user, "two", token(user, number), protocol="oauth2")
                        latest[user] = number
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=write, args=(range(first, 11, 2),)) for first in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            site.run("keys", "rotate", "--batch", "3")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not faults
    site.run("keys", "drop", "old")
    assert len(latest) == 10
    for user, number in latest.items():
        assert site.load(user).token["refresh_token"] == f"r{user}-{number}"
