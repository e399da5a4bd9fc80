"""Pending logins in every kind of cache: taken once, sealed, named by hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flask_oauth_accounts.errors import StorageUnavailable
from flask_oauth_accounts.flow import PendingFlow, hash_key
from flask_oauth_accounts.remote_app.caches import exclusive
from flask_oauth_accounts.remote_app.flow_stores import CacheFlowStore
from flask_oauth_accounts.vault.keys import KeyRing

WORKER = Path(__file__).with_name("take_worker.py")
KEYS = KeyRing.from_configuration(None, "secret", ())
REDIS = ["redis-cachelib", "redis-client", "redis-wrapped"]
ALL = ["simple", "get-set", "files", *REDIS, "memcached-cachelib", "memcached-client"]
SHARED = [kind for kind in ALL if kind not in ("simple", "get-set")]
EVERY_CACHE = pytest.mark.parametrize("kind", ALL)


def create_flow(state: str, browser: str = "browser", **values: Any) -> PendingFlow:
    return PendingFlow(
        name="dev",
        key=hash_key("dev", state)[:32],
        browser=hash_key(browser)[:32],
        expires_at=values.pop("expires_at", 4_000_000_000.0),
        **values,
    )


class Recorder:
    """Passes on to a cache, and notes what is written."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.written: list[tuple[str, Any, int]] = []

    def get(self, key: str) -> Any:
        return self.cache.get(key)

    def set(self, key: str, value: Any, seconds: int) -> Any:
        self.written.append((key, value, seconds))
        return self.cache.set(key, value, seconds)


@EVERY_CACHE
def test_a_flow_comes_back_as_it_was_saved_and_only_once(kind: str, make_cache: Callable[[str], Any]) -> None:
    """A login could not be finished, or be finished twice."""
    store = CacheFlowStore(make_cache(kind), KEYS)
    flow = create_flow("s", code_verifier="v", nonce="n", next_url="/é", request_token={"oauth_token": "t"})
    store.save(flow)
    assert store.take(create_flow("another").key) is None
    assert store.take(flow.key) == flow
    assert store.take(flow.key) is None


@pytest.mark.parametrize("kind", [*ALL, "redis-silent"])
def test_a05_one_of_many_threads_takes_it(
    kind: str, make_cache: Callable[[str], Any], run_at_once: Callable[..., list[Any]]
) -> None:
    """A code would be exchanged twice, and providers then revoke everything that came of it."""
    cache = make_cache(kind)
    store = CacheFlowStore(cache, KEYS, max_pending=1000)
    flows = [create_flow(f"state {number}", f"browser {number}") for number in range(25)]
    for flow in flows:
        store.save(flow)
    together = threading.Barrier(8)

    def take_all() -> list[str]:
        taken = []
        for flow in flows:
            together.wait()
            if store.take(flow.key) is not None:
                taken.append(flow.key)
        return taken

    taken = [key for keys in run_at_once(*[take_all] * 8, cache=cache) for key in keys]
    assert sorted(taken) == sorted(flow.key for flow in flows)


