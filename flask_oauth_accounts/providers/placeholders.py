"""Parts of a preset's addresses that only the operator knows: a tenant, a domain, the address of an instance.

A value is put into an address only after it has passed a pattern that leaves no room for another host, path, query or
fragment. A value that could move an endpoint would send the client secret elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..config import parse_list
from ..errors import ConfigurationError

Kind = Literal["hostname", "label", "segment", "base_url", "list"]

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?=[^/:]{{1,253}}(?:[/:]|$)){_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_SEGMENT = r"[A-Za-z0-9_](?:[A-Za-z0-9._~-]{0,126}[A-Za-z0-9_~-])?"
_PATTERNS: dict[str, tuple[re.Pattern[str], str]] = {
    "hostname": (re.compile(_HOST), 'a host name like "login.example.com", without scheme and path'),
    "label": (re.compile(_LABEL), "one part of a host name, of letters, digits and '-'"),
    "segment": (re.compile(_SEGMENT), "one word of letters, digits, '.', '_' and '-'"),
    "base_url": (
        re.compile(rf"https?://{_HOST}(?:/{_SEGMENT})*"),
        'an address like "https://git.example.com", without query and fragment',
    ),
}
_SLOT = re.compile(r"\{([a-z_]+)(?::([^{}]*))?\}")


@dataclass(frozen=True)
class Placeholder:
    """One open place of a preset.

    :ivar name: in lower case; the configuration key is ``{NAME}_{PLACEHOLDER}`` in upper case.
    :ivar kind: what fits: ``hostname`` (with a port where needed), ``label`` (one part of a host name), ``segment``
        (one part of a path), ``base_url`` (scheme, host, perhaps a path) or ``list`` (segments that are in no address).
    :ivar default: taken where nothing is given; ``None`` makes the placeholder required, ``""`` leaves it out.
    :ivar description: one sentence for the documentation.
    """

    name: str
    kind: Kind
    default: str | None = None
    description: str = ""

    @property
    def required(self) -> bool:
        """Whether the preset cannot be used without a value."""
        return self.default is None

    def validate(self, value: object, key: str) -> str:
        """Check a value.

        :param value: as configured.
        :param key: the configuration key, for the error.
        :return: the value as it goes into an address; a list is joined by commas.
        :raises ConfigurationError: if it does not fit; the sentence names the key.
        """
        if self.kind == "list":
            return self._validate_list(value, key)
        pattern, wanted = _PATTERNS[self.kind]
        text = value.strip() if isinstance(value, str) else ""
        if self.kind == "base_url":
            text = text.rstrip("/")
        if not pattern.fullmatch(text) or ".." in text:
            raise ConfigurationError(f"{key} must be {wanted}")
        return text

    def _validate_list(self, value: object, key: str) -> str:
        words = parse_list(value)
        pattern = _PATTERNS["segment"][0]
        if not words or not all(word == "*" or pattern.fullmatch(word) for word in words):
            raise ConfigurationError(f"{key} must be a list of names or ids, or text separated by commas")
        return ",".join(words)


def collect_parameters(
    placeholders: tuple[Placeholder, ...],
    name: str,
    config: Mapping[str, Any],
    given: Mapping[str, Any] | None = None,
    *,
    optional: bool = False,
) -> dict[str, str]:
    """Find a value for each placeholder: what was given to ``register``, else the configuration, else the default.

    :param placeholders: of the preset.
    :param name: of the client in the registry; ``work`` reads ``WORK_TENANT``.
    :param config: the application's configuration.
    :param given: keyword arguments of ``register``; ``None`` and ``""`` mean "not given".
    :param optional: leave out what has no value instead of raising.
    :return: placeholder → checked value.
    :raises ConfigurationError: for a required value that is missing, or one that does not fit.
    """
    parameters: dict[str, str] = {}
    for placeholder in placeholders:
        key = f"{name}_{placeholder.name}".upper()
        value = (given or {}).get(placeholder.name)
        if value in (None, ""):
            value = config.get(key)
        if value not in (None, "", [], ()):
            parameters[placeholder.name] = placeholder.validate(value, key)
        elif placeholder.default is not None:
            parameters[placeholder.name] = placeholder.default
        elif not optional:
            raise ConfigurationError(f"{key} is missing; {placeholder.description or 'this preset needs it'}")
    return parameters


def find_slots(template: str) -> set[str]:
    """:return: the names of the places in an address."""
    return {match[1] for match in _SLOT.finditer(template)}


def fill(template: str, parameters: Mapping[str, str]) -> str:
    """Put checked values into an address.

    ``{name:/prefix/}`` puts the prefix before the value, and nothing at all where the value is empty. What is no
    parameter (``{tenantid}``, ``{client_id}``) stays as it is.

    :param template: an address with places in braces.
    :param parameters: from :func:`collect_parameters`.
    :return: the address.
    """

    def replace(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            return match[0]
        value = parameters[match[1]]
        return f"{match[2] or ''}{value}" if value else ""

    return _SLOT.sub(replace, template)
