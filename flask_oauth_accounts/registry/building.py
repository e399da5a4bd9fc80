"""From a registration to a client: its settings checked, its functions adapted, what the application lends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import session
from flask.sessions import NullSession

from .. import signals
from ..clients.base import ClientConfig, create_client_config, is_loopback
from ..clients.merging import merge_settings
from ..clients.names import config_key
from ..errors import ConfigurationError
from ..remote_app import OAuth1App, OAuth2App, RemoteApp, Runtime
from ..remote_app.adapters import adapt_callbacks, find_current_user, find_current_user_id
from ..remote_app.caches import refuse_null_cache
from ..remote_app.flow_stores import CacheFlowStore, SessionFlowStore
from .entries import Entry
from .state import AppState, RegistryState

if TYPE_CHECKING:
    from .oauth import OAuth

_FUNCTIONS = ("fetch_token", "update_token", "save_request_token", "fetch_request_token", "compliance_fix")


def describe_client(entry: Entry, state: AppState, *, starting: bool = False) -> ClientConfig:
    """Merge and check what is known of a client; nothing is asked of its provider.

    :param starting: the application is being made: ``app.testing`` and ``app.debug`` may still come, so http to this
        machine is not refused yet.
    :raises ConfigurationError: if the client cannot work as it is described.
    """
    registration = merge_settings(
        entry.name,
        entry.arguments,
        state.app.config,
        overwrite=entry.overwrite,
        defaults=getattr(entry.arguments.get("client_cls"), "OAUTH_APP_CONFIG", None),
    )

    def allow_http(host: str, port: int | None) -> bool:
        return state.allow_http(host, port) or (starting and is_loopback(host))

    config = create_client_config(registration, allow_http=allow_http)
    _choose_class(entry, config)
    _check_functions(entry, config)
    return config


def _check_functions(entry: Entry, config: ClientConfig) -> None:
    for key in _FUNCTIONS:
        given = entry.arguments.get(key)
        if given is not None and not callable(given):
            raise ConfigurationError(f'{key} given to register("{entry.name}") must be a function', provider=entry.name)
    own = [entry.arguments.get(key) is not None for key in ("save_request_token", "fetch_request_token")]
    if config.is_oauth1 and any(own) and not all(own):
        raise ConfigurationError(
            f'register("{entry.name}") needs both save_request_token and fetch_request_token, or neither',
            provider=entry.name,
        )


def _choose_class(entry: Entry, config: ClientConfig) -> type[RemoteApp]:
    needed: type[RemoteApp] = OAuth1App if config.is_oauth1 else OAuth2App
    cls = entry.arguments.get("client_cls") or needed
    if not isinstance(cls, type) or not issubclass(cls, needed):
        raise ConfigurationError(
            f"client_cls of {entry.name} must be a subclass of {needed.__name__}", provider=entry.name
        )
    return cls


def build_client(entry: Entry, state: AppState, mine: RegistryState) -> RemoteApp:
    """Build the client of a registration for one application.

    :raises ConfigurationError: if it cannot work as it is described.
    """
    config = describe_client(entry, state)

    def after_refresh(token: Mapping[str, Any]) -> None:
        user = find_current_user(state.app)
        signals.token_update.send(state.app, name=entry.name, user=user, account="", token=token)

    callbacks = adapt_callbacks(
        entry.name,
        entry.arguments,
        fetch_token=mine.fetch_token,
        update_token=mine.update_token,
        after_refresh=after_refresh,
    )
    return _choose_class(entry, config)(config, mine.runtime, callbacks)


def describe_missing_id(name: str) -> str:
    """:return: what to do about a client without its id."""
    return (
        f"{config_key(name, 'client_id')} is not set, so {name} cannot log anybody in: take it from the provider's "
        f'console, or give client_id to register("{name}")'
    )


def create_runtime(oauth: OAuth, state: AppState) -> Runtime:
    """What an application lends the clients of a registry."""

    def flows() -> CacheFlowStore | SessionFlowStore:
        cache = state.find_cache(oauth)
        if cache is None:
            return SessionFlowStore(session, state.keys, max_pending=state.settings.max_pending)
        return CacheFlowStore(cache, state.keys, max_pending=state.settings.max_pending)

    return Runtime(
        settings=state.settings,
        flows=flows,
        session=_find_session,
        current_user_id=lambda: find_current_user_id(state.app),
        allow_http=state.allow_http,
        refuse_forgetful_cache=lambda name: refuse_null_cache(state.find_any_cache(oauth), name),
    )


def _find_session() -> Any:
    if isinstance(session._get_current_object(), NullSession):  # type: ignore[attr-defined]
        raise ConfigurationError(
            "SECRET_KEY is not set, and without it no login can be tied to a browser: generate one with "
            "python -c 'import secrets; print(secrets.token_hex(32))' and keep it out of the source"
        )
    return session
