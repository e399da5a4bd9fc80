"""What every token store does, in memory and on each database."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import suppress
from typing import Any

import pytest

from flask_oauth_accounts.errors import StorageBusy
from flask_oauth_accounts.protocols import Event
from flask_oauth_accounts.tokens import StoredToken, TokenDict

NOW = 1_700_000_000.0


def save(contract: Any, user: Any, account: str = "", *, now: float = NOW, **token: Any) -> StoredToken:
    token = {"access_token": "access", "refresh_token": "refresh", "expires_in": 3600, "scope": "read", **token}
    return contract.store.save(user, "github", token, account, protocol="oauth2", now=now)


def load(contract: Any, user: Any, account: str | None = None) -> StoredToken:
    stored = contract.store.load(user, "github", account, protocol="oauth2")
    assert stored is not None
    return stored


def test_saves_and_loads_an_oauth2_token(contract: Any) -> None:
    """A token that came back changed would not be accepted by the provider."""
    user = contract.add_user()
    saved = save(contract, user, "42", token_type="bearer", id_token="e.y.j")
    assert load(contract, user, "42") == saved
    assert saved.token == {
        "access_token": "access",
        "refresh_token": "refresh",
        "token_type": "bearer",
        "id_token": "e.y.j",
        "scope": "read",
        "expires_at": int(NOW) + 3600,
    }
    assert (saved.user_id, saved.name, saved.account, saved.protocol) == (user, "github", "42", "oauth2")
    assert (saved.status, saved.lifetime, saved.scope, saved.unreadable) == ("active", 3600, "read", False)
    assert contract.store.reload(saved) == saved


def test_saves_and_loads_an_oauth1_token(contract: Any) -> None:
    """OAuth 1 users would have to consent anew at every visit."""
    user = contract.add_user()
    token = {"oauth_token": "t", "oauth_token_secret": "s", "screen_name": "not ours to keep"}
    saved = contract.store.save(user, "twitter", token, "7", protocol="oauth1", now=NOW)
    loaded = contract.store.load(user, "twitter", protocol="oauth1")
    assert loaded == saved
    assert loaded.token == {"oauth_token": "t", "oauth_token_secret": "s"}
    assert contract.store.claim(loaded, owner="a", now=NOW, lease=30) is None or loaded.protocol == "oauth1"
    assert contract.store.load(user, "twitter", protocol="oauth2") is None


def test_unknown_is_none(contract: Any) -> None:
    """A user without a token would get an error page instead of the consent page."""
    user = contract.add_user()
    assert contract.store.load(user, "github", protocol="oauth2") is None
    saved = save(contract, user, "42")
    assert contract.store.load(user, "gitlab", protocol="oauth2") is None
    assert contract.store.load(user, "github", "43", protocol="oauth2") is None
    assert contract.store.load(contract.add_user(), "github", protocol="oauth2") is None
    assert contract.store.load(user, "github", "42", protocol="oauth2") == saved


def test_h13_one_users_token_is_never_anothers(contract: Any) -> None:
    """Somebody would act with somebody else's account."""
    one, two = contract.add_user(), contract.add_user()
    save(contract, one, access_token="one")
    save(contract, two, access_token="two")
    assert load(contract, one).token["access_token"] == "one"
    assert load(contract, two).token["access_token"] == "two"


@pytest.mark.parametrize(
    "pair", [("abc", "ABC"), ("\u00e9", "e"), ("\u00e9", "e\u0301"), ("a", "a "), ("1", "01"), ("\u00df", "ss")]
)
def test_e11_accounts_differ_by_the_smallest_thing(contract: Any, pair: tuple[str, str]) -> None:
    """Two people whose ids differ in case, accent or blank would share one token."""
    user = contract.add_user()
    for account in pair:
        save(contract, user, account, access_token=f"for-{account}")
    for account in pair:
        stored = load(contract, user, account)
        assert (stored.account, stored.token["access_token"]) == (account, f"for-{account}")


def test_the_account_last_logged_in_with_is_the_default(contract: Any) -> None:
    """Somebody with two accounts would see the wrong one after switching."""
    user = contract.add_user()
    save(contract, user, "first", now=NOW)
    save(contract, user, "second", now=NOW + 1)
    assert load(contract, user).account == "second"
    save(contract, user, "first", now=NOW + 2)
    assert load(contract, user).account == "first"


