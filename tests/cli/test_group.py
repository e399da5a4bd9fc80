"""``flask oauth`` itself, and ``flask oauth providers``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from flask_oauth_accounts.cli.common import Duration

APP = """
from flask import Flask
from flask_oauth_accounts import oauth_bp
app = Flask(__name__)
app.config.update(SECRET_KEY="for this test", GITHUB_CLIENT_ID="id", GITHUB_CLIENT_SECRET="s3cret-of-github")
app.register_blueprint(oauth_bp)
"""

REGISTRY = """
from flask import Flask
from flask_oauth_accounts import OAuth
app = Flask(__name__)
app.secret_key = "for this test"
OAuth(app).register("github", client_id="id")
"""


def flask(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flask", "--app", "site_app", "oauth", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_a_real_flask_command_lists_the_commands(tmp_path: Path) -> None:
    """An operator would not find the commands at all."""
    (tmp_path / "site_app.py").write_text(APP)
    shown = flask(tmp_path, "--help")
    assert shown.returncode == 0, shown.stderr
    for command in ("db", "dev-provider", "doctor", "import", "keys", "providers", "purge", "tokens"):
        assert f"  {command} " in shown.stdout
    listed = flask(tmp_path, "providers")
    assert "http://127.0.0.1:5000/authorize/github" in listed.stdout
    assert "s3cret" not in listed.stdout + listed.stderr


def test_a_registry_alone_has_the_commands_too(tmp_path: Path) -> None:
    """An application without accounts would have no doctor, and learn its faults from its visitors."""
    (tmp_path / "site_app.py").write_text(REGISTRY)
    assert "github  GitHub" in flask(tmp_path, "providers").stdout
    report = flask(tmp_path, "doctor", "--offline").stdout
    assert "a registry only" in report
    assert "github: GITHUB_CLIENT_SECRET is not set" in report
    refused = flask(tmp_path, "tokens", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "this application stores no accounts" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", ["doctor", "db current", "keys status", "tokens list", "providers", "purge"])
def test_bad_configuration_is_one_line(tmp_path: Path, command: str) -> None:
    """The sentence with the remedy would stand at the end of a page of traceback."""
    (tmp_path / "site_app.py").write_text(APP.replace("SECRET_KEY=", "OAUTH_ACCOUNTS_SIGNUP='sometimes', SECRET_KEY="))
    refused = flask(tmp_path, *command.split())
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: OAUTH_ACCOUNTS_SIGNUP")
    assert "Traceback" not in refused.stderr


def test_what_needs_no_application_runs_without_one(tmp_path: Path) -> None:
    """A key would have to be made before there is anything to use it in."""
    for arguments, expected in ((("keys", "generate"), ":"), (("providers", "--presets"), "github "), ((), "doctor")):
        command = [sys.executable, "-m", "flask", "oauth", *arguments]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert expected in shown.stdout + shown.stderr
        assert "Could not locate" not in shown.stderr
    command = [sys.executable, "-m", "flask", "oauth", "providers"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "Could not locate a Flask application" in shown.stderr


@pytest.mark.parametrize(
    ("command", "subcommands"),
    [
        ("db", "upgrade downgrade current stamp check"),
        ("tokens", "list refresh revoke"),
        ("keys", "generate status rotate drop"),
        ("import", "flask-dance social-auth"),
    ],
)
def test_every_promised_command_is_there(site: Any, command: str, subcommands: str) -> None:
    """A script of an operator would fail on a name that the documentation promises."""
    text = site.run(command, "--help").output
    assert all(f"  {name} " in text for name in subcommands.split())
    assert all(site.run(command, name, "--help").output for name in subcommands.split())


def test_an_unknown_command_is_said(site: Any) -> None:
    """A misspelt command would do nothing and succeed."""
    assert "No such command" in site.run("tokenz", code=2).output


def test_providers_are_listed_with_their_redirect_uris(site: Any) -> None:
    """An operator would register a wrong address with the provider, and no login would work."""
    lines = site.run("providers").output.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "one", "two", "three"]
    assert [line.split()[-2:] for line in lines[1:]] == [
        ["oauth1", "http://127.0.0.1:5000/authorize/one"],
        ["oauth2", "http://127.0.0.1:5000/authorize/two"],
        ["openid", "http://127.0.0.1:5000/authorize/three"],
    ]


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ({"OAUTH_ACCOUNTS_EXTERNAL_URL": "https://www.example.com"}, "https://www.example.com/authorize/two"),
        ({"SERVER_NAME": "example.org:8000"}, "http://example.org:8000/authorize/two"),
        (
            {"SERVER_NAME": "example.org", "PREFERRED_URL_SCHEME": "https", "APPLICATION_ROOT": "/app"},
            "https://example.org/app/authorize/two",
        ),
        (
            {"OAUTH_ACCOUNTS_EXTERNAL_URL": "https://example.org/app", "APPLICATION_ROOT": "/app"},
            "https://example.org/app/authorize/two",
        ),
    ],
)
def test_the_redirect_uri_is_the_one_that_a_login_sends(
    make_site: Callable[..., Any], config: dict[str, Any], address: str
) -> None:
    """The address that the command shows and the one that is sent would differ: redirect_uri_mismatch."""
    site = make_site(**config)
    assert f" {address}\n" in site.run("providers").output
    root = site.app.config["APPLICATION_ROOT"]
    base = f"{site.app.config['PREFERRED_URL_SCHEME']}://{site.app.config['SERVER_NAME'] or 'localhost'}{root}"
    sent = site.app.test_client().get("/login/two", base_url=base).headers["Location"]
    assert f"redirect_uri={address.replace(':', '%3A').replace('/', '%2F')}&" in sent


def test_presets_are_listed(site: Any) -> None:
    """An operator would have to read the source to learn what is there."""
    lines = site.run("providers", "--presets").output.splitlines()
    assert any(line.startswith("github ") and line.endswith("oauth2") for line in lines)
    assert len(lines) > 50


def test_an_application_without_clients_says_what_to_set(make_site: Callable[..., Any]) -> None:
    """A new user would see an empty table and not know why."""
    site = make_site(OAUTH_ACCOUNTS_PROVIDERS=...)
    assert "GITHUB_CLIENT_ID" in site.run("providers").output


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("15m", 900), ("12h", 43_200), (" 30D ", 2_592_000)])
def test_durations_are_read(text: str, seconds: float) -> None:
    """``15m`` would be taken for fifteen seconds."""
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5m", "15 weeks", "1.5h", "٣m"])
def test_a_text_that_is_no_duration_is_refused(text: str) -> None:
    """A misread duration would refresh or delete too much."""
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)
