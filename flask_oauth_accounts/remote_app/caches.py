"""Taking an entry out of a cache exactly once, with what each kind of cache has for it.

============================  ==========================================================================
cache                         what decides who has taken an entry
============================  ==========================================================================
Redis, Valkey                 ``delete`` says truthfully who has deleted
memcached                     ``add`` of a mark, and reading back whose mark it is
``FileSystemCache``           a lock on a file in its folder, for all processes of the machine
``SimpleCache``               a lock for the threads: nobody else sees its entries
anything else                 the lock for threads, one for the machine's processes, and ``add`` where it has one
============================  ==========================================================================

A class of the application's own is "anything else", whatever it wraps: what its ``delete`` answers says little. The
lock for the machine's processes is one on this package's own source file, which is there already: nothing is written
to disk, and it works where the disk is read-only. It does not reach other machines; an ``add`` does, if it is one.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from .forks import ForkSafe

try:
    import fcntl
except ImportError:  # pragma: no cover – Windows has no fcntl; there a lock covers the threads of one process
    fcntl = None  # type: ignore[assignment]

_REDIS = frozenset({"redis", "valkey", "fakeredis"})
_MEMCACHED = frozenset({"memcache", "pymemcache", "pylibmc", "bmemcached"})
_LIBRARIES = frozenset({"cachelib", "flask_caching"})
_TRUTHFUL = _REDIS | _LIBRARIES
_MARK_SECONDS = 3600


class _ThreadLock(ForkSafe):
    """A lock for the threads of one process."""

    def _renew(self) -> None:
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        with self._lock:
            yield


_thread_lock = _ThreadLock()


def backend_of(cache: Any) -> Any:
    """The backend behind Flask-Caching's ``Cache``, or the cache itself."""
    if not any(cls.__name__ == "Cache" and _root(cls) == "flask_caching" for cls in type(cache).__mro__):
        return cache
    try:
        return cache.cache
    except (KeyError, RuntimeError, AttributeError):
        return cache


def _root(named: Any) -> str:
    """The library in which a class or function was written."""
    return str(getattr(named, "__module__", "")).partition(".")[0]


def _kind(cache: Any) -> str:
    backend = backend_of(cache)
    for cls in type(backend).__mro__:
        root, name = _root(cls), cls.__name__.lower()
        library = root in _LIBRARIES
        if root in _REDIS or (library and name.startswith("redis")):
            # A subclass may have a delete of its own that says nothing.
            truthful = all(_root(getattr(each, "delete", None)) in _TRUTHFUL for each in (cache, backend))
            return "redis" if truthful else "other"
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
    delete = _method(cache, "delete", key)
    if delete is None:
        cache.set(key, "", 1)
        return None
    return delete(key)


def _claim(cache: Any, key: str) -> bool:
    """Remove an entry that was just read; whether it was this caller who removed it."""
    kind = _kind(cache)
    if kind in ("memcached", "other") and not _mark(cache, key, kind):
        return False
    removed = drop(cache, key)
    # Who holds the lock, or has the mark, may take silence for a yes.
    return bool(removed) or (removed is None and kind != "redis")


def _mark(cache: Any, key: str, kind: str) -> bool:
    """Put a mark beside an entry with ``add``, which does nothing where there is one; whether the mark is ours."""
    mark, owner = f"{key}-taken", secrets.token_hex(8)
    add = _method(cache, "add", mark, owner, _MARK_SECONDS)
    if add is None:
        return True
    # Some clients say yes to whatever they are asked, without waiting for the server's word: read it.
    add(mark, owner, _MARK_SECONDS)
    found = read_text(cache, mark)
    # What an unknown cache calls "add" may be something else, and then leaves no mark.
    return found == owner or (found is None and kind == "other")


def _method(cache: Any, name: str, *arguments: Any) -> Callable[..., Any] | None:
    """A method of a cache, ``None`` if it has none that takes these arguments."""
    method: Callable[..., Any] | None = getattr(cache, name, None)
    if not callable(method):
        return None
    try:
        inspect.signature(method).bind(*arguments)
    except TypeError:
        return None
    except ValueError:  # written in C, it does not tell
        pass
    return method


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
    handle = None if fcntl is None or kind == "simplecache" else _lock_processes(backend_of(cache), kind)
    if handle is None:
        yield
        return
    try:
        yield
    finally:
        # Closing is not enough where a child was forked meanwhile: it holds the file open too.
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _lock_processes(backend: Any, kind: str) -> int | None:
    if kind == "filesystemcache":
        # With this ending the cache neither counts nor prunes the file.
        path = Path(str(backend._path)) / f"oauth-accounts{backend._fs_transaction_suffix}"
        return _lock_file(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    try:
        return _lock_file(Path(__file__), os.O_RDONLY)
    except OSError:
        # In an archive, or on a network file system: there the lock covers the threads of one process.
        return None


def _lock_file(path: Path, flags: int) -> int:
    handle = os.open(path, flags, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        os.close(handle)
        raise
    return handle
