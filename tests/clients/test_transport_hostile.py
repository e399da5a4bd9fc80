"""The transport among enemies: slow, huge, broken and lying servers."""

from __future__ import annotations

import gzip
import socket
import struct
import zlib
from typing import Any

import pytest
import requests
from urllib3.exceptions import ProtocolError

from flask_oauth_accounts.clients.faults import Stage, translate_fault
from flask_oauth_accounts.clients.transport import Transport
from flask_oauth_accounts.errors import OAuthError, ProviderResponseError, ProviderUnavailable

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _slow(create_transport: Any) -> Transport:
    made: Transport = create_transport(timeout=(2.0, 2.0), total_timeout=0.3)
    return made


def test_g15_a_server_that_says_nothing(raw: Any, create_transport: Any) -> None:
    """A hanging provider must not hold the visitor's request for ever."""
    raw.script = lambda connection: raw.stop.wait(30)
    transport = create_transport(timeout=(2.0, 0.2), total_timeout=5.0)
    with pytest.raises(ProviderUnavailable, match="in time") as caught:
        transport.fetch("GET", f"{raw.url}/token?code=secret")
    assert caught.value.status == 504
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + b"Content-Length: 10000\r\n\r\n" + b"x" * 10000,
        b"HTTP/1.1 200 OK\r\nX-Endless: " + b"x" * 10000,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10000,
        HEAD + b"Connection: close\r\n\r\n" + b"x" * 10000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10000,
    ],
    ids=["body", "headers", "chunks", "until-close", "continue"],
)
def test_g16_a_server_that_drips(raw: Any, create_transport: Any, text: bytes) -> None:
    """One byte now and then never trips a socket's own timeout; a few such answers would occupy every worker."""
    raw.script = lambda connection: raw.drip(connection, text)
    transport = _slow(create_transport)
    with pytest.raises(ProviderUnavailable, match="in time") as caught:
        transport.fetch("GET", f"{raw.url}/token")
    assert caught.value.status == 504
    with pytest.raises(ProviderUnavailable):
        transport.send_api(transport.create_session(), "GET", f"{raw.url}/me")


def test_g16_a_prepared_session_used_directly_has_the_deadline_too(raw: Any, create_transport: Any) -> None:
    """requests-oauthlib calls the session itself, and must not be the way around the limits."""
    raw.script = lambda connection: raw.drip(connection, HEAD + b"Content-Length: 10000\r\n\r\n" + b"x" * 10000)
    with pytest.raises(ProviderUnavailable):
        _slow(create_transport).create_session().get(f"{raw.url}/token")


def test_a_tls_handshake_that_never_ends(raw: Any, create_transport: Any) -> None:
    """The wait for TLS counts as well."""
    raw.script = lambda connection: raw.stop.wait(30)
    transport = create_transport(timeout=(0.2, 5.0), operator_hosts=["127.0.0.1"])
    with pytest.raises(ProviderUnavailable) as caught:
        transport.fetch("GET", f"https://127.0.0.1:{raw.port}/")
    assert caught.value.status == 504


def test_the_transport_works_again_after_a_timeout(raw: Any, web: Any, answer: Any, create_transport: Any) -> None:
    """One bad answer must not poison the thread or the pool."""
    raw.script = lambda connection: raw.drip(connection, HEAD)
    web.routes["/me"] = answer({"id": 1})
    transport = _slow(create_transport)
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            transport.fetch("GET", raw.url)
        assert transport.fetch("GET", f"{web.url}/me").json() == {"id": 1}


