"""Logins, sign-ups and links, carried out over a store."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flask_oauth_accounts.accounts import AccountPolicy, AccountService, Outcome, PendingLink, Visitor
from flask_oauth_accounts.errors import (
    AccountError,
    ConfigurationError,
    EmailTakenError,
    ExpiredFlowError,
    IdentityTakenError,
    LoginRefusedError,
    SignupRefusedError,
    SubjectMismatchError,
    UserInactiveError,
)
from flask_oauth_accounts.flow import CONNECT, RECONNECT
from flask_oauth_accounts.identity import Identity
from flask_oauth_accounts.protocols import ConcurrentLogin
from flask_oauth_accounts.tokens import TokenDict

TOKEN = TokenDict(access_token="at-very-secret", refresh_token="rt-very-secret", scope="repo")
EMAIL = "mona@example.com"
Make = Callable[..., Identity]


def come(service: AccountService, identity: Identity, **values: Any) -> Outcome:
    """The identity comes back from its provider."""
    return service.complete(identity, **{"token": TOKEN, "protocol": "oauth2", "requested_scope": "repo", **values})


def test_the_first_login_signs_up_and_the_second_finds_the_same_user(world: Any, make_identity: Make) -> None:
    """Whoever comes back gets a second, empty account."""
    service = world.create_service()
    first = come(service, make_identity(email=EMAIL, email_verified=True, username="mona", display_name="Mona"))
    second = come(service, make_identity(email="new@example.com", username="renamed"))
    assert (first.kind, second.kind) == ("signup", "login")
    assert first.user_id == second.user_id == first.user.id == second.user.id
    assert (first.user.email, first.user.email_verified, first.user.username) == (EMAIL, True, "mona")
    assert world.rows == (1, 1, 1, 2)
    assert world.signals == ["user_created"]
    assert [event.kind for event in world.events] == ["signup", "login"]
    [notice] = world.notices
    assert (notice.name, notice.account, notice.user, notice.values["identity"].subject) == (
        "github",
        "1",
        first.user,
        "1",
    )


def test_a_returning_user_costs_no_more_look_ups_than_needed(world: Any, make_identity: Make) -> None:
    """Every login waits for questions whose answers nobody uses."""
    service = world.create_service()
    come(service, make_identity(email=EMAIL))
    world.asked.calls.clear()
    assert come(service, make_identity(email=EMAIL)).kind == "login"
    assert world.asked.calls == ["find", "record_login"]


def test_users_without_an_address_are_welcome(world: Any, make_identity: Make) -> None:
    """Two users of a provider that gives no address are taken for one, or the second is turned away."""
    service = world.create_service()
    one, two = come(service, make_identity("1")), come(service, make_identity("2"))
    assert one.user_id != two.user_id
    assert one.user.email is None
    assert not one.user.email_verified


def test_e01_an_address_that_is_taken_is_not_linked(world: Any, make_identity: Make) -> None:
    """Whoever has a victim's address at any provider takes over the victim's account."""
    victim = world.add_user(email=EMAIL, email_verified=True)
    before = world.rows
    with pytest.raises(EmailTakenError) as caught:
        come(world.create_service(), make_identity(email="MONA@example.com", email_verified=True), trusts_email=True)
    assert world.rows == before
    assert world.notices == []
    assert caught.value.status == 409
    assert str(victim.id) not in f"{caught.value}"
    assert caught.value.pending.identity.email == "MONA@example.com"


def test_e01_an_address_verified_by_another_identity_is_taken_too(world: Any, make_identity: Make) -> None:
    """An application whose users have no address of their own lets a second provider claim a user's address."""
    service = world.create_service()
    first = come(service, make_identity(email=EMAIL, email_verified=True))
    world.change_user(first.user_id, email=None)
    with pytest.raises(EmailTakenError):
        come(service, make_identity("x", name="gitlab", issuer="https://gitlab.com", email=EMAIL))


def test_e06_blanks_around_an_address_do_not_make_it_another(world: Any, make_identity: Make) -> None:
    """A provider that sends a blank beside a taken address signs a second user up with it."""
    world.add_user(email=EMAIL)
    service = world.create_service()
    with pytest.raises(EmailTakenError):
        come(service, make_identity(email=f" {EMAIL}\n"))
    odd = come(service, make_identity(email="mona @example.com", email_verified=True))
    assert (odd.user.email, odd.record.identity.email, odd.record.identity.email_verified) == (None, None, None)


