"""The decision table: every combination of what can be known, and the one thing that follows from it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from flask_oauth_accounts.accounts.linking import (
    Conflict,
    Decision,
    Known,
    Link,
    LogIn,
    Refuse,
    Rules,
    SignUp,
    Visitor,
    decide,
    is_same_user,
)
from flask_oauth_accounts.config import Settings
from flask_oauth_accounts.errors import (
    IdentityTakenError,
    LoginRefusedError,
    SignupRefusedError,
    SubjectMismatchError,
    UserInactiveError,
)
from flask_oauth_accounts.flow import APPLICATION, CONNECT, LOGIN, RECONNECT
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import IdentityRecord

ME, OTHER, MATCHED, OWNER = 1, 2, 3, 4
EMAIL = "mona@example.com"


def _identity(**values: Any) -> Identity:
    return Identity(**{"name": "github", "issuer": "https://github.com", "subject": "s", **values})


def _record(row: int, user_id: int, *, can_log_in: bool = True, issuer: str = "https://github.com") -> IdentityRecord:
    return IdentityRecord(row, user_id, _identity(issuer=issuer), can_log_in)


MINE = _record(10, ME)
THEIRS = _record(11, OTHER)
MY_API = _record(12, ME, can_log_in=False)
THEIR_API = _record(13, OTHER, can_log_in=False)
MY_OLD_ISSUER = _record(14, ME, issuer="https://old.example")

Row = tuple[str, Mapping[str, tuple[Any, ...]], Decision]

LOGIN_DIMENSIONS: dict[str, tuple[Any, ...]] = {
    "purpose": (LOGIN, APPLICATION),
    "subject": (None, "s", "S"),
    "visitor": (None, ME),
    "for_login": (True, False),
    "record": (None, THEIRS, THEIR_API),
    "active": (True, False),
    "matched": (None, MATCHED),
    "email": (None, (EMAIL, None), (EMAIL, False), (EMAIL, True)),
    "owner": (None, OWNER),
    "taken": (False, True),
    "link": (False, True),
    "trusts": (False, True),
    "signup": (True, False),
    "domains": (None, ("EXAMPLE.com",), ("ample.com", "example.com.evil.test")),
}
VERIFIED = ((EMAIL, True),)
VOUCHED = {"email": VERIFIED, "owner": (OWNER,), "link": (True,), "trusts": (True,)}
SOME_EMAIL = ((EMAIL, None), (EMAIL, False), (EMAIL, True))

# The first row whose conditions hold decides; a dimension that a row does not name may have any value.
LOGIN_TABLE: list[Row] = [
    ("another account was asked for", {"subject": ("S",)}, Refuse(SubjectMismatchError)),
    ("the provider is no way to log in", {"for_login": (False,)}, Refuse(LoginRefusedError)),
    ("a known identity of an inactive user", {"record": (THEIRS,), "active": (False,)}, Refuse(UserInactiveError)),
    ("a known identity", {"record": (THEIRS,)}, LogIn(OTHER, THEIRS)),
    ("the policy names an inactive user", {"matched": (MATCHED,), "active": (False,)}, Refuse(UserInactiveError)),
    ("the policy names a user", {"matched": (MATCHED,)}, Link(MATCHED)),
    ("address proved on both sides, inactive", {**VOUCHED, "active": (False,)}, Refuse(UserInactiveError)),
    ("address proved on both sides", VOUCHED, Link(OWNER)),
    ("address taken", {"email": SOME_EMAIL, "taken": (True,)}, Conflict(EMAIL)),
    ("sign-up closed", {"signup": (False,)}, Refuse(SignupRefusedError)),
    ("sign-up open for all", {"domains": (None,)}, SignUp()),
    ("verified address of a domain", {"email": VERIFIED, "domains": (("EXAMPLE.com",),)}, SignUp()),
    ("no verified address of a domain", {}, Refuse(SignupRefusedError)),
]

LINK_DIMENSIONS: dict[str, tuple[Any, ...]] = {
    "purpose": (CONNECT, RECONNECT),
    "subject": (None, "s", "S"),
    "visitor": (None, ME, str(ME)),
    "for_login": (True, False),
    "record": (None, MINE, THEIRS, MY_API, THEIR_API),
    "own": (None, MY_API, MY_OLD_ISSUER),
    "active": (True, False),
    "matched": (None, MATCHED),
    "email": (None, (EMAIL, True)),
    "taken": (False, True),
    "signup": (True, False),
    "link": (False, True),
}


def _link_table(visitor: Any) -> list[Row]:
    not_theirs = (None, MY_API, THEIR_API)
    return [
        ("another account was asked for", {"subject": ("S",)}, Refuse(SubjectMismatchError)),
        ("nobody is logged in", {"visitor": (None,)}, Refuse(LoginRefusedError)),
        ("the visitor is inactive", {"active": (False,)}, Refuse(UserInactiveError)),
        ("connect mine again", {"purpose": (CONNECT,), "record": (MINE,)}, Link(visitor, MINE)),
        ("connect somebody's", {"purpose": (CONNECT,), "record": (THEIRS,)}, Refuse(IdentityTakenError)),
        ("connect a new one", {"purpose": (CONNECT,), "own": (None,)}, Link(visitor, None)),
        ("connect my API-only one", {"purpose": (CONNECT,), "own": (MY_API,)}, Link(visitor, MY_API)),
        ("connect beside an old issuer", {"purpose": (CONNECT,)}, Link(visitor, MY_OLD_ISSUER)),
        ("reconnect mine", {"record": (MINE,)}, Link(visitor, MINE)),
        ("reconnect my API-only one", {"record": (MY_API,)}, Link(visitor, MY_API)),
        ("reconnect mine, somebody logs in by it", {"own": (MY_API,)}, Link(visitor, MY_API)),
        ("reconnect somebody's", {"record": (THEIRS,)}, Refuse(IdentityTakenError)),
        ("reconnect what is not there", {"record": not_theirs}, Refuse(SubjectMismatchError)),
    ]


def _combinations(dimensions: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*dimensions.values()):
        yield dict(zip(dimensions, values, strict=True))


def _decide(case: Mapping[str, Any]) -> Decision:
    email, verified = case["email"] or (None, None)
    known = Known(
        case["record"],
        case.get("own"),
        email_taken=case["taken"],
        matched_user_id=case["matched"],
        email_owner_id=case.get("owner"),
        user_active=case["active"],
    )
    rules = Rules(
        case["signup"], case.get("domains"), case["link"], case.get("trusts", True), for_login=case["for_login"]
    )
    identity = _identity(email=email, email_verified=verified)
    return decide(identity, known, Visitor(case["visitor"]), rules, purpose=case["purpose"], subject=case["subject"])


def _check(dimensions: Mapping[str, tuple[Any, ...]], table: list[Row], used: set[str]) -> None:
    for case in _combinations(dimensions):
        name, _, expected = next(row for row in table if all(case[key] in allowed for key, allowed in row[1].items()))
        used.add(name)
        assert _decide(case) == expected, f"{name}: {case}"


def test_every_combination_of_a_login_has_the_decision_of_the_table() -> None:
    """A combination that nobody thought of logs a stranger in as somebody else."""
    used: set[str] = set()
    _check(LOGIN_DIMENSIONS, LOGIN_TABLE, used)
    assert used == {row[0] for row in LOGIN_TABLE}


def test_every_combination_of_a_connect_has_the_decision_of_the_table() -> None:
    """A combination that nobody thought of links an account to the wrong user."""
    used: set[str] = set()
    for visitor in LINK_DIMENSIONS["visitor"]:
        _check({**LINK_DIMENSIONS, "visitor": (visitor,)}, _link_table(visitor), used)
    assert used == {row[0] for row in _link_table(ME)}


def test_a_login_never_links_to_the_visitor() -> None:
    """Whoever gets a victim to open a login link adds a way into the victim's account."""
    for case in _combinations({**LOGIN_DIMENSIONS, "visitor": (ME,)}):
        decision = _decide(case)
        assert not (isinstance(decision, (Link, LogIn)) and decision.user_id == ME)


