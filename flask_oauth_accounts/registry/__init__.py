"""The registry: clients by name, for any number of applications.

A registry keeps what was registered and nothing of any application. What belongs to one application – its settings,
its caches, the clients built from its configuration – lies in that application's :class:`AppState`.
"""

from __future__ import annotations

from .building import describe_missing_id as describe_missing_id
from .oauth import OAuth as OAuth
from .oauth import current_oauth as current_oauth
from .state import EXTENSION_KEY as EXTENSION_KEY
from .state import AppState as AppState
from .state import ensure_state as ensure_state
from .state import get_state as get_state
