"""Way A: nothing but configuration."""

from __future__ import annotations

import logging
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_caching import Cache
from flask_login import LoginManager, current_user, login_required
from flask_sqlalchemy import SQLAlchemy

from flask_oauth_accounts import OAuth, create_blueprint, current_oauth, oauth_bp
from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.testing import DevProvider, oauth_login

JSON = {"Accept": "application/json"}
MakeApp = Callable[..., Flask]


def names(app: Flask) -> tuple[str, ...]:
    with app.app_context():
        return current_oauth.list_names()


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_a_login_with_every_protocol(app: Flask, provider: DevProvider, name: str) -> None:
    """The whole of what the first page of the documentation promises would not work."""

    @app.get("/api")
    @login_required
    def api() -> Any:
        return {"user": current_user.id, "answer": getattr(current_oauth, name).get("me").json()}

    browser = app.test_client()
    done = oauth_login(browser, name, provider=provider)
    assert done.headers["Location"] == f"/profile/{name}"
    assert "Alice Ardent" in browser.get(f"/profile/{name}").text
    answer = browser.get("/api").get_json()
    assert answer["user"] == 1
    assert answer["answer"]["name"] == "Alice Ardent"


def test_every_configured_preset_is_registered(make_app: MakeApp) -> None:
    """A provider whose keys are set would have no button."""
    app = make_app(
        OAUTH_ACCOUNTS_PROVIDERS=...,
        GITHUB_CLIENT_ID="id",
        GITHUB_CLIENT_SECRET="s",
        GOOGLE_CLIENT_ID="id",
        GOOGLE_CLIENT_SECRET="s",
        GITLAB_CLIENT_SECRET="only a secret",
    )
    assert set(names(app)) == {"github", "google"}
    page = app.test_client().get("/login").text
    assert "Continue with GitHub" in page
    assert "Continue with Google" in page


@pytest.mark.parametrize("value", ["github, two", ["github", "two"], ("github", "two"), "github,two,"])
def test_exactly_the_named_providers_are_registered(make_app: MakeApp, value: Any) -> None:
    """A provider that is configured for something else would appear on the sign-in page."""
    app = make_app(OAUTH_ACCOUNTS_PROVIDERS=value, GITHUB_CLIENT_ID="i", GITHUB_CLIENT_SECRET="s", GOOGLE_CLIENT_ID="i")
    assert names(app) == ("github", "two")


def test_a_name_of_its_own_takes_a_preset(make_app: MakeApp) -> None:
    """Two registrations at one provider could not be told apart."""
    app = make_app(
        OAUTH_ACCOUNTS_PROVIDERS="work", WORK_PRESET="github", WORK_CLIENT_ID="id", WORK_CLIENT_SECRET="secret"
    )
    with app.app_context():
        assert current_oauth.work.api_base_url == "https://api.github.com/"


def test_discovery_alone_makes_an_openid_client(make_app: MakeApp, provider: DevProvider) -> None:
    """An OpenID provider would have to be described URL by URL."""
    app = make_app(
        OAUTH_ACCOUNTS_PROVIDERS="company",
        COMPANY_SERVER_METADATA_URL=f"{provider.url}/.well-known/openid-configuration",
        COMPANY_CLIENT_ID=provider.client_id,
        COMPANY_CLIENT_SECRET=provider.client_secret,
    )
    with app.app_context():
        assert set(current_oauth.company.scope.split()) == {"openid", "email", "profile"}
    browser = app.test_client()
    oauth_login(browser, "company", provider=provider)
    account = browser.get("/accounts", headers=JSON).get_json()["accounts"][0]
    assert (account["provider"], account["account"]["email"]) == ("company", "alice@example.com")


@pytest.mark.parametrize(("kind", "protocol"), [("oauth1", "oauth1"), ("oauth2", "oauth2")])
def test_urls_alone_make_a_client(make_app: MakeApp, provider: DevProvider, kind: str, protocol: str) -> None:
    """A provider that nobody has made a preset for could not be used without code."""
    app = make_app(OAUTH_ACCOUNTS_PROVIDERS="house", **provider.config(kind, "HOUSE"))
    with app.app_context():
        assert current_oauth.house.protocol == protocol
    assert oauth_login(app.test_client(), "house", provider=provider).headers["Location"] == "/profile/house"


