"""Connections that are kept alive, look whom they speak to, and obey the exchange's deadline."""

from __future__ import annotations

import functools
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter, SOCKSProxyManager
from requests.utils import get_auth_from_url, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.ssl_ import create_urllib3_context

from ..errors import ConfigurationError, ProviderResponseError, UntrustedHostError
from .deadline import Exchange, TimedResponse, current_exchange
from .faults import find_cause, translate_fault
from .origins import is_public_address, origin_of, place_of

# Load balancers drop idle connections after 60 s as a rule; we let go first.
IDLE_SECONDS = 55.0
_PIECE = 65536
_MAX_POOLS = 64
_POOL_SIZE = 32
_ENCODINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})

#: Raises if the server may not connect to these addresses of that host; gives those that are left.
Screen = Callable[[str, list[Any]], list[Any]]


class _Guarded:
    """What plain and TLS connections have in common."""

    response_class = TimedResponse
    sock: Any
    timeout: Any
    host: str
    port: int
    _dns_host: str
    screen: Screen | None = None
    last_used = 0.0

    def _new_conn(self) -> socket.socket:
        exchange = current_exchange()
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, 0, socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        if self.screen is not None:
            found = self.screen(self.host, found)
        last: OSError = OSError("the name has no address")
        for family, kind, proto, _, address in found:
            sock = socket.socket(family, kind, proto)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(exchange.clip(self.timeout) if exchange else self.timeout)
                sock.connect(address)
            except OSError as error:
                sock.close()
                last = error
                continue
            sys.audit("http.client.connect", self, self.host, self.port)
            return sock
        if isinstance(last, TimeoutError):
            raise ConnectTimeoutError(self, "connecting took too long") from last
        raise NewConnectionError(self, "no connection") from last  # type: ignore[arg-type]

    @property
    def is_connected(self) -> bool:
        idle = self.last_used and time.monotonic() - self.last_used > IDLE_SECONDS
        return not idle and bool(super().is_connected)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        # urllib3 leaves the connect timeout on the socket while it sends, too short for an upload.
        exchange = current_exchange()
        if exchange is None or self.sock is None:
            super().send(data)  # type: ignore[misc]
            return
        view = memoryview(data) if isinstance(data, (bytes, bytearray)) and len(data) > _PIECE else None
        for piece in [data] if view is None else [view[at : at + _PIECE] for at in range(0, len(view), _PIECE)]:
            self.sock.settimeout(exchange.clip(exchange.timeout[1]))
            super().send(piece)  # type: ignore[misc]

    def getresponse(self) -> Any:
        self.last_used = time.monotonic()
        exchange = current_exchange()
        if exchange is not None:
            exchange.stage = "waiting"
        return super().getresponse()  # type: ignore[misc]


