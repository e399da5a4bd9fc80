"""Who vouches for a subject, and which spellings of an issuer mean the same one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import IdTokenError
from .placeholders import fill
from .preset import Preset

_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONSUMERS_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
_SHARED_TENANTS = ("common", "organizations")

# Whoever answers at these addresses says who somebody is.
_DECISIVE = ("api_base_url", "userinfo_endpoint", "access_token_url")
_DECISIVE_OPENID = (*_DECISIVE, "server_metadata_url", "issuer", "jwks_uri", "jwks")


def account_issuer(preset: Preset | None, parameters: Mapping[str, str], registration: Mapping[str, Any]) -> str | None:
    """Decide whose subjects a client without an ID token reads.

    An issuer that the application has given wins. The preset's own holds only while the profile is asked where the
    preset says: a client whose endpoints were moved to another server reads other people's numbers, and number 1 there
    must not become number 1 here. Otherwise the origin of the API, else of the authorization endpoint, stands for it.

    :param preset: the provider's facts, if there are any.
    :param parameters: values of the preset's placeholders.
    :param registration: the merged arguments of the client.
    :return: the issuer, or ``None`` where no address is known.
    """
    values = _complete(preset, parameters) if preset else None
    own = preset.settings(values) if preset and values is not None else {}
    if registration.get("issuer") and registration["issuer"] != own.get("issuer"):
        return str(registration["issuer"])
    if preset and values is not None and all(registration.get(key) == own.get(key) for key in _DECISIVE):
        if own.get("issuer"):
            return str(own["issuer"])
        if preset.account_issuer:
            return fill(preset.account_issuer, values)
    for key in ("api_base_url", "userinfo_endpoint", "authorize_url", "access_token_url"):
        parts = urlsplit(str(registration.get(key) or ""))
        if parts.scheme and parts.hostname:
            return f"{parts.scheme}://{parts.netloc.lower()}"
    return None


def decide_email_trust(preset: Preset | None, parameters: Mapping[str, str], registration: Mapping[str, Any]) -> bool:
    """Decide whether a client's "verified" may link accounts, where the operator allows that at all.

    The preset's good name belongs to its provider, not to another server that is asked under the same name. A server
    on this very machine may stand in for it: that is how an application tests its linking.

    :param preset: the provider's facts, if there are any.
    :param parameters: values of the preset's placeholders.
    :param registration: the merged arguments of the client.
    """
    if preset is None or not preset.trusts_email:
        return False
    own = preset.settings(parameters, own_server=True)
    keys = _DECISIVE_OPENID if preset.is_openid else _DECISIVE
    values = {key: registration.get(key) or None for key in keys}
    return all(values[key] == own.get(key) for key in keys) or _stands_in(values.values())


def _stands_in(values: Iterable[Any]) -> bool:
    """Whether whoever answers does so on this machine; an address relative to another one goes with it."""
    given = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in given):
        return False
    hosts = [urlsplit(value).hostname for value in given if urlsplit(value).netloc]
    return bool(hosts) and all(host in _THIS_MACHINE for host in hosts)


def _complete(preset: Preset, parameters: Mapping[str, str]) -> dict[str, str] | None:
    """The values with their defaults; ``None`` where the application has replaced every address and gives none."""
    if any(item.required and not parameters.get(item.name) for item in preset.placeholders):
        return None
    return preset.collect_parameters(preset.key, {}, parameters)


def accepts_metadata_issuer(preset: Preset | None, configured: str | None, discovered: object) -> bool:
    """Whether a discovery document names the issuer that it must (OpenID Connect Discovery section 4.3).

    :param preset: the provider's facts, if there are any.
    :param configured: the issuer that is configured, or that the document's address leads to.
    :param discovered: ``issuer`` of the document.
    """
    if not isinstance(discovered, str) or not discovered:
        return False
    if preset and preset.issuer_template:
        if discovered == preset.issuer_template:
            return True
        head, _, tail = preset.issuer_template.partition("{tenantid}")
        tenant = discovered.removeprefix(head).removesuffix(tail)
        return discovered == f"{head}{tenant}{tail}" and bool(_GUID.fullmatch(tenant))
    return configured is None or discovered == configured


def match_issuer(
    preset: Preset | None,
    parameters: Mapping[str, str],
    expected: str,
    claims: Mapping[str, Any],
    *,
    provider: str | None = None,
) -> str:
    """Check ``iss`` of an ID token (OpenID Connect Core section 3.1.3.7, number 2).

    :param preset: the provider's facts, if there are any.
    :param parameters: values of the preset's placeholders.
    :param expected: the issuer from configuration or discovery.
    :param claims: of the ID token.
    :param provider: name of the client, for the error and the configuration key in it.
    :return: the one spelling that is stored.
    :raises IdTokenError: if it is another issuer, or a tenant that is not allowed.
    """
    claimed = claims.get("iss")
    if preset and preset.issuer_template and (expected == preset.issuer_template or _is_tenant(preset, expected)):
        return _match_tenant(preset, parameters, expected, claims, provider)
    if isinstance(claimed, str) and claimed:
        if claimed == expected:
            return expected
        if preset and expected == preset.issuer and claimed in preset.issuer_aliases:
            return expected
    raise IdTokenError(description="iss is not the issuer of this provider", provider=provider)


def lacks_tenants(preset: Preset, parameters: Mapping[str, str]) -> bool:
    """Whether people of many tenants may start a login, and none of these tenants is admitted.

    :param preset: the provider's facts.
    :param parameters: values of its placeholders.
    """
    is_shared = (parameters.get("tenant") or "common").lower() in _SHARED_TENANTS
    return bool(preset.issuer_template) and is_shared and not parameters.get("allowed_tenants")


def _is_tenant(preset: Preset, issuer: str) -> bool:
    return accepts_metadata_issuer(preset, None, issuer)


def _match_tenant(
    preset: Preset, parameters: Mapping[str, str], expected: str, claims: Mapping[str, Any], provider: str | None
) -> str:
    tenant = claims.get("tid")
    template = preset.issuer_template or ""
    if not isinstance(tenant, str) or not _GUID.fullmatch(tenant):
        raise IdTokenError(description="tid is missing or is not the id of a tenant", provider=provider)
    issuer = template.replace("{tenantid}", tenant)
    if claims.get("iss") != issuer or expected not in (template, issuer):
        raise IdTokenError(description="iss is not the issuer of this provider", provider=provider)
    if not _tenant_is_allowed(parameters, expected == issuer, tenant):
        key = f"{provider or preset.key}_ALLOWED_TENANTS".upper()
        raise IdTokenError(
            description=f'tenant {tenant} is not in {key}; add it, or "*" for every tenant', provider=provider
        )
    return issuer


def _tenant_is_allowed(parameters: Mapping[str, str], fixed: bool, tenant: str) -> bool:
    """``fixed``: discovery was about this very tenant, as it is where a domain name was configured."""
    configured = (parameters.get("tenant") or "common").lower()
    allowed = [word.lower() for word in (parameters.get("allowed_tenants") or "").split(",") if word]
    if configured in _SHARED_TENANTS:
        if configured == "organizations" and tenant == _CONSUMERS_TENANT:
            return False
        return "*" in allowed or tenant in allowed
    if configured == "consumers":
        return tenant == _CONSUMERS_TENANT
    return tenant == configured or (fixed and not _GUID.fullmatch(configured))
