"""What a client is made of: the merged settings, checked and made one frozen value."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..config import parse_list
from ..errors import ConfigurationError
from ..providers import AppleKey, Preset, account_issuer, decide_email_trust
from ..tokens import hide, join_scope, parse_scope
from .http_options import check_oauth1_options, split_oauth2_options
from .merging import Registration
from .names import METADATA_NAMES, config_key
from .signing import read_signing

__all__ = ["ClientConfig", "config_key", "create_client_config", "host_of", "is_loopback", "split_allowed_host"]

_COMMON_KWARGS = frozenset({"verify", "proxies", "default_timeout", "headers"})
_OAUTH1_KWARGS = _COMMON_KWARGS | {
    "signature_method",
    "signature_type",
    "rsa_key",
    "realm",
    "scope",
    "force_include_body",
}
_OAUTH2_KWARGS = _COMMON_KWARGS | frozenset(
    [
        "scope",
        "code_challenge_method",
        "token_endpoint_auth_method",
        "token_endpoint_auth_signing_alg",
        "token_placement",
        "response_mode",
        "response_type",
        "prompt",
        "leeway",
    ]
)
_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "private_key_jwt")
_PLACEMENTS = ("header", "uri", "body")
_CHOICES = {"token_endpoint_auth_method": _AUTH_METHODS, "token_placement": _PLACEMENTS, "response_type": ("code",)}
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "scope": ("a text or a list of words", (str, list, tuple, set, frozenset)),
    "verify": ("true, false or the path of a file or folder", (bool, str)),
    "proxies": ("a dictionary", (Mapping,)),
    "headers": ("a dictionary", (Mapping,)),
    "default_timeout": ("a number of seconds above 0, or a pair for connecting and reading", (int, float, list, tuple)),
    "leeway": ("a number of seconds", (int, float)),
    "prompt": ("a text", (str,)),
    "response_mode": ("a text", (str,)),
    "realm": ("a text", (str,)),
    "rsa_key": ("a text", (str,)),
}
_URL_FIELDS = [
    "request_token_url",
    "access_token_url",
    "refresh_token_url",
    "authorize_url",
    "api_base_url",
    "server_metadata_url",
    "userinfo_endpoint",
    "jwks_uri",
    "revocation_endpoint",
    "end_session_endpoint",
    "introspection_endpoint",
]

AllowHttp = Callable[[str, int | None], bool]
"""Says of a host name and a port whether plain http will do; of any port of the host where that is ``None``."""


@dataclass(frozen=True)
class ClientConfig:
    """One registered client, complete and checked."""

    name: str
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    request_token_url: str | None = None
    request_token_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    access_token_url: str | None = None
    access_token_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    refresh_token_url: str | None = None
    refresh_token_params: Mapping[str, Any] = field(default_factory=dict, repr=False)
    authorize_url: str | None = None
    authorize_params: Mapping[str, Any] = field(default_factory=dict)
    api_base_url: str | None = None
    client_kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    server_metadata_url: str | None = None
    userinfo_endpoint: str | None = None
    userinfo_params: Mapping[str, Any] = field(default_factory=dict)
    jwks_uri: str | None = None
    jwks: Mapping[str, Any] | None = None
    issuer: str | None = None
    issuer_aliases: Sequence[str] = ()
    revocation_endpoint: str | None = None
    introspection_endpoint: str | None = None
    end_session_endpoint: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    id_token_signing_algs: tuple[str, ...] = ("RS256",)
    trusted_audiences: tuple[str, ...] = ()
    code_challenge_method: str | None = "S256"
    compliance_fix: Callable[[Any], None] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    preset: Preset | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    apple_key: AppleKey | None = None
    account_issuer: str | None = None
    trusts_email: bool = False
    display_name: str | None = None
    allow_http: AllowHttp = field(default=lambda host, port: False, repr=False, compare=False)

    @property
    def is_oauth1(self) -> bool:
        """OAuth 1 if and only if there is a request token URL."""
        return bool(self.request_token_url)

    @property
    def scope(self) -> str | None:
        """The scope to ask for, as RFC 6749 section 3.3 writes it, in the provider's own separator."""
        scope = self.client_kwargs.get("scope")
        if isinstance(scope, str):
            return scope if scope.strip() else None
        joined = join_scope(scope)
        separator = self.preset.scope_separator if self.preset is not None else " "
        return joined.replace(" ", separator) if joined else None

    @property
    def leeway(self) -> float | None:
        """Seconds before its expiry from which a token of this client is due, and that clocks may differ."""
        seconds = self.client_kwargs.get("leeway")
        return None if seconds is None else float(seconds)

    @property
    def is_openid(self) -> bool:
        """Whether ``openid`` is in the scope of an OAuth 2 client."""
        return not self.is_oauth1 and "openid" in parse_scope(self.scope)

    @property
    def operator_hosts(self) -> frozenset[str]:
        """Hosts that the operator named, by URL or in ``allowed_hosts``; those may have a port or a wildcard."""
        hosts = {host_of(getattr(self, key)) for key in _URL_FIELDS}
        hosts.update(self.allowed_hosts)
        return frozenset(host for host in hosts if host)

    def require(self, key: str) -> Any:
        """Give a value that must be there.

        :raises ConfigurationError: naming the argument and the configuration key.
        """
        value = getattr(self, key)
        if not value:
            raise ConfigurationError(
                f'Missing "{key}" value: give it to register("{self.name}") or set {config_key(self.name, key)}',
                provider=self.name,
            )
        return value


