"""``fetch_token``, ``update_token`` and refreshing: what code written for Authlib's Flask client relies on."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request
from flask_login import LoginManager, UserMixin, login_user, logout_user

from flask_oauth_accounts import (
    ConfigurationError,
    IdTokenError,
    MissingTokenError,
    OAuth,
    ProviderUnavailable,
    ReauthorizationRequired,
    TokenExpiredError,
    UnsupportedTokenTypeError,
    signals,
)


class User(UserMixin):
    def __init__(self, id: str) -> None:
        self.id = id


@pytest.fixture
def login_app(app: Flask) -> Flask:
    """An application with Flask-Login."""
    manager = LoginManager(app)
    manager.user_loader(User)
    return app


def expired(**more: Any) -> dict[str, Any]:
    return {"access_token": "AT-1", "refresh_token": "RT-1", "token_type": "Bearer", "expires_at": 1, **more}


def rotate(stub: Any, **more: Any) -> None:
    """A provider that takes each refresh token once."""
    used: set[str] = set()
    lock = threading.Lock()

    def answer(seen: Any) -> Any:
        with lock:
            old = seen.form["refresh_token"]
            if old in used:
                return (400, {"error": "invalid_grant"})
            used.add(old)
            number = int(old.rsplit("-", 1)[1]) + 1
        tokens = {"access_token": f"AT-{number}", "refresh_token": f"RT-{number}", "expires_in": 3600}
        return {**tokens, "token_type": "Bearer", **more}

    stub.answers["/token"] = answer


def sent(stub: Any, path: str = "/api/a") -> list[str]:
    return [seen.headers.get("authorization", "") for seen in stub.find(path)]


# -- 1.8 fetch_token ---


def test_s175_per_client_without_arguments_wins(app: Flask, stub: Any) -> None:
    """S:175-195, 229: one client's own function would be called with a name, or lose to the registry's."""
    oauth = OAuth(app, fetch_token=lambda name: {"access_token": f"of-{name}"})
    oauth.register("shared", **stub.oauth2())
    oauth.register("own", **stub.oauth2(), fetch_token=lambda: {"access_token": "own"})
    with app.test_request_context():
        oauth.shared.get("a")
        oauth.own.get("a")
    assert sent(stub) == ["Bearer of-shared", "Bearer own"]


def test_s238_none_is_no_token(app: Flask, stub: Any) -> None:
    """S:72, 238: a user without a token would cause an AttributeError."""
    oauth = OAuth(app, fetch_token=lambda name: None)
    oauth.register("dev", **stub.oauth2())
    with app.test_request_context(), pytest.raises(MissingTokenError):
        oauth.dev.get("a")


@pytest.mark.parametrize("expires_at", [None, 0, "", "0"])
@pytest.mark.parametrize("token_type", [None, "", "bearer", "Bearer", "BEARER"])
def test_s098_unknown_expiry_and_type(app: Flask, stub: Any, expires_at: Any, token_type: Any) -> None:
    """S:83-104, 269: the rows that such code writes would crash or count as expired."""
    token = {"access_token": "AT-1", "token_type": token_type, "refresh_token": None, "expires_at": expires_at}
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: token)
    with app.test_request_context():
        client.get("a")
    assert sent(stub) == ["Bearer AT-1"]


def test_s098_expiry_as_text(app: Flask, stub: Any) -> None:
    """A token from a store of texts would count as unexpired for ever."""
    rotate(stub)
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: expired(expires_at="1"))
    with app.test_request_context():
        client.get("a")
    assert sent(stub) == ["Bearer AT-2"]


@pytest.mark.parametrize("secret", ["OS-1", "", None])
def test_s083_oauth_1_token(app: Flask, stub: Any, secret: str | None) -> None:
    """S:83-87: a token without a secret, which such an application's columns allow, would crash."""
    token = {"oauth_token": "OT-1", "oauth_token_secret": secret}
    client = OAuth(app).register("dev", **stub.oauth1(), fetch_token=lambda: token)
    with app.test_request_context():
        client.get("a")
    assert 'oauth_token="OT-1"' in sent(stub)[0]


