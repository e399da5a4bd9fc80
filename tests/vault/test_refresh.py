"""One caller or many, one token: what the vault does, on the store in memory and over real HTTP."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from flask_oauth_accounts.config import Settings
from flask_oauth_accounts.errors import (
    ConfigurationError,
    IdTokenError,
    InvalidClientError,
    MissingTokenError,
    ProviderResponseError,
    ProviderUnavailable,
    ReauthorizationRequired,
    StorageUnavailable,
    TokenRequestError,
    UnsupportedTokenTypeError,
)
from flask_oauth_accounts.storage.memory import MemoryStore
from flask_oauth_accounts.tokens import StoredToken, TokenDict
from flask_oauth_accounts.vault.flights import Flights, copy_error
from flask_oauth_accounts.vault.refresh import Vault
from flask_oauth_accounts.vault.tools import Notice

if TYPE_CHECKING:
    from .conftest import TokenEndpoint

Refresh = Callable[[StoredToken], TokenDict]


class Time:
    """A clock that moves only when it is told to, or when somebody waits."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))
        self.on_wait: Callable[[], object] = lambda: None

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.on_wait()


class Watched(MemoryStore):
    """Counts the calls, and fails those that a test wants to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.failing: dict[str, int] = {}

    def _watch(self, name: str) -> None:
        self.calls.append(name)
        left = self.failing.get(name, 0)
        if left:
            self.failing[name] = left - 1
            raise StorageUnavailable

    def reload(self, stored: StoredToken) -> StoredToken | None:
        self._watch("reload")
        return super().reload(stored)

    def claim(self, stored: StoredToken, *, owner: str, now: float, lease: float) -> StoredToken | None:
        self._watch("claim")
        return super().claim(stored, owner=owner, now=now, lease=lease)

    def commit_refresh(self, stored: StoredToken, *, owner: str, token: TokenDict, now: float) -> StoredToken | None:
        self._watch("commit_refresh")
        return super().commit_refresh(stored, owner=owner, token=token, now=now)

    def release(self, stored: StoredToken, *, owner: str, error: str, retry_at: float | None, failures: int) -> None:
        self._watch("release")
        super().release(stored, owner=owner, error=error, retry_at=retry_at, failures=failures)


class World:
    """A store, a clock, a provider, and as many vaults as there would be processes."""

    def __init__(self, endpoint: TokenEndpoint) -> None:
        self.endpoint = endpoint
        self.store = Watched()
        self.time = Time()
        self.notices: list[Notice] = []

    def create_vault(self, **settings: Any) -> Vault:
        return Vault(
            self.store,
            settings=Settings(**settings),
            clock=self.time,
            monotonic=self.time,
            wait=self.time.wait,
            random=lambda: 1.0,
            events=self.store,
            notify=self.notices.append,
        )

    def save(self, *, expires_in: int, age: int = 3000, **values: Any) -> StoredToken:
        """A row whose token expires in so many seconds."""
        expires_at = int(self.time.now) + expires_in
        token = {**self.endpoint.first_token(), "expires_at": expires_at, **values}
        token = {key: value for key, value in token.items() if value is not None}
        return self.store.save(7, "hub", token, "4711", protocol="oauth2", now=self.time.now - age)

    def row(self, stored: StoredToken) -> StoredToken:
        row = MemoryStore.reload(self.store, stored)
        assert row is not None
        return row


@pytest.fixture
def world(endpoint: TokenEndpoint) -> World:
    return World(endpoint)


def raising(error: BaseException) -> Refresh:
    def refresh(stored: StoredToken) -> TokenDict:
        raise error

    return refresh


def never(stored: StoredToken) -> TokenDict:
    raise AssertionError("the provider was asked")


# One caller


def test_token_that_is_not_due_costs_no_statement(world: World) -> None:
    """Every API call pays for look-ups if a token that is good is looked at again."""
    stored = world.save(expires_in=600)
    assert world.create_vault().fresh(stored, never) is stored
    assert world.store.calls == []


def test_due_token_is_refreshed_and_stored(world: World) -> None:
    """The next process uses a spent refresh token if the rotated one is not stored."""
    stored = world.save(expires_in=-5, scope="read write", id_token="id-0")
    fresh = world.create_vault().fresh(stored, world.endpoint.refresh)
    row = world.row(stored)
    assert fresh == row
    assert row.token["access_token"] == "access-1"
    assert row.token["refresh_token"] == "refresh-1"
    assert (row.status, row.lease_owner, row.failures, row.retry_at) == ("active", None, 0, None)
    assert row.version > stored.version
    assert world.endpoint.accepts(fresh.token["access_token"])
    assert world.store.calls == ["reload", "claim", "commit_refresh"]
    assert [(event.kind, event.outcome, event.user_id) for event in world.store.events] == [("refresh", "success", 7)]
    assert [notice.kind for notice in world.notices] == ["token_update"]


@pytest.mark.parametrize(
    "nothing", [{}, {"refresh_token": None, "scope": None, "id_token": None}, {"refresh_token": ""}]
)
def test_answer_erases_nothing(world: World, nothing: dict[str, Any]) -> None:
    """Users of providers that do not repeat the refresh token are disconnected after one hour if it is erased."""
    answer = {"access_token": "access-1", "token_type": "Bearer", "expires_in": 60, **nothing}
    world.endpoint.answers.append((200, {}, json.dumps(answer)))
    stored = world.save(expires_in=-5, scope="read", id_token="id-0")
    token = world.create_vault().fresh(stored, world.endpoint.refresh).token
    assert token["access_token"] == "access-1"
    assert (token["refresh_token"], token["scope"], token["id_token"]) == ("refresh-0", "read", "id-0")


def test_answer_without_expires_in_makes_the_expiry_unknown(world: World) -> None:
    """The call fails although the refresh worked if the old expiry is kept."""
    world.endpoint.answers.append((200, {}, '{"access_token": "access-1", "token_type": null}'))
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    fresh = vault.fresh(stored, world.endpoint.refresh)
    assert fresh.expires_at is None
    assert vault.fresh(fresh, never) is fresh


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"access_token": null, "refresh_token": "refresh-9"}', ProviderResponseError),
        ('{"refresh_token": "refresh-9"}', ProviderResponseError),
        ("[]", ProviderResponseError),
        ('{"access_token": "access-9", "token_type": "mac"}', UnsupportedTokenTypeError),
    ],
)
def test_odd_answer_is_not_saved(world: World, body: str, expected: type[Exception]) -> None:
    """A half answer that is stored replaces a grant that still worked."""
    world.endpoint.answers.append((200, {}, body))
    stored = world.save(expires_in=-5)
    with pytest.raises(expected):
        world.create_vault().fresh(stored, world.endpoint.refresh)
    row = world.row(stored)
    assert row.token == stored.token
    assert (row.status, row.failures, row.lease_owner) == ("active", 1, None)
    assert row.retry_at is not None


def test_answer_about_another_user_is_refused(world: World) -> None:
    """One user reads another one's data if an ID token for another subject is taken in a refresh."""
    stored = world.save(expires_in=-5)
    with pytest.raises(IdTokenError):
        world.create_vault().fresh(stored, raising(IdTokenError()))
    assert world.row(stored).token == stored.token
    assert world.row(stored).last_error == "invalid_id_token"


