"""The pieces of one application's accounts, and how they find one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from flask import Flask, current_app, has_app_context, has_request_context, request, url_for
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
from ..web.narrow import narrow as narrow_view
from ..web.redirects import join_external, strip_origin
from ..web.starts import login_page as login_page_view
from ..web.starts import reconnect as reconnect_view
from .revocations import SessionRevocations


@dataclass(frozen=True)
class AppAccounts:
    """What :class:`OAuthAccounts` has set up on one application.

    :ivar embedded: the database is the shipped one, with its own migrations.
    :ivar migrates: the tables are brought up to date on first use.
    :ivar identify: the primary key of a user.
    :ivar seal: encrypts a short-lived text for a context.
    :ivar unseal: opens it again.
    :ivar sessions: which sessions the providers have ended.
    :ivar login_manager: the one made here, ``None`` where the application has its own.
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
    identify: Callable[[Any], Any]
    seal: Callable[[str, str], str]
    unseal: Callable[[str, str], str]
    sessions: SessionRevocations
    login_manager: Any = None


def require_accounts() -> AppAccounts:
    """The accounts of the current application.

    :raises ConfigurationError: if none are set up on it.
    """
    accounts: AppAccounts | None = get_state().accounts
    if accounts is None:
        raise ConfigurationError("OAuthAccounts is not set up on this application: call accounts.init_app(app) first")
    return accounts


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


def create_notify(app: Flask, load_user: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Build the function that sends a notice as a signal of this application.

    :param app: the application.
    :param load_user: gives the user of a notice that comes from the vault.
    """

    def notify(notice: Any) -> None:
        if isinstance(notice, VaultNotice):
            _send_from_vault(app, notice, load_user)
            return
        signal = getattr(signals, notice.signal)
        signal.send(app, name=notice.name, user=notice.user, account=notice.account, **notice.values)

    return notify


def _send_from_vault(app: Flask, notice: VaultNotice, load_user: Callable[[Any], Any]) -> None:
    signal = getattr(signals, notice.kind)
    if not signal.receivers:
        return
    stored = notice.stored
    values: dict[str, Any] = {"token": stored.token} if notice.kind == "token_update" else {}
    if notice.error is not None:
        values["error"] = notice.error
    signal.send(app, name=stored.name, user=load_user(stored.user_id), account=stored.account, **values)


def create_reauthorize_url(app: Flask) -> Callable[[str, StoredToken], str | None]:
    """Build the function that gives the address at which a user can consent again, by GET."""

    def reauthorize_url(name: str, stored: StoredToken) -> str | None:
        return reconnect_url(app, describe_target(name, stored))

    return reauthorize_url


def describe_target(name: str, stored: StoredToken | None) -> str:
    """:return: what is to be reconnected, for :func:`reconnect_url`: an identity, or whichever this client has."""
    return name if stored is None or stored.identity_id is None else str(stored.identity_id)


def reconnect_url(app: Flask, target: Any, **query: str) -> str | None:
    """The address of the page that asks for consent again.

    :param target: id of the identity, or name of the client.
    :param query: added to it.
    :return: absolute where the host is known (in a request, by ``OAUTH_ACCOUNTS_EXTERNAL_URL`` or by ``SERVER_NAME``),
        else a path; ``None`` where no blueprint is registered.
    """
    return _create_url(app, reconnect_view, target, query)


def narrow_url(app: Flask, target: Any, **query: str) -> str | None:
    """The address of the page that says that less was granted than is needed; as :func:`reconnect_url`."""
    return _create_url(app, narrow_view, target, query)


def find_login_endpoint(app: Flask) -> str | None:
    """:return: the endpoint of the sign-in page, ``None`` where no blueprint is registered."""
    return _find_endpoint(app, login_page_view)


def _find_endpoint(app: Flask, view: Callable[..., Any]) -> str | None:
    return next((name for name, known in app.view_functions.items() if known is view), None)


def _create_url(app: Flask, view: Callable[..., Any], target: Any, query: dict[str, Any]) -> str | None:
    endpoint = _find_endpoint(app, view)
    if endpoint is None:
        return None
    values = {"id": target, **query}
    if has_request_context() and current_app._get_current_object() is app:  # type: ignore[attr-defined]
        root = request.script_root
        # The blueprint may lie on another host than the request; then this is absolute already.
        url = urljoin(request.host_url, url_for(endpoint, **values))
    else:
        root = (app.config["APPLICATION_ROOT"] or "/").rstrip("/")
        url = _build_outside(app, endpoint, values, root)
    external = get_state(app).settings.external_url
    return join_external(external, root, strip_origin(url)) if external else url


def _build_outside(app: Flask, endpoint: str, values: dict[str, Any], root: str) -> str:
    """Build an address where there is no request: absolute by ``SERVER_NAME``, else a path."""
    adapter = app.create_url_adapter(None)
    if adapter is not None:
        return adapter.build(endpoint, values, force_external=True)
    return strip_origin(app.url_map.bind("localhost", script_name=root or "/").build(endpoint, values))
