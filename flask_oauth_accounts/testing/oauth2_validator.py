"""OAuth 2: what oauthlib asks while it serves RFC 6749, 7009, 7636 and 7662."""

from __future__ import annotations

import hmac
import time
from typing import Any

from oauthlib.oauth2 import RequestValidator

from .client_auth import authenticate_client, find_public_client
from .journal import note
from .models import AccessToken, Code, Grant, RefreshToken
from .openid import create_id_token
from .state import ProviderState


class OAuth2Validator(RequestValidator):
    """Answers from :class:`ProviderState`; every call runs under its lock."""

    def __init__(self, state: ProviderState) -> None:
        self.state = state

    # clients

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        client = self.state.clients.get(request.client_id or "")
        return client is None or not client.is_public

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        client = authenticate_client(self.state, request)
        if client is not None and request.client_id in (None, client.client_id):
            request.client, request.client_id = client, client.client_id
            return True
        return False

    def authenticate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = find_public_client(self.state, request)
        return request.client is not None

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = self.state.clients.get(client_id)
        return request.client is not None

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return client.grant_types is None or grant_type in client.grant_types

    # authorization requests

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return self.state.clients[client_id].allows_redirect(redirect_uri)

    def get_default_redirect_uri(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> Any:
        registered = self.state.clients[client_id].redirect_uris
        return registered[0] if len(registered) == 1 else None

    def validate_response_type(
        self, client_id: str, response_type: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return response_type == "code"

    def get_default_scopes(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return ["profile"]

    def validate_scopes(
        self, client_id: str, scopes: list[str], client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return "invalid" not in scopes

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return self.state.settings.require_pkce or self.state.clients[client_id].is_public

    def save_authorization_code(self, client_id: str, code: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        limit = self.state.settings.granted_scope
        scope = tuple(name for name in request.scopes if limit is None or name in limit)
        grant = Grant(
            client_id, scope, request.user.username, nonce=request.nonce, auth_time=request.auth_time, sid=request.sid
        )
        self.state.codes[code["code"]] = Code(
            grant,
            request.redirect_uri,
            request.code_challenge,
            request.code_challenge_method,
            time.time() + self.state.settings.code_lifetime,
        )
        self.state.secrets.learn(code["code"])

    # codes

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        found = self.state.codes.get(code)
        if found is None or found.grant.client_id != client_id:
            return False
        if found.used:
            found.grant.revoked = True  # RFC 6749 section 4.1.2: a code that comes twice has been stolen
            return False
        if found.grant.revoked or found.expires_at <= time.time():
            return False
        self._use_grant(request, found.grant)
        request.scopes = list(found.grant.scope)
        return True

    def get_code_challenge(self, code: str, request: Any) -> Any:
        return self.state.codes[code].challenge

    def get_code_challenge_method(self, code: str, request: Any) -> Any:
        return self.state.codes[code].challenge_method

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, client: Any, request: Any, *args: Any, **kwargs: Any
    ) -> bool:
        return self.state.codes[code].redirect_uri == redirect_uri

    def invalidate_authorization_code(self, client_id: str, code: str, request: Any, *args: Any, **kwargs: Any) -> None:
        self.state.codes[code].used = True

    # refresh tokens

    def validate_refresh_token(self, refresh_token: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        found = self.state.refresh_tokens.get(refresh_token)
        if found is None or found.grant.revoked or found.grant.client_id != client.client_id:
            return False
        now, settings = time.time(), self.state.settings
        if found.expires_at is not None and found.expires_at <= now:
            return False
        if found.rotated_at is not None:
            if now - found.rotated_at >= settings.rotation_grace:
                found.grant.revoked = settings.reuse_detection
                return False
            request.successor = found.successor
        self._use_grant(request, found.grant)
        return True

    def get_original_scopes(self, refresh_token: str, request: Any, *args: Any, **kwargs: Any) -> list[str]:
        return list(self.state.refresh_tokens[refresh_token].grant.scope)

    def rotate_refresh_token(self, request: Any) -> bool:
        return self.state.settings.rotate_refresh_tokens

    # passwords and tokens

    def validate_user(self, username: str, password: str, client: Any, request: Any, *args: Any, **kwargs: Any) -> bool:
        user = self.state.users.get(username)
        if user is None or not hmac.compare_digest(user.password.encode(), password.encode()):
            return False
        request.user = user
        return True

    def save_bearer_token(self, token: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        successor = getattr(request, "successor", None)
        if successor is not None:
            token.clear()
            token.update(successor)
            return
        grant = getattr(request, "grant", None)
        if grant is None:
            grant = Grant(request.client_id, tuple(request.scopes), request.user.username if request.user else None)
        note(user=grant.username)
        self._save_access_token(token, grant, tuple(request.scopes))
        self._save_refresh_token(token, grant, request.refresh_token)
        user = self.state.users.get(grant.username or "")
        first = request.grant_type != "refresh_token"
        if user and "openid" in grant.scope and (first or self.state.settings.id_token_on_refresh):
            id_token = create_id_token(self.state, grant, user, access_token=token["access_token"], first=first)
            token.update({"id_token": id_token} if id_token is not None else {})
        self.state.secrets.learn(*(token.get(key) for key in ("access_token", "refresh_token", "id_token")))
        old = self.state.refresh_tokens.get(request.refresh_token or "")
        if old is not None and token.get("refresh_token") != request.refresh_token:
            old.rotated_at, old.successor = time.time(), dict(token)

    def validate_bearer_token(self, token: str | None, scopes: Any, request: Any) -> bool:
        found = self.state.find_access_token(token)
        if found is None:
            return False
        self._use_grant(request, found.grant)
        request.scopes = list(found.scope)
        return True

    def revoke_token(self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any) -> None:
        refresh, access = self.state.refresh_tokens.get(token), self.state.access_tokens.get(token)
        if refresh is not None and refresh.grant.client_id == request.client.client_id:
            refresh.grant.revoked = True
        elif access is not None and access.grant.client_id == request.client.client_id:
            access.revoked = True

    def introspect_token(
        self, token: str, token_type_hint: str, request: Any, *args: Any, **kwargs: Any
    ) -> dict[str, Any] | None:
        access, refresh = self.state.find_access_token(token), self.state.refresh_tokens.get(token)
        if access is not None:
            claims = _describe(access.grant, access.scope, access.expires_at)
            claims |= {"token_type": "Bearer", "iat": int(access.issued_at)}
        elif refresh is not None and refresh.rotated_at is None and not refresh.grant.revoked:
            claims = _describe(refresh.grant, refresh.grant.scope, refresh.expires_at)
        else:
            return None
        user = self.state.users.get(claims.get("username", ""))
        return claims | {"iss": self.state.url} | ({"sub": user.subject} if user else {})

    def is_origin_allowed(self, client_id: str, origin: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        return False

    def _use_grant(self, request: Any, grant: Grant) -> None:
        request.grant = grant
        request.user = self.state.users.get(grant.username or "")
        note(user=grant.username, client_id=grant.client_id)

    def _save_access_token(self, token: dict[str, Any], grant: Grant, scope: tuple[str, ...]) -> None:
        lifetime, now = self.state.settings.access_token_lifetime, time.time()
        if lifetime is None:
            token.pop("expires_in", None)
        expires_at = None if lifetime is None else now + lifetime
        self.state.access_tokens[token["access_token"]] = AccessToken(grant, scope, now, expires_at)

    def _save_refresh_token(self, token: dict[str, Any], grant: Grant, presented: str | None) -> None:
        if not self.state.settings.issue_refresh_tokens:
            token.pop("refresh_token", None)
        value, lifetime = token.get("refresh_token"), self.state.settings.refresh_token_lifetime
        if value and value != presented:
            expires_at = None if lifetime is None else time.time() + lifetime
            self.state.refresh_tokens[value] = RefreshToken(grant, expires_at)
        if value and lifetime is not None:
            token["refresh_token_expires_in"] = int(lifetime)


def _describe(grant: Grant, scope: tuple[str, ...], expires_at: float | None) -> dict[str, Any]:
    claims: dict[str, Any] = {"client_id": grant.client_id, "scope": " ".join(scope)}
    if grant.username is not None:
        claims["username"] = grant.username
    return claims | ({"exp": int(expires_at)} if expires_at is not None else {})
