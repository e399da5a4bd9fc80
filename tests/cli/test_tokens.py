"""``flask oauth tokens`` and ``flask oauth purge``, with tokens from real logins."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from flask_oauth_accounts import signals
from flask_oauth_accounts.testing import DevProvider

MakeSite = Callable[..., Any]
KEYS = ["k1:" + "A" * 43, "k2:" + "B" * 42 + "A"]


def test_tokens_are_listed_with_their_health(site: Any) -> None:
    """An operator could not see whose connection is broken."""
    for name, user in (("one", "bob"), ("two", "alice"), ("three", "carol")):
        site.log_in(name, user)
    lines = [line.split() for line in site.run("tokens", "list").output.splitlines()]
    assert lines[0][:4] == ["user", "name", "account", "state"]
    assert {(line[0], line[1], line[3]) for line in lines[1:]} == {
        ("1", "one", "fresh"),
        ("2", "two", "fresh"),
        ("3", "three", "fresh"),
    }
    assert len(site.run("tokens", "list", "--name", "two").output.splitlines()) == 2
    assert len(site.run("tokens", "list", "--user", "1").output.splitlines()) == 2
    assert len(site.run("tokens", "list", "--status", "revoked").output.splitlines()) == 1
    values = [json.loads(line) for line in site.run("tokens", "list", "--json").output.splitlines()]
    assert {(item["user"], item["name"], item["protocol"]) for item in values} == {
        ("1", "one", "oauth1"),
        ("2", "two", "oauth2"),
        ("3", "three", "oauth2"),
    }
    assert values[0].keys() >= {"id", "account", "state", "expires_at", "retry_at", "last_error", "scope"}


@pytest.mark.parametrize("user", ["x7", "99999999999999999999", "-99999999999999999999"])
@pytest.mark.parametrize("command", ["list", "refresh", "revoke"])
def test_a_user_id_that_can_be_none_is_said(site: Any, command: str, user: str) -> None:
    """A typing error would end in a traceback, or be taken for a fault of the database."""
    output = site.run("tokens", command, "--user", user, code=2).output
    assert "--user" in output
    assert "can be no user id" in output


def test_only_tokens_that_expire_soon_are_refreshed(site: Any, provider: DevProvider) -> None:
    """A cron job would ask the provider for every token of every user each time."""
    provider.settings.access_token_lifetime = 600
    site.log_in("two", "alice")
    provider.settings.access_token_lifetime = 7200
    site.log_in("three", "bob")
    old = [site.load(1), site.load(2, "three")]
    output = site.run("tokens", "refresh", "--expiring-within", "15m").output
    assert output.endswith("1 refreshed, 0 failed\n")
    new = [site.load(1), site.load(2, "three")]
    assert new[0].token["access_token"] != old[0].token["access_token"]
    assert new[0].expires_at > old[0].expires_at + 3600
    assert new[1] == old[1]
    assert "0 refreshed" in site.run("tokens", "refresh", "--expiring-within", "15m").output
    assert provider.count("/oauth2/token", status=200) == 3


def test_tokens_that_live_shorter_than_the_cron_job_asks_are_refreshed_once(site: Any, provider: DevProvider) -> None:
    """The job would go round in circles, and the provider be asked until it refuses."""
    provider.settings.access_token_lifetime = 600
    with site.app.app_context():
        site.log_in("two", "alice")
        first = site.load()
        for number in range(1, 500):  # as many as are read at once
            account = f"account {number}"
            site.accounts.store.save(1, "gone", first.token, account, protocol="oauth2", now=first.updated_at)
    output = site.run("tokens", "refresh", "--expiring-within", "1h").output
    assert "1 refreshed, 0 failed" in output
    assert provider.count("/oauth2/token", grant_type="refresh_token") == 1


def test_a_grant_that_is_renewed_while_its_connection_is_removed_ends(site: Any, provider: DevProvider) -> None:
    """The cron job would leave a grant at the provider that nobody here knows of any more."""
    site.log_in()
    asked = provider.fail("/oauth2/token", None, hang=True)
    job = threading.Thread(target=site.run, args=("tokens", "refresh", "--name", "two"), kwargs={"code": 1})
    job.start()
    assert asked.entered.wait(30)
    with site.app.app_context():
        site.accounts.store.delete_for_user(1)
    asked.release()
    job.join(30)
    assert provider.count("/oauth2/revoke", status=200) > 0


def test_a_grant_that_nobody_has_used_for_long_is_kept_alive(site: Any, provider: DevProvider) -> None:
    """Providers end refresh tokens that are not used for weeks; the user would have to connect again."""
    site.log_in()
    assert "0 refreshed" in site.run("tokens", "refresh", "--idle", "30d").output
    with site.app.app_context():
        accounts = site.accounts
        stored = site.load()
        month_ago = stored.issued_at - 31 * 86_400
        long_expired = {**stored.token, "expires_at": month_ago + 3600}
        accounts.store.save(1, "two", long_expired, stored.account, protocol="oauth2", now=month_ago)
    assert "1 refreshed" in site.run("tokens", "refresh", "--idle", "30d").output
    assert site.load().token["access_token"] != stored.token["access_token"]


def test_a_token_that_expired_long_ago_is_refreshed_by_the_cron_job_too(site: Any, provider: DevProvider) -> None:
    """``--expiring-within`` would leave out those that need it most."""
    provider.settings.access_token_lifetime = 1
    site.log_in()
    provider.settings.access_token_lifetime = 3600
    assert "1 refreshed" in site.run("tokens", "refresh", "--expiring-within", "15m").output


def test_one_dead_grant_does_not_stop_the_others(site: Any, provider: DevProvider) -> None:
    """One user's revoked grant would leave all later ones to expire."""
    for user in ("alice", "bob"):
        site.log_in("two", user)
    provider.revoke_grants("alice")
    output = site.run("tokens", "refresh", "--name", "two", code=1).output
    assert "1 refreshed, 1 failed" in output
    assert "two, user 1: " in output
    assert site.load(1).status == "reauth_required"
    assert site.load(2).status == "active"
    assert "1 refreshed, 0 failed" in site.run("tokens", "refresh", "--name", "two").output


