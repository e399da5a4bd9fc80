"""An e-mail address that somebody here has already: prove the older way in, then connect the two."""

from __future__ import annotations

from typing import Any

from flask import current_app, make_response, redirect, request, url_for
from flask_login import current_user
from flask_login.utils import expand_login_view, login_url
from werkzeug.exceptions import NotFound
from werkzeug.routing import BuildError

from ..accounts import PendingLink, Visitor
from ..errors import AccountError, EmailTakenError, ExpiredFlowError
from ..identity import Identity
from ..registry import get_state
from . import csrf, links
from .account_pages import Fact, describe_identity, list_facts
from .addresses import check_next, find_home, resolve_target
from .context import (
    create_csrf_view,
    describe_provider,
    get_person,
    list_providers,
    render,
)
from .faults import answer_error, report_error
from .guards import login_required
from .negotiation import create_json, read_field, wants_json
from .sessions import get_user_id, put_notice
from .words import translate


def show_conflict(error: EmailTakenError, *, next_url: str | None) -> Any:
    """Answer a login whose e-mail address is taken: keep what it brought, and show how to go on.

    :param error: with the pending link, if there is one.
    :param next_url: where the visitor wanted to go.
    """
    # A hook that raises the error itself has nothing to keep.
    is_kept = error.pending is not None and links.keep_link(error.pending, next_url=next_url)
    if not is_kept or wants_json():
        return answer_error(error)
    report_error(error)
    return make_response(_create_page(error.pending), error.status)


def resolve() -> Any:
    """Show the link that waits; by POST, after an older login, complete or discard it.

    Where there is none a browser goes on, and a front end is told.
    """
    if request.method == "POST":
        return _finish()
    waiting = links.load_link()
    if waiting is None:
        if wants_json():
            raise NotFound
        if not current_user.is_authenticated:
            return redirect(url_for(".login_page"), 303)
        return redirect(_choose_target(links.drop_link()), 303)
    pending = waiting[0]
    if wants_json():
        return create_json(_describe(pending))
    return _create_page(pending)


@login_required
def _finish() -> Any:
    csrf.require_token()
    waiting = links.load_link()
    if read_field("answer") == "discard":
        links.drop_link()
        return _go_on(url_for(".accounts"), "discarded")
    if waiting is None:
        raise ExpiredFlowError(description="there is no pending link in this browser")
    pending, next_url = waiting
    try:
        outcome = get_state().accounts.service.complete_pending(pending, Visitor(get_user_id()))
    except AccountError:
        links.drop_link()
        raise
    links.drop_link()
    put_notice("connected")
    return _go_on(_choose_target(next_url), outcome.kind)


def _choose_target(next_url: str | None) -> str:
    return check_next(next_url) or resolve_target(get_state().settings.login_redirect, url_for(".accounts"))


def _may_complete(pending: PendingLink) -> bool:
    """Whether the visitor is the user who has the address; anybody else is told to log in as that user."""
    if not current_user.is_authenticated:
        return False
    return bool(get_state().accounts.service.may_complete(pending, Visitor(get_user_id())))


def _go_on(target: str, outcome: str) -> Any:
    if wants_json():
        return create_json({"outcome": outcome, "next": target})
    return redirect(target, 303)


def _describe(pending: PendingLink) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "provider": pending.identity.name,
        "logged_in": bool(current_user.is_authenticated),
        "providers": [{"name": item.name, "login_url": item.login_url} for item in _list_ways(pending)],
        "expires_at": int(pending.expires_at),
    }
    if current_user.is_authenticated:
        payload["csrf_token"] = csrf.create_token()
    if _may_complete(pending):
        payload["account"] = describe_identity(pending.identity)
    return payload


def _create_page(pending: PendingLink) -> str:
    provider = describe_provider(pending.identity.name)
    values: dict[str, Any] = {"provider": provider, "resolve_url": url_for(".resolve")}
    if _may_complete(pending):
        values |= {
            "title": translate("Connect %(provider)s?", provider=provider.label),
            "person": get_person(),
            "csrf": create_csrf_view(),
            "facts": _list_facts(pending.identity, provider.label),
            "finish_text": translate(
                "Connect this %(provider)s account, so that you can sign in with it from now on?",
                provider=provider.label,
            ),
            "caution": translate(
                "Do so only if you have just tried to sign in with %(provider)s yourself. Whoever has this "
                "%(provider)s account will be able to sign in here as you.",
                provider=provider.label,
            ),
        }
    else:
        values |= {
            "title": translate("You may have an account here already"),
            "explanation": translate(
                "Somebody here uses the e-mail address of this %(provider)s account. If that is you, sign in the way "
                "you did before; then we connect the two.",
                provider=provider.label,
            ),
            "providers": _list_ways(pending),
            "local_login_url": _find_local_login(),
        }
    return render("resolve.html", **values)


def _list_facts(identity: Identity, provider: str) -> list[Fact]:
    """What tells the visitor's own account from one that an attacker has left waiting here: not a mere address."""
    email = identity.email
    if email and identity.email_verified is not True:
        email = translate("%(email)s (not confirmed by %(provider)s)", email=email, provider=provider)
    return [fact for fact in list_facts(identity, email=email) if fact.url is None]


def _list_ways(pending: PendingLink) -> list[Any]:
    """All ways in, whoever has which: the page tells nobody how somebody else signs in (E27). The others come first."""
    views = list_providers(next_url=url_for(".resolve"))
    return sorted(views, key=lambda view: view.name == pending.identity.name)


def _find_local_login() -> str | None:
    """The application's own sign-in page, as Flask-Login knows it for our pages, where it is not our own."""
    manager: Any = current_app.login_manager  # type: ignore[attr-defined]
    view = manager.blueprint_login_views.get(request.blueprint, manager.login_view)
    try:
        address = expand_login_view(view) if view else url_for(".login_page")
    except BuildError:
        return None
    if address == url_for(".login_page"):
        return None
    return str(login_url(address, find_home() + url_for(".resolve")))
