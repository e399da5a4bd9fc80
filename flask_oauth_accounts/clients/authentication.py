"""How a client proves at the token endpoint who it is (RFC 6749 section 2.3, RFC 7523 section 2.2)."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote_plus

from ..tokens import Secret
from .assertions import create_assertion
from .base import ClientConfig

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


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
        assertion = create_assertion(config, method, client_id, secret, audience=audience, now=now)
        body["client_assertion"] = Secret(assertion)


def _find_secret(config: ClientConfig, client_id: str, *, now: float) -> str:
    if config.apple_key is not None and not config.client_secret:
        return Secret(config.apple_key.create_client_secret(client_id, now=now))
    return Secret(config.require("client_secret"))
