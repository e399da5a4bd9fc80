"""OpenID Connect without a framework: discovery, keys, ID tokens, logout tokens, userinfo.

The parts live in modules of their own; this is the door to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from ..errors import InvalidTokenError, ProviderResponseError
from .answers import check_status, decode_json
from .id_token import Issuer, check_signed_userinfo, validate_id_token, validate_logout_token
from .jwks import KeySource
from .jws import RefusedError, refuse, verify_token
from .metadata import MetadataSource, derive_issuer
from .origins import place_of

__all__ = [
    "Issuer",
    "KeySource",
    "MetadataSource",
    "check_userinfo_subject",
    "decode_userinfo",
    "derive_issuer",
    "validate_id_token",
    "validate_logout_token",
]


def decode_userinfo(
    response: requests.Response,
    *,
    provider: str,
    keys: KeySource | None = None,
    issuer: Issuer | None = None,
    client_id: str = "",
    client_secret: str | None = None,
    algorithms: Sequence[str] = ("RS256",),
) -> dict[str, Any]:
    """Read a userinfo answer (OpenID Connect Core section 5.3.2): a JSON object, or one that is signed.

    :param keys: the provider's keys, for a signed answer. Without them, or without ``issuer``, it is refused.
    :param issuer: the exact ``iss``, or a rule, as for :func:`validate_id_token`.
    :return: the claims; compare their subject by :func:`check_userinfo_subject`.
    :raises InvalidTokenError: if the endpoint answers 401: it does not accept the access token.
    :raises ProviderUnavailable: for 429 and 5xx.
    :raises ProviderResponseError: if the answer cannot be read or believed.
    """
    check_status(response, provider)
    if response.status_code == 401:
        raise InvalidTokenError(description=f"{place_of(response.url)} does not accept the token", provider=provider)
    if response.status_code != 200:
        raise ProviderResponseError(
            description=f"{place_of(response.url)} answered {response.status_code}", provider=provider
        )
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/jwt":
        claims = decode_json(response, provider)
        if not isinstance(claims, dict):
            raise ProviderResponseError(
                description=f"{place_of(response.url)} did not answer with a JSON object", provider=provider
            )
        return claims
    try:
        if keys is None or issuer is None:
            raise RefusedError("it is signed, and issuer and keys of this provider are not configured")
        _, claims = verify_token(
            response.content.strip().decode("ascii", "replace"), keys=keys, algorithms=algorithms,
            client_secret=client_secret, provider=provider, accepts_type=lambda kind: kind != "at+jwt",
        )  # fmt: skip
        check_signed_userinfo(claims, issuer=issuer, client_id=client_id)
    except RefusedError as error:
        refusal = refuse(ProviderResponseError, "userinfo answer", error, provider)
    else:
        return claims
    raise refusal


def check_userinfo_subject(claims: Mapping[str, Any], userinfo: Mapping[str, Any], *, provider: str) -> None:
    """Check that a userinfo answer is about the subject of the ID token (OpenID Connect Core section 5.3.2).

    :param claims: of the ID token.
    :raises ProviderResponseError: if ``sub`` is missing in the answer or another; none of it may then be used.
    """
    subject = userinfo.get("sub")
    if not isinstance(subject, str) or not subject or subject != claims.get("sub"):
        raise ProviderResponseError(
            description="the userinfo answer is not about the subject of the ID token", provider=provider
        )
