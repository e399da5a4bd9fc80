"""What the doctor finds out about each client: whether it can log anybody in, and what its provider has to know."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ..clients.authentication import authentication_method
from ..clients.base import config_key, host_of
from ..errors import OAuthError
from ..providers import lacks_tenants, list_presets
from ..registry import AppState
from .addresses import find_backchannel_logout_uri, find_post_logout_redirect_uri, find_redirect_uri
from .common import Finding, describe_no_client

_METADATA = {
    "authorization_endpoint": "authorize_url",
    "token_endpoint": "access_token_url",
    "userinfo_endpoint": "userinfo_endpoint",
    "jwks_uri": "jwks_uri",
}
_LOGIN_URLS = {"authorize_url": "authorization_endpoint", "access_token_url": "token_endpoint"}


def check_clients(state: AppState, *, offline: bool) -> Iterator[Finding]:
    """Each client: can it be built, is all there that a login needs, does its provider say what is configured."""
    names = state.oauth.list_names()
    wanted = [name for name in state.settings.providers or () if name not in names]
    for name in wanted:
        yield Finding(
            "problem",
            f"OAUTH_ACCOUNTS_PROVIDERS names {name}, but clients come from it only where the blueprint sets up "
            f'everything; here write oauth.register("{name}")',
        )
    if not names and not wanted:
        yield Finding("problem", describe_no_client(state))
    for name in names:
        try:
            client = state.oauth.create_client(name)
        except OAuthError as error:
            yield Finding("problem", error.operator_message)
            continue
        yield from _check_client(state, client, offline=offline)


def _check_client(state: AppState, client: Any, *, offline: bool) -> Iterator[Finding]:
    uri = find_redirect_uri(client.name) or "that of your own view"
    yield Finding("ok", f"{client.name}: register this redirect URI with {client.display_name}: {uri}")
    yield from _check_credentials(client)
    document: Mapping[str, Any] = {}
    if client.server_metadata_url:
        if offline:
            return
        try:
            document = client.fetch_discovery_document()
        except OAuthError as error:
            yield Finding("problem", f"{client.name}: discovery: {error.operator_message}")
            return
        yield from _compare_discovery(client, document)
    known = {**document, **client.metadata}
    yield from _check_endpoints(client, known, logs_in=state.accounts is not None)
    if client.is_openid:
        yield from _list_logout_addresses(state, client, known)


def _check_credentials(client: Any) -> Iterator[Finding]:
    name = client.name
    if not client.client_id:
        yield Finding("problem", f"{name}: {config_key(name, 'client_id')} is not set")
    if client.protocol == "oauth1":
        needs_secret = client.client_kwargs.get("rsa_key") is None
    else:
        # A public client is one that says so; a secret that was forgotten looks the same.
        needs_secret = client.client_kwargs.get("token_endpoint_auth_method") != "none" and client.apple_key is None
    if needs_secret and not client.client_secret:
        yield Finding("problem", f"{name}: {_describe_missing_secret(client)}")
    elif client.protocol == "oauth2":
        yield Finding("ok", f"{name}: authenticates with {authentication_method(client)}")
    if _admits_nobody(client):
        tenant, allowed = config_key(name, "tenant"), config_key(name, "allowed_tenants")
        yield Finding(
            "problem",
            f"{name}: {tenant} is {client.parameters.get('tenant', 'common')}, so every login is refused until "
            f"{allowed} lists the ids of the tenants that may come in, or * for all",
        )


def _describe_missing_secret(client: Any) -> str:
    key = config_key(client.name, "client_secret")
    if client.preset is not None and client.preset.client_secret_form == "apple":  # noqa: S105  a kind, not a secret
        team, key_id, private = (config_key(client.name, part) for part in ("team_id", "key_id", "private_key"))
        return f"{team}, {key_id} and {private} are not set (nor {key}, which could be signed elsewhere)"
    return f"{key} is not set (for a public client set token_endpoint_auth_method to none)"


def _admits_nobody(client: Any) -> bool:
    if client.preset is None or not lacks_tenants(client.preset, client.parameters):
        return False
    return host_of(client.server_metadata_url) == host_of(client.preset.issuer_template)


def _compare_discovery(client: Any, document: Mapping[str, Any]) -> Iterator[Finding]:
    yield Finding("ok", f"{client.name}: discovery answers, issuer {document.get('issuer')}")
    for theirs, ours in _METADATA.items():
        configured, discovered = getattr(client, ours), document.get(theirs)
        if configured and discovered and configured != discovered:
            yield Finding(
                "problem", f"{client.name}: {ours} is {configured}, but discovery now says {theirs} is {discovered}"
            )


def _check_endpoints(client: Any, known: Mapping[str, Any], *, logs_in: bool) -> Iterator[Finding]:
    """Whether a login has a way there and back, and somebody to ask who it was.

    :param known: what the provider says of itself, and what the application has set in its place.
    :param logs_in: the application keeps accounts; without them a client may be for an API only.
    """
    name = client.name
    missing = [ours for ours, theirs in _LOGIN_URLS.items() if not getattr(client, ours) and not known.get(theirs)]
    if len(missing) == len(_LOGIN_URLS) and not client.request_token_url:
        yield Finding("problem", f"{name}: {_describe_unknown_server(client)}")
        return
    if missing == ["authorize_url"] and client.protocol == "oauth2":
        yield Finding("hint", f"{name}: without {config_key(name, 'authorize_url')} it can log nobody in")
        return
    for argument in missing:
        yield Finding("problem", f"{name}: {config_key(name, argument)} is not set")
    for sentence in _find_identity_gaps(client, known):
        yield Finding("problem" if logs_in else "hint", f"{name}: {sentence}")


def _describe_unknown_server(client: Any) -> str:
    name = client.name
    metadata_url = config_key(name, "server_metadata_url")
    if client.preset is not None:
        return f"{metadata_url} is not set, the address that ends in /.well-known/openid-configuration"
    near = difflib.get_close_matches(name, list_presets(), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    urls = " and ".join(config_key(name, argument) for argument in _LOGIN_URLS)
    return f"there is no such preset{hint}, and no address is known: set {metadata_url}, or {urls}"


def _find_identity_gaps(client: Any, known: Mapping[str, Any]) -> Iterator[str]:
    name = client.name
    if not client.is_openid:
        source = client.preset.identity_source if client.preset is not None else "userinfo"
        if source != "token_response" and not client.userinfo_endpoint and not known.get("userinfo_endpoint"):
            remedy = "" if client.protocol == "oauth1" else ", or ask for the scope openid"
            yield f"nothing says who logs in: set {config_key(name, 'userinfo_endpoint')}{remedy}"
        return
    if not client.issuer and not known.get("issuer"):
        keys = (config_key(name, "server_metadata_url"), config_key(name, "issuer"))
        yield f"nothing says who issues its ID tokens: set {' or '.join(keys)}"
    has_shared_key = any(algorithm.startswith("HS") for algorithm in client.id_token_signing_algs)
    if not (client.jwks or client.jwks_uri or known.get("jwks_uri") or has_shared_key):
        yield f"nothing says which keys sign its ID tokens: set {config_key(name, 'jwks_uri')}"


def _list_logout_addresses(state: AppState, client: Any, known: Mapping[str, Any]) -> Iterator[Finding]:
    """Those that are in use: the provider has to know the addresses of both kinds of logout too."""
    after = find_post_logout_redirect_uri(client.name)
    if after and state.settings.provider_logout and (client.end_session_endpoint or known.get("end_session_endpoint")):
        yield Finding("ok", f"{client.name}: register this post-logout redirect URI too: {after}")
    told = find_backchannel_logout_uri(client.name)
    if told and known.get("backchannel_logout_supported") is True:
        yield Finding("ok", f"{client.name}: this back-channel logout URI can be registered too: {told}")
