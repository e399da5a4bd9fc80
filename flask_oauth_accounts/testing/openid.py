"""OpenID Connect: ID tokens, claims, metadata, and the logout token of Back-Channel Logout 1.0."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from typing import Any

from joserfc import jwt

from .client_auth import METHODS
from .faults import Tampering
from .models import DevClient, DevUser, Grant
from .state import ProviderState

_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


def create_claims(state: ProviderState, user: DevUser, scope: Collection[str]) -> dict[str, Any]:
    """The claims about a user that a scope covers (OpenID Connect Core section 5.4).

    :param state: the provider's memory.
    :param user: whose claims.
    :param scope: what was consented to.
    :return: claims without empty values.
    """
    claims: dict[str, Any] = {"sub": user.subject}
    if "profile" in scope:
        claims |= {"name": user.name, "preferred_username": user.username, "picture": state.picture_url(user)}
    if "email" in scope:
        claims |= {"email": user.email, "email_verified": user.email_verified}
    return {key: value for key, value in {**claims, **user.claims}.items() if value is not None}


def create_id_token(state: ProviderState, grant: Grant, user: DevUser, *, access_token: str, first: bool) -> str | None:
    """Mint an ID token (OpenID Connect Core section 2), changed as scripted.

    :param state: the provider's memory.
    :param grant: the consent it belongs to.
    :param user: whom it is about.
    :param access_token: issued with it, for ``at_hash``.
    :param first: whether it answers an authorization request, and so carries its nonce.
    :return: a compact JWS, or ``None`` where the ID token is scripted to be left out.
    """
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": state.url,
        "aud": grant.client_id,
        "iat": now,
        "exp": now + int(state.settings.id_token_lifetime),
        "auth_time": grant.auth_time,
        "nonce": grant.nonce if first else None,
        "at_hash": hash_access_token(access_token),
        "sid": grant.sid,
        **create_claims(state, user, grant.scope),
    }
    tampering = state.faults.take_tampering("id_token")
    if tampering.options.get("omit"):
        return None
    return _sign(state, {key: value for key, value in claims.items() if value is not None}, tampering, "JWT")


def create_logout_token(
    state: ProviderState,
    client: DevClient,
    *,
    subject: str | None,
    sid: str | None,
    tampering: Tampering,
) -> str:
    """Mint a logout token (Back-Channel Logout 1.0 section 2.4).

    :param state: the provider's memory.
    :param client: the audience.
    :param subject: of the user who logged out; ``None`` leaves it out.
    :param sid: of the session that ended; ``None`` leaves it out.
    :param tampering: changes for tests of bad logout tokens.
    :return: a compact JWS.
    """
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": state.url,
        "aud": client.client_id,
        "iat": now,
        "exp": now + 120,
        "jti": secrets.token_hex(16),
        "events": {_LOGOUT_EVENT: {}},
        "sub": subject,
        "sid": sid,
    }
    return _sign(state, {key: value for key, value in claims.items() if value is not None}, tampering, "logout+jwt")


def hash_access_token(access_token: str) -> str:
    """:return: ``at_hash`` for the algorithms with SHA-256 (OpenID Connect Core section 3.1.3.6)."""
    return _base64url(hashlib.sha256(access_token.encode()).digest()[:16])


def _sign(state: ProviderState, claims: Mapping[str, Any], tampering: Tampering, typ: str) -> str:
    if tampering.raw is not None:
        return str(tampering.raw)
    options = tampering.options
    alg = options.get("alg") or state.settings.signing_alg
    key = options.get("key") or state.keys.current(state.settings.signing_alg)
    header = {"alg": alg, "typ": typ, "kid": getattr(key, "kid", None), **(options.get("header") or {})}
    header = {name: value for name, value in header.items() if value is not None}
    claims = tampering.apply(claims)
    if alg == "none" or isinstance(key, str | bytes):
        token = _sign_by_hand(header, claims, key)
    else:
        token = jwt.encode(header, claims, key, algorithms=[alg])
    return str(tampering.transform(token)) if tampering.transform else token


def _sign_by_hand(header: Mapping[str, Any], claims: Mapping[str, Any], key: Any) -> str:
    """Make what a JOSE library refuses to make: no signature, or an HMAC with any text, a public key for one."""
    signed = f"{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}"
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.get(header["alg"])
    if digest is None:
        return f"{signed}."
    secret = key.encode() if isinstance(key, str) else key
    return f"{signed}.{_base64url(hmac.digest(secret, signed.encode(), digest))}"


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def create_metadata(state: ProviderState) -> dict[str, Any]:
    """:return: the metadata document (RFC 8414, OpenID Connect Discovery section 3), without scripted changes."""
    url, alg = state.url, state.settings.signing_alg
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/oauth2/authorize",
        "token_endpoint": f"{url}/oauth2/token",
        "revocation_endpoint": f"{url}/oauth2/revoke",
        "introspection_endpoint": f"{url}/oauth2/introspect",
        "userinfo_endpoint": f"{url}/oauth2/userinfo",
        "end_session_endpoint": f"{url}/logout",
        "jwks_uri": f"{url}/jwks.json",
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", "password"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [alg],
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": ["HS256", "RS256", "PS256", "ES256"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["sub", "name", "preferred_username", "picture", "email", "email_verified"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "authorization_response_iss_parameter_supported": state.settings.iss_in_callback,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


def create_jwks(state: ProviderState) -> dict[str, Any]:
    """:return: the public keys (RFC 7517 section 5), the current one first."""
    return {"keys": [key.as_dict(private=False) for key in state.keys.published(state.settings.signing_alg)]}
