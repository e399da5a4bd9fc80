"""The token that every form carries (E14, A23)."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf.csrf import CSRFProtect

from flask_oauth_accounts.errors import CsrfError
from flask_oauth_accounts.web import csrf


def create_app(*, flask_wtf: bool) -> Flask:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "test"
    if flask_wtf:
        app.config["WTF_CSRF_CHECK_DEFAULT"] = False
        CSRFProtect(app)
    app.add_url_rule("/token", "token", csrf.create_token)

    @app.post("/change")
    def change() -> str:
        csrf.require_token()
        return "changed"

    app.register_error_handler(CsrfError, lambda error: (error.code, error.status))
    return app


@pytest.fixture(params=[False, True], ids=["own", "flask_wtf"])
def client(request: pytest.FixtureRequest) -> FlaskClient:
    """A browser of an application with our own tokens, and of one with Flask-WTF's."""
    return create_app(flask_wtf=request.param).test_client()


def test_e14_a_form_with_its_token_passes(client: FlaskClient) -> None:
    """Nobody could connect, disconnect or log out."""
    token = client.get("/token").text
    assert client.post("/change", data={"csrf_token": token}).text == "changed"
    assert client.post("/change", headers={"X-CSRF-Token": token}).text == "changed"


def test_a_class_made_from_flask_wtf_s_counts_as_flask_wtf() -> None:
    """An application that has changed ``CSRFProtect`` in a class of its own would refuse every button of ours."""

    class OwnProtect(CSRFProtect):  # type: ignore[misc]
        pass

    app = create_app(flask_wtf=False)
    OwnProtect(app)
    client = app.test_client()
    assert client.post("/change", data={"csrf_token": client.get("/token").text}).text == "changed"


@pytest.mark.parametrize("token", ["", "x", "0" * 96, "é" * 96, "\x00", "a" * 10_000])
def test_e14_a_form_without_its_token_is_refused(client: FlaskClient, token: str) -> None:
    """Another site could link an attacker's account to a visitor."""
    client.get("/token")
    assert client.post("/change", data={"csrf_token": token}).status_code == 400


def test_e14_a_token_of_another_session_is_refused(client: FlaskClient) -> None:
    """An attacker's own token would work in the session of a victim."""
    foreign = client.application.test_client().get("/token").text
    client.get("/token")
    assert client.post("/change", data={"csrf_token": foreign}).status_code == 400


def test_e14_a_token_without_a_session_is_refused(client: FlaskClient) -> None:
    """A visitor without any session would accept a token that an attacker made."""
    assert client.post("/change", data={"csrf_token": csrf.FIELD_NAME}).status_code == 400


def test_tokens_of_one_session_differ_and_all_work() -> None:
    """A page that is compressed would give its token away bit by bit; two open pages would shut each other out."""
    client = create_app(flask_wtf=False).test_client()
    tokens = {client.get("/token").text for _ in range(3)}
    assert len(tokens) == 3
    assert all(client.post("/change", data={"csrf_token": token}).text == "changed" for token in tokens)


@pytest.mark.parametrize("secret", [None, "", 5, b"x"])
def test_a02_a_session_without_a_secret_fails_closed(secret: object) -> None:
    """An empty secret would make every token valid."""
    assert not csrf.is_valid_token(secret, "0" * 96)