@pytest.mark.parametrize("kind", [*SHARED, "get-set-files"])
def test_a05_one_of_many_processes_takes_it(
    kind: str, make_cache: Callable[[str], Any], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With several workers, a double click would exchange one code twice."""
    if kind.startswith("redis"):
        place = request.getfixturevalue("redis_url")
    elif kind.startswith("memcached"):
        place = request.getfixturevalue("memcached")
    else:
        place = str(tmp_path / "cache")
    store = CacheFlowStore(make_cache("files" if kind == "get-set-files" else kind), KEYS, max_pending=1000)
    flows = [create_flow(f"state {number}", f"browser {number}") for number in range(40)]
    for flow in flows:
        store.save(flow)
    task = json.dumps({"kind": kind, "place": place, "keys": [flow.key for flow in flows]})
    command = [sys.executable, str(WORKER)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(task + "\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    taken = [key for worker in workers for key in json.loads(worker.communicate(timeout=60)[0])]
    assert sorted(taken) == sorted(flow.key for flow in flows)


@EVERY_CACHE
def test_entries_are_short_sealed_strings_under_hashed_names(kind: str, make_cache: Callable[[str], Any]) -> None:
    """Whoever reads the cache could finish other people's logins."""
    cache = Recorder(make_cache(kind))
    store = CacheFlowStore(cache, KEYS)
    flow = create_flow(
        "the-state",
        code_verifier="the-verifier",
        nonce="the-nonce",
        next_url="/private",
        request_token={"oauth_token": "the-token", "oauth_token_secret": "the-secret"},
        user_id="42",
    )
    store.save(flow)
    store.save_form({"code": "the-code", "state": "the-state"})
    assert store.take(flow.key) == flow
    assert cache.written
    for key, value, seconds in cache.written:
        assert key.replace("-", "").replace("_", "").isalnum()
        assert len(key) <= 64
        assert isinstance(value, str)
        assert len(value) <= 1024
        assert value == "" or value.startswith("v1."), f"{key} is not sealed"
        assert isinstance(seconds, int)
        assert not any(text in key + value for text in ("the-", "private"))


@EVERY_CACHE
def test_an_entry_that_was_moved_or_changed_does_not_open(kind: str, make_cache: Callable[[str], Any]) -> None:
    """Whoever writes to the cache could have a login finish with data of their choice."""
    cache = make_cache(kind)
    store = CacheFlowStore(cache, KEYS)
    one, other = create_flow("one"), create_flow("other")
    store.save(one)
    name = f"oauth_accounts-flow-{one.key}"
    value = cache.get(name)
    cache.set(f"oauth_accounts-flow-{other.key}", value, 60)
    assert store.take(other.key) is None
    cache.set(name, (value.decode() if isinstance(value, bytes) else value)[:-2] + "AA", 60)
    assert store.take(one.key) is None
    store.save(one)
    assert CacheFlowStore(cache, KeyRing.from_configuration(None, "rotated", ())).take(one.key) is None


@EVERY_CACHE
def test_o19_one_browser_has_only_so_many_pending(kind: str, make_cache: Callable[[str], Any]) -> None:
    """Somebody could fill the cache, and push out the logins of others."""
    store = CacheFlowStore(make_cache(kind), KEYS, max_pending=3)
    other = create_flow("other", "other browser")
    store.save(other)
    flows = [create_flow(f"state {number}") for number in range(8)]
    for flow in flows:
        store.save(flow)
    assert [store.take(flow.key) for flow in flows] == [None] * 5 + flows[5:]
    assert store.take(other.key) == other


@EVERY_CACHE
def test_a_finished_login_does_not_count_as_pending(kind: str, make_cache: Callable[[str], Any]) -> None:
    """Logins in other tabs would push out one that is still open."""
    store = CacheFlowStore(make_cache(kind), KEYS, max_pending=3)
    first = create_flow("first")
    store.save(first)
    for number in range(10):
        store.save(create_flow(f"state {number}"))
        assert store.take(create_flow(f"state {number}").key) is not None
    assert store.take(first.key) == first


@EVERY_CACHE
def test_a_form_is_handed_over_once(kind: str, make_cache: Callable[[str], Any]) -> None:
    """A login by ``form_post`` would not arrive, or arrive twice."""
    store = CacheFlowStore(make_cache(kind), KEYS)
    handle = store.save_form({"code": "c", "state": "s", "user": "ü", "id_token": "never used"})
    assert store.take_form("another") is None
    assert store.take_form(handle) == {"code": "c", "state": "s", "user": "ü"}
    assert store.take_form(handle) is None


@pytest.mark.parametrize("lifetime", [60, 600, 3600])
def test_k12_entries_live_as_long_as_logins(lifetime: int) -> None:
    """Secrets of logins that nobody finishes would pile up in the cache."""
    cache = Recorder(type("Cache", (), {"get": lambda *_: None, "set": lambda *_: True})())
    CacheFlowStore(cache, KEYS, clock=lambda: 1000.0).save(create_flow("s", expires_at=1000.0 + lifetime))
    assert {seconds for _, _, seconds in cache.written} == {max(lifetime, 600)}


@pytest.mark.parametrize("answer", [False, 0])
def test_k11_a_cache_that_keeps_nothing_is_noticed(answer: Any) -> None:
    """The visitor would be sent to the provider, and nobody would know them when they come back."""
    cache = type("Cache", (), {"get": lambda *_: None, "set": lambda *_: answer})()
    with pytest.raises(StorageUnavailable):
        CacheFlowStore(cache, KEYS).save(create_flow("s"))


def test_k11_whatever_a_cache_raises_is_one_error() -> None:
    """A failing cache would be a page of the application's own server errors."""

    def fail(*args: Any) -> None:
        raise LookupError("secret-bearing text")

    cache = type("Cache", (), {"get": fail, "set": fail})()
    for action in (lambda store: store.save(create_flow("s")), lambda store: store.take("s")):
        with pytest.raises(StorageUnavailable) as caught:
            action(CacheFlowStore(cache, KEYS))
        assert "secret-bearing" not in str(caught.value)


class AddingCache(dict[str, Any]):
    """A dictionary made a cache, with an ``add`` of another kind."""

    def set(self, key: str, value: Any, expires: int | None = None) -> None:
        self[key] = value

    def delete(self, key: str) -> bool:
        return self.pop(key, None) is not None


class PairAddingCache(AddingCache):
    def add(self, key: str, value: Any) -> None:
        self.setdefault(key, value)


class CountingCache(AddingCache):
    def add(self, *amounts: Any) -> int:
        return len(amounts)


@pytest.mark.parametrize("cls", [PairAddingCache, CountingCache])
def test_a_method_that_only_has_the_name_is_left_alone(cls: type[AddingCache]) -> None:
    """With a cache of one's own, every login would end in an error."""
    store = CacheFlowStore(cls(), KEYS)
    flow = create_flow("s")
    store.save(flow)
    assert store.take(flow.key) == flow
    assert store.take(flow.key) is None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.parametrize("kind", ["files", "get-set"])
def test_d10_a_child_forked_during_a_take_does_not_keep_the_lock(kind: str, make_cache: Callable[[str], Any]) -> None:
    """One worker that was started at the wrong moment would stop the logins of all others for as long as it lives."""
    cache = make_cache(kind)
    store, flow = CacheFlowStore(cache, KEYS), create_flow("s")
    alive, life = os.pipe()
    with exclusive(cache):
        child = os.fork()
        if child == 0:
            os.close(life)
            os.read(alive, 1)
            os._exit(0)
    login = threading.Thread(target=store.save, args=(flow,), daemon=True)
    login.start()
    login.join(20)
    hangs = login.is_alive()
    os.close(life)
    os.close(alive)
    os.waitpid(child, 0)
    login.join()
    assert not hangs and store.take(flow.key) == flow


def test_files_of_the_cache_are_not_readable_as_text(make_cache: Callable[[str], Any], tmp_path: Path) -> None:
    """A backup of the cache folder would hold usable secrets; the lock file must not count as an entry."""
    cache = make_cache("files")
    store = CacheFlowStore(cache, KEYS)
    for number in range(5):
        store.save(create_flow(f"the-state {number}", code_verifier="the-verifier"))
    assert store.take(create_flow("the-state 0").key) is not None
    files = [path for path in (tmp_path / "cache").iterdir() if path.is_file()]
    assert not any(b"the-" in path.read_bytes() for path in files)
    assert cache._file_count == len(list(cache._list_dir())) == 5


def test_sealed_forms_of_the_session_store_expire() -> None:
    """Without a cache, a callback's address would stay usable for ever."""
    from flask_oauth_accounts.remote_app.flow_stores import SessionFlowStore

    now = [1000.0]
    store = SessionFlowStore({}, KEYS, clock=lambda: now[0])
    handle = store.save_form({"code": "the-code", "id_token": "never used"})
    assert "the-code" not in handle
    assert store.take_form(handle) == {"code": "the-code"}
    assert store.take_form(handle[:-4] + "AAAA") is None
    now[0] += 61
    assert store.take_form(handle) is None
