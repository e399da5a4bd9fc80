"""Pending logins in a cache, or sealed in the browser's session where there is no cache.

A cache entry is sealed, its key is a hash, and exactly one caller takes it, see :mod:`.caches`.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import secrets
import threading
import time
import zlib
from collections.abc import Iterator, MutableMapping
from typing import Any

from ..errors import CallbackError, OAuthError, SealedValueError, StorageUnavailable
from ..flow import PendingFlow, hash_key
from ..protocols import Cache, Clock, Sealer
from .caches import drop, exclusive, read_text, take_text, write_text
from .forks import ForkSafe

SESSION_KEY = "_oauth_accounts"
"""The one key of the browser's session that belongs to pending logins."""

FORM_POST_LIFETIME = 60.0
"""Seconds that the answer of a ``response_mode=form_post`` callback is kept."""
_FORM_FIELDS = frozenset({"state", "code", "iss", "error", "error_description", "error_uri", "user"})
"""What an answer is made of (RFC 6749 section 4.1.2, RFC 9207 section 2), and what Apple says of the user."""
_FORM_CHARS = 16_384

_SHORTEST_KEEPING = 600
"""Seconds that an entry is kept at least, so that a callback after a shorter lifetime is told that it is late."""
_LONGEST_KEEPING = 29 * 86400
"""More than thirty days would be a date to memcached."""
_SESSION_FLOWS = 5
_SESSION_KEY_CHARS = 20
"""Of a key's hexadecimal digits: there is one browser's handful to tell apart, and each character counts."""
_SESSION_CHARS = 560
"""For all flows of a session together; sealed and signed, this makes a cookie of less than 1000 bytes."""
_SINGLE_CHARS = 2000
"""For one flow alone; with more, the cookie would come near the 4096 bytes that browsers keep."""


def browser_id(session: MutableMapping[str, Any], *, create: bool) -> str | None:
    """The random id of a browser, kept in its session.

    :param session: the Flask session.
    :param create: give the browser an id if it has none.
    """
    entry = session.get(SESSION_KEY)
    if isinstance(entry, dict) and isinstance(entry.get("b"), str):
        return str(entry["b"])
    if not create:
        return None
    created = secrets.token_urlsafe(16)
    session[SESSION_KEY] = {"b": created}
    return created


