"""The policy's defaults and its hooks, with models as applications write them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_oauth_accounts.accounts.policy import AccountPolicy, call_hook, create_policy
from flask_oauth_accounts.config import Settings
from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import IdentityRecord

MONA = Identity(
    "github",
    "https://github.com",
    "1",
    email="mona@example.com",
    email_verified=True,
    username="mona",
    display_name="Mona Lisa Octocat",
    avatar_url="https://avatars.example/1.png",
    profile_url="https://github.com/mona",
    raw={"is_admin": True, "groups": ["staff"]},
)


class Base(DeclarativeBase):
    """The application's metadata."""


class Full(Base):
    """Has everything that can be filled, and something that may not."""

    __tablename__ = "full"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    email: Mapped[str | None] = mapped_column(sa.String(254), unique=True)
    email_verified: Mapped[bool] = mapped_column(default=False)
    name: Mapped[str | None]
    username: Mapped[str | None] = mapped_column(sa.String(8), unique=True)
    display_name: Mapped[str | None] = mapped_column(sa.String(10))
    avatar_url: Mapped[str | None] = mapped_column(sa.String(20))
    profile_url: Mapped[str | None]
    is_admin: Mapped[bool] = mapped_column(default=False)


class Required(Base):
    """A tutorial's user: a name that must be there and be unique."""

    __tablename__ = "required"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(sa.String(20), unique=True)
    name: Mapped[str] = mapped_column(sa.String(80), server_default="nobody")


class Odd(Base):
    """Has the names, and none of them is a plain column."""

    __tablename__ = "odd"
    id: Mapped[int] = mapped_column(primary_key=True)
    full_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("full.id"))
    address: Mapped[str | None]
    avatar_url: Mapped[Full | None] = relationship()

    @hybrid_property
    def email(self) -> str | None:
        return self.address

    @email.inplace.setter
    def _set_email(self, value: str | None) -> None:
        self.address = value.lower() if value else None

    @property
    def name(self) -> str:
        return "computed"

    def username(self) -> str:
        return "a method"

    display_name = "a constant of the class"


def bind(model: Any, taken: Sequence[str] = ()) -> AccountPolicy:
    """A policy for this model whose store knows these names as taken."""

    class Store:
        def user_value_is_free(self, attribute: str, value: str) -> bool:
            assert attribute in ("username", "name")
            return value not in taken

    store: Any = Store()
    return AccountPolicy().bind(user_model=model, store=store)


def test_the_six_attributes_are_filled_and_nothing_else() -> None:
    """A new user has no name, or got a right from a profile that anybody can edit (E13)."""
    user = bind(Full).create_user(MONA)
    assert (user.email, user.email_verified, user.username) == ("mona@example.com", True, "mona")
    assert user.name == "Mona Lisa Octocat"
    assert user.profile_url is None
    assert user.is_admin is None
    assert bind(Full).create_user(Identity("x", "https://x.example", "1")).email_verified is False
    assert sa.inspect(user).transient


def test_what_does_not_fit_is_cut_or_left_out() -> None:
    """A long name makes the database refuse the user, or half an address is stored as one."""
    user = bind(Full).create_user(MONA)
    assert user.display_name == "Mona Lisa "
    assert user.avatar_url is None


@pytest.mark.parametrize(
    ("username", "taken", "chosen"),
    [
        ("mona", [], "mona"),
        ("mona", ["mona"], "mona-2"),
        ("mona", ["mona", "mona-2", "mona-3"], "mona-4"),
        ("monalisa-octocat", ["monalisa"], "monali-2"),
        (None, [], None),
    ],
)
def test_a_taken_user_name_gets_a_number(username: str | None, taken: list[str], chosen: str | None) -> None:
    """Nobody can sign up whose user name somebody else has."""
    identity = Identity("github", "https://github.com", "1", username=username)
    assert bind(Full, taken).create_user(identity).username == chosen


def test_a_crowded_user_name_is_still_found_a_place() -> None:
    """The twentieth visitor of one name cannot sign up."""
    taken = ["mona", *(f"mona-{number}" for number in range(2, 30))]
    name = bind(Required, taken).create_user(MONA).username
    assert name.startswith("mona-")
    assert name not in taken


def test_a_required_user_name_is_never_missing() -> None:
    """A provider that sends no user name cannot be used with a tutorial's user model."""
    policy = bind(Required, ["user"])
    assert policy.create_user(Identity("google", "https://accounts.google.com", "1")).username == "user-2"
    named = policy.create_user(Identity("google", "https://accounts.google.com", "1", display_name="Mona Lisa"))
    assert (named.username, named.name) == ("Mona Lisa", "Mona Lisa")


def test_only_what_can_be_set_is_set() -> None:
    """A method, a relationship or a computed value of the model breaks every sign-up."""
    user = bind(Odd).create_user(MONA)
    assert user.address == "mona@example.com"
    assert (user.name, user.username(), user.avatar_url) == ("computed", "a method", None)
    assert "display_name" not in vars(user)


