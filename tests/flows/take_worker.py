"""One of several processes that try to take the same pending logins; run by its path.

It reads one line of JSON – which cache, and the keys – says ``ready``, waits for a second line, and prints the keys
that it got. Two threads share them, so that threads and processes race at once.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from flask_oauth_accounts.remote_app.flow_stores import CacheFlowStore
from flask_oauth_accounts.vault.keys import KeyRing

THREADS = 2


def create_cache(kind: str, place: str) -> Any:
    """The cache of that kind; the parent process makes its own by the same names."""
    if kind == "redis-cachelib":
        from cachelib import RedisCache

        host, _, rest = place.removeprefix("redis://").partition(":")
        port, _, number = rest.partition("/")
        return RedisCache(host, int(port), db=int(number))
    if kind in ("redis-client", "redis-wrapped"):
        import redis

        client = redis.Redis.from_url(place)
        return client if kind == "redis-client" else QuietCache(client)
    if kind == "memcached-cachelib":
        from cachelib import MemcachedCache

        return MemcachedCache([place])
    if kind == "memcached-client":
        import memcache

        return memcache.Client([place])
    if kind == "files":
        from cachelib import FileSystemCache

        return FileSystemCache(place, threshold=100_000)
    return GetSetCache(place)


class GetSetCache:
    """Nothing but ``get`` and ``set``, in a folder: what somebody may have written in an afternoon."""

    def __init__(self, folder: str) -> None:
        from cachelib import FileSystemCache

        self._files = FileSystemCache(folder, threshold=100_000)

    def get(self, key: str) -> Any:
        return self._files.get(key)

    def set(self, key: str, value: str, expires: int | None = None) -> None:
        self._files.set(key, value, expires)


class QuietCache:
    """What somebody may have written around a client: its ``delete`` says nothing."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def get(self, key: str) -> Any:
        return self.cache.get(key)

    def set(self, key: str, value: str, expires: int | None = None) -> None:
        self.cache.set(key, value, expires)

    def delete(self, key: str) -> None:
        self.cache.delete(key)


def main() -> None:
    task = json.loads(sys.stdin.readline())
    caches = [create_cache(task["kind"], task["place"]) for _ in range(THREADS)]
    keys = KeyRing.from_configuration(None, "secret", ())
    together = threading.Barrier(THREADS)
    taken: list[str] = []

    def work(cache: Any) -> None:
        store = CacheFlowStore(cache, keys)
        for key in task["keys"]:
            together.wait()
            if store.take(key) is not None:
                taken.append(key)

    threads = [threading.Thread(target=work, args=(cache,)) for cache in caches]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main()
