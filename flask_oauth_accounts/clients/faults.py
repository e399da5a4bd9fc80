"""What requests, urllib3, http.client, ssl and socket can raise, said in this package's own errors.

Whose fault it is depends on when it happens, see :data:`Stage`. What hooks and bodies of the application raise is
none of all this and goes on its way as it is.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Literal

import requests
import urllib3.exceptions as pool

from ..errors import ConfigurationError, OAuthError, ProviderResponseError, ProviderUnavailable
from .origins import place_of

Stage = Literal["preparing", "sending", "waiting", "reading"]
"""How far an exchange has come: the request is built (where hooks see it), it is on its way, all of it was sent, the
body of the answer is coming."""

_OURS = (requests.RequestException, pool.HTTPError, http.client.HTTPException, OSError, ValueError)
_UNREACHABLE = (pool.NewConnectionError, pool.ProxyError, requests.exceptions.ProxyError, socket.gaierror)
_TIMED_OUT = (requests.Timeout, pool.TimeoutError, TimeoutError)
_TLS = (requests.exceptions.SSLError, pool.SSLError, ssl.SSLError)
_CALLERS: tuple[tuple[type[BaseException], str], ...] = (
    (requests.exceptions.InvalidHeader, "one of its headers is not valid"),
    (requests.exceptions.InvalidJSONError, "its body cannot be written as JSON"),
    (requests.exceptions.InvalidProxyURL, "the address of its proxy is not valid"),
    (requests.exceptions.StreamConsumedError, "its answer was read before"),
)
_BAD_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    pool.LocationValueError,
)
_OF_PREPARING = (*(kind for kind, _ in _CALLERS), *_BAD_ADDRESS, requests.TooManyRedirects)
_GARBLED = (
    pool.DecodeError,
    pool.IncompleteRead,
    pool.InvalidChunkLength,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    http.client.HTTPException,
)


def translate_fault(
    fault: BaseException, *, provider: str, stage: Stage, url: str | None = None, own_call: bool = False
) -> OAuthError | None:
    """Say a failure of an HTTP exchange in this package's words.

    :param fault: what was raised.
    :param provider: the client's name.
    :param stage: how far the exchange had come.
    :param url: of the request; only its host and path are used.
    :param own_call: the application has written the address, and not the provider.
    :return: the error to raise instead; ``None`` where the exception is not about HTTP and should go on its way.
    """
    if isinstance(fault, OAuthError) or not isinstance(fault, _OURS):
        return None
    if stage == "preparing" and not isinstance(fault, _OF_PREPARING):
        return None
    chain = _unwrap(fault)
    place = place_of(url)
    reading = stage == "reading"

    def is_any(kinds: tuple[type[BaseException], ...]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    wrong = next((why for kind, why in _CALLERS if isinstance(fault, kind)), None)
    if wrong is not None:
        return ConfigurationError(f"the call of {place} cannot be made: {wrong}", provider=provider)
    if is_any(_BAD_ADDRESS):
        blame = ConfigurationError if own_call else ProviderResponseError
        return blame(description=f"{place} cannot be asked: the address is not valid", provider=provider)
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
    if own_call and stage == "sending":
        return ConfigurationError(f"the call of {place} cannot be made as it is written", provider=provider)
    return ProviderResponseError(description=f"the exchange with {place} makes no sense", provider=provider)


def find_cause(fault: BaseException) -> BaseException | None:
    """Find what may be told of a failure beside our own words.

    What requests and urllib3 raise holds the address with its query, headers or half an answer, and each frame on the
    way has the token in it. What the operating system, TLS or the encoder of JSON said, at the bottom of it all, holds
    nothing secret; it is told without its frames.

    :return: for ``raise … from``; ``None`` where nothing may be told.
    """
    cause = _unwrap(fault)[-1]
    ours = isinstance(fault, requests.exceptions.InvalidJSONError) and type(cause) is ValueError
    if not ours and (not isinstance(cause, OSError) or isinstance(cause, requests.RequestException)):
        return None
    cause.__cause__ = cause.__context__ = None
    return cause.with_traceback(None)


def _unwrap(fault: BaseException) -> list[BaseException]:
    """Requests wraps what urllib3 raised, which wraps what the socket raised."""
    chain = [fault]
    while len(chain) < 8:
        last = chain[-1]
        inner = getattr(last, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in last.args if isinstance(arg, BaseException)), last.__cause__)
        if inner is None:
            break
        chain.append(inner)
    return chain


def _why(chain: list[BaseException]) -> str:
    """The verifier's own words (expired, self-signed, wrong host), which hold nothing secret."""
    words = next((getattr(link, "verify_message", None) for link in chain if hasattr(link, "verify_message")), None)
    return f" ({words})" if words else ""
