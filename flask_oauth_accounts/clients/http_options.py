"""Keywords of the HTTP request that an application may give for a token request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError

_OPTIONS = frozenset({"headers", "timeout", "verify", "cert", "proxies", "cookies"})
_OAUTH1_OPTIONS = _OPTIONS | {"params", "data", "json", "files"}
_OAUTH2_OPTIONS = _OPTIONS | {"auth"}
_OURS = frozenset({"allow_redirects", "stream", "hooks", "files", "json"})
"""Keywords of requests that change what a token request of OAuth 2 is."""


def check_oauth1_options(given: Mapping[str, Any], *, where: str, provider: str) -> None:
    """Check the keywords of an OAuth 1 token request, all of which belong to its HTTP request.

    :param given: ``request_token_params`` or ``access_token_params``; ``method`` and ``realm`` may be among them.
    :param where: what gave them, for the error.
    :param provider: the client's name.
    :raises ConfigurationError: for a keyword that cannot be given.
    """
    for key in given:
        if key not in _OAUTH1_OPTIONS and key not in ("method", "realm"):
            raise ConfigurationError(
                f"{where}: {key!r} cannot be given. These are keywords of the HTTP request: parameters go into "
                f'"params" or "data", and known are {", ".join(sorted(_OAUTH1_OPTIONS))}, method and realm',
                provider=provider,
            )


def split_oauth2_options(
    given: Mapping[str, Any], *, where: str, provider: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the keywords of an OAuth 2 token request that belong to its HTTP request from those of its form.

    :param given: both together; ``auth`` is requests', in place of the client authentication.
    :param where: what gave them, for the error.
    :param provider: the client's name.
    :return: the keywords of the HTTP request, and the form.
    :raises ConfigurationError: for a keyword that would make it another request.
    """
    options = {key: value for key, value in given.items() if key in _OAUTH2_OPTIONS and value is not None}
    form = {key: value for key, value in given.items() if key not in _OAUTH2_OPTIONS | _OURS | {"method"}}
    for key in sorted(_OURS & given.keys()):
        if given[key]:
            raise ConfigurationError(
                f"{where}: {key!r} cannot be given; a token request is one form that is posted to one address",
                provider=provider,
            )
    if str(given.get("method") or "POST").upper() != "POST":
        raise ConfigurationError(
            f"{where}: 'method' must be POST, or secrets would lie in the logs of addresses (RFC 6749 section 3.2)",
            provider=provider,
        )
    return options, form
