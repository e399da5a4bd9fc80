"""What requests, urllib3, http.client, ssl and socket can raise, said in this package's own errors."""

from __future__ import annotations

import http.client
import socket
import ssl

import requests
import urllib3.exceptions as pool

from ..errors import OAuthError, ProviderResponseError, ProviderUnavailable
from .origins import place_of

_OURS = (requests.RequestException, pool.HTTPError, http.client.HTTPException, OSError, ValueError)
_UNREACHABLE = (pool.NewConnectionError, pool.ProxyError, requests.exceptions.ProxyError, socket.gaierror)
_TIMED_OUT = (requests.Timeout, pool.TimeoutError, TimeoutError)
_TLS = (requests.exceptions.SSLError, pool.SSLError, ssl.SSLError)
_BAD_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    pool.LocationValueError,
)
_GARBLED = (
    pool.DecodeError,
    pool.IncompleteRead,
    pool.InvalidChunkLength,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    http.client.HTTPException,
)


def translate_fault(
    fault: BaseException, *, provider: str, url: str | None = None, reading: bool = False
) -> OAuthError | None:
    """Say a failure of an HTTP exchange in this package's words.

    :param fault: what was raised.
    :param provider: the client's name.
    :param url: of the request; only its host and path are used.
    :param reading: whether the body was being read.
    :return: the error to raise instead; ``None`` where the exception is not about HTTP and should go on its way.
    """
    if isinstance(fault, OAuthError) or not isinstance(fault, _OURS):
        return None
    chain = _unwrap(fault)
    place = place_of(url)

    def is_any(kinds: tuple[type[BaseException], ...]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    if is_any(_BAD_ADDRESS):
        return ProviderResponseError(
            description=f"{place} cannot be asked: the address is not valid", provider=provider
        )
    if is_any(_UNREACHABLE):
        return ProviderUnavailable(description=f"{place} cannot be reached", provider=provider)
    if is_any(_TIMED_OUT):
        return ProviderUnavailable(description=f"{place} did not answer in time", provider=provider, timeout=True)
    if is_any(_TLS):
        return ProviderUnavailable(description=f"{place} cannot be reached: TLS failed{_why(chain)}", provider=provider)
    if not reading and is_any((ConnectionError,)):
        return ProviderUnavailable(description=f"{place} closed the connection without an answer", provider=provider)
    if is_any(_GARBLED) or (reading and is_any((OSError, pool.HTTPError))):
        return ProviderResponseError(description=f"the answer of {place} is broken or cut off", provider=provider)
    if isinstance(fault, requests.TooManyRedirects):
        return ProviderResponseError(description=f"{place} redirects in circles", provider=provider)
    if is_any((requests.ConnectionError, OSError)) and not isinstance(fault, ValueError):
        return ProviderUnavailable(description=f"{place} cannot be reached", provider=provider)
    return ProviderResponseError(description=f"the exchange with {place} makes no sense", provider=provider)


def _unwrap(fault: BaseException) -> list[BaseException]:
    """Requests wraps what urllib3 raised, which wraps what the socket raised."""
    chain = [fault]
    while len(chain) < 8:
        last = chain[-1]
        inner = getattr(last, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in last.args if isinstance(arg, BaseException)), None)
        if inner is None:
            break
        chain.append(inner)
    return chain


def _why(chain: list[BaseException]) -> str:
    """The verifier's own words (expired, self-signed, wrong host), which hold nothing secret."""
    words = next((getattr(link, "verify_message", None) for link in chain if hasattr(link, "verify_message")), None)
    return f" ({words})" if words else ""