class _PlainConnection(_Guarded, HTTPConnection):  # type: ignore[misc]
    def __init__(self, *args: Any, screen: Screen | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.screen = screen


class _TlsConnection(_Guarded, HTTPSConnection):  # type: ignore[misc]
    def __init__(self, *args: Any, screen: Screen | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.screen = screen


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOL_CLASSES = {"http": _PlainPool, "https": _TlsPool}


class PooledAdapter(HTTPAdapter):
    """The one adapter of a transport: shared by all its sessions, with a set of pools for each process.

    :param provider: the client's name, for errors.
    :param screen: says which addresses of a host may be connected to.
    :param check_url: raises for a URL that may not be asked.
    :param create_exchange: the budget of a request that comes without one.
    """

    def __init__(
        self,
        *,
        provider: str,
        screen: Screen,
        check_url: Callable[[str], None],
        create_exchange: Callable[[], Exchange],
    ) -> None:
        super().__init__()
        self._provider = provider
        self._screen = screen
        self._check_url = check_url
        self._create_exchange = create_exchange
        # Keyed by process id first: a forked worker never touches a socket or a lock of its parent.
        self._pools: dict[tuple[Any, ...], HTTPConnectionPool] = {}

    def close(self) -> None:
        """Do nothing: a session that is thrown away leaves the shared pool alone."""

    def shutdown(self) -> None:
        """Close the idle connections of this process."""
        for key in [key for key in self._pools if key[0] == os.getpid()]:
            self._pools.pop(key).close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: certificates are settled when a pool is made."""

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        url, exchange = str(request.url), current_exchange()
        parts = urlsplit(url)
        proxy = select_proxy(url, proxies) if proxies else None
        cert = tuple(cert) if isinstance(cert, list) else cert
        named = exchange is not None and exchange.named_origin == origin_of(url) is not None
        key = (os.getpid(), parts.scheme, parts.netloc.rpartition("@")[2], verify, cert, proxy, named)
        pool = self._pools.get(key)
        if pool is None:
            while len(self._pools) >= _MAX_POOLS:
                self._pools.pop(next(iter(self._pools)), None)
            screen = None if named else self._screen
            pool = self._pools.setdefault(key, self._create_pool(parts, verify, cert, proxy, screen))
        return pool

    def _create_pool(
        self, parts: Any, verify: Any, cert: Any, proxy: str | None, screen: Screen | None
    ) -> HTTPConnectionPool:
        options: dict[str, Any] = {}
        if parts.scheme == "https":
            options["ssl_context"] = _tls_context(os.getpid(), verify, cert)
        host = parts.hostname or ""
        if proxy:
            manager = _create_proxy_manager(proxy)
            pool: HTTPConnectionPool = manager.connection_from_host(host, parts.port, parts.scheme, pool_kwargs=options)
            return pool
        pool_class: Any = _POOL_CLASSES[parts.scheme]
        created: HTTPConnectionPool = pool_class(host, parts.port, maxsize=_POOL_SIZE, screen=screen, **options)
        return created

    def send(  # noqa: PLR0917
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        exchange = current_exchange()
        if exchange is None:
            with self._create_exchange():
                return self.send(request, stream, timeout, verify, cert, proxies)
        url = str(request.url)
        exchange.url = url
        self._check_url(url)
        if timeout is not None:
            exchange.timeout = as_pair(timeout)
        exchange.stage = "sending"
        body, request.body = request.body, _watch_body(request.body, exchange)
        response = super().send(request, True, exchange.timeout, verify, cert, proxies)
        request.body = body
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            response.close()
            raise ProviderResponseError(
                description=f"the answer of {place_of(url)} has the content encoding {encoding!r}",
                provider=self._provider,
            )
        if stream and not response.is_redirect:
            self._release_to_caller(response, exchange)
        else:
            self._read_body(response, exchange)
        exchange.stage = "preparing"
        return response

    def _read_body(self, response: requests.Response, exchange: Exchange) -> None:
        exchange.stage = "reading"
        limit = exchange.max_bytes
        pieces, size = [], 0
        try:
            for piece in response.raw.stream(_PIECE, decode_content=True):
                size += len(piece)
                if limit is not None and size > limit:
                    raise ProviderResponseError(
                        description=f"the answer of {place_of(exchange.url)} is larger than {limit} bytes",
                        provider=self._provider,
                    )
                pieces.append(piece)
        except BaseException:
            response.close()
            raise
        response._content = b"".join(pieces)
        response._content_consumed = True  # type: ignore[attr-defined]

    def _release_to_caller(self, response: requests.Response, exchange: Exchange) -> None:
        """The caller reads the body: from here on neither deadline nor limit, but still our own errors."""
        exchange.expires = None
        provider, url, read = self._provider, exchange.url, response.iter_content

        def iter_content(chunk_size: int | None = 1, decode_unicode: bool = False) -> Any:
            try:
                yield from read(chunk_size, decode_unicode)
            except Exception as fault:
                error = translate_fault(fault, provider=provider, stage="reading", url=url)
                if error is None:
                    raise
                raise error from find_cause(fault)

        response.iter_content = iter_content  # type: ignore[method-assign]


def _watch_body(body: Any, exchange: Exchange) -> Any:
    """Note what a file or an iterator raises while it is sent: to requests that looks like a failing connection."""
    if body is None or isinstance(body, (str, bytes, bytearray, memoryview)):
        return body

    def pieces() -> Iterator[Any]:
        try:
            if not hasattr(body, "read"):
                yield from body
            else:
                while piece := body.read(_PIECE):
                    yield piece
        except Exception as fault:
            exchange.body_fault = fault
            raise

    return pieces()


def as_pair(timeout: Any) -> tuple[float, float]:
    """:return: the pair of connect and read seconds that requests understands by ``timeout``."""
    if isinstance(timeout, (tuple, list)):
        connect, read = timeout
        return connect, read
    return timeout, timeout


def screen_addresses(provider: str, host: str, found: list[Any]) -> list[Any]:
    """Keep the addresses of the public internet.

    :param found: what ``getaddrinfo`` gave.
    :raises UntrustedHostError: if none is left.
    """
    public = [entry for entry in found if is_public_address(str(entry[4][0]))]
    if not public:
        raise UntrustedHostError(
            description=f"{host} is at a private address, and no configured endpoint names it",
            provider=provider,
        )
    return public


def _create_proxy_manager(proxy: str) -> Any:
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    user, password = get_auth_from_url(proxy)
    if proxy.lower().startswith("socks"):
        return SOCKSProxyManager(proxy, username=user, password=password, maxsize=_POOL_SIZE)
    headers = urllib3.make_headers(proxy_basic_auth=f"{user}:{password}") if user else {}
    manager = urllib3.proxy_from_url(proxy, proxy_headers=headers, maxsize=_POOL_SIZE)
    manager.pool_classes_by_scheme = _POOL_CLASSES
    return manager


@functools.lru_cache(maxsize=32)
def _tls_context(pid: int, verify: Any, cert: Any) -> ssl.SSLContext:
    """One TLS context for all transports of a process: reading the certificate authorities takes long."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE if verify is False else ssl.CERT_REQUIRED)
    try:
        if verify is not False:
            where = os.fspath(DEFAULT_CA_BUNDLE_PATH if verify is True else verify)
            is_folder = os.path.isdir(where)  # noqa: PTH112
            context.load_verify_locations(None if is_folder else where, where if is_folder else None)
        if cert:
            context.load_cert_chain(*((cert, None) if isinstance(cert, str) else cert))
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            "the certificates named by 'verify' or 'cert' cannot be read; give the path of a PEM file"
        ) from error
    return context
