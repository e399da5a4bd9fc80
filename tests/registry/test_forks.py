"""Workers that are forked while threads of their parent are at work, as with ``gunicorn --preload``."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_oauth_accounts import OAuth
from flask_oauth_accounts.remote_app.recent import Recent

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork"),
]


def run_in_child(work: Callable[[], object]) -> int:
    """Fork, and do something in the child; gives its exit status, which is negative where it hung."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_d10_a_worker_forked_during_a_refresh_can_refresh(app: Flask, stub: Any) -> None:
    """A worker that was started at the wrong moment would hang at its first API call for ever."""
    stub.answers["/token"] = {"access_token": "new", "refresh_token": "R", "expires_in": 3600}
    stores, goes_on = threading.Event(), threading.Event()

    def update_token(token: Any) -> None:
        stores.set()
        goes_on.wait(60)

    client = OAuth(app).register("dev", **stub.oauth2(), update_token=update_token)

    def call() -> None:
        client.get("me", token={"access_token": "old", "refresh_token": "R", "expires_at": 1})

    def child() -> None:
        goes_on.set()
        call()

    thread = threading.Thread(target=call)
    thread.start()
    assert stores.wait(60)
    status = run_in_child(child)
    goes_on.set()
    thread.join()
    assert status == 0
    assert [seen.headers["authorization"] for seen in stub.find("/api/me")] == ["Bearer new"] * 2


def test_locks_held_at_the_fork_are_free_in_the_child() -> None:
    """What remembers renewed tokens would stop for ever in a worker that was forked while something was put there."""
    recent: Recent[int] = Recent(lambda: 0.0)
    with recent._guard:
        assert run_in_child(lambda: recent.put("key", 1)) == 0
    recent.put("key", 2)
    assert recent.find("key") == 2
