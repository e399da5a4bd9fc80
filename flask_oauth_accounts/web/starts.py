"""Views that send a browser to a provider: log in, connect, reconnect."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, make_response, redirect, request, url_for
from flask_login import current_user
from werkzeug.exceptions import BadRequest

from ..accounts import Connection
from ..errors import CallbackError, SealedValueError, UnknownConnectionError
from ..flow import CONNECT, CONNECT_API, LOGIN, RECONNECT
from ..registry import get_state
from ..signals import login_started
from ..tokens import parse_scope
from . import csrf
from .addresses import create_redirect_uri, read_next
from .context import create_csrf_view, create_provider_view, find_client, get_person, list_providers, render
from .guards import login_required
from .negotiation import create_json, read_field, wants_json
from .sessions import get_user, get_user_id
from .words import translate

_PROMPTS = frozenset({"none", "login", "consent", "select_account", "create"})
_HINT_LENGTH = 255
_MANY = 8
"""So many providers go into one column."""
_USES = {"login": CONNECT, "api": CONNECT_API}


def login_page() -> Any:
    """Show a button for each provider. A stranger costs no query and gets no cookie."""
    next_url = read_next()
    providers = list_providers(next_url=next_url)
    if wants_json():
        return create_json(_describe_login_page(providers))
    message = translate("You have signed out.") if request.args.get("out") == "1" else None
    return render(
        "login.html",
        providers=providers,
        wide=len(providers) > _MANY,
        person=get_person(),
        accounts_url=url_for(".accounts"),
        message=message,
        next_url=next_url,
    )


def _describe_login_page(providers: list[Any]) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "logged_in": bool(current_user.is_authenticated),
        "providers": [
            {"name": item.name, "label": item.label, "login_url": item.login_url, "connect_url": item.connect_url}
            for item in providers
        ],
    }
    if current_user.is_authenticated:
        payload["csrf_token"] = csrf.create_token()
    return payload


def login(name: str) -> Any:
    """Start a login. While somebody is logged in, a GET shows a page whose POST goes on (A12)."""
    client = find_client(name)
    if request.method == "HEAD":
        return make_response("")
    if request.method == "POST":
        csrf.require_token()
    elif current_user.is_authenticated:
        return _show_confirmation(client)
    return _start(client, purpose=LOGIN, next_url=read_next(), params=_read_params())


def _show_confirmation(client: Any) -> Any:
    provider = create_provider_view(client)
    next_url = read_next()
    if wants_json():
        return create_json(
            {
                "logged_in": True,
                "url": None,
                "login_url": provider.login_url,
                "connect_url": provider.connect_url,
                "csrf_token": csrf.create_token(),
            }
        )
    return render(
        "confirm.html",
        title=translate("You are signed in already"),
        provider=provider,
        person=get_person(),
        csrf=create_csrf_view(),
        next_url=next_url,
        connect_url=provider.connect_url,
        connect_label=translate("Connect %(provider)s to this account", provider=provider.label),
        switch_url=provider.login_url,
        switch_label=translate("Sign out and continue with %(provider)s", provider=provider.label),
        stay_url=next_url or url_for(".accounts"),
    )


@login_required
def connect(name: str) -> Any:
    """Start linking one more provider account to the current user: by POST with a CSRF token only (E14).

    With ``use=api`` the account is connected for its API only, as no way to log in.
    """
    client = find_client(name)
    csrf.require_token()
    return _start(client, purpose=_read_use(), next_url=read_next(), params=_read_params(), user_id=get_user_id())


def _read_use() -> str:
    """What a connection is to be good for, from the form, the query or a JSON body."""
    use = read_field("use") or "login"
    if use not in _USES:
        raise BadRequest("The parameter 'use' is neither 'login' nor 'api'.")
    return _USES[use]


@login_required
def reconnect(id: str) -> Any:
    """Ask anew for consent to a connection that is there.

    It can be opened by a plain link, so it adds nothing: the provider account is fixed, and only its owner may start.
    Where the user has no such connection, a page offers to connect one by POST.
    """
    if request.method == "HEAD":
        return make_response("")
    user_id = get_user_id()
    connection = find_connection(user_id, id)
    if connection is None:
        return _offer_to_connect(id)
    identity = connection.record.identity
    client = find_client(identity.name)
    return _start(
        client,
        purpose=RECONNECT,
        next_url=read_next(),
        user_id=user_id,
        subject=identity.subject,
        scopes=_choose_scopes(client, connection, f"consent:{user_id}:{id}"),
    )


def find_connection(user_id: Any, id: str) -> Connection | None:
    """Find a connection of the user.

    By the identity's id, or by the name of a client: then the connection that was used last.

    :param user_id: of the user.
    :param id: of the identity, or the name of a client.
    :return: ``None`` where the client is there and the user has no connection with it.
    :raises UnknownConnectionError: if it is neither.
    """
    connections: list[Connection] = get_state().accounts.service.connections(user_id)
    by_id = [item for item in connections if str(item.record.id) == id]
    if by_id:
        return by_id[0]
    if id not in get_state().oauth.list_names():
        raise UnknownConnectionError
    named = [item for item in connections if item.record.identity.name == id]
    return max(named, key=lambda item: item.record.last_login_at or 0, default=None)


def _choose_scopes(client: Any, connection: Connection, place: str) -> list[str]:
    """The configured scopes, those granted already, and those that the application's code has sealed into the link.

    :param place: what the sealed text is bound to.
    """
    sealed = request.args.get("scope")
    if not sealed or client.protocol == "oauth1":
        return []
    try:
        wanted = get_state().keys.unseal(sealed, place)
    except SealedValueError as error:
        raise CallbackError(description="the parameter 'scope' was not made here") from error
    return sorted(parse_scope(client.scope) | parse_scope(connection.scope) | parse_scope(wanted))


def _offer_to_connect(name: str) -> Any:
    provider = create_provider_view(find_client(name))
    if wants_json():
        return create_json({"url": None, "connect_url": provider.connect_url, "csrf_token": csrf.create_token()})
    return render(
        "confirm.html",
        title=translate("Connect %(provider)s", provider=provider.label),
        provider=provider,
        person=get_person(),
        csrf=create_csrf_view(),
        next_url=read_next(),
        connect_url=provider.connect_url,
        connect_label=provider.connect_label,
        switch_url=None,
        stay_url=url_for(".accounts"),
    )


def _read_params() -> dict[str, str]:
    """The few parameters that a visitor may hand on to the provider (A19), none of them a protocol parameter."""
    given = request.form if request.method == "POST" else request.args
    params = {}
    prompt = given.get("prompt", "")
    if prompt and set(prompt.split()) <= _PROMPTS:
        params["prompt"] = " ".join(prompt.split())
    hint = given.get("login_hint", "")
    if hint and len(hint) <= _HINT_LENGTH and hint.isprintable():
        params["login_hint"] = hint
    return params


def _start(client: Any, **flow: Any) -> Response | Any:
    url = client.start_flow(create_redirect_uri(client.name), **flow)
    login_started.send(
        current_app._get_current_object(),  # type: ignore[attr-defined]
        name=client.name,
        user=get_user() if current_user.is_authenticated else None,
        account=flow.get("subject") or "",
        purpose=flow["purpose"],
    )
    if wants_json():
        return create_json({"provider": client.name, "url": url})
    return redirect(url, 303 if request.method == "POST" else 302)
