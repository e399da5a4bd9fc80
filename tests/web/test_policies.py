"""What an application's policy answers, right or wrong, in a whole login."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask_login import current_user

from flask_oauth_accounts.errors import EmailTakenError


@pytest.fixture
def site(site: Any) -> Any:
    """A site on which alice has an account by ``two``; her id is 1."""
    site.log_in(site.browser(), "two", "alice")
    return site


def ask(site: Any, hook: str, answer: Callable[[Any], Any]) -> None:
    """Let a hook of the application's policy answer this."""
    setattr(site.app.extensions["flask_oauth_accounts"].accounts.service.policy, hook, answer)


@pytest.mark.parametrize("kind", ["user", "id", "text"])
def test_match_user_names_a_user_or_an_id(site: Any, kind: str) -> None:
    """A policy that knows the number of a user would end every login in an error."""

    def match(identity: Any) -> Any:
        return {"user": site.db.session.get(site.user_model, 1), "id": 1, "text": "1"}[kind]

    ask(site, "match_user", match)
    browser = site.browser()
    assert site.log_in(browser, "three", "bob").status_code == 302
    assert site.who(browser) == "alice@example.com"
    assert site.count("User") == 1


def test_match_user_may_answer_with_current_user(site: Any) -> None:
    """A policy that keeps whoever is logged in would end in an error, with the account connected all the same."""
    ask(site, "match_user", lambda identity: current_user if current_user.is_authenticated else None)
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    started = browser.post("/login/three", data={"csrf_token": site.token(browser)})
    assert browser.get(site.consent(started.headers["Location"], "bob")).status_code == 302
    assert site.who(browser) == "alice@example.com"
    assert site.count("OAuthIdentity") == 2


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("match_user", 4711),
        ("match_user", "nobody"),
        ("match_user", False),
        ("match_user", object()),
        ("match_user", current_user),
        ("create_user", "bob"),
        ("create_user", current_user),
    ],
)
def test_an_answer_that_cannot_be_right_writes_nothing(
    site: Any, hook: str, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A token would be stored for a user who is not there, and the log would blame the database."""
    ask(site, hook, lambda identity: answer)
    before = site.rows()
    browser = site.browser()
    with caplog.at_level(logging.ERROR):
        response = site.log_in(browser, "three", "bob")
    assert response.status_code == 503
    assert f"AccountPolicy.{hook} returned a" in caplog.text
    assert "code=configuration_error" in caplog.text
    assert site.rows() == before
    assert site.who(browser) is None


def test_a_hook_may_say_that_an_address_is_taken(site: Any) -> None:
    """The page that a policy has chosen would be an error of ours."""

    def refuse(identity: Any) -> Any:
        raise EmailTakenError

    ask(site, "may_sign_up", refuse)
    browser = site.browser()
    response = site.log_in(browser, "three", "bob")
    assert response.status_code == 409
    assert "There may be an account for you here already." in response.text
    assert browser.get("/resolve").headers["Location"] == "/login"


def test_a_row_of_another_table_is_no_user(site: Any) -> None:
    """Row 1 of any other table would be taken for user 1."""
    with site.app.app_context():
        identity = site.db.session.query(site.accounts.models.OAuthIdentity).one()
        site.db.session.expunge(identity)
    for hook in ("match_user", "create_user"):
        ask(site, hook, lambda _: identity)
        before = site.rows()
        assert site.log_in(site.browser(), "three", "bob").status_code == 503
        assert site.rows() == before
        ask(site, "match_user", lambda _: None)
