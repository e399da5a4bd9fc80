"""E-mail addresses as evidence: what is kept, what may be compared, and what is too odd for either.

An address never identifies anybody here. It is compared for three purposes only: to notice that somebody has it
already, to link by it where the operator allows that, and to admit the domains that may sign up.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..identity import Identity

MAX_EMAIL_LENGTH = 254
"""The longest address that fits a mail path (RFC 5321 section 4.5.3.1.3), in characters."""

_PLAIN_LOCAL_PART = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)


def clean_email(email: object) -> str | None:
    """Trim an address, and drop what cannot be one.

    :param email: as the provider gave it.
    :return: the address with its case kept, or ``None`` for blanks or control characters inside, for no ``@`` or
        more than one, for an empty half, and for more than 254 characters.
    """
    if not isinstance(email, str):
        return None
    text = email.strip()
    local, at, domain = text.partition("@")
    if not at or not local or not domain or "@" in domain or len(text) > MAX_EMAIL_LENGTH:
        return None
    return None if any(char.isspace() or not char.isprintable() for char in text) else text


def clean_identity(identity: Identity) -> Identity:
    """The identity with an address that can be stored and compared, or with none.

    ``email_verified`` stays only beside an address, and only the value ``True`` means verified: a text like
    ``"false"`` or a number that came through is dropped.
    """
    email = clean_email(identity.email)
    verified = identity.email_verified if isinstance(identity.email_verified, bool) and email else None
    return replace(identity, email=email, email_verified=verified)


def domain_to_ascii(domain: str) -> str | None:
    """Write a domain in the one form in which domains are compared: lower case, IDNA (RFC 3490).

    A spelling that IDNA would map to other letters (full-width, ligatures, ``ß``) gives ``None``: it reads like
    one domain and is another.
    """
    lowered = domain.lower()
    if not lowered.isascii():
        try:
            encoded = lowered.encode("idna")
            if encoded.decode("idna") != lowered:
                return None
            lowered = encoded.decode("ascii")
        except UnicodeError:
            return None
    return lowered if all(_LABEL.fullmatch(label) for label in lowered.split(".")) else None


def email_domain(email: str | None) -> str | None:
    """:return: the domain of an address as :func:`domain_to_ascii` writes it, ``None`` where there is none."""
    cleaned = clean_email(email)
    return domain_to_ascii(cleaned.rpartition("@")[2]) if cleaned else None


def is_domain_allowed(email: str | None, domains: tuple[str, ...]) -> bool:
    """Whether the address is in exactly one of these domains; a subdomain or a longer name is another domain.

    :param domains: as the operator wrote them, in any case, with or without a leading ``@``, Unicode or IDNA.
    """
    domain = email_domain(email)
    return domain is not None and domain in {domain_to_ascii(item.strip().removeprefix("@")) for item in domains}


def is_linkable(email: str | None) -> bool:
    """Whether two systems can be trusted to mean one mailbox by this address: plain ASCII, nothing quoted."""
    cleaned = clean_email(email)
    if not cleaned or not cleaned.isascii():
        return False
    return bool(_PLAIN_LOCAL_PART.fullmatch(cleaned.rpartition("@")[0])) and email_domain(cleaned) is not None