def test_a_token_of_a_client_that_is_gone_is_named(make_site: MakeSite) -> None:
    """A provider that was taken out of the configuration would stop the cron job."""
    make_site().log_in()
    site = make_site(OAUTH_ACCOUNTS_PROVIDERS="one,three")
    output = site.run("tokens", "refresh", "--expiring-within", "30d").output
    assert "two, user 1: no client of this name" in output


def test_one_start_with_a_wrong_key_costs_no_later_refresh(make_site: MakeSite) -> None:
    """The cron job would pass over these tokens for ever, and report success."""
    site = make_site(OAUTH_ACCOUNTS_KEYS=[KEYS[0]])
    site.log_in()
    refused = make_site(OAUTH_ACCOUNTS_KEYS=[KEYS[1]]).run("tokens", "refresh", "--expiring-within", "2h", code=1)
    assert "sealed with the key 'k1', which is gone" in refused.output
    assert "send the user" not in refused.output
    assert len(site.run("tokens", "list", "--status", "active").output.splitlines()) == 2
    assert len(site.run("tokens", "list", "--status", "reauth_required").output.splitlines()) == 1
    assert "1 refreshed, 0 failed" in site.run("tokens", "refresh", "--expiring-within", "2h").output
    assert site.load().last_error is None


def test_a_refresh_of_everything_has_to_be_meant(site: Any) -> None:
    """A slip would refresh the tokens of all users at once."""
    assert "--expiring-within" in site.run("tokens", "refresh", code=2).output
    assert "--name or --user" in site.run("tokens", "revoke", code=2).output


def test_a_revoked_grant_is_dead_at_the_provider_and_empty_here(site: Any, provider: DevProvider) -> None:
    """A stolen token would live on at the provider, or lie about here."""
    site.log_in()
    secret = site.load().token["access_token"]
    refused = site.run("tokens", "revoke", "--user", "1", input="n\n", code=1)
    assert "Revoke 1 grants?" in refused.output
    assert site.load().status == "active"
    assert "1 revoked" in site.run("tokens", "revoke", "--user", "1", "--yes").output
    assert provider.state.find_access_token(secret) is None
    stored = site.load()
    assert (stored.status, "access_token" in stored.token, "refresh_token" in stored.token) == ("revoked", False, False)
    assert "0 revoked" in site.run("tokens", "revoke", "--user", "1", "--yes").output
    assert " revoked " in site.run("tokens", "list").output
    with site.app.app_context():
        (event,) = site.accounts.store.list_events(kind="revoked")
    assert (event.event.outcome, event.event.user_id) == ("success", 1)


