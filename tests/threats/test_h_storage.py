"""Storage, keys and logs: whoever reads them has nothing."""

from __future__ import annotations

import pickletools
import traceback
from typing import Any

import pytest

from flask_oauth_accounts.errors import OAuthError
from flask_oauth_accounts.signals import login_failed

ALL = pytest.mark.parametrize("name", ["one", "two", "three"])
SECRETS = {
    "one": ("oauth1_token", "oauth_token_secret"),
    "two": ("oauth2_token", "access_token"),
    "three": ("oauth2_token", "access_token"),
}


@ALL
@pytest.mark.parametrize("how", ["swapped", "changed", "plain", "empty", "cut", "unicode"])
def test_h04_a_stored_secret_that_was_tampered_with(site: Any, name: str, how: str) -> None:
    """A copied or changed row would work for somebody else, or be a server error."""
    browser, other = site.browser(), site.browser()
    site.log_in(browser, name, "alice")
    site.log_in(other, name, "carol")
    table, column = SECRETS[name]
    first, second = site.rows(table)
    value = first[column]
    new = {
        "swapped": second[column],
        "changed": value[:-4] + "AAAA",
        "plain": "a-plain-token",
        "empty": "",
        "cut": value[: len(value) // 2],
        "unicode": "é\x00😀",
    }[how]
    site.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", new, first["id"])
    for path in ("/accounts", f"/profile/{name}", "/login"):
        response = browser.get(path)
        assert response.status_code in (200, 403), (path, response.status_code)
        assert "Carol" not in response.text
        assert "InvalidTag" not in response.text
    assert other.get(f"/profile/{name}").status_code == 200
    assert site.log_in(site.browser(), name, "alice").status_code == 302


@ALL
def test_h07_h08_the_cache_holds_nothing_usable(site: Any, browser: Any, name: str) -> None:
    """Whoever reads the cache could finish logins, or run code by it."""
    location = site.start(browser, name)
    query = site.query_of(location)
    stored = b"".join(
        path.read_bytes() + path.name.encode() for path in (site.folder / "oauth_accounts_cache").iterdir()
    )
    assert stored
    for key in ("state", "nonce", "oauth_token", "code_challenge"):
        assert key not in query or query[key].encode() not in stored
    assert b"code_verifier" not in stored
    assert not site.find_leaks(browser)
    assert not _classes_in(site)


def _classes_in(site: Any) -> set[str]:
    """Names of classes that a pickle of the file-system cache mentions: plain values have none."""
    found = set()
    for path in (site.folder / "oauth_accounts_cache").iterdir():
        data = path.read_bytes()[4:]
        try:
            found |= {
                str(arg) for op, arg, _ in pickletools.genops(data) if op.name in ("GLOBAL", "STACK_GLOBAL", "REDUCE")
            }
        except ValueError:
            continue
    return found


@ALL
def test_h10_no_secret_at_debug_level(site: Any, browser: Any, name: str, debug_log: pytest.LogCaptureFixture) -> None:
    """A log at DEBUG level would hold every token."""
    site.log_in(browser, name)
    site.keep(browser.get(f"/profile/{name}"))
    site.keep(browser.get(f"/api/{name}"))
    site.keep(browser.get("/accounts", headers=site.JSON))
    if name != "one":
        site.execute("UPDATE oauth2_token SET expires_at = 1")
        site.keep(browser.get(f"/api/{name}"))
    site.provider.fail("/oauth1/access_token" if name == "one" else "/oauth2/token", 500)
    site.log_in(site.browser(), name, "carol")
    browser.post("/logout", data={"csrf_token": site.csrf(browser)})
    assert debug_log.records
    assert not site.find_leaks(browser, log=debug_log.text)


@ALL
@pytest.mark.parametrize(
    "body", [{"error": "invalid_grant", "error_description": "{secret}"}, "{secret}", {"access_token": {}}]
)
def test_h11_no_secret_in_errors(site: Any, browser: Any, name: str, body: Any) -> None:
    """An error report would carry a token away."""
    errors: list[OAuthError] = []

    def keep(sender: Any, error: OAuthError, **values: Any) -> None:
        errors.append(error)

    callback = site.callback(browser, name)
    code = site.query_of(callback).get("code") or site.query_of(callback)["oauth_verifier"]
    told = (
        body.replace("{secret}", code)
        if isinstance(body, str)
        else {key: code if value == "{secret}" else value for key, value in body.items()}
    )
    site.provider.fail("/oauth1/access_token" if name == "one" else "/oauth2/token", 400, told)
    with login_failed.connected_to(keep):
        site.keep(browser.get(callback))
    assert [error.status for error in errors] != [503]
    secrets = site.provider.issued_secrets() - {site.provider.client_id}
    for error in errors:
        texts = [repr(error), str(error), error.operator_message, error.visitor_message, str(vars(error))]
        texts += traceback.format_exception(error)
        assert not [secret for secret in secrets if any(secret in text for text in texts)]


@ALL
def test_h13_everybody_uses_their_own_token(site: Any, name: str) -> None:
    """Somebody would see another user's data."""
    people = {"alice": "dev-1001", "bob": "dev-1002", "carol": "dev-1003"}
    browsers = {user: site.browser() for user in people}
    for user, browser in browsers.items():
        site.log_in(browser, name, user)
    for _ in range(2):
        for user, subject in people.items():
            assert browsers[user].get(f"/api/{name}").json["subject"] == subject


@pytest.mark.parametrize("length", [8 * 1024, 60_000])
def test_h14_long_tokens_are_kept_whole(site: Any, browser: Any, length: int) -> None:
    """A token that was cut off would never work."""
    callback = site.callback(browser, "two")
    site.provider.next_token(refresh_token="r" * length)
    assert browser.get(callback).status_code == 302
    service = site.app.extensions["flask_oauth_accounts"].accounts
    with site.app.app_context():
        token = service.oauth.two.for_user(1).token
    assert token["refresh_token"] == "r" * length


def test_h14_an_endless_token_is_refused(site: Any, browser: Any) -> None:
    """One answer would fill the database."""
    callback = site.callback(browser, "two")
    site.provider.next_token(refresh_token="r" * 3_000_000)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 502, exchanged=1)
