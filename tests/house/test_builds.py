"""The documentation builds without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_documentation_builds_without_warnings(tmp_path: Path) -> None:
    """A broken reference in the documentation would be found by its readers."""
    pytest.importorskip("sphinx")
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "-q", "-d", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
