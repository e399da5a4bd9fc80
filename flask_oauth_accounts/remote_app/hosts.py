"""Which hosts may see a credential."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import SplitResult, urlsplit

from ..errors import UntrustedHostError

_PORTS = {"https": 443, "http": 80}


class TrustedHosts:
    """The origin of ``api_base_url``, ``allowed_hosts``, and the origins of configured endpoints.

    A client with neither of the first two is not pinned: the application's own absolute address is taken at its word.

    :param api_base_url: its whole origin counts: scheme, host and port.
    :param allowed_hosts: host names in lower case, each with a port where it is not the usual one; ``*.example.com``
        stands for all hosts below, not for the domain itself.
    :param endpoints: further addresses whose origins count.
    """

    def __init__(
        self,
        api_base_url: str | None,
        allowed_hosts: Collection[tuple[str, int | None]] = (),
        endpoints: Collection[str | None] = (),
    ) -> None:
        self._origins = frozenset(origin for url in (api_base_url, *endpoints) if (origin := _origin(url)))
        self._hosts = frozenset(allowed_hosts)
        self._pinned = bool(_origin(api_base_url)) or bool(self._hosts)

    def check(self, url: str, *, provider: str | None = None) -> None:
        """Refuse an address that is not the provider's.

        :param url: absolute.
        :param provider: the client's name, for the error.
        :raises UntrustedHostError: before anything is sent.
        """
        origin = _origin(url)
        if origin is None or "@" in urlsplit(url).netloc:
            raise UntrustedHostError(description="the address has no usable host", provider=provider)
        if not self._pinned or origin in self._origins or self._allows(origin):
            return
        remedy = "if it is the provider's, name it in allowed_hosts"
        raise UntrustedHostError(
            description=f"refused to send a credential to {origin[1]}; {remedy}", provider=provider
        )

    def _allows(self, origin: tuple[str, str, int]) -> bool:
        scheme, host, port = origin
        for name, wanted in self._hosts:
            if port != (wanted or _PORTS[scheme]):
                continue
            below = name.startswith("*.") and host.endswith(name[1:]) and len(host) >= len(name)
            if below or host == name:
                return True
        return False


def _origin(url: str | None) -> tuple[str, str, int] | None:
    if not url:
        return None
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host:
        return None
    return parts.scheme, host.lower().rstrip("."), port or _PORTS[parts.scheme]
