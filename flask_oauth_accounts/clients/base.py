"""What a client is made of: arguments, configuration and preset merged into one frozen value.

Explicit arguments beat configuration beats preset; ``None`` means "not given". With ``overwrite=True`` configuration
wins, and dictionaries are merged.
"""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..config import parse_list
from ..errors import ConfigurationError
from ..providers import AppleKey, Preset, account_issuer, decide_email_trust, find_preset, load_preset, read_apple_key
from ..tokens import join_scope, parse_scope

CONFIG_KEYS = [
    "client_id",
    "client_secret",
    "request_token_url",
    "request_token_params",
    "access_token_url",
    "access_token_params",
    "refresh_token_url",
    "refresh_token_params",
    "authorize_url",
    "authorize_params",
    "api_base_url",
    "client_kwargs",
    "server_metadata_url",
    "code_challenge_method",
    "scope",
    "preset",
    "issuer",
    "userinfo_endpoint",
    "jwks_uri",
    "revocation_endpoint",
    "end_session_endpoint",
    "allowed_hosts",
    "display_name",
]

_ARGUMENTS = frozenset(CONFIG_KEYS) | frozenset(
    [
        "fetch_token",
        "update_token",
        "save_request_token",
        "fetch_request_token",
        "compliance_fix",
        "jwks",
        "client_cls",
        "id_token_signing_algs",
        "issuer_aliases",
        "userinfo_params",
        "token_response_identity",
    ]
)

# RFC 8414 section 2, OpenID Connect Discovery section 3 and the registered extensions.
METADATA_NAMES = frozenset(
    [
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "registration_endpoint",
        "scopes_supported",
        "response_types_supported",
        "response_modes_supported",
        "grant_types_supported",
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "service_documentation",
        "ui_locales_supported",
        "op_policy_uri",
        "op_tos_uri",
        "revocation_endpoint",
        "revocation_endpoint_auth_methods_supported",
        "revocation_endpoint_auth_signing_alg_values_supported",
        "introspection_endpoint",
        "introspection_endpoint_auth_methods_supported",
        "introspection_endpoint_auth_signing_alg_values_supported",
        "code_challenge_methods_supported",
        "signed_metadata",
        "userinfo_endpoint",
        "acr_values_supported",
        "subject_types_supported",
        "id_token_signing_alg_values_supported",
        "id_token_encryption_alg_values_supported",
        "id_token_encryption_enc_values_supported",
        "userinfo_signing_alg_values_supported",
        "userinfo_encryption_alg_values_supported",
        "userinfo_encryption_enc_values_supported",
        "request_object_signing_alg_values_supported",
        "request_object_encryption_alg_values_supported",
        "request_object_encryption_enc_values_supported",
        "display_values_supported",
        "claim_types_supported",
        "claims_supported",
        "claims_locales_supported",
        "claims_parameter_supported",
        "request_parameter_supported",
        "request_uri_parameter_supported",
        "require_request_uri_registration",
        "end_session_endpoint",
        "check_session_iframe",
        "frontchannel_logout_supported",
        "frontchannel_logout_session_supported",
        "backchannel_logout_supported",
        "backchannel_logout_session_supported",
        "authorization_response_iss_parameter_supported",
        "device_authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "require_pushed_authorization_requests",
        "mtls_endpoint_aliases",
        "tls_client_certificate_bound_access_tokens",
        "dpop_signing_alg_values_supported",
        "prompt_values_supported",
        "backchannel_authentication_endpoint",
    ]
)

APPLE_ARGUMENTS = ("team_id", "key_id", "private_key")

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

AllowHttp = Callable[[str], bool]


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
    code_challenge_method: str | None = "S256"
    compliance_fix: Callable[[Any], None] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    preset: Preset | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    apple_key: AppleKey | None = None
    account_issuer: str | None = None
    trusts_email: bool = False
    display_name: str | None = None
    allow_http: AllowHttp = field(default=lambda host: False, repr=False, compare=False)

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