class CacheFlowStore:
    """Pending logins in anything with ``get(key)`` and ``set(key, value, seconds)``.

    :param cache: shared by all workers of the application.
    :param sealer: encrypts the entries.
    :param max_pending: logins kept for one browser; the oldest gives way.
    """

    def __init__(self, cache: Cache, sealer: Sealer, *, clock: Clock = time.time, max_pending: int = 10) -> None:
        self._cache = cache
        self._sealer = sealer
        self._clock = clock
        self._max_pending = max_pending

    def save(self, flow: PendingFlow) -> None:
        """:raises StorageUnavailable: if the cache does not take it."""
        seconds = self._keeping(flow)
        self._put(f"flow:{flow.key}", flow.dumps(), seconds)
        with _translated(), exclusive(self._cache):
            keys = [*self._load_keys(flow.browser), flow.key[:32]]
            for dropped in keys[: -self._max_pending]:
                drop(self._cache, _cache_key(f"flow:{dropped}"))
            self._save_keys(flow.browser, keys[-self._max_pending :], seconds)

    def _keeping(self, flow: PendingFlow) -> int:
        return min(max(_SHORTEST_KEEPING, int(flow.expires_at - self._clock())), _LONGEST_KEEPING)

    def take(self, key: str) -> PendingFlow | None:
        """:raises StorageUnavailable: if the cache does not answer."""
        text = self._take(f"flow:{key}")
        if text is None:
            return None
        try:
            flow = PendingFlow.loads(text)
        except ValueError:
            return None
        self._forget(flow)
        return flow

    def save_form(self, form: dict[str, str]) -> str:
        """Keep a callback that came by POST.

        :return: a handle that works once, for :data:`FORM_POST_LIFETIME` seconds.
        :raises CallbackError: if it is too large to be an answer.
        :raises StorageUnavailable: if the cache does not take it.
        """
        handle = secrets.token_urlsafe(24)
        self._put(f"form:{hash_key(handle)}", json.dumps(_used_fields(form)), int(FORM_POST_LIFETIME))
        return handle

    def take_form(self, handle: str) -> dict[str, str] | None:
        """:raises StorageUnavailable: if the cache does not answer."""
        return _read_form(self._take(f"form:{hash_key(handle)}"))

    def _put(self, name: str, text: str, seconds: int) -> None:
        with _translated():
            stored = write_text(self._cache, _cache_key(name), self._sealer.seal(text, name), seconds)
        if not stored:
            raise StorageUnavailable(description="the cache did not store a pending login")

    def _take(self, name: str) -> str | None:
        with _translated():
            return self._open(take_text(self._cache, _cache_key(name)), name)

    def _open(self, sealed: str | None, name: str) -> str | None:
        if sealed is None:
            return None
        try:
            return self._sealer.unseal(sealed, name)
        except SealedValueError:
            return None

    # -- which logins a browser has pending ---------------------------------------------------------------------------

    def _load_keys(self, browser: str) -> list[str]:
        name = f"browser:{browser}"
        text = self._open(read_text(self._cache, _cache_key(name)), name)
        return text.split(",") if text else []

    def _save_keys(self, browser: str, keys: list[str], seconds: int) -> None:
        name = f"browser:{browser}"
        write_text(self._cache, _cache_key(name), self._sealer.seal(",".join(keys), name), seconds)

    def _forget(self, flow: PendingFlow) -> None:
        """A finished login counts no longer. Failing here is no reason to refuse it."""
        with contextlib.suppress(Exception), exclusive(self._cache):
            keys = self._load_keys(flow.browser)
            keys.remove(flow.key[:32])
            if keys:
                # The others may have been started just now.
                self._save_keys(flow.browser, keys, self._keeping(flow) + 3600)
            else:
                drop(self._cache, _cache_key(f"browser:{flow.browser}"))


def _cache_key(name: str) -> str:
    """Keys of one form and length: letters, digits, ``_`` and ``-``, as every cache takes them."""
    kind, _, rest = name.partition(":")
    return f"oauth_accounts-{kind}-{rest[:32]}"


class SessionFlowStore:
    """Pending logins sealed in the browser's session: no server keeps anything, so a cookie can hold only a few:
    five of OAuth 2, four of OpenID Connect, three of OAuth 1, where addresses are of ordinary length.

    An older copy of the cookie still holds a login that was finished; this process remembers which were taken.
    """

    def __init__(
        self, session: MutableMapping[str, Any], sealer: Sealer, *, clock: Clock = time.time, max_pending: int = 10
    ) -> None:
        self._session = session
        self._sealer = sealer
        self._clock = clock
        self._max_pending = min(max_pending, _SESSION_FLOWS)

    def save(self, flow: PendingFlow) -> None:
        """Put the flow into the session; the oldest gives way where there are too many."""
        flow = dataclasses.replace(flow, key=flow.key[:_SESSION_KEY_CHARS])
        flows = [*self._load(), flow][-self._max_pending :]
        packed = _pack(flows)
        while len(packed) > _SESSION_CHARS and len(flows) > 1:
            flows = flows[1:]
            packed = _pack(flows)
        if len(packed) > _SINGLE_CHARS:
            # Better a login that ends at the usual place than a cookie that the browser drops.
            packed = _pack([dataclasses.replace(flow, next_url=None)])
        self._write(packed)

    def take(self, key: str) -> PendingFlow | None:
        """Take the flow out of the session; ``None`` if it is not there or was taken before in this process."""
        flows = self._load()
        short = key[:_SESSION_KEY_CHARS]
        found = next((flow for flow in flows if flow.key == short), None)
        if found is None:
            return None
        rest = [flow for flow in flows if flow is not found]
        self._write(_pack(rest) if rest else None)
        return found if _taken.add(key, found.expires_at, self._clock()) else None

    def save_form(self, form: dict[str, str]) -> str:
        """Seal the callback into the handle itself, for the browser's session did not come along."""
        values = {"form": _used_fields(form), "expires_at": self._clock() + FORM_POST_LIFETIME}
        return self._sealer.seal(json.dumps(values), "form-post")

    def take_form(self, handle: str) -> dict[str, str] | None:
        """Open the handle; the state inside is what works only once."""
        try:
            values = json.loads(self._sealer.unseal(handle, "form-post"))
        except (SealedValueError, ValueError):
            return None
        if values.get("expires_at", 0) < self._clock():
            return None
        return _read_form(json.dumps(values.get("form")))

    def _load(self) -> list[PendingFlow]:
        entry = self._session.get(SESSION_KEY)
        if not isinstance(entry, dict) or not isinstance(entry.get("f"), str):
            return []
        browser = str(entry.get("b"))
        try:
            flows = _unpack(self._sealer.unseal(entry["f"], f"flows:{browser}"), hash_key(browser)[:32])
        except (SealedValueError, ValueError, TypeError, AttributeError, zlib.error):
            return []
        # An expired login stays a little longer, so that its callback can be told why it fails.
        return [flow for flow in flows if flow.expires_at > self._clock() - 3600]

    def _write(self, packed: str | None) -> None:
        browser = browser_id(self._session, create=True)
        entry = {"b": browser}
        if packed is not None:
            entry["f"] = self._sealer.seal(packed, f"flows:{browser}")
        self._session[SESSION_KEY] = entry


