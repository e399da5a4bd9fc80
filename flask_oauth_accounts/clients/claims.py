"""What an application asks of an ID token's claims beyond this package's own checks, in Authlib's notation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import IdTokenError

_KNOWN = frozenset({"essential", "value", "values", "validate"})

ClaimsOptions = Mapping[str, Mapping[str, Any]]
"""By claim: ``essential`` (it is there and not empty), ``value`` (it is that one), ``values`` (it is one of these) and
``validate`` (a function of all claims and this one's value that returns whether it will do). A claim that is not there
has the value ``None``."""


def check_claims_options(options: ClaimsOptions | None) -> ClaimsOptions:
    """Refuse options that would be passed over in silence.

    :param options: as the application gave them; ``None`` for none.
    :return: the options.
    :raises TypeError: if they are not a dictionary of dictionaries with the four known keys.
    """
    options = {} if options is None else options
    if not isinstance(options, Mapping) or not all(isinstance(option, Mapping) for option in options.values()):
        raise TypeError(
            'claims_options must be a dictionary such as {"hd": {"essential": True, "value": "example.com"}}'
        )
    for claim, option in options.items():
        unknown = sorted(map(str, set(option) - _KNOWN))
        if unknown:
            raise TypeError(f"claims_options: {unknown[0]!r} of {claim!r} is none of {', '.join(sorted(_KNOWN))}")
    return options


def check_claims(claims: Mapping[str, Any] | None, options: ClaimsOptions, *, provider: str) -> None:
    """Check the claims of a validated ID token against an application's options.

    :param claims: ``None`` where no ID token came: only what is essential is missed then.
    :param options: what :func:`check_claims_options` returned.
    :param provider: the client's name.
    :raises IdTokenError: naming the first claim that does not hold.
    """
    for claim, option in options.items():
        if option.get("essential") and not (claims or {}).get(claim):
            what = "there is no ID token with" if claims is None else "the ID token has no"
            raise IdTokenError(description=f"{what} {claim!r}, which claims_options call essential", provider=provider)
        if claims is not None and not _holds(claims, claim, option):
            raise IdTokenError(
                description=f"{claim!r} of the ID token is not what claims_options ask for", provider=provider
            )


def _holds(claims: Mapping[str, Any], claim: str, option: Mapping[str, Any]) -> bool:
    value, validate = claims.get(claim), option.get("validate")
    found = value if claim == "aud" and isinstance(value, list) else [value]
    if option.get("value") is not None and option["value"] not in found:
        return False
    if option.get("values") is not None and not any(item in option["values"] for item in found):
        return False
    return validate is None or bool(validate(claims, value))