@dataclass(frozen=True)
class Registration:
    """What is known of a client before it is checked.

    :ivar values: the merged arguments.
    :ivar parameters: the values of the preset's placeholders.
    """

    name: str
    values: Mapping[str, Any] = field(repr=False)
    preset: Preset | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


def config_key(name: str, key: str) -> str:
    """:return: the configuration key, ``{NAME}_{KEY}`` in upper case."""
    return f"{name}_{key}".upper()


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


def check_arguments(arguments: Mapping[str, Any], extra: Collection[str] = ()) -> None:
    """Refuse a keyword that nothing would read.

    :param extra: further names, such as a preset's own parameters.
    :raises TypeError: naming the nearest known argument.
    """
    known = _ARGUMENTS | METADATA_NAMES | set(APPLE_ARGUMENTS) | set(extra)
    for key in arguments:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"register() got an unexpected keyword argument {key!r}{hint}")


def merge_settings(
    name: str,
    arguments: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    overwrite: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> Registration:
    """Lay arguments, configuration and preset over one another; nothing that is passed in is changed.

    :param name: of the client.
    :param arguments: keywords of ``register``.
    :param config: the application's configuration.
    :param overwrite: let configuration win over arguments.
    :param defaults: a class's ``OAUTH_APP_CONFIG``, of the rank of a preset.
    :return: the merged values, the preset and the values of its placeholders.
    :raises ConfigurationError: for a preset that does not exist.
    """
    given = _lift({key: _copy(value) for key, value in arguments.items() if value is not None})
    configured = _lift(_read_config(name, config))
    merged = _overlay(given, configured) if overwrite else _overlay(configured, given, merge=False)
    preset = _choose_preset(name, merged)
    parameters: dict[str, str] = {}
    if preset is not None:
        parameters = preset.collect_parameters(name, config, given)
        for placeholder in preset.placeholders:
            merged.pop(placeholder.name, None)
        if preset.client_secret_form == "apple":  # noqa: S105  a form, not a secret
            keys = {config_key(name, key): merged.pop(key) for key in APPLE_ARGUMENTS if key in merged}
            merged["apple_key"] = read_apple_key(name, {**config, **keys})
        defaults = {**_fill_preset(preset, parameters, merged), **(defaults or {})}
    merged.pop("preset", None)
    for key, value in (defaults or {}).items():
        if value is None:
            continue
        if key == "client_kwargs":
            merged[key] = {**value, **merged.get(key, {})}
        elif key not in merged:
            merged[key] = _copy(value)
    return Registration(name, merged, preset, parameters)


def _lift(values: dict[str, Any]) -> dict[str, Any]:
    """Settings that may also stand in ``client_kwargs`` get one place, so that arguments and configuration compare."""
    kwargs = values.get("client_kwargs")
    if not isinstance(kwargs, dict):
        return values
    for key in ("scope", "code_challenge_method"):
        if kwargs.get(key):
            values.setdefault(key, kwargs[key])
            del kwargs[key]
    return values


def _read_config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in CONFIG_KEYS:
        value = config.get(config_key(name, key))
        if value is not None and value != "":
            values[key] = _copy(value)
    return values


def _copy(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _overlay(base: Mapping[str, Any], top: Mapping[str, Any], *, merge: bool = True) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        if merge and isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = {**result[key], **value}
        else:
            result[key] = value
    return result


def _choose_preset(name: str, merged: Mapping[str, Any]) -> Preset | None:
    """The preset asked for, or that of the client's name unless the application describes another protocol."""
    if merged.get("preset"):
        return load_preset(str(merged["preset"]))
    preset = find_preset(name)
    if preset is None:
        return None
    own_oauth2 = merged.get("authorize_url") and merged.get("access_token_url") and not merged.get("request_token_url")
    if preset.protocol == "oauth1":
        return None if own_oauth2 else preset
    return None if merged.get("request_token_url") else preset


def _fill_preset(preset: Preset, parameters: Mapping[str, str], merged: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's values, less those that belong to a server which the application has replaced by its own."""
    own_discovery = merged.get("server_metadata_url")
    values = preset.settings(parameters, metadata_url=own_discovery)
    own_server = own_discovery or (merged.get("authorize_url") and merged.get("access_token_url"))
    if own_server and not own_discovery:
        values.pop("server_metadata_url", None)
    if own_server and merged.get("api_base_url"):
        values.pop("allowed_hosts", None)
    return values


def create_client_config(registration: Registration, *, allow_http: AllowHttp) -> ClientConfig:
    """Check the merged values and freeze them.

    :param registration: what :func:`merge_settings` returned.
    :param allow_http: whether a host may be spoken to without TLS.
    :raises ConfigurationError: naming the key and the remedy.
    """
    name, values, preset = registration.name, dict(registration.values), registration.preset
    kwargs = dict(_mapping(name, values, "client_kwargs"))
    if values.get("scope"):
        kwargs["scope"] = values["scope"]
    oauth1 = bool(values.get("request_token_url"))
    _check_client_kwargs(name, kwargs, oauth1=oauth1)
    method = values.get("code_challenge_method") or kwargs.pop("code_challenge_method", None) or "S256"
    kwargs.pop("code_challenge_method", None)
    metadata = {key: values[key] for key in METADATA_NAMES if values.get(key) is not None}
    dictionaries: dict[str, Any] = {key: _mapping(name, values, key) for key in _DICTIONARIES}
    addresses: dict[str, Any] = {
        key: values.get(key) for key in _URL_FIELDS if key not in ("authorize_url", "access_token_url")
    }
    config = ClientConfig(
        name=name,
        client_id=_credential(name, values, "client_id"),
        client_secret=_credential(name, values, "client_secret"),
        authorize_url=values.get("authorize_url") or values.get("authorization_endpoint"),
        access_token_url=values.get("access_token_url") or values.get("token_endpoint"),
        allowed_hosts=_words(name, values, "allowed_hosts"),
        id_token_signing_algs=_words(name, values, "id_token_signing_algs") or ("RS256",),
        issuer_aliases=_words(name, values, "issuer_aliases"),
        account_issuer=account_issuer(preset, registration.parameters, values),
        trusts_email=decide_email_trust(preset, registration.parameters, values),
        parameters=registration.parameters,
        apple_key=values.get("apple_key"),
        display_name=values.get("display_name"),
        code_challenge_method=_challenge_method(name, method),
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
    for host in config.allowed_hosts:
        split_allowed_host(name, host)
    return config


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
    choices = {"token_endpoint_auth_method": _AUTH_METHODS, "token_placement": _PLACEMENTS, "response_type": ("code",)}
    for key, allowed in choices.items():
        if kwargs.get(key) not in (None, *allowed):
            raise ConfigurationError(f"{where}: {key!r} must be one of {', '.join(allowed)}", provider=name)


def _check_urls(config: ClientConfig) -> None:
    for key in _URL_FIELDS:
        url = getattr(config, key)
        if url is None:
            continue
        where = config_key(config.name, key)
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except (ValueError, AttributeError, TypeError):
            parts, host = urlsplit(""), None
        if not host and key == "userinfo_endpoint" and config.api_base_url and not parts.scheme:
            continue
        if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
            raise ConfigurationError(f"{where} must be an absolute https address", provider=config.name)
        if parts.scheme == "http" and not config.allow_http(host):
            raise ConfigurationError(
                f"{where} is an http:// address, so secrets would travel in the clear. Use https, or name {host!r} in "
                "OAUTH_ACCOUNTS_ALLOW_HTTP (addresses of this machine are allowed in debug and testing)",
                provider=config.name,
            )