def test_two_clients_in_one_request(app: Flask, stub: Any) -> None:
    """Provider two would receive provider one's token."""
    oauth = OAuth(app, fetch_token=lambda name: {"access_token": name})
    oauth.register("one", **stub.oauth2())
    oauth.register("two", **stub.oauth2())
    with app.test_request_context():
        for name in ("one", "two", "one"):
            oauth.create_client(name).get("a")
    assert sent(stub) == ["Bearer one", "Bearer two", "Bearer one"]


def test_memo_is_keyed_by_user(login_app: Flask, stub: Any) -> None:
    """After a switch of user within a request, Alice's token would be sent for Bob."""
    from flask_login import current_user

    asked: list[str] = []

    def fetch_token(name: str) -> Any:
        asked.append(current_user.id)
        return {"access_token": current_user.id}

    oauth = OAuth(login_app, fetch_token=fetch_token)
    oauth.register("dev", **stub.oauth2())
    with login_app.test_request_context():
        for user in ("alice", "bob", "alice"):
            login_user(User(user))
            oauth.dev.get("a")
            oauth.dev.get("a")
            logout_user()
    assert sent(stub) == ["Bearer alice"] * 2 + ["Bearer bob"] * 2 + ["Bearer alice"] * 2
    assert asked == ["alice", "bob"]


def test_without_flask_login_fetch_token_is_asked_each_time(app: Flask, stub: Any) -> None:
    """A job that goes from user to user in one app context would use the first one's token for all."""
    users = iter(["alice", "bob"])
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: {"access_token": next(users)})
    with app.app_context():
        client.get("a")
        client.get("a")
    assert sent(stub) == ["Bearer alice", "Bearer bob"]


def test_a_job_refreshes_each_user_for_himself(app: Flask, stub: Any) -> None:
    """A job without Flask-Login would send one user's renewed token for the next user."""
    rotate(stub)
    rows = {
        "alice": expired(access_token="alice", refresh_token="RT-10"),
        "bob": {"access_token": "bob"},
    }
    user = ""
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: rows[user])
    with app.app_context():
        for user in ("alice", "alice", "bob", "alice"):  # noqa: B007  fetch_token reads it
            client.get("a")
    assert sent(stub) == ["Bearer AT-11", "Bearer AT-11", "Bearer bob", "Bearer AT-11"]
    assert len(stub.find("/token")) == 1


def test_a_token_obtained_in_this_request_is_used_at_once(app: Flask, stub: Any) -> None:
    """Right after ``authorize_access_token`` the profile could not be read before the token is stored."""
    asked: list[str] = []
    client = OAuth(app, fetch_token=asked.append).register("dev", **stub.oauth2())  # type: ignore[func-returns-value]
    with app.test_request_context():
        client.token = {"access_token": "new"}
        client.get("a")
    assert sent(stub) == ["Bearer new"]
    assert not asked


def test_a_login_in_this_request_belongs_to_who_logs_in(login_app: Flask, stub: Any) -> None:
    """The token of a stranger who logs in in mid-request would be lost, or kept for the next user."""
    client = OAuth(login_app, fetch_token=lambda name: None).register("dev", **stub.oauth2())
    with login_app.test_request_context():
        client.token = {"access_token": "new"}
        login_user(User("alice"))
        client.get("a")
        logout_user()
        login_user(User("bob"))
        with pytest.raises(MissingTokenError):
            client.get("a")
    assert sent(stub) == ["Bearer new"]


# -- 1.9 refreshing ---


def test_s260_update_token_of_the_registry(app: Flask, stub: Any) -> None:
    """S:260: ``update_token(name, token)`` of such code would be called in another form, after the rotation."""
    rotate(stub)
    kept: list[Any] = []

    def update_token(name: str, token: Any) -> None:
        kept.append((name, dict(token)))

    oauth = OAuth(app, fetch_token=lambda name: expired(), update_token=update_token)
    oauth.register("dev", **stub.oauth2())
    with app.test_request_context():
        oauth.dev.get("a")
    ((name, token),) = kept
    assert name == "dev"
    assert (token["access_token"], token["refresh_token"]) == ("AT-2", "RT-2")
    assert token["expires_at"] == pytest.approx(time.time() + 3600, abs=60)


