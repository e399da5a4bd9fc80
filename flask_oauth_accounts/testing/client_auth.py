"""How an application proves who it is: RFC 6749 section 2.3 and RFC 7523."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode
from typing import Any
from urllib.parse import unquote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey
from oauthlib.common import Request

from .journal import decode_basic, note
from .keys import find_public_key
from .models import DevClient
from .state import ProviderState

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
METHODS = ("client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "private_key_jwt")


def authenticate_client(state: ProviderState, request: Request) -> DevClient | None:
    """Find the client that a request at the token, revocation or introspection endpoint comes from.

    :param state: the provider's memory.
    :param request: a parsed request.
    :return: the client, or ``None`` if it does not prove who it is, or tries to in two ways at once.
    """
    basic = _basic_credentials(request)
    secret = getattr(request, "client_secret", None)
    assertion = getattr(request, "client_assertion", None)
    if sum(proof is not None for proof in (basic, secret, assertion)) > 1:
        return None
    if basic is not None:
        return _check_secret(state, "client_secret_basic", *basic)
    if assertion is not None:
        return _check_assertion(state, request, assertion)
    if secret is not None:
        return _check_secret(state, "client_secret_post", request.client_id, secret)
    return find_public_client(state, request)


def find_public_client(state: ProviderState, request: Request) -> DevClient | None:
    """:return: the client named by ``client_id`` if it is one that cannot authenticate, and does not try to."""
    client = state.clients.get(request.client_id or "")
    if client is None or not client.is_public or _basic_credentials(request) is not None:
        return None
    return _accept(client, "none")


def _basic_credentials(request: Request) -> tuple[str, str] | None:
    scheme, _, rest = str(request.headers.get("Authorization", "")).partition(" ")
    if scheme.lower() != "basic":
        return None
    parts = decode_basic(rest)
    return (parts[0], parts[1]) if parts else ("", "")


def _check_secret(state: ProviderState, method: str, client_id: str | None, secret: str) -> DevClient | None:
    candidates = {(client_id or "", secret)}
    if method == "client_secret_basic":
        candidates.add((unquote_plus(client_id or ""), unquote_plus(secret)))
    for name, value in candidates:
        client = state.clients.get(name)
        expected = client.client_secret if client else None
        if client and expected is not None and hmac.compare_digest(expected.encode(), value.encode()):
            return _accept(client, method)
    return None


def _accept(client: DevClient, method: str) -> DevClient | None:
    if client.auth_methods is not None and method not in client.auth_methods:
        return None
    note(client_id=client.client_id, client_auth=method)
    return client


def _check_assertion(state: ProviderState, request: Request, assertion: str) -> DevClient | None:
    if getattr(request, "client_assertion_type", None) != ASSERTION_TYPE:
        return None
    header, claims = _peek(assertion, 0), _peek(assertion, 1)
    client = state.clients.get(str(claims.get("iss")))
    if client is None:
        return None
    method, key = _assertion_key(client, str(header.get("alg")))
    if key is None:
        return None
    try:
        token = jwt.decode(assertion, key, algorithms=[str(header["alg"])])
        jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": client.client_id},
            sub={"essential": True, "value": client.client_id},
            aud={"essential": True, "values": [state.url, f"{state.url}/oauth2/token", _plain_url(state, request)]},
            exp={"essential": True},
            jti={"essential": True},
        ).validate(token.claims)
    except (JoseError, ValueError, TypeError):
        return None
    return _accept(client, method) if state.use_once("jti", client.client_id, str(token.claims["jti"])) else None


def _assertion_key(client: DevClient, alg: str) -> tuple[str, Any]:
    if alg in {"HS256", "HS384", "HS512"} and client.client_secret:
        return "client_secret_jwt", OctKey.import_key(client.client_secret)
    pem = find_public_key(client)
    if alg in {"RS256", "PS256"} and pem:
        return "private_key_jwt", RSAKey.import_key(pem)
    if alg == "ES256" and pem:
        return "private_key_jwt", ECKey.import_key(pem)
    return "", None


def _plain_url(state: ProviderState, request: Request) -> str:
    """The endpoint's address as the client knows it, without the https that oauthlib was handed."""
    path = str(request.uri).split("://", 1)[-1].partition("/")[2].partition("?")[0]
    return f"{state.url}/{path}"


def _peek(assertion: str, part: int) -> dict[str, Any]:
    """Read header or claims before the key is known; nothing here is believed until the signature is checked."""
    try:
        segment = assertion.split(".")[part]
        values = json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, IndexError):
        return {}
    return values if isinstance(values, dict) else {}