def test_a_token_that_is_refreshed_while_it_is_revoked_is_revoked_too(site: Any, provider: DevProvider) -> None:
    """The command would report success, and the new token go on working."""
    site.log_in()
    asked = provider.fail("/oauth2/revoke", None, hang=True)
    outputs: list[str] = []
    told: list[tuple[str, int, str]] = []

    def hear(sender: Any, *, name: str, user: Any, account: str) -> None:
        told.append((name, user.id, account))

    def revoke() -> None:
        outputs.append(site.run("tokens", "revoke", "--user", "1", "--yes").output)

    with signals.token_revoked.connected_to(hear, site.app):
        command = threading.Thread(target=revoke)
        command.start()
        assert asked.entered.wait(30)
        before = site.load()
        with site.app.app_context():
            site.accounts.oauth.two.refresh_now(before)
        renewed = site.load().token["access_token"]
        asked.release()
        command.join(30)
    assert "1 revoked, 0 not offered, 0 failed" in outputs[0]
    assert site.load().status == "revoked"
    assert provider.state.find_access_token(renewed) is None
    assert told == [("two", 1, before.account)]


def test_a_revocation_that_fails_leaves_the_row(site: Any, provider: DevProvider) -> None:
    """The secret that is needed to try again would be gone."""
    site.log_in()
    provider.fail("/oauth2/revoke", 503, times=None)
    assert "1 failed" in site.run("tokens", "revoke", "--name", "two", "--yes", code=1).output
    assert site.load().token["access_token"]
    provider.clear_faults()
    assert "1 revoked" in site.run("tokens", "revoke", "--name", "two", "--yes").output


def test_a_grant_that_cannot_be_revoked_now_is_left(make_site: MakeSite, provider: DevProvider) -> None:
    """The token would be destroyed here and live on at the provider, while the command reports success."""
    site = make_site(OAUTH_ACCOUNTS_KEYS=[KEYS[0]])
    site.log_in()
    without_key = make_site(OAUTH_ACCOUNTS_KEYS=[KEYS[1]])
    without_client = make_site(OAUTH_ACCOUNTS_KEYS=[KEYS[0]], OAUTH_ACCOUNTS_PROVIDERS="one,three")
    for broken, reason in ((without_key, "the key 'k1', which is gone"), (without_client, "no client of this name")):
        output = broken.run("tokens", "revoke", "--name", "two", "--yes", code=1).output
        assert "0 revoked, 0 not offered, 1 failed" in output
        assert reason in output
        assert site.load().token["refresh_token"]
    with site.app.app_context():
        assert {item.event.outcome for item in site.accounts.store.list_events(kind="revoked")} == {"failure"}
    assert "1 revoked" in site.run("tokens", "revoke", "--name", "two", "--yes").output
    assert provider.count("/oauth2/revoke", status=200) > 0


def test_a_provider_without_revocation_is_told_apart(site: Any) -> None:
    """An operator would believe that the grant has ended at the provider."""
    site.log_in("one")
    assert "0 revoked, 1 not offered" in site.run("tokens", "revoke", "--name", "one", "--yes").output
    assert site.load(1, "one", "oauth1").status == "revoked"


def test_old_events_and_rows_without_a_user_are_purged(site: Any) -> None:
    """Personal data would stay for ever."""
    site.log_in()
    assert "0 events and 0 rows" in site.run("purge").output
    with site.app.app_context():
        db = site.accounts.db
        with db.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE oauth_event SET created_at = created_at - 100 * 86400")
            connection.exec_driver_sql("DELETE FROM oauth_user")
    assert "0 events" in site.run("purge", "--events-older-than", "101d").output
    output = site.run("purge", "--events-older-than", "99d").output
    assert "1 events and 0 rows" in output
    assert site.load() is None


@pytest.mark.parametrize("value", ["90", "2d"])
def test_the_retention_is_configurable(make_site: MakeSite, value: str) -> None:
    """An operator who must delete after days would have to say so each time."""
    site = make_site(OAUTH_ACCOUNTS_EVENT_RETENTION=90 if value == "90" else 2 * 86_400)
    site.log_in()
    with site.app.app_context(), site.accounts.db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE oauth_event SET created_at = created_at - 3600")
    assert ("1 events" if value == "90" else "0 events") in site.run("purge").output