def test_a_name_that_nothing_describes_is_said(make_app: MakeApp) -> None:
    """A misspelt name would silently have no button."""
    with pytest.raises(ConfigurationError, match=r"'gihub'.*GIHUB_PRESET.*GIHUB_SERVER_METADATA_URL.*GIHUB_AUTHORIZE"):
        make_app(OAUTH_ACCOUNTS_PROVIDERS="gihub")
    with pytest.raises(ConfigurationError, match="GITLAB_CLIENT_ID"):
        make_app(OAUTH_ACCOUNTS_PROVIDERS="gitlab")


def test_further_databases_of_the_application_are_beside_the_embedded_one(
    make_app: MakeApp, provider: DevProvider, tmp_path: Path
) -> None:
    """An application that names only databases for other purposes would answer every callback with an error."""
    app = make_app(SQLALCHEMY_BINDS={"statistics": f"sqlite:///{tmp_path / 'statistics.db'}"})
    assert oauth_login(app.test_client(), "two", provider=provider).headers["Location"] == "/profile/two"
    assert Path(app.instance_path, "oauth_accounts.db").exists()
    own = make_app(SQLALCHEMY_BINDS={None: f"sqlite:///{tmp_path / 'own.db'}"}, OAUTH_ACCOUNTS_AUTO_MIGRATE=True)
    assert oauth_login(own.test_client(), "two", provider=provider).headers["Location"] == "/profile/two"
    assert not Path(own.instance_path, "oauth_accounts.db").exists()


def test_a_file_cache_without_a_folder_gets_one(make_app: MakeApp, provider: DevProvider, tmp_path: Path) -> None:
    """An operator who names the kind of cache that is the default anyway would see the start fail."""
    app = make_app(CACHE_TYPE="FileSystemCache")
    assert oauth_login(app.test_client(), "two", provider=provider).headers["Location"] == "/profile/two"
    assert any(Path(app.instance_path, "oauth_accounts_cache").iterdir())
    own = make_app(CACHE_DIR=str(tmp_path / "own"))
    assert oauth_login(own.test_client(), "two", provider=provider).headers["Location"] == "/profile/two"
    assert any((tmp_path / "own").iterdir())
    assert not Path(own.instance_path, "oauth_accounts_cache").exists()


def test_a_value_that_is_configured_is_respected(make_app: MakeApp, provider: DevProvider, tmp_path: Path) -> None:
    """An application with its own database and cache would find its users in another file."""
    app = make_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'own.db'}", CACHE_TYPE="SimpleCache")
    assert not Path(app.instance_path, "oauth_accounts.db").exists()
    assert not Path(app.instance_path, "oauth_accounts_cache").exists()
    with app.app_context():
        app.extensions["flask_oauth_accounts"].accounts.db.create_all(None)
    oauth_login(app.test_client(), "two", provider=provider)
    with sqlite3.connect(tmp_path / "own.db") as connection:
        assert connection.execute("SELECT count(*) FROM oauth_identity").fetchone() == (1,)
    (cache,) = app.extensions["cache"]
    assert app.config["CACHE_TYPE"] == "SimpleCache"
    assert "SimpleCache" in type(app.extensions["cache"][cache]).__name__


def test_tables_are_made_only_where_the_database_is_ours(make_app: MakeApp, tmp_path: Path) -> None:
    """An operator's own database would be changed without being asked."""
    url = f"sqlite:///{tmp_path / 'own.db'}"
    app = make_app(SQLALCHEMY_DATABASE_URI=url)
    assert app.test_client().get("/accounts", headers=JSON).status_code == 401
    with app.app_context(), sqlite3.connect(tmp_path / "own.db") as connection:
        app.extensions["flask_oauth_accounts"].accounts.store.transactions.engines.get()
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    wanted = make_app(SQLALCHEMY_DATABASE_URI=url, OAUTH_ACCOUNTS_AUTO_MIGRATE=True)
    with wanted.app_context():
        assert wanted.extensions["flask_oauth_accounts"].accounts.store.count_tokens("oauth2") == 0


