"""The provider's keys: rotation, storms, dirt and outages."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from flask_oauth_accounts.clients.jwks import MAX_KEYS, parse_keys
from flask_oauth_accounts.clients.oidc import KeySource
from flask_oauth_accounts.clients.transport import Transport
from flask_oauth_accounts.errors import ConfigurationError, ProviderResponseError, ProviderUnavailable

OLD = RSAKey.generate_key(2048, {"kid": "old"})
NEW = RSAKey.generate_key(2048, {"kid": "new"})


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def source(web: Any, transport: Transport, clock: Clock) -> KeySource:
    """The keys at ``/jwks`` of the web server."""
    return KeySource(transport, provider="acme", uri=lambda: f"{web.url}/jwks", clock=clock)


def jwks(*keys: Any) -> dict[str, Any]:
    """A key set."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


def kids(source: KeySource, kid: str | None, alg: str = "RS256") -> list[str | None]:
    """The ids of the keys that fit."""
    return [key.kid for key in source.keys_for({"alg": alg, "kid": kid} if kid else {"alg": alg})]


def test_keys_are_kept(web: Any, answer: Any, source: KeySource, clock: Clock) -> None:
    """A request for the keys at each login would be slow, and would fail with the provider's."""
    web.routes["/jwks"] = answer(jwks(OLD))
    for _ in range(5):
        assert kids(source, "old") == ["old"]
    assert source.fetch() == jwks(OLD)
    assert len(web.seen) == 1
    clock.now += 3601
    assert kids(source, "old") == ["old"]
    assert len(web.seen) == 2


def test_c09_rotation_needs_no_restart(web: Any, answer: Any, source: KeySource) -> None:
    """Providers change keys when they like; logins go on."""
    web.routes["/jwks"] = answer(jwks(OLD))
    assert kids(source, "old") == ["old"]
    web.routes["/jwks"] = answer(jwks(NEW))
    assert kids(source, "new") == ["new"]
    assert kids(source, "old") == []


def test_c08_c10_unknown_kids_cause_no_storm(web: Any, answer: Any, source: KeySource, clock: Clock) -> None:
    """Tokens with made-up key ids must not turn this server against the provider, nor block real users."""
    web.routes["/jwks"] = answer(jwks(OLD))
    for number in range(50):
        assert kids(source, f"made-up-{number}") == []
        assert kids(source, "old") == ["old"]
    assert len(web.seen) == 2
    clock.now += 31
    for number in range(50):
        assert kids(source, f"made-up-{number}") == []
    assert len(web.seen) <= 4


def test_c13_known_keys_survive_an_outage(web: Any, answer: Any, source: KeySource, clock: Clock) -> None:
    """Keys that were good an hour ago are better than no logins."""
    web.routes["/jwks"] = answer(jwks(OLD))
    assert kids(source, "old") == ["old"]
    web.routes["/jwks"] = answer(b"", 503)
    clock.now += 7200
    for _ in range(10):
        assert kids(source, "old") == ["old"]
    assert len(web.seen) == 2
    web.routes["/jwks"] = answer(jwks(OLD, NEW))
    clock.now += 6
    assert kids(source, "new") == ["new"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"<html>", 200, ProviderResponseError),
        (b"[]", 200, ProviderResponseError),
        (b'{"keys": {}}', 200, ProviderResponseError),
        (b"{}", 200, ProviderResponseError),
        (b"{}", 404, ProviderResponseError),
        (b"", 302, ProviderResponseError),
        (b"", 500, ProviderUnavailable),
        (b"", 429, ProviderUnavailable),
    ],
)
def test_c13_a_failure_is_not_kept(
    web: Any, answer: Any, source: KeySource, body: bytes, status: int, error: type[Exception]
) -> None:
    """One bad answer must not lock everybody out for an hour."""
    web.routes["/jwks"] = answer(body, status)
    with pytest.raises(error):
        source.keys_for({"alg": "RS256", "kid": "old"})
    web.routes["/jwks"] = answer(jwks(OLD))
    assert kids(source, "old") == ["old"]


