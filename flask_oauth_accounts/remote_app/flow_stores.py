"""Pending logins in a cache, or sealed in the browser's session where there is no cache.

A cache entry is sealed, its key is a hash, and exactly one caller takes it: one lock for the threads of a process, and
between processes what each backend has – a truthful ``delete``, an atomic ``add``, or a lock file for files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import tempfile
import threading
import time
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, OAuthError, SealedValueError, StorageUnavailable
from ..flow import PendingFlow, hash_key
from ..protocols import Cache, Clock, Sealer

try:
    import fcntl
except ImportError:  # pragma: no cover – Windows has no fcntl; there the lock covers the threads of one process
    fcntl = None  # type: ignore[assignment]

SESSION_KEY = "_oauth_accounts"
"""The one key of the browser's session that belongs to pending logins."""

FORM_POST_LIFETIME = 60.0
"""Seconds that the answer of a ``response_mode=form_post`` callback is kept."""

_SESSION_FLOWS = 5
_SESSION_BYTES = 620
_LOCK = threading.Lock()


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


def backend_of(cache: Any) -> Any:
    """The backend behind a Flask-Caching proxy, or the cache itself."""
    try:
        backend = getattr(cache, "cache", None)
    except (KeyError, RuntimeError, AttributeError):
        return cache
    return cache if backend is None else backend


def _kinds(cache: Any) -> set[str]:
    return {cls.__name__ for cls in type(backend_of(cache)).__mro__}


def is_null_cache(cache: Any) -> bool:
    """Whether a cache forgets everything at once, as Flask-Caching's default does."""
    return "NullCache" in _kinds(cache)


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
        seconds = max(1, int(flow.expires_at - self._clock()))
        self._put(f"flow:{flow.key}", flow.dumps(), seconds)
        self._remember(flow, seconds)

    def take(self, key: str) -> PendingFlow | None:
        """:raises StorageUnavailable: if the cache does not answer."""
        text = self._take(f"flow:{key}")
        if text is None:
            return None
        try:
            return PendingFlow.loads(text)
        except ValueError:
            return None

    def save_form(self, form: dict[str, str]) -> str:
        """Keep a callback that came by POST.

        :return: a handle that works once, for :data:`FORM_POST_LIFETIME` seconds.
        :raises StorageUnavailable: if the cache does not take it.
        """
        handle = secrets.token_urlsafe(24)
        self._put(f"form:{hash_key(handle)}", json.dumps(form), int(FORM_POST_LIFETIME))
        return handle

    def take_form(self, handle: str) -> dict[str, str] | None:
        """:raises StorageUnavailable: if the cache does not answer."""
        return _read_form(self._take(f"form:{hash_key(handle)}"))

    def _put(self, name: str, text: str, seconds: int) -> None:
        with _translate_cache_errors():
            stored = self._cache.set(_cache_key(name), self._sealer.seal(text, name), seconds)
        if stored is False:
            raise StorageUnavailable(description="the cache did not store a pending login")

    def _take(self, name: str) -> str | None:
        key = _cache_key(name)
        with _translate_cache_errors(), _LOCK, _file_lock(self._cache):
            value = self._cache.get(key)
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            if not isinstance(value, str) or not value or not self._claim(key):
                return None
        try:
            return self._sealer.unseal(value, name)
        except SealedValueError:
            return None

    def _claim(self, key: str) -> bool:
        """Remove an entry that was just read; whether it was this caller who removed it."""
        cache: Any = self._cache
        kinds = _kinds(cache)
        if "delete" not in dir(cache):
            cache.set(key, "", 1)
            return True
        if any("memcache" in kind.lower() for kind in kinds) and not cache.add(f"{key}-taken", "1", 60):
            # Memcached clients say yes to deleting what is not there.
            return False
        removed = cache.delete(key)
        return removed is None or bool(removed)

    def _remember(self, flow: PendingFlow, seconds: int) -> None:
        """Keep the list of a browser's pending logins, and drop the oldest beyond the cap."""
        name = f"browser:{flow.browser}"
        key = _cache_key(name)
        cache: Any = self._cache
        with _translate_cache_errors(), _LOCK, _file_lock(cache):
            known = cache.get(key)
            text = known.decode() if isinstance(known, bytes) else known
            keys = [*(text.split(",") if isinstance(text, str) and text else []), flow.key[:32]]
            for dropped in keys[: -self._max_pending]:
                self._drop(dropped)
            cache.set(key, ",".join(keys[-self._max_pending :]), seconds)

    def _drop(self, short_key: str) -> None:
        cache: Any = self._cache
        key = _cache_key(f"flow:{short_key}")
        if "delete" in dir(cache):
            cache.delete(key)
        else:
            cache.set(key, "", 1)


