"""An e-mail address that somebody here has already: prove the older way in, then connect the two."""

from __future__ import annotations

from typing import Any

from flask import current_app, make_response, redirect, request, url_for
from flask_login import current_user
from werkzeug.routing import BuildError

from ..accounts import PendingLink, Visitor
from ..errors import EmailTakenError, ExpiredFlowError
from ..registry import get_state
from . import csrf, links
from .addresses import check_next, resolve_target
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

    :param error: with the pending link.
    :param next_url: where the visitor wanted to go.
    """
    if not links.keep_link(error.pending, next_url=next_url) or wants_json():
        return answer_error(error)
    report_error(error)
    return make_response(_create_page(error.pending), error.status)


def resolve() -> Any:
    """Show the link that waits; by POST, after an older login, complete or discard it."""
    if request.method == "POST":
        return _finish()
    waiting = links.load_link()
    if waiting is None:
        return redirect(url_for(".accounts" if current_user.is_authenticated else ".login_page"), 303)
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
    outcome = get_state().accounts.service.complete_pending(pending, Visitor(get_user_id()))
    links.drop_link()
    put_notice("connected")
    target = check_next(next_url) or resolve_target(get_state().settings.login_redirect, url_for(".accounts"))
    return _go_on(target, outcome.kind)


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
    return payload


def _create_page(pending: PendingLink) -> str:
    identity = pending.identity
    provider = describe_provider(identity.name)
    values: dict[str, Any] = {"provider": provider, "resolve_url": url_for(".resolve")}
    person = get_person()
    if person is not None:
        account = identity.email or identity.username or identity.display_name or identity.subject
        values |= {
            "title": translate("Connect %(provider)s?", provider=provider.label),
            "person": person,
            "csrf": create_csrf_view(),
            "finish_text": translate(
                "Connect the %(provider)s account %(account)s, so that you can sign in with it from now on?",
                provider=provider.label,
                account=account,
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


def _list_ways(pending: PendingLink) -> list[Any]:
    """All ways in, whoever has which: the page tells nobody how somebody else signs in (E27). The others come first."""
    views = list_providers(next_url=url_for(".resolve"))
    return sorted(views, key=lambda view: view.name == pending.identity.name)


def _find_local_login() -> str | None:
    """The application's own sign-in page: ``login_manager.login_view``, where it is not one of ours."""
    view = current_app.login_manager.login_view  # type: ignore[attr-defined]
    if not view or view.rpartition(".")[0] == request.blueprint:
        return None
    try:
        return url_for(view, next=url_for(".resolve"))
    except BuildError:
        return None