def test_update_token_of_one_client(app: Flask, stub: Any) -> None:
    """A client's own ``update_token(token)`` would be called with a name, or beside the registry's."""
    rotate(stub)
    own: list[Any] = []
    shared: list[Any] = []
    oauth = OAuth(app, fetch_token=lambda name: expired(), update_token=lambda name, token: shared.append(token))
    oauth.register("dev", **stub.oauth2(), update_token=own.append)
    with app.test_request_context():
        oauth.dev.get("a")
    assert [token["access_token"] for token in own] == ["AT-2"]
    assert not shared


def test_update_token_in_the_four_argument_form(app: Flask, stub: Any) -> None:
    """An ``update_token`` written for current Authlib finds the row to change by the old refresh token."""
    rotate(stub)
    kept: list[Any] = []

    def registry_form(name: str, token: Any, refresh_token: Any = None, access_token: Any = None) -> None:
        kept.append((name, token["access_token"], refresh_token, access_token))

    def client_form(token: Any, *, refresh_token: Any = None, access_token: Any = None) -> None:
        kept.append((token["access_token"], refresh_token, access_token))

    def open_form(name: str, token: Any, **more: Any) -> None:
        kept.append((name, more))

    for update_token in (registry_form, open_form):
        oauth = OAuth(app, fetch_token=lambda name: expired(refresh_token=f"RT-{len(kept)}"), update_token=update_token)
        oauth.register("dev", **stub.oauth2())
        with app.test_request_context():
            oauth.dev.get("a")
    client = OAuth(app).register(
        "dev", **stub.oauth2(), fetch_token=lambda: expired(refresh_token="RT-7"), update_token=client_form
    )
    with app.test_request_context():
        client.get("a")
    assert kept == [
        ("dev", "AT-1", "RT-0", None),
        ("dev", {"refresh_token": "RT-1", "access_token": None}),
        ("AT-8", "RT-7", None),
    ]


def test_update_token_is_not_called_after_a_login(app: Flask, oauth_provider: Any, add_views: Any) -> None:
    """``update_token`` would write a row before the application knows whose it is."""
    kept: list[Any] = []
    oauth = OAuth(app, update_token=lambda name, token: kept.append(token))
    oauth.register("dev", **oauth_provider.register_kwargs("oauth2"))
    add_views(app, oauth)
    browser = app.test_client()
    answer = browser.get(str(oauth_provider.authorize(browser.get("/login/dev").location)))
    assert answer.json is not None
    assert answer.json["access_token"]
    assert not kept


def test_a_renewed_id_token_that_cannot_be_checked(app: Flask, stub: Any) -> None:
    """A provider whose keys are out of reach for a minute would cost the user the grant, which has been rotated."""

    def unsigned(**claims: Any) -> str:
        parts: tuple[dict[str, Any], ...] = ({"alg": "RS256"}, claims, {})
        return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)

    of_alice = {"iss": stub.url, "sub": "alice"}
    rotate(stub, id_token=unsigned(**of_alice, iat=2))
    stub.answers["/jwks"] = (503, {})
    row = expired(id_token=unsigned(**of_alice, iat=1))
    oidc = {"client_kwargs": {"scope": "openid"}, "issuer": stub.url, "jwks_uri": f"{stub.url}/jwks"}
    client = OAuth(app).register(
        "dev", **stub.oauth2(**oidc), fetch_token=lambda: dict(row), update_token=lambda token: row.update(token)
    )
    with app.test_request_context():
        client.get("a")
    assert (row["refresh_token"], row["id_token"]) == ("RT-2", unsigned(**of_alice, iat=1))
    for other in ({"sub": "bob"}, {"iss": "https://elsewhere.example"}):
        row["expires_at"] = 1
        rotate(stub, id_token=unsigned(**{**of_alice, **other}))
        with app.test_request_context(), pytest.raises(IdTokenError):
            client.get("a")
    assert row["refresh_token"] == "RT-2"


def test_the_refreshed_token_is_used_again_in_the_request(app: Flask, stub: Any) -> None:
    """A second call in one request would refresh with the used refresh token, and lose the grant."""
    rotate(stub)
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=expired)
    with app.test_request_context():
        client.get("a")
        client.get("a")
        assert client.token["access_token"] == "AT-2"
    assert sent(stub) == ["Bearer AT-2"] * 2
    assert len(stub.find("/token")) == 1


