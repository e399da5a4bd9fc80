"""A real provider for demonstrations and tests, without a network and without a bypassed protocol step.

::

    def test_login(oauth_provider, app):
        app.config.update(oauth_provider.oidc_config("DEV"))
        response = oauth_login(app.test_client(), "dev", user="alice", provider=oauth_provider)
        assert response.status_code == 302

See :class:`DevProvider` for all that can be scripted, and :mod:`.pytest_plugin` for the fixtures.
"""

from __future__ import annotations

from .faults import Fault as Fault
from .journal import RequestLog as RequestLog
from .journal import RequestRecord as RequestRecord
from .login import oauth_login as oauth_login
from .models import DevClient as DevClient
from .models import DevUser as DevUser
from .models import ProviderSettings as ProviderSettings
from .provider import DevProvider as DevProvider
