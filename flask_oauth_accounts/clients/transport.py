"""How a client speaks HTTP: one pool of connections, and nothing that a hostile answer could make it do.

A :class:`Transport` belongs to one client. Sessions are made fresh for each call, so no cookie, token or header of one
user can reach another; the connections below them are shared and kept alive. Whatever a session is asked to do, the
shared adapter sees to https, to the address that is connected to, to the time and to the size.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Collection, Mapping
from http.cookiejar import CookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.structures import CaseInsensitiveDict

from ..errors import ProviderResponseError, UntrustedHostError
from .answers import check_status, decode_json, parse_form_or_json
from .deadline import Exchange
from .origins import host_of, origin_of, place_of, same_origin
from .pool import PooledAdapter, as_pair, screen_addresses
from .redirects import bare_options, change_request, find_target, may_leave, without_token

__all__ = [
    "PooledSession",
    "Transport",
    "check_status",
    "decode_json",
    "origin_of",
    "parse_form_or_json",
    "same_origin",
    "user_agent",
]

PROTOCOL_BYTES = 1024 * 1024
MAX_REDIRECTS = 5
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class _NoCookies(CookiePolicy):
    """Stores nothing and sends nothing: a provider's cookie for one user must not reach the next."""

    netscape = rfc2965 = hide_cookie2 = False

    def set_ok(self, cookie: Any, request: Any) -> bool:
        return False

    def return_ok(self, cookie: Any, request: Any) -> bool:
        return False


_NO_COOKIES = _NoCookies()


@functools.cache
def user_agent() -> str:
    """:return: ``flask-oauth-accounts/<version>``."""
    try:
        return f"flask-oauth-accounts/{importlib.metadata.version('flask-oauth-accounts')}"
    except importlib.metadata.PackageNotFoundError:
        return "flask-oauth-accounts"


class PooledSession(requests.Session):
    """A session without adapters of its own, for those that :meth:`Transport.prepare` makes ready.

    Building requests' two adapters takes longer than everything else in a session. A class from requests-oauthlib
    gets the same by naming this one behind it: ``class Session(OAuth2Session, PooledSession)``.
    """

    def __init__(self) -> None:
        # The attributes of requests.Session.__init__, without its adapters.
        self.headers = CaseInsensitiveDict()
        self.auth = None
        self.proxies = {}
        self.hooks = {"response": []}
        self.params = {}
        self.stream = False
        self.verify = True
        self.cert = None
        self.max_redirects = MAX_REDIRECTS
        self.trust_env = False
        self.cookies = requests.cookies.RequestsCookieJar(policy=_NO_COOKIES)
        self.adapters: Any = {}

    def mount(self, prefix: Any, adapter: Any) -> None:
        """Register an adapter; the longest prefix that fits wins."""
        self.adapters[prefix] = adapter
        if len(self.adapters) > 1:
            self.adapters = dict(sorted(self.adapters.items(), key=lambda item: -len(item[0])))


def _never(host: str, port: int | None) -> bool:
    return False


def _no_redirect(response: requests.Response) -> None:
    """In place of ``Session.get_redirect_target``: redirects are this module's business."""


