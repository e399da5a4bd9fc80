"""README and documentation say what the code does, completely."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flask_oauth_accounts import errors, oauth_bp  # noqa: F401 – the pages have errors of their own
from flask_oauth_accounts.providers import load_preset
from flask_oauth_accounts.web.faults import decide_status

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")] + DOCS
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))


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
    classes = {error.code: error for error in tree(errors.OAuthError) if "code" in vars(error)}
    assert sections.keys() == classes.keys()
    for code, error in classes.items():
        page = decide_status(error.__new__(error))
        beside = "" if page == error.status else f" (`error.status` {error.status})"
        start = re.escape(f"`{error.__name__}`, status {page}{beside}")
        assert re.match(rf"{start}(?! \()", sections[code]), code


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


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=lambda page: f"{page.parent.name}/{page.name}")
def test_this_machine_has_one_name(page: Path) -> None:
    """Who mixes ``localhost`` with the 127.0.0.1 that ``flask run`` prints ends at a callback without cookies."""
    assert "//localhost" not in page.read_text()


def test_readme_counts_its_lines_right() -> None:
    """A first claim that is wrong makes a reader doubt all others."""
    text = (ROOT / "README.md").read_text()
    lines = [line for line in text.partition("```python\n")[2].partition("```")[0].splitlines() if line]
    assert f"the {['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven'][len(lines)]} lines above" in text


@pytest.mark.parametrize("name", ["accounts.md", "json.md"])
def test_examples_of_an_identity_have_its_issuer(name: str) -> None:
    """A policy or front end that compares the issuer would be written for one that never comes."""
    issuers = re.findall(r'issuer"?[:=] ?"([^"]*)"', (ROOT / "docs" / name).read_text())
    assert set(issuers) == {load_preset("github").issuer}
