"""Renewing tokens: once, stored before use, and never at somebody else's expense."""

from __future__ import annotations

import threading
from typing import Any

import pytest

OAUTH2 = pytest.mark.parametrize("name", ["two", "three"])
TOKEN = "/oauth2/token"


def expire(site: Any) -> None:
    """Let every stored token be due."""
    site.execute("UPDATE oauth2_token SET expires_at = 1")


def refreshes(site: Any) -> int:
    """How often the provider was asked to renew."""
    return int(site.provider.count(TOKEN, grant_type="refresh_token"))


def log_in(site: Any, name: str = "two", user: str = "alice") -> Any:
    """A browser whose user's token is due."""
    browser = site.browser()
    site.log_in(browser, name, user)
    expire(site)
    return browser


def stored(site: Any, name: str = "two", user: int = 1) -> Any:
    """A user's token as a job sees it."""
    with site.app.app_context():
        return site.app.extensions["flask_oauth_accounts"].accounts.oauth.create_client(name).for_user(user).token


@OAUTH2
def test_j01_many_calls_at_once_renew_once(site: Any, name: str) -> None:
    """Every second call would end the grant: a rotated token works once."""
    browser = log_in(site, name)
    callers = [site.browser() for _ in range(8)]
    for caller in callers:
        site.copy_cookies(browser, caller)
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda c=caller: answers.append(c.get(f"/api/{name}").json)) for caller in callers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer["subject"] for answer in answers] == ["dev-1001"] * 8
    assert refreshes(site) == 1


def test_j01_j02_two_workers_renew_once(make_site: Any) -> None:
    """Two processes would end each other's grants."""
    first = make_site()
    second = make_site(folder=first.folder)
    browser = log_in(first)
    other = second.browser()
    first.copy_cookies(browser, other)
    assert browser.get("/api/two").json["subject"] == "dev-1001"
    assert other.get("/api/two").json["subject"] == "dev-1001"
    assert refreshes(first) == 1


def test_j03_a_dead_grant(site: Any) -> None:
    """Every call would ask again, and the user would never be told."""
    browser = log_in(site)
    site.provider.revoke_grants("alice")
    for _ in range(3):
        response = browser.get("/fetch/two", query_string={"url": "echo"})
        assert response.json == {"error": "reauthorization_required"}
    assert refreshes(site) == 1
    assert site.who(browser) == "1"
    assert site.rows("oauth2_token")[0]["status"] == "reauth_required"
    assert site.accounts(browser)[0]["status"] == "reauth_required"
    site.assert_page(browser.get("/profile/two"), 403)
    assert site.log_in(site.browser(), "two", "alice").status_code == 302


@OAUTH2
@pytest.mark.parametrize(
    "answer",
    [
        {"remove": ["refresh_token"]},
        {"refresh_token": None},
        {"refresh_token": ""},
        {"remove": ["expires_in", "scope"]},
        {"expires_in": None, "scope": None, "id_token": None},
    ],
)
def test_j04_j05_j06_what_an_answer_leaves_out_is_kept(site: Any, name: str, answer: dict[str, Any]) -> None:
    """After the first renewal there would be nothing to renew with."""
    site.provider.settings.rotate_refresh_tokens = False
    browser = log_in(site, name)
    before = stored(site, name)
    site.provider.next_token(**answer)
    assert browser.get(f"/api/{name}").json["subject"] == "dev-1001"
    after = stored(site, name)
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] == before["refresh_token"]
    if "expires_in" in answer or "expires_in" in answer.get("remove", ()):
        assert not after.get("expires_at")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 429, "headers": {"Retry-After": "7"}},
        {"status": 500},
        {"status": 200, "body": "<p>"},
        {"drop": True},
        {"status": 400, "body": {"error": "temporarily_unavailable"}},
    ],
)
def test_j07_a_passing_failure(site: Any, fault: dict[str, Any]) -> None:
    """A short outage of the provider would end every grant."""
    browser = log_in(site)
    site.provider.fail(TOKEN, **fault)
    for _ in range(3):
        assert browser.get("/fetch/two", query_string={"url": "echo"}).json["error"] in (
            "provider_unavailable",
            "invalid_response",
            "provider_response",
        )
        # However slow this machine is: the pause after the first failure does not end before the last call.
        site.execute("UPDATE oauth2_token SET retry_at = retry_at + 3600")
    assert refreshes(site) == 1
    assert site.rows("oauth2_token")[0]["status"] == "active"
    site.execute("UPDATE oauth2_token SET retry_at = NULL")
    assert browser.get("/api/two").json["subject"] == "dev-1001"


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("code", ["invalid_grant", "token_revoked", "invalid_refresh_token", "login_required"])
def test_j03_a_dead_grant_by_any_name(site: Any, status: int, code: str) -> None:
    """A user whose grant has ended would never be asked again, and the operator sent to look for a wrong secret."""
    browser = log_in(site)
    site.provider.fail(TOKEN, status, {"error": code})
    assert browser.get("/fetch/two", query_string={"url": "echo"}).json == {"error": "reauthorization_required"}
    assert site.rows("oauth2_token")[0]["status"] == "reauth_required"