def test_the_memo_holds_the_refreshed_token_of_its_user(login_app: Flask, stub: Any) -> None:
    """With Flask-Login a second call would ask the store again, or refresh again."""
    rotate(stub)
    asked: list[int] = []

    def fetch_token() -> Any:
        asked.append(1)
        return expired()

    client = OAuth(login_app).register("dev", **stub.oauth2(), fetch_token=fetch_token)
    with login_app.test_request_context():
        login_user(User("alice"))
        client.get("a")
        client.get("a")
    assert sent(stub) == ["Bearer AT-2"] * 2
    assert asked == [1]


def test_refresh_url_and_params_are_honoured(app: Flask, stub: Any) -> None:
    """``refresh_token_url`` and ``refresh_token_params`` would be ignored without a word."""
    stub.answers["/refresh"] = {"access_token": "AT-2", "token_type": "Bearer"}
    arguments = stub.oauth2(refresh_token_url=f"{stub.url}/refresh", refresh_token_params={"extra": "1"})
    client = OAuth(app).register("dev", **arguments, fetch_token=expired)
    with app.test_request_context():
        client.get("a", params={"secret": "q"}, headers={"X-Secret": "q"})
    (seen,) = stub.find("/refresh")
    assert seen.form == {"grant_type": "refresh_token", "refresh_token": "RT-1", "extra": "1"}
    assert not seen.query
    assert "x-secret" not in seen.headers
    assert seen.basic == ("the-client", "the-client-secret")
    assert not stub.find("/token")


def test_refresh_params_cannot_replace_the_refresh_token(app: Flask, stub: Any) -> None:
    """A parameter left in the configuration would be sent instead of the user's refresh token."""
    rotate(stub)
    arguments = stub.oauth2(refresh_token_params={"refresh_token": "RT-99", "grant_type": "password"})
    client = OAuth(app).register("dev", **arguments, fetch_token=expired)
    with app.test_request_context():
        client.get("a")
    assert stub.find("/token")[0].form == {"grant_type": "refresh_token", "refresh_token": "RT-1"}


@pytest.mark.parametrize("answered", [{}, {"refresh_token": None}, {"refresh_token": ""}])
def test_the_old_refresh_token_is_kept(app: Flask, stub: Any, answered: dict[str, Any]) -> None:
    """An answer without a refresh token would erase the stored one."""
    stub.answers["/token"] = {"access_token": "AT-2", "expires_in": 60, **answered}
    kept: list[Any] = []
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=expired, update_token=kept.append)
    with app.test_request_context():
        client.get("a")
    assert kept[0]["refresh_token"] == "RT-1"
    assert kept[0]["token_type"] == "Bearer"


def test_expired_without_a_refresh_token(app: Flask, stub: Any) -> None:
    """A request that cannot succeed would be sent, or a refresh request without a token."""
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: expired(refresh_token=None))
    with app.test_request_context(), pytest.raises(TokenExpiredError) as caught:
        client.get("a")
    assert caught.value.error == "token_expired"
    assert not stub.seen


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_grant"), (401, "token_revoked"), (401, "invalid_grant"), (400, "login_required")],
)
def test_a_dead_grant_asks_for_consent(app: Flask, stub: Any, status: int, code: str) -> None:
    """A withdrawn consent would look like any other failure, or like a wrong client secret."""
    stub.answers["/token"] = (status, {"error": code, "error_description": "gone"})
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=expired)
    with app.test_request_context(), pytest.raises(ReauthorizationRequired):
        client.get("a")


def test_wrong_credentials_are_the_operators_fault(app: Flask, stub: Any) -> None:
    """Users would be asked for consent where the client secret is wrong."""
    stub.answers["/token"] = (401, {"error": "invalid_client"})
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=expired)
    with app.test_request_context(), pytest.raises(ConfigurationError, match="DEV_CLIENT_SECRET"):
        client.get("a")


def test_a_token_still_valid_is_served_while_the_provider_is_down(app: Flask, stub: Any) -> None:
    """A token with half a minute left would be useless while the token endpoint has an outage."""
    stub.answers["/token"] = (503, {})
    soon = int(time.time()) + 30
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: expired(expires_at=soon))
    gone = OAuth(app).register("dev", **stub.oauth2(), fetch_token=expired)
    with app.test_request_context():
        assert client.get("a").status_code == 200
        with pytest.raises(ProviderUnavailable):
            gone.get("a")
    assert len(stub.find("/token")) == 2


