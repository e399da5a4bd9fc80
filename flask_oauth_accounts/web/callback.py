"""The callback: check, exchange, find the user, begin the session. Nothing is half done.

What came from the provider is checked before anything is asked of it; user, identity and token are stored before a
session begins; and whatever raises on the way leaves nobody logged in.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import current_app, make_response, redirect, request, url_for
from werkzeug.exceptions import MethodNotAllowed

from ..accounts import Outcome, Visitor
from ..errors import ConfigurationError, EmailTakenError, MismatchingStateError
from ..flow import CONNECT, CONNECT_API, LOGIN, RECONNECT
from ..registry import get_state
from ..signals import login_succeeded
from . import links
from .addresses import check_next, resolve_target
from .context import find_client
from .faults import is_storage_fault
from .negotiation import create_json, wants_json
from .resolve import show_conflict
from .sessions import (
    abandon_session,
    begin_session,
    create_login_mark,
    get_user_id,
    put_notice,
)

logger = logging.getLogger(__name__)

_PURPOSES = (LOGIN, CONNECT, CONNECT_API, RECONNECT)


def authorize(name: str) -> Any:
    """Finish what :mod:`.starts` began.

    A ``form_post`` answer comes from another site, without our cookies: it is kept for seconds and fetched by GET.
    """
    client = find_client(name)
    if request.method == "POST":
        return _hold_form_post(client)
    if request.method == "HEAD":
        return make_response("")
    finished = client.finish_flow(_PURPOSES)
    _check_user(finished.flow)
    try:
        outcome = _complete(client, finished)
    except EmailTakenError as error:
        return show_conflict(error, next_url=finished.flow.next_url)
    _begin(outcome, client, finished)
    return _answer(outcome, client, check_next(finished.flow.next_url))


def _hold_form_post(client: Any) -> Any:
    """Only a client that asks for ``form_post`` gets a POST, and one without a state is not worth keeping."""
    if not expects_form_post(client):
        raise MethodNotAllowed(["GET", "HEAD"])
    if not request.form.get("state"):
        raise MismatchingStateError(provider=client.name)
    return redirect(url_for(".authorize", name=client.name, handle=client.hold_form_post()), 303)


def expects_form_post(client: Any) -> bool:
    """Whether the provider answers by a form (OAuth 2.0 Form Post Response Mode)."""
    return client.protocol == "oauth2" and "form_post" in (
        client.client_kwargs.get("response_mode"),
        client.authorize_params.get("response_mode"),
    )


def _check_user(flow: Any) -> None:
    """Whoever started to connect an account must still be the one who is logged in (E15)."""
    if flow.purpose != LOGIN and (flow.user_id is None or str(get_user_id()) != flow.user_id):
        raise MismatchingStateError(
            description="another user is logged in than the one who started", provider=flow.name
        )


def _complete(client: Any, finished: Any) -> Outcome:
    flow = finished.flow
    for_api = flow.purpose == CONNECT_API
    identity = client.fetch_identity(finished)
    try:
        outcome: Outcome = get_state().accounts.service.complete(
            identity,
            token=finished.token,
            protocol=client.protocol,
            requested_scope=flow.scope,
            purpose=CONNECT if for_api else flow.purpose,
            visitor=Visitor(get_user_id()),
            subject=flow.subject,
            trusts_email=bool(client.trusts_email),
            for_login=not for_api,
        )
    except Exception as error:
        if is_storage_fault(error) or isinstance(error, ConfigurationError):
            _give_back(client, finished.token)
        raise
    return outcome


def _give_back(client: Any, token: Any) -> None:
    """Revoke a token that could not be stored (L05), unless that would end the user's other grants as well."""
    if client.preset is not None and client.preset.revocation.ends == "grant":
        return
    try:
        client.revoke_token(token)
    except Exception as error:
        logger.info("%s: a token that could not be stored was not revoked: %s", client.name, type(error).__name__)


def _begin(outcome: Outcome, client: Any, finished: Any) -> None:
    if outcome.kind in ("connect", "reconnect"):
        links.drop_connected(outcome.record.identity)
        put_notice(_choose_notice(outcome))
        return
    identity = outcome.record.identity
    begin_session(outcome.user, create_login_mark(client.name, identity.subject, finished.claims))
    try:
        login_succeeded.send(
            current_app._get_current_object(),  # type: ignore[attr-defined]
            name=client.name,
            user=outcome.user,
            account=identity.subject,
            identity=identity,
            purpose=finished.flow.purpose,
        )
    except Exception:
        abandon_session()
        raise


def _choose_notice(outcome: Outcome) -> str:
    if outcome.kind == "reconnect":
        return "reconnected"
    return "connected" if outcome.record.can_log_in else "connected_api"


def _answer(outcome: Outcome, client: Any, next_url: str | None) -> Any:
    target = choose_target(outcome, client.name, next_url)
    if wants_json():
        return create_json({"outcome": outcome.kind, "provider": client.name, "next": target})
    return redirect(target, 302)


def choose_target(outcome: Outcome, name: str, next_url: str | None) -> str:
    """Where to go after a callback: a link that waits for its proof, ``next``, the setting, the profile.

    :param outcome: of the callback.
    :param name: of the client.
    :param next_url: checked already.
    """
    if outcome.kind in ("connect", "reconnect"):
        return next_url or url_for(".accounts")
    resolve_url = url_for(".resolve")
    if links.load_link() is not None:
        return resolve_url
    if next_url == resolve_url:
        next_url = check_next(links.drop_link())
    return next_url or resolve_target(get_state().settings.login_redirect, url_for(".profile", name=name))