def test_g18_a_gzip_bomb(web: Any, answer: Any, transport: Transport) -> None:
    """A few kilobytes on the wire must not become hundreds of megabytes in memory."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    web.routes["/jwks"] = answer(bomb, headers={"Content-Encoding": "gzip"})
    with pytest.raises(ProviderResponseError, match="larger than 1048576 bytes"):
        transport.fetch("GET", f"{web.url}/jwks")


def test_a_body_of_exactly_the_limit_passes(web: Any, answer: Any, transport: Transport) -> None:
    """The limit is what may come, not what may not."""
    web.routes["/a"] = answer(gzip.compress(b"x" * 1000), headers={"Content-Encoding": "gzip"})
    assert len(transport.fetch("GET", f"{web.url}/a", max_bytes=1000).content) == 1000
    with pytest.raises(ProviderResponseError):
        transport.fetch("GET", f"{web.url}/a", max_bytes=999)


def test_deflate_is_understood(web: Any, answer: Any, transport: Transport) -> None:
    """It is asked for, so it has to be read."""
    web.routes["/a"] = answer(zlib.compress(b'{"a": 1}'), headers={"Content-Encoding": "deflate"})
    assert transport.fetch("GET", f"{web.url}/a").json() == {"a": 1}
    assert web.seen[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "deflate, gzip", "rot13"])
def test_g18_other_and_chained_encodings_are_refused(
    web: Any, answer: Any, transport: Transport, encoding: str
) -> None:
    """Chained encodings multiply a bomb; others were never asked for."""
    web.routes["/a"] = answer(b"x", headers={"Content-Encoding": encoding})
    with pytest.raises(ProviderResponseError, match="content encoding"):
        transport.fetch("GET", f"{web.url}/a")
    session = transport.create_session()
    with pytest.raises(ProviderResponseError, match="content encoding"):
        transport.send_api(session, "GET", f"{web.url}/a", stream=True)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _say(text: bytes, *, reset: bool = False) -> Any:
    def script(connection: socket.socket) -> None:
        connection.sendall(text)
        if reset:
            _reset(connection)

    return script


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (_say(HEAD + b"Content-Length: 100\r\n\r\nshort"), ProviderResponseError),
        (_say(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort"), ProviderResponseError),
        (_say(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nshort"), ProviderResponseError),
        (_say(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"), ProviderResponseError),
        (_say(b"SSH-2.0-OpenSSH_9.6\r\n"), ProviderResponseError),
        (_say(b"HTTP/1.1 abc OK\r\n\r\n"), ProviderResponseError),
        (_say(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"), ProviderResponseError),
        (_say(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70000 + b"\r\n\r\n"), ProviderResponseError),
        (_say(b""), ProviderUnavailable),
        (_reset, ProviderUnavailable),
    ],
    ids=[
        "short", "chunk-cut", "chunk-size", "not-gzip", "not-http", "bad-status", "many-headers", "long-header",
        "closed", "reset",
    ],
)  # fmt: skip
def test_g20_broken_transfers(raw: Any, transport: Transport, script: Any, kind: type[OAuthError]) -> None:
    """Half an answer is no answer, and none of it may be a traceback in the visitor's face."""
    raw.script = script
    with pytest.raises(kind) as caught:
        transport.fetch("GET", f"{raw.url}/token?code=secret", headers={"Authorization": "Bearer secret"})
    assert caught.value.provider == "acme"
    assert "127.0.0.1/token" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_stream_that_breaks_raises_our_error(raw: Any, transport: Transport) -> None:
    """Reading a download that is cut off must not need to know about urllib3."""
    raw.script = _say(HEAD + b"Content-Length: 100\r\n\r\nshort")
    reply = transport.send_api(transport.create_session(), "GET", f"{raw.url}/file", stream=True)
    with pytest.raises(ProviderResponseError, match="cut off"):
        list(reply.iter_content(10))
    reply.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "token",
        "https://",
        "ftp://api.example.com/",
        "https://[::",
        "https://a:99999/",
        "https://exa mple/",
        "https://.\x00/",
    ],
)
def test_bad_addresses(transport: Transport, url: str) -> None:
    """A typing error in an endpoint is told as one."""
    with pytest.raises(ProviderResponseError):
        transport.fetch("GET", url)


def test_g20_a_reset_counts_by_when_it_comes() -> None:
    """Half an answer is a fault of the answer; none at all is a provider that is down."""
    stages: list[tuple[Stage, type[OAuthError]]] = [
        ("reading", ProviderResponseError), ("waiting", ProviderUnavailable), ("sending", ProviderUnavailable)
    ]  # fmt: skip
    for stage, kind in stages:
        fault = requests.ConnectionError(ProtocolError("aborted", ConnectionResetError(104, "reset")))
        assert isinstance(translate_fault(fault, provider="acme", stage=stage), kind)


def test_nobody_listens(transport: Transport) -> None:
    """A provider that is down is unavailable, which the visitor's page says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProviderUnavailable, match="cannot be reached") as caught:
        transport.fetch("GET", f"http://127.0.0.1:{port}/x?code=secret")
    assert caught.value.status == 502
    assert caught.value.__suppress_context__


def test_an_application_error_is_not_dressed_up(transport: Transport) -> None:
    """A wrong keyword in the application's call stays a TypeError."""
    with pytest.raises(TypeError):
        transport.send_api(transport.create_session(), "GET", "https://a.example/", nonsense=1)
