"""The picture of the package, executed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]


def lint(config: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of ``config`` with ``path`` in front of the modules."""
    return subprocess.run(
        [*LINT, "--config", str(config), "--no-cache"],
        cwd=path[0] if path else ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_point_down_the_page() -> None:
    """A layer that reaches upwards can no longer be used or understood without what stands above it."""
    done = lint(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_module_must_be_given_a_place(tmp_path: Path) -> None:
    """A contract that overlooks what it does not know would let the picture fall apart one file at a time."""
    copy = tmp_path / "flask_oauth_accounts"
    for file in (ROOT / "flask_oauth_accounts").rglob("*.py"):
        target = copy / file.relative_to(ROOT / "flask_oauth_accounts")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    (copy / "homeless.py").write_text("import flask\nimport sqlalchemy\n")
    done = lint(ROOT / "pyproject.toml", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("BROKEN") == 3
    assert "homeless" in done.stdout
