"""The application's own word on who may come in: one class to subclass, six hooks and one question.

::

    accounts = OAuthAccounts(oauth, db=db, user_model=User, policy=InvitedOnly())

A hook may take fewer arguments than are listed here: one that leaves out the last ones is called without them. It is
an ordinary function: one that is written with ``async def`` is refused.
An exception that a hook raises ends the login before anybody is logged in. An
:class:`~flask_oauth_accounts.errors.AccountError` is shown to the visitor as it is; any other reaches the error page
as a fault of the application.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from ..config import Settings
from ..errors import ConfigurationError
from ..identity import Identity
from ..protocols import AccountStore, IdentityRecord
from .creation import create_instance, fill_user
from .linking import Rules, find_signup_obstacle

_DEFAULTS = Settings()


@dataclass(frozen=True)
class _Binding:
    user_model: Any = None
    settings: Settings = _DEFAULTS
    store: AccountStore | None = None


class AccountPolicy:
    """Who may sign up, who may log in, and how a user is made of an identity.

    The defaults are safe and need no change; override what your application knows better.

    >>> from flask_oauth_accounts.identity import Identity
    >>> mona = Identity("github", "https://github.com", "1", email="mona@example.com", email_verified=True)
    >>> AccountPolicy().may_sign_up(mona)
    True
    """

    _binding = _Binding()

    def bind(
        self, *, user_model: Any = None, settings: Settings | None = None, store: AccountStore | None = None
    ) -> Self:
        """Give the policy to one application. The policy itself is not changed, so that it can serve several.

        :param user_model: the class of the users.
        :param settings: the package's configuration.
        :param store: where users and identities are kept.
        :return: a copy that knows these.
        """
        bound = copy.copy(self)
        given = {"user_model": user_model, "settings": settings, "store": store}
        bound._binding = replace(self._binding, **{key: value for key, value in given.items() if value is not None})
        return bound

    @property
    def user_model(self) -> Any:
        """The class of the users, ``None`` before the application is there."""
        return self._binding.user_model

    @property
    def settings(self) -> Settings:
        """The package's configuration in this application."""
        return self._binding.settings

    def may_sign_up(self, identity: Identity) -> bool:
        """Whether an unknown identity may become a user.

        Asked after ``OAUTH_ACCOUNTS_SIGNUP`` and ``OAUTH_ACCOUNTS_ALLOWED_DOMAINS``, which it can narrow and not
        widen. An address counts only where ``email_verified`` is ``True``.

        >>> class InvitedOnly(AccountPolicy):
        ...     def may_sign_up(self, identity):
        ...         return identity.email_verified is True and identity.email in {"mona@example.com"}
        >>> from flask_oauth_accounts.identity import Identity
        >>> InvitedOnly().may_sign_up(Identity("github", "https://github.com", "2", email="eve@example.com"))
        False

        :param identity: who the provider says this is.
        :return: ``False`` refuses with :class:`~flask_oauth_accounts.errors.SignupRefusedError`.
        """
        return find_signup_obstacle(identity, Rules.from_settings(self.settings)) is None

    def create_user(self, identity: Identity) -> Any:
        """Make a user of an identity.

        The default calls the user model without arguments and fills those of ``email``, ``email_verified``, ``name``,
        ``username``, ``display_name`` and ``avatar_url`` that it has, and nothing else.

        >>> class WithPlan(AccountPolicy):
        ...     def create_user(self, identity):
        ...         user = super().create_user(identity)
        ...         user.plan = "free"
        ...         return user
        >>> class User:
        ...     username = None
        >>> from flask_oauth_accounts.identity import Identity
        >>> mona = Identity("github", "https://github.com", "1", username="mona")
        >>> user = WithPlan().bind(user_model=User).create_user(mona)
        >>> user.username, user.plan
        ('mona', 'free')

        :param identity: who the provider says this is.
        :return: a new instance that is in no session; the package stores it together with the identity.
        :raises ConfigurationError: if the user model cannot be made without arguments.
        """
        user = create_instance(self.user_model)
        fill_user(user, identity, self.is_free)
        return user

    def is_free(self, attribute: str, value: str) -> bool:
        """Whether no user has this value yet, for :meth:`create_user`.

        :param attribute: of the user model, such as ``"username"``.
        :param value: the text to look for.
        """
        store = self._binding.store
        return store is None or store.user_value_is_free(attribute, value)

    def match_user(self, identity: Identity) -> Any:
        """Name the user to whom an unknown identity belongs. It is linked at once, so be sure.

        Match by what the provider guarantees, such as a number of the staff that your own identity server sends.
        Never match by an e-mail address alone: whoever can register somebody's address there takes over the account.

        >>> from types import SimpleNamespace
        >>> STAFF = {"4711": SimpleNamespace(id=1, name="Mona")}
        >>> class ByStaffNumber(AccountPolicy):
        ...     def match_user(self, identity):
        ...         return STAFF.get(identity.raw.get("staff_number")) if identity.name == "company" else None
        >>> from flask_oauth_accounts.identity import Identity
        >>> mona = Identity("company", "https://id.example.com", "x", raw={"staff_number": "4711"})
        >>> ByStaffNumber().match_user(mona).name
        'Mona'

        :param identity: who the provider says this is.
        :return: an existing user or the id of one, or ``None`` for nobody. Anything else ends the login.
        """
        return None

    def may_log_in(self, user: Any, identity: Identity) -> bool:
        """Whether this user may log in by this identity; asked at every login, before anything is written.

        At a sign-up ``user`` is the new instance, which has no id yet.

        >>> class NoContractors(AccountPolicy):
        ...     def may_log_in(self, user, identity):
        ...         return "contractors" not in identity.raw.get("groups", ())
        >>> from flask_oauth_accounts.identity import Identity
        >>> eve = Identity("company", "https://id.example.com", "x", raw={"groups": ["contractors"]})
        >>> NoContractors().may_log_in(None, eve)
        False

        :param user: the user, active already.
        :param identity: who the provider says this is, as of now.
        :return: ``False`` refuses with :class:`~flask_oauth_accounts.errors.LoginRefusedError`.
        """
        return True

    def has_other_way_in(self, user: Any) -> bool:
        """Whether the user can log in without any connected account: by a password, a passkey, a link by mail.

        >>> class WithPasswords(AccountPolicy):
        ...     def has_other_way_in(self, user):
        ...         return user.password_hash is not None
        >>> from types import SimpleNamespace
        >>> WithPasswords().has_other_way_in(SimpleNamespace(password_hash=None))
        False

        :param user: the user.
        :return: ``False`` by default, for the package knows of no other way.
        """
        return False

    def may_disconnect(self, user: Any, record: IdentityRecord, others: Sequence[IdentityRecord] | None = None) -> bool:
        """Whether this connection may be removed.

        By default everything but the last way in: a connection for its API only, one beside another that can log
        in, or any of a user for whom :meth:`has_other_way_in` is true.

        >>> class CompanyStays(AccountPolicy):
        ...     def may_disconnect(self, user, record):
        ...         return record.identity.name != "company" and super().may_disconnect(user, record)
        >>> from flask_oauth_accounts.identity import Identity
        >>> from flask_oauth_accounts.protocols import IdentityRecord
        >>> record = IdentityRecord(1, 7, Identity("company", "https://id.example.com", "x"), can_log_in=True)
        >>> CompanyStays().may_disconnect(None, record)
        False

        :param user: the user.
        :param record: the connection to remove.
        :param others: the user's other connections; looked up when left out.
        :return: ``False`` refuses: with :class:`~flask_oauth_accounts.errors.LastLoginMethodError` where it is the only
            connection that can log in, else with :class:`~flask_oauth_accounts.errors.ConnectionKeptError`.
        """
        if not record.can_log_in:
            return True
        if others is None:
            store = self._binding.store
            others = store.list_for_user(record.user_id) if store is not None else ()
        if any(other.can_log_in and other.id != record.id for other in others):
            return True
        return bool(call_hook(self.has_other_way_in, user))

    def after_login(self, user: Any, identity: Identity) -> None:
        """Do something once the login is stored, before the user's session begins. An exception stops the login.

        >>> class TakeOverPicture(AccountPolicy):
        ...     def after_login(self, user, identity):
        ...         user.avatar_url = identity.avatar_url or user.avatar_url
        >>> from types import SimpleNamespace
        >>> from flask_oauth_accounts.identity import Identity
        >>> user = SimpleNamespace(avatar_url=None)
        >>> TakeOverPicture().after_login(user, Identity("github", "https://github.com", "1", avatar_url="https://a.example/1"))
        >>> user.avatar_url
        'https://a.example/1'

        :param user: the user. What you change on it is committed by you, not by the package.
        :param identity: who the provider says this is.
        """


def create_policy(given: AccountPolicy | type[AccountPolicy] | None) -> AccountPolicy:
    """Make a policy of what the application gave: an instance, a class, or nothing.

    :raises ConfigurationError: for anything else.
    """
    policy = AccountPolicy() if given is None else given() if isinstance(given, type) else given
    if not isinstance(policy, AccountPolicy):
        raise ConfigurationError("policy must be an AccountPolicy or a subclass of it")
    return policy


def call_hook(hook: Callable[..., Any], *arguments: Any) -> Any:
    """Call a hook with as many of the arguments as it takes by position, in this order.

    :param hook: a bound method, maybe written with fewer parameters than the base class has.
    :return: what the hook returns.
    :raises ConfigurationError: if that has to be awaited first: it would count as a yes, whatever it came to.
    """
    answer = hook(*arguments[: _count_places(hook)])
    if isinstance(answer, Coroutine):
        answer.close()
        name = getattr(hook, "__qualname__", "a hook of AccountPolicy")
        raise ConfigurationError(f"{name} is asynchronous; write it with def, not with async def")
    return answer


def _count_places(hook: Callable[..., Any]) -> int | None:
    """How many arguments a hook takes by position, ``None`` for any number or where it does not say."""
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD) for item in parameters)
