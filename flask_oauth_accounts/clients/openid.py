"""OpenID Connect for one client: metadata, keys and ID tokens, put together from the client's settings."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import requests

from ..errors import ConfigurationError, IdTokenError, IssuerMismatchError, OAuthError
from ..identity import UserInfo
from ..protocols import Clock
from ..providers import accepts_metadata_issuer, match_issuer
from ..tokens import hide
from .base import ClientConfig
from .id_token import UncheckableIdTokenError
from .oidc import (
    KeySource,
    MetadataSource,
    check_userinfo_subject,
    decode_userinfo,
    validate_id_token,
    validate_logout_token,
)
from .transport import Transport

_STATIC_NAMES = {
    "authorization_endpoint": "authorize_url",
    "token_endpoint": "access_token_url",
    "userinfo_endpoint": "userinfo_endpoint",
    "jwks_uri": "jwks_uri",
    "revocation_endpoint": "revocation_endpoint",
    "introspection_endpoint": "introspection_endpoint",
    "end_session_endpoint": "end_session_endpoint",
}


class OpenIDSupport:
    """What an OAuth 2 client knows of its provider, beyond the two endpoints of RFC 6749.

    :param config: the client's settings.
    :param transport: the client's connections.
    """

    def __init__(self, config: ClientConfig, transport: Transport, *, clock: Clock = time.time) -> None:
        self.config = config
        self.clock = clock
        self._transport = transport
        static = {name: getattr(config, key) for name, key in _STATIC_NAMES.items() if getattr(config, key)}
        self._metadata = self._create_source({**config.metadata, **static})
        self._keys = KeySource(
            transport,
            provider=config.name,
            uri=lambda: self.load_metadata().get("jwks_uri"),
            jwks=config.jwks,
            clock=clock,
        )

    def _create_source(self, static: Mapping[str, Any]) -> MetadataSource:
        return MetadataSource(
            self._transport,
            provider=self.config.name,
            url=self.config.server_metadata_url,
            issuer=self.config.issuer,
            issuer_aliases=self._issuer_aliases(),
            static=static,
            allow_http=self.config.allow_http,
            clock=self.clock,
        )

    def load_metadata(self) -> Mapping[str, Any]:
        """The provider's metadata; what the application has set wins over what was discovered.

        :raises OAuthError: if it cannot be had or names another issuer.
        """
        return self._metadata.load()

    def check_endpoint(self, name: str) -> None:
        """Say why an endpoint is missing, where the provider has named it.

        :param name: of the metadata value.
        :raises ProviderResponseError: if the metadata names one that may not be used; and what :meth:`load_metadata`
            raises.
        """
        self._metadata.check_endpoint(name)

    def fetch_document(self) -> Mapping[str, Any]:
        """The discovery document as the provider publishes it now, without what the application has set.

        :raises OAuthError: if it cannot be had or names another issuer.
        """
        return self._create_source({}).load()

    def fetch_jwk_set(self, *, force: bool = False) -> Mapping[str, Any]:
        """The provider's keys (RFC 7517 section 5).

        :param force: ask again.
        :raises OAuthError: if they cannot be had.
        """
        return self._keys.fetch(force=force)

    def issuer_or_none(self) -> str | None:
        """The issuer from configuration, else from discovery, ``None`` where nobody says.

        Discovery accepts a document whose issuer differs from the configured one by the slash at the end. Tokens have
        the document's spelling, so it counts then.
        """
        configured = self.config.issuer or None
        if not self.config.server_metadata_url:
            return configured
        try:
            found = self.load_metadata().get("issuer")
        except OAuthError:
            if configured is None:
                raise
            return configured
        if not isinstance(found, str) or not found:
            return configured
        is_same = configured is None or found.removesuffix("/") == configured.removesuffix("/")
        return found if is_same else configured

    def _require_issuer(self) -> str:
        issuer = self.issuer_or_none()
        if issuer is None:
            raise ConfigurationError(
                f"{self.config.name} asks for openid, but nobody says who issues its ID tokens: set "
                f"{self.config.name.upper()}_SERVER_METADATA_URL or {self.config.name.upper()}_ISSUER",
                provider=self.config.name,
            )
        return issuer

    def _issuer_aliases(self) -> tuple[str, ...]:
        preset = self.config.preset
        if preset is None:
            return tuple(self.config.issuer_aliases)
        template = (preset.issuer_template,) if preset.issuer_template else ()
        return (*self.config.issuer_aliases, *preset.issuer_aliases, *template)

    def check_callback_issuer(self, iss: str | None) -> None:
        """Check ``iss`` of the authorization response (RFC 9207 section 2.4).

        A provider whose issuer nobody has named is taken at its word, as there is nothing to compare with.

        :raises IssuerMismatchError: if it is another server's, or missing although the provider has announced it.
        """
        if iss is None:
            announced = self.load_metadata().get("authorization_response_iss_parameter_supported")
            if announced is True:
                raise IssuerMismatchError(provider=self.config.name)
            return
        expected = self.issuer_or_none()
        if expected is None or iss == expected or self._is_other_spelling(iss, expected):
            return
        preset = self.config.preset
        if preset is not None and (iss in preset.issuer_aliases or self._is_tenant_of(expected, iss)):
            return
        raise IssuerMismatchError(provider=self.config.name)

    def _is_tenant_of(self, expected: str, iss: str) -> bool:
        preset = self.config.preset
        template = preset.issuer_template if preset is not None else None
        return bool(template) and expected == template and accepts_metadata_issuer(preset, None, iss)

    def canonical_issuer(self, claims: Mapping[str, Any]) -> str:
        """The one spelling of the issuer of a validated ID token that is stored.

        :raises IdTokenError: if it is another issuer.
        """
        issuer = self._require_issuer()
        if self._is_other_spelling(claims.get("iss"), issuer):
            return issuer
        return match_issuer(self.config.preset, self.config.parameters, issuer, claims, provider=self.config.name)

    def _is_other_spelling(self, iss: object, issuer: str) -> bool:
        return iss in self.config.issuer_aliases or iss == self.config.issuer != issuer

    def _accepts_claimed_issuer(self, claims: Mapping[str, Any]) -> bool:
        try:
            self.canonical_issuer(claims)
        except IdTokenError:
            return False
        return True

    def validate_id_token(
        self,
        id_token: str,
        *,
        nonce: str | None,
        access_token: str | None = None,
        max_age: int | None = None,
        acr_values: str | None = None,
        leeway: float | None = None,
        issued_within: float | None = 86400.0,
        check_expiry: bool = True,
    ) -> UserInfo:
        """Validate an ID token (OpenID Connect Core section 3.1.3.7).

        :param nonce: the one that was sent, ``None`` if none was.
        :param access_token: of the same answer, for ``at_hash``.
        :param max_age: seconds since the last authentication, where that was asked for.
        :param acr_values: the authentication contexts that were asked for, separated by spaces.
        :param leeway: seconds of clock difference; when left out, the client's own, else 60.
        :param issued_within: seconds since ``iat``.
        :param check_expiry: ``False`` for a token that was kept and may have expired since.
        :return: its claims.
        :raises IdTokenError: if it may not be believed.
        """
        if leeway is None:
            leeway = 60.0 if self.config.leeway is None else self.config.leeway
        claims = validate_id_token(
            id_token,
            keys=self._keys,
            issuer=self._accepts_claimed_issuer,
            client_id=str(self.config.require("client_id")),
            client_secret=hide(self.config.client_secret),
            algorithms=self.config.id_token_signing_algs,
            nonce=nonce,
            access_token=access_token,
            max_age=max_age,
            leeway=leeway,
            now=self.clock(),
            provider=self.config.name,
            issued_within=issued_within,
            check_expiry=check_expiry,
            trusted_audiences=self.config.trusted_audiences,
        )
        if acr_values and claims.get("acr") not in acr_values.split():
            raise IdTokenError(description="acr is none of those that were asked for", provider=self.config.name)
        return claims

    def prepare_refresh(self, *, needs_keys: bool) -> None:
        """Load the metadata before a refresh, and the keys for :meth:`check_refreshed_id_token`.

        What cannot be had now fails where it is needed.
        """
        with suppress(OAuthError):
            self.load_metadata()
            if needs_keys:
                self.fetch_jwk_set()

    def check_refreshed_id_token(self, id_token: str, old_id_token: str | None, account: str) -> bool:
        """Validate the ID token of a refresh answer (OpenID Connect Core section 12.2): issuer and subject as before.

        :param old_id_token: the stored one, if there is one.
        :param account: the stored subject, for providers whose subject is ``sub``.
        :return: ``False`` if the key cannot be had, so that its signature is not checked: it must not be kept, but
            the answer, which came from the token endpoint itself, may be used (section 3.1.3.7, number 6).
        :raises IdTokenError: if it may not be believed or is about somebody else.
        """
        old = _read_claims(old_id_token) if old_id_token else None
        try:
            claims, is_checked = self.validate_id_token(id_token, nonce=None), True
        except OAuthError as error:
            if isinstance(error, IdTokenError) and not isinstance(error, UncheckableIdTokenError):
                raise
            # The old refresh token is spent by now: without this answer the grant would be lost.
            claims, is_checked = _read_claims(id_token) or UserInfo(), False
        is_same_issuer = is_checked or old is None or claims.get("iss") == old.get("iss")
        expected = self._find_subject(old, account)
        if not is_same_issuer or (expected is not None and claims.get("sub") != expected):
            raise IdTokenError(description="the refreshed ID token is about another subject", provider=self.config.name)
        return is_checked

    def _find_subject(self, old: UserInfo | None, account: str) -> str | None:
        subject = old.get("sub") if old is not None else None
        if isinstance(subject, str):
            return subject
        preset = self.config.preset
        return account or None if preset is None or preset.profile.subject == "sub" else None

    def validate_kept_id_token(self, id_token: str, *, check_expiry: bool) -> UserInfo:
        """Validate an ID token that does not come from a login of this request, so that nothing is known of its nonce.

        :param check_expiry: ``False`` where it may have expired since it was kept.
        :return: its claims.
        :raises IdTokenError: if its signature, issuer or audience, or its expiry where that counts, does not hold.
        """
        return self.validate_id_token(id_token, nonce=None, issued_within=None, check_expiry=check_expiry)

    def read_stored_id_token(self, id_token: str) -> UserInfo | None:
        """The claims of an ID token that was validated before it was stored; it may have expired since.

        :return: the claims, ``None`` where it cannot be read.
        """
        return _read_claims(id_token)

    def validate_logout_token(self, logout_token: str) -> dict[str, Any]:
        """Validate a logout token (Back-Channel Logout 1.0 section 2.6).

        :raises IdTokenError: if it may not be believed.
        """
        claims = validate_logout_token(
            logout_token,
            keys=self._keys,
            issuer=self._accepts_claimed_issuer,
            client_id=str(self.config.require("client_id")),
            client_secret=hide(self.config.client_secret),
            algorithms=self.config.id_token_signing_algs,
            now=self.clock(),
            provider=self.config.name,
        )
        return {**claims, "iss": self.canonical_issuer(claims)}

    def read_userinfo(self, response: requests.Response, *, subject: str | None) -> UserInfo:
        """Read a userinfo answer, plain or signed (OpenID Connect Core section 5.3.2).

        :param subject: ``sub`` that it must repeat, where an ID token gave one.
        :raises InvalidTokenError: if the endpoint does not accept the token.
        :raises ProviderUnavailable: for 429 and 5xx.
        :raises ProviderResponseError: if it makes no sense, its signature does not hold or it is about somebody else.
        """
        userinfo = decode_userinfo(
            response,
            provider=self.config.name,
            keys=self._keys,
            issuer=self._accepts_claimed_issuer,
            client_id=str(self.config.client_id or ""),
            client_secret=hide(self.config.client_secret),
            algorithms=self.config.id_token_signing_algs,
        )
        if subject is not None:
            check_userinfo_subject({"sub": subject}, userinfo, provider=self.config.name)
        return UserInfo(userinfo)


def _read_claims(id_token: str) -> UserInfo | None:
    try:
        payload = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return None
    return UserInfo(claims) if isinstance(claims, dict) else None
