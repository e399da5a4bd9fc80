"""A client bound to the request: the login's two halves, API calls with the right token, and the profile.

A client object holds no state of any user, but for a minute what a token of the application's own store was renewed
to, and which address refused a renewed one. What belongs to a request lies in that request's memo, what belongs to a
pending login in the flow store, what belongs to a user in the vault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..errors import ConfigurationError, InvalidTokenError, OAuthError, ProviderResponseError
from ..identity import Identity, UserInfo
from ..providers import map_profile
from ..providers.preset import IdentitySource
from ..tokens import TokenDict
from .logins import Logins
from .runtime import FinishedFlow, Runtime, Source, TokenCallbacks

__all__ = ["FinishedFlow", "RemoteApp", "Runtime", "TokenCallbacks"]


_T = TypeVar("_T")

_PROFILE = "profile"
"""Stands for the addresses that are asked about a user."""


class RemoteApp(Logins):
    """Base of :class:`OAuth1App` and :class:`OAuth2App`: it also says who somebody is."""

    def fetch_identity(self, finished: FinishedFlow) -> Identity:
        """Ask the provider who has just logged in.

        :raises OAuthError: if the provider does not say, or says what cannot be believed.
        """
        return self._identify(finished.token, finished.claims, finished.extra)

    def profile(self, token: Mapping[str, Any] | None = None) -> Identity:
        """Ask the provider about the user whose token this is.

        :param token: to ask with; the current user's when left out.
        :raises MissingTokenError: if there is no token.
        :raises OAuthError: if the provider does not say.
        """
        if token is not None:
            given = self._refresh_given(TokenDict(token))
            return self._identify(given, self._known_claims(given, Source.CALL), {})
        return self._ask(lambda usable, source: self._identify(usable, self._known_claims(usable, source), {}))

    def _ask(self, ask: Callable[[TokenDict, Source], _T]) -> _T:
        """Ask with a token of the user; where the provider refuses it, renew it and ask once more."""
        token, stored = self._usable_token()
        source = self._source_of(stored)
        try:
            return ask(token, source)
        except InvalidTokenError:
            renewed = self._renew_rejected(token, stored, _PROFILE)
            if renewed is None:
                raise
        try:
            return ask(renewed, source)
        except InvalidTokenError:
            self._note_refusal(renewed, _PROFILE)
            raise

    def _known_claims(self, token: TokenDict, source: Source) -> UserInfo | None:
        """The claims that came with a token, where there are any.

        :param source: of the token; it decides what has still to be checked.
        :raises IdTokenError: if they may not be believed.
        """
        claims = token.get("userinfo")
        return claims if isinstance(claims, UserInfo) else None

    def userinfo(
        self,
        token: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | tuple[float, float] | None = None,
    ) -> UserInfo:
        """Ask the userinfo endpoint.

        :param token: to ask with; the current user's when left out.
        :param params: of the query.
        :param headers: further ones.
        :param timeout: seconds to wait, one number or the pair of connect and read.
        :return: the raw claims.
        :raises OAuthError: if there is no such endpoint, or the provider does not say.
        """
        options = {"params": params, "headers": headers, "timeout": timeout}
        if token is not None:
            return self._fetch_profile(self._refresh_given(TokenDict(token)), None, **options)
        return self._ask(lambda usable, source: self._fetch_profile(usable, None, **options))

    def _identify(self, token: TokenDict, claims: UserInfo | None, extra: Mapping[str, Any]) -> Identity:
        source = self._identity_source()
        raw: Mapping[str, Any] = {}
        if source == "token_response":
            raw = token
        elif source == "userinfo" and (claims is None or self._has_userinfo()):
            raw = self._fetch_profile(token, claims)
            if not raw:
                raise ProviderResponseError(description="the profile is empty", provider=self.name)
        if not raw and claims is None:
            raise ConfigurationError(
                f"nothing says who is behind a token of {self.name}: set {self.name.upper()}_USERINFO_ENDPOINT",
                provider=self.name,
            )
        answers = {**extra, **self._fetch_extra(token)}
        return map_profile(
            self.preset, self.name, issuer=self._identity_issuer(claims), raw=raw, claims=claims, extra=answers
        )

    def _fetch_extra(self, token: TokenDict) -> dict[str, Any]:
        """Further answers that a preset names; without one of them its part of the profile stays empty."""
        answers: dict[str, Any] = {}
        for key, method, url in self.preset.extra_requests if self.preset else ():
            try:
                response = self._send(method, self.resolve_url(url), token, headers=self._api_headers(None))
                if response.status_code < 400:
                    answers[key] = response.json()
            except (OAuthError, ValueError, RecursionError):
                continue
        return answers

    def _identity_source(self) -> IdentitySource:
        return self.preset.identity_source if self.preset else "userinfo"

    def _has_userinfo(self) -> bool:
        return bool(self._config.userinfo_endpoint)

    def _identity_issuer(self, claims: UserInfo | None) -> str | None:
        return self._config.account_issuer

    def _fetch_profile(self, token: TokenDict, claims: UserInfo | None, **options: Any) -> UserInfo:
        raise NotImplementedError