def test_an_applications_own_cache_is_found(make_app: MakeApp) -> None:
    """Pending logins would lie in a folder that other machines do not see."""
    app = make_app(register=False)
    own = Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    app.register_blueprint(oauth_bp)
    with app.app_context():
        assert app.extensions["flask_oauth_accounts"].cache is own
    assert not Path(app.instance_path, "oauth_accounts_cache").exists()


def test_files_in_the_instance_folder_are_for_this_user_alone(app: Flask, provider: DevProvider) -> None:
    """Everybody on the machine could read who logs in here."""
    browser = app.test_client()
    browser.get("/login/one")
    oauth_login(browser, "two", provider=provider)
    files = [path for path in Path(app.instance_path).rglob("*") if path.is_file()]
    assert {"oauth_accounts.db"} < {path.name for path in files}
    open_to_others = [path for path in files if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    assert open_to_others == []
    assert stat.S_IMODE(Path(app.instance_path).stat().st_mode) == 0o700


def test_an_instance_folder_that_is_there_keeps_its_mode(make_app: MakeApp, tmp_path: Path) -> None:
    """An operator's own permissions would be overwritten."""
    folder = tmp_path / "instance0"
    folder.mkdir()
    folder.chmod(0o750)
    make_app()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_a_folder_that_cannot_be_written_is_said(make_app: MakeApp, tmp_path: Path) -> None:
    """A read-only container would show a traceback about a file."""
    (tmp_path / "instance0").write_text("not a folder")
    with pytest.raises(ConfigurationError, match="SQLALCHEMY_DATABASE_URI"):
        make_app()


WORKER = """
import sys
from flask import Flask
from flask_oauth_accounts import oauth_bp
app = Flask("worker", instance_path=sys.argv[1])
app.config.update(SECRET_KEY="for this test", TESTING=True, GITHUB_CLIENT_ID="id", GITHUB_CLIENT_SECRET="secret")
app.register_blueprint(oauth_bp)
print("ready", flush=True)
sys.stdin.readline()
with app.app_context():
    accounts = app.extensions["flask_oauth_accounts"].accounts
    user = accounts.user_model(name=sys.argv[2])
    accounts.store.count_tokens("oauth2")
    accounts.db.session.add(user)
    accounts.db.session.commit()
    accounts.vault.save(user.id, "github", {"access_token": "a"}, protocol="oauth2")
    print(accounts.store.count_tokens("oauth2") > 0)
"""


def test_two_workers_start_at_once_on_an_empty_folder(tmp_path: Path) -> None:
    """With two workers the first request after an installation would fail on half-made tables."""
    command = [sys.executable, "-W", "error", "-c", WORKER, str(tmp_path / "instance")]
    workers = [
        subprocess.Popen(
            [*command, f"w{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", worker.stderr.read()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        output, errors = worker.communicate(timeout=60)
        assert (worker.returncode, output) == (0, "True\n"), errors
    with sqlite3.connect(tmp_path / "instance" / "oauth_accounts.db") as connection:
        assert connection.execute("SELECT count(*) FROM oauth2_token").fetchone() == (4,)


def test_several_applications_in_one_process_are_kept_apart(make_app: MakeApp, provider: DevProvider) -> None:
    """A user of one site would be a user of the other one on the same server."""
    first, second = make_app(), make_app(OAUTH_ACCOUNTS_PROVIDERS="two")
    browser = first.test_client()
    oauth_login(browser, "two", provider=provider)
    assert names(first) == ("one", "two", "three")
    assert names(second) == ("two",)
    for app, count in ((first, 1), (second, 0)):
        with app.app_context():
            accounts = app.extensions["flask_oauth_accounts"].accounts
            assert accounts.store.count_tokens("oauth2") == count
    oauth_login(second.test_client(), "two", "bob", provider=provider)
    with second.app_context():
        assert current_oauth.two.for_user(1).get("me").json()["name"].startswith("Bob")
    with first.app_context():
        assert current_oauth.two.for_user(1).get("me").json()["name"].startswith("Alice")


def test_a_registry_that_was_filled_is_used(make_app: MakeApp) -> None:
    """Clients that the application has registered would be missing, or stand there twice."""
    app = make_app(register=False, OAUTH_ACCOUNTS_PROVIDERS=..., GITHUB_CLIENT_ID="id", GITHUB_CLIENT_SECRET="s")
    oauth = OAuth(app)
    oauth.register(
        "mine",
        client_id="id",
        client_secret="s",
        authorize_url="https://a.example/a",
        access_token_url="https://a.example/t",
    )
    app.register_blueprint(oauth_bp)
    with app.app_context():
        assert current_oauth._get_current_object() is oauth
    assert names(app) == ("mine",)


def test_a_blueprint_of_another_name_and_place_works(make_app: MakeApp, provider: DevProvider) -> None:
    """``@login_required`` would lead to an endpoint that does not exist."""
    app = make_app(register=False)
    app.register_blueprint(create_blueprint("social"), url_prefix="/in")

    @app.get("/members")
    @login_required
    def members() -> str:
        return "members"

    browser = app.test_client()
    response = browser.get("/members")
    assert response.headers["Location"] == "/in/login?next=%2Fmembers"
    oauth_login(browser, "two", provider=provider, endpoint="social.login")
    assert browser.get("/members").text == "members"


def test_a_missing_secret_key_is_said(make_app: MakeApp) -> None:
    """Logins would fail with a sentence about sessions."""
    with pytest.raises(ConfigurationError, match="SECRET_KEY is not set"):
        make_app(SECRET_KEY=None)


def test_a_secret_key_that_the_environment_made_a_number_is_said(make_app: MakeApp) -> None:
    """``FLASK_SECRET_KEY=123456`` would end the start in a traceback about ``encode``."""
    for config in ({"SECRET_KEY": 123456}, {"SECRET_KEY_FALLBACKS": [123456]}):
        with pytest.raises(ConfigurationError, match=r"SECRET_KEY.* must be text"):
            make_app(**config)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense-with-hidden-words", "no address of a database"),
        ("nosuchdatabase://me:hidden@127.0.0.1/site", "no address of a database"),
        ("oracle+oracledb://me:hidden@127.0.0.1/site", "driver that is not installed"),
    ],
)
def test_an_address_of_no_database_names_its_key(make_app: MakeApp, url: str, reason: str) -> None:
    """A typing error in the configuration would end the start in a traceback that names no key."""
    with pytest.raises(ConfigurationError, match="SQLALCHEMY_DATABASE_URI") as caught:
        make_app(SQLALCHEMY_DATABASE_URI=url)
    assert reason in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_an_own_database_without_a_user_model_says_what_to_write(make_app: MakeApp) -> None:
    """Users would be kept in a table that the application knows nothing of."""
    app = make_app(register=False, SQLALCHEMY_DATABASE_URI="sqlite://")
    SQLAlchemy(app)
    with pytest.raises(ConfigurationError, match=r"OAuthAccounts\(oauth, db=db, user_model=User\)"):
        app.register_blueprint(oauth_bp)


def test_a_login_manager_that_comes_too_late_is_said(
    make_app: MakeApp, provider: DevProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Every login would succeed and then find nobody."""
    app = make_app()
    manager = LoginManager()
    manager.user_loader(lambda key: None)
    manager.init_app(app)
    with caplog.at_level(logging.ERROR):
        response = app.test_client().get("/login")
    assert response.status_code == 503
    assert "Flask-Login was set up after the blueprint" in caplog.text


def test_a_login_manager_without_a_loader_is_said(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    """The page would show a fault that says nothing."""
    app = make_app(register=False)
    LoginManager(app)
    app.register_blueprint(oauth_bp)
    with caplog.at_level(logging.ERROR):
        response = app.test_client().get("/login")
    assert response.status_code == 503
    assert "@login_manager.user_loader" in caplog.text


def test_registering_twice_is_harmless(make_app: MakeApp) -> None:
    """The same pages under two prefixes would set everything up twice."""
    app = make_app()
    app.register_blueprint(create_blueprint("again"), url_prefix="/again")
    assert app.test_client().get("/again/login").status_code == 200
    assert app.test_client().get("/login").status_code == 200
