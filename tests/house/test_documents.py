"""README and documentation say what the code does, completely."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_oauth_accounts import errors, oauth_bp  # noqa: F401 – the pages have errors of their own

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + DOCS


def tree(base: type[errors.OAuthError]) -> Iterator[type[errors.OAuthError]]:
    """The class and everything below it."""
    yield base
    for child in base.__subclasses__():
        if child.__module__.startswith("flask_oauth_accounts."):
            yield from tree(child)


def test_every_error_has_a_section() -> None:
    """The code in a log line is of no help if nothing says what it means and what to do."""
    text = (ROOT / "docs" / "errors.md").read_text()
    sections = dict(re.findall(r"^### `(\w+)`\n(.+?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))
    classes = {error.code: error for error in tree(errors.OAuthError)}
    assert sections.keys() == classes.keys()
    for code, error in classes.items():
        assert sections[code].startswith(f"`{error.__name__}`, status {error.status}"), code


def test_generated_tables_are_up_to_date() -> None:
    """A setting or a provider that nobody can find might as well not exist."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """A dead link in the documentation is a dead end for a newcomer."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_exist(page: Path) -> None:
    """Who looks for the place of a change would be sent to where it was once."""
    top = "flask_oauth_accounts|migrations|templates|tests|examples|docs"
    for name in re.findall(rf"`((?:{top})/[\w./-]*)`", page.read_text()):
        assert (ROOT / name).exists(), name
