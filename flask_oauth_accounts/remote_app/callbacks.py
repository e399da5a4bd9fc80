"""What came back with the browser: the callback's parameters, each of them once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import request

from ..errors import CallbackError, MismatchingStateError
from ..tokens import Secret

_MAX_LENGTH = 16_384
_CHECKED = frozenset(
    {"state", "code", "error", "iss", "oauth_token", "oauth_verifier", "denied", "handle", "id_token", "access_token"}
)
_SECRET = frozenset({"code", "oauth_verifier", "state", "handle", "id_token", "access_token"})


@dataclass(frozen=True)
class CallbackParams:
    """Parameters of a callback; those of the protocol are there at most once."""

    values: dict[str, str] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> str | None:
        """The value of a parameter, ``None`` where it is absent or empty."""
        return self.values.get(name) or None

    def extra(self) -> dict[str, Any]:
        """What is not the protocol's, such as the ``user`` that Apple sends once."""
        return {key: value for key, value in self.values.items() if key not in _CHECKED}


def read_callback(flows: Any) -> CallbackParams:
    """Read the current request: the query on GET, the form on POST.

    :param flows: where a form that came by POST may wait under its handle; ``None`` reads the request alone.
    :return: the parameters.
    :raises CallbackError: if a parameter of the protocol is there twice or is too long (RFC 6749 section 3.1).
    :raises MismatchingStateError: if the handle is unknown or was used already.
    """
    source = request.form if request.method == "POST" else request.args
    values: dict[str, str] = {}
    for key, found in source.lists():
        if key in _CHECKED and (len(found) != 1 or len(found[0]) > _MAX_LENGTH):
            raise CallbackError(description=f"the callback's parameter {key!r} is repeated or too long")
        values[key] = Secret(found[0][:_MAX_LENGTH]) if key in _SECRET else found[0][:_MAX_LENGTH]
    handle = values.get("handle")
    if handle and flows is not None and request.method == "GET":
        form: Mapping[str, str] | None = flows.take_form(handle)
        if form is None:
            raise MismatchingStateError
        return CallbackParams({key: Secret(value) if key in _SECRET else value for key, value in form.items()})
    return CallbackParams(values)
