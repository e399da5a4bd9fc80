"""``examples/registry_only``: way C, OAuth 1, without a database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from flask_oauth_accounts.testing import DevProvider


@pytest.fixture
def module(load_example: Callable[[str], ModuleType]) -> ModuleType:
    return load_example("registry_only.app")


def test_logs_in_by_oauth_1_and_reads_the_profile(
    module: ModuleType, oauth_provider: DevProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that was written for another client library would have to be written again."""
    monkeypatch.chdir(tmp_path)
    config = {"SECRET_KEY": "for this test", "TESTING": True, "PROFILE_PATH": "me"}
    app = module.create_app({**config, **oauth_provider.oauth1_config("twitter")})
    client = app.test_client()

    started = client.get("/login")
    assert started.status_code == 302
    finished = client.get(oauth_provider.authorize(started.location, "bob"), follow_redirects=True)

    assert finished.status_code == 200
    assert finished.json is not None
    assert finished.json["login"] == "bob"
    assert not list(tmp_path.iterdir())
    assert "flask_sqlalchemy" not in {name.partition(".")[0] for name in app.extensions}


def test_two_visitors_keep_their_own_tokens(module: ModuleType, oauth_provider: DevProvider) -> None:
    """A visitor would see somebody else's profile."""
    config = {"SECRET_KEY": "for this test", "TESTING": True, "PROFILE_PATH": "me"}
    app = module.create_app({**config, **oauth_provider.oauth1_config("twitter")})
    visitors = {}
    for user in ("alice", "bob"):
        visitors[user] = app.test_client()
        started = visitors[user].get("/login")
        visitors[user].get(oauth_provider.authorize(started.location, user))
    for user, client in visitors.items():
        answer = client.get("/profile").json
        assert answer is not None
        assert answer["login"] == user
