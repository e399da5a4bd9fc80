"""A client bound to the request: the edge between Flask and the protocol."""

from __future__ import annotations

from .base import FinishedFlow as FinishedFlow
from .base import RemoteApp as RemoteApp
from .base import Runtime as Runtime
from .base import TokenCallbacks as TokenCallbacks
from .oauth1 import OAuth1App as OAuth1App
from .oauth2 import OAuth2App as OAuth2App