def _cache_key(name: str) -> str:
    """Keys of one form and length; a flow's key is cut so that the list of a browser stays short."""
    kind, _, rest = name.partition(":")
    return f"oauth_accounts-{kind}-{rest[:32]}"


class SessionFlowStore:
    """Pending logins sealed in the browser's session: no server keeps anything, so a cookie can hold only a few.

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
        flows = [*self._load(), flow][-self._max_pending :]
        while True:
            packed = _pack(flows)
            if len(packed) <= _SESSION_BYTES or len(flows) == 1:
                break
            flows = flows[1:]
        self._write(packed if flows else None)

    def take(self, key: str) -> PendingFlow | None:
        """Take the flow out of the session; ``None`` if it is not there or was taken before in this process."""
        flows = self._load()
        found = next((flow for flow in flows if flow.key == key), None)
        if found is None:
            return None
        rest = [flow for flow in flows if flow.key != key]
        self._write(_pack(rest) if rest else None)
        return found if _taken.add(key, found.expires_at, self._clock()) else None

    def save_form(self, form: dict[str, str]) -> str:
        """Seal the callback into the handle itself, for the browser's session did not come along."""
        values = {"form": form, "expires_at": self._clock() + FORM_POST_LIFETIME}
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
        sealed = entry.get("f") if isinstance(entry, dict) else None
        if not isinstance(sealed, str):
            return []
        try:
            packed = self._sealer.unseal(sealed, f"flows:{entry.get('b')}" if isinstance(entry, dict) else "")
            texts = json.loads(zlib.decompress(urlsafe_b64decode(packed)))
            flows = [PendingFlow.loads(text) for text in texts]
        except (SealedValueError, ValueError, zlib.error):
            return []
        # An expired login stays a little longer, so that its callback can be told why it fails.
        return [flow for flow in flows if flow.expires_at > self._clock() - 3600]

    def _write(self, packed: str | None) -> None:
        browser = browser_id(self._session, create=True)
        entry = {"b": browser}
        if packed is not None:
            entry["f"] = self._sealer.seal(packed, f"flows:{browser}")
        self._session[SESSION_KEY] = entry


def _pack(flows: list[PendingFlow]) -> str:
    text = json.dumps([flow.dumps() for flow in flows])
    return urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


class _Taken:
    """Keys of finished logins, until they would have expired anyway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[str, float] = {}

    def add(self, key: str, expires_at: float, now: float) -> bool:
        with self._lock:
            if len(self._keys) > 1000:
                self._keys = {key: expiry for key, expiry in self._keys.items() if expiry > now}
            if key in self._keys:
                return False
            self._keys[key] = expires_at
            return True


_taken = _Taken()


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
def _translate_cache_errors() -> Iterator[None]:
    """A cache may raise anything; whatever it is, the login cannot go on."""
    try:
        yield
    except OAuthError:
        raise
    except Exception as error:
        raise StorageUnavailable(description=f"the cache failed: {type(error).__name__}") from error


@contextlib.contextmanager
def _file_lock(cache: Any) -> Iterator[None]:
    """Between the processes of one machine, for a cache that lives in files."""
    backend = backend_of(cache)
    folder = getattr(backend, "_path", None) if "FileSystemCache" in _kinds(cache) else None
    if folder is None or fcntl is None:
        yield
        return
    name = hashlib.sha256(str(Path(str(folder)).resolve()).encode()).hexdigest()[:24]
    with (Path(tempfile.gettempdir()) / f"oauth-accounts-{name}.lock").open("ab") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def refuse_null_cache(cache: Any, name: str) -> None:
    """:raises ConfigurationError: if an OAuth 1 client would have to rely on a cache that forgets everything."""
    if cache is not None and is_null_cache(cache):
        raise ConfigurationError(
            f"{name} is an OAuth 1 client and its request tokens need a cache that remembers, but CACHE_TYPE is "
            'NullCache. Set CACHE_TYPE to "RedisCache" or "FileSystemCache", or give save_request_token and '
            "fetch_request_token to register()",
            provider=name,
        )
