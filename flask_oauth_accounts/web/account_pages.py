"""Pages about the connected accounts of the user who is logged in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import redirect, url_for

from ..accounts import Connection, choose_refusal
from ..identity import Identity
from ..registry import get_state
from ..tokens import StoredToken
from . import csrf
from .context import (
    PersonView,
    ProviderView,
    create_csrf_view,
    create_provider_view,
    describe_provider,
    find_client,
    get_person,
    list_providers,
    render,
    safe_link,
)
from .guards import login_required
from .negotiation import create_json, wants_json
from .sessions import get_user, get_user_id, put_notice, take_notice
from .words import describe_time, make_initials, mark, translate

NOTICES = {
    "connected": ("success", mark("The account is connected.")),
    "connected_api": ("success", mark("The account is connected. It is not a way to sign in.")),
    "reconnected": ("success", mark("The account is connected again.")),
    "disconnected": ("success", mark("The account is disconnected, and our access to it has been revoked.")),
    "disconnected_here": ("success", mark("The account is disconnected.")),
    "not_revoked": (
        "warning",
        mark(
            "The account is disconnected here, but the service did not confirm that our access is revoked. "
            "You can remove it in the settings of that service."
        ),
    ),
}
_REVOKED = {True: "disconnected", False: "not_revoked", None: "disconnected_here"}


@dataclass(frozen=True)
class AccountView:
    """A connected account as the page shows it.

    :ivar health: ``ok``, ``waiting`` or ``reconnect``.
    :ivar can_disconnect: ``False`` where it would be refused; ``kept_text`` says why.
    """

    id: str
    provider: ProviderView
    title: str
    health: str
    health_text: str
    history_text: str
    disconnect_url: str
    disconnect_label: str
    can_disconnect: bool
    kept_text: str
    reconnect_url: str | None
    reconnect_label: str


@dataclass(frozen=True)
class Fact:
    """One line of a profile."""

    label: str
    value: str
    url: str | None = None


@login_required
def profile(name: str) -> Any:
    """Ask the provider with the stored token, and show the profile."""
    client = find_client(name)
    identity: Identity = client.profile()
    provider = create_provider_view(client)
    if wants_json():
        return create_json({"provider": name, "profile": describe_identity(identity)})
    pictures = get_state().settings.show_avatars
    title = identity.display_name or identity.username or identity.email or identity.subject
    return render(
        "profile.html",
        title=translate("Your %(provider)s profile", provider=provider.label),
        provider=provider,
        person=PersonView(title, make_initials(title), safe_link(identity.avatar_url) if pictures else None),
        identity=identity,
        facts=list_facts(identity, email=identity.email),
        message=_take_message()[1],
        accounts_url=url_for(".accounts"),
        logout_url=url_for(".logout"),
        csrf=create_csrf_view(),
    )


def describe_identity(identity: Identity) -> dict[str, Any]:
    """:return: an identity for JSON; addresses of other schemes than https are left out (F04)."""
    return {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "email": identity.email,
        "email_verified": identity.email_verified,
        "username": identity.username,
        "display_name": identity.display_name,
        "avatar_url": safe_link(identity.avatar_url),
        "profile_url": safe_link(identity.profile_url),
    }


def list_facts(identity: Identity, *, email: str | None) -> list[Fact]:
    """:return: what a provider says of an account, as far as it says anything.

    :param email: the address as it is to be shown.
    """
    facts = [
        Fact(translate("Name"), identity.display_name or ""),
        Fact(translate("User name"), identity.username or ""),
        Fact(translate("E-mail"), email or ""),
        Fact(translate("Account number"), identity.subject),
    ]
    link = safe_link(identity.profile_url)
    if link:
        facts.append(Fact(translate("Profile page"), link, link))
    return [fact for fact in facts if fact.value]


@login_required
def accounts() -> Any:
    """List the connected accounts with their health."""
    connections: list[Connection] = get_state().accounts.service.connections(get_user_id())
    if wants_json():
        payload = {
            "accounts": [describe_connection(item) for item in connections],
            "providers": [
                {
                    "name": item.name,
                    "label": item.label,
                    "connect_url": item.connect_url,
                    "connect_api_url": item.connect_api_url,
                }
                for item in list_providers()
            ],
            "logout_url": url_for(".logout"),
            "csrf_token": csrf.create_token(),
        }
        return create_json(payload)
    kind, message = _take_message()
    return render(
        "accounts.html",
        wide=True,
        person=get_person(),
        accounts=[_create_account_view(item, connections) for item in connections],
        providers=list_providers(),
        words={"reconnect": translate("Reconnect"), "disconnect": translate("Disconnect")},
        message=message,
        message_kind=kind,
        logout_url=url_for(".logout"),
        csrf=create_csrf_view(),
    )


def describe_connection(connection: Connection) -> dict[str, Any]:
    """:return: a connected account for JSON; no token, no secret."""
    record = connection.record
    return {
        "id": str(record.id),
        "provider": record.identity.name,
        "account": describe_identity(record.identity),
        "can_log_in": record.can_log_in,
        "can_disconnect": connection.can_disconnect,
        "status": connection.status,
        "scope": connection.scope,
        "expires_at": connection.expires_at,
        "last_error": connection.last_error,
        "connected_at": record.created_at,
        "last_login_at": record.last_login_at,
        "disconnect_url": url_for(".disconnect", id=record.id),
        "reconnect_url": url_for(".reconnect", id=record.id) if _is_registered(record.identity.name) else None,
    }


def _is_registered(name: str) -> bool:
    return name in get_state().oauth.list_names()


def _create_account_view(connection: Connection, all_of_them: list[Connection]) -> AccountView:
    record = connection.record
    identity = record.identity
    registered = _is_registered(identity.name)
    provider = describe_provider(identity.name)
    title = identity.email or identity.username or identity.display_name or identity.subject
    health, text = _describe_health(connection, provider, registered=registered)
    return AccountView(
        id=str(record.id),
        provider=provider,
        title=title,
        health=health,
        health_text=text,
        history_text=_describe_history(connection),
        disconnect_url=url_for(".disconnect", id=record.id),
        disconnect_label=translate(
            "Disconnect %(provider)s account %(account)s", provider=provider.label, account=title
        ),
        can_disconnect=connection.can_disconnect,
        kept_text="" if connection.can_disconnect else _describe_keeping(connection, all_of_them),
        reconnect_url=url_for(".reconnect", id=record.id) if registered and health == "reconnect" else None,
        reconnect_label=translate("Reconnect %(provider)s account %(account)s", provider=provider.label, account=title),
    )


def _describe_keeping(connection: Connection, all_of_them: list[Connection]) -> str:
    """Why an account stays, before anybody tries: the last way in, or a policy of the application."""
    refusal = choose_refusal(connection.record, [item.record for item in all_of_them])
    return translate(refusal.visitor)


def _describe_health(connection: Connection, provider: ProviderView, *, registered: bool) -> tuple[str, str]:
    if not registered:
        return "waiting", translate("This service is not offered here any more.")
    if connection.status in ("reauth_required", "revoked"):
        return "reconnect", _describe_end(connection.ended_at, provider.label)
    if connection.status == "no_token":
        return "reconnect", translate("We have no access to %(provider)s.", provider=provider.label)
    if connection.retry_at is not None and connection.last_error:
        return "waiting", translate(
            "%(provider)s did not answer the last time; we keep trying.", provider=provider.label
        )
    if not connection.renewable and connection.expires_at is not None:
        if connection.expires_at <= datetime.now(UTC).timestamp():
            return "reconnect", translate("Our access ended %(when)s.", when=describe_time(connection.expires_at))
        return "ok", translate("Connected. Our access ends %(when)s.", when=describe_time(connection.expires_at))
    return "ok", translate("Connected and working.")


def _describe_end(seconds: float | None, provider: str) -> str:
    if seconds is None:
        return translate("%(provider)s has stopped accepting our access.", provider=provider)
    when = describe_time(seconds)
    return translate("%(provider)s stopped accepting our access %(when)s.", provider=provider, when=when)


def _describe_history(connection: Connection) -> str:
    record = connection.record
    if not record.can_log_in:
        return translate("Connected %(when)s, not for signing in.", when=describe_time(record.created_at))
    if record.last_login_at is None:
        return translate("Connected %(when)s.", when=describe_time(record.created_at))
    return translate("Last used to sign in %(when)s.", when=describe_time(record.last_login_at))


@login_required
def disconnect(id: str) -> Any:
    """Revoke at the provider as far as it goes, and delete here; never the last way in."""
    csrf.require_token()
    removed = get_state().accounts.service.disconnect(get_user(), get_user_id(), id, _revoke)
    if wants_json():
        return create_json(
            {"outcome": "disconnected", "provider": removed.record.identity.name, "revoked": removed.revoked}
        )
    put_notice(_REVOKED[removed.revoked])
    return redirect(url_for(".accounts"), 303)


def _revoke(stored: StoredToken) -> bool | None:
    if not _is_registered(stored.name):
        return None
    revoked: bool | None = find_client(stored.name).revoke_token(stored.token)
    return revoked


def _take_message() -> tuple[str, str | None]:
    code = take_notice()
    kind, text = NOTICES.get(code or "", ("success", None))
    return kind, translate(text) if text else None
