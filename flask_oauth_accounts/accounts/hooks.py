"""What a login asks the policy. An answer that cannot be right ends the login before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import (
    ConfigurationError,
    LoginRefusedError,
    SignupRefusedError,
    StorageUnavailable,
    UserInactiveError,
)
from ..identity import Identity
from .policy import AccountPolicy, call_hook


def find_match(
    policy: AccountPolicy, identity: Identity, identify: Callable[[Any], Any], load_user: Callable[[Any], Any]
) -> tuple[Any, Any] | None:
    """Ask ``match_user``, and read the user it names.

    :param identify: the primary key of a user, of a proxy of one, or of a key in another form.
    :param load_user: a user by primary key, or ``None``.
    :return: primary key and user, ``None`` where the policy names nobody.
    :raises ConfigurationError: if it names somebody who is not there.
    """
    matched = call_hook(policy.match_user, identity)
    if matched is None:
        return None
    try:
        user_id = identify(matched)
    except (AttributeError, TypeError, ValueError, StorageUnavailable):
        user_id = None
    user = None if user_id is None else load_user(user_id)
    if user is None:
        raise ConfigurationError(
            f"AccountPolicy.match_user returned a {type(matched).__name__} that is no user of the database; return a "
            "user, the id of one, or None",
            provider=identity.name,
        )
    return user_id, user


def create_user(policy: AccountPolicy, identity: Identity, shown: Identity) -> Any:
    """Ask ``may_sign_up`` and ``create_user``.

    :param identity: who the provider says this is.
    :param shown: the same, as the new user is to be filled from it.
    :return: the new user, not stored yet.
    :raises SignupRefusedError: if the policy says no, or makes nobody.
    :raises UserInactiveError: if the new user is inactive.
    :raises ConfigurationError: if it makes something else than a user.
    """
    if not call_hook(policy.may_sign_up, identity):
        raise SignupRefusedError(description="AccountPolicy.may_sign_up refused", provider=identity.name)
    new_user = call_hook(policy.create_user, shown)
    if new_user is None:
        raise SignupRefusedError(description="AccountPolicy.create_user made no user", provider=identity.name)
    model = policy.user_model
    if model is not None and not issubclass(type(new_user), model):
        raise ConfigurationError(
            f"AccountPolicy.create_user returned a {type(new_user).__name__}; return a new {model.__name__}, or None",
            provider=identity.name,
        )
    if getattr(new_user, "is_active", None) is False:
        # Only a clear no counts: before the first flush a column's default is not there yet.
        raise UserInactiveError(provider=identity.name)
    return new_user


def check_may_log_in(policy: AccountPolicy, user: Any, identity: Identity) -> None:
    """Ask ``may_log_in``.

    :raises LoginRefusedError: if the policy says no.
    """
    if not call_hook(policy.may_log_in, user, identity):
        raise LoginRefusedError(provider=identity.name)


def is_active(user: Any) -> bool:
    """Whether the user is there and may log in; a model without ``is_active`` has active users only."""
    active = getattr(user, "is_active", user is not None)
    return bool(active() if callable(active) else active)
