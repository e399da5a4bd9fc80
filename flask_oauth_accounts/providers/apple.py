"""Sign in with Apple: the client secret is a JWT that the client signs with its team's key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

AUDIENCE = "https://appleid.apple.com"
MAX_LIFETIME = 15_777_000
"""Seconds: Apple refuses a client secret that lives for more than six months."""

_ID = re.compile(r"[A-Za-z0-9]{10}")


@dataclass(frozen=True)
class AppleKey:
    """What a client needs to sign its own client secret.

    :ivar private_key: the content of the ``.p8`` file, PEM.
    """

    team_id: str
    key_id: str
    private_key: str = field(repr=False)

    def create_client_secret(self, client_id: str, *, now: float, lifetime: int = 600) -> str:
        """:return: a client secret, see :func:`create_apple_client_secret`."""
        return create_apple_client_secret(self.team_id, self.key_id, client_id, self.private_key, now, lifetime)


def read_apple_key(name: str, config: Mapping[str, Any]) -> AppleKey | None:
    """Read ``{NAME}_TEAM_ID``, ``{NAME}_KEY_ID`` and ``{NAME}_PRIVATE_KEY`` (PEM, or the path of the ``.p8`` file).

    :param name: of the client in the registry.
    :param config: the application's configuration.
    :return: the key, or ``None`` where none of the three is set (``{NAME}_CLIENT_SECRET`` is used then).
    :raises ConfigurationError: if only some are set, or one does not fit; the sentence names it.
    """
    keys = [f"{name}_{part}".upper() for part in ("team_id", "key_id", "private_key")]
    values = [str(config.get(key) or "").strip() for key in keys]
    if not any(values):
        return None
    for key, value in zip(keys, values, strict=True):
        if not value:
            raise ConfigurationError(f"{key} is missing; signing Apple's client secret needs {', '.join(keys)}")
    for key, value in zip(keys[:2], values[:2], strict=True):
        if not _ID.fullmatch(value):
            raise ConfigurationError(f"{key} must be the id of ten letters and digits that Apple's console shows")
    return AppleKey(values[0], values[1], _read_pem(keys[2], values[2]))


def _read_pem(key: str, value: str) -> str:
    text = value.replace("\\n", "\n")
    if "-----BEGIN" not in text:
        try:
            text = Path(value).read_text("ascii")
        except (OSError, ValueError):
            raise ConfigurationError(f"{key} must be the content or the path of Apple's .p8 file") from None
    _import_key(text, key)
    return text


def _import_key(pem: str, name: str) -> ECKey:
    # Imported here, so that applications without Apple do not pay for it at start.
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    try:
        key = ECKey.import_key(pem)
        usable = key.curve_name == "P-256" and key.is_private
    except (JoseError, ValueError, TypeError):
        usable = False
    if not usable:
        raise ConfigurationError(f"{name} must be an EC private key on the curve P-256 in PEM")
    return key


def create_apple_client_secret(  # noqa: PLR0917 - in the order of Apple's page
    team_id: str,
    key_id: str,
    client_id: str,
    private_key_pem: str,
    now: float,
    lifetime: int = 600,
) -> str:
    """Sign a client secret for Apple's token endpoint (ES256).

    :param team_id: ten characters, from the membership page.
    :param key_id: ten characters, of the key.
    :param client_id: the Services ID.
    :param private_key_pem: the content of the ``.p8`` file.
    :param now: seconds since the epoch.
    :param lifetime: seconds; Apple allows at most six months.
    :return: the JWT.
    :raises ConfigurationError: if the key is not usable or the lifetime is out of range.
    """
    from joserfc import jwt

    if not 0 < lifetime <= MAX_LIFETIME:
        raise ConfigurationError(f"the lifetime of Apple's client secret must be 1 to {MAX_LIFETIME} seconds")
    key = _import_key(private_key_pem, "Apple's private key")
    header = {"alg": "ES256", "kid": key_id}
    claims = {"iss": team_id, "iat": int(now), "exp": int(now) + lifetime, "aud": AUDIENCE, "sub": client_id}
    return jwt.encode(header, claims, key, algorithms=["ES256"])
