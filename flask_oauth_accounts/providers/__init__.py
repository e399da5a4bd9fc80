"""The providers, as data.

To add one, write ``presets/<key>.toml`` and ``tests/providers/samples/<key>.json``; code is needed only where no claim
path can say what a profile means, and then it is one function in :mod:`.mapping`.
"""

from __future__ import annotations

from .apple import AppleKey as AppleKey
from .apple import create_apple_client_secret as create_apple_client_secret
from .apple import read_apple_key as read_apple_key
from .issuers import accepts_metadata_issuer as accepts_metadata_issuer
from .issuers import account_issuer as account_issuer
from .issuers import decide_email_trust as decide_email_trust
from .issuers import lacks_tenants as lacks_tenants
from .issuers import match_issuer as match_issuer
from .loader import find_preset as find_preset
from .loader import list_presets as list_presets
from .loader import load_preset as load_preset
from .mapping import map_profile as map_profile
from .placeholders import Placeholder as Placeholder
from .preset import Preset as Preset
from .preset import ProfilePaths as ProfilePaths
from .preset import RefreshFacts as RefreshFacts
from .preset import RevocationFacts as RevocationFacts
