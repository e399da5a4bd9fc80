"""Keys of every kind sign a client assertion, and what cannot sign one is told apart."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from flask import Flask
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from flask_oauth_accounts import ConfigurationError, OAuth

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
KEYS = [
    (RSA, None, "RS256"),
    (RSA, "PS512", "PS512"),
    (P256, None, "ES256"),
    (ec.generate_private_key(ec.SECP384R1()), None, "ES384"),
    (ec.generate_private_key(ec.SECP521R1()), None, "ES512"),
    (ED25519, None, "EdDSA"),
    (ED25519, "Ed25519", "Ed25519"),
    (ed448.Ed448PrivateKey.generate(), None, "EdDSA"),
]


def write_pem(key: Any) -> str:
    """The private key as its owner's file has it."""
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, encryption).decode())


def decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def register(app: Flask, stub: Any, secret: str, alg: str | None = None, method: str = "private_key_jwt") -> Any:
    stub.answers["/token"] = {"access_token": "AT"}
    kwargs = {"token_endpoint_auth_method": method, "token_endpoint_auth_signing_alg": alg}
    return OAuth(app).register("dev", **stub.oauth2(client_secret=secret, client_kwargs=kwargs))


@pytest.mark.parametrize("breaks", ["\n", "\\n"], ids=["lines", "escaped"])
@pytest.mark.parametrize(("key", "alg", "expected"), KEYS)
def test_an_assertion_by_a_key_of_each_kind(
    app: Flask, stub: Any, key: Any, alg: str | None, expected: str, breaks: str
) -> None:
    """A provider that wants this kind of key could not be used, or not with the key in an environment variable."""
    client = register(app, stub, write_pem(key).replace("\n", breaks), alg)
    with app.test_request_context():
        client.fetch_access_token(grant_type="client_credentials")
    header, claims, signature = stub.seen[0].form["client_assertion"].split(".")
    algorithm = JWSRegistry.algorithms[expected]
    assert decode(header) == f'{{"alg":"{expected}","typ":"JWT"}}'.encode()
    cls: Any = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}[algorithm.key_type]
    assert algorithm.verify(f"{header}.{claims}".encode(), decode(signature), cls.import_key(write_pem(key)))


@pytest.mark.parametrize(
    ("secret", "alg", "says"),
    [
        ("not a key", None, "must be a private key in PEM"),
        (write_pem(RSA).replace("PRIVATE", "PUBLIC"), None, "must be a private key in PEM"),
        (write_pem(ec.generate_private_key(ec.SECP224R1())), None, "must be a private key in PEM"),
        (write_pem(x25519.X25519PrivateKey.generate()), None, "kind X25519, which cannot sign"),
        (write_pem(P256), "RS256", "kind P-256, which cannot sign with RS256.*must be one of ES256"),
        (write_pem(RSA), "none", "cannot sign with none"),
        (write_pem(RSA), "HS256", "cannot sign with HS256"),
    ],
)
def test_what_cannot_sign(app: Flask, stub: Any, secret: str, alg: str | None, says: str) -> None:
    """The operator would not learn whether the key or the algorithm is the wrong one; or nothing would be signed."""
    client = register(app, stub, secret, alg)
    with app.test_request_context(), pytest.raises(ConfigurationError, match=f"DEV_CLIENT_SECRET.*{says}"):
        client.fetch_access_token(grant_type="client_credentials")
    assert stub.seen == []


def test_none_is_no_algorithm_for_a_secret(app: Flask, stub: Any) -> None:
    """An assertion without a signature would prove nothing, and a provider might take it."""
    client = register(app, stub, "s" * 32, "none", "client_secret_jwt")
    with app.test_request_context(), pytest.raises(ConfigurationError, match="cannot sign with none"):
        client.fetch_access_token(grant_type="client_credentials")


def test_an_rsa_key_of_oauth_1_in_an_environment_variable(app: Flask, stub: Any) -> None:
    """A key whose line breaks are written as ``\\n`` would be refused at the start."""
    kwargs = {"signature_method": "RSA-SHA256", "rsa_key": write_pem(RSA).replace("\n", "\\n")}
    client = OAuth(app).register("dev", **stub.oauth1(client_kwargs=kwargs))
    with app.test_request_context():
        assert client.get("me", token={"oauth_token": "a", "oauth_token_secret": "b"}).ok