_USUAL_TEXT = (
    b'{"oauth_token":"","oauth_token_secret":"","user_id":"","subject":"","params":{"max_age":""}"next_url":"/"nonce":'
    b'"","request_token":{"code_verifier":"","purpose":"connect","login","scope":"openid email profile"}{"name":"",'
    b'"key":"","expires_at":1,"redirect_uri":"https://www./authorize/'
)
"""What zlib may take for known, so that it costs nothing; a changed text makes pending logins unreadable."""


def _pack(flows: list[PendingFlow]) -> str:
    """Short text; whose browser it is, the place says where it lies."""
    lines = [dataclasses.replace(flow, browser="").dumps() for flow in flows]
    packer = zlib.compressobj(9, wbits=-15, zdict=_USUAL_TEXT)
    return base64.b85encode(packer.compress("\n".join(lines).encode()) + packer.flush()).decode("ascii")


def _unpack(text: str, browser: str) -> list[PendingFlow]:
    unpacker = zlib.decompressobj(wbits=-15, zdict=_USUAL_TEXT)
    lines = unpacker.decompress(base64.b85decode(text)).decode().split("\n")
    return [PendingFlow.loads(json.dumps({**json.loads(line), "browser": browser})) for line in lines]


class _Taken(ForkSafe):
    """Keys of finished logins, until they would have expired anyway."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[str, float] = {}
        self._limit = 1000

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def add(self, key: str, expires_at: float, now: float) -> bool:
        with self._lock:
            if len(self._keys) > self._limit:
                self._keys = {key: expiry for key, expiry in self._keys.items() if expiry > now}
                self._limit = 1000 + 2 * len(self._keys)
            if key in self._keys:
                return False
            self._keys[key] = expires_at
            return True


_taken = _Taken()


def _used_fields(form: dict[str, str]) -> dict[str, str]:
    """What is read of an answer. Anybody may post one, so nothing else takes up room; tokens that come through the
    browser are never used.

    :raises CallbackError: if that is more than any provider sends.
    """
    used = {key: value for key, value in form.items() if key in _FORM_FIELDS}
    if len(json.dumps(used)) > _FORM_CHARS:
        raise CallbackError(description=f"the answer is longer than {_FORM_CHARS} characters")
    return used


def _read_form(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    try:
        form = json.loads(text)
    except ValueError:
        return None
    if not isinstance(form, dict):
        return None
    return {str(key): value for key, value in form.items() if isinstance(value, str)}


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """A cache may raise anything; whatever it is, the login cannot go on."""
    try:
        yield
    except OAuthError:
        raise
    except Exception as error:
        raise StorageUnavailable(description=f"the cache failed: {type(error).__name__}") from error
