"""The provider's own API, its metadata and keys, its logout page, and the files that its pages need."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Response, redirect, request, session
from joserfc import jws
from joserfc.errors import JoseError
from oauthlib.common import add_params_to_uri

from .consent import create_avatar, create_error_page, create_page
from .faults import Tampering
from .http import locked
from .models import DevClient, DevUser
from .oauth1_server import OAuth1Views
from .oauth2_server import OAuth2Views
from .openid import create_claims, create_jwks, create_metadata
from .state import ProviderState

_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_STYLE = (Path(__file__).parent / "pages" / "style.css").read_text("utf-8")


def create_profile(state: ProviderState, user: DevUser) -> dict[str, Any]:
    """:return: a profile in the manner of a plain OAuth provider's API, with ``id`` and ``login``."""
    return {
        "id": user.subject,
        "login": user.username,
        "name": user.name,
        "email": user.email,
        "email_verified": user.email_verified,
        "picture": state.picture_url(user),
        **user.claims,
    }


class ApiViews:
    """What a client reads with its token."""

    def __init__(self, state: ProviderState, oauth1: OAuth1Views, oauth2: OAuth2Views) -> None:
        self.state, self.oauth1, self.oauth2 = state, oauth1, oauth2

    def register(self, app: Flask) -> None:
        """Add the routes to the provider's application."""
        app.add_url_rule("/oauth2/userinfo", view_func=self.userinfo, methods=["GET", "POST"])
        app.add_url_rule("/api/me", view_func=self.me)
        app.add_url_rule("/api/echo", view_func=self.echo, methods=_ANY_METHOD)
        app.add_url_rule("/oauth1/api/me", "oauth1_me", self.oauth1_me)
        app.add_url_rule("/oauth1/api/echo", "oauth1_echo", self.oauth1_echo, methods=_ANY_METHOD)

    def userinfo(self) -> Response:
        """OpenID Connect Core section 5.3."""
        found = self.oauth2.authenticate()
        if found is None or found[0] is None:
            return _refuse_bearer()
        claims = create_claims(self.state, found[0], found[1].scopes)
        return _json(claims, self.state.faults.take_tampering("userinfo"))

    def me(self) -> Response:
        """The profile of the token's user."""
        found = self.oauth2.authenticate()
        if found is None or found[0] is None:
            return _refuse_bearer()
        return _json(create_profile(self.state, found[0]), self.state.faults.take_tampering("userinfo"))

    def echo(self) -> Response:
        """Who the token belongs to; the subject is empty for client credentials."""
        found = self.oauth2.authenticate()
        if found is None:
            return _refuse_bearer()
        user, checked = found
        return _json({"subject": user.subject if user else None, "scope": checked.scopes, "method": request.method})

    def oauth1_me(self) -> Response:
        """The profile of the user who signed the token of this request."""
        user = self.oauth1.authenticate()
        if user is None:
            return _refuse_oauth1()
        return _json(create_profile(self.state, user), self.state.faults.take_tampering("userinfo"))

    def oauth1_echo(self) -> Response:
        """Who the token belongs to."""
        user = self.oauth1.authenticate()
        return _json({"subject": user.subject, "method": request.method}) if user else _refuse_oauth1()


def _json(values: Any, tampering: Tampering | None = None, *, status: int = 200) -> Response:
    if tampering is not None and tampering.raw is not None:
        raw = tampering.raw
        body = raw if isinstance(raw, str) else json.dumps(raw)
    else:
        body = json.dumps(tampering.apply(values) if tampering else values)
    return Response(body, status, {"Cache-Control": "no-store"}, mimetype="application/json")


def _refuse_bearer() -> Response:
    """RFC 6750 section 3: no reason where no token was sent."""
    sent = request.headers.get("Authorization") or "access_token" in request.values
    response = _json({"error": "invalid_token" if sent else "unauthorized"}, status=401)
    response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if sent else "Bearer"
    return response


def _refuse_oauth1() -> Response:
    response = _json({"error": "unauthorized"}, status=401)
    response.headers["WWW-Authenticate"] = "OAuth"
    return response


class SiteViews:
    """Metadata, keys, logout, style sheet and pictures."""

    def __init__(self, state: ProviderState) -> None:
        self.state = state

    def register(self, app: Flask) -> None:
        """Add the routes to the provider's application."""
        metadata: Callable[[], Response] = self.metadata
        app.add_url_rule("/.well-known/openid-configuration", "openid_configuration", metadata)
        app.add_url_rule("/.well-known/oauth-authorization-server", "authorization_server", metadata)
        app.add_url_rule("/jwks.json", view_func=self.jwks)
        app.add_url_rule("/logout", view_func=self.logout, methods=["GET", "POST"])
        app.add_url_rule("/style.css", view_func=self.style)
        app.add_url_rule("/icon.svg", view_func=self.icon)
        app.add_url_rule("/avatar/<username>.svg", view_func=self.avatar)
        app.add_url_rule("/", view_func=self.index)

    @locked
    def metadata(self) -> Response:
        """RFC 8414 section 3, OpenID Connect Discovery section 4."""
        return _json(create_metadata(self.state), self.state.faults.take_tampering("metadata"))

    @locked
    def jwks(self) -> Response:
        """RFC 7517 section 5."""
        return _json(create_jwks(self.state), self.state.faults.take_tampering("jwks"))

    def index(self) -> Response:
        """Who can log in here."""
        return create_page("index.html", users=self.state.users.values(), picture_url=self.state.picture_url)

    def style(self) -> Response:
        """The one style sheet."""
        return Response(_STYLE, mimetype="text/css")

    def icon(self) -> Response:
        """The provider's own sign."""
        return create_avatar(DevUser("dev", "dev", name="D"))

    def avatar(self, username: str) -> Response:
        """A user's drawn picture."""
        user = self.state.users.get(username)
        return create_avatar(user) if user else Response(status=404)

    @locked
    def logout(self) -> Response:
        """RP-Initiated Logout 1.0 section 2: a page that asks, then back to the client."""
        target, client = request.args.get("post_logout_redirect_uri"), self._logout_client()
        if target and (client is None or not client.allows_post_logout_redirect(target)):
            return create_error_page("This logout came from an unknown client, or wants to go where it may not.")
        if request.method == "GET":
            return create_page("logout.html", user=self.state.users.get(session.get("user", "")), client=client)
        session.clear()
        if not target:
            return create_page("message.html", title="Logged out", message="You are logged out here.")
        state = request.args.get("state")
        response = redirect(add_params_to_uri(target, [("state", state)] if state else []), 303)
        assert isinstance(response, Response)
        return response

    def _logout_client(self) -> DevClient | None:
        client_id, hint = request.args.get("client_id"), request.args.get("id_token_hint")
        if hint:
            audience = self._audience(hint)
            client_id = audience if client_id in {None, audience} else None
        return self.state.clients.get(client_id or "")

    def _audience(self, id_token: str) -> str | None:
        """Whom an ID token of ours was for, however old it is."""
        alg = self.state.settings.signing_alg
        for key in self.state.keys.published(alg):
            try:
                claims = json.loads(jws.deserialize_compact(id_token, key, algorithms=[alg]).payload)
            except (JoseError, ValueError):
                continue
            return str(claims.get("aud"))
        return None
