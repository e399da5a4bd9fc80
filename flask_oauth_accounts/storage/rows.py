"""Between rows and values: what is read from and written to the token and identity tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ..errors import InvalidTokenError, SealedValueError, clean_text
from ..identity import Identity
from ..protocols import IdentityRecord, Sealer
from ..tokens import Protocol as TokenProtocol
from ..tokens import StoredToken, TokenDict, join_scope, parse_expires_at, parse_expires_in
from .sealed import create_context

_URL_LIMIT = 2_000
_KEPT = ("refresh_token", "id_token", "scope", "refresh_expires_at")


class TokenTable:
    """One token table: how a row becomes a :class:`StoredToken` and back.

    :param model: the mapped class.
    :param sealer: opens and seals the secrets.
    """

    def __init__(self, model: Any, sealer: Sealer) -> None:
        self.table: sa.Table = model.__table__
        self.protocol: TokenProtocol = model._oauth_protocol
        self.secret_names: tuple[str, ...] = model._oauth_secret_names
        self.kind: str = model._oauth_table
        self.sealer = sealer
        fields = [*StoredToken.__dataclass_fields__, *self.secret_names, "token_type"]
        self.columns = [self.table.c[name] for name in dict.fromkeys(fields) if name in self.table.c]
        c = self.table.c
        self.is_marked = sa.and_(c.status == "reauth_required", c.last_error == SealedValueError.code)
        latest = self.select().order_by(sa.func.coalesce(c.last_login_at, 0).desc(), c.id.desc()).limit(1)
        # Made once, because this query runs with every API call: by user and name, and by account as well.
        self.by_name = latest.where(
            c.user_id == sa.bindparam("user_id", type_=c.user_id.type),
            c.name == sa.bindparam("name", type_=c.name.type),
        )
        self.by_account = self.by_name.where(c.account == sa.bindparam("account", type_=c.account.type))

    def select(self) -> sa.Select[Any]:
        """:return: a query for the columns of a :class:`StoredToken`."""
        return sa.select(*self.columns)

    def read(self, row: Mapping[Any, Any]) -> StoredToken:
        """Open one row; secrets that do not open give an empty token marked as unreadable.

        A row that was marked because it did not open (:attr:`is_marked`) is active again where it opens.
        """
        values = {name: row[name] for name in StoredToken.__dataclass_fields__ if name in row}
        values["account"] = values.get("account") or ""
        token, unreadable = TokenDict(), False
        try:
            token.update(self.open_secrets(row))
            for name in ("token_type", "expires_at", "scope"):
                if row.get(name) is not None:
                    token[name] = row[name]
        except SealedValueError:
            unreadable = True
        marked = (values["status"], values["last_error"]) == ("reauth_required", SealedValueError.code)
        if marked and not unreadable:
            values |= {"status": "active", "last_error": None}  # the key is back
        return StoredToken(protocol=self.protocol, token=token, unreadable=unreadable, **values)

    def open_secrets(self, row: Mapping[Any, Any]) -> dict[str, str]:
        """:return: the secrets of one row in plain text.

        :raises SealedValueError: if one of them does not open.
        """
        secrets = {}
        for name in self.secret_names:
            if row[name] is not None:
                context = create_context(self.kind, name, row["user_id"], row["name"], row["account"] or "")
                secrets[name] = self.sealer.unseal(row[name], context)
        return secrets

    def seal(self, token: Mapping[str, Any], user_id: Any, name: str, account: str) -> dict[str, str]:
        """:return: the secrets that the token has, sealed for their row."""
        return {
            column: self.sealer.seal(token[column], create_context(self.kind, column, user_id, name, account))
            for column in self.secret_names
            if token.get(column)
        }

    def create_values(self, token: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Read a token of a login or a refresh into columns, secrets still in plain text.

        ``refresh_token``, ``id_token``, ``scope`` and what depends on them are left out where the token has none,
        so that they stay as they are stored.

        :param token: as ``authorize_access_token()`` returns it.
        :param now: seconds since the epoch.
        :raises InvalidTokenError: if the token has no access token.
        """
        if not isinstance(token.get(self.secret_names[0]), str) or not token[self.secret_names[0]]:
            raise InvalidTokenError(description=f"the token to store has no {self.secret_names[0]}")
        if self.protocol == "oauth1":
            return {name: token.get(name) or None for name in self.secret_names}
        expires_at = parse_expires_at(token.get("expires_at"))
        lifetime = parse_expires_in(token.get("expires_in"))
        if expires_at is None and lifetime is not None:
            expires_at = int(now) + lifetime
        values = {
            "access_token": token["access_token"],
            "token_type": clean_text(token.get("token_type"), 40) or "Bearer",
            "refresh_token": token.get("refresh_token") or None,
            "id_token": token.get("id_token") or None,
            "scope": join_scope(token.get("scope")),
            "expires_at": expires_at,
            "issued_at": int(now),
            "issued_for": None if expires_at is None else max(expires_at - int(now), 0),
            "refresh_expires_at": _read_refresh_expiry(token, now),
        }
        return {name: value for name, value in values.items() if value is not None or name not in _KEPT}

    def create_token(self, values: Mapping[str, Any]) -> TokenDict:
        """:return: the token of plain columns, as ``to_token()`` writes it."""
        names = (*self.secret_names, "token_type", "expires_at", "scope")
        return TokenDict({name: values[name] for name in names if values.get(name) is not None})