class Transport:
    """The HTTP of one client.

    :param provider: the client's name, for errors.
    :param timeout: the pair of connect and read seconds of a single wait.
    :param total_timeout: seconds for a whole exchange.
    :param max_bytes: greatest answer of an API call, in bytes after decompression.
    :param verify: ``True``, ``False`` or the path of a PEM file or folder with certificate authorities.
    :param proxies: as requests takes them; the environment's are not used.
    :param operator_hosts: host names that the operator has configured: they may be at private addresses. A port is
        ignored, and ``*.example.com`` stands for all hosts below it.
    :param allow_http: says of a host and port whether plain http will do, and of a host alone whether a private
        address will.
    """

    def __init__(
        self,
        *,
        provider: str,
        timeout: tuple[float, float] = (3.05, 10.0),
        total_timeout: float = 20.0,
        max_bytes: int = 32 * 1024 * 1024,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        operator_hosts: Collection[str] = (),
        allow_http: Callable[[str, int | None], bool] = _never,
    ) -> None:
        self.provider = provider
        self.timeout = timeout
        self.total_timeout = total_timeout
        self.max_bytes = max_bytes
        self.verify = verify
        self.proxies = dict(proxies or {})
        self.operator_hosts = frozenset(_read_host(host) for host in operator_hosts)
        self.allow_http = allow_http
        self._adapter = PooledAdapter(
            provider=provider, screen=self._screen, check_url=self.check_url, create_exchange=self.exchange
        )

    def close(self) -> None:
        """Close the idle connections of this process; the transport stays usable."""
        self._adapter.shutdown()

    def prepare(self, session: requests.Session) -> None:
        """Make a fresh session use the shared pool.

        It ignores ``.netrc`` and the environment's proxies and certificate authorities, keeps no cookies, follows no
        redirects by itself, and cannot close the pool.

        :param session: a new session of any class, for one call.
        """
        session.trust_env = False
        session.verify = self.verify
        session.proxies = self.proxies
        session.max_redirects = MAX_REDIRECTS
        session.cookies.set_policy(_NO_COOKIES)
        session.headers["User-Agent"] = user_agent()
        session.headers["Accept-Encoding"] = "gzip, deflate"
        session.headers.setdefault("Accept", "*/*")
        session.get_redirect_target = _no_redirect  # type: ignore[method-assign, assignment]
        session.adapters = {"https://": self._adapter, "http://": self._adapter}

    def create_session(self) -> PooledSession:
        """:return: a plain session, without credentials, made ready by :meth:`prepare`."""
        session = PooledSession()
        self.prepare(session)
        return session

    def exchange(
        self, *, max_bytes: int = PROTOCOL_BYTES, timeout: float | tuple[float, float] | None = None
    ) -> Exchange:
        """Put everything that sessions of this transport do in a ``with`` block under one deadline.

        Exceptions of requests, urllib3, ssl and the like leave the block as this package's own.

        :param max_bytes: greatest body after decompression.
        :param timeout: seconds to wait, one number or the pair; the transport's own when left out.
        """
        pair = self.timeout if timeout is None else as_pair(timeout)
        # Who asks for more patience than the whole exchange has, means it.
        total = self.total_timeout if timeout is None else max(self.total_timeout, sum(part or 0 for part in pair))
        return Exchange(provider=self.provider, seconds=total, max_bytes=max_bytes, timeout=pair)

    def check_url(self, url: str) -> None:
        """Refuse a URL that may not be asked.

        :raises UntrustedHostError: for plain http where ``allow_http`` does not name the host.
        """
        parts = urlsplit(url)
        if parts.scheme == "http" and not self.allow_http(parts.hostname or "", parts.port or 80):
            raise UntrustedHostError(
                description=f"{place_of(url)} is not https; name the host in OAUTH_ACCOUNTS_ALLOW_HTTP to allow it",
                provider=self.provider,
            )

    def fetch(
        self,
        method: str,
        url: str,
        *,
        session: requests.Session | None = None,
        max_bytes: int = PROTOCOL_BYTES,
        timeout: float | tuple[float, float] | None = None,
        **options: Any,
    ) -> requests.Response:
        """Ask a protocol endpoint: the whole answer, in time, in bounds, and from that very address.

        :param session: one made ready by :meth:`prepare`; a plain one when left out.
        :param max_bytes: greatest body after decompression.
        :param timeout: seconds to wait, one number or the pair.
        :param options: further keywords of the session's ``request``.
        :return: the response with its body read; its status may be an error, but never a redirect.
        :raises ProviderUnavailable: unreachable or too slow.
        :raises ProviderResponseError: broken, too large, or a redirect.
        :raises UntrustedHostError: the address may not be asked; nothing was sent.
        """
        with self.exchange(max_bytes=max_bytes, timeout=timeout) as exchange:
            exchange.url = url
            response = (session or self.create_session()).request(method, url, allow_redirects=False, **options)
        if 300 <= response.status_code < 400:
            raise ProviderResponseError(
                description=f"{place_of(url)} answered {response.status_code}; a protocol endpoint may not redirect",
                provider=self.provider,
            )
        return response

    def send_api(self, session: requests.Session, method: str, url: str, **kwargs: Any) -> requests.Response:
        """Make an API call of the application.

        Its address is taken at the application's word and may be a private one; where a redirect leads to is the
        provider's word, and goes to the public internet only.

        Redirects within one origin are followed for GET, HEAD and OPTIONS, with ``allow_redirects=True`` for every
        method, see :func:`.redirects.change_request`. A redirect to another origin is returned as it is; with
        ``allow_redirects=True`` it is followed where it makes or keeps a GET or HEAD, with nothing of the caller's
        but ``Accept``, ``Accept-Language``, ``User-Agent`` and ``Range``.

        :param session: one made ready by :meth:`prepare`; it adds the token.
        :param kwargs: what the session's ``request`` takes. ``stream=True`` lifts deadline and size
            limit from the body.
        :raises ProviderUnavailable: unreachable or too slow.
        :raises ProviderResponseError: broken, too large, or more than five redirects.
        :raises UntrustedHostError: the address may not be asked; nothing was sent.
        """
        wanted = kwargs.pop("allow_redirects", None)
        timeout = kwargs.pop("timeout", None)
        with self.exchange(max_bytes=self.max_bytes, timeout=timeout) as exchange:
            exchange.url, exchange.own_call = url, True
            exchange.named_origin = None if self._is_operators(host_of(url)) else origin_of(url)
            response = session.request(method, url, allow_redirects=False, **kwargs)
            if wanted is True or (wanted is None and method.upper() in _SAFE_METHODS):
                response = self._follow(
                    session, method.upper(), response, kwargs, exchange=exchange, cross_origin=wanted is True
                )
        return response

    def _follow(
        self,
        session: requests.Session,
        method: str,
        response: requests.Response,
        options: dict[str, Any],
        *,
        exchange: Exchange,
        cross_origin: bool,
    ) -> requests.Response:
        history: list[requests.Response] = []
        while response.is_redirect:
            target, changed = find_target(response), change_request(method, options, response.status_code)
            if changed is None:
                break
            method, options = changed
            stays = same_origin(response.url, target)
            if not stays and not (cross_origin and method in ("GET", "HEAD") and may_leave(response.url, target)):
                break
            if len(history) >= MAX_REDIRECTS:
                raise requests.TooManyRedirects
            if not stays:
                options = bare_options(response, options)
                session = self.create_session()
                target = without_token(target)
                exchange.named_origin = None
            exchange.own_call = False
            response.close()
            history.append(response)
            response = session.request(method, target, allow_redirects=False, **options)
        response.history = history
        return response

    def _is_operators(self, host: str) -> bool:
        name = host.lower()
        wildcards = (known[1:] for known in self.operator_hosts if known.startswith("*."))
        return name in self.operator_hosts or any(map(name.endswith, wildcards)) or self.allow_http(host, None)

    def _screen(self, host: str, found: list[Any]) -> list[Any]:
        if self._is_operators(host):
            return found
        return screen_addresses(self.provider, host, found)


def _read_host(text: str) -> str:
    """The host of ``host`` or ``host:port``, spelled as connections spell it."""
    return host_of(origin_of(f"https://{text}")) or text.lower().strip("[]")
