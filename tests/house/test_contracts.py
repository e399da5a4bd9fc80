"""The picture of the package, executed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import flask_oauth_accounts

ROOT = Path(__file__).parents[2]
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]


def lint(config: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of ``config`` with ``path`` in front of the modules."""
    return subprocess.run(
        [*LINT, str(config), "--no-cache"],
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
    (copy / "homeless.py").write_text("import flask\nimport requests\nimport sqlalchemy\n")
    done = lint(ROOT / "pyproject.toml", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.count("BROKEN") == 4
    assert "homeless" in done.stdout


def picture(text: str) -> list[str]:
    """The drawing in a text, without its margin."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if "/login/<name>" in line and "browser" in line)
    last = next(number for number, line in enumerate(lines) if line.strip().startswith("view or job"))
    return dedent("\n".join(lines[first : last + 1])).splitlines()


def test_picture_is_the_same_everywhere() -> None:
    """A newcomer would learn a structure that the code no longer has."""
    readme = (ROOT / "README.md").read_text()
    assert picture(readme) == picture(flask_oauth_accounts.__doc__ or "")
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [contract["layers"] for contract in config["contracts"] if contract["type"] == "layers"]
    assert "\n".join(layers) in readme