@pytest.mark.parametrize(
    ("verified", "trusted", "local"),
    [(True, True, False), (True, False, True), (False, True, True), (None, True, True)],
)
def test_e02_e03_e04_linking_by_address_needs_all_three_proofs(
    world: Any, make_identity: Make, verified: bool | None, trusted: bool, local: bool
) -> None:
    """One unproved half – provider, trust or local address – is enough for a takeover."""
    world.add_user(email=EMAIL, email_verified=local)
    service = world.create_service(link_by_email="verified")
    with pytest.raises(EmailTakenError):
        come(service, make_identity(email=EMAIL, email_verified=verified), trusts_email=trusted)
    assert world.rows == (1, 0, 0, 0)


def test_linking_by_address_works_where_all_three_are_there(world: Any, make_identity: Make) -> None:
    """The operator who asked for it still gets the conflict page."""
    user = world.add_user(email=EMAIL, email_verified=True)
    service = world.create_service(link_by_email="verified")
    outcome = come(service, make_identity(email="Mona@Example.com", email_verified=True), trusts_email=True)
    assert (outcome.user_id, outcome.kind) == (user.id, "login")
    assert world.signals == ["identity_connected"]
    assert [event.kind for event in world.events] == ["login", "connect"]
    assert outcome.record.last_login_at == world.now


def test_e04_a_provider_that_is_not_trusted_prepares_no_later_link(world: Any, make_identity: Make) -> None:
    """An attacker signs up with a victim's address at a careless provider, and later receives the victim's login."""
    service = world.create_service(link_by_email="verified")
    attacker = come(service, make_identity("evil", name="careless", issuer="i", email=EMAIL, email_verified=True))
    assert attacker.user.email_verified is False
    with pytest.raises(EmailTakenError):
        come(service, make_identity(email=EMAIL, email_verified=True), trusts_email=True)


def test_e08_a_new_subject_with_an_old_address_is_somebody_else(world: Any, make_identity: Make) -> None:
    """Whoever buys a lapsed domain reads the accounts of its former owners."""
    service = world.create_service()
    old = come(service, make_identity("1", email=EMAIL, email_verified=True))
    with pytest.raises(EmailTakenError):
        come(service, make_identity("2", email=EMAIL, email_verified=True), trusts_email=True)
    assert [record.user_id for record in world.identities] == [old.user_id]


def test_e10_another_issuer_under_an_old_name_is_another_identity(world: Any, make_identity: Make) -> None:
    """A provider that takes over a name in the configuration logs its users in as those of the old one."""
    service = world.create_service()
    old = come(service, make_identity("1", name="company", issuer="https://old.example"))
    new = come(service, make_identity("1", name="company", issuer="https://new.example"))
    assert old.user_id != new.user_id


def test_e11_subjects_are_compared_to_the_last_character(any_world: Any, make_identity: Make) -> None:
    """Two accounts at a provider that differ by case, blank or accent are one user here."""
    service = any_world.create_service()
    subjects = ("abc", "ABC", "abc ", "äbc", "a\u0308bc", "ａｂｃ")
    assert len({come(service, make_identity(subject)).user_id for subject in subjects}) == len(subjects)
    visitor = Visitor(any_world.add_user().id)
    for subject in ("x", "X", "x "):
        come(service, make_identity(subject), purpose=CONNECT, visitor=visitor)
    assert len(any_world.store.list_for_user(visitor.user_id)) == 3


def test_a_reused_user_name_is_nobody(world: Any, make_identity: Make) -> None:
    """Whoever registers a freed user name at the provider becomes its former owner here."""
    service = world.create_service()
    one = come(service, make_identity("1", username="mona"))
    two = come(service, make_identity("2", username="mona"))
    assert one.user_id != two.user_id
    assert (one.user.username, two.user.username) == ("mona", "mona-2")


def test_e13_nothing_but_the_six_attributes_is_copied(world: Any, make_identity: Make) -> None:
    """A provider, or whoever edits a profile there, makes an administrator."""
    raw = {"is_admin": True, "id": 99, "is_active": False, "password_hash": "x"}
    user = come(world.create_service(), make_identity(raw=raw)).user
    assert not user.is_admin
    assert user.is_active
    assert user.id != 99
    assert not hasattr(user, "password_hash")


