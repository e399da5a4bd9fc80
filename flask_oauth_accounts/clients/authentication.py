"""How a client proves at the token endpoint who it is (RFC 6749 section 2.3, RFC 7523 section 2.2)."""

from __future__ import annotations

import base64
import secrets
from typing import Any
from urllib.parse import quote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey, import_key

from ..errors import ConfigurationError
from ..tokens import Secret
from .base import ClientConfig, config_key

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 120
"""Seconds that a client assertion is valid."""


def authentication_method(config: ClientConfig) -> str:
    """The method in force: the configured one, else Basic where there is a secret and none where there is not."""
    method = config.client_kwargs.get("token_endpoint_auth_method")
    return str(method) if method else ("client_secret_basic" if config.client_secret else "none")


def authenticate(
    config: ClientConfig, body: dict[str, Any], headers: dict[str, str], *, audience: str, now: float
) -> None:
    """Add the client's credentials to a request, in place.

    :param body: the form that will be posted.
    :param headers: the headers that will be sent.
    :param audience: the endpoint's URL, the ``aud`` of an assertion.
    :param now: seconds since the epoch.
    :raises ConfigurationError: if the client id, the secret or the key is missing or unfit.
    """
    client_id = str(config.require("client_id"))
    method = authentication_method(config)
    if method == "none":
        body.setdefault("client_id", client_id)
        return
    secret = _find_secret(config, client_id, now=now)
    if method == "client_secret_basic":
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
        headers["Authorization"] = Secret("Basic " + base64.b64encode(pair).decode("ascii"))
    elif method == "client_secret_post":
        body.setdefault("client_id", client_id)
        body.setdefault("client_secret", secret)
    else:
        body.setdefault("client_id", client_id)
        body["client_assertion_type"] = ASSERTION_TYPE
        assertion = _create_assertion(config, method, client_id, secret, audience=audience, now=now)
        body["client_assertion"] = Secret(assertion)


def _find_secret(config: ClientConfig, client_id: str, *, now: float) -> str:
    if config.apple_key is not None and not config.client_secret:
        return Secret(config.apple_key.create_client_secret(client_id, now=now))
    return Secret(config.require("client_secret"))


def _create_assertion(
    config: ClientConfig, method: str, client_id: str, secret: str, *, audience: str, now: float
) -> str:
    algorithm = config.client_kwargs.get("token_endpoint_auth_signing_alg")
    key: OctKey | RSAKey | ECKey
    try:
        if method == "client_secret_jwt":
            key = OctKey.import_key(secret)
            algorithm = algorithm or "HS256"
        else:
            key = _load_private_key(secret)
            algorithm = algorithm or ("ES256" if isinstance(key, ECKey) else "RS256")
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": int(now),
            "exp": int(now) + ASSERTION_LIFETIME,
        }
        return jwt.encode({"alg": algorithm, "typ": "JWT"}, claims, key, algorithms=[str(algorithm)])
    except (JoseError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{config_key(config.name, 'client_secret')} cannot sign a client assertion with {algorithm}: give a PEM "
            f"private key for private_key_jwt, or a secret of 32 bytes or more for client_secret_jwt",
            provider=config.name,
        ) from error


def _load_private_key(pem: str) -> RSAKey | ECKey:
    for kind, cls in (("RSA", RSAKey), ("EC", ECKey)):
        try:
            key = import_key(pem, kind)  # type: ignore[call-overload]
        except (JoseError, ValueError, TypeError):
            continue
        if isinstance(key, cls) and key.is_private:
            return key
    raise ValueError("not a private key")
