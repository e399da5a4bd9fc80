"""Keep the libraries underneath from writing secrets to the log.

At DEBUG requests-oauthlib and oauthlib print tokens, codes, client secrets and signature base strings, and urllib3
prints request lines with their query. The first are silenced below WARNING, the last has secret parameters removed.
"""

from __future__ import annotations

import logging
import re

_TALKATIVE = (
    "requests_oauthlib.oauth1_auth",
    "requests_oauthlib.oauth1_session",
    "requests_oauthlib.oauth2_session",
    "oauthlib.oauth1.rfc5849",
    "oauthlib.oauth1.rfc5849.signature",
    "oauthlib.oauth2.rfc6749.clients.base",
)
_PARAMETER = re.compile(
    r"(?i)\b((?:access_|refresh_|id_|oauth_)?token|oauth_signature|oauth_verifier|code|code_verifier|client_secret|"
    r"client_assertion|password|token_hint|id_token_hint)=[^&\s\"']+"
)


class _Quiet(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


class _Redact(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and any(isinstance(item, str) and "=" in item for item in record.args):
            record.args = tuple(redact(item) if isinstance(item, str) else item for item in record.args)
        return True


def redact(text: str) -> str:
    """:return: the text with the values of secret query parameters replaced by an ellipsis."""
    return _PARAMETER.sub(r"\1=…", text)


def silence_libraries() -> None:
    """Install the filters once; filters of one kind are not added twice."""
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if not any(isinstance(item, _Quiet) for item in logger.filters):
            logger.addFilter(_Quiet())
    pool = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(item, _Redact) for item in pool.filters):
        pool.addFilter(_Redact())
