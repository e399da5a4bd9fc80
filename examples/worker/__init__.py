"""A page hands work to a queue on Redis; the worker asks the provider with the user's stored token.

The worker has no request, no session and nobody who is logged in: it has an application context and the number of a
user. Run it with ``flask --app examples.worker run`` and, beside it, ``rq worker --serializer json reports``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_wtf import CSRFProtect

from flask_oauth_accounts import oauth_bp

from .views import site

csrf = CSRFProtect()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Build the application; the page's server and the worker both do.

    :param config: values that go before the environment's ``FLASK_…`` variables.
    """
    app = Flask(__name__)
    app.config.from_mapping(REDIS_URL="redis://127.0.0.1:6379/0", PROFILE_PATH="user")
    app.config.from_prefixed_env()
    app.config.from_mapping(config or {})
    csrf.init_app(app)
    app.register_blueprint(site)
    app.register_blueprint(oauth_bp)
    return app