def host_of(url: str | None) -> str | None:
    """:return: the host name of a URL in lower case, or ``None``."""
    try:
        return (urlsplit(url or "").hostname or "").lower() or None
    except ValueError:
        return None


def split_allowed_host(name: str, text: str) -> tuple[str, int | None]:
    """Read one of ``allowed_hosts``.

    :param name: of the client, for the error.
    :param text: ``api.example.com``, ``*.example.com``, ``api.example.com:8443`` or ``[::1]:8000``.
    :return: host in lower case and port, ``None`` for the usual one.
    :raises ConfigurationError: for anything else.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.netloc != text or "@" in text or "*" in host.removeprefix("*."):
        raise ConfigurationError(
            f"{config_key(name, 'allowed_hosts')}: {text!r} must be a host name, with a port where it is not the usual "
            'one, such as "api.example.com", "*.example.com" or "api.example.com:8443"',
            provider=name,
        )
    return host, port


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def create_client_config(registration: Registration, *, allow_http: AllowHttp) -> ClientConfig:
    """Check the merged values and freeze them.

    :param registration: what :func:`merge_settings` returned.
    :param allow_http: whether a host and port may be spoken to without TLS.
    :raises ConfigurationError: naming the key and the remedy.
    """
    name, values, preset = registration.name, dict(registration.values), registration.preset
    kwargs, challenge_method = _read_client_kwargs(name, values)
    metadata = {key: values[key] for key in METADATA_NAMES if values.get(key) is not None}
    dictionaries: dict[str, Any] = {key: _mapping(name, values, key) for key in _DICTIONARIES}
    addresses: dict[str, Any] = {key: values.get(key) for key in _URL_FIELDS}
    config = ClientConfig(
        name=name,
        client_id=_credential(name, values, "client_id"),
        client_secret=hide(_credential(name, values, "client_secret")),
        allowed_hosts=_words(name, values, "allowed_hosts"),
        id_token_signing_algs=_words(name, values, "id_token_signing_algs") or ("RS256",),
        trusted_audiences=_words(name, values, "trusted_audiences"),
        issuer_aliases=_words(name, values, "issuer_aliases"),
        account_issuer=account_issuer(preset, registration.parameters, values),
        trusts_email=decide_email_trust(preset, registration.parameters, values),
        parameters=registration.parameters,
        apple_key=values.get("apple_key"),
        display_name=values.get("display_name"),
        code_challenge_method=challenge_method,
        client_kwargs=kwargs,
        metadata=metadata,
        preset=preset,
        allow_http=allow_http,
        compliance_fix=values.get("compliance_fix"),
        jwks=values.get("jwks"),
        issuer=values.get("issuer"),
        **dictionaries,
        **addresses,
    )
    _check_urls(config)
    _check_token_requests(config)
    if config.is_oauth1:
        read_signing(kwargs, where=config_key(name, "client_kwargs"))
    for host in config.allowed_hosts:
        split_allowed_host(name, host)
    return config


def _read_client_kwargs(name: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """``client_kwargs`` with the scope, and the method of PKCE, which a preset may name there."""
    kwargs = _mapping(name, values, "client_kwargs")
    if values.get("scope"):
        kwargs["scope"] = values["scope"]
    _check_client_kwargs(name, kwargs, oauth1=bool(values.get("request_token_url")))
    preset_method = kwargs.pop("code_challenge_method", None)
    return kwargs, _challenge_method(name, values.get("code_challenge_method") or preset_method or "S256")


_DICTIONARIES = (
    "request_token_params",
    "access_token_params",
    "refresh_token_params",
    "authorize_params",
    "userinfo_params",
)


def _mapping(name: str, values: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = values.get(key) or {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{config_key(name, key)} must be a dictionary", provider=name)
    return dict(value)


def _words(name: str, values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    words = parse_list(values.get(key) or ())
    if words is None:
        raise ConfigurationError(f"{config_key(name, key)} must be a list of words", provider=name)
    return words


def _credential(name: str, values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, int) and not isinstance(value, bool):
        # Flask reads a variable of digits from the environment as a number.
        return str(value)
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{config_key(name, key)} must be a text; in the environment, put what looks like a number in quotes",
            provider=name,
        )
    return value


def _challenge_method(name: str, method: object) -> str | None:
    if method == "none":
        return None
    if method != "S256":
        raise ConfigurationError(
            f'{config_key(name, "code_challenge_method")} must be "S256", or "none" where the provider breaks on it',
            provider=name,
        )
    return "S256"


def _check_client_kwargs(name: str, kwargs: Mapping[str, Any], *, oauth1: bool) -> None:
    known = _OAUTH1_KWARGS if oauth1 else _OAUTH2_KWARGS
    where = config_key(name, "client_kwargs")
    for key in kwargs:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(known))}"
            raise ConfigurationError(f"{where}: {key!r} is not known here{hint}", provider=name)
    for key, allowed in _CHOICES.items():
        if kwargs.get(key) not in (None, *allowed):
            raise ConfigurationError(f"{where}: {key!r} must be one of {', '.join(allowed)}", provider=name)
    for key, (wanted, kinds) in _KINDS.items():
        value = kwargs.get(key)
        if value is not None and not (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
            raise ConfigurationError(f"{where}: {key!r} must be {wanted}", provider=name)
    if not _is_timeout(kwargs.get("default_timeout")):
        raise ConfigurationError(f"{where}: 'default_timeout' must be {_KINDS['default_timeout'][0]}", provider=name)


def _is_timeout(value: Any) -> bool:
    parts = list(value) if isinstance(value, (list, tuple)) and len(value) == 2 else [value]
    return value is None or all(isinstance(part, (int, float)) and part > 0 for part in parts)


def _check_token_requests(config: ClientConfig) -> None:
    """Refuse what :mod:`.http_options` does not let pass, before anybody logs in."""
    check = check_oauth1_options if config.is_oauth1 else split_oauth2_options
    for key in ("access_token_params", "request_token_params" if config.is_oauth1 else "refresh_token_params"):
        check(getattr(config, key), where=config_key(config.name, key), provider=config.name)


def _check_urls(config: ClientConfig) -> None:
    for key in _URL_FIELDS:
        url = getattr(config, key)
        if url is None:
            continue
        where = config_key(config.name, key)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 80
        except (ValueError, AttributeError, TypeError):
            parts, host, port = urlsplit(""), None, 80
        if not host and key == "userinfo_endpoint" and config.api_base_url and not parts.scheme:
            continue
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise ConfigurationError(f"{where} must be an absolute https address", provider=config.name)
        if parts.scheme == "http" and not config.allow_http(host, port):
            raise ConfigurationError(
                f"{where} is an http:// address, so secrets would travel in the clear. Use https, or name {host!r} in "
                "OAUTH_ACCOUNTS_ALLOW_HTTP (addresses of this machine are allowed in debug and testing)",
                provider=config.name,
            )
