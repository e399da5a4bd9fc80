"""``OAuth``: clients by name."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Flask, current_app, has_app_context
from werkzeug.local import LocalProxy

from ..clients.logs import silence_libraries
from ..clients.names import check_arguments
from ..errors import ConfigurationError
from ..providers import find_preset
from ..remote_app.caches import refuse_null_cache
from .building import build_client, create_runtime, describe_client, describe_missing_id
from .entries import Entries, Entry
from .state import EXTENSION_KEY, AppState, FetchToken, RegistryState, UpdateToken, ensure_state, get_state

logger = logging.getLogger(__name__)


class OAuth:
    """A registry of OAuth 1, OAuth 2 and OpenID Connect clients, with the interface of Authlib's Flask client.

    :param app: an application to bind to at once; :meth:`init_app` binds later, and to any number.
    :param cache: anything with ``get(key)`` and ``set(key, value, seconds)``, for pending logins. The application's own
        Flask-Caching is found by itself.
    :param fetch_token: called with a client's name; returns the current user's token as a dictionary, or ``None``.
    :param update_token: called after a refresh with a client's name and the new token.
    """

    def __init__(
        self,
        app: Flask | None = None,
        cache: Any = None,
        fetch_token: FetchToken | None = None,
        update_token: UpdateToken | None = None,
    ) -> None:
        self._entries = Entries()
        self._given = (cache, fetch_token, update_token)
        self._apps: weakref.WeakSet[Flask] = weakref.WeakSet()
        self._latest: Flask | None = None
        silence_libraries()
        if app is not None:
            self.init_app(app)

    def init_app(
        self,
        app: Flask,
        cache: Any = None,
        fetch_token: FetchToken | None = None,
        update_token: UpdateToken | None = None,
    ) -> None:
        """Bind to an application; what is given here goes before what the constructor was given.

        :param app: the application.
        :param cache: see :class:`OAuth`.
        :param fetch_token: see :class:`OAuth`.
        :param update_token: see :class:`OAuth`.
        :raises ConfigurationError: if a setting of the package is unknown or of the wrong kind, or if a client that is
            registered already cannot work.
        """
        state = ensure_state(app)
        before = state.registries.get(self) or RegistryState(create_runtime(self, state), *self._given)
        given = {"cache": cache, "fetch_token": fetch_token, "update_token": update_token}
        chosen = {key: value for key, value in given.items() if value is not None}
        # Bound again, it keeps the accounts it may have, and builds its clients anew with what is given now.
        state.registries[self] = replace(before, **chosen, clients={})
        self._check_all(state, starting=True)
        self._apps.add(app)
        # One application lives as long as its registry, so that a function may make both and return only this one;
        # a registry of a module does not keep all that were ever made.
        self._latest = app

    def attach_accounts(self, app: Flask, **runtime: Any) -> None:
        """Lend the clients of one application its stored tokens; :class:`OAuthAccounts` calls this.

        :param runtime: fields of :class:`~flask_oauth_accounts.remote_app.Runtime` to replace.
        """
        state = get_state(app)
        mine = state.registries[self]
        state.registries[self] = replace(mine, runtime=replace(mine.runtime, **runtime), clients={})

    # -- what the application gave ------------------------------------------------------------------------------------

    @property
    def app(self) -> Flask | None:
        """The current application if it is one of this registry's, else the only one, else ``None``."""
        state = self._find_state()
        return state.app if state is not None else None

    @property
    def cache(self) -> Any:
        """The cache that was given, ``None`` by default."""
        mine = self._find_mine()
        return mine.cache if mine else self._given[0]

    @property
    def fetch_token(self) -> FetchToken | None:
        """The function that was given, ``None`` by default."""
        mine = self._find_mine()
        return mine.fetch_token if mine else self._given[1]

    @property
    def update_token(self) -> UpdateToken | None:
        """The function that was given, ``None`` by default."""
        mine = self._find_mine()
        return mine.update_token if mine else self._given[2]

    def _find_app(self) -> Flask | None:
        """The current application, else the only one."""
        apps = list(self._apps)
        return _current_app() or (apps[0] if len(apps) == 1 else None)

    def _find_state(self) -> AppState | None:
        app = self._find_app()
        state: AppState | None = app.extensions.get(EXTENSION_KEY) if app is not None else None
        return state if state is not None and self in state.registries else None

    def _require_state(self) -> AppState:
        state = self._find_state()
        if state is not None:
            return state
        if has_app_context():
            where = "with the current application: call oauth.init_app(app) for it too"
        elif len(self._apps) > 1:
            where = "with one application only: within `with app.app_context():` it knows which one is meant"
        else:
            where = "with a Flask app: call oauth.init_app(app) first"
        raise ConfigurationError(f"OAuth is not initialised {where}")

    def _find_mine(self) -> RegistryState | None:
        state = self._find_state()
        return state.registries[self] if state is not None else None

    # -- clients ------------------------------------------------------------------------------------------------------

    def register(self, name: str, overwrite: bool = False, **kwargs: Any) -> Any:
        """Add a client, or replace the one of that name.

        In the context of an application it is that application's own; without one it is there for all of them.

        :param name: of the client; ``oauth.<name>`` gives it.
        :param overwrite: let the configuration win over the arguments.
        :param kwargs: the client's settings; see the documentation. What is not given is read from the configuration
            keys ``{NAME}_{KEY}`` when the client is first built, then from the preset.
        :return: the client, or a proxy that works once an application is there.
        :raises TypeError: for an unknown argument; the sentence names the nearest known one.
        :raises ConfigurationError: if the client cannot work as it is described.
        """
        preset = find_preset(str(kwargs.get("preset") or name))
        check_arguments(kwargs, [item.name for item in preset.placeholders] if preset else ())
        arguments = {key: dict(value) if isinstance(value, Mapping) else value for key, value in kwargs.items()}
        entry, state = Entry(name, overwrite, arguments), self._find_state()
        client: Any = LocalProxy(lambda: self._require_client(name))
        if state is None:
            self._entries.add(entry, _current_app(), self._apps)
            return client
        # What is refused leaves nothing behind that every later page would stumble over.
        mine = state.registries[self]
        mine.warned.discard(name)
        if self._check(entry, state):
            client = build_client(entry, state, mine)
            mine.clients[name] = (entry, client)
        self._entries.add(entry, _current_app(), self._apps)
        return client

    def unregister(self, name: str) -> None:
        """Remove a client; a name that is not there is no error.

        In the context of an application its own goes first, and then the one that is there for all of them.

        :param name: of the client.
        """
        self._entries.remove(name, _current_app(), self._apps)

    def list_names(self) -> tuple[str, ...]:
        """The names in the order of registration; no client is built."""
        return tuple(self._entries.list_for(self._find_app()))

    def create_client(self, name: str) -> Any:
        """Give the client of that name, always the same one within an application.

        :param name: as it was registered.
        :return: the client, or ``None`` if there is none.
        :raises RuntimeError: before :meth:`init_app`.
        :raises ConfigurationError: if the client cannot work as it is configured.
        """
        entry = self._entries.list_for(self._find_app()).get(name)
        if entry is None:
            return None
        state = self._require_state()
        mine = state.registries[self]
        built = mine.clients.get(name)
        if built is not None and built[0] is entry:
            return built[1]
        with mine.lock:
            built = mine.clients.get(name)
            if built is None or built[0] is not entry:
                built = mine.clients[name] = (entry, build_client(entry, state, mine))
        return built[1]

    def _require_client(self, name: str) -> Any:
        client = self.create_client(name)
        if client is None:
            raise AttributeError(self._entries.describe_missing(name))
        return client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_entries" not in self.__dict__:
            raise AttributeError(name)
        return self._require_client(name)

    def __repr__(self) -> str:
        return f"<OAuth {', '.join(self.list_names()) or 'without clients'}>"

    def validate(self, app: Flask) -> None:
        """Check the settings of every client without building one.

        :param app: the application whose configuration counts.
        :raises ConfigurationError: for the first client that cannot work, with the key and the remedy.
        """
        self._check_all(get_state(app))

    def _check_all(self, state: AppState, *, starting: bool = False) -> None:
        for entry in self._entries.list_for(state.app).values():
            self._check(entry, state, starting=starting)

    def _check(self, entry: Entry, state: AppState, *, starting: bool = False) -> bool:
        """:return: whether the client has its id."""
        config = describe_client(entry, state, starting=starting)
        mine = state.registries[self]
        if config.is_oauth1 and entry.arguments.get("save_request_token") is None:
            refuse_null_cache(state.find_any_cache(self), entry.name)
        complete = config.client_id is not None or not (config.authorize_url or config.server_metadata_url)
        if not complete and entry.name not in mine.warned:
            # Commands and tests run where no credentials are, and as with Authlib the configuration may still come.
            mine.warned.add(entry.name)
            logger.warning(describe_missing_id(entry.name))
        return complete


def _current_app() -> Flask | None:
    return current_app._get_current_object() if has_app_context() else None  # type: ignore[attr-defined]


def _find_current_oauth() -> OAuth:
    return get_state().oauth


current_oauth: OAuth = LocalProxy(_find_current_oauth)  # type: ignore[assignment]
"""The registry of the current application."""
