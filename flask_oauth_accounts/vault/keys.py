"""The key ring: authenticated encryption of single values, each bound to its place.

A sealed value is text, ``v1.<key id>.<base64url of nonce and ciphertext>``: AES-256-GCM with a random nonce of 96
bits and the place as associated data. The key's id in the value is what makes rotation possible without a flag day:
the first key seals, every key opens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import ConfigurationError, SealedValueError

_VERSION = "v1"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SEALED = re.compile(r"v1\.([A-Za-z0-9_-]{1,32})\.([A-Za-z0-9_-]+)")
DERIVED_PREFIX = "sk-"
"""Begins the id of a key that was derived from a ``SECRET_KEY``."""
_INFO = b"flask_oauth_accounts sealed values v1"
_REMEDY = 'write "<key id>:<base64url of 32 bytes>"; `flask oauth keys generate` prints one'


@dataclass(frozen=True)
class Key:
    """One key of a ring; ``repr`` shows its id only.

    :ivar id: up to 32 letters, digits, ``-`` and ``_``; stands in every value that the key has sealed.
    :ivar secret: 32 bytes.
    """

    id: str
    secret: bytes = field(repr=False)


class KeyProvider(Protocol):
    """Where keys come from, for those who keep them in a key management service.

    ``keys`` is called for every value that is sealed or opened: a provider that asks a service remembers the answer.
    """

    def keys(self) -> Sequence[Key]:
        """The key that seals first, then those that only open."""
        ...


@dataclass(frozen=True)
class _StaticKeys:
    ring: tuple[Key, ...]

    def keys(self) -> Sequence[Key]:
        return self.ring


@lru_cache(maxsize=64)
def _create_cipher(secret: bytes) -> AESGCM:
    return AESGCM(secret)


class KeyRing:
    """Seals with the first key and opens with any; implements :class:`~flask_oauth_accounts.protocols.Sealer`.

    :param keys: the keys, or a provider of them.
    :raises ConfigurationError: if there is no key, or two have the same id.
    """

    def __init__(self, keys: Iterable[Key] | KeyProvider) -> None:
        if isinstance(keys, Iterable):
            self._provider: KeyProvider = _StaticKeys(_check_keys(tuple(keys)))
        else:
            self._provider = keys

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> KeyRing:
        """Read ``OAUTH_ACCOUNTS_KEYS``.

        :param lines: each ``"<key id>:<base64url of 32 bytes>"``; padding may be left out.
        :raises ConfigurationError: for a line that is no key; the sentence names it without showing key material.
        """
        return cls(_parse_line(number, line) for number, line in enumerate(lines, 1))

    @classmethod
    def derive(cls, secret_key: str | bytes | None, fallbacks: Iterable[str | bytes] | None = None) -> KeyRing:
        """Derive the keys from the application's own secret by HKDF-SHA256 (RFC 5869).

        :param secret_key: ``SECRET_KEY``; its key seals.
        :param fallbacks: ``SECRET_KEY_FALLBACKS``; their keys open what they have sealed.
        :raises ConfigurationError: if there is no secret.
        """
        if not secret_key:
            raise ConfigurationError("SECRET_KEY is not set; set it, or set OAUTH_ACCOUNTS_KEYS to seal stored secrets")
        derived = {
            key.id: key for key in (_derive_key(secret) for secret in (secret_key, *(fallbacks or ())) if secret)
        }
        return cls(derived.values())

    @classmethod
    def from_configuration(
        cls,
        lines: Iterable[str] | None,
        secret_key: str | bytes | None,
        fallbacks: Iterable[str | bytes] | None = None,
    ) -> KeyRing:
        """Read all keys of an application: those of ``OAUTH_ACCOUNTS_KEYS`` seal, and what was sealed with derived keys
        before they were set still opens.

        :param lines: ``OAUTH_ACCOUNTS_KEYS``.
        :param secret_key: ``SECRET_KEY``.
        :param fallbacks: ``SECRET_KEY_FALLBACKS``.
        :raises ConfigurationError: if there is no key at all, or a line is none.
        """
        if not lines:
            return cls.derive(secret_key, fallbacks)
        explicit = cls.from_lines(lines)._provider.keys()
        derived = cls.derive(secret_key, fallbacks)._provider.keys() if secret_key else ()
        return cls({key.id: key for key in (*explicit, *derived)}.values())

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all keys, the one that seals first."""
        keys = self._provider.keys()
        return tuple(key.id for key in keys)

    def __repr__(self) -> str:
        return f"<KeyRing {', '.join(self.key_ids)}>"

    def seal(self, plaintext: str, context: str) -> str:
        """Encrypt a value for one place.

        :param plaintext: the secret.
        :param context: where it lives; the same text is needed to open it.
        :return: text that holds no line break.
        :raises ConfigurationError: if the key provider has no key.
        """
        keys = self._provider.keys()
        if not keys:
            raise ConfigurationError("the key provider has no key to seal with")
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = _create_cipher(keys[0].secret).encrypt(nonce, _encode(plaintext), _encode(context))
        return f"{_VERSION}.{keys[0].id}.{_to_base64(nonce + sealed)}"

    def unseal(self, sealed: str, context: str) -> str:
        """Open a value.

        :param sealed: what :meth:`seal` returned.
        :param context: the same text as then.
        :raises SealedValueError: if the value is not a sealed one, its key is gone, or it was changed or moved.
        """
        match = _SEALED.fullmatch(sealed) if isinstance(sealed, str) else None
        if match is None:
            raise SealedValueError(description="a stored secret is not in sealed form")
        keys = self._provider.keys()
        key = next((key for key in keys if key.id == match[1]), None)
        if key is None:
            raise SealedValueError(description=f"a stored secret was sealed with the key {match[1]!r}, which is gone")
        try:
            blob = _from_base64(match[2])
            if len(blob) < _NONCE_BYTES + _TAG_BYTES:
                raise ValueError("too short")
            opened = _create_cipher(key.secret).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], _encode(context))
            return opened.decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            raise SealedValueError(description="a stored secret was changed, moved, or sealed elsewhere") from None

    def key_id(self, sealed: str) -> str | None:
        """:return: the id of the key that sealed the value, ``None`` for what is not a sealed value."""
        match = _SEALED.fullmatch(sealed) if isinstance(sealed, str) else None
        return match[1] if match else None