def _read_refresh_expiry(token: Mapping[str, Any], now: float) -> int | None:
    known = parse_expires_at(token.get("refresh_expires_at"))
    for key in ("refresh_expires_in", "refresh_token_expires_in"):
        lifetime = parse_expires_in(token.get(key))
        if known is None and lifetime:
            known = int(now) + lifetime
    return known


def create_profile(identity: Identity) -> dict[str, Any]:
    """Read what a provider says about somebody into columns, cut and cleaned so that every database takes it."""
    return {
        "issuer": identity.issuer,
        "email": _fit_email(identity.email),
        "email_verified": identity.email_verified if isinstance(identity.email_verified, bool) else None,
        "username": clean_text(identity.username, 255) or None,
        "display_name": clean_text(identity.display_name, 255) or None,
        "avatar_url": _fit_url(identity.avatar_url),
        "profile_url": _fit_url(identity.profile_url),
        "raw_profile": _fit_json(identity.raw),
    }


def _fit_email(email: str | None) -> str | None:
    """An address that was cut would be another address."""
    return email if email and len(email) <= 320 and email.isprintable() else None


def _fit_url(url: str | None) -> str | None:
    return url if url and len(url) <= _URL_LIMIT and url.isprintable() else None


def _fit_json(raw: Mapping[str, Any]) -> Any:
    """JSON that every database takes: no NaN, no NUL, no half of a surrogate pair."""
    try:
        return _clean_json(json.loads(json.dumps(dict(raw), default=str), parse_constant=lambda name: None)) or None
    except (ValueError, TypeError, RecursionError):
        return None


def _clean_json(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_clean_json(item) for item in value]
    if isinstance(value, dict):
        return {_clean_json(key): _clean_json(item) for key, item in value.items()}
    return value


def create_record(row: Mapping[Any, Any]) -> IdentityRecord:
    """:return: a row of ``oauth_identity`` as a value."""
    identity = Identity(
        name=row["name"],
        issuer=row["issuer"],
        subject=row["subject"],
        email=row["email"],
        email_verified=None if row["email_verified"] is None else bool(row["email_verified"]),
        username=row["username"],
        display_name=row["display_name"],
        avatar_url=row["avatar_url"],
        profile_url=row["profile_url"],
        raw=row["raw_profile"] or {},
    )
    return IdentityRecord(
        id=row["id"],
        user_id=row["user_id"],
        identity=identity,
        can_log_in=row["login_key"] is not None or bool(row["for_login"]),
        created_at=row["created_at"],
        last_login_at=row["last_login_at"],
    )
