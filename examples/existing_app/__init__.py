"""An application that was there before: its own users with e-mail and password, its own database and look.

Run it with ``flask --app examples.existing_app db upgrade`` and ``flask --app examples.existing_app run``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from flask_oauth_accounts import oauth_bp

from . import commands as commands  # adds itself to the site
from .extensions import accounts, cache, csrf, login_manager, migrate
from .models import db
from .views import site


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the application.

    :param config: values that go before the environment's ``FLASK_…`` variables.
    """
    app = Flask(__name__)
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI="sqlite:///existing.db",
        CACHE_TYPE="FileSystemCache",
        CACHE_DIR=f"{app.instance_path}/cache",
        OAUTH_ACCOUNTS_LOGIN_REDIRECT="/",
        OAUTH_ACCOUNTS_LOGOUT_REDIRECT="/",
    )
    app.config.from_prefixed_env()
    app.config.from_mapping(config or {})

    db.init_app(app)
    migrate.init_app(app, db)
    login_manager.init_app(app)
    cache.init_app(app)
    csrf.init_app(app)
    accounts.init_app(app)
    app.register_blueprint(site)
    app.register_blueprint(oauth_bp, url_prefix="/auth")
    return app
