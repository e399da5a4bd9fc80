"""Proof Key for Code Exchange (RFC 7636), S256 only."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

from ..errors import ConfigurationError

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}\Z")


def create_code_verifier() -> str:
    """:return: 64 random unreserved characters (RFC 7636 section 4.1); a new one for every login."""
    return secrets.token_urlsafe(48)


def create_code_challenge(code_verifier: str) -> str:
    """Compute the S256 challenge (RFC 7636 section 4.2).

    :param code_verifier: 43 to 128 unreserved characters.
    :return: base64url of its SHA-256, without padding.
    :raises ConfigurationError: if the verifier is not of that form.
    """
    if not _VERIFIER.match(code_verifier):
        raise ConfigurationError("code_verifier must be 43 to 128 characters from A-Z, a-z, 0-9 and -._~")
    digest = hashlib.sha256(code_verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
