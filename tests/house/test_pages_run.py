"""README and documentation are executed: each page's Python in order, each command."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask import request as flask_request
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from packaging.requirements import Requirement
from sqlalchemy import text
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from flask_oauth_accounts import OAuth, OAuthAccounts, oauth_bp
from flask_oauth_accounts.testing import DevProvider, oauth_login

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "examples").glob("*/README.md"))
TESTING = ROOT / "docs" / "testing.md"  # its blocks are tests themselves
PYTHON = [page for page in PAGES if "```python" in page.read_text() and page != TESTING]
COMMANDS = [page for page in PAGES if "```sh" in page.read_text()]
ADD_TO_AN_APP = {"docs/configuration.md", "docs/errors.md", "docs/tokens.md"}  # they show what to add to one
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def github(
    oauth_provider: DevProvider, live_server: Callable[[Flask], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> DevProvider:
    """GitHub as the pages speak of it: its paths in front of the development provider, configured by environment."""
    api = Flask("github")

    def ask() -> dict[str, Any]:
        headers = {"Authorization": flask_request.headers["Authorization"]}
        profile: dict[str, Any] = requests.get(f"{oauth_provider.url}/api/me", headers=headers, timeout=5).json()
        return profile

    @api.get("/user")
    def user() -> dict[str, Any]:
        return {**ask(), "avatar_url": None, "html_url": None}

    @api.get("/user/emails")
    def emails() -> list[dict[str, Any]]:
        return [{"email": ask()["email"], "primary": True, "verified": ask()["email_verified"]}]

    @api.get("/user/repos")
    def repos() -> list[dict[str, Any]]:
        return [{"full_name": f"{ask()['login']}/garden"}]

    oauth_provider.settings.iss_in_callback = False
    values = oauth_provider.oauth2_config("github")
    address = live_server(api)
    values |= {"GITHUB_API_BASE_URL": f"{address}/", "GITHUB_USERINFO_ENDPOINT": f"{address}/user"}
    values["SECRET_KEY"] = "for the pages only"
    values.pop("GITHUB_SCOPE")
    values["OAUTH_ACCOUNTS_ALLOW_HTTP"] = "127.0.0.1"
    for key, value in values.items():
        monkeypatch.setenv(f"FLASK_{key}", json.dumps(value))
    monkeypatch.chdir(tmp_path)
    return oauth_provider


def run_page(page: Path) -> dict[str, Any]:
    """Execute the page's Python blocks in order; an exception names file and line."""
    document = Sybil([PythonCodeBlockParser()]).parse(page)
    document.namespace["__name__"] = page.stem
    if name_of(page) in ADD_TO_AN_APP:
        exec(BLOCK.findall((ROOT / "README.md").read_text())[0], document.namespace)
    for example in document.examples():
        example.evaluate()
    return document.namespace


def check_readme(names: dict[str, Any], provider: DevProvider) -> None:
    client = names["app"].test_client()
    assert oauth_login(client, "github", "bob", provider=provider).location.endswith("/profile/github")
    assert client.get("/repositories").json == ["bob/garden"]


def check_getting_started(names: dict[str, Any], provider: DevProvider) -> None:
    client = names["app"].test_client()
    oauth_login(client, "github", "bob", provider=provider)
    assert client.get("/me").json["login"] == "bob"
    assert client.get("/accounts", headers={"Accept": "application/json"}).status_code == 200


def check_existing_app(names: dict[str, Any], provider: DevProvider) -> None:
    assert names["names"] == ["oauth1_token", "oauth2_token", "oauth_event", "oauth_identity", "user"]
    oauth_login(names["app"].test_client(), "github", "bob", provider=provider)
    with names["app"].app_context():
        assert names["db"].session.query(names["User"]).one().name == "Bob Builder"


def check_registry_only(names: dict[str, Any], provider: DevProvider) -> None:
    client = names["app"].test_client()
    finished = client.get(provider.authorize(client.get("/login").location, "bob"), follow_redirects=True)
    assert finished.json == {"who": "Bob Builder"}


def check_tokens(names: dict[str, Any], provider: DevProvider) -> None:
    client = names["app"].test_client()
    assert client.get("/me").status_code in {302, 401}
    oauth_login(client, "github", "bob", provider=provider)
    assert client.get("/me").json["login"] == "bob"
    with client.session_transaction() as session:
        user_id = session["_user_id"]
    assert names["count_repositories"](user_id) == 1


def check_errors(names: dict[str, Any], provider: DevProvider) -> None:
    with names["app"].test_request_context():
        answer, status = names["show_profile"]()
    assert (answer["code"], status) == ("missing_token", 401)