def test_dead_grant_is_kept_and_asked_no_more(world: World) -> None:
    """The provider is asked in vain with every request, and the user is never told to connect again."""
    stored = world.save(expires_in=-5, refresh_token="refresh-lost")
    vault = world.create_vault()
    with pytest.raises(ReauthorizationRequired) as caught:
        vault.fresh(stored, world.endpoint.refresh)
    assert (caught.value.error, caught.value.code) == ("invalid_grant", "reauthorization_required")
    row = world.row(stored)
    assert (row.status, row.last_error, row.lease_owner) == ("reauth_required", "invalid_grant", None)
    assert "refresh_token" not in row.token
    assert [(event.kind, event.error) for event in world.store.events] == [("reauth_required", "invalid_grant")]
    assert [notice.kind for notice in world.notices] == ["reauthorization_required"]
    for known in (stored, row):
        with pytest.raises(ReauthorizationRequired, match="invalid_grant"):
            vault.fresh(known, never)
    assert world.endpoint.asked == 1


def test_new_consent_revives_a_dead_grant(world: World) -> None:
    """A user who has consented again still cannot use the connection."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    with pytest.raises(ReauthorizationRequired):
        vault.fresh(stored, raising(TokenRequestError("invalid_grant")))
    saved = vault.save(7, "hub", world.endpoint.first_token(), "4711", protocol="oauth2")
    assert saved.id == stored.id
    assert vault.fresh(saved, never).status == "active"


def test_refusal_is_not_believed_when_somebody_else_has_rotated(world: World) -> None:
    """A user is disconnected because two machines were fast at the same time."""
    stored = world.save(expires_in=-5)

    def refresh(claimed: StoredToken) -> TokenDict:
        token = TokenDict(access_token="by-other", refresh_token="r", expires_at=int(world.time.now) + 900)
        assert MemoryStore.commit_refresh(world.store, claimed, owner="other", token=token, now=world.time.now)
        raise TokenRequestError("invalid_grant")

    fresh = world.create_vault().fresh(stored, refresh)
    assert fresh.token["access_token"] == "by-other"
    assert world.row(stored).status == "active"


def test_refusal_is_not_believed_while_somebody_else_holds_the_claim(world: World) -> None:
    """A slow machine declares a grant dead whose new token another machine has in its hands already."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault(refresh_lease=30.0)

    def refresh(claimed: StoredToken) -> TokenDict:
        world.time.now += 31
        other = MemoryStore.claim(world.store, claimed, owner="other", now=world.time.now, lease=30)
        assert other is not None

        def commit() -> None:
            token = TokenDict(access_token="by-other", refresh_token="r", expires_at=int(world.time.now) + 900)
            MemoryStore.commit_refresh(world.store, other, owner="other", token=token, now=world.time.now)

        world.time.on_wait = commit
        raise TokenRequestError("invalid_grant")

    # The caller has used up its time while asking, and looks once more before it gives up.
    with pytest.raises(ProviderUnavailable):
        vault.fresh(stored, refresh)
    assert world.row(stored).status == "active"
    world.time.wait(0)
    assert vault.fresh(stored, never).token["access_token"] == "by-other"


