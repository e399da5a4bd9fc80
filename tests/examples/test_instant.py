"""``examples/instant``: way A, as ``make demo`` runs it, in a process of its own."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from playwright.sync_api import Page

INSTANT = Path(__file__).parents[2] / "examples" / "instant"


@dataclass(frozen=True)
class Demo:
    """A running demo: its address and its database."""

    url: str
    database: Path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo in a copy of its folder, so that it leaves the checkout as it is."""
    folder = tmp_path_factory.mktemp("demo") / "instant"
    shutil.copytree(INSTANT, folder, ignore=shutil.ignore_patterns("instance", "__pycache__"))
    command = [sys.executable, "-W", "error", str(folder / "demo.py"), "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", first)
            assert found is not None, first
            assert requests.get(f"{found[0]}/login", timeout=10).status_code == 200
            yield Demo(found[0], folder / "instance" / "oauth_accounts.db")
        finally:
            process.terminate()
            said = process.stdout.read()
    assert not said.partition("Ctrl-C ends both.")[2].strip(), said


def users(demo: Demo) -> list[tuple[str, str]]:
    """Name of the client and user id of every identity in the demo's database."""
    with closing(sqlite3.connect(demo.database)) as connection:
        return connection.execute("SELECT name, user_id FROM oauth_identity ORDER BY name").fetchall()


def test_application_is_what_the_readme_shows() -> None:
    """The README would promise something that nobody has run."""
    readme = (INSTANT.parents[1] / "README.md").read_text()
    assert f"```python\n{(INSTANT / 'app.py').read_text()}```" in readme


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
def test_the_first_page_offers_all_three(demo: Demo) -> None:
    """A newcomer's first look would be at a page without a way in."""
    page = requests.get(f"{demo.url}/login", timeout=10).text
    for label in ("OAuth 1", "OAuth 2", "OpenID Connect"):
        assert f"Continue with {label}" in page


@pytest.mark.slow
@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize(
    ("client", "person"), [("oauth1", "Alice Ardent"), ("oauth2", "Bob Builder"), ("openid", "Carol Cipher")]
)
def test_whole_journey_in_a_browser(demo: Demo, page: Page, client: str, person: str) -> None:
    """Signing in, seeing one's profile, signing out and coming back is what the package is for."""
    for _ in range(2):
        page.goto(f"{demo.url}/login")
        page.locator(f'a[href*="/login/{client}"]').click()
        page.get_by_role("radio", name=person).check()
        page.get_by_role("button", name="Allow").click()
        page.wait_for_url(f"{demo.url}/profile/{client}")
        assert person in page.inner_text("main")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(lambda url: "/profile" not in url)
    names = [name for name, _ in users(demo)]
    assert names.count(client) == 1