def test_a_new_login_replaces_the_row_and_revives_it(contract: Any) -> None:
    """A user who consents again would stay locked out, or have two rows."""
    user = contract.add_user()
    first = save(contract, user, "42")
    assert contract.store.mark_reauth_required(first, error="invalid_grant")
    assert load(contract, user).status == "reauth_required"
    assert load(contract, user).updated_at is not None
    again = save(contract, user, "42", access_token="new", refresh_token="newer")
    assert again.id == first.id
    assert again.version > first.version + 1
    assert (again.status, again.last_error, again.failures, again.retry_at) == ("active", None, 0, None)
    assert again.updated_at == NOW
    assert (again.lease_owner, again.lease_expires_at) == (None, None)
    assert (again.token["access_token"], again.token["refresh_token"]) == ("new", "newer")


@pytest.mark.parametrize(
    "absent", [{}, {"refresh_token": None, "scope": None, "id_token": None}, {"refresh_token": ""}]
)
def test_a_login_without_refresh_token_keeps_the_stored_one(contract: Any, absent: dict[str, Any]) -> None:
    """Providers send the refresh token at the first consent only; a second login would throw it away."""
    user = contract.add_user()
    save(contract, user, "42", id_token="e.y.j")
    token = {"access_token": "new", **absent}
    contract.store.save(user, "github", token, "42", protocol="oauth2", now=NOW + 5)
    stored = load(contract, user, "42")
    assert stored.token["access_token"] == "new"
    assert stored.token["refresh_token"] == "refresh"
    assert stored.token["id_token"] == "e.y.j"
    assert stored.scope == "read"
    assert stored.expires_at is None


def test_a_consent_without_a_scope_in_its_answer_grants_what_was_asked_for(contract: Any) -> None:
    """RFC 6749 section 5.1: else a user who has consented to more would be asked again for ever."""
    user = contract.add_user()
    save(contract, user)
    wide = contract.store.save(
        user, "github", {"access_token": "new"}, protocol="oauth2", requested_scope="read write", now=NOW
    )
    assert (wide.scope, wide.token["scope"]) == ("read write", "read write")
    narrow = {"access_token": "new", "scope": "read"}
    stored = contract.store.save(user, "github", narrow, protocol="oauth2", requested_scope="read write", now=NOW)
    assert stored.scope == "read"


def test_only_one_claim_at_a_time(contract: Any) -> None:
    """A rotating refresh token would be sent twice, and the provider would revoke the grant."""
    user = contract.add_user()
    stored = save(contract, user)
    mine = contract.store.claim(stored, owner="a", now=NOW, lease=30)
    assert (mine.lease_owner, mine.lease_expires_at, mine.version) == ("a", NOW + 30, stored.version)
    assert contract.store.claim(stored, owner="b", now=NOW + 29, lease=30) is None
    assert load(contract, user).lease_owner == "a"
    taken_over = contract.store.claim(stored, owner="b", now=NOW + 31, lease=30)
    assert taken_over.lease_owner == "b"


