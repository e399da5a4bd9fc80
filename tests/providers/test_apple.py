"""Apple's client secret, signed by the client."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwt
from joserfc.jwk import ECKey

from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.providers import create_apple_client_secret, read_apple_key
from flask_oauth_accounts.providers.apple import MAX_LIFETIME

NOW = 1_764_096_400.7


def to_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """:return: PKCS #8, as in Apple's ``.p8`` files."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


@pytest.fixture(scope="module")
def pem() -> str:
    return to_pem(ec.generate_private_key(ec.SECP256R1()))


def test_secret_is_what_apple_asks_for(pem: str) -> None:
    """A claim that is missing or wrong makes every login with Apple fail with invalid_client."""
    secret = create_apple_client_secret("TEAM123456", "KEY1234567", "com.example.web", pem, NOW, 300)
    token = jwt.decode(secret, ECKey.import_key(pem), algorithms=["ES256"])
    assert token.header["alg"] == "ES256"
    assert token.header["kid"] == "KEY1234567"
    assert token.claims == {
        "iss": "TEAM123456",
        "iat": 1_764_096_400,
        "exp": 1_764_096_700,
        "aud": "https://appleid.apple.com",
        "sub": "com.example.web",
    }


@pytest.mark.parametrize("lifetime", [0, -1, MAX_LIFETIME + 1])
def test_lifetime_is_within_apples_limit(pem: str, lifetime: int) -> None:
    """Apple refuses a longer life, and an operator would see only invalid_client."""
    with pytest.raises(ConfigurationError, match="lifetime"):
        create_apple_client_secret("TEAM123456", "KEY1234567", "com.example.web", pem, NOW, lifetime)


def test_key_is_read_from_configuration(pem: str, tmp_path: Path) -> None:
    """The key may stand in an environment variable, with \\n for its lines, or in the file that Apple gave."""
    path = tmp_path / "AuthKey_KEY1234567.p8"
    path.write_text(pem)
    for value in (pem, pem.replace("\n", "\\n"), str(path)):
        config = {"WORK_TEAM_ID": "TEAM123456", "WORK_KEY_ID": "KEY1234567", "WORK_PRIVATE_KEY": value}
        key = read_apple_key("work", config)
        assert key is not None
        assert pem.splitlines()[1] not in repr(key)
        secret = key.create_client_secret("com.example.web", now=NOW)
        claims = jwt.decode(secret, ECKey.import_key(pem), algorithms=["ES256"]).claims
        assert claims["exp"] - claims["iat"] == 600


def test_no_key_means_a_secret_signed_elsewhere() -> None:
    """Who signs the secret in a job of their own can still give it as client secret."""
    assert read_apple_key("apple", {"APPLE_CLIENT_SECRET": "x"}) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"APPLE_TEAM_ID": None}, "APPLE_TEAM_ID is missing"),
        ({"APPLE_KEY_ID": ""}, "APPLE_KEY_ID is missing"),
        ({"APPLE_PRIVATE_KEY": None}, "APPLE_PRIVATE_KEY is missing"),
        ({"APPLE_TEAM_ID": "short"}, "APPLE_TEAM_ID must be"),
        ({"APPLE_KEY_ID": "KEY 123456"}, "APPLE_KEY_ID must be"),
        ({"APPLE_PRIVATE_KEY": "/no/such/file.p8"}, "APPLE_PRIVATE_KEY must be the content or the path"),
        ({"APPLE_PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----\nx"}, "APPLE_PRIVATE_KEY must be an EC private key"),
    ],
)
def test_bad_configuration_is_named(pem: str, change: dict[str, str | None], named: str) -> None:
    """Who sets two of three values learns which one is missing, before the first login."""
    config = {"APPLE_TEAM_ID": "TEAM123456", "APPLE_KEY_ID": "KEY1234567", "APPLE_PRIVATE_KEY": pem, **change}
    with pytest.raises(ConfigurationError, match=named) as caught:
        read_apple_key("apple", config)
    assert pem not in str(caught.value)


def test_other_keys_are_refused() -> None:
    """A key of another kind would sign something that Apple cannot check."""
    for key in (
        to_pem(ec.generate_private_key(ec.SECP384R1())),
        to_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        "",
    ):
        with pytest.raises(ConfigurationError, match="P-256"):
            create_apple_client_secret("TEAM123456", "KEY1234567", "com.example.web", key, NOW)


def test_public_key_is_refused() -> None:
    """The public half cannot sign."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text = public.public_bytes(serialization.Encoding.PEM, form).decode()
    with pytest.raises(ConfigurationError, match="P-256"):
        create_apple_client_secret("TEAM123456", "KEY1234567", "com.example.web", text, NOW)
