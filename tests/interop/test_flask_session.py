"""Sessions on the server, by Flask-Session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cachelib import SimpleCache
from flask import Flask


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["oauth1", "oauth2", "oidc"])
def test_login_with_sessions_on_the_server(
    kind: str, run_provider: Callable[[str], Any], make_app: Callable[..., Flask], consent: Callable[[str], str]
) -> None:
    """With Flask-Session nobody could log in, or an id that an attacker has planted would become the victim's."""
    import flask_session  # type: ignore[import-untyped]

    app = make_app(run_provider(kind).arguments, SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache())
    flask_session.Session(app)
    browser = app.test_client()
    started = browser.get("/login/dev")
    before = browser.get_cookie("session")
    callback = consent(started.headers["Location"])
    assert browser.get(callback).headers["Location"] == "/profile/dev"
    after = browser.get_cookie("session")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    assert "Ann" in browser.get("/profile/dev").text
    attacker = app.test_client()
    attacker.set_cookie("session", before.value)
    assert attacker.get("/profile/dev").status_code in (302, 303)