def test_connecting_links_to_the_visitor_whatever_the_address(world: Any, make_identity: Make) -> None:
    """A second provider cannot be connected, or its account becomes another user."""
    service = world.create_service()
    user = world.add_user(email="me@example.com")
    world.add_user(email=EMAIL)
    outcome = come(service, make_identity(email=EMAIL), purpose=CONNECT, visitor=Visitor(user.id))
    assert (outcome.kind, outcome.user_id, outcome.record.user_id) == ("connect", user.id, user.id)
    assert world.signals == ["identity_connected"]
    assert come(service, make_identity()).user_id == user.id


def test_e18_connecting_twice_changes_nothing_and_two_accounts_are_two(any_world: Any, make_identity: Make) -> None:
    """A second click makes a second row, or the second account of a provider replaces the first."""
    service = any_world.create_service()
    user = any_world.add_user()
    for subject in ("1", "1", "2"):
        come(service, make_identity(subject), purpose=CONNECT, visitor=Visitor(user.id))
    assert [record.identity.subject for record in any_world.store.list_for_user(user.id)] == ["1", "2"]
    assert any_world.signals == ["identity_connected"] * 2


def test_e15_nobody_or_an_inactive_visitor_connects_nothing(world: Any, make_identity: Make) -> None:
    """An account is connected to a session that has ended."""
    service = world.create_service()
    gone = world.add_user(is_active=False)
    for visitor in (Visitor(), Visitor(gone.id), Visitor(404)):
        with pytest.raises(AccountError):
            come(service, make_identity(), purpose=CONNECT, visitor=visitor)
    assert world.rows == (1, 0, 0, 0)


def test_e17_an_identity_of_somebody_else_stays_theirs(world: Any, make_identity: Make) -> None:
    """Connecting takes an account away from its owner, or tells who that is."""
    service = world.create_service()
    owner = come(service, make_identity(email=EMAIL))
    me = world.add_user()
    before = world.rows
    with pytest.raises(IdentityTakenError) as caught:
        come(service, make_identity(), purpose=CONNECT, visitor=Visitor(me.id))
    assert world.rows == before
    assert world.store.find(make_identity()).user_id == owner.user_id
    assert EMAIL not in caught.value.operator_message + caught.value.visitor_message
    assert caught.value.status == 409


def test_a_connection_for_its_api_only_is_no_way_in(world: Any, make_identity: Make) -> None:
    """An account that was connected to be read from opens the user's account."""
    service = world.create_service()
    user = world.add_user()
    connected = come(service, make_identity(), purpose=CONNECT, visitor=Visitor(user.id), for_login=False)
    assert not connected.record.can_log_in
    assert come(service, make_identity()).user_id != user.id
    with pytest.raises(LoginRefusedError):
        come(service, make_identity("9"), for_login=False)


def test_a_connection_for_its_api_only_can_become_a_way_in_and_never_back(world: Any, make_identity: Make) -> None:
    """Connecting for the API takes the user's way in away."""
    service = world.create_service()
    visitor = Visitor(world.add_user().id)
    for for_login, can_log_in in ((False, False), (True, True), (False, True)):
        outcome = come(service, make_identity(), purpose=CONNECT, visitor=visitor, for_login=for_login)
        assert outcome.record.can_log_in is can_log_in
    assert len(world.identities) == 1


def test_reconnect_repairs_in_place(any_world: Any, make_identity: Make) -> None:
    """A dead connection stays dead, or a second one appears beside it."""
    service = any_world.create_service()
    user = any_world.add_user()
    visitor = Visitor(user.id)
    record = come(service, make_identity(), purpose=CONNECT, visitor=visitor, for_login=False).record
    any_world.change_token(record.id, status="reauth_required")
    any_world.notices.clear()
    outcome = come(service, make_identity(), purpose=RECONNECT, visitor=visitor, subject="1")
    assert (outcome.kind, outcome.record.id, outcome.record.can_log_in) == ("reconnect", record.id, False)
    assert [item.status for item in service.connections(user.id)] == ["active"]
    assert any_world.notices == []


def test_reconnect_adds_no_way_in(world: Any, make_identity: Make) -> None:
    """A plain link on a foreign page connects the attacker's account, for a reconnect starts by GET (E14)."""
    service = world.create_service()
    user = world.add_user()
    visitor = Visitor(user.id)
    come(service, make_identity(), purpose=CONNECT, visitor=visitor)
    before = world.rows
    for identity, subject in (
        (make_identity("evil"), "1"),
        (make_identity("evil"), "evil"),
        (make_identity("evil"), None),
        (make_identity("1", issuer="https://evil.test"), "1"),
    ):
        with pytest.raises(SubjectMismatchError):
            come(service, identity, purpose=RECONNECT, visitor=visitor, subject=subject)
    assert world.rows == before


