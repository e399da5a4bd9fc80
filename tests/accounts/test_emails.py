"""E-mail addresses: what is kept and what may be compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_oauth_accounts.accounts.emails import (
    clean_email,
    clean_identity,
    domain_to_ascii,
    email_domain,
    is_domain_allowed,
    is_linkable,
)
from flask_oauth_accounts.identity import Identity


@pytest.mark.parametrize(
    ("given_email", "kept"),
    [
        (" Mona@Example.com ", "Mona@Example.com"),
        ("möna@bücher.example", "möna@bücher.example"),
        ("mona@example.com\n", "mona@example.com"),
        ("mona@exam ple.com", None),
        ("mona\x00@example.com", None),
        ("mona@example.com\r\nBcc: eve@example.com", None),
        ("mona\u200b@example.com", None),
        ("mona", None),
        ("@example.com", None),
        ("mona@", None),
        ("mona@example.com@evil.test", None),
        ('"mona@example.com"@evil.test', None),
        ("a" * 250 + "@b.io", None),
        ("", None),
        (None, None),
        (True, None),
        (["mona@example.com"], None),
    ],
)
def test_e06_what_cannot_be_an_address_is_dropped(given_email: Any, kept: str | None) -> None:
    """Text that only looks like an address is stored, shown and compared as one."""
    assert clean_email(given_email) == kept


def test_a_verdict_without_an_address_is_dropped() -> None:
    """``email_verified`` beside an unusable address vouches for another one later."""
    identity = clean_identity(Identity("x", "https://x.example", "1", email="two words", email_verified=True))
    assert (identity.email, identity.email_verified) == (None, None)
    odd: Any = "true"
    assert clean_identity(Identity("x", "i", "1", email="a@b.example", email_verified=odd)).email_verified is None
    kept = clean_identity(Identity("x", "i", "1", email="a@b.example", email_verified=False))
    assert (kept.email, kept.email_verified) == ("a@b.example", False)


@pytest.mark.parametrize(
    ("email", "allowed"),
    [
        ("mona@example.com", True),
        ("mona@EXAMPLE.Com", True),
        ("mona@bücher.example", True),
        ("mona@BÜCHER.example", True),
        ("mona@xn--bcher-kva.example", True),
        ("mona@sub.example.com", False),
        ("mona@notexample.com", False),
        ("mona@example.com.evil.test", False),
        ("mona@evil.test", False),
        ("mona@example.com.", False),
        ("mona@example.com@evil.test", False),
        ("mona@evil.test,example.com", False),
        ("mona@ｅｘａｍｐｌｅ.com", False),
        ("mona@example。com", False),
        ("mona@exampIe.com", False),
        ("mona@straße.example", False),
        ("mona@", False),
        (None, False),
    ],
)
def test_e25_a_domain_is_compared_whole(email: str | None, allowed: bool) -> None:
    """A look-alike or longer domain signs up where only the company may."""
    domains = ("@Example.COM ", "bücher.example", "strasse.example", "not a domain")
    assert is_domain_allowed(email, domains) is allowed


def test_no_domain_is_allowed_where_the_list_is_empty() -> None:
    """An empty list lets everybody in."""
    assert not is_domain_allowed("mona@example.com", ())
    assert not is_domain_allowed("mona@-", ("-", ""))


@pytest.mark.parametrize("email", ["mona@example.com", "Mo.na+x@example.co.uk"])
def test_plain_addresses_can_be_compared(email: str) -> None:
    """The operator's wish to link by e-mail is never met."""
    assert is_linkable(email)


@given(st.text(max_size=80))
def test_no_text_breaks_the_reading_of_an_address(text: str) -> None:
    """A provider's odd answer ends in an internal error."""
    domain = email_domain(text)
    assert domain is None or domain == domain_to_ascii(domain)
    cleaned = clean_email(text)
    assert cleaned is None or cleaned == clean_email(cleaned)
    assert not is_linkable(text) or (cleaned or "").isascii()
