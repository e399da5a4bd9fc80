"""Way C: a registry by itself loads nothing that it does not need, and writes nothing to disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flask_oauth_accounts.testing import DevProvider

PROGRAM = """
import sys
from flask import Flask, url_for
from flask_oauth_accounts import OAuth


class OwnCache(dict):
    def set(self, key, value, seconds):
        self[key] = value


app = Flask(__name__)
app.config.update(SECRET_KEY="for this test", TESTING=True)
oauth = OAuth(app, cache={cache}, fetch_token=lambda name: None)
oauth.register("one", {one})
oauth.register("two", {two})
oauth.register("github", client_id="1", client_secret="2")


@app.route("/login/<name>")
def login(name):
    return oauth.create_client(name).authorize_redirect(url_for("authorize", name=name, _external=True))


@app.route("/authorize/<name>")
def authorize(name):
    client = oauth.create_client(name)
    client.authorize_access_token()
    return client.get("me").json()


browsers = {{name: app.test_client() for name in ("one", "two")}}
for name, browser in browsers.items():
    print(browser.get("/login/" + name).location, flush=True)
    print(browser.get(input()).json["login"], flush=True)
heavy = ["sqlalchemy", "flask_sqlalchemy", "flask_login", "alembic", "flask_caching"]
print("loaded", [name for name in heavy if name in sys.modules], flush=True)
"""


def write(arguments: dict[str, object]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())


@pytest.mark.parametrize("cache", ["None", "OwnCache()"])
def test_a_registry_alone(oauth_provider: DevProvider, tmp_path: Path, cache: str) -> None:
    """An application without a database would have to install one, wait for it, or find files in its folder."""
    program = PROGRAM.format(
        cache=cache,
        one=write(oauth_provider.register_kwargs("oauth1")),
        two=write(oauth_provider.register_kwargs("oidc")),
    )
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    environment = {**os.environ, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        cwd=home,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for user in ("bob", "carol"):
            location = process.stdout.readline().strip()
            process.stdin.write(f"{oauth_provider.authorize(location, user)}\n")
            process.stdin.flush()
            assert process.stdout.readline().strip() == user
        assert process.stdout.readline().strip() == "loaded []"
        assert process.wait(30) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
