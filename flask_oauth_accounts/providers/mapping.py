"""From a provider's answer to an :class:`~flask_oauth_accounts.identity.Identity`.

What comes from outside is checked for its type and shape here, once: a subject that is no text or number is refused, an
optional part that does not look like what it should be is left out.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ..errors import ProviderResponseError
from ..identity import Identity, UserInfo, parse_subject
from .paths import find_value
from .preset import Preset, ProfilePaths

MAX_EMAIL_LENGTH = 254
MAX_NAME_LENGTH = 200
MAX_URL_LENGTH = 2048

USUAL_CLAIMS = ProfilePaths(
    subject="sub | id",
    email="email",
    email_verified="email_verified",
    username="preferred_username | login",
    display_name="name",
    avatar_url="picture | avatar_url",
    profile_url="profile",
)
"""What a provider without a preset is read by."""

# Left out of what is stored: of no use later, or a secret where the token answer itself describes the person.
_PROTOCOL_CLAIMS = frozenset(
    {"nonce", "at_hash", "c_hash", "s_hash", "access_token", "refresh_token", "id_token", "oauth_token"}
    | {"oauth_token_secret", "token"}
)
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def map_profile(
    preset: Preset | None,
    name: str,
    *,
    issuer: str | None,
    raw: Mapping[str, Any],
    claims: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Identity:
    """Read who the provider says this is.

    :param preset: the provider's facts; ``None`` reads the usual claims (``sub`` or ``id``, ``email``, …).
    :param name: of the client in the registry.
    :param issuer: who vouches for the subject, see :func:`.issuers.account_issuer`; the preset's own when ``None``.
    :param raw: the userinfo answer, the token answer, or empty where the ID token says everything.
    :param claims: of a validated ID token.
    :param extra: the answers to the preset's ``extra_requests`` by key, and ``user`` from a form_post callback.
    :return: the identity.
    :raises ProviderResponseError: if the answer is no object, names no usable subject, or is about somebody else than
        the ID token is (OpenID Connect Core section 5.3.2).
    """
    if not isinstance(raw, Mapping):
        raise ProviderResponseError(description="the profile answer is not a JSON object", provider=name)
    paths = preset.profile if preset else USUAL_CLAIMS
    document = _merge(paths, raw, claims, name)
    extras = dict(extra or {})
    subject = parse_subject(find_value(paths.subject, document, extras), provider=name)
    email = parse_email(find_value(paths.email, document, extras))
    values: dict[str, Any] = {
        "email": email,
        "email_verified": _is_verified(paths, document, extras) if email else None,
        "username": clean_name(find_value(paths.username, document, extras)),
        "display_name": clean_name(find_value(paths.display_name, document, extras)),
        "avatar_url": parse_https_url(find_value(paths.avatar_url, document, extras)),
        "profile_url": parse_https_url(find_value(paths.profile_url, document, extras)),
    }
    if paths.profile_url_template:
        values["profile_url"] = _fill_profile_url(paths.profile_url_template, subject, values["username"])
    if preset and preset.key in _FINISHERS:
        values.update(_FINISHERS[preset.key](document, extras))
    shown = {key: value for key, value in document.items() if key not in _PROTOCOL_CLAIMS}
    return Identity(name, _issuer(preset, issuer, name), subject, raw=UserInfo(shown), **values)


def _issuer(preset: Preset | None, issuer: str | None, name: str) -> str:
    found = issuer or (preset and (preset.issuer or preset.account_issuer))
    if not found or "{" in found:
        raise ProviderResponseError(description="nobody is known who vouches for this account", provider=name)
    return found


def _merge(paths: ProfilePaths, raw: Mapping[str, Any], claims: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Join ID token and userinfo, once it is sure that both are about the same person."""
    if claims is None or claims is raw:
        return dict(raw)
    if raw and paths.subject in ("sub", USUAL_CLAIMS.subject):
        expected = parse_subject(claims.get("sub"), provider=name)
        if parse_subject(raw.get("sub"), provider=name) != expected:
            raise ProviderResponseError(
                description="the userinfo answer is about another subject than the ID token", provider=name
            )
    return {**claims, **raw}


