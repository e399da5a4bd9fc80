"""``oauth_login`` and the fixtures, used on an application written for Authlib's Flask client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlsplit

import pytest
from authlib.integrations.flask_client import OAuth
from flask import Blueprint, Flask, session, url_for
from werkzeug.wrappers import Response

from flask_oauth_accounts import oauth_bp, testing
from flask_oauth_accounts.testing import DevProvider, oauth_login
from flask_oauth_accounts.testing.pytest_plugin import oauth_session_provider

__all__ = ["oauth_session_provider"]


def create_app(provider: DevProvider, kind: str, **options: Any) -> Flask:
    """An application with a login and a callback view, below a prefix."""
    app = Flask(__name__)
    app.secret_key = "for tests"
    oauth = OAuth(app)
    kwargs = provider.register_kwargs(kind)
    kwargs["client_kwargs"] = {**kwargs.get("client_kwargs", {}), **options}
    oauth.register("dev", **kwargs)
    views = Blueprint("oauth", __name__, url_prefix="/auth")

    @views.get("/login/<name>")
    def login(name: str) -> Response:
        redirect: Response = oauth.create_client(name).authorize_redirect(
            url_for("oauth.authorize", name=name, _external=True)
        )
        return redirect

    @views.route("/authorize/<name>", methods=["GET", "POST"])
    def authorize(name: str) -> str:
        client = oauth.create_client(name)
        token = client.authorize_access_token()
        name = str((token.get("userinfo") or client.get("me", token=token).json())["name"])
        session["user"] = name
        return name

    @views.get("/nothing/<name>")
    def nothing(name: str) -> str:
        return name

    app.register_blueprint(views)
    return app


@pytest.mark.parametrize("kind", ["oauth1", "oauth2", "oidc"])
def test_login_through_each_protocol(oauth_provider: DevProvider, kind: str) -> None:
    """A user's own test of a login would not run, or would skip a step of the protocol."""
    client = create_app(oauth_provider, kind).test_client()
    response = oauth_login(client, "dev", user="carol", provider=oauth_provider)
    assert response.text == "Carol Cipher"
    with client.session_transaction() as stored:
        assert stored["user"] == "Carol Cipher"


def test_denied_login_reaches_the_application(oauth_provider: DevProvider) -> None:
    """A user's own test of a refused login would not run."""
    app = create_app(oauth_provider, "oauth2")
    app.testing = False
    app.logger.disabled = True
    assert oauth_login(app.test_client(), "dev", provider=oauth_provider, allow=False).status_code == 500


def test_form_post_reaches_the_application_as_a_form(oauth_provider: DevProvider) -> None:
    """A user's own test of response_mode=form_post would not run."""
    client = create_app(oauth_provider, "oidc", response_mode="form_post").test_client()
    assert oauth_login(client, "dev", provider=oauth_provider).text == "Alice Ardent"


def test_view_that_starts_nothing_is_an_error(oauth_provider: DevProvider) -> None:
    """A login that never begins would look like one that worked."""
    client = create_app(oauth_provider, "oauth2").test_client()
    with pytest.raises(RuntimeError, match="/auth/nothing/dev answered 200"):
        oauth_login(client, "dev", provider=oauth_provider, endpoint="oauth.nothing")


def test_provider_of_the_whole_run(oauth_session_provider: DevProvider) -> None:
    """An application that is configured once could not be tested."""
    client = create_app(oauth_session_provider, "oauth2").test_client()
    assert oauth_login(client, "dev", user="dev-1002", provider=oauth_session_provider).text == "Bob Builder"


def create_site(provider: DevProvider, folder: Path, **config: Any) -> Flask:
    """An application with nothing but configuration."""
    app = Flask(__name__, instance_path=str(folder))
    app.config.update(provider.oidc_config("dev"), SECRET_KEY="for tests", TESTING=True, OAUTH_ACCOUNTS_PROVIDERS="dev")
    app.config.update(config)
    app.register_blueprint(oauth_bp)
    return app


@pytest.mark.parametrize(
    ("config", "callback"),
    [
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": "https://www.example.com"}, "https://www.example.com/authorize/dev"),
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": "https://example.com/shop"}, "https://example.com/shop/authorize/dev"),
        ({"APPLICATION_ROOT": "/shop"}, "http://localhost/shop/authorize/dev"),
        (
            {"APPLICATION_ROOT": "/shop", "OAUTH_ACCOUNTS_EXTERNAL_URL": "https://example.com/shop"},
            "https://example.com/shop/authorize/dev",
        ),
    ],
)
def test_login_where_the_outside_sees_another_address(
    oauth_provider: DevProvider, tmp_path: Path, config: dict[str, str], callback: str
) -> None:
    """Who deploys behind a proxy or under a prefix could not test a login with that configuration."""
    app = create_site(oauth_provider, tmp_path, **config)
    oauth_provider.add_redirect_uri(callback)
    client = app.test_client()
    done = oauth_login(client, "dev", provider=oauth_provider)
    assert (done.status_code, done.location.rpartition("/")[2]) == (302, "dev"), done.text
    base = urlsplit(config.get("OAUTH_ACCOUNTS_EXTERNAL_URL", "http://localhost"))
    origin = f"{base.scheme}://{base.netloc}{config.get('APPLICATION_ROOT', '')}"
    assert "Alice Ardent" in client.get("/profile/dev", base_url=origin).text


def test_an_unregistered_public_address_is_refused(oauth_provider: DevProvider, tmp_path: Path) -> None:
    """A test would pass with a callback that the real provider refuses."""
    app = create_site(oauth_provider, tmp_path, OAUTH_ACCOUNTS_EXTERNAL_URL="https://www.example.com")
    with pytest.raises(RuntimeError, match="the provider answered 400"):
        oauth_login(app.test_client(), "dev", provider=oauth_provider)


def test_example_of_the_package_runs(
    oauth_provider: DevProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first thing that a user of the kit copies would not work."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"Flask": Flask, "oauth_bp": oauth_bp, "oauth_login": oauth_login, "__name__": "example"}
    exec(dedent((testing.__doc__ or "").partition("::\n")[2].partition("\nSee ")[0]), names)
    names["test_login"](oauth_provider)


@pytest.mark.parametrize(
    "conftest",
    [
        'pytest_plugins = ["flask_oauth_accounts.testing.pytest_plugin"]',
        'pytest_plugins = ["flask_oauth_accounts.testing"]',
        "from flask_oauth_accounts.testing import oauth_provider",
    ],
)
def test_fixtures_load_in_a_project_of_its_own(tmp_path: Path, conftest: str) -> None:
    """A user's first test ends with: fixture not found."""
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text("def test_it(oauth_provider): assert oauth_provider.url")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
