"""The pieces of one application's accounts, and how they find one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Flask, current_app, has_app_context, has_request_context, url_for
from flask_sqlalchemy import SQLAlchemy

from .. import signals
from ..accounts import AccountService
from ..errors import ConfigurationError
from ..registry import OAuth, get_state
from ..storage.models import Models
from ..storage.sqlalchemy import SQLAlchemyStore
from ..tokens import StoredToken
from ..vault.attempt import Notice as VaultNotice
from ..vault.keys import KeyRing
from ..vault.refresh import Vault
from ..web.starts import reconnect as reconnect_view
from .revocations import SessionRevocations


@dataclass(frozen=True)
class AppAccounts:
    """What :class:`OAuthAccounts` has set up on one application.

    :ivar embedded: the database is the shipped one, with its own migrations.
    :ivar migrates: the tables are brought up to date on first use.
    :ivar load_user: a user by primary key, or ``None``.
    :ivar identify: the primary key of a user.
    :ivar seal: encrypts a short-lived text for a context.
    :ivar unseal: opens it again.
    :ivar sessions: which sessions the providers have ended.
    """

    oauth: OAuth
    service: AccountService
    store: SQLAlchemyStore
    vault: Vault
    models: Models
    db: SQLAlchemy
    user_model: Any
    embedded: bool
    migrates: bool
    load_user: Callable[[Any], Any]
    identify: Callable[[Any], Any]
    seal: Callable[[str, str], str]
    unseal: Callable[[str, str], str]
    sessions: SessionRevocations


class ContextSealer:
    """The sealer of models that serve several applications: the keys are those of the current one."""

    def seal(self, plaintext: str, context: str) -> str:
        """:raises ConfigurationError: outside an application, or without a key."""
        return _current_keys().seal(plaintext, context)

    def unseal(self, sealed: str, context: str) -> str:
        """:raises SealedValueError: if it does not open."""
        return _current_keys().unseal(sealed, context)

    def key_id(self, sealed: str) -> str | None:
        """The id of the key that sealed the value."""
        return _current_keys().key_id(sealed)


def _current_keys() -> KeyRing:
    if not has_app_context():
        raise ConfigurationError(
            "stored secrets can be read and written in an app context only: with app.app_context()"
        )
    return get_state().keys


def create_notify(app: Flask) -> Callable[[Any], None]:
    """Build the function that sends a notice as a signal of this application."""

    def notify(notice: Any) -> None:
        if isinstance(notice, VaultNotice):
            _send_from_vault(app, notice)
            return
        signal = getattr(signals, notice.signal)
        signal.send(app, name=notice.name, user=notice.user, account=notice.account, **notice.values)

    return notify


def _send_from_vault(app: Flask, notice: VaultNotice) -> None:
    signal = getattr(signals, notice.kind)
    if not signal.receivers:
        return
    stored = notice.stored
    values: dict[str, Any] = {"token": stored.token} if notice.kind == "token_update" else {"error": notice.error}
    user = get_state(app).accounts.load_user(stored.user_id)
    signal.send(app, name=stored.name, user=user, account=stored.account, **values)


def create_reauthorize_url(app: Flask) -> Callable[[str, StoredToken], str | None]:
    """Build the function that gives the address at which a user can consent again, by GET."""

    def reauthorize_url(name: str, stored: StoredToken) -> str | None:
        return reconnect_url(app, stored.identity_id or name)

    return reauthorize_url


def reconnect_url(app: Flask, target: Any, **query: str) -> str | None:
    """The address of the reconnect page.

    :param target: id of the identity, or name of the client.
    :param query: added to it.
    :return: absolute where the host is known (in a request, or by ``OAUTH_ACCOUNTS_EXTERNAL_URL``), else a path;
        ``None`` where no blueprint is registered.
    """
    endpoint = next((name for name, view in app.view_functions.items() if view is reconnect_view), None)
    if endpoint is None:
        return None
    external = get_state(app).settings.external_url
    if external is None and has_request_context() and current_app._get_current_object() is app:  # type: ignore[attr-defined]
        return url_for(endpoint, id=target, _external=True, **query)
    path = app.url_map.bind("localhost").build(endpoint, {"id": target})
    return f"{external or ''}{path}{'?' + urlencode(query) if query else ''}"
