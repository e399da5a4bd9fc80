"""Addresses of this application, as the browser sees them."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, request, url_for
from werkzeug.exceptions import BadRequest
from werkzeug.routing import BuildError

from ..errors import clean_text
from ..registry import get_state
from .negotiation import read_field
from .redirects import is_secure_address, join_external, safe_next

logger = logging.getLogger(__name__)

_RESERVED = ("login_page", "logout")
_RESERVED_BY_NAME = ("authorize", "connect", "login", "backchannel_logout")
_PLACEHOLDER = "x"


def create_external_url(endpoint: str, **values: Any) -> str:
    """Write the absolute address of one of our endpoints.

    :param endpoint: relative to the blueprint, as ``".authorize"``.
    :param values: of the route's variables.
    :return: under ``OAUTH_ACCOUNTS_EXTERNAL_URL`` where it is set, else under the address of the request.
    :raises werkzeug.exceptions.BadRequest: if the request names no usable host.
    """
    path = url_for(endpoint, **values)
    external = get_state().settings.external_url
    if external:
        return join_external(external, request.script_root, path)
    host = request.host
    try:
        usable = bool(host) and urlsplit(f"{request.scheme}://{host}").hostname is not None
    except ValueError:
        usable = False
    if not usable:
        raise BadRequest("The host of this request cannot be used.")
    return f"{request.scheme}://{host}{path}"


def create_redirect_uri(name: str) -> str:
    """Write the redirect URI of a provider (RFC 6749 section 3.1.2); each has one of its own.

    An address that is neither https nor on this machine is named in the log: codes would pass in the clear.

    :param name: of the client.
    """
    address = create_external_url(".authorize", name=name)
    if not (current_app.debug or current_app.testing or is_secure_address(address)):
        logger.warning(
            "the redirect URI %s is not https; set OAUTH_ACCOUNTS_EXTERNAL_URL, or ProxyFix behind a proxy",
            clean_text(address, 200),
        )
    return address


def read_next() -> str | None:
    """:return: the safe ``next`` of the current request, from its query, form or JSON body."""
    return check_next(read_field("next"))


def check_next(value: object) -> str | None:
    """:return: ``value`` if it may be redirected to, else ``None``; used wherever a target comes from outside."""
    origins = [f"{request.scheme}://{request.host}"]
    external = get_state().settings.external_url
    if external:
        origins.append(external)
    return safe_next(value, origins=origins, siblings=list_siblings(), reserved=list_reserved_paths())


def list_siblings() -> list[str]:
    """:return: the origins of an application that lies on several hosts: of ``SERVER_NAME``, and of those below it that
    its rules name. One that does not match subdomains lies on one host, and nothing below it is its own.
    """
    server_name = current_app.config["SERVER_NAME"]
    if not server_name or not current_app.subdomain_matching:
        return []
    external = get_state().settings.external_url
    scheme = urlsplit(external).scheme if external else request.scheme
    names = {rule.subdomain or "" for rule in current_app.url_map.iter_rules()}
    hosts = [f"{name}.{server_name}".removeprefix(".") for name in sorted(names) if "<" not in name]
    return [f"{scheme}://{host}" for host in hosts]


def find_home() -> str:
    """:return: the origin of the current request where the application lies on several hosts, else ``""``."""
    return next((origin for origin in list_siblings() if origin.endswith(f"://{request.host.lower()}")), "")


def list_reserved_paths() -> list[str]:
    """:return: the paths of our pages that no login may lead to, for they start, finish or end one."""
    paths = [url_for(f".{endpoint}") for endpoint in _RESERVED]
    named = [url_for(f".{endpoint}", name=_PLACEHOLDER) for endpoint in _RESERVED_BY_NAME]
    return paths + [path.rsplit("/", 1)[0] for path in named]


def resolve_target(target: str | None, default: str) -> str:
    """Turn a setting into an address.

    :param target: a path, an absolute address, or the name of an endpoint; ``None`` where it is not set.
    :param default: where to go instead; also when the endpoint does not exist, which is logged.
    """
    if not target:
        return default
    if target.startswith("/") or "://" in target:
        return target
    try:
        return url_for(target)
    except BuildError:
        logger.error("there is no endpoint %r; mend OAUTH_ACCOUNTS_LOGIN_REDIRECT or _LOGOUT_REDIRECT", target)  # noqa: TRY400
        return default