def test_e23_an_inactive_user_is_refused_and_no_token_is_kept(world: Any, make_identity: Make) -> None:
    """A banned user logs in again, or their new token is stored."""
    service = world.create_service()
    world.change_user(come(service, make_identity()).user_id, is_active=False)
    before = world.tokens
    with pytest.raises(UserInactiveError):
        come(service, make_identity(), token={"access_token": "new"})
    assert world.tokens == before


def test_e23_activity_may_be_a_method(world: Any, make_identity: Make) -> None:
    """A user model whose ``is_active`` is a method lets every banned user in."""
    user_id = come(world.create_service(), make_identity()).user_id
    world.load_user = lambda _: SimpleNamespace(id=user_id, is_active=lambda: False)
    with pytest.raises(UserInactiveError):
        come(world.create_service(), make_identity())


def test_a_login_whose_user_is_hidden_is_refused(world: Any, make_identity: Make) -> None:
    """A user whom the application hides (deleted softly) comes back as a new one."""
    service = world.create_service()
    world.hidden.add(come(service, make_identity()).user_id)
    with pytest.raises(UserInactiveError):
        come(service, make_identity())


def test_a_new_user_that_is_made_inactive_is_not_stored(world: Any, make_identity: Make) -> None:
    """A user who waits for approval is logged in at once."""

    class Approved(AccountPolicy):
        def create_user(self, identity: Identity) -> Any:
            user = super().create_user(identity)
            user.is_active = False
            return user

    with pytest.raises(UserInactiveError):
        come(world.create_service(Approved()), make_identity())
    assert world.rows == (0, 0, 0, 0)


def test_e25_closed_sign_up_changes_nothing(world: Any, make_identity: Make) -> None:
    """Strangers get an account on a site that takes nobody."""
    service = world.create_service(signup="closed")
    with pytest.raises(SignupRefusedError):
        come(service, make_identity(email=EMAIL, email_verified=True))
    assert world.rows == (0, 0, 0, 0)
    user = world.add_user(email=EMAIL)
    with pytest.raises(EmailTakenError):
        come(service, make_identity(email=EMAIL))
    come(service, make_identity(), purpose=CONNECT, visitor=Visitor(user.id))
    assert come(service, make_identity()).user_id == user.id


@pytest.mark.parametrize(
    ("email", "verified"), [(EMAIL, None), (EMAIL, False), ("mona@example.com.evil.test", True), (None, None)]
)
def test_e25_only_verified_addresses_of_the_domains_sign_up(
    world: Any, make_identity: Make, email: str | None, verified: bool | None
) -> None:
    """Anybody who claims a company address gets an account of the company."""
    service = world.create_service(allowed_domains=("example.com",))
    with pytest.raises(SignupRefusedError):
        come(service, make_identity(email=email, email_verified=verified))
    assert world.rows == (0, 0, 0, 0)
    assert come(service, make_identity(email=EMAIL, email_verified=True)).kind == "signup"


def test_a_policy_can_narrow_sign_up_and_not_widen_it(world: Any, make_identity: Make) -> None:
    """A hook that forgets the settings opens a closed site."""

    class Everybody(AccountPolicy):
        def may_sign_up(self, identity: Identity) -> bool:
            return True

    class Nobody(AccountPolicy):
        def may_sign_up(self, identity: Identity) -> bool:
            return False

    for service in (world.create_service(Everybody(), signup="closed"), world.create_service(Nobody())):
        with pytest.raises(SignupRefusedError):
            come(service, make_identity())
    assert world.rows == (0, 0, 0, 0)


def test_a_matched_user_is_linked_and_logged_in(world: Any, make_identity: Make) -> None:
    """The application knows whose account this is, and the visitor still gets a second one."""
    user = world.add_user()

    class Match(AccountPolicy):
        def match_user(self, identity: Identity) -> Any:
            return world.load_user(user.id)

    service = world.create_service(Match(), signup="closed")
    assert come(service, make_identity()).user_id == user.id
    assert come(service, make_identity()).kind == "login"
    world.change_user(user.id, is_active=False)
    with pytest.raises(UserInactiveError):
        come(service, make_identity("2"))
    assert len(world.identities) == 1


