"""OAuth 1: a request token belongs to one browser, one login and one exchange."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import request

ACCESS = "/oauth1/access_token"


@pytest.mark.parametrize(
    "confirmed",
    ["", "&oauth_callback_confirmed=false", "&oauth_callback_confirmed=True1", "&oauth_callback_confirmed="],
)
def test_k01_a_provider_of_the_old_protocol(site: Any, browser: Any, confirmed: str) -> None:
    """A provider that speaks OAuth 1.0 without a would open everybody to session fixation."""
    body = f"oauth_token=abc&oauth_token_secret=def{confirmed}"
    site.provider.fail("/request_token", 200, body, content_type="application/x-www-form-urlencoded")
    response = browser.get("/login/one")
    site.assert_page(response, 502)
    assert "Location" not in response.headers
    assert site.log_in(browser, "one").status_code == 302


@pytest.mark.parametrize("token", ["other", "", None, "x" * 5000, "a b", "\x00", "é", "x\r\ny", "../../x", "😀"])
def test_k02_k14_another_request_token(site: Any, browser: Any, token: str | None) -> None:
    """A login would be finished with a request token that it did not begin with."""
    callback = site.callback(browser, "one")
    guard = site.guard(browser)
    guard.refused(browser.get(site.change(callback, oauth_token=token)), honest="one")


def test_k03_a_request_token_of_another_browser(site: Any, browser: Any) -> None:
    """The attacker's login would be finished by the victim's consent."""
    started = site.start(site.browser(), "one")
    site.start(browser, "one")
    callback = site.consent(started, "carol")
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest="one")


def test_k04_a_callback_works_once(site: Any, browser: Any) -> None:
    """A callback found in a history would log in."""
    callback = site.callback(browser, "one")
    copies = [site.browser() for _ in range(5)]
    for copy in copies:
        site.copy_cookies(browser, copy)
    answers: list[int] = []
    threads = [threading.Thread(target=lambda c=copy: answers.append(c.get(callback).status_code)) for copy in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [302] + [400] * 4
    assert browser.get(callback).status_code == 400
    assert site.provider.count(ACCESS) == 1


@pytest.mark.parametrize("verifier", [None, ""])
def test_k05_no_verifier(site: Any, browser: Any, verifier: str | None) -> None:
    """Whoever guesses a request token would need nothing else."""
    callback = site.callback(browser, "one")
    guard = site.guard(browser)
    guard.refused(browser.get(site.change(callback, oauth_verifier=verifier)), code="missing_verifier", honest="one")


def test_k06_the_user_says_no(site: Any, browser: Any) -> None:
    """Somebody who changed their mind would see a server error."""
    callback = site.callback(browser, "one")
    token = site.query_of(callback)["oauth_token"]
    denied = browser.get(f"/authorize/one?denied={token}")
    site.assert_page(denied, 403)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest="one")
    for query in ("denied=", "denied=x", "denied=x&denied=y", "oauth_problem=user_refused"):
        site.assert_page(browser.get(f"/authorize/one?{query}"), 400, 403)


BODIES = [
    "",
    "<html>",
    "oauth_token=x",
    "oauth_token=&oauth_token_secret=",
    "oauth_token_secret=x",
    "{}",
    "[]",
    "null",
    '{"oauth_token": 5}',
    "oauth_token=x%0Ay&oauth_token_secret=z",
    "\x00",
    "ÿ=ÿ",
    "oauth_token=" + "x" * 100_000 + "&oauth_token_secret=y",
]


@pytest.mark.parametrize("path", ["/request_token", ACCESS])
def test_k08_faulty_answers(site: Any, browser: Any, path: str) -> None:
    """An answer that makes no sense would be a server error, or half a login."""
    guard = site.guard(browser)
    faults: list[dict[str, Any]] = [
        {"status": 200, "body": body, "content_type": kind}
        for body in BODIES
        for kind in ("application/x-www-form-urlencoded",)
    ]
    faults += [{"status": status} for status in (400, 401, 403, 404, 500, 302, 204)] + [{"drop": True}]
    for fault in faults:
        if path == ACCESS:
            callback = site.callback(browser, "one")
            site.provider.fail(path, **fault)
            response = browser.get(callback)
        else:
            site.provider.fail(path, **fault)
            response = browser.get("/login/one")
        guard.refused(response, 502, 503, 403, exchanged=None, honest=None)
    guard.refused(browser.get("/authorize/one"), exchanged=None, honest="one")


def test_k09_every_request_is_unique(site: Any, browser: Any) -> None:
    """A request that somebody has recorded could be sent again."""
    seen: list[str] = []
    site.provider.app.before_request(lambda: seen.append(request.headers.get("Authorization", "")))
    site.log_in(browser, "one")
    for _ in range(3):
        browser.get("/api/one")
    nonces = [part.split('"')[1] for header in seen for part in header.split(", ") if "oauth_nonce" in part]
    assert len(nonces) >= 6
    assert len(set(nonces)) == len(nonces)
    assert all(len(nonce) >= 16 for nonce in nonces)


def test_k12_a_request_token_expires(make_site: Any) -> None:
    """A request token of last week would still log in."""
    site = make_site(OAUTH_ACCOUNTS_FLOW_LIFETIME=0.000001)
    browser = site.browser()
    callback = site.callback(browser, "one")
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest=None)
    assert site.app.extensions["flask_oauth_accounts"].settings.flow_lifetime <= 600


@pytest.mark.parametrize(("wrong", "right"), [("two", "one"), ("three", "one"), ("one", "two"), ("one", "three")])
def test_k13_the_callback_of_the_other_protocol(site: Any, browser: Any, wrong: str, right: str) -> None:
    """A callback of one protocol at the other would be a server error."""
    callback = site.callback(browser, right)
    site.start(browser, wrong)
    guard = site.guard(browser)
    guard.refused(browser.get(callback.replace(f"/authorize/{right}", f"/authorize/{wrong}")), honest=None)
    both = f"/authorize/{wrong}?state=x&code=x&oauth_token=x&oauth_verifier=x&denied=x"
    guard.refused(browser.get(both), honest=wrong)


def test_k16_no_secret_anywhere(site: Any, browser: Any, debug_log: pytest.LogCaptureFixture) -> None:
    """Logs and database would hold everybody's token."""
    location = site.start(browser, "one")
    assert not site.find_leaks(browser, log=debug_log.text)
    site.keep(browser.get(site.consent(location)))
    site.keep(browser.get("/profile/one"))
    assert not site.find_leaks(browser, log=debug_log.text)
