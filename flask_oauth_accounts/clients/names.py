"""What a client may be told: the arguments of ``register``, and the configuration keys that say the same."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

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
    "id_token_signing_algs",
    "trusted_audiences",
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
        "issuer_aliases",
        "userinfo_params",
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


def config_key(name: str, key: str) -> str:
    """:return: the configuration key, ``{NAME}_{KEY}`` in upper case."""
    return f"{name}_{key}".upper()


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