def test_a_token_is_due_before_it_expires(create_app: Callable[..., Flask], stub: Any) -> None:
    """A token would expire on its way to the provider."""
    rotate(stub)
    for leeway, refreshed in (("300", 1), ("10", 0)):
        app = create_app(OAUTH_ACCOUNTS_REFRESH_LEEWAY=leeway)
        at = int(time.time()) + 100
        client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda at=at: expired(expires_at=at))
        stub.seen.clear()
        with app.test_request_context():
            client.get("a")
        assert len(stub.find("/token")) == refreshed


def test_a_clients_own_leeway(create_app: Callable[..., Flask], stub: Any) -> None:
    """Authlib's ``leeway`` of one client would be passed over, and its tokens expire on their way to the provider."""
    rotate(stub)
    app = create_app(OAUTH_ACCOUNTS_REFRESH_LEEWAY="10")
    at = int(time.time()) + 100
    for leeway, refreshed in ((300, 1), (0, 0)):
        arguments = stub.oauth2(client_kwargs={"leeway": leeway}, fetch_token=lambda at=at: expired(expires_at=at))
        client = OAuth(app).register("dev", **arguments)
        stub.seen.clear()
        with app.test_request_context():
            client.get("a")
        assert len(stub.find("/token")) == refreshed


def test_a_leeway_longer_than_the_lifetime(create_app: Callable[..., Flask], stub: Any) -> None:
    """Each call would refresh, and again, until the provider's limit on that refuses every user."""
    rotate(stub)
    row = expired()
    app = create_app(OAUTH_ACCOUNTS_REFRESH_LEEWAY="3600")
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: row, update_token=row.update)
    for _ in range(3):
        with app.test_request_context():
            client.get("a")
    assert sent(stub) == ["Bearer AT-2"] * 3
    assert len(stub.find("/token")) == 1


@pytest.mark.parametrize("stored", [True, False])
def test_a_token_that_is_due_as_soon_as_it_comes(app: Flask, stub: Any, stored: bool) -> None:
    """A provider whose tokens have no lifetime would be asked eight times for one call of its API."""
    rotate(stub, expires_in=0)
    row = expired()
    update = row.update if stored else (lambda token: None)
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: dict(row), update_token=update)
    for calls in (1, 2):
        with app.test_request_context():
            client.get("a")
        assert len(stub.find("/token")) == calls
    assert sent(stub) == ["Bearer AT-2", "Bearer AT-3"]


def test_eight_threads_refresh_once(app: Flask, stub: Any) -> None:
    """Parallel requests would each refresh, and a provider that detects reuse would revoke the grant."""
    threads = 8
    read = threading.Barrier(threads)
    rotate(stub)
    row = expired()
    kept: list[Any] = []

    def fetch_token() -> Any:
        found = dict(row)
        # Everybody has read the old row before anybody refreshes it.
        if request.args["first"] == "yes":
            read.wait(30)
        return found

    def update_token(token: Any) -> None:
        kept.append(token)
        row.update(token)

    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=fetch_token, update_token=update_token)
    statuses: list[int] = []

    def call() -> None:
        with app.test_request_context("/?first=yes"):
            statuses.append(client.get("a").status_code)

    workers = [threading.Thread(target=call) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert statuses == [200] * threads
    assert sent(stub) == ["Bearer AT-2"] * threads
    assert len(stub.find("/token")) == len(kept) == 1


def test_threads_that_wait_for_a_refresh_share_its_failure(app: Flask, stub: Any) -> None:
    """Where the provider hangs, the eighth caller would wait eight times as long as the first."""
    threads = 8
    arrived = threading.Semaphore(0)
    failures: list[str] = []

    def answer(seen: Any) -> Any:
        if len(stub.find("/token")) == 1:
            assert all(arrived.acquire(timeout=30) for _ in range(threads))
        return 503, {}

    def fetch_token() -> Any:
        arrived.release()
        return expired()

    def call() -> None:
        with app.test_request_context(), pytest.raises(ProviderUnavailable) as caught:
            client.get("a")
        failures.append(caught.value.code)

    stub.answers["/token"] = answer
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=fetch_token)
    workers = [threading.Thread(target=call) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert failures == ["provider_unavailable"] * threads
    assert len(stub.find("/token")) < threads  # whoever comes after an answer may ask again


def test_a_late_thread_with_an_old_row_does_not_refresh_again(app: Flask, stub: Any) -> None:
    """A thread that had read its row before another one refreshed it would use up the grant."""
    rotate(stub)
    rows = [expired(), expired()]
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=rows.pop, update_token=lambda token: None)
    for _ in range(2):
        with app.test_request_context():
            assert client.get("a").status_code == 200
    assert sent(stub) == ["Bearer AT-2"] * 2
    assert len(stub.find("/token")) == 1