def test_force_asks_again(web: Any, answer: Any, source: KeySource) -> None:
    """The operator who knows better can have the keys fetched."""
    web.routes["/jwks"] = answer(jwks(OLD))
    source.fetch()
    web.routes["/jwks"] = answer(jwks(NEW))
    assert source.fetch() == jwks(OLD)
    assert source.fetch(force=True) == jwks(NEW)


def test_a_fixed_key_set_is_never_fetched(web: Any, transport: Transport) -> None:
    """Who configures jwks wants no request."""
    source = KeySource(transport, provider="acme", uri=lambda: f"{web.url}/jwks", jwks=jwks(OLD))
    assert kids(source, "old") == ["old"]
    assert kids(source, "new") == []
    assert source.fetch(force=True) == jwks(OLD)
    assert web.seen == []


def test_nothing_says_where_the_keys_are(transport: Transport) -> None:
    """The sentence names the two ways to mend it."""
    with pytest.raises(ConfigurationError, match="jwks_uri or server_metadata_url"):
        KeySource(transport, provider="acme", uri=lambda: None).fetch()


def test_many_threads_cause_one_request(web: Any, answer: Any, source: KeySource) -> None:
    """After a restart all workers' threads need the keys at once."""
    gate = threading.Event()

    def slow(seen: Any) -> Any:
        gate.wait(20)
        return answer(jwks(OLD))

    web.routes["/jwks"] = slow
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(kids(source, "old"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(20)
    assert found == [["old"]] * 8
    # A thread that comes after the answer uses what is kept, so no more than one is ever needed.
    assert len(web.seen) == 1


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_c12_a_small_rsa_key_is_left_out() -> None:
    """A key of 1024 bits can be broken; joserfc only warns of it."""
    small = RSAKey.generate_key(1024, {"kid": "small"})
    assert parse_keys(jwks(small)) == ()


def test_c12_dirt_is_left_out() -> None:
    """One bad entry, or one that is not for signatures, must neither count nor spoil the rest."""
    good = OLD.as_dict(private=False)
    with pytest.warns(match="."):
        small = RSAKey.generate_key(1024, {"kid": "small"}).as_dict(private=False)
    dirt: list[Any] = [
        None,
        7,
        "key",
        [],
        {},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        {"kty": "XYZ", "kid": "x"},
        {**good, "use": "enc"},
        {**good, "use": ["sig"]},
        {**good, "key_ops": ["encrypt"]},
        {**good, "key_ops": "verify"},
        {**good, "kid": 7},
        {**good, "alg": ["RS256"]},
        {**good, "n": "!!!"},
        {**good, "n": None},
        {**good, "n": "A" * 10},
        {**good, "e": "AA"},
        small,
        OctKey.generate_key(256, {"kid": "oct"}).as_dict(private=True),
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    ]
    assert [key.kid for key in parse_keys({"keys": [*dirt, good]})] == ["old"]
    assert parse_keys({"keys": None}) == parse_keys({}) == ()
    assert len(parse_keys({"keys": [good] * (MAX_KEYS + 5)})) == MAX_KEYS


def test_keys_of_another_algorithm_do_not_fit(web: Any, answer: Any, source: KeySource) -> None:
    """A key says what it is for, and is used for nothing else."""
    ec = ECKey.generate_key("P-256", {"kid": "ec"})
    bound = {**NEW.as_dict(private=False), "alg": "RS512"}
    web.routes["/jwks"] = answer({"keys": [OLD.as_dict(private=False), bound, ec.as_dict(private=False)]})
    assert kids(source, None, "RS256") == ["old"]
    assert kids(source, None, "RS512") == ["old", "new"]
    assert kids(source, None, "ES256") == ["ec"]
    assert kids(source, None, "HS256") == []
    assert kids(source, None, "none") == []


def test_a_published_private_key_is_read_as_a_public_one() -> None:
    """A provider's blunder must not end up in this server's memory as a key that signs."""
    (key,) = parse_keys({"keys": [OLD.as_dict(private=True)]})
    assert not key.key.is_private
    assert "key=" not in repr(key)