def test_of_many_claims_at_once_one_wins(contract: Any) -> None:
    """The same, when all come at the same instant."""
    stored = save(contract, contract.add_user())
    barrier, won = threading.Barrier(8), []

    def claim(owner: str) -> None:
        barrier.wait()
        with suppress(StorageBusy):  # a claim waits for nobody
            if contract.store.claim(stored, owner=owner, now=NOW, lease=30) is not None:
                won.append(owner)

    threads = [threading.Thread(target=claim, args=(f"worker-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert contract.store.reload(stored).lease_owner == won[0]


def test_commit_writes_the_token_and_ends_the_claim(contract: Any) -> None:
    """The rotated refresh token would be lost, and with it the connection."""
    user = contract.add_user()
    stored = save(contract, user, "42")
    claimed = contract.store.claim(stored, owner="a", now=NOW, lease=30)
    token = TokenDict({**stored.token, "access_token": "new", "refresh_token": "rotated", "expires_at": NOW + 7200})
    written = contract.store.commit_refresh(claimed, owner="a", token=token, now=NOW + 10)
    assert written == load(contract, user)
    assert (written.token["access_token"], written.token["refresh_token"]) == ("new", "rotated")
    assert (written.version, written.expires_at, written.issued_at) == (stored.version + 1, NOW + 7200, NOW + 10)
    assert (written.lease_owner, written.lease_expires_at) == (None, None)
    assert (claimed.updated_at, written.updated_at) == (NOW, NOW + 10)


def test_commit_is_fenced_by_the_version_not_the_lease(contract: Any) -> None:
    """A late answer would overwrite a newer grant, or a good late answer would be thrown away."""
    user = contract.add_user()
    stored = save(contract, user)
    slow = contract.store.claim(stored, owner="slow", now=NOW, lease=1)
    fast = contract.store.claim(stored, owner="fast", now=NOW + 5, lease=30)
    late = TokenDict(access_token="late", refresh_token="late")
    assert contract.store.commit_refresh(slow, owner="slow", token=late, now=NOW + 6) is not None
    lost = TokenDict(access_token="lost", refresh_token="lost")
    assert contract.store.commit_refresh(fast, owner="fast", token=lost, now=NOW + 7) is None
    assert load(contract, user).token["refresh_token"] == "late"
    assert not contract.store.mark_reauth_required(fast, error="invalid_grant")
    assert load(contract, user).status == "active"


def test_release_gives_the_claim_back_and_says_when_to_try_again(contract: Any) -> None:
    """One failed refresh would block the others for the whole lease."""
    stored = save(contract, contract.add_user())
    claimed = contract.store.claim(stored, owner="a", now=NOW, lease=30)
    contract.store.release(claimed, owner="b", error="provider_unavailable", retry_at=None, failures=9)
    assert contract.store.reload(stored).lease_owner == "a"
    contract.store.release(claimed, owner="a", error="provider_unavailable", retry_at=NOW + 2.5, failures=1)
    free = contract.store.reload(stored)
    assert (free.lease_owner, free.lease_expires_at) == (None, None)
    assert (free.retry_at, free.failures, free.last_error) == (NOW + 2.5, 1, "provider_unavailable")
    assert free.token == stored.token
    assert contract.store.claim(free, owner="c", now=NOW, lease=30) is not None


def test_j03_a_dead_grant_stays_dead_until_a_new_consent(contract: Any) -> None:
    """A dead refresh token would be sent again with every page."""
    user = contract.add_user()
    stored = save(contract, user)
    claimed = contract.store.claim(stored, owner="a", now=NOW, lease=30)
    assert contract.store.mark_reauth_required(claimed, error="invalid_grant")
    dead = load(contract, user)
    assert (dead.status, dead.last_error, dead.lease_owner) == ("reauth_required", "invalid_grant", None)
    assert contract.store.claim(dead, owner="b", now=NOW + 99, lease=30) is None
    assert not contract.store.mark_reauth_required(claimed, error="invalid_grant")


@pytest.mark.parametrize("expiring_before", [None, NOW + 7200])
def test_a_row_that_opens_again_is_found_as_active(contract: Any, expiring_before: float | None) -> None:
    """After one start with a wrong key, the cron job would pass over these tokens for ever, and report success."""
    users = [contract.add_user() for _ in range(3)]
    back, _, dead = [save(contract, user) for user in users]
    contract.store.mark_reauth_required(dataclasses.replace(back, unreadable=True), error="sealed_value_unreadable")
    contract.store.mark_reauth_required(dead, error="invalid_grant")

    def find(status: str) -> set[Any]:
        found = contract.store.iter_tokens(status=status, expiring_before=expiring_before, batch=1)
        return {(item.user_id, item.status) for item in found}

    assert find("active") == {(user, "active") for user in users[:2]}
    assert find("reauth_required") == {(users[2], "reauth_required")}


def test_a_new_row_under_an_old_key_is_another_one(contract: Any) -> None:
    """SQLite gives the key of a deleted row away again: a removed account's token would end up in the new one."""
    user = contract.add_user()
    stored = save(contract, user, "42")
    claimed = contract.store.claim(stored, owner="a", now=NOW, lease=30)
    assert contract.store.delete_token(stored)
    successor = save(contract, user, "42", access_token="consented")
    assert successor.version != stored.version
    late = TokenDict(access_token="late", refresh_token="late")
    assert contract.store.commit_refresh(claimed, owner="a", token=late, now=NOW) is None
    assert not contract.store.mark_reauth_required(claimed, error="invalid_grant")
    assert load(contract, user) == successor


def test_a_row_that_was_moved_is_not_written_to(contract: Any) -> None:
    """A refresh under way would write one account's token, sealed for it, into the row of another account."""
    user = contract.add_user()
    stored = save(contract, user, "42")
    for values in ({"user_id": contract.add_user()}, {"name": "gitlab"}, {"account": "43"}):
        moved = dataclasses.replace(stored, **values)
        assert contract.store.claim(moved, owner="a", now=NOW, lease=30) is None
        assert not contract.store.mark_revoked(moved)
    assert load(contract, user) == stored


def test_events_are_taken(contract: Any) -> None:
    """Nobody could tell afterwards what happened to a connection."""
    contract.store.record(Event("refresh", "success", "github", contract.add_user(), None, "42"))
    contract.store.record(Event("login", "failure", error="mismatching_state"))


def test_repr_shows_no_secret(contract: Any) -> None:
    """A log line would hold a usable token."""
    shown = repr(save(contract, contract.add_user(), access_token="hidden-1", refresh_token="hidden-2"))
    assert "hidden" not in shown