def test_j07_invalid_client_is_the_operator_s_affair(site: Any) -> None:
    """A wrong client secret would cost every user's grant."""
    browser = log_in(site)
    before = site.rows("oauth2_token")[0]
    site.provider.fail(TOKEN, 401, {"error": "invalid_client"})
    assert "error" in browser.get("/fetch/two", query_string={"url": "echo"}).json
    after = site.rows("oauth2_token")[0]
    assert (after["status"], after["access_token"], after["refresh_token"]) == (
        before["status"],
        before["access_token"],
        before["refresh_token"],
    )


def test_j08_a_token_that_cannot_be_stored_is_not_used(make_site: Any, debug_log: pytest.LogCaptureFixture) -> None:
    """A rotated token would be used and lost."""
    site = make_site(OAUTH_ACCOUNTS_REFRESH_LEASE=1.5, OAUTH_ACCOUNTS_REFRESH_WAIT=1)
    browser = log_in(site)
    site.execute(
        "CREATE TRIGGER broken BEFORE UPDATE OF access_token ON oauth2_token BEGIN SELECT RAISE(ABORT, 'disk'); END"
    )
    calls = site.provider.count("/echo")
    answer = browser.get("/fetch/two", query_string={"url": "echo"})
    assert "error" in answer.json
    assert site.provider.count("/echo") == calls
    assert any(record.levelname == "CRITICAL" for record in debug_log.records)
    assert not site.find_leaks(browser, log=debug_log.text)


@pytest.mark.parametrize("value", [None, "", {}, 5])
def test_j09_a_renewal_without_a_token(site: Any, value: Any) -> None:
    """Nothing would be stored as if it were a token."""
    browser = log_in(site)
    before = stored(site)
    site.provider.next_token(access_token=value)
    assert "error" in browser.get("/fetch/two", query_string={"url": "echo"}).json
    assert stored(site)["access_token"] == before["access_token"]


@pytest.mark.parametrize(
    "claims",
    [{"iss": "https://evil.example"}, {"sub": "dev-1002"}, {"aud": "other"}, {"remove": ["sub"]}, {"alg": "none"}],
)
def test_j10_a_renewed_id_token_of_somebody_else(site: Any, claims: dict[str, Any]) -> None:
    """A grant of one user would become another's."""
    browser = log_in(site, "three")
    before = stored(site, "three")
    site.provider.next_id_token(**claims)
    answer = browser.get("/fetch/three", query_string={"url": "echo"}).json
    assert "error" in answer
    assert stored(site, "three")["access_token"] == before["access_token"]


