"""``flask oauth dev-provider``."""

from __future__ import annotations

import signal
import subprocess
import sys

import requests
from click.testing import CliRunner

from flask_oauth_accounts.cli.dev_provider import dev_provider_command
from flask_oauth_accounts.testing import DevProvider

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: a terminal is what is tried here.
_RUN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from flask_oauth_accounts.cli.dev_provider import dev_provider_command as run; run()"
)


def test_command_runs_until_interrupted() -> None:
    """A developer would have no provider to try things with, or could not stop it."""
    command = [sys.executable, "-u", "-c", _RUN, "--port", "0", "--client-secret", "a-secret-of-my-own"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        url = first.split()[3].rstrip(",")
        assert requests.get(f"{url}/.well-known/openid-configuration", timeout=10).json()["issuer"] == url
        process.send_signal(signal.SIGINT)
        try:
            # Not communicate(), which would leave out what readline() has read ahead.
            output, errors = process.stdout.read(), process.stderr.read()
            process.wait(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    for line in ("alice   Alice Ardent (alice@example.com)", "carol   Carol Cipher (no e-mail address)"):
        assert line in output
    for key in ("DEV1_REQUEST_TOKEN_URL", "DEV2_AUTHORIZE_URL", "DEV_SERVER_METADATA_URL"):
        assert f'{key} = "{url}/' in output
    assert 'DEV_CLIENT_SECRET = "a-secret-of-my-own"' in output
    assert output.endswith("\nStopped.\n")
    assert errors == ""


def test_command_refuses_the_network() -> None:
    """Somebody on the same network could log in as anybody."""
    result = CliRunner().invoke(dev_provider_command, ["--host", "0.0.0.0"])
    assert result.exit_code == 1
    assert "loopback" in result.output


def test_command_names_a_port_in_use(oauth_provider: DevProvider) -> None:
    """A developer would see a traceback instead of what to change."""
    port = oauth_provider.url.rpartition(":")[2]
    result = CliRunner().invoke(dev_provider_command, ["--port", port])
    assert result.exit_code == 1
    assert f"port {port}" in result.output
