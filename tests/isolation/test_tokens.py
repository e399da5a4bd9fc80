"""Many users at once through one application: nobody ever speaks with somebody else's token."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flask_oauth_accounts import current_oauth
from flask_oauth_accounts.testing import DevUser

WORKER = Path(__file__).with_name("call_worker.py")
USERS = [f"user{number}" for number in range(8)]
CALLS = 200


@pytest.fixture
def crowd(site: Any) -> dict[str, Any]:
    """Eight browsers, each with somebody else logged in, by their subjects."""
    browsers = {}
    for username in USERS:
        user = site.provider.add_user(DevUser(f"subject-{username}", username, email=f"{username}@example.com"))
        browsers[user.subject] = site.log_in("two", username)
    return browsers


@pytest.fixture
def often_switched() -> Iterator[None]:
    """Switch threads as often as can be, so that what one leaves behind is found by the next."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def run_in_threads(work: Callable[[Any], None], arguments: Any) -> None:
    """Run a function in one thread for each argument; what it raises fails the test."""
    errors: list[BaseException] = []

    def guarded(argument: Any) -> None:
        try:
            work(argument)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]


@pytest.mark.usefixtures("often_switched")
@pytest.mark.timeout(180)
def test_eight_users_in_eight_threads(site: Any, crowd: dict[str, Any]) -> None:
    """One user would read, and write to, another user's account at the provider."""

    def call(item: tuple[str, Any]) -> None:
        subject, browser = item
        for _ in range(CALLS):
            answer = browser.get("/who/two").get_json()
            assert answer[0] == subject, answer

    run_in_threads(call, crowd.items())
    assert site.provider.count("/api/echo") == len(USERS) * CALLS


@pytest.mark.usefixtures("often_switched")
def test_jobs_for_all_users_in_every_thread(site: Any, crowd: dict[str, Any]) -> None:
    """A background job would use the token of the user before."""
    subjects = {site.user_id(browser): subject for subject, browser in crowd.items()}

    def work(offset: int) -> None:
        ids = list(subjects)[offset:] + list(subjects)[:offset]
        with site.app.app_context():
            for user_id in ids * 4:
                answer = current_oauth.two.for_user(user_id).get("/api/echo").json()
                assert answer["subject"] == subjects[user_id]

    run_in_threads(work, range(8))


@pytest.mark.timeout(180)
def test_four_processes(site: Any, crowd: dict[str, Any]) -> None:
    """The same, with several workers on one database."""
    subjects = {site.user_id(browser): subject for subject, browser in crowd.items()}
    config = {
        key: value
        for key, value in site.app.config.items()
        if key.startswith(("ONE_", "TWO_", "THREE_")) or key in ("SECRET_KEY", "TESTING", "OAUTH_ACCOUNTS_PROVIDERS")
    }
    task = {"config": config, "instance": str(site.instance), "subjects": subjects, "rounds": 12}
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(task) + "\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    results = [json.loads(worker.communicate("go\n", timeout=120)[0]) for worker in workers]
    assert results == [[12 * len(subjects), []]] * 4


def describe(value: Any, depth: int = 0) -> Any:
    """What an object is made of, in a form that compares: the contents of plain containers and of our own objects."""
    if isinstance(value, (str, int, float, bool, bytes, type(None))):
        return value
    if isinstance(value, dict):
        return {str(key): describe(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if depth < 3 and type(value).__module__.startswith("flask") and hasattr(value, "__dict__"):
        return (type(value).__name__, id(value), describe(vars(value), depth + 1))
    return (type(value).__name__, id(value))


def test_b13_nothing_in_registry_client_and_blueprint_changes(site: Any) -> None:
    """What one user's login leaves in a shared object, another user's login finds."""
    with site.app.app_context():
        oauth = current_oauth._get_current_object()  # type: ignore[attr-defined]
        clients = [oauth.create_client(name) for name in ("one", "two", "three")]
    shared = [oauth, *clients, *(client._client for client in clients), *site.app.blueprints.values()]
    for name in ("one", "two", "three"):
        # What is learnt once – discovery, keys, where Flask finds templates – is there after this.
        assert site.log_in(name, "carol").get("/accounts").status_code == 200
    before = [describe(vars(item)) for item in shared]
    site.provider.settings.access_token_lifetime = 1
    for name, user in (("one", "alice"), ("two", "bob"), ("three", "alice")):
        browser = site.log_in(name, user)
        assert browser.get(f"/who/{name}").status_code == 200
        assert browser.get(f"/profile/{name}").status_code == 200
        assert browser.get(f"/authorize/{name}?state=x&code=x").status_code == 400
        assert browser.get("/accounts").status_code == 200
    assert [describe(vars(item)) for item in shared] == before


@pytest.mark.parametrize(("leeway", "refreshed"), [(300, 1), (0, 0)])
def test_a_clients_own_leeway_counts_for_stored_tokens(
    make_site: Callable[..., Any], leeway: int, refreshed: int
) -> None:
    """A stored token would expire on its way to a provider whose clock the operator knows to be wrong."""
    site = make_site(OAUTH_ACCOUNTS_REFRESH_LEEWAY=30)
    site.app.config["TWO_CLIENT_KWARGS"] = {"leeway": leeway}
    browser = site.log_in("two")
    asked = site.provider.count("/oauth2/token")
    accounts = site.app.extensions["flask_oauth_accounts"].accounts
    with site.app.app_context():
        soon = accounts.models.OAuth2Token.__table__.update().values(expires_at=int(time.time()) + 100)
        accounts.db.session.execute(soon)
        accounts.db.session.commit()
    assert browser.get("/who/two").status_code == 200
    assert site.provider.count("/oauth2/token") == asked + refreshed
