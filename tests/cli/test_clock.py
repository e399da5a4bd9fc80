"""The doctor compares the database's clock with the machine's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from flask_oauth_accounts.cli.clock import check_clock
from flask_oauth_accounts.registry import get_state


@pytest.mark.parametrize(
    ("ahead", "level"), [(0.0, "ok"), (4.0, "ok"), (-4.0, "ok"), (60.0, "problem"), (-60.0, "problem")]
)
def test_finds_clocks_that_differ(make_site: Callable[..., Any], database_url: str, ahead: int, level: str) -> None:
    """Two machines would refresh one token at once, and the provider would end the grant."""
    site = make_site(SQLALCHEMY_DATABASE_URI=database_url)
    with site.app.app_context():
        findings = list(check_clock(get_state(), clock=lambda: time.time() + ahead))
    if database_url.startswith("sqlite"):
        assert findings == []  # its clock is the machine's
    else:
        assert [finding.level for finding in findings] == [level]


def test_the_doctor_looks_at_the_clock(make_site: Callable[..., Any], database_url: str) -> None:
    """Nobody would look at the clocks."""
    site = make_site(SQLALCHEMY_DATABASE_URI=database_url)
    site.run("db", "upgrade")
    output = site.run("doctor", "--offline").output
    assert ("clock agrees" in output) is not database_url.startswith("sqlite")