def test_j13_everybody_s_renewal_is_their_own(site: Any) -> None:
    """A renewal would be written into another user's row."""
    people = {"alice": "dev-1001", "bob": "dev-1002", "carol": "dev-1003"}
    browsers = {user: log_in(site, "two", user) for user in people}
    threads = [threading.Thread(target=browser.get, args=("/api/two",)) for browser in browsers.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for user, subject in people.items():
        assert browsers[user].get("/api/two").json["subject"] == subject
    assert refreshes(site) == 3


@pytest.mark.parametrize("status", [302, 307, 308])
def test_j14_a_refresh_token_goes_nowhere_else(make_site: Any, evil: Any, status: int) -> None:
    """A redirect would carry the refresh token to the attacker."""
    site = make_site()
    browser = log_in(site, "three")
    site.provider.fail(TOKEN, status, headers={"Location": f"{evil.url}/steal"}, times=None)
    assert "error" in browser.get("/fetch/three", query_string={"url": "echo"}).json
    assert not len(evil.log)
    moved = make_site(folder=site.folder)
    site.provider.clear_faults()
    site.provider.next_metadata(token_endpoint=f"{evil.url}/oauth2/token", issuer=evil.url, times=None)
    other = moved.browser()
    site.copy_cookies(browser, other)
    moved.execute("UPDATE oauth2_token SET retry_at = NULL, expires_at = 1")
    other.get("/fetch/three", query_string={"url": "echo"})
    assert not len(evil.log)


def test_j16_m07_in_a_job(site: Any) -> None:
    """A worker without a request could not use anybody's token."""
    log_in(site)
    with site.app.app_context():
        client = site.app.extensions["flask_oauth_accounts"].accounts.oauth.two
        assert client.for_user(1).get("echo").json()["subject"] == "dev-1001"
    assert refreshes(site) == 1


@pytest.mark.parametrize("path", ["/jwks.json", "/.well-known/openid-configuration"])
def test_j10_a_renewed_id_token_that_cannot_be_checked(make_site: Any, path: str) -> None:
    """A provider whose keys are out of reach for a minute would cost each user the grant, which has been rotated."""
    first = make_site()
    browser = log_in(first, "three")
    before = stored(first, "three")
    worker = make_site(folder=first.folder)  # it knows neither metadata nor keys yet
    worker.app.config["THREE_ACCESS_TOKEN_URL"] = first.provider.url + TOKEN
    caller = worker.browser()
    first.copy_cookies(browser, caller)
    first.provider.fail(path, 503, times=None)
    assert caller.get("/api/three").json["subject"] == "dev-1001"
    renewed = stored(worker, "three")
    assert renewed["refresh_token"] != before["refresh_token"]
    assert renewed["id_token"] == before["id_token"]
    expire(worker)
    first.provider.next_id_token(sub="dev-1002")
    assert "error" in caller.get("/fetch/three", query_string={"url": "echo"}).json
    assert stored(worker, "three")["access_token"] == renewed["access_token"]


def test_j10_a_renewed_id_token_whose_key_is_not_published_yet(site: Any) -> None:
    """A provider that signs with a new key a minute too early would cost each user the grant."""
    browser = log_in(site, "three")
    before = stored(site, "three")
    site.provider.next_id_token(header={"kid": "of tomorrow"})
    assert browser.get("/api/three").json["subject"] == "dev-1001"
    renewed = stored(site, "three")
    assert renewed["refresh_token"] != before["refresh_token"]
    assert renewed["id_token"] == before["id_token"]


@pytest.mark.parametrize("path", ["/jwks.json", "/.well-known/openid-configuration"])
def test_j01_the_claim_lasts_for_the_token_request_only(make_site: Any, path: str) -> None:
    """Keys that come slowly would outlast the claim, and a second worker spend the refresh token once more."""
    first = make_site()
    browser = log_in(first, "three")
    worker = make_site(folder=first.folder)  # it knows neither metadata nor keys yet
    caller = worker.browser()
    first.copy_cookies(browser, caller)
    asked = first.provider.fail(path, None, hang=True)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(caller.get("/api/three").json["subject"]))
    thread.start()
    assert asked.entered.wait(30)
    assert first.rows("oauth2_token")[0]["lease_owner"] is None
    assert browser.get("/api/three").json["subject"] == "dev-1001"
    asked.release()
    thread.join(30)
    assert answers == ["dev-1001"]
    assert refreshes(first) == 1
