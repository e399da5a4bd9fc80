"""``make bench`` works; what its numbers are is for a person to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.timeout(180)
def test_benchmarks_run_and_print_their_tables() -> None:
    """Nobody could say whether a change made the package slower."""
    if not BENCHMARKS.is_dir():
        pytest.skip("an sdist holds no benchmarks")
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    for title in ("1 API call", "10 API calls", "Connections opened", "Logins", "does not use the package"):
        assert title in done.stdout
    table = done.stdout.split("Connections opened")[1].split("\n\n")[0]
    counts = {line.split()[0]: line.split()[-1] for line in table.splitlines()[2:]}
    assert counts == {"requests.Session": "1", "flask_oauth_accounts": "1", "Authlib": "100", "Flask-Dance": "100"}
