"""Taking an entry out of a cache exactly once, with what each kind of cache has for it.

============================  ==========================================================================
cache                         what decides who has taken an entry
============================  ==========================================================================
Redis, Valkey                 ``delete`` says truthfully who has deleted
memcached                     ``add`` of a mark, and reading back whose mark it is
``FileSystemCache``           a lock on a file in its folder, for all processes of the machine
``SimpleCache``               a lock for the threads: nobody else sees its entries
anything else                 the lock for threads, one for the machine's processes, and what it has of the above
============================  ==========================================================================
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

try:
    import fcntl
except ImportError:  # pragma: no cover – Windows has no fcntl; there a lock covers the threads of one process
    fcntl = None  # type: ignore[assignment]

_REDIS = frozenset({"redis", "valkey", "fakeredis"})
_MEMCACHED = frozenset({"memcache", "pymemcache", "pylibmc", "bmemcached"})
_LIBRARIES = frozenset({"cachelib", "flask_caching"})
_MARK_SECONDS = 3600


class _ThreadLock:
    """A lock for the threads of one process; a child that was forked while it was held begins with a free one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            yield


_thread_lock = _ThreadLock()


def backend_of(cache: Any) -> Any:
    """The backend behind a Flask-Caching proxy, or the cache itself."""
    try:
        backend = getattr(cache, "cache", None)
    except (KeyError, RuntimeError, AttributeError):
        return cache
    return cache if backend is None else backend


def _kind(cache: Any) -> str:
    for cls in type(backend_of(cache)).__mro__:
        root, name = cls.__module__.partition(".")[0], cls.__name__.lower()
        library = root in _LIBRARIES
        if root in _REDIS or (library and name.startswith("redis")):
            return "redis"
        if root in _MEMCACHED or (library and "memcache" in name):
            return "memcached"
        if library and name in ("filesystemcache", "simplecache", "nullcache"):
            return name
    return "other"


def is_null_cache(cache: Any) -> bool:
    """Whether a cache forgets everything at once, as Flask-Caching's default does."""
    return _kind(cache) == "nullcache"


def refuse_null_cache(cache: Any, name: str) -> None:
    """:raises ConfigurationError: if an OAuth 1 client would have to rely on a cache that forgets everything."""
    if cache is not None and is_null_cache(cache):
        raise ConfigurationError(
            f"{name} is an OAuth 1 client and its request tokens need a cache that remembers, but CACHE_TYPE is "
            'NullCache. Set CACHE_TYPE to "RedisCache" or "FileSystemCache", or give save_request_token and '
            "fetch_request_token to register()",
            provider=name,
        )


def read_text(cache: Any, key: str) -> str | None:
    """:return: a text of ours, ``None`` where there is none or something else."""
    value = cache.get(key)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) and value else None


def write_text(cache: Any, key: str, text: str, seconds: int) -> bool:
    """:return: whether the cache has kept it; one that does not say is believed."""
    stored = cache.set(key, text, seconds)
    return stored is None or bool(stored)


def take_text(cache: Any, key: str) -> str | None:
    """Read an entry and remove it; exactly one of all callers gets it.

    :return: the text, ``None`` if there is none or somebody else was faster.
    """
    with exclusive(cache):
        text = read_text(cache, key)
        return text if text is not None and _claim(cache, key) else None


def drop(cache: Any, key: str) -> Any:
    """Remove an entry, or empty it where the cache cannot delete."""
    delete = _method(cache, "delete")
    if delete is None:
        cache.set(key, "", 1)
        return None
    return delete(key)


def _claim(cache: Any, key: str) -> bool:
    """Remove an entry that was just read; whether it was this caller who removed it."""
    add = _method(cache, "add")
    if add is not None and _kind(cache) in ("memcached", "other"):
        # Some clients say yes to whatever they are asked, without waiting for the server's word: read it.
        mark, owner = f"{key}-taken", secrets.token_hex(8)
        add(mark, owner, _MARK_SECONDS)
        if read_text(cache, mark) != owner:
            return False
    removed = drop(cache, key)
    return removed is None or bool(removed)


def _method(cache: Any, name: str) -> Callable[..., Any] | None:
    method = getattr(cache, name, None)
    return method if callable(method) else None


@contextlib.contextmanager
def exclusive(cache: Any) -> Iterator[None]:
    """Keep other threads and processes out for as long as a cache needs that; a network round trip never does."""
    kind = _kind(cache)
    if kind in ("redis", "memcached"):
        yield
        return
    with _thread_lock.hold(), _process_lock(cache, kind):
        yield


@contextlib.contextmanager
def _process_lock(cache: Any, kind: str) -> Iterator[None]:
    handle = None if fcntl is None or kind == "simplecache" else _open_lock(backend_of(cache), kind)
    if handle is None:
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which unlocks


def _open_lock(backend: Any, kind: str) -> int | None:
    if kind == "filesystemcache":
        # With this ending the cache neither counts nor prunes the file.
        path = Path(str(backend._path)) / f"oauth-accounts{backend._fs_transaction_suffix}"
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    path = Path(tempfile.gettempdir()) / f"oauth-accounts-{os.getuid()}.lock"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        # Without a folder for it, the lock covers the threads of one process.
        return None
