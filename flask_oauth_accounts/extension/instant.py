"""Way A: an application that has nothing but configuration gets what is missing, when the blueprint is registered."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from flask_caching import Cache
from flask_sqlalchemy import SQLAlchemy

from ..clients.base import config_key
from ..errors import ConfigurationError
from ..providers import find_preset, list_presets
from ..registry import OAuth, describe_missing_id, ensure_state
from ..remote_app.adapters import find_flask_cache
from ..storage.faults import checked_addresses
from ..storage.models import define_user
from .accounts import OAuthAccounts
from .migration import AutoMigration
from .users import UserLoader

DATABASE = "oauth_accounts.db"
_CACHE_FOLDER = "oauth_accounts_cache"
_CACHE_ENTRIES = 100_000

_CLIENT_CONFIG = ("AUTHORIZE_URL", "ACCESS_TOKEN_URL")


def ensure_accounts(app: Flask) -> None:
    """Create what an application lacks: registry, users, database, cache. What is there is left as it is.

    :param app: the blueprint is being registered on it.
    :raises ConfigurationError: if the application has a database of its own and has not said which class its users are,
        or if its configuration cannot work.
    """
    state = ensure_state(app)
    if state.accounts is not None:
        return
    if "sqlalchemy" in app.extensions:
        raise ConfigurationError(
            "this application has its own SQLAlchemy, so say which class its users are before the blueprint is "
            "registered: accounts = OAuthAccounts(oauth, db=db, user_model=User); accounts.init_app(app); "
            "app.register_blueprint(oauth_bp)"
        )
    oauth = next(iter(state.registries), None) or OAuth()
    is_new = oauth not in state.registries
    # Further databases of the application say nothing about the one that is meant where no other is named.
    embedded = not app.config.get("SQLALCHEMY_DATABASE_URI") and None not in app.config.get("SQLALCHEMY_BINDS", ())
    if embedded:
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{DATABASE}"
        _make_private(app)
    db, user_model = _embedded_models()
    with checked_addresses():
        db.init_app(app)
    _ensure_cache(app)
    if is_new:
        oauth.init_app(app)
    for name in find_providers(app, is_new=is_new):
        if name not in oauth.list_names():
            register_configured(oauth, name, app)
    wants_migration = state.settings.auto_migrate
    migration = AutoMigration() if (embedded if wants_migration is None else wants_migration) else None
    accounts = OAuthAccounts(oauth, db=db, user_model=user_model)
    accounts._set_up(app, UserLoader(db, user_model, migration), embedded=True)


@functools.cache
def _embedded_models() -> tuple[SQLAlchemy, Any]:
    """One database object and one class of users for all applications that bring none; each has its own engine."""
    db = SQLAlchemy()
    return db, define_user(db.Model)


def _make_private(app: Flask) -> None:
    """Create the database's file for this user of the machine alone; SQLite's own files beside it follow its mode.

    :raises ConfigurationError: if the instance folder cannot be written.
    """
    folder = Path(app.instance_path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(folder / DATABASE, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        raise ConfigurationError(
            f"the instance folder cannot be written ({error.strerror}): set SQLALCHEMY_DATABASE_URI to a database, or "
            "give Flask(instance_path=…) a folder that this process may write"
        ) from error


def _ensure_cache(app: Flask) -> None:
    if find_flask_cache(app) is not None:
        return
    kind = app.config.get("CACHE_TYPE") or "FileSystemCache"
    config = {"CACHE_TYPE": kind}
    if kind == "FileSystemCache":
        config["CACHE_DIR"] = app.config.get("CACHE_DIR") or _make_cache_folder(app)
        config["CACHE_THRESHOLD"] = app.config.get("CACHE_THRESHOLD", _CACHE_ENTRIES)
    Cache(app, config=config)


def _make_cache_folder(app: Flask) -> str:
    folder = Path(app.instance_path) / _CACHE_FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"the cache folder cannot be made in the instance folder ({error.strerror}): set CACHE_TYPE to "
            '"RedisCache", or give Flask(instance_path=…) a folder that this process may write'
        ) from error
    return str(folder)


def find_providers(app: Flask, *, is_new: bool) -> tuple[str, ...]:
    """The clients to register: those that ``OAUTH_ACCOUNTS_PROVIDERS`` names, else every configured preset.

    :param app: its configuration counts.
    :param is_new: the registry was made here; to one that the application has filled only named clients are added.
    """
    names = ensure_state(app).settings.providers
    if names is not None:
        return names
    if not is_new:
        return ()
    return tuple(name for name in list_presets() if app.config.get(config_key(name, "client_id")))


def is_described(name: str, config: Mapping[str, Any]) -> bool:
    """Whether the configuration says what kind of client this is."""
    one_of = any(config.get(config_key(name, key)) for key in ("preset", "server_metadata_url"))
    return find_preset(name) is not None or one_of or all(config.get(config_key(name, key)) for key in _CLIENT_CONFIG)


def register_configured(oauth: OAuth, name: str, app: Flask) -> None:
    """Register a client that only configuration describes.

    :param name: of the client: a preset's, or any other with ``{NAME}_PRESET``, ``{NAME}_SERVER_METADATA_URL`` or its
        endpoints in the configuration.
    :raises ConfigurationError: if the configuration says too little.
    """
    config = app.config
    if not config.get(config_key(name, "client_id")) and is_described(name, config):
        raise ConfigurationError(describe_missing_id(name), provider=name)
    if find_preset(name) is not None or config.get(config_key(name, "preset")):
        oauth.register(name)
    elif config.get(config_key(name, "server_metadata_url")):
        oauth.register(name, preset="oidc")
    elif all(config.get(config_key(name, key)) for key in _CLIENT_CONFIG):
        oauth.register(name)
    else:
        keys = ", ".join(config_key(name, key) for key in ("preset", "server_metadata_url", "authorize_url"))
        raise ConfigurationError(
            f"OAUTH_ACCOUNTS_PROVIDERS names {name!r}, which is no preset. Set one of {keys} (the last together with "
            f"{config_key(name, 'access_token_url')}) to say what it is"
        )
