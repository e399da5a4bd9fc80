"""Who the provider says somebody is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ProviderResponseError

MAX_SUBJECT_LENGTH = 255


# OpenID Connect Core section 5.1, and the claims of an ID token in sections 2, 3.1.3.6 and 3.3.2.11.
_STANDARD_CLAIMS = frozenset(
    [
        *("sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile"),
        *("picture", "website", "email", "email_verified", "gender", "birthdate", "zoneinfo", "locale"),
        *("phone_number", "phone_number_verified", "address", "updated_at"),
        *("iss", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash"),
    ]
)


class UserInfo(dict[str, Any]):
    """The raw claims of an ID token or a userinfo answer, readable as items and as attributes.

    The attribute of a standard claim that is not there is ``None``.
    """

    def __getattr__(self, name: str) -> Any:
        if name in self or name in _STANDARD_CLAIMS:
            return self.get(name)
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<UserInfo {', '.join(sorted(map(str, self)))}>"


@dataclass(frozen=True)
class Identity:
    """A provider account, independent of the provider's own vocabulary.

    :ivar name: of the client in the registry.
    :ivar issuer: who vouches for the subject: the OpenID issuer, or a fixed URL for a provider without OpenID.
    :ivar subject: the account's permanent identifier at that issuer, exact to the last character.
    :ivar email: as the provider gave it, or ``None``.
    :ivar email_verified: ``True`` or ``False`` only where the provider says so, else ``None``.
    :ivar raw: what the provider answered.
    """

    name: str
    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool | None = None
    username: str | None = None
    display_name: str | None = None
    avatar_url: str | None = None
    profile_url: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def login_key(self) -> str:
        """What makes an identity unique: hex SHA-256 of issuer, NUL, subject."""
        return make_login_key(self.issuer, self.subject)


def make_login_key(issuer: str, subject: str) -> str:
    """:return: hex SHA-256 of issuer, NUL, subject, both UTF-8."""
    return hashlib.sha256(f"{issuer}\0{subject}".encode("utf-8", "surrogatepass")).hexdigest()


def parse_subject(value: object, *, provider: str | None = None) -> str:
    """Read a subject: a non-empty string or a whole number; 1 and "1" are the same.

    :raises ProviderResponseError: for anything else (null, boolean, list, text of more than 255 characters).
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if (
        not isinstance(value, str)
        or not value.strip()
        or len(value) > MAX_SUBJECT_LENGTH
        or any(ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF for char in value)
    ):
        raise ProviderResponseError(description="the provider's answer names no usable subject", provider=provider)
    return value
