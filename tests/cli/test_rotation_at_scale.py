"""A hundred thousand rows get a new key while the application goes on; stopped in the middle, and gone on with."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from flask_oauth_accounts import oauth_bp
from flask_oauth_accounts.storage.sealed import create_context
from flask_oauth_accounts.tokens import StoredToken, TokenDict

ROWS = 100_000
THREADS = 8
OLD, NEW = "old:" + "A" * 43, "new:" + "B" * 42 + "A"


@pytest.fixture
def make_app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """The application with other keys each time, as its processes have them before and after a restart."""
    url = request.getfixturevalue(f"{request.param}_url")
    made: list[Flask] = []

    def make(*keys: str) -> Flask:
        app = Flask("site", instance_path=str(tmp_path / "instance"))
        app.config.update(
            SECRET_KEY="for this test",
            TESTING=True,
            SQLALCHEMY_DATABASE_URI=url,
            OAUTH_ACCOUNTS_AUTO_MIGRATE=True,
            OAUTH_ACCOUNTS_KEYS=keys,
            OAUTH_ACCOUNTS_PROVIDERS="github",
            GITHUB_CLIENT_ID="id",
            GITHUB_CLIENT_SECRET="secret",
        )
        app.register_blueprint(oauth_bp)
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            find_accounts(app).store.dispose()
            find_accounts(app).db.engine.dispose()


def find_accounts(app: Flask) -> Any:
    return app.extensions["flask_oauth_accounts"].accounts


def fill(app: Flask) -> None:
    """One user and one grant for each row, sealed as a login seals them."""
    with app.app_context():
        accounts = find_accounts(app)
        accounts.store.count_tokens("oauth2")  # makes the tables

        def seal(user: int, column: str, text: str) -> str:
            sealed: str = accounts.seal(text, create_context("oauth2_token", column, user, "github", ""))
            return sealed

        users = range(1, ROWS + 1)
        common = {"name": "github", "account": "", "status": "active", "version": 1, "failures": 0}
        rows = [
            {
                **common,
                "user_id": user,
                "access_token": seal(user, "access_token", f"a{user}-0"),
                "refresh_token": seal(user, "refresh_token", f"r{user}-0"),
                "expires_at": 4_000_000_000,
            }
            for user in users
        ]
        with accounts.db.engine.begin() as connection:
            people = accounts.user_model.__table__
            connection.execute(sa.insert(people), [{"id": user, "is_active": True} for user in users])
            connection.execute(sa.insert(accounts.models.OAuth2Token.__table__), rows)


class Traffic:
    """Threads that refresh grants of their own and read everybody's, until they are stopped."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._done = threading.Event()
        self.latest: dict[int, int] = {}
        self.reads = 0
        self.faults: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(THREADS)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        chance = random.Random(number)
        try:
            with self._app.app_context():
                # At a pace, or eight busy threads of this process would leave the rotation none of its one processor.
                while not self._done.wait(0.1):
                    self._refresh(1 + number + THREADS * chance.randrange(ROWS // THREADS))
                    for _ in range(3):
                        self._read(1 + chance.randrange(ROWS))
        except BaseException as fault:
            self.faults.append(fault)

    def _refresh(self, user: int) -> None:
        vault = find_accounts(self._app).vault
        number = self.latest.get(user, 0) + 1

        def renew(stored: StoredToken) -> TokenDict:
            assert stored.token["refresh_token"] == f"r{user}-{number - 1}"
            return TokenDict(access_token=f"a{user}-{number}", refresh_token=f"r{user}-{number}", expires_in=10**6)

        vault.refresh_now(vault.load(user, "github", protocol="oauth2"), renew)
        self.latest[user] = number

    def _read(self, user: int) -> None:
        stored = find_accounts(self._app).vault.load(user, "github", protocol="oauth2")
        assert stored is not None
        assert not stored.unreadable
        assert stored.token["access_token"].startswith(f"a{user}-")
        self.reads += 1


def rotate(app: Flask, *, code: int = 0) -> str:
    result = app.test_cli_runner().invoke(args=["oauth", "keys", "rotate", "--batch", "500"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return str(result.output)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("make_app", ["sqlite", "postgresql"], indirect=True)
def test_a_hundred_thousand_rows_get_a_new_key_beside_live_traffic(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row in a thousand that is lost or cannot be read any more is a hundred users who must connect again."""
    fill(make_app(OLD))
    app = make_app(NEW, OLD)
    store = type(find_accounts(app).store)
    reseal, batches = store.reseal, [0]

    def interrupted(*arguments: Any, **options: Any) -> Any:
        batches[0] += 1
        if batches[0] > 100:
            raise KeyboardInterrupt
        return reseal(*arguments, **options)

    with Traffic(app) as traffic:
        with monkeypatch.context() as patch:
            patch.setattr(store, "reseal", interrupted)
            rotate(app, code=1)
        with app.app_context():
            assert 0 < find_accounts(app).store.count_by_key()["old"] <= ROWS
        rotate(app)
    assert traffic.faults == []
    assert traffic.reads > 0
    assert traffic.latest
    assert "No secret needs old" in app.test_cli_runner().invoke(args=["oauth", "keys", "drop", "old"]).output

    after = make_app(NEW)
    with after.app_context():
        seen = 0
        for stored in find_accounts(after).store.iter_tokens(batch=5_000):
            number = traffic.latest.get(stored.user_id, 0)
            assert stored.token["access_token"] == f"a{stored.user_id}-{number}"
            assert stored.token["refresh_token"] == f"r{stored.user_id}-{number}"
            seen += 1
    assert seen == ROWS
