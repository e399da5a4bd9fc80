"""Keys: generated once per process, because an RSA key takes longer than a whole login."""

from __future__ import annotations

import threading

from joserfc.jwk import ECKey, KeyParameters, RSAKey

from ..errors import ConfigurationError
from .models import DEV_KEY, DevClient

SigningKey = RSAKey | ECKey

_generated: dict[tuple[str, str, int], SigningKey] = {}
_lock = threading.Lock()


def find_key(purpose: str, alg: str, number: int) -> SigningKey:
    """The key of that number; the same one for every provider of this process.

    :param purpose: ``"provider"`` or ``"client"``.
    :param alg: ``RS256`` or ``ES256``.
    :param number: counts rotations.
    :return: a private key with ``kid``, ``use`` and ``alg``.
    :raises ConfigurationError: for any other algorithm.
    """
    with _lock:
        key = _generated.get((purpose, alg, number))
        if key is None:
            key = _generated[purpose, alg, number] = _generate(alg)
        return key


def _generate(alg: str) -> SigningKey:
    parameters: KeyParameters = {"use": "sig", "alg": alg}
    key: SigningKey
    if alg == "RS256":
        key = RSAKey.generate_key(2048, parameters, private=True)
    elif alg == "ES256":
        key = ECKey.generate_key("P-256", parameters, private=True)
    else:
        raise ConfigurationError(f"signing_alg {alg!r} is not supported; use RS256 or ES256")
    key.ensure_kid()
    return key


def find_public_key(client: DevClient) -> str | None:
    """:return: PEM of the key that a client has registered."""
    if client.public_key != DEV_KEY:
        return client.public_key
    return find_key("client", "RS256", 0).as_pem(private=False).decode()


class KeyRing:
    """The signing keys of one provider: the current one and those still published."""

    def __init__(self) -> None:
        self._number = 0
        self._published = [0]

    def current(self, alg: str) -> SigningKey:
        """:return: the key that signs now."""
        return find_key("provider", alg, self._number)

    def published(self, alg: str) -> list[SigningKey]:
        """:return: every key in the JWKS, the current one first."""
        return [find_key("provider", alg, number) for number in reversed(self._published)]

    def rotate(self, *, keep_old: bool) -> None:
        """Sign with a new key from now on.

        :param keep_old: whether the old keys stay in the JWKS.
        """
        self._number += 1
        self._published = [*self._published, self._number] if keep_old else [self._number]
