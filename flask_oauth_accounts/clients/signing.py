"""OAuth 1 signatures with RSA, done with ``cryptography`` (RFC 5849 section 3.4.3).

oauthlib signs with HMAC and PLAINTEXT by itself; for RSA it would need one more library.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from oauthlib.oauth1 import Client

from ..errors import ConfigurationError

_METHODS = ("HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512", "RSA-SHA1", "RSA-SHA256", "RSA-SHA512", "PLAINTEXT")
_TYPES = {"HEADER": "AUTH_HEADER", "AUTH_HEADER": "AUTH_HEADER", "QUERY": "QUERY", "BODY": "BODY"}


def read_signing(client_kwargs: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Read how a client signs.

    :param client_kwargs: of an OAuth 1 client.
    :param where: their configuration key, for the error.
    :return: keywords of :class:`requests_oauthlib.OAuth1Session`.
    :raises ConfigurationError: if nothing can be signed so.
    """
    method = str(client_kwargs.get("signature_method") or "HMAC-SHA1").upper()
    kind = str(client_kwargs.get("signature_type") or "AUTH_HEADER").upper()
    if method not in _METHODS:
        raise ConfigurationError(f"{where}: signature_method must be one of {', '.join(_METHODS)}")
    if kind not in _TYPES:
        raise ConfigurationError(f"{where}: signature_type must be HEADER, QUERY or BODY")
    signing: dict[str, Any] = {"signature_method": method, "signature_type": _TYPES[kind]}
    if method.startswith("RSA-"):
        try:
            load_rsa_key(str(client_kwargs.get("rsa_key") or ""))
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        signing["rsa_key"] = client_kwargs["rsa_key"]
    kept = ("realm", "force_include_body")
    return {**signing, **{key: client_kwargs[key] for key in kept if client_kwargs.get(key) is not None}}


def load_rsa_key(pem: str) -> rsa.RSAPrivateKey:
    """Read a private key.

    :param pem: PEM, not encrypted; its line breaks may be written as ``\\n``, as environment variables have them.
    :raises ConfigurationError: if it is not an RSA private key.
    """
    try:
        key = serialization.load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigurationError("rsa_key must be an RSA private key in PEM, not encrypted")
    return key


def _sign_with(algorithm: hashes.HashAlgorithm) -> Callable[[str, Any], str]:
    def sign(base_string: str, client: Any) -> str:
        signature = load_rsa_key(client.rsa_key or "").sign(base_string.encode(), padding.PKCS1v15(), algorithm)
        return base64.b64encode(signature).decode("ascii")

    return sign


class SigningClient(Client):
    """oauthlib's client with RSA of its own, and an error of ours for what cannot be signed."""

    def sign(self, *args: Any, **kwargs: Any) -> Any:
        """:raises ConfigurationError: for a query or form that is not encoded (RFC 5849 section 3.4.1.3)."""
        try:
            return super().sign(*args, **kwargs)
        except ValueError:
            # oauthlib's words repeat the query or form, in which there may be a secret.
            pass
        raise ConfigurationError(
            "OAuth 1 cannot sign this call: text that is sent as a form, and the query of the address, have to be "
            "urlencoded. Give data= and params= as dictionaries"
        )

    SIGNATURE_METHODS = {  # noqa: RUF012  the base class declares it so
        **Client.SIGNATURE_METHODS,
        "RSA-SHA1": _sign_with(hashes.SHA1()),  # noqa: S303  named so by RFC 5849
        "RSA-SHA256": _sign_with(hashes.SHA256()),
        "RSA-SHA512": _sign_with(hashes.SHA512()),
    }
