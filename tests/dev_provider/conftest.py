"""Fixtures of the development provider's own tests."""

from __future__ import annotations

from flask_oauth_accounts.testing.pytest_plugin import oauth_provider

__all__ = ["oauth_provider"]