@pytest.mark.parametrize("error", [InvalidClientError(), TokenRequestError("unauthorized_client")])
def test_operators_fault_changes_no_row(world: World, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A mistyped client secret disconnects every user."""
    stored = world.save(expires_in=-5)
    with pytest.raises(ConfigurationError):
        world.create_vault().fresh(stored, raising(error))
    assert world.row(stored) == stored
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert world.create_vault().fresh(stored, world.endpoint.refresh).token["access_token"] == "access-1"


def test_back_off_grows_and_ends_with_success(world: World) -> None:
    """A provider that is down gets every request's refresh, or is never asked again."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    for failures, delay in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60)]:
        world.endpoint.answers.append((503, {}, "<html>"))
        with pytest.raises(ProviderUnavailable) as caught:
            vault.fresh(stored, world.endpoint.refresh)
        row = world.row(stored)
        assert caught.value.retry_after == delay
        assert (row.failures, row.retry_at) == (failures, world.time.now + delay)
        with pytest.raises(ProviderUnavailable) as caught:
            vault.fresh(stored, never)
        assert caught.value.retry_after == delay
        assert vault.health(row).state == "backing_off"
        world.time.now += delay
    assert vault.fresh(stored, world.endpoint.refresh).failures == 0
    assert world.row(stored).retry_at is None


def test_retry_after_is_kept_in_the_row(world: World) -> None:
    """The next process comes back at once where the provider has asked for a pause."""
    world.endpoint.answers.append((429, {"Retry-After": "120"}, "{}"))
    stored = world.save(expires_in=-5)
    with pytest.raises(ProviderUnavailable):
        world.create_vault().fresh(stored, world.endpoint.refresh)
    assert world.row(stored).retry_at == world.time.now + 121
    world.time.now += 119
    with pytest.raises(ProviderUnavailable):
        world.create_vault().fresh(stored, never)


def test_valid_token_is_served_while_the_provider_is_down(world: World) -> None:
    """Users see an outage a minute before it concerns them."""
    world.endpoint.answers.append((503, {}, ""))
    stored = world.save(expires_in=30)
    vault = world.create_vault()
    served = vault.fresh(stored, world.endpoint.refresh)
    assert served.token == stored.token
    assert vault.fresh(world.row(stored), never).token == stored.token
    assert [notice.kind for notice in world.notices] == ["token_refresh_failed"]
    world.time.now += 31
    assert vault.fresh(stored, world.endpoint.refresh).token["access_token"] == "access-1"


def test_unknown_fault_of_the_client_backs_off(world: World) -> None:
    """A bug in a hook asks the provider with every request, or disconnects users."""
    stored = world.save(expires_in=-5)
    with pytest.raises(ZeroDivisionError):
        world.create_vault().fresh(stored, raising(ZeroDivisionError("s3cret")))
    row = world.row(stored)
    assert (row.status, row.failures, row.last_error, row.lease_owner) == ("active", 1, "refresh_failed", None)


def test_expired_token_without_refresh_token_needs_consent(world: World) -> None:
    """The user is shown an error page in place of the way to connect again."""
    stored = world.save(expires_in=-5, refresh_token=None)
    with pytest.raises(ReauthorizationRequired, match="token_expired"):
        world.create_vault().fresh(stored, never)
    assert world.row(stored).status == "reauth_required"


def test_rejected_token_that_nothing_can_renew_comes_back(world: World) -> None:
    """An application loses the API's own answer if a 401 without a refresh token becomes another error."""
    stored = world.save(expires_in=600, refresh_token=None)
    assert world.create_vault().fresh(stored, never, rejected="access-0") is stored
    twitter = world.store.save(7, "bird", {"oauth_token": "a", "oauth_token_secret": "b"}, protocol="oauth1", now=0)
    assert world.create_vault().fresh(twitter, never, rejected="a") is twitter


def test_unreadable_row_needs_consent_and_stays(world: World) -> None:
    """One start with the wrong key disconnects every user for good if such rows are marked."""
    stored = dataclasses.replace(world.save(expires_in=600), unreadable=True, token=TokenDict())
    vault = world.create_vault()
    for _ in range(2):
        with pytest.raises(ReauthorizationRequired, match="sealed_value_unreadable"):
            vault.fresh(stored, never)
    assert [(event.kind, event.error) for event in world.store.events] == [
        ("reauth_required", "sealed_value_unreadable")
    ]
    assert vault.health(stored).state == "reauth_required"
    assert world.row(stored).status == "active"


@pytest.mark.parametrize(
    ("row", "state", "usable"),
    [
        ({"expires_in": 600}, "fresh", True),
        ({"expires_in": 30}, "due", True),
        ({"expires_in": -5}, "due", True),
        ({"expires_in": 30, "lease_owner": "other", "lease_expires_at": 2e9}, "refreshing", True),
        ({"expires_in": -5, "lease_owner": "other", "lease_expires_at": 2e9}, "refreshing", False),
        ({"expires_in": 30, "retry_at": 2e9, "failures": 3, "last_error": "provider_unavailable"}, "backing_off", True),
        ({"expires_in": -5, "retry_at": 2e9, "failures": 3}, "backing_off", False),
        ({"expires_in": -5, "refresh_token": None}, "expired", False),
        ({"expires_in": 600, "status": "reauth_required", "last_error": "invalid_grant"}, "reauth_required", False),
        ({"expires_in": 600, "status": "revoked"}, "revoked", False),
        ({"expires_in": 600, "unreadable": True}, "reauth_required", False),
    ],
)
def test_health_tells_how_a_token_is(world: World, row: dict[str, Any], state: str, usable: bool) -> None:
    """The accounts page says that all is well while nothing works, or the other way round."""
    saved = {key: row[key] for key in ("expires_in", "refresh_token") if key in row}
    fields = {key: value for key, value in row.items() if key not in saved}
    world.time.now = 1.9e9
    vault = world.create_vault()
    health = vault.health(dataclasses.replace(world.save(**saved), **fields))
    assert (health.state, health.usable) == (state, usable)
    assert health.retry_at == (2e9 if state == "backing_off" else None)
    assert health.refreshable == ("refresh_token" not in row)
    assert health.last_error == ("sealed_value_unreadable" if row.get("unreadable") else row.get("last_error"))
    assert vault.load(7, "hub", protocol="oauth2") is not None


def test_refresh_now_hides_no_failure(world: World) -> None:
    """A cron job reports success although nothing was refreshed."""
    stored = world.save(expires_in=600)
    vault = world.create_vault()
    assert vault.refresh_now(stored, never, within=500) is stored
    world.endpoint.answers.append((503, {}, ""))
    with pytest.raises(ProviderUnavailable):
        vault.refresh_now(stored, world.endpoint.refresh, within=900)
    world.time.now += 2
    assert vault.refresh_now(stored, world.endpoint.refresh).token["access_token"] == "access-1"
    assert vault.refresh_now(stored, never).token["access_token"] == "access-1"


# Rows that go away, databases that fail


def test_disconnect_in_mid_refresh_stays_a_disconnect(world: World) -> None:
    """A connection that the user has removed comes back, or its new grant lives on at the provider."""
    stored = world.save(expires_in=-5)
    orphans: list[TokenDict] = []

    def refresh(claimed: StoredToken) -> TokenDict:
        world.store.delete_for_user(7, event=_event("disconnect"))
        return world.endpoint.refresh(claimed)

    with pytest.raises(MissingTokenError):
        world.create_vault().fresh(stored, refresh, on_orphan=orphans.append)
    assert MemoryStore.reload(world.store, stored) is None
    assert [token["refresh_token"] for token in orphans] == ["refresh-1"]


def test_revocation_in_mid_refresh_stays_a_revocation(world: World) -> None:
    """A grant that has just been revoked lives on at the provider by the token that replaced it, known to nobody."""
    stored = world.save(expires_in=-5)
    orphans: list[TokenDict] = []

    def refresh(claimed: StoredToken) -> TokenDict:
        answer = world.endpoint.refresh(claimed)
        assert world.create_vault().revoke(claimed, lambda row: True)
        return answer

    with pytest.raises(ReauthorizationRequired):
        world.create_vault().fresh(stored, refresh, on_orphan=orphans.append)
    current = world.store.reload(stored)
    assert current is not None
    assert (current.status, current.token) == ("revoked", {})
    assert [token["refresh_token"] for token in orphans] == ["refresh-1"]


def test_row_of_another_user_under_the_same_key_is_left_alone(world: World) -> None:
    """One user gets another one's token where the database gives a freed key to the next row."""
    stored = world.save(expires_in=-5)

    def refresh(claimed: StoredToken) -> TokenDict:
        world.store.delete_for_user(7, event=_event("disconnect"))
        world.store._ids = iter([stored.id])  # type: ignore[assignment]
        world.store.save(8, "hub", {"access_token": "of-8"}, "99", protocol="oauth2", now=world.time.now)
        return world.endpoint.refresh(claimed)

    with pytest.raises(MissingTokenError):
        world.create_vault().fresh(stored, refresh)
    other = world.store.load(8, "hub", protocol="oauth2")
    assert other is not None
    assert other.token["access_token"] == "of-8"


def test_claim_that_cannot_be_given_back_hides_no_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The operator looks for the fault in the database while the provider is down."""
    stored = world.save(expires_in=-5)
    world.store.failing["release"] = 1
    with pytest.raises(ProviderUnavailable):
        world.create_vault().fresh(stored, raising(ProviderUnavailable()))
    assert "holds until its lease ends" in caplog.text


def test_token_is_saved_when_the_database_comes_back_in_time(world: World) -> None:
    """A short outage of the database costs the user the grant, for the old refresh token is spent."""
    stored = world.save(expires_in=-5)
    world.store.failing["commit_refresh"] = 4
    fresh = world.create_vault().fresh(stored, world.endpoint.refresh)
    assert fresh.token["access_token"] == "access-1"
    assert world.row(stored).token["refresh_token"] == "refresh-1"


def test_token_that_cannot_be_saved_is_not_used_and_not_lost(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A longer outage of the database costs the user the grant, or a token is used that nobody can renew."""
    stored = world.save(expires_in=-5)
    world.store.failing["commit_refresh"] = 10**6
    vault = world.create_vault()
    with pytest.raises(StorageUnavailable):
        vault.fresh(stored, world.endpoint.refresh)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert not [secret for secret in world.endpoint.issued if secret in caplog.text]
    with pytest.raises(StorageUnavailable):
        vault.fresh(stored, never)
    world.store.failing.clear()
    assert vault.fresh(stored, never).token["refresh_token"] == "refresh-1"
    assert world.endpoint.asked == 1
    assert vault._tools.unsaved == {}


def test_valid_token_is_served_when_the_new_one_cannot_be_saved(world: World) -> None:
    """A call fails that could have been made."""
    stored = world.save(expires_in=59)
    world.store.failing["commit_refresh"] = 10**6
    vault = world.create_vault(refresh_lease=5.0)
    assert vault.fresh(stored, world.endpoint.refresh).token["access_token"] == "access-0"
    world.store.failing.clear()
    world.time.now += 60
    assert vault.fresh(stored, never).token["access_token"] == "access-1"


def test_database_that_is_down_is_not_asked_for_ever(world: World) -> None:
    """All workers hang while the database is down."""
    expired, valid = world.save(expires_in=-5), world.save(expires_in=30)
    world.store.failing["reload"] = 10**6
    vault = world.create_vault()
    with pytest.raises(StorageUnavailable):
        vault.fresh(expired, never)
    assert world.store.calls == ["reload"] * 3
    assert vault.fresh(valid, never) is valid


def test_grant_declared_dead_by_a_slower_process_is_revived_by_the_answer(world: World) -> None:
    """A user must consent again although the new token is in our hands."""
    stored = world.save(expires_in=-5)

    def refresh(claimed: StoredToken) -> TokenDict:
        assert world.store.mark_reauth_required(claimed, error="invalid_grant")
        return world.endpoint.refresh(claimed)

    fresh = world.create_vault().fresh(stored, refresh)
    assert (fresh.status, fresh.token["access_token"]) == ("active", "access-1")


def test_new_consent_in_mid_refresh_wins(world: World) -> None:
    """A user who consents to more at that moment gets the old, narrower token back."""
    stored = world.save(expires_in=-5)

    def refresh(claimed: StoredToken) -> TokenDict:
        world.save(expires_in=900, access_token="consented", refresh_token="r-new")
        return world.endpoint.refresh(claimed)

    assert world.create_vault().fresh(stored, refresh).token["access_token"] == "consented"
    assert world.row(stored).token["refresh_token"] == "r-new"


def test_refusal_of_a_removed_connection_leaves_the_new_one_alone(world: World) -> None:
    """A user who disconnects and connects again is told to connect again, where keys of rows are reused."""
    stored = world.save(expires_in=-5)

    def refresh(claimed: StoredToken) -> TokenDict:
        world.store.delete_for_user(7, event=_event("disconnect"))
        world.store._ids = iter([stored.id])  # type: ignore[assignment]
        world.save(expires_in=900, access_token="consented", refresh_token="r-new")
        raise TokenRequestError("invalid_grant")

    fresh = world.create_vault().fresh(stored, refresh)
    assert fresh.id == stored.id
    assert fresh.token["access_token"] == "consented"
    assert world.row(stored).status == "active"


def test_answer_without_a_token_blocks_nothing(world: World) -> None:
    """A client of the application's own that returns nothing usable makes the row unusable until a restart."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    with pytest.raises(ProviderResponseError):
        vault.fresh(stored, lambda claimed: TokenDict())
    world.time.now += 2
    assert vault.fresh(stored, world.endpoint.refresh).token["access_token"] == "access-1"


# Many callers


def test_what_a_refresh_needs_is_loaded_before_the_claim(world: World) -> None:
    """Where discovery and keys come slowly, the claim runs out, and another worker spends the same refresh token."""
    stored = world.save(expires_in=-5)
    leases: list[str | None] = []

    def look() -> None:
        leases.append(world.row(stored).lease_owner)

    def refresh(claimed: StoredToken) -> TokenDict:
        look()
        return world.endpoint.refresh(claimed)

    vault = world.create_vault()
    fresh = vault.fresh(stored, refresh, prepare=look)
    assert leases == [None, leases[1]]
    assert leases[1] is not None
    assert vault.fresh(fresh, never, prepare=look) is fresh
    assert len(leases) == 2


def test_failed_preparation_backs_off_like_a_refresh(world: World) -> None:
    """A provider whose discovery is down is asked by every call of every worker."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()

    def fail() -> None:
        raise ProviderUnavailable

    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            vault.fresh(stored, never, prepare=fail)
    assert (world.row(stored).failures, world.row(stored).lease_owner) == (1, None)
    valid = world.save(expires_in=30)
    assert vault.fresh(valid, never, prepare=fail).token == valid.token


@pytest.mark.parametrize(("lease", "warned"), [(20.0, True), (30.0, False)])
def test_lease_that_a_slow_provider_outlasts_is_warned_of(
    world: World, caplog: pytest.LogCaptureFixture, lease: float, warned: bool
) -> None:
    """A number in the configuration costs users their grants as soon as the provider is slow."""
    world.create_vault(refresh_lease=lease)
    assert ("OAUTH_ACCOUNTS_REFRESH_LEASE" in caplog.text) is warned


def test_thirty_two_threads_ask_once(world: World) -> None:
    """A provider that detects reuse revokes the grant when two threads refresh at once."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    start = threading.Barrier(32)

    def call() -> str:
        start.wait(30)
        return str(vault.fresh(stored, world.endpoint.refresh).token["access_token"])

    with ThreadPoolExecutor(32) as pool:
        results = [future.result() for future in [pool.submit(call) for _ in range(32)]]
    assert results == ["access-1"] * 32
    assert (world.endpoint.asked, world.endpoint.revoked) == (1, False)


def test_one_401_for_many_callers_is_one_refresh(world: World) -> None:
    """A burst of calls with a token revoked at the provider becomes a burst of refreshes."""
    stored = world.save(expires_in=600)
    vault = world.create_vault()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(vault.fresh, stored, world.endpoint.refresh, rejected="access-0") for _ in range(8)]
        assert {call.result().token["access_token"] for call in calls} == {"access-1"}
    assert vault.fresh(stored, never, rejected="access-0").token["access_token"] == "access-1"
    assert world.endpoint.asked == 1


@pytest.fixture
def slow(world: World) -> Any:
    """Start a refresh of a row in a thread; it hangs at the provider until the gate opens."""
    world.endpoint.gate.clear()
    with ThreadPoolExecutor(1) as pool:

        def start(vault: Vault, stored: StoredToken) -> Any:
            future = pool.submit(vault.fresh, stored, world.endpoint.refresh)
            assert world.endpoint.arrived.wait(30)
            return future

        yield start
        world.endpoint.gate.set()


@pytest.mark.parametrize("same_process", [True, False])
def test_valid_token_is_served_during_a_refresh(world: World, slow: Any, same_process: bool) -> None:
    """Everybody waits for a slow provider although the token in hand still works."""
    stored = world.save(expires_in=30)
    vault = world.create_vault()
    future = slow(vault, stored)
    other = vault if same_process else world.create_vault()
    assert other.fresh(stored, never).token == stored.token
    assert vault.health(world.row(stored)).state == "refreshing"
    world.endpoint.gate.set()
    assert future.result(30).token["access_token"] == "access-1"


@pytest.mark.parametrize("same_process", [True, False])
def test_waiting_ends(world: World, slow: Any, same_process: bool) -> None:
    """A slow provider takes all workers of the application with it."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault(refresh_wait=0.0)
    future = slow(vault, stored)
    other = vault if same_process else world.create_vault(refresh_wait=0.0)
    with pytest.raises(ProviderUnavailable) as caught:
        other.fresh(stored, never)
    assert caught.value.status == 504
    world.endpoint.gate.set()
    assert future.result(30).token["access_token"] == "access-1"


def test_thread_that_has_waited_long_looks_for_itself(world: World, slow: Any) -> None:
    """A thread waits for ever for another one that waits for a lock which the first one's own request holds."""
    stored = world.save(expires_in=-5)
    vault = Vault(world.store, settings=Settings(refresh_wait=3600.0), clock=world.time)
    future = slow(vault, stored)
    reload, looked = world.store.reload, threading.Event()

    def watched(stored: StoredToken) -> StoredToken | None:
        looked.set()
        return reload(stored)

    world.store.reload = watched  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(vault.fresh, stored, never)
        assert looked.wait(30)  # the leader is still waiting for the provider
        world.endpoint.gate.set()
        assert follower.result(30).token["access_token"] == "access-1"
    assert future.result(30).token["access_token"] == "access-1"


def test_another_process_waits_for_the_result(world: World, slow: Any) -> None:
    """Calls in the other workers fail while one of them refreshes."""
    stored = world.save(expires_in=-5)
    future = slow(world.create_vault(), stored)

    def finish() -> None:
        world.endpoint.gate.set()
        future.result(30)

    world.time.on_wait = finish
    assert world.create_vault().fresh(stored, never).token["access_token"] == "access-1"


def test_claim_of_a_dead_process_delays_by_the_lease_only(world: World) -> None:
    """A token is lost for good when the process that was refreshing it is killed."""
    stored = world.save(expires_in=-5)
    claimed = world.store.claim(stored, owner="killed", now=world.time.now, lease=10)
    assert claimed is not None
    begin = world.time.now
    fresh = world.create_vault(refresh_wait=15.0).fresh(stored, world.endpoint.refresh)
    assert fresh.token["access_token"] == "access-1"
    assert 10 <= world.time.now - begin < 11.1
    # And the killed one, were it only slow, would no longer write.
    assert world.store.commit_refresh(claimed, owner="killed", token=TokenDict(access_token="z"), now=0) is None


def test_waiters_get_the_winners_error(world: World, slow: Any) -> None:
    """Each waiter asks a provider that is down again, one after the other."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    world.endpoint.answers.append((503, {}, ""))
    future = slow(vault, stored)
    with ThreadPoolExecutor(4) as pool:
        waiters = [pool.submit(vault.fresh, stored, never) for _ in range(4)]
        world.endpoint.gate.set()
        errors = [waiter.exception(30) for waiter in waiters]
    assert [type(error) for error in errors] == [ProviderUnavailable] * 4
    assert len({id(error) for error in [*errors, future.exception(30)]}) == 5


def test_interrupted_leader_leaves_the_others_to_themselves(world: World) -> None:
    """Ctrl-C or a worker's timeout in one thread fails all threads, or blocks them for the lease."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    waiting, asked = threading.Event(), threading.Event()

    def interrupted(claimed: StoredToken) -> TokenDict:
        asked.set()
        assert waiting.wait(30)
        raise KeyboardInterrupt

    def lead() -> None:
        with pytest.raises(KeyboardInterrupt):
            vault.fresh(stored, interrupted)

    leader = threading.Thread(target=lead)
    leader.start()
    assert asked.wait(30)
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(vault.fresh, stored, world.endpoint.refresh)
        waiting.set()
        assert follower.result(30).token["access_token"] == "access-1"
    leader.join()
    assert world.row(stored).lease_owner is None


def test_thread_that_can_write_helps_one_that_cannot(world: World) -> None:
    """Two requests wait for each other where one holds SQLite's write lock and the other one the new token."""
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    blocked, may_write = threading.Event(), threading.local()
    commit = world.store.commit_refresh

    def commit_refresh(*args: Any, **kwargs: Any) -> StoredToken | None:
        if not getattr(may_write, "yes", False):
            blocked.set()
            raise StorageUnavailable
        return commit(*args, **kwargs)

    world.store.commit_refresh = commit_refresh  # type: ignore[method-assign]
    world.endpoint.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(vault.fresh, stored, world.endpoint.refresh)
        assert world.endpoint.arrived.wait(30)

        def host() -> StoredToken:
            may_write.yes = True
            return vault.fresh(stored, never)

        follower = pool.submit(host)
        world.time.on_wait = lambda: follower.result(30)
        world.endpoint.gate.set()
        assert follower.result(30).token["access_token"] == "access-1"
        assert leader.result(30).token["access_token"] == "access-1"
    assert blocked.is_set()
    assert (world.endpoint.asked, world.endpoint.revoked) == (1, False)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
def test_forked_child_waits_for_no_thread_of_its_parent() -> None:
    """Workers of gunicorn --preload hang for ever on a refresh that another process leads."""
    flights = Flights()
    assert flights.join("row")[1]
    with flights._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a child that hangs is ended by it
            os._exit(0 if flights.join("row")[1] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not flights.join("row")[1]


# What comes after


def test_failing_receiver_harms_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a signal receiver costs the user the call, and every waiter with it."""
    stored = world.save(expires_in=-5)
    vault = Vault(world.store, settings=Settings(), clock=world.time, notify=lambda notice: 1 // 0)
    assert vault.fresh(stored, world.endpoint.refresh).token["access_token"] == "access-1"
    assert "ZeroDivisionError" in caplog.text


def test_receiver_may_use_the_vault(world: World) -> None:
    """A receiver that calls the API waits for itself."""
    stored = world.save(expires_in=-5)
    seen: list[type[BaseException]] = []

    def notify(notice: Notice) -> None:
        try:
            vault.fresh(stored, never)
        except ProviderUnavailable as error:
            seen.append(type(error))

    vault = Vault(world.store, settings=Settings(), clock=world.time, monotonic=world.time, notify=notify)
    world.endpoint.answers.append((503, {}, ""))
    with pytest.raises(ProviderUnavailable):
        vault.fresh(stored, world.endpoint.refresh)
    assert seen == [ProviderUnavailable]


def test_no_secret_is_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads the log or an error report can use the users' accounts."""
    caplog.set_level(logging.DEBUG, "flask_oauth_accounts")
    stored = world.save(expires_in=-5)
    vault = world.create_vault()
    fresh = vault.fresh(stored, world.endpoint.refresh)
    with pytest.raises(ReauthorizationRequired) as caught:
        vault.fresh(fresh, raising(TokenRequestError("invalid_grant")), rejected="access-1")
    shown = (
        f"{caplog.text} {world.notices!r} {fresh!r} {caught.value!r} {caught.value.__cause__!r} {world.store.events!r}"
    )
    shown += repr(vault._tools)
    assert not [secret for secret in world.endpoint.issued if secret in shown]


def test_error_without_copy_is_passed_on_as_it_is() -> None:
    """A waiter gets a TypeError in place of the provider's error."""

    class Odd(Exception):
        def __init__(self, one: int, *, two: int) -> None:
            super().__init__("odd")

    error = Odd(1, two=2)
    assert copy_error(error) is error
    copied = copy_error(ProviderUnavailable(retry_after=3, timeout=True))
    assert isinstance(copied, ProviderUnavailable)
    assert (copied.retry_after, copied.status) == (3, 504)


def _event(kind: str) -> Any:
    from flask_oauth_accounts.protocols import Event

    return Event(kind=kind, outcome="success")
