"""Signals, sent after the database has committed; the same keywords for OAuth 1 and OAuth 2.

Every handler is called with the application as sender and the keywords ``name`` (of the client in the registry),
``user`` (or ``None``) and ``account`` (the subject, or ``""``), and with those listed here. No signal carries a
secret except ``token_update``, whose ``token`` is there to be stored elsewhere.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

login_started = _signals.signal("login-started")
"""A browser is being sent to the provider. Keyword: ``purpose``."""

login_succeeded = _signals.signal("login-succeeded")
"""Somebody is logged in. Keywords: ``identity``, ``purpose``."""

login_failed = _signals.signal("login-failed")
"""A login ended on an error page. Keyword: ``error`` (an :class:`~flask_oauth_accounts.errors.OAuthError`)."""

user_created = _signals.signal("user-created")
"""An unknown identity became a user. Keyword: ``identity``."""

identity_connected = _signals.signal("identity-connected")
"""A provider account was linked to a user. Keyword: ``identity``."""

identity_disconnected = _signals.signal("identity-disconnected")
"""A provider account was removed from a user. Keywords: ``identity``; ``revoked``, ``None`` where nothing could be."""

token_update = _signals.signal("token-update")
"""A refreshed token has been stored. Keyword: ``token``."""

token_refresh_failed = _signals.signal("token-refresh-failed")
"""A refresh failed for now. Keyword: ``error``."""

reauthorization_required = _signals.signal("reauthorization-required")
"""A grant is dead until the user consents again. Keyword: ``error``."""

token_revoked = _signals.signal("token-revoked")
"""A token was revoked at the provider."""
