"""The session cookie, which is what a login is worth."""

from __future__ import annotations

import logging

from flask import Flask

logger = logging.getLogger(__name__)


def protect_session_cookie(app: Flask, *, external_url: str | None, embedded: bool) -> None:
    """Mark the cookie of an application that has nothing but configuration, and warn of one that travels without TLS.

    :param app: the application.
    :param external_url: ``OAUTH_ACCOUNTS_EXTERNAL_URL``.
    :param embedded: the application brings no models of its own, so its cookie is ours to mark; another
        application's configuration is left alone.
    """
    config = app.config
    if embedded:
        if config.get("SESSION_COOKIE_SAMESITE") is None:
            config["SESSION_COOKIE_SAMESITE"] = "Lax"
        if (external_url or "").startswith("https:"):
            config["SESSION_COOKIE_SECURE"] = True
    if not (config.get("SESSION_COOKIE_SECURE") or app.debug or app.testing):
        logger.warning(
            "SESSION_COOKIE_SECURE is off: over plain http a session can be taken on its way; set it to True where the "
            "site has https"
        )
