"""What a provider publishes about itself (RFC 8414, OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigurationError, OAuthError, ProviderResponseError, clean_text
from .answers import check_status, decode_json
from .flight import SingleFlight
from .origins import origin_of, place_of
from .transport import Transport

RETRY_SECONDS = 5.0
_WELL_KNOWN = re.compile(
    r"^(?P<start>.*?)/\.well-known/(?:openid-configuration|oauth-authorization-server)(?P<end>/.*)?$"
)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_TENANT_PLACE = "{tenantid}"


@dataclass(frozen=True)
class _Document:
    values: Mapping[str, Any]
    fetched_at: float
    dropped: Mapping[str, str] = field(default_factory=dict)


class MetadataSource:
    """The metadata of one authorization server; fetched once, kept for a while, shared by all threads.

    :param url: of the document; ``None`` where everything is configured.
    :param issuer: the issuer that was configured; when left out, the one that the URL stands for.
    :param issuer_aliases: other issuers that the document may name; ``{tenantid}`` in one stands for any tenant.
    :param static: what the application configured; it wins over the document. ``None`` values are not there.
    :param clock: gives seconds since the epoch.
    :param lifetime: seconds to keep the document.
    :param allow_http: says of a host and port whether plain http will do; the transport's rule when left out.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        provider: str,
        url: str | None = None,
        issuer: str | None = None,
        issuer_aliases: Collection[str] = (),
        static: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        lifetime: float = 3600.0,
        allow_http: Callable[[str, int | None], bool] | None = None,
    ) -> None:
        self._transport = transport
        self._provider = provider
        self._url = url
        self._issuer = issuer
        self._aliases = tuple(issuer_aliases)
        self._static = {key: value for key, value in (static or {}).items() if value is not None}
        if issuer is not None:
            self._static.setdefault("issuer", issuer)
        self._clock = clock
        self._lifetime = lifetime
        self._allow_http = transport.allow_http if allow_http is None else allow_http
        self._flight: SingleFlight[_Document] = SingleFlight()
        self._document: _Document | None = None
        self._retry_at = 0.0

    def load(self) -> Mapping[str, Any]:
        """Get the metadata, from the provider where it is not known or too old.

        While the provider is down, an old document is served.

        :return: a read-only mapping; never one that is half filled.
        :raises ProviderUnavailable: unreachable, and nothing is known yet.
        :raises ProviderResponseError: the document cannot be used, or is that of another issuer.
        :raises ConfigurationError: the document's address does not tell the issuer, and none is configured.
        """
        return self._load().values

    def check_endpoint(self, name: str) -> None:
        """Tell an endpoint that the document names, and that is left out, from one that it does not name.

        :param name: of the metadata value, such as ``token_endpoint``.
        :raises ProviderResponseError: if the document names a URL that may not be used; and what :meth:`load` raises.
        """
        place = self._load().dropped.get(name)
        if place is not None:
            raise ProviderResponseError(
                description=f"{name} of the metadata is not an https URL ({place}), so it is not used; where that is "
                "meant to be so, name its host in OAUTH_ACCOUNTS_ALLOW_HTTP",
                provider=self._provider,
            )

    def _load(self) -> _Document:
        known = self._document
        if self._url is None:
            return known or self._keep(_Document(MappingProxyType(self._static), 0.0))
        now = self._clock()
        if known is None:
            return self._renew(None)
        if 0 <= now - known.fetched_at < self._lifetime or now < self._retry_at or self._flight.busy:
            return known
        try:
            return self._renew(known)
        except OAuthError:
            self._retry_at = now + RETRY_SECONDS
            return known

    def _renew(self, known: _Document | None) -> _Document:
        """Ask for the document, unless another thread has done so since it was looked at."""

        def fetch() -> _Document:
            latest = self._document
            return self._fetch() if latest is None or latest is known else latest

        return self._flight.run(fetch, provider=self._provider)

    def _fetch(self) -> _Document:
        url = str(self._url)
        response = self._transport.fetch("GET", url, headers={"Accept": "application/json"})
        check_status(response, self._provider)
        document = decode_json(response, self._provider) if response.status_code == 200 else None
        if not isinstance(document, dict):
            what = "is not a JSON object" if response.status_code == 200 else f"answered {response.status_code}"
            raise ProviderResponseError(description=f"the metadata at {place_of(url)} {what}", provider=self._provider)
        self._check_issuer(document.get("issuer"))
        usable, dropped = self._sort_endpoints(document)
        values = MappingProxyType({**usable, **self._static, "issuer": document["issuer"]})
        return self._keep(_Document(values, self._clock(), dropped))

    def _keep(self, document: _Document) -> _Document:
        self._document = document
        return document

    def _check_issuer(self, found: object) -> None:
        """OpenID Connect Discovery section 4.3, RFC 8414 section 3.3: or one provider could speak for another."""
        expected = self._issuer or derive_issuer(str(self._url))
        if expected is None and not self._aliases:
            raise ConfigurationError(
                f"{self._provider}: the address of the metadata does not tell the issuer; give issuer=",
                provider=self._provider,
            )
        names = [name for name in (expected, *self._aliases) if name]
        if isinstance(found, str) and found and any(issuer_fits(name, found) for name in names):
            return
        shown = clean_text(found, 100) if isinstance(found, str) and found else "none"
        raise ProviderResponseError(
            description=f"the metadata names the issuer {shown}, but {clean_text(names[0], 100)} was expected",
            provider=self._provider,
        )

    def _sort_endpoints(self, document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        usable, dropped = {}, {}
        for name, value in document.items():
            is_address = name.endswith("_endpoint") or name in ("jwks_uri", "check_session_iframe")
            if is_address and not self._is_usable(value):
                dropped[name] = place_of(value)
            elif name != "mtls_endpoint_aliases":
                usable[name] = value
        return usable, dropped

    def _is_usable(self, url: object) -> bool:
        origin = origin_of(url)
        if origin is None or "@" in urlsplit(str(url)).netloc or "#" in str(url):
            return False
        parts = urlsplit(origin)
        return parts.scheme == "https" or self._allow_http(parts.hostname or "", parts.port or 80)


def derive_issuer(url: str) -> str | None:
    """Tell the issuer from the address of its metadata.

    Both forms are read: OpenID Discovery appends the well-known path to the issuer, RFC 8414 section 3.1 puts it
    between host and path.

    :return: ``None`` where the address has another form.
    """
    found = _WELL_KNOWN.match(url.partition("#")[0].partition("?")[0])
    return found["start"] + (found["end"] or "") if found else None


def issuer_fits(expected: str, found: str) -> bool:
    """Whether metadata of this issuer may be used: the same text, but for one slash at the end.

    :param expected: the issuer, or a template with ``{tenantid}``, which stands for itself and for any tenant.
    :param found: the issuer that the document names.
    """
    if found == expected or found + "/" == expected or found == expected + "/":
        return True
    start, place, end = expected.partition(_TENANT_PLACE)
    if not place or not found.startswith(start) or not found.endswith(end) or len(found) <= len(start) + len(end):
        return False
    return _TENANT.fullmatch(found[len(start) : len(found) - len(end)]) is not None
