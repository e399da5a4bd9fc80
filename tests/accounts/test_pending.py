"""The pending link on its way through a cache or a cookie."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from flask_oauth_accounts.accounts import PendingLink
from flask_oauth_accounts.errors import SealedValueError
from flask_oauth_accounts.identity import Identity, UserInfo
from flask_oauth_accounts.protocols import Sealer
from flask_oauth_accounts.tokens import TokenDict


class Sealing:
    """Authenticates and hides a value; enough to see that the place is bound."""

    key = b"only for this test"

    def seal(self, plaintext: str, context: str) -> str:
        body = base64.b85encode(plaintext.encode()).decode()
        return f"{self._sign(body, context)}.{body}"

    def unseal(self, sealed: str, context: str) -> str:
        tag, _, body = sealed.partition(".")
        if not hmac.compare_digest(tag, self._sign(body, context)):
            raise SealedValueError
        return base64.b85decode(body).decode()

    def key_id(self, sealed: str) -> str | None:
        return None

    def _sign(self, body: str, context: str) -> str:
        return hmac.new(self.key, f"{context}\0{body}".encode(), hashlib.sha256).hexdigest()


SEALER: Sealer = Sealing()
IDENTITY = Identity(
    "github", "https://github.com", "1", email="möna@example.com", email_verified=False, raw=UserInfo(login="mona")
)
PENDING = PendingLink(IDENTITY, TokenDict(access_token="at-secret"), "oauth2", "repo", 1_700_000_600.0)


def test_it_comes_back_as_it_was() -> None:
    """The link that the visitor confirms is not the one that was pending."""
    loaded = PendingLink.loads(PENDING.dumps(SEALER, binding="b1"), SEALER, binding="b1")
    assert loaded == PENDING
    assert dict(loaded.identity.raw) == {"login": "mona"}
    assert isinstance(loaded.token, TokenDict)


def test_nothing_of_it_can_be_read_or_edited() -> None:
    """A cache or cookie shows the token, or lets another subject be put in."""
    text = PENDING.dumps(SEALER, binding="b1")
    assert "at-secret" not in text
    assert "github.com" not in text
    with pytest.raises(SealedValueError):
        PendingLink.loads(text[:-2] + "xx", SEALER, binding="b1")


def test_another_browser_cannot_use_it() -> None:
    """An attacker plants a pending link in a victim's browser."""
    with pytest.raises(SealedValueError):
        PendingLink.loads(PENDING.dumps(SEALER, binding="b1"), SEALER, binding="b2")


@pytest.mark.parametrize("values", [[], "x", {}, {"identity": 1}, {"identity": {"name": "x"}}, {"other": 1}])
def test_what_is_no_pending_link_is_refused(values: Any) -> None:
    """A value of an older release ends in an internal error."""
    text = SEALER.seal(json.dumps(values), "pending-link:")
    with pytest.raises(ValueError, match="not a pending link"):
        PendingLink.loads(text, SEALER)
