"""``OAuthAccounts``: which of our users is that, and their tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from ..accounts import AccountPolicy, AccountService, Connection, create_policy
from ..cli import create_cli
from ..errors import ConfigurationError, MissingTokenError
from ..registry import OAuth, ensure_state, get_state
from ..remote_app.adapters import find_current_user
from ..storage.models import Models, bind_sealer, bind_store, define_models, read_models
from ..storage.sqlalchemy import SQLAlchemyStore
from ..tokens import TokenDict
from ..vault.keys import KeyProvider
from ..vault.refresh import Vault
from .cookies import protect_session_cookie
from .logins import ensure_login_manager
from .revocations import SessionRevocations
from .users import UserLoader, create_find_user_id, create_identify
from .wiring import AppAccounts, ContextSealer, create_notify, create_reauthorize_url, require_accounts


class OAuthAccounts:
    """Keeps provider accounts and tokens of an application's own users.

    ::

        oauth = OAuth()
        accounts = OAuthAccounts(oauth, db=db, user_model=User)
        accounts.init_app(app)

    :param oauth: the registry; a new one when left out.
    :param db: the application's Flask-SQLAlchemy.
    :param user_model: the application's class of users, with a primary key of one column of any type.
    :param models: own classes made from the mixins: a namespace, mapping or tuple of identity, OAuth 1 token, OAuth 2
        token and event; else the four classes are created on ``db.Model``.
    :param policy: who may sign up and log in, see :class:`AccountPolicy`.
    :param key_provider: gives the keys that seal secrets, for those who keep them in a key management service; it goes
        before ``OAUTH_ACCOUNTS_KEYS`` and ``SECRET_KEY``.
    :raises ConfigurationError: if something is missing; the sentence says what to write.
    """

    def __init__(
        self,
        oauth: OAuth | None = None,
        app: Flask | None = None,
        *,
        db: SQLAlchemy | None = None,
        user_model: Any = None,
        models: Any = None,
        policy: AccountPolicy | type[AccountPolicy] | None = None,
        key_provider: KeyProvider | None = None,
    ) -> None:
        if db is None or user_model is None:
            raise ConfigurationError(
                "OAuthAccounts needs the application's database and its class of users: write "
                "OAuthAccounts(oauth, db=db, user_model=User)"
            )
        self.oauth = oauth if oauth is not None else OAuth()
        self.db = db
        self.user_model = user_model
        self.policy = create_policy(policy)
        self._key_provider = key_provider
        sealer = ContextSealer()
        self.models: Models = (
            read_models(models, user_model) if models is not None else define_models(db.Model, user_model, sealer)
        )
        bind_sealer(self.models, sealer)
        bind_store(self.models, lambda: require_accounts().store)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set the accounts up on an application, and the registry with them.

        :param app: with ``SECRET_KEY``, and with the database initialised.
        :raises ConfigurationError: if the configuration cannot work; the sentence names the key and the remedy.
        """
        self._set_up(app, UserLoader(self.db, self.user_model), embedded=False)

    def _set_up(self, app: Flask, loader: UserLoader, *, embedded: bool) -> None:
        _check_application(app)
        state = ensure_state(app)
        protect_session_cookie(app, external_url=state.settings.external_url, embedded=embedded)
        if state.accounts is not None:
            raise ConfigurationError("OAuthAccounts is set up on this application already; call init_app once")
        if self.oauth not in state.registries:
            self.oauth.init_app(app)
        if self._key_provider is not None:
            state.use_key_provider(self._key_provider)
        keys = state.keys
        store = SQLAlchemyStore(self.models, engine=loader.find_engine, host_session=loader.find_session, sealer=keys)
        notify = create_notify(app, partial(loader.load_beside, read=store.read_user))
        identify = create_identify(self.user_model, store.read_user_id)
        vault = Vault(store, settings=state.settings, events=store, notify=notify)
        service = AccountService(
            store,
            self.policy.bind(user_model=self.user_model, settings=state.settings, store=store),
            settings=state.settings,
            load_user=partial(loader.load, read=store.read_user),
            clock=time.time,
            notify=notify,
            user_model=self.user_model,
            identify=identify,
        )
        sessions = SessionRevocations(lambda: state.find_cache(self.oauth))
        state.accounts = AppAccounts(
            oauth=self.oauth,
            service=service,
            store=store,
            vault=vault,
            models=self.models,
            db=self.db,
            user_model=self.user_model,
            embedded=embedded,
            migrates=loader.migrates,
            identify=identify,
            seal=keys.seal,
            unseal=keys.unseal,
            sessions=sessions,
            login_manager=ensure_login_manager(app, loader),
        )

        def current_user_id() -> Any:
            user = find_current_user(app)
            return None if user is None else identify(user)

        self.oauth.attach_accounts(
            app,
            vault=vault,
            current_user_id=current_user_id,
            identify=create_find_user_id(identify),
            reauthorize_url=create_reauthorize_url(app),
        )
        self.oauth.validate(app)
        create_cli(app)

    # -- stored tokens ------------------------------------------------------------------------------------------------

    def fetch_token(self, name: str, user: Any = None, account: str | None = None) -> TokenDict | None:
        """Load a stored token, as it is.

        :param name: of the client.
        :param user: a user; the current one when left out.
        :param account: which provider account; the one last logged in with, where there are several.
        :return: the token, or ``None``.
        :raises StorageUnavailable: if the database does not answer.
        """
        mine = require_accounts()
        user_id = self._user_id(user)
        client = self.oauth.create_client(name)
        if user_id is None or client is None:
            return None
        stored = mine.vault.load(user_id, name, account, protocol=client.protocol)
        return stored.token if stored is not None and stored.token else None

    def update_token(self, name: str, token: Mapping[str, Any], user: Any = None, account: str | None = None) -> None:
        """Store a token for a user.

        :param name: of the client.
        :param token: as the provider gave it.
        :param user: a user; the current one when left out.
        :param account: the provider account it belongs to; when left out, the one last logged in with.
        :raises MissingTokenError: if nobody is logged in and no user is given.
        :raises StorageUnavailable: if the database does not answer.
        """
        mine = require_accounts()
        user_id = self._user_id(user)
        client = self.oauth.create_client(name)
        if user_id is None or client is None:
            raise MissingTokenError(description="nobody to store the token for", provider=name)
        if account is None:
            known = mine.vault.load(user_id, name, protocol=client.protocol)
            account = known.account if known is not None else ""
        stored = mine.vault.save(user_id, name, token, account, protocol=client.protocol)
        client.remember_stored(stored)  # calls of this request go on with it

    def connections(self, user: Any = None) -> list[Connection]:
        """List a user's connected accounts with their health: status, last error, expiry and next try. Nobody is asked.

        :param user: a user, or the id of one; the current one when left out.
        :return: one value for each account; empty where nobody is logged in.
        :raises StorageUnavailable: if the database does not answer.
        """
        user_id = self._user_id(user)
        connections: list[Connection] = [] if user_id is None else require_accounts().service.connections(user_id)
        return connections

    def forget_user(self, user: Any) -> Any:
        """Revoke and delete everything that is stored of a user; the user's own row is the application's.

        :param user: a user, or the id of one.
        :return: how much was deleted, and what the providers have revoked.
        :raises StorageUnavailable: if the database does not answer.
        """
        mine = require_accounts()
        return mine.service.forget_user(mine.identify(user), self._revoke)

    def _revoke(self, stored: Any) -> bool | None:
        client = self.oauth.create_client(stored.name)
        return None if client is None else client.revoke_token(stored.token)

    def _user_id(self, user: Any) -> Any:
        mine = require_accounts()
        if user is None:
            user = find_current_user(get_state().app)
        return None if user is None else mine.identify(user)


def _check_application(app: Flask) -> None:
    if not app.secret_key:
        raise ConfigurationError(
            "SECRET_KEY is not set, and without it no login can be tied to a browser: generate one with "
            "python -c 'import secrets; print(secrets.token_hex(32))' and keep it out of the source"
        )
    if "sqlalchemy" not in app.extensions:
        raise ConfigurationError("the database is not initialised: call db.init_app(app) before accounts.init_app(app)")