def test_may_log_in_is_asked_before_anything_is_written(world: Any, make_identity: Make) -> None:
    """A user whom the policy refuses is stored, or their token is."""

    class Refusing(AccountPolicy):
        def may_log_in(self, user: Any, identity: Identity) -> bool:
            return bool(identity.raw.get("member"))

    service = world.create_service(Refusing())
    with pytest.raises(LoginRefusedError):
        come(service, make_identity())
    assert world.rows == (0, 0, 0, 0)
    come(service, make_identity(raw={"member": True}))
    before = world.rows
    with pytest.raises(LoginRefusedError):
        come(service, make_identity(raw={"member": False}))
    assert world.rows == before


@pytest.mark.parametrize("hook", ["may_sign_up", "create_user", "match_user", "may_log_in", "after_login"])
def test_an_asynchronous_hook_logs_nobody_in(world: Any, make_identity: Make, hook: str) -> None:
    """Whoever the hook turns away is let in."""

    async def refuse(self: Any, *_: Any) -> Any:
        return False

    policy = type("Asynchronous", (AccountPolicy,), {hook: refuse})()
    with pytest.raises(ConfigurationError, match="refuse is asynchronous"):
        come(world.create_service(policy), make_identity())
    assert len(world.users) == (hook == "after_login")


def test_after_login_is_called_for_logins_with_the_stored_user(world: Any, make_identity: Make) -> None:
    """The application misses a login, or is told of one that was only a connect."""
    calls: list[tuple[Any, str]] = []

    class Watching(AccountPolicy):
        def after_login(self, user: Any, identity: Identity) -> None:
            calls.append((user.id, identity.subject))

    service = world.create_service(Watching())
    user_id = come(service, make_identity()).user_id
    come(service, make_identity())
    come(service, make_identity("2"), purpose=CONNECT, visitor=Visitor(user_id))
    assert calls == [(user_id, "1"), (user_id, "1")]


@pytest.mark.parametrize("hook", ["may_sign_up", "create_user", "match_user", "may_log_in"])
def test_l23_a_hook_that_raises_leaves_nothing_behind(world: Any, make_identity: Make, hook: str) -> None:
    """A fault in the application's hook logs somebody in, or leaves half a user."""

    def explode(self: Any, *_: Any) -> Any:
        raise ZeroDivisionError

    policy = type("Broken", (AccountPolicy,), {hook: explode})()
    with pytest.raises(ZeroDivisionError):
        come(world.create_service(policy), make_identity())
    assert world.rows == (0, 0, 0, 0)
    assert world.notices == []


