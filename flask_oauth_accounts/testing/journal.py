"""What the provider has seen: one record per request, without values, and every secret that passed, for leak tests."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload
from urllib.parse import unquote_plus

from flask import Request, g, has_request_context
from oauthlib.oauth1.rfc5849.utils import parse_authorization_header

_SECRET_FIELDS = (
    "code",
    "code_verifier",
    "refresh_token",
    "access_token",
    "token",
    "client_secret",
    "client_assertion",
    "id_token_hint",
    "oauth_verifier",
    "password",
)
_MIN_SECRET_LENGTH = 8


@dataclass
class RequestRecord:
    """One request as the provider saw it; names only, no values that could be secret.

    :ivar client_auth: ``client_secret_basic``, …, or ``oauth1``; ``None`` where nobody authenticated.
    :ivar user: the user name of the token's or the consent's user.
    :ivar status: of the answer; ``None`` while it is being made.
    """

    method: str
    path: str
    query_keys: tuple[str, ...] = ()
    form_keys: tuple[str, ...] = ()
    grant_type: str | None = None
    client_id: str | None = None
    client_auth: str | None = None
    user: str | None = None
    status: int | None = None


class RequestLog(Sequence[RequestRecord]):
    """All requests in the order they came."""

    def __init__(self) -> None:
        self._records: list[RequestRecord] = []
        self._lock = threading.Lock()

    @overload
    def __getitem__(self, index: int) -> RequestRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[RequestRecord]: ...
    def __getitem__(self, index: int | slice) -> RequestRecord | list[RequestRecord]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self._records[:])

    def append(self, record: RequestRecord) -> None:
        with self._lock:
            self._records.append(record)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._records.clear()

    def matching(self, path: str | None = None, **fields: Any) -> list[RequestRecord]:
        """Requests that fit.

        :param path: the whole path, or its last segments: ``"/token"`` fits ``/oauth2/token``.
        :param fields: attributes of :class:`RequestRecord` with the values they must have.
        :return: the records in the order they came.
        """
        return [
            record
            for record in self
            if (path is None or record.path.endswith(path))
            and all(getattr(record, name) == value for name, value in fields.items())
        ]

    def count(self, path: str | None = None, **fields: Any) -> int:
        """:return: how many requests fit; the parameters of :meth:`matching`."""
        return len(self.matching(path, **fields))


class SecretRegister:
    """Every secret ever issued or received."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._lock = threading.Lock()

    def learn(self, *values: object) -> None:
        """Remember secrets; what is too short to search for is left out."""
        with self._lock:
            self._values.update(v for v in values if isinstance(v, str) and len(v) >= _MIN_SECRET_LENGTH)

    def snapshot(self) -> set[str]:
        """:return: a copy."""
        with self._lock:
            return set(self._values)

    def learn_request(self, request: Request) -> None:
        """Remember the secrets that a request carries."""
        for source in (request.args, request.form):
            self.learn(*(source.get(name) for name in _SECRET_FIELDS))
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            self.learn(rest.strip())
        elif scheme.lower() == "basic":
            self.learn(rest.strip(), *(unquote_plus(part) for part in decode_basic(rest)[1:]))
        elif scheme.lower() == "oauth":
            self._learn_oauth1(request.headers["Authorization"])

    def _learn_oauth1(self, header: str) -> None:
        try:
            params = dict(parse_authorization_header(header))
        except ValueError:
            return
        self.learn(params.get("oauth_verifier"))
        if params.get("oauth_signature_method") == "PLAINTEXT":
            self.learn(*unquote_plus(params.get("oauth_signature", "")).split("&"))


def decode_basic(credentials: str) -> tuple[str, ...]:
    """:return: user and password as they were sent, or an empty tuple for what is not Basic authentication."""
    try:
        user, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except ValueError:
        return ()
    return (user, password) if colon else ()


def note(**fields: str | None) -> None:
    """Add what was found out to the record of the request at hand."""
    record = g.get("dev_provider_record") if has_request_context() else None
    if record is not None:
        for name, value in fields.items():
            setattr(record, name, value)


def create_record(request: Request) -> RequestRecord:
    """:return: the record of a request that has just come in."""
    return RequestRecord(
        method=request.method,
        path=request.path,
        query_keys=tuple(request.args),
        form_keys=tuple(request.form),
        grant_type=request.form.get("grant_type"),
        client_id=request.form.get("client_id") or request.args.get("client_id"),
    )