def test_somebody_elses_refresh_is_found_by_reading_again(app: Flask, stub: Any) -> None:
    """Where another process has rotated the token, ``invalid_grant`` would be believed and consent asked for."""
    stub.answers["/token"] = (400, {"error": "invalid_grant"})
    rows = [{"access_token": "AT-9", "refresh_token": "RT-9"}, expired()]
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: rows.pop() if len(rows) > 1 else rows[0])
    with app.test_request_context():
        assert client.get("a").status_code == 200
    assert sent(stub) == ["Bearer AT-9"]


def test_a_token_given_with_the_call_is_refreshed_too(app: Flask, stub: Any) -> None:
    """``client.get(url, token=row.to_token())``, Authlib's usual form, would stop working after an hour."""
    rotate(stub)
    kept: list[Any] = []
    client = OAuth(app).register("dev", **stub.oauth2(), update_token=kept.append)
    with app.test_request_context():
        client.get("a", token=expired())
        client.get("a", token=expired())
        client.get("a", token=expired(access_token="AT-7", expires_at=None))
        with pytest.raises(TokenExpiredError):
            client.get("a", token=expired(refresh_token=None))
    assert sent(stub) == ["Bearer AT-2", "Bearer AT-2", "Bearer AT-7"]
    assert [token["access_token"] for token in kept] == ["AT-2"]


def test_a_renewed_token_is_announced(app: Flask, stub: Any) -> None:
    """An application that listens to ``token_update`` would not hear of refreshes through its own callbacks."""
    rotate(stub)
    heard: list[Any] = []

    def listen(sender: Any, **values: Any) -> None:
        heard.append((sender, values["name"], values["token"]["access_token"]))

    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=expired, update_token=lambda token: None)
    with signals.token_update.connected_to(listen, app), app.test_request_context():
        client.get("a")
    assert heard == [(app, "dev", "AT-2")]


def test_for_user_needs_stored_tokens(app: Flask, stub: Any) -> None:
    """A registry without accounts would fail in ``for_user`` without saying what to set up."""
    client = OAuth(app, fetch_token=lambda name: expired()).register("dev", **stub.oauth2())
    with app.app_context(), pytest.raises(ConfigurationError, match="OAuthAccounts"):
        client.for_user(1)


def test_a_client_for_a_user_keeps_to_that_user(app: Flask, stub: Any) -> None:
    """A token set on ``for_user(bob)`` would be used for the current user, or for everybody."""
    from flask_sqlalchemy import SQLAlchemy

    from flask_oauth_accounts import OAuthAccounts

    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = SQLAlchemy(app)

    class Person(db.Model):  # type: ignore[name-defined, misc]
        id = db.Column(db.Integer, primary_key=True)

    oauth = OAuth(app)
    oauth.register("dev", **stub.oauth2())
    OAuthAccounts(oauth, db=db, user_model=Person).init_app(app)
    with app.app_context():
        db.create_all()
        bob = oauth.dev.for_user(1)
        bob.token = {"access_token": "of-bob"}
        bob.get("a")
        assert oauth.dev.token is None
        assert oauth.dev.for_user(2).token is None
        assert oauth.dev.for_user(1, account="other").token is None
        with pytest.raises(MissingTokenError):
            oauth.dev.for_user(2).get("a")
        db.engine.dispose()
    assert sent(stub) == ["Bearer of-bob"]