def test_l23_a_hook_or_receiver_that_raises_after_the_write_yields_no_login(world: Any, make_identity: Make) -> None:
    """A login that the application stopped goes on."""

    class Broken(AccountPolicy):
        def after_login(self, user: Any, identity: Identity) -> None:
            raise LoginRefusedError

    def explode(_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        come(world.create_service(notify=explode), make_identity())
    with pytest.raises(LoginRefusedError):
        come(world.create_service(Broken()), make_identity())
    assert come(world.create_service(), make_identity()).kind == "login"
    assert len(world.users) == 1


def test_e26_two_first_logins_at_once_make_one_user(any_world: Any, make_identity: Make) -> None:
    """Two tabs make two users, or one of them an error page."""
    barrier = threading.Barrier(8, timeout=30)
    waited = threading.local()

    def wait_once() -> None:
        if not getattr(waited, "done", False):
            waited.done = True
            barrier.wait()

    any_world.store.before_write = wait_once
    service = any_world.create_service()
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(come(service, make_identity(username="mona"))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == 8
    assert len({outcome.user_id for outcome in outcomes}) == 1
    assert sorted(outcome.kind for outcome in outcomes) == ["login"] * 7 + ["signup"]
    assert len(any_world.users) == len(any_world.identities) == 1
    assert any_world.signals == ["user_created"]


def test_a_user_name_taken_in_between_gets_a_number(any_world: Any, make_identity: Make) -> None:
    """Two people with one user name sign up at the same instant, and one of them cannot."""
    stolen = threading.Event()

    def steal() -> None:
        if not stolen.is_set():
            stolen.set()
            any_world.add_user(username="mona")

    any_world.store.before_write = steal
    assert come(any_world.create_service(), make_identity(username="mona")).user.username == "mona-2"


def test_an_address_taken_in_between_becomes_a_conflict(any_world: Any, make_identity: Make) -> None:
    """Two first logins with one address end in an error page instead of the way to connect them."""
    any_world.store.before_write = lambda: any_world.store.email_is_taken(EMAIL) or any_world.add_user(email=EMAIL)
    with pytest.raises(EmailTakenError):
        come(any_world.create_service(), make_identity(email=EMAIL))


def test_a_user_that_can_never_be_stored_names_the_remedy(any_world: Any, make_identity: Make) -> None:
    """A model with a required column ends in an endless loop or a database error."""

    def refuse() -> None:
        raise ConcurrentLogin

    any_world.store.before_write = refuse
    with pytest.raises(ConfigurationError, match="create_user"):
        come(any_world.create_service(), make_identity())


def test_a_conflict_is_resolved_after_the_proof(any_world: Any, make_identity: Make) -> None:
    """Whoever proves the older way in still cannot connect the new one."""
    user = any_world.add_user(email=EMAIL)
    service = any_world.create_service(flow_lifetime=600.0)
    with pytest.raises(EmailTakenError) as caught:
        come(service, make_identity(email=EMAIL), token=dict(TOKEN))
    pending: PendingLink = caught.value.pending
    assert "very-secret" not in repr(pending) + repr(pending.token)
    with pytest.raises(LoginRefusedError):
        service.complete_pending(pending, Visitor())
    outcome = service.complete_pending(pending, Visitor(user.id))
    assert (outcome.kind, outcome.user_id) == ("connect", user.id)
    [token] = any_world.store.tokens_for_user(user.id)
    assert token.token["access_token"] == TOKEN["access_token"]
    assert come(service, make_identity(email=EMAIL)).user_id == user.id
    any_world.now += 600
    with pytest.raises(ExpiredFlowError):
        service.complete_pending(pending, Visitor(user.id))


def test_a_pending_link_is_for_the_owner_of_the_address(any_world: Any, make_identity: Make) -> None:
    """Whoever logs in next at a shared machine is connected with somebody else's account."""
    owner, other = any_world.add_user(email=EMAIL.upper()), any_world.add_user(email="other@example.com")
    service = any_world.create_service()
    with pytest.raises(EmailTakenError) as caught:
        come(service, make_identity(email=f" {EMAIL} "))
    pending = caught.value.pending
    for visitor in (Visitor(), Visitor(other.id), Visitor("nobody")):
        assert not service.may_complete(pending, visitor)
    with pytest.raises(EmailTakenError) as refused:
        service.complete_pending(pending, Visitor(other.id))
    assert refused.value.pending is None
    assert any_world.identities == []
    assert service.may_complete(pending, Visitor(owner.id))
    service.complete_pending(pending, Visitor(owner.id))
    assert not service.may_complete(pending, Visitor(owner.id))


def test_a_pending_link_takes_nothing_from_its_owner(world: Any, make_identity: Make) -> None:
    """Two users who both have the address confirm one pending link, and the second takes it from the first."""
    service = world.create_service()
    one = come(service, make_identity("1", email=EMAIL, email_verified=True)).user_id
    world.change_user(one, email=None)
    two = world.add_user(email=EMAIL)
    with pytest.raises(EmailTakenError) as caught:
        come(service, make_identity("2", email=EMAIL))
    service.complete_pending(caught.value.pending, Visitor(one))
    assert not service.may_complete(caught.value.pending, Visitor(two.id))
    with pytest.raises(IdentityTakenError):
        service.complete_pending(caught.value.pending, Visitor(two.id))


def test_no_secret_is_shown(world: Any, make_identity: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A token stands in a log line, an exception or a traceback with local variables."""
    caplog.set_level(logging.DEBUG)
    world.add_user(email=EMAIL)
    service = world.create_service()
    outcome = come(service, make_identity("2"))
    with pytest.raises(EmailTakenError) as caught:
        come(service, make_identity(email=EMAIL))
    frames = [repr(entry.frame.f_locals) for entry in caught.traceback if str(entry.path).endswith("service.py")]
    assert len(frames) > 2
    shown = [repr(outcome), repr(caught.value), repr(caught.value.pending), str(world.notices), caplog.text]
    assert "very-secret" not in "".join(shown + frames)
