"""HTML or JSON, and the words."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_oauth_accounts.errors import AuthorizationDeniedError
from flask_oauth_accounts.web.negotiation import create_problem, wants_json
from flask_oauth_accounts.web.words import describe_time, make_initials


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/html, application/json", False),
        ("image/png", False),
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("application/problem+json", True),
        ("application/json;q=0.5, text/html;q=0.4", True),
        ("application/json;q=0", False),
        ("application/json; charset=utf-8", True),
        ("Application/JSON;charset=UTF-8, */*;q=0.1", True),
        ("application/json; charset=utf-8; q=0.4, text/html; level=1; q=0.5", False),
        ("application/json; charset=utf-8; q=0", False),
        (";;;,,,q=", False),
    ],
)
def test_accept(accept: str | None, expected: bool) -> None:
    """A browser would see JSON, or a front end a page."""
    headers = {} if accept is None else {"Accept": accept}
    with Flask(__name__).test_request_context("/", headers=headers):
        assert wants_json() is expected


def test_f01_problem_details_hold_no_text_from_outside() -> None:
    """An attacker's words would stand in a front end under our name."""
    error = AuthorizationDeniedError("<script>", "<b>call 555</b>", provider="github")
    with Flask(__name__).test_request_context("/"):
        response = create_problem(error, status=403, reconnect_url=None)
    assert response.content_type == "application/problem+json"
    assert response.json == {
        "type": "tag:flask-oauth-accounts,2026:authorization_denied",
        "title": "Forbidden",
        "status": 403,
        "detail": error.visitor_message,
        "code": "authorization_denied",
        "provider": "github",
    }


def test_a_status_without_a_phrase_of_its_own() -> None:
    """An application's own error with such a status would end in a server error."""
    with Flask(__name__).test_request_context("/"):
        response = create_problem(AuthorizationDeniedError(), status=499)
    assert response.status_code == 499
    assert response.json is not None
    assert response.json["title"] == "Error"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "never"),
        (float("nan"), "never"),
        (1_000_000, "just now"),
        (1_000_000 - 60, "1 minute ago"),
        (1_000_000 - 44 * 60, "44 minutes ago"),
        (1_000_000 - 3600, "1 hour ago"),
        (1_000_000 + 7200, "in 2 hours"),
        (1_000_000 - 23 * 3600, "1 day ago"),
        (1_000_000 - 40 * 86400, "1 month ago"),
        (1_000_000 - 800 * 86400, "2 years ago"),
    ],
)
def test_times_in_words(seconds: float | None, words: str) -> None:
    """Visitors would read seconds since 1970."""
    assert describe_time(seconds, now=1_000_000) == words


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("Mona Lisa Octocat",), "MO"),
        (("mona",), "M"),
        ((None, "", "eve@example.com"), "EC"),
        (("🦊",), "?"),
        ((), "?"),
        (("Émile Zola",), "ÉZ"),
        (("<b> x",), "X"),
    ],
)
def test_initials(names: tuple[str | None, ...], expected: str) -> None:
    """The place of the picture would be empty or hold markup."""
    assert make_initials(*names) == expected
