"""When a token is renewed: one of the vault, one of the application's own store, one that came with the call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..clients.oauth2 import OAuth2Client
from ..errors import (
    MissingTokenError,
    OAuthError,
    ProviderResponseError,
    ProviderUnavailable,
    ReauthorizationRequired,
    TokenExpiredError,
    TokenRequestError,
)
from ..tokens import Secret, StoredToken, TokenDict, hide, is_due, merge_refreshed, parse_expires_at, parse_expires_in
from ..vault.decide import TERMINAL_CODES
from .refreshing import OwnRefresher, Refusals, fingerprint
from .revoking import RevocationMixin

_logger = logging.getLogger("flask_oauth_accounts")

_RENEWALS = 8
"""How often one token is followed to the one that replaced it."""


class RenewalMixin(RevocationMixin):
    """What an OAuth 2 client does so that a token is fresh when it is used."""

    _client: OAuth2Client
    _refresher: OwnRefresher
    _refusals: Refusals

    def refresh_stored(self, stored: StoredToken) -> TokenDict:
        """Ask the provider to renew a stored token; nothing is written.

        :param stored: with a refresh token.
        :return: the answer alone.
        :raises OAuthError: as :meth:`OAuth2Client.refresh_token`; :class:`IdTokenError` where the answer speaks of
            another subject.
        """
        return self._ask_provider(stored.token, stored.account)

    def _prepare(self, token: Mapping[str, Any]) -> None:
        self._client.openid.prepare_refresh(needs_keys=bool(token.get("id_token")) and self.is_openid)

    def _ask_provider(self, token: Mapping[str, Any], account: str) -> TokenDict:
        """OpenID Connect Core section 12.2: a refreshed ID token is about the same subject."""
        answer = self._client.refresh_token(Secret(token["refresh_token"]))
        if answer.get("id_token") and self.is_openid:
            new, old = Secret(answer["id_token"]), hide(token.get("id_token"))
            if not self._client.openid.check_refreshed_id_token(new, old, account):
                del answer["id_token"]
        return answer

    def _freshen(self, stored: StoredToken, rejected: str | None = None) -> StoredToken:
        vault = self._runtime.vault
        assert vault is not None
        try:
            fresh: StoredToken = vault.fresh(
                stored,
                self.refresh_stored,
                rejected=rejected,
                leeway=self._config.leeway,
                prepare=partial(self._prepare, stored.token),
                on_orphan=self._drop_orphan,
            )
        except ReauthorizationRequired as error:
            build = self._runtime.reauthorize_url
            url = build(self.name, stored) if build is not None else None
            raise ReauthorizationRequired(error.error, error.description, provider=self.name, url=url) from error
        if fresh is not stored:
            binding = self._binding
            account = binding.account if binding else None
            self._memo().remember_stored(self._memo_key(), stored.user_id, account, fresh)
        return fresh

    def refresh_now(self, stored: StoredToken, *, within: float | None = None) -> StoredToken:
        """Refresh a stored token ahead of time, for the command line and for cron.

        :param stored: the row as it was loaded.
        :param within: only if it expires within so many seconds.
        :return: the row as it is now.
        :raises OAuthError: as :meth:`~flask_oauth_accounts.vault.refresh.Vault.refresh_now`.
        """
        vault = self._runtime.vault
        assert vault is not None
        return vault.refresh_now(
            stored,
            self.refresh_stored,
            within=within,
            prepare=partial(self._prepare, stored.token),
            on_orphan=self._drop_orphan,
        )

    def _drop_orphan(self, token: Mapping[str, Any]) -> None:
        """A grant that was renewed while its row was deleted must not live on at the provider."""
        try:
            self.revoke_token(token)
        except OAuthError:
            return

    def _refresh_own(self, token: TokenDict) -> TokenDict:
        if not token.get("access_token"):
            raise MissingTokenError(provider=self.name)
        for _ in range(_RENEWALS):
            if not self._is_due(token):
                break
            known = self._refresher.find(token)
            if known is None:
                # What the provider gives now is used as it is, even if it lives so short that it is due again.
                return self._refresh_due(token)
            token = self._remember_renewed(token, known)
        return token

    def _is_due(self, token: TokenDict) -> bool:
        return is_due(
            parse_expires_at(token.get("expires_at")),
            parse_expires_in(token.get("expires_in")),
            now=self._runtime.clock(),
            leeway=self._runtime.settings.refresh_leeway if self._config.leeway is None else self._config.leeway,
        )

    def _refresh_due(self, token: TokenDict) -> TokenDict:
        """Renew a token that is due; one that is still valid is used where it cannot be renewed."""
        expired = token.is_expired(self._runtime.clock())
        if not self._can_refresh(token):
            if expired:
                raise TokenExpiredError(provider=self.name)
            return token
        try:
            return self._renew(token)
        except (ProviderUnavailable, ProviderResponseError):
            if expired:
                raise
            return token

    def _can_refresh(self, token: TokenDict) -> bool:
        config = self._config
        known = config.refresh_token_url or config.access_token_url or config.server_metadata_url
        return bool(token.get("refresh_token") and known)

    def _renew(self, token: TokenDict) -> TokenDict:
        return self._remember_renewed(token, self._refresher.renew(token, self._ask_and_store))

    def _remember_renewed(self, token: TokenDict, renewed: TokenDict) -> TokenDict:
        self._memo().remember_renewed(self._memo_key(), fingerprint(token), renewed)
        return renewed

    def _ask_and_store(self, token: TokenDict) -> TokenDict:
        self._prepare(token)
        try:
            answer = self._ask_provider(token, "")
        except TokenRequestError as error:
            if error.error not in TERMINAL_CODES:
                raise
            return self._read_again(token, error)
        renewed = merge_refreshed(token, answer)
        if self._callbacks.update_token is not None:
            try:
                self._callbacks.update_token(renewed, token)
            except Exception:
                # The provider may have ended the old refresh token, so this grant is likely lost.
                _logger.critical("%s: update_token failed, so a renewed token is not stored", self.name)
                raise
        return renewed

    def _read_again(self, token: TokenDict, error: TokenRequestError) -> TokenDict:
        """The grant counts as dead only if nobody else has rotated the token in the meantime."""
        fetch = self._callbacks.fetch_token
        found = fetch() if fetch is not None else None
        if not found or not found.get("access_token") or found.get("refresh_token") == token.get("refresh_token"):
            raise ReauthorizationRequired(error.error, error.description, provider=self.name) from error
        return TokenDict({name: value for name, value in found.items() if value is not None})

    def _refresh_given(self, token: TokenDict) -> TokenDict:
        if not token.get("access_token"):
            raise MissingTokenError(provider=self.name)
        if self._runtime.vault is not None and self._callbacks.fetch_token is None:
            # It may be a copy of a row of the vault, which alone may rotate it.
            return token
        return self._refresh_own(self._latest(token))

    def _latest(self, token: TokenDict) -> TokenDict:
        memo, key = self._memo(), self._memo_key()
        for _ in range(_RENEWALS):
            renewed = memo.find_renewed(key, fingerprint(token))
            if renewed is None:
                break
            token = renewed
        return token

    def _note_refusal(self, renewed: TokenDict, url: str) -> None:
        self._refusals.remember(renewed, url)

    def _renew_rejected(self, token: TokenDict, stored: StoredToken | None, url: str) -> TokenDict | None:
        if not token.get("refresh_token") or self._refusals.knows(token, url):
            return None
        try:
            if stored is not None:
                fresh = self._freshen(stored, rejected=str(token["access_token"])).token
            elif self._callbacks.fetch_token is not None and self._can_refresh(token):
                fresh = self._renew(token)
            else:
                return None
        except (ProviderUnavailable, ProviderResponseError):
            return None
        return fresh if fresh.get("access_token") != token["access_token"] else None
