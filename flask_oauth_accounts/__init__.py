"""Instant social login for Flask, and the provider tokens kept safe and fresh afterwards.

``OAuth`` answers *who does the provider say this is*, and speaks to its API. ``OAuthAccounts`` answers *which of our
users is that*, and keeps their tokens. ``oauth_bp`` puts both behind URLs. Each is usable without the next one. ::

    browser ──/login/<name>──▶ web ──▶ registry ──▶ remote_app ──▶ clients ──▶ provider
                                                        │ saves the pending flow
    browser ◀──────────────── redirect ─────────────────┘
    browser ──/authorize/<name>──▶ web ──▶ remote_app ── takes the flow once ──▶ clients ── token, claims
                                    └──▶ accounts: Identity ─ decide() ─▶ LogIn │ Link │ SignUp │ Conflict │ Refuse
                                               └──▶ storage: identities, sealed tokens, events
    view or job ── oauth.github.get(…) ──▶ remote_app ──▶ vault (fresh token, refreshed once) ──▶ clients ──▶ provider

The names below are the whole interface; each is imported when it is first used, so a registry alone loads neither
SQLAlchemy nor Flask-Login.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors as _errors
from .errors import *  # noqa: F403  every error is public, see errors.__all__

if TYPE_CHECKING:
    from .accounts import AccountPolicy as AccountPolicy
    from .extension import OAuthAccounts as OAuthAccounts
    from .extension import create_blueprint as create_blueprint
    from .extension import oauth_bp as oauth_bp
    from .extension import token_required as token_required
    from .identity import Identity as Identity
    from .identity import UserInfo as UserInfo
    from .registry import OAuth as OAuth
    from .registry import current_oauth as current_oauth
    from .remote_app import OAuth1App as OAuth1App
    from .remote_app import OAuth2App as OAuth2App
    from .storage.models import OAuth1TokenMixin as OAuth1TokenMixin
    from .storage.models import OAuth2TokenMixin as OAuth2TokenMixin
    from .storage.models import OAuthEventMixin as OAuthEventMixin
    from .storage.models import OAuthIdentityMixin as OAuthIdentityMixin

_PLACES = {
    "AccountPolicy": "accounts",
    "Identity": "identity",
    "OAuth": "registry",
    "OAuth1App": "remote_app",
    "OAuth1TokenMixin": "storage.models",
    "OAuth2App": "remote_app",
    "OAuth2TokenMixin": "storage.models",
    "OAuthAccounts": "extension",
    "OAuthEventMixin": "storage.models",
    "OAuthIdentityMixin": "storage.models",
    "UserInfo": "identity",
    "create_blueprint": "extension",
    "current_oauth": "registry",
    "oauth_bp": "extension",
    "token_required": "extension",
}

__all__ = sorted([*_errors.__all__, *_PLACES])  # noqa: PLE0605  computed, so that no name is forgotten


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
