"""What the application itself raises on our pages: in its functions before each request, and in its hooks."""

from __future__ import annotations

from typing import Any

import pytest
from flask import abort
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, TooManyRequests, Unauthorized

from flask_oauth_accounts.signals import login_failed, login_succeeded

JSON = {"Accept": "application/json"}


class PaymentRequired(Exception):
    """An application's own exception."""


def raise_before_each_request(site: Any, error: Exception | int) -> Any:
    @site.app.before_request
    def refuse() -> None:
        if isinstance(error, int):
            abort(error, "secret plans")
        raise error

    return site.browser()


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (401, 401, "Please sign in first."),
        (403, 403, "You may not open this page."),
        (404, 404, "This page does not exist."),
        (413, 413, "What was sent is too large."),
        (418, 418, "This request could not be understood."),
        (429, 429, "There were too many requests."),
        (500, 503, "Something on our side does not work"),
        (503, 503, "Something on our side does not work"),
    ],
)
def test_a_refusal_of_the_application_is_said_as_what_it_is(
    site: Any, code: int, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A visitor who was too fast, or came while the site was closed, would be told that the request made no sense."""
    browser = raise_before_each_request(site, code)
    with caplog.at_level("INFO", logger="flask_oauth_accounts"):
        page = browser.get("/login")
    assert page.status_code == status
    assert words in page.text
    assert "secret plans" not in page.text
    assert f"{code} " in caplog.text
    assert "secret plans" in caplog.text
    problem = browser.get("/login", headers=JSON).json
    assert problem["detail"].startswith(words)
    assert problem["code"] == ("bad_request" if status < 500 else "page_unavailable")


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "staging"})), "WWW-Authenticate", "Basic"),
        (TooManyRequests(retry_after=7), "Retry-After", "7"),
    ],
)
def test_its_headers_are_kept(site: Any, error: HTTPException, name: str, value: str) -> None:
    """A browser would not ask for the password of a site that is under one, or would not know when to come back."""
    browser = raise_before_each_request(site, error)
    for headers in ({}, JSON):
        answer = browser.get("/login", headers=headers)
        assert answer.status_code == error.code
        assert answer.headers[name].startswith(value)
        assert answer.mimetype == ("application/problem+json" if headers else "text/html")


def test_an_exception_that_it_has_foreseen_is_answered_by_it(site: Any) -> None:
    """A page of the application that is for all its pages would be replaced by an error on ours."""
    site.app.register_error_handler(PaymentRequired, lambda error: ("please pay", 402))
    browser = raise_before_each_request(site, PaymentRequired())
    answer = browser.get("/login")
    assert (answer.status_code, answer.text) == (402, "please pay")


def test_it_fails_the_login_all_the_same(site: Any) -> None:
    """Whoever counts failed logins would miss those that a hook has ended."""

    class Expired(PaymentRequired):
        pass

    def refuse(sender: Any, **_: Any) -> None:
        raise Expired

    heard: list[tuple[str, str]] = []

    def hear(sender: Any, *, name: str, error: Any, **_: Any) -> None:
        heard.append((name, error.code))

    site.app.register_error_handler(PaymentRequired, lambda error: ("please pay", 402))
    browser = site.browser()
    with login_succeeded.connected_to(refuse, site.app), login_failed.connected_to(hear, site.app):
        assert site.log_in(browser).status_code == 402
    assert site.who(browser) is None
    assert heard == [("two", "internal_error")]


def test_a_handler_for_everything_foresees_nothing(site: Any) -> None:
    """A login that fails would end in the application's page for server errors, without a way on."""
    site.app.register_error_handler(Exception, lambda error: ("oops", 500))
    browser = raise_before_each_request(site, PaymentRequired())
    page = browser.get("/login")
    assert page.status_code == 503
    assert "<h1>We have a problem</h1>" in page.text