@pytest.mark.parametrize("kind", ["oauth1", "oauth2", "oidc"])
def test_h10_no_secret_in_the_log(
    app: Flask, oauth_provider: Any, add_views: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """H10: with the root logger at DEBUG every token would stand in the log."""
    caplog.set_level("DEBUG")
    oauth = OAuth(app)
    arguments = oauth_provider.register_kwargs(kind)
    if kind == "oauth1":
        arguments["client_kwargs"] = {"signature_method": "PLAINTEXT", "signature_type": "QUERY"}
    else:
        arguments["client_kwargs"] = {**arguments["client_kwargs"], "token_placement": "uri"}
    client = oauth.register("dev", **arguments)
    add_views(app, oauth)
    browser = app.test_client()
    token = browser.get(str(oauth_provider.authorize(browser.get("/login/dev").location))).json
    assert token is not None
    with app.test_request_context():
        client.get("echo", token=token)
        if kind != "oauth1":
            client.get("echo", token={**token, "expires_at": 1})
    mine = [record for record in caplog.records if record.name != "werkzeug"]
    text = "\n".join(record.getMessage() for record in mine)
    assert mine
    assert not [secret for secret in oauth_provider.issued_secrets() if secret in text]


def test_j08_a_token_that_cannot_be_stored_is_not_used(app: Flask, stub: Any, caplog: pytest.LogCaptureFixture) -> None:
    """J08: a rotated token that is lost would show only when the user is asked for consent again."""
    rotate(stub)

    def update_token(token: Any) -> None:
        raise OSError("the database is gone")

    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=expired, update_token=update_token)
    with app.test_request_context(), pytest.raises(OSError, match="gone"):
        client.get("a")
    assert not stub.find("/api/a")
    (record,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "dev: update_token failed" in record.getMessage()
    assert "AT-2" not in caplog.text


def test_userinfo_renews_a_token_that_is_refused(app: Flask, stub: Any) -> None:
    """``userinfo()`` would fail where ``get()`` renews the token and goes on."""
    rotate(stub)
    stub.answers["/me"] = lambda seen: {"sub": "1"} if "AT-2" in seen.headers["authorization"] else (401, {})
    client = OAuth(app).register(
        "dev", **stub.oauth2(userinfo_endpoint=f"{stub.url}/me"), fetch_token=lambda: expired(expires_at=None)
    )
    with app.test_request_context():
        assert client.userinfo().sub == "1"
    with app.test_request_context():
        assert client.userinfo(token=expired()).sub == "1"
    assert len(stub.find("/token")) == 1


def test_eight_users_in_eight_threads(login_app: Flask, stub: Any) -> None:
    """B13: one client serves all users, and one of them would be sent with another's token."""
    from flask_login import current_user

    def fetch_token(name: str) -> Any:
        return {"access_token": current_user.id}

    oauth = OAuth(login_app, fetch_token=fetch_token)
    client = oauth.register("dev", **stub.oauth2())

    def call(user: str) -> None:
        for _ in range(200):
            with login_app.test_request_context():
                login_user(User(user))
                client.get("a", params={"user": user})

    threads = [threading.Thread(target=call, args=(f"user-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(stub.seen) == 1600
    assert all(seen.headers["authorization"] == f"Bearer {seen.query['user']}" for seen in stub.seen)
    assert len(stub.connections) <= 8


def test_current_oauth(app: Flask, stub: Any) -> None:
    """A view in another module would have to import the application's registry."""
    from flask_oauth_accounts import current_oauth

    oauth = OAuth(app, fetch_token=lambda name: {"access_token": "AT-1"})
    oauth.register("dev", **stub.oauth2())
    with app.test_request_context():
        current_oauth.dev.get("a")
        assert current_oauth.create_client("nope") is None
    assert sent(stub) == ["Bearer AT-1"]
    with Flask("other").app_context(), pytest.raises(RuntimeError, match="init_app"):
        current_oauth.dev


def test_a_token_that_is_no_bearer_token(app: Flask, stub: Any) -> None:
    """A token that must be signed with would be sent as if whoever holds it may use it."""
    client = OAuth(app).register("dev", **stub.oauth2())
    for token_type in ("mac", "DPoP", 7):
        with pytest.raises(UnsupportedTokenTypeError):
            client.get("a", token={"access_token": "AT", "token_type": token_type})
    assert not stub.seen
    for bearer in ("bearer", "BEARER", "", None):
        assert client.get("a", token={"access_token": "AT", "token_type": bearer}).ok
