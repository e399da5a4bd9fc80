"""The composition root: puts registry, vault, accounts and pages together for an application. It decides nothing."""

from __future__ import annotations

from .accounts import OAuthAccounts as OAuthAccounts
from .blueprints import create_blueprint as create_blueprint
from .blueprints import oauth_bp as oauth_bp
from .guards import token_required as token_required
