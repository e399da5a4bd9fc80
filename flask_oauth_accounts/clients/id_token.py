"""Whether an ID token may be believed (OpenID Connect Core section 3.1.3.7), and a logout token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..errors import IdTokenError, ProviderResponseError, clean_text
from ..identity import UserInfo, parse_subject
from .jwks import KeySource
from .jws import MissingKeyError, RefusedError, refuse, verify_token
from .names import config_key

Issuer = str | Callable[[Mapping[str, Any]], bool]

MAX_LEEWAY = 300.0
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class UncheckableIdTokenError(IdTokenError):
    """The key that has signed an ID token is not among those of the provider; one that was kept may be older."""


def validate_id_token(
    id_token: object,
    *,
    keys: KeySource,
    issuer: Issuer,
    client_id: str,
    client_secret: str | None = None,
    algorithms: Sequence[str] = ("RS256",),
    nonce: str | None = None,
    access_token: str | None = None,
    code: str | None = None,
    max_age: float | None = None,
    leeway: float = 60.0,
    now: float,
    provider: str,
    issued_within: float | None = 86400.0,
    check_expiry: bool = True,
    trusted_audiences: Collection[str] = (),
) -> UserInfo:
    """Check an ID token, all of OpenID Connect Core section 3.1.3.7, and give its claims.

    :param id_token: as the token endpoint gave it.
    :param keys: the provider's keys.
    :param issuer: the exact ``iss``, or a rule that says of the claims whether their issuer will do.
    :param client_id: that the token must be made for.
    :param client_secret: the key for HS256, HS384 and HS512, where one of them is configured.
    :param algorithms: that were configured, never those that a document names.
    :param nonce: of this login; ``None`` where none was sent.
    :param access_token: that came with it, to check ``at_hash`` where the token has one (section 3.1.3.6).
    :param code: likewise for ``c_hash`` (section 3.3.2.11).
    :param max_age: seconds since the user was last asked, where the login asked for it.
    :param leeway: seconds that clocks may differ; at most 300 count.
    :param now: seconds since the epoch.
    :param provider: the client's name.
    :param issued_within: seconds; a token that was issued earlier is refused.
    :param check_expiry: ``False`` for a token that was kept and may have expired since.
    :param trusted_audiences: that ``aud`` may name beside this client (section 3.1.3.7, number 3); ``*`` for any.
    :return: the claims.
    :raises IdTokenError: with a sentence that names the check that failed, and never the token.
    :raises OAuthError: if the provider's keys cannot be had.
    """
    try:
        header, claims = verify_token(
            id_token, keys=keys, algorithms=algorithms, client_secret=client_secret, provider=provider,
            accepts_type=_is_id_token_type,
        )  # fmt: skip
        leeway = _bound(leeway)
        _check_issuer(claims, issuer)
        _check_audience(claims, client_id, trusted_audiences, key=config_key(provider, "trusted_audiences"))
        _check_times(claims, now=now, leeway=leeway, issued_within=issued_within, needs_exp=check_expiry)
        _check_subject(claims)
        if isinstance(claims.get("events"), dict) and LOGOUT_EVENT in claims["events"]:
            raise RefusedError("it is a logout token")
        if nonce is not None:
            _check_nonce(claims, nonce)
        if max_age is not None:
            _check_auth_time(claims, max_age, now=now, leeway=leeway)
        _check_hash(claims, "at_hash", access_token, str(header["alg"]))
        _check_hash(claims, "c_hash", code, str(header["alg"]))
    except RefusedError as error:
        kind = UncheckableIdTokenError if isinstance(error, MissingKeyError) else IdTokenError
        refusal = refuse(kind, "ID token", error, provider)
    else:
        return UserInfo(claims)
    raise refusal


def validate_logout_token(
    logout_token: object,
    *,
    keys: KeySource,
    issuer: Issuer,
    client_id: str,
    client_secret: str | None = None,
    algorithms: Sequence[str] = ("RS256",),
    leeway: float = 60.0,
    now: float,
    provider: str,
    issued_within: float | None = 600.0,
) -> dict[str, Any]:
    """Check a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.6).

    Whether its ``jti`` was seen before is for the caller to say.

    :return: the claims, with ``sub``, ``sid`` or both, and ``jti``.
    :raises IdTokenError: with a sentence that names the check that failed, and never the token.
    :raises OAuthError: if the provider's keys cannot be had.
    """
    try:
        _, claims = verify_token(
            logout_token, keys=keys, algorithms=algorithms, client_secret=client_secret, provider=provider,
            accepts_type=lambda kind: kind in (None, "jwt", "logout+jwt"),
        )  # fmt: skip
        _check_issuer(claims, issuer)
        if client_id not in _read_audience(claims):
            raise RefusedError("its aud does not name this client")
        _check_times(claims, now=now, leeway=_bound(leeway), issued_within=issued_within, needs_exp="exp" in claims)
        _check_logout_event(claims)
    except RefusedError as error:
        refusal = refuse(IdTokenError, "logout token", error, provider)
    else:
        return claims
    raise refusal


def check_signed_userinfo(claims: dict[str, Any], *, issuer: Issuer, client_id: str) -> None:
    """Check a signed userinfo answer (OpenID Connect Core section 5.3.2).

    :raises RefusedError: if it is of another issuer or for another client.
    """
    _check_issuer(claims, issuer)
    if client_id not in _read_audience(claims):
        raise RefusedError("its aud does not name this client")


def _check_logout_event(claims: Mapping[str, Any]) -> None:
    events, jti, sub, sid = claims.get("events"), claims.get("jti"), claims.get("sub"), claims.get("sid")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise RefusedError("it has no logout event")
    if "nonce" in claims:
        raise RefusedError("it has a nonce, so it is an ID token")
    if not isinstance(jti, str) or not jti or len(jti) > 255:
        raise RefusedError("its jti is not a text of 1 to 255 characters")
    if sub is None and sid is None:
        raise RefusedError("it has neither sub nor sid")
    for name, value in (("sub", sub), ("sid", sid)):
        if value is not None and (not isinstance(value, str) or not value or len(value) > 255):
            raise RefusedError(f"its {name} is not a text of 1 to 255 characters")


def _is_id_token_type(kind: str | None) -> bool:
    """RFC 8725 section 3.11: tokens made for something else say so by a type such as ``at+jwt``."""
    return kind is None or not kind.endswith("+jwt")


def _bound(leeway: float) -> float:
    return min(max(float(leeway), 0.0), MAX_LEEWAY)


def _check_issuer(claims: Mapping[str, Any], issuer: Issuer) -> None:
    found = claims.get("iss")
    if not isinstance(found, str) or not found:
        raise RefusedError("its iss is not a text")
    if not issuer:
        raise RefusedError("the issuer of this provider is not known; configure issuer")
    if isinstance(issuer, str) and found != issuer:
        raise RefusedError(f"its iss is {_show(found)}, and {_show(issuer)} was expected")
    if not isinstance(issuer, str) and not issuer(claims):
        raise RefusedError(f"its iss {_show(found)} is not one of this provider")


def _read_audience(claims: Mapping[str, Any]) -> list[str]:
    audience = claims.get("aud")
    audience = [audience] if isinstance(audience, str) else audience
    if not isinstance(audience, list) or not audience or not all(isinstance(name, str) for name in audience):
        raise RefusedError("its aud is neither a text nor a list of texts")
    return audience


def _check_audience(claims: Mapping[str, Any], client_id: str, trusted: Collection[str], *, key: str) -> None:
    audience, party = _read_audience(claims), claims.get("azp")
    if client_id not in audience:
        raise RefusedError(f"its aud is {_show(', '.join(audience))}, which is not this client")
    others = [name for name in audience if name != client_id and name not in trusted]
    if others and "*" not in trusted:
        raise RefusedError(f"its aud names {_show(others[0])} beside this client, which {key} does not")
    if len(set(audience)) > 1 and party is None:
        raise RefusedError("it has several audiences and no azp")
    if party is not None and party != client_id:
        raise RefusedError(f"its azp is {_show(party)}, which is not this client")


def _read_time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e12 < value < 1e12:
        raise RefusedError(f"its {name} is not a number of seconds")
    if not math.isfinite(value):
        raise RefusedError(f"its {name} is not a number of seconds")
    return float(value)


def _check_times(
    claims: Mapping[str, Any], *, now: float, leeway: float, issued_within: float | None, needs_exp: bool = True
) -> None:
    issued = _read_time(claims, "iat")
    if needs_exp and _read_time(claims, "exp") <= now - leeway:
        raise RefusedError(f"it expired {round(now - _read_time(claims, 'exp'))} s ago")
    if issued > now + leeway:
        raise RefusedError(f"its iat is {round(issued - now)} s in the future; compare the clocks")
    if issued_within is not None and issued < now - issued_within - leeway:
        raise RefusedError(f"its iat is {round(now - issued)} s ago")
    if "nbf" in claims and _read_time(claims, "nbf") > now + leeway:
        raise RefusedError("its nbf is in the future; compare the clocks")


def _check_subject(claims: Mapping[str, Any]) -> None:
    try:
        if not isinstance(claims.get("sub"), str):
            raise RefusedError("its sub is not a text")
        parse_subject(claims["sub"])
    except ProviderResponseError:
        raise RefusedError("its sub is not a text of 1 to 255 characters") from None


def _check_nonce(claims: Mapping[str, Any], nonce: str) -> None:
    """The nonce ties the token to the login that this browser began."""
    found = claims.get("nonce")
    if not isinstance(found, str) or not nonce or not _is_same(found, nonce):
        raise RefusedError("its nonce is missing or of another login")


def _check_auth_time(claims: Mapping[str, Any], max_age: float, *, now: float, leeway: float) -> None:
    if _read_time(claims, "auth_time") < now - max_age - leeway:
        raise RefusedError(f"the user was last asked more than {round(max_age)} s ago (auth_time)")


def _check_hash(claims: Mapping[str, Any], name: str, value: str | None, alg: str) -> None:
    if value is None or name not in claims:
        return
    found = claims[name]
    if not isinstance(found, str) or not _is_same(found.rstrip("="), _half_hash(value, alg)):
        raise RefusedError(f"its {name} does not fit")


def _half_hash(value: str, alg: str) -> str:
    """The left half of the hash of the algorithm's own kind (OpenID Connect Core section 3.1.3.6)."""
    raw = value.encode("utf-8", "surrogatepass")
    size = re.search(r"256|384|512", alg)
    if size is not None:
        digest = hashlib.new(f"sha{size[0]}", raw).digest()
    elif alg in ("EdDSA", "Ed25519"):
        digest = hashlib.sha512(raw).digest()
    elif alg == "Ed448":
        digest = hashlib.shake_256(raw).digest(114)
    else:
        raise RefusedError(f"no hash is known for its algorithm {alg}")
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")


def _is_same(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode("utf-8", "surrogatepass"), second.encode("utf-8", "surrogatepass"))


def _show(value: object) -> str:
    return repr(clean_text(value, 100))
