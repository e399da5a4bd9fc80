"""What belongs to one application, and how it is found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from ..clients.base import is_loopback
from ..config import Settings
from ..errors import ConfigurationError
from ..remote_app import RemoteApp, Runtime
from ..remote_app.adapters import find_flask_cache
from ..remote_app.caches import is_null_cache
from ..vault.keys import KeyProvider, KeyRing
from .entries import Entry

if TYPE_CHECKING:
    from .oauth import OAuth

EXTENSION_KEY = "flask_oauth_accounts"

FetchToken = Callable[[str], Mapping[str, Any] | None]
UpdateToken = Callable[..., Any]


@dataclass(frozen=True)
class RegistryState:
    """What one registry is in one application.

    :ivar warned: names of clients whose missing id the log has told of.
    """

    runtime: Runtime
    cache: Any = None
    fetch_token: FetchToken | None = None
    update_token: UpdateToken | None = None
    clients: dict[str, tuple[Entry, RemoteApp]] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)


class AppState:
    """What belongs to one application; lies in ``app.extensions["flask_oauth_accounts"]``.

    :ivar app: the application.
    :ivar settings: the package's configuration, checked.
    :ivar oauth: the registry that the accounts stand on; the first one, where there are no accounts.
    :ivar accounts: what :class:`~flask_oauth_accounts.extension.OAuthAccounts` has set up, ``None`` without it.
    """

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.settings = Settings.from_mapping(app.config)
        self.registries: dict[OAuth, RegistryState] = {}
        self.accounts: Any = None

    @property
    def oauth(self) -> OAuth:
        """The registry that the accounts stand on, else the first one.

        :raises ConfigurationError: if none is set up.
        """
        if self.accounts is not None:
            oauth: OAuth = self.accounts.oauth
            return oauth
        first = next(iter(self.registries), None)
        if first is None:
            raise ConfigurationError("no OAuth() is set up on this application: call oauth.init_app(app) first")
        return first

    def use_key_provider(self, provider: KeyProvider) -> None:
        """Take the keys from a provider; called while the application is being set up, before any is used."""
        self.__dict__["keys"] = KeyRing(provider)

    @cached_property
    def keys(self) -> KeyRing:
        """What seals secrets: ``OAUTH_ACCOUNTS_KEYS``, and keys derived from ``SECRET_KEY`` and its fallbacks.

        :raises ConfigurationError: if neither is set.
        """
        app = self.app
        return KeyRing.from_configuration(
            self.settings.keys, app.secret_key, app.config.get("SECRET_KEY_FALLBACKS") or ()
        )

    @property
    def cache(self) -> Any:
        """Where pending things wait: the registry's cache, else the application's Flask-Caching, else ``None``."""
        return self.find_cache(self.oauth)

    def find_cache(self, oauth: OAuth) -> Any:
        """:return: the cache of a registry, ``None`` where there is none that remembers."""
        cache = self.find_any_cache(oauth)
        return None if cache is None or is_null_cache(cache) else cache

    def find_any_cache(self, oauth: OAuth) -> Any:
        """As :meth:`find_cache`, but also one that forgets everything."""
        given = self.registries[oauth].cache
        return given if given is not None else find_flask_cache(self.app)

    def allow_http(self, host: str, port: int | None) -> bool:
        """Whether a host may do without TLS: this machine in debug and testing, and what the operator names.

        :param host: its name.
        :param port: that is asked; ``None`` where any will do.
        """
        host = host.lower()
        if any(host == name and (only is None or port in (None, only)) for name, only in self.settings.allow_http):
            return True
        return is_loopback(host) and bool(self.app.debug or self.app.testing)


def ensure_state(app: Flask) -> AppState:
    """The state of an application, created where there is none.

    :raises ConfigurationError: if a setting of the package is unknown or of the wrong kind.
    """
    state = app.extensions.get(EXTENSION_KEY)
    if state is None:
        state = app.extensions[EXTENSION_KEY] = AppState(app)
    return state


def get_state(app: Flask | None = None) -> AppState:
    """The state of an application.

    :param app: the current one when left out.
    :raises ConfigurationError: if the package is not set up on it.
    """
    state = (app or current_app).extensions.get(EXTENSION_KEY)
    if state is None:
        raise ConfigurationError("flask_oauth_accounts is not set up on this application: call init_app(app) first")
    return state  # type: ignore[no-any-return]