def test_an_unknown_purpose_is_refused() -> None:
    """A flow of a kind that does not exist is treated as a login."""
    with pytest.raises(ValueError, match="purpose"):
        decide(_identity(), Known(), Visitor(), Rules(), purpose="merge")


@pytest.mark.parametrize("email", ['"mona"@example.com', "mona@exämple.com", "möna@example.com", "mona@-example.com"])
def test_e06_an_odd_address_links_nobody(email: str) -> None:
    """Two systems read an odd address differently, and one person's login opens another's account."""
    known = Known(email_owner_id=OWNER, email_taken=True)
    rules = Rules(link_by_email=True, trusts_email=True)
    assert decide(_identity(email=email, email_verified=True), known, Visitor(), rules) == Conflict(email)


def test_e02_only_true_means_verified() -> None:
    """A provider that answers "false" or 1 vouches for an address that nobody has proved."""
    known, rules = Known(email_owner_id=OWNER), Rules(link_by_email=True, trusts_email=True)
    closed = Rules(allowed_domains=("example.com",))
    values: tuple[Any, ...] = ("true", "false", 1, "1", [True], {})
    for value in values:
        identity = _identity(email=EMAIL, email_verified=value)
        assert decide(identity, known, Visitor(), rules) == SignUp()
        assert decide(identity, Known(), Visitor(), closed) == Refuse(SignupRefusedError)


def test_the_rules_are_those_of_the_configuration() -> None:
    """A setting that the operator has closed stays open."""
    settings = Settings.from_mapping(
        {
            "OAUTH_ACCOUNTS_SIGNUP": "closed",
            "OAUTH_ACCOUNTS_ALLOWED_DOMAINS": "example.com",
            "OAUTH_ACCOUNTS_LINK_BY_EMAIL": "verified",
        }
    )
    assert Rules.from_settings(settings, trusts_email=True) == Rules(False, ("example.com",), True, True)
    assert Rules.from_settings(Settings()) == Rules()


def test_ids_are_compared_as_a_session_keeps_them() -> None:
    """A user who is logged in is taken for somebody else, since the session keeps their number as text."""
    assert is_same_user(7, "7")
    assert not is_same_user(7, 70)
    assert not is_same_user(None, None)
    assert not is_same_user(None, "None")
