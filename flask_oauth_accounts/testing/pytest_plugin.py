"""Fixtures for an application's own tests.

Load them in ``conftest.py``::

    pytest_plugins = ["flask_oauth_accounts.testing.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .provider import DevProvider


@pytest.fixture
def oauth_provider() -> Iterator[DevProvider]:
    """A provider of the test's own, running on a free port; it starts in a few milliseconds."""
    with DevProvider() as provider:
        yield provider


@pytest.fixture(scope="session")
def oauth_session_provider() -> Iterator[DevProvider]:
    """One provider for the whole run: for applications that are configured once."""
    with DevProvider() as provider:
        yield provider
