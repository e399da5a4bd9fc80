"""Client assertions: a JWT that a client signs to prove who it is (RFC 7523 section 2.2)."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from ..errors import ConfigurationError
from ..tokens import Secret
from .base import ClientConfig, config_key

ASSERTION_LIFETIME = 120
"""Seconds that a client assertion is valid."""

# By kind of key or curve; the first is taken where the application names none.
_ALGORITHMS = {
    "oct": ("HS256", "HS384", "HS512"),
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "secp256k1": ("ES256K",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "Ed448": ("EdDSA", "Ed448"),
}


def create_assertion(
    config: ClientConfig, method: str, client_id: str, secret: str, *, audience: str, now: float
) -> str:
    """Sign an assertion.

    :param method: ``client_secret_jwt`` or ``private_key_jwt``.
    :param secret: the client secret, or a private key in PEM; its line breaks may be written as ``\\n``.
    :param audience: the endpoint's URL.
    :param now: seconds since the epoch.
    :raises ConfigurationError: if the secret is no such key, or does not fit the algorithm.
    """
    where = config_key(config.name, "client_secret")
    key = _read_secret(secret, where, config) if method == "client_secret_jwt" else _read_pem(secret, where, config)
    kind = _kind_of(key)
    fitting = _ALGORITHMS.get(kind, ())
    algorithm = config.client_kwargs.get("token_endpoint_auth_signing_alg") or next(iter(fitting), None)
    if algorithm not in fitting:
        raise ConfigurationError(
            f"{where} is a key of the kind {kind}, which cannot sign with {algorithm}"
            + (f"; token_endpoint_auth_signing_alg must be one of {', '.join(fitting)}" if fitting else ""),
            provider=config.name,
        )
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": secrets.token_urlsafe(16),
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFETIME,
    }
    # Not by joserfc's own encode(): that warns of EdDSA, which is what providers know by this name.
    signed = f"{_encode({'alg': algorithm, 'typ': 'JWT'})}.{_encode(claims)}"
    return f"{signed}.{_encode_bytes(JWSRegistry.algorithms[algorithm].sign(signed.encode(), key))}"


def _kind_of(key: OctKey | RSAKey | ECKey | OKPKey) -> str:
    return str(key.key_type if isinstance(key, (OctKey, RSAKey)) else key.curve_name)


def _read_secret(secret: str, where: str, config: ClientConfig) -> OctKey:
    try:
        return OctKey.import_key(secret)
    except (JoseError, ValueError):
        raise ConfigurationError(f"{where} cannot sign: it is too short", provider=config.name) from None


def _read_pem(text: str, where: str, config: ClientConfig) -> RSAKey | ECKey | OKPKey:
    pem = Secret(text.replace("\\n", "\n"))
    for cls in (RSAKey, ECKey, OKPKey):
        try:
            key: RSAKey | ECKey | OKPKey = cls.import_key(pem)
            if key.is_private and _kind_of(key):
                return key
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    raise ConfigurationError(
        f"{where} must be a private key in PEM for private_key_jwt: RSA, EC (P-256, P-384, P-521) or Ed25519, not "
        "encrypted",
        provider=config.name,
    )


def _encode(values: dict[str, Any]) -> str:
    return _encode_bytes(json.dumps(values, separators=(",", ":")).encode())


def _encode_bytes(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