def _is_verified(paths: ProfilePaths, document: Mapping[str, Any], extra: Mapping[str, Any]) -> bool | None:
    """Only JSON ``true`` and ``false`` count, and text where the preset says that its provider writes text."""
    value = find_value(paths.email_verified, document, extra)
    if paths.email_verified_present:
        return True if isinstance(value, str) and value.strip() else None
    if isinstance(value, bool):
        return value
    if paths.email_verified_strings and isinstance(value, str):
        return {"true": True, "false": False}.get(value)
    return None


def parse_email(value: object) -> str | None:
    """Read an e-mail address.

    :param value: as it came.
    :return: the address unchanged, or ``None`` for what is none: not text, longer than 254 characters, with blanks or
        control characters, or without exactly one ``@`` between two parts.
    """
    if not isinstance(value, str) or len(value) > MAX_EMAIL_LENGTH or not value.isprintable() or " " in value:
        return None
    local, _, domain = value.partition("@")
    return value if local and domain and "@" not in domain else None


def clean_name(value: object) -> str | None:
    """Read a name to be shown.

    :param value: as it came.
    :return: text on one line of at most 200 characters, without control characters and without those that turn the
        direction of writing; ``None`` where nothing is left or it was no text.
    """
    if not isinstance(value, str):
        return None
    kept = (
        " " if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI_CONTROLS else char
        for char in value[: MAX_NAME_LENGTH * 4]
    )
    return " ".join("".join(kept).split())[:MAX_NAME_LENGTH].rstrip() or None


def parse_https_url(value: object) -> str | None:
    """Read an address that may become a link or a picture.

    :param value: as it came.
    :return: the address, or ``None`` for everything but an absolute https address without user name in it.
    """
    if not isinstance(value, str) or len(value) > MAX_URL_LENGTH or not value.isprintable():
        return None
    if any(char in value for char in " \\\"'<>`"):
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return None
    return value if usable else None


def _fill_profile_url(template: str, subject: str, username: str | None) -> str | None:
    if "{username}" in template and not username:
        return None
    filled = template.replace("{username}", quote(username or "", safe=""))
    return parse_https_url(filled.replace("{subject}", quote(subject, safe="")))


def finish_apple(document: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Take the name from the form field ``user``, which Apple sends at the first consent only.

    The field comes through the browser unsigned, so nothing but the name is taken from it.
    """
    user = extra.get("user")
    if isinstance(user, str):
        try:
            user = json.loads(user[:10_000])
        except (ValueError, RecursionError):
            return {}
    if not isinstance(user, Mapping):
        return {}
    return {"display_name": clean_name(find_value("name.firstName + name.lastName", user))}


def finish_discord(document: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Build the picture's address from the hash of the picture."""
    subject, avatar = document.get("id"), document.get("avatar")
    if not isinstance(avatar, str) or not avatar.removeprefix("a_").isalnum():
        return {}
    kind = "gif" if avatar.startswith("a_") else "png"
    path = f"{quote(str(subject), safe='')}/{quote(avatar, safe='')}.{kind}"
    return {"avatar_url": parse_https_url(f"https://cdn.discordapp.com/avatars/{path}")}


def finish_kakao(document: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Believe ``is_email_verified`` only beside ``is_email_valid``: an address may have gone to somebody else since."""
    valid = find_value("kakao_account.is_email_valid", document)
    return {} if valid is True else {"email_verified": None}


def finish_reddit(document: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the query of the picture's address, which comes with HTML escapes."""
    picture = document.get("icon_img")
    return {"avatar_url": parse_https_url(picture.partition("?")[0]) if isinstance(picture, str) else None}


_FINISHERS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    "apple": finish_apple,
    "discord": finish_discord,
    "kakao": finish_kakao,
    "reddit": finish_reddit,
}