def check_migrating(names: dict[str, Any], provider: DevProvider) -> None:
    """The policy finds whom the old table knows by a verified address; with an address that is not, nobody."""
    db = names["db"] = SQLAlchemy()
    model = type("User", (UserMixin, db.Model), {"id": db.Column(db.Integer, primary_key=True)})
    names["User"] = model
    app = Flask("site")
    app.config.update(provider.oidc_config("google"), SECRET_KEY="for this page", TESTING=True)
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite:///site.db", CACHE_TYPE="SimpleCache")
    db.init_app(app)
    oauth = OAuth()
    oauth.register("google")
    OAuthAccounts(oauth, db=db, user_model=model, policy=names["FromSocialAuth"]()).init_app(app)
    app.register_blueprint(oauth_bp)
    with app.app_context():
        db.create_all()
        db.session.add(model(id=7))
        db.session.execute(text("CREATE TABLE social_auth_usersocialauth (provider TEXT, uid TEXT, user_id INTEGER)"))
        for uid in ("Alice@example.com", "bob@example.com"):
            row = {"uid": uid}
            db.session.execute(text("INSERT INTO social_auth_usersocialauth VALUES ('google-oauth2', :uid, 7)"), row)
        db.session.commit()
    for user, is_old in (("alice", True), ("bob", False)):
        client = app.test_client()
        assert oauth_login(client, "google", user, provider=provider).status_code == 302
        with client.session_transaction() as session:
            assert (session["_user_id"] == "7") is is_old
    with app.app_context():
        db.engine.dispose()


CHECKS: dict[str, Callable[[dict[str, Any], DevProvider], None]] = {
    "README.md": check_readme,
    "docs/getting-started.md": check_getting_started,
    "docs/existing-app.md": check_existing_app,
    "docs/registry-only.md": check_registry_only,
    "docs/migrating.md": check_migrating,
    "docs/errors.md": check_errors,
    "docs/tokens.md": check_tokens,
}


@pytest.mark.parametrize("page", PYTHON, ids=name_of)
def test_python_of_a_page_runs(page: Path, github: DevProvider) -> None:
    """Who copies from the documentation expects it to work."""
    names = run_page(page)
    check = CHECKS.get(name_of(page))
    if check is not None:
        check(names, github)


def test_every_check_has_its_page() -> None:
    """A renamed page would go unchecked without anybody noticing."""
    assert CHECKS.keys() <= {name_of(page) for page in PYTHON}


@pytest.mark.slow
def test_page_about_testing_is_a_test_suite(tmp_path: Path) -> None:
    """Who copies a test from the documentation expects it to pass."""
    conftest, *tests = BLOCK.findall(TESTING.read_text())
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_page.py").write_text("\n\n".join(tests))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def commands(page: Path) -> list[str]:
    """The commands of a page's ``sh`` blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.mark.slow
@pytest.mark.parametrize("page", COMMANDS, ids=name_of)
def test_commands_of_a_page_run(
    page: Path, github: DevProvider, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Who copies a command from the documentation expects it to work."""
    (tmp_path / "app.py").write_text(BLOCK.findall((ROOT / "README.md").read_text())[0])
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    create_legacy_tables(tmp_path / "instance")
    environment: dict[str, str] = {}
    for line in commands(page):
        words = shlex.split(line)
        if words[0] == "make":
            done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        elif words[:2] == ["pip", "install"]:
            check_requirements(words[2:])
        elif words[0] == "rq":
            redis_url = request.getfixturevalue("redis_url")
            rq = [str(Path(sys.executable).with_name("rq")), *words[1:], "--burst", "--url", redis_url]
            done = subprocess.run(rq, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        elif words[0] == "export":
            key, _, value = words[1].partition("=")
            environment[key] = value
        elif words[-1] == "run":
            text = serve([*flask(words), "--port", "0"], tmp_path, {**environment, **os.environ})
            assert "GitHub" in text or page.parent.parent.name == "examples"
        else:
            assert words[0] == "flask", f"nobody has taught this test to run: {line}"
            done = subprocess.run(flask(words), cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


def check_requirements(words: list[str]) -> None:
    """What a page tells to install is what this test runs with, and its extras exist."""
    for requirement in map(Requirement, words):
        known = metadata.metadata(requirement.name).get_all("Provides-Extra") or []
        assert requirement.extras <= set(known), requirement


def create_legacy_tables(instance: Path) -> None:
    """What the commands that take over another package's accounts look for."""
    instance.mkdir()
    with closing(sqlite3.connect(instance / "oauth_accounts.db")) as connection:
        connection.execute("CREATE TABLE flask_dance_oauth (id INTEGER, provider TEXT, token TEXT, user_id INTEGER)")
        connection.execute(
            "CREATE TABLE social_auth_usersocialauth "
            "(id INTEGER, provider TEXT, uid TEXT, extra_data TEXT, user_id INTEGER)"
        )


def flask(words: list[str]) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "flask", *words[1:]]


def serve(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """Start a development server, and fetch its sign-in page once it says that it listens."""
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        try:
            for line in process.stdout:
                said += line
                found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", line)
                if found:
                    return requests.get(f"{found[1]}/login", timeout=10).text
        finally:
            process.terminate()
            process.stdout.read()
    pytest.fail(f"the server does not start:\n{said}", pytrace=False)
