"""A real provider for demonstrations and tests, without a network and without a bypassed protocol step.

::

    def create_app(config):
        app = Flask(__name__)
        app.config.update(config, SECRET_KEY="for tests", TESTING=True, OAUTH_ACCOUNTS_PROVIDERS="dev")
        app.register_blueprint(oauth_bp)  # it reads the configuration, which has to be there before
        return app


    def test_login(oauth_provider):
        app = create_app(oauth_provider.oidc_config("dev"))
        response = oauth_login(app.test_client(), "dev", user="alice", provider=oauth_provider)
        assert response.status_code == 302

See :class:`DevProvider` for all that can be scripted, and :mod:`.pytest_plugin` for the fixtures.
"""

from __future__ import annotations

import importlib
from typing import Any

from .faults import Fault as Fault
from .journal import RequestLog as RequestLog
from .journal import RequestRecord as RequestRecord
from .login import oauth_login as oauth_login
from .models import DevClient as DevClient
from .models import DevUser as DevUser
from .models import ProviderSettings as ProviderSettings
from .provider import DevProvider as DevProvider

_FIXTURES = ("oauth_provider", "oauth_session_provider")


def __getattr__(name: str) -> Any:
    """Give the fixtures here too, as ``pytest_plugins = ["flask_oauth_accounts.testing"]`` looks for them."""
    if name not in _FIXTURES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.pytest_plugin"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FIXTURES])
