"""Addresses: which URLs share an origin (RFC 6454), and which IP addresses a server may connect to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def origin_of(url: object) -> str | None:
    """Read the origin of a URL (RFC 6454 section 4): scheme, host and port, in one spelling.

    URLs that two parsers could read in two ways (with blanks, control characters or backslashes) have no origin.

    :param url: an absolute URL.
    :return: ``"https://api.example.com"``, with the port where it is not the usual one; ``None`` for anything that
        is not an absolute http or https URL.
    """
    if not isinstance(url, str) or "\\" in url or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        return None
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
        if host and not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError:
        return None
    if not host or scheme not in _DEFAULT_PORTS:
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}")


def same_origin(first: object, second: object) -> bool:
    """Whether two URLs have the same scheme, host and port (RFC 6454 section 5)."""
    origin = origin_of(first)
    return origin is not None and origin == origin_of(second)


def host_of(url: object) -> str:
    """:return: the host name of a URL in lower case; ``""`` where it has none."""
    try:
        return urlsplit(url).hostname or "" if isinstance(url, str) else ""
    except ValueError:
        return ""


def place_of(url: object) -> str:
    """What an error may say about a URL: host and path, never user name, query or fragment.

    :return: ``"api.example.com/user"``.
    """
    host = host_of(url)
    return f"{host}{urlsplit(str(url)).path}" if host else "an address that is not a URL"


def is_public_address(address: str) -> bool:
    """Whether an IP address is one of the public internet: not private, loopback, link-local, multicast, unspecified.

    An IPv4 address wrapped in an IPv6 address (mapped, 6to4, Teredo, NAT64) is judged by the IPv4 address.

    :param address: as ``getsockname`` gives it; a zone index is ignored.
    :return: ``False`` as well for text that is not an address.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public_address(str(inner))
        if int(ip) >> 32 == 0:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