def test_a_model_that_needs_arguments_names_the_remedy() -> None:
    """The first visitor gets an internal error that does not say what to write."""

    class Strict:
        def __init__(self, email: str) -> None:
            self.email = email

    with pytest.raises(ConfigurationError, match=r"Strict\(\) needs arguments; override AccountPolicy.create_user"):
        bind(Strict).create_user(MONA)
    with pytest.raises(ConfigurationError, match="user_model"):
        AccountPolicy().create_user(MONA)


def test_plain_classes_are_filled_too() -> None:
    """An application with users of its own kind has users without names."""

    class Slim:
        __slots__ = ("email", "plan", "username")
        email: str | None

    user = bind(Slim).create_user(MONA)
    assert (user.email, user.username) == ("mona@example.com", "mona")


def test_binding_leaves_the_given_policy_alone() -> None:
    """One policy object for two applications asks the wrong one's database."""

    class Mine(AccountPolicy):
        def __init__(self, word: str) -> None:
            self.word = word

    policy = Mine("x")
    one = policy.bind(user_model=Full, settings=Settings(signup="closed"))
    two = policy.bind(user_model=Required)
    assert (one.user_model, two.user_model, policy.user_model) == (Full, Required, None)
    assert (one.word, type(one)) == ("x", Mine)
    assert not one.may_sign_up(MONA)
    assert two.may_sign_up(MONA)
    again = one.bind(user_model=Required)
    assert (again.user_model, again.settings.signup) == (Required, "closed")


def test_may_disconnect_looks_the_others_up_itself() -> None:
    """A subclass that asks ``super()`` with two arguments refuses everything."""
    one = IdentityRecord(1, 7, MONA, can_log_in=True)
    two = IdentityRecord(2, 7, MONA, can_log_in=True)
    api = IdentityRecord(3, 7, MONA, can_log_in=False)

    class Store:
        rows = (one, two)

        def list_for_user(self, user_id: Any) -> Sequence[IdentityRecord]:
            assert user_id == 7
            return self.rows

    store: Any = Store()
    policy = AccountPolicy().bind(store=store)
    assert policy.may_disconnect(None, one)
    store.rows = (one, api)
    assert not policy.may_disconnect(None, one)
    assert policy.may_disconnect(None, api)
    assert policy.may_disconnect(None, api, [])
    assert not policy.may_disconnect(None, one, [api])
    assert policy.may_disconnect(None, one, [two])


def test_a_record_reads_like_its_identity() -> None:
    """A hook written as ``may_disconnect(user, identity)`` fails on the accounts page, and nobody sees it any more."""
    record = IdentityRecord(1, 7, MONA, can_log_in=True)
    for name in ("name", "issuer", "subject", "email", "email_verified", "username", "login_key"):
        assert getattr(record, name) == getattr(MONA, name)
    assert IdentityRecord(1, 7, MONA, can_log_in=False).login_key is None


@pytest.mark.parametrize(
    ("hook", "got"),
    [
        (lambda: (), ()),
        (lambda user: (user,), (1,)),
        (lambda user, identity: (user, identity), (1, 2)),
        (lambda user, identity=None, more=None: (user, identity, more), (1, 2, 3)),
        (lambda *everything: everything, (1, 2, 3)),
        (lambda user, **rest: (user, *rest), (1,)),
        (lambda user, *, option=0: (user, option), (1, 0)),
        (max, 3),
    ],
)
def test_a_hook_gets_as_many_arguments_as_it_takes(hook: Callable[..., Any], got: Any) -> None:
    """A subclass written with a shorter signature breaks every login."""
    assert call_hook(hook, 1, 2, 3) == got


def test_an_asynchronous_hook_is_refused() -> None:
    """A hook that says no would count as a yes, for what it returns is true until it is awaited."""

    class Never(AccountPolicy):
        async def may_log_in(self, user: Any, identity: Identity) -> bool:  # type: ignore[override]
            return False

        async def has_other_way_in(self, user: Any) -> bool:  # type: ignore[override]
            return False

    never, last = Never(), IdentityRecord(1, 7, MONA, can_log_in=True)
    for call in (
        lambda: call_hook(never.may_log_in, None, MONA),
        lambda: never.may_disconnect(None, last, []),
    ):
        with pytest.raises(ConfigurationError, match="is asynchronous; write it with def"):
            call()


def test_a_policy_is_given_as_class_or_object_or_not_at_all() -> None:
    """``policy=MyPolicy`` without brackets fails at the first login instead of working."""

    class Mine(AccountPolicy):
        pass

    mine = Mine()
    assert create_policy(mine) is mine
    assert type(create_policy(Mine)) is Mine
    assert type(create_policy(None)) is AccountPolicy
    for wrong in (object(), "closed", dict):
        given: Any = wrong
        with pytest.raises(ConfigurationError, match="AccountPolicy"):
            create_policy(given)
