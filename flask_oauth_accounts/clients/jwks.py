"""The public keys of a provider (RFC 7517), and when to ask for them again."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import JWKRegistry

from ..errors import ConfigurationError, OAuthError, ProviderResponseError
from .answers import check_status, decode_json
from .flight import SingleFlight
from .metadata import RETRY_SECONDS
from .origins import place_of
from .transport import Transport

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16384
MAX_KEYS = 100
# Only what a public key consists of: a certificate chain or a private part beside it is not our business.
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_KTY_OF_ALG = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


@dataclass(frozen=True)
class PublicKey:
    """One key that may verify signatures.

    :ivar kid: its id, where it has one.
    :ivar alg: the only algorithm it is meant for, where it says so.
    :ivar key: as joserfc takes it.
    """

    kty: str
    kid: str | None
    alg: str | None
    key: Any = field(repr=False)

    def fits(self, alg: str) -> bool:
        """Whether this key can verify a signature of this algorithm (RFC 8725 section 3.1)."""
        return self.kty == _KTY_OF_ALG.get(alg[:2]) and self.alg in (None, alg)


@dataclass(frozen=True)
class _KeySet:
    jwks: dict[str, Any]
    keys: tuple[PublicKey, ...]
    fetched_at: float


class KeySource:
    """The key set of one provider; kept for a while and shared by all threads.

    :param uri: gives the address of the key set; asked when keys are needed.
    :param jwks: a fixed key set instead.
    :param clock: gives seconds since the epoch.
    :param lifetime: seconds to keep a key set.
    :param cooldown: seconds in which unknown key ids cause at most two requests.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        provider: str,
        uri: Callable[[], str | None],
        jwks: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        lifetime: float = 3600.0,
        cooldown: float = 30.0,
    ) -> None:
        self._transport = transport
        self._provider = provider
        self._uri = uri
        self._fixed = None if jwks is None else _KeySet(dict(jwks), parse_keys(jwks), 0.0)
        self._clock = clock
        self._lifetime = lifetime
        self._cooldown = cooldown
        self._flight: SingleFlight[_KeySet] = SingleFlight()
        self._known: _KeySet | None = None
        self._asked: deque[float] = deque(maxlen=2)
        self._retry_at = 0.0

    def fetch(self, *, force: bool = False) -> dict[str, Any]:
        """Get the key set as the provider publishes it.

        :param force: ask even if a key set is known.
        :return: a new dict with ``keys``.
        :raises ProviderUnavailable: unreachable, and no key set is known.
        :raises ProviderResponseError: what came is no key set.
        :raises ConfigurationError: nothing says where the keys are.
        """
        if force and self._fixed is None:
            return dict(self._flight.run(self._fetch, provider=self._provider).jwks)
        return dict(self._load().jwks)

    def keys_for(self, header: Mapping[str, Any]) -> list[PublicKey]:
        """Choose the keys that may have made a signature (OpenID Connect Core section 10.1).

        An unknown ``kid`` causes one new request, but at most two in a cooldown; without ``kid`` all keys that fit
        the algorithm are given.

        :param header: of the token; nothing but ``alg`` and ``kid`` is looked at.
        :return: the empty list where no key fits.
        :raises OAuthError: what :meth:`fetch` raises.
        """
        alg, kid = str(header.get("alg")), header.get("kid")
        known = self._load()
        found = _choose(known, alg, kid)
        if found or self._fixed is not None or not self._may_ask():
            return found
        return _choose(self._renew(known), alg, kid)

    def _may_ask(self) -> bool:
        asked = list(self._asked)
        return len(asked) < 2 or not 0 <= self._clock() - asked[0] < self._cooldown

    def _load(self) -> _KeySet:
        known = self._fixed or self._known
        if known is None:
            return self._renew(None)
        now = self._clock()
        fresh = 0 <= now - known.fetched_at < self._lifetime
        if self._fixed is not None or fresh or now < self._retry_at or self._flight.busy:
            return known
        try:
            return self._renew(known)
        except OAuthError:
            self._retry_at = now + RETRY_SECONDS
            return known

    def _renew(self, known: _KeySet | None) -> _KeySet:
        """Ask for the keys, unless another thread has done so since they were looked at."""

        def fetch() -> _KeySet:
            latest = self._known
            if latest is None or (latest is known and self._may_ask()):
                return self._fetch()
            return latest

        return self._flight.run(fetch, provider=self._provider)

    def _fetch(self) -> _KeySet:
        uri = self._uri()
        if not uri:
            raise ConfigurationError(
                f"{self._provider}: nothing says where the provider's keys are; give jwks_uri or server_metadata_url",
                provider=self._provider,
            )
        self._asked.append(self._clock())
        response = self._transport.fetch("GET", uri, headers={"Accept": "application/json"})
        check_status(response, self._provider)
        jwks = decode_json(response, self._provider) if response.status_code == 200 else None
        if not isinstance(jwks, dict) or not isinstance(jwks.get("keys"), list):
            raise ProviderResponseError(description=f"{place_of(uri)} gave no key set", provider=self._provider)
        self._known = _KeySet(jwks, parse_keys(jwks), self._clock())
        return self._known


def _choose(known: _KeySet, alg: str, kid: object) -> list[PublicKey]:
    return [key for key in known.keys if key.fits(alg) and kid in (None, key.kid)]


def parse_keys(jwks: Mapping[str, Any]) -> tuple[PublicKey, ...]:
    """Read the keys that may verify signatures, and leave out all others.

    Left out are: symmetric keys (whoever reads the set could sign), keys for encryption, RSA keys of less than 2048
    bits, and whatever cannot be read.
    """
    entries = jwks.get("keys")
    found = [parse_key(entry) for entry in entries[:MAX_KEYS]] if isinstance(entries, list) else []
    return tuple(key for key in found if key is not None)


def parse_key(entry: object) -> PublicKey | None:
    """Read one entry of a key set (RFC 7517 section 4).

    :return: ``None`` for one that may not verify signatures.
    """
    if not isinstance(entry, dict) or entry.get("kty") not in tuple(_MEMBERS) or entry.get("use", "sig") != "sig":
        return None
    operations, kid, alg = entry.get("key_ops"), entry.get("kid"), entry.get("alg")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    if not isinstance(kid, (str, type(None))) or not isinstance(alg, (str, type(None))):
        return None
    kty = entry["kty"]
    try:
        if kty == "RSA" and not MIN_RSA_BITS <= _count_bits(entry["n"]) <= MAX_RSA_BITS:
            return None
        members = {"kty": kty, **{name: entry[name] for name in _MEMBERS[kty]}}
        return PublicKey(kty, kid, alg, JWKRegistry.import_key(members))
    except Exception:
        return None


def _count_bits(number: str) -> int:
    raw = base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))
    return int.from_bytes(raw, "big").bit_length()