def generate_key_line(key_id: str | None = None) -> str:
    """Make a new random key.

    :param key_id: up to 32 letters, digits, ``-`` and ``_``; a random one when left out.
    :return: one entry for ``OAUTH_ACCOUNTS_KEYS``.
    :raises ConfigurationError: if the id cannot be used.
    """
    key_id = f"k-{secrets.token_hex(4)}" if key_id is None else key_id
    if not _KEY_ID.fullmatch(key_id):
        raise ConfigurationError("a key id has 1 to 32 letters, digits, '-' and '_'")
    return f"{key_id}:{_to_base64(secrets.token_bytes(_KEY_BYTES))}"


def _check_keys(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    if not keys:
        raise ConfigurationError(f"OAUTH_ACCOUNTS_KEYS is empty; {_REMEDY}")
    seen: set[str] = set()
    for key in keys:
        if not _KEY_ID.fullmatch(key.id) or len(key.secret) != _KEY_BYTES:
            raise ConfigurationError("a key needs an id of letters, digits, '-' and '_', and a secret of 32 bytes")
        if key.id in seen:
            raise ConfigurationError(f"OAUTH_ACCOUNTS_KEYS has the key id {key.id!r} twice; each key needs its own")
        seen.add(key.id)
    return keys


def _parse_line(number: int, line: object) -> Key:
    key_id, separator, text = line.strip().partition(":") if isinstance(line, str) else ("", "", "")
    # An id that is none may be key material in the wrong place, so only the entry's number is named then.
    if not separator or not _KEY_ID.fullmatch(key_id):
        raise ConfigurationError(f"OAUTH_ACCOUNTS_KEYS: entry {number} has no key id; {_REMEDY}")
    try:
        secret = _from_base64(text.strip().rstrip("="))
    except ValueError:
        raise ConfigurationError(f"OAUTH_ACCOUNTS_KEYS: key {key_id!r} is not base64url; {_REMEDY}") from None
    if len(secret) != _KEY_BYTES:
        raise ConfigurationError(f"OAUTH_ACCOUNTS_KEYS: key {key_id!r} has {len(secret)} bytes; {_REMEDY}")
    return Key(key_id, secret)


def _derive_key(secret: str | bytes) -> Key:
    if not isinstance(secret, (str, bytes)):
        raise ConfigurationError(
            "SECRET_KEY and SECRET_KEY_FALLBACKS must be text; in the environment, put what looks like a number in "
            "quotes, or better, take a longer one"
        )
    material = secret if isinstance(secret, bytes) else _encode(secret)
    derived = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=_INFO).derive(material)
    return Key(f"{DERIVED_PREFIX}{hashlib.sha256(derived).hexdigest()[:8]}", derived)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _to_base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _from_base64(text: str) -> bytes:
    """:raises ValueError: for anything but base64url without padding."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
