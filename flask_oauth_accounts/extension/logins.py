"""Flask-Login: an application without it gets one; its own is left as it is."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_login import LoginManager

from ..errors import ConfigurationError
from ..registry import get_state
from ..web.sessions import describe_no_login_user, find_login_user, is_login_user
from .users import UserLoader
from .wiring import AppAccounts


class OwnLoginManager(LoginManager):  # type: ignore[misc]
    """The one that is made here, to be told from an application's own."""


def ensure_login_manager(app: Flask, loader: UserLoader) -> LoginManager | None:
    """Make a login manager where there is none.

    :param app: the application.
    :param loader: reads its users.
    :return: the one made here, ``None`` where the application has its own.
    """
    if getattr(app, "login_manager", None) is not None:
        return None
    manager = OwnLoginManager()
    manager.user_loader(loader.load_by_text)
    manager.init_app(app)
    return manager


def point_to_login_page(app: Flask, endpoint: str) -> None:
    """Let ``@login_required`` of our own login manager lead to the sign-in page.

    :param app: the application.
    :param endpoint: of the sign-in page.
    """
    manager: Any = app.login_manager  # type: ignore[attr-defined]
    if isinstance(manager, OwnLoginManager) and manager.login_view is None:
        manager.login_view = endpoint


def check_login_manager(app: Flask) -> None:
    """Find what would let a login fail after it was stored: users that Flask-Login cannot log in, or a login manager
    that was put in the place of ours afterwards and cannot find our users.

    :param app: the application.
    :raises ConfigurationError: if so; the sentence says what to write.
    """
    manager: Any = app.login_manager  # type: ignore[attr-defined]
    accounts = get_state(app).accounts
    if not is_login_user(accounts.user_model):
        _check_loader(manager, accounts)
    if isinstance(manager, OwnLoginManager):
        return
    if accounts.login_manager is not None and accounts.embedded:
        raise ConfigurationError(
            "Flask-Login was set up after the blueprint, which had made a LoginManager for its own users already: "
            "remove yours, or give your own users to OAuthAccounts(oauth, db=db, user_model=User) and call "
            "login_manager.init_app(app) before accounts.init_app(app)"
        )
    if manager._user_callback is None and manager._request_callback is None:
        raise ConfigurationError(
            "Flask-Login has no user loader: write @login_manager.user_loader with a function that returns a user by id"
        )


def _check_loader(manager: LoginManager, accounts: AppAccounts) -> None:
    """Users that Flask-Login cannot log in need a ``user_loader`` that wraps them: see what it does with one."""
    if isinstance(manager, OwnLoginManager):
        raise describe_no_login_user(accounts.user_model)
    user = accounts.db.session.query(accounts.user_model).first()
    if user is not None:
        find_login_user(user)
