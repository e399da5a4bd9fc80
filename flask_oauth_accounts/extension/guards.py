"""``token_required``: a view that needs the provider's consent.

::

    stranger ──▶ the sign-in page ──▶ back
    no token, or a dead one ──▶ consent ──▶ back
    too narrow ──▶ consent to what was granted and what is needed ──▶ back
         └─ still too narrow after that ──▶ a page that says so, with a button to ask again

The last step is what keeps a browser from going in circles where the provider, or the person, grants less than was
asked for. That this browser was sent to consent stands in its session, with the version of the token at that time;
that the scopes were asked for stands in the token's row (``requested_scope``).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, redirect, request, session
from flask_login.utils import login_url
from werkzeug.wrappers import Response

from ..errors import (
    ConfigurationError,
    InsufficientScopeError,
    MissingTokenError,
    OAuthError,
    ReauthorizationRequired,
)
from ..registry import get_state
from ..remote_app.adapters import find_current_user
from ..tokens import StoredToken, parse_scope
from ..web.addresses import find_home
from ..web.negotiation import create_problem, wants_json
from ..web.redirects import make_origin, safe_next, strip_origin
from .wiring import describe_target, find_login_endpoint, narrow_url, reconnect_url

_READ_METHODS = ("GET", "HEAD")
_DEAD = ("expired", "reauth_required", "revoked")
_ASKED_KEY = "_oauth_accounts_asked"
_ASKED_MOST = 20


def token_required(name: str, scopes: Iterable[str] | str = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a view run only when the current user's token for a provider is there, alive and wide enough.

    A browser is sent to log in or to consent and then comes back: to this address, or after a POST to the page that
    the form was on. A client that asks for JSON gets a problem document: 401 where nobody is logged in, no token is
    stored or the grant is dead, 403 where scopes are missing, with the address to send the user to as ``url``.

    Consent is asked for the union of what was granted and what is needed. Where the provider grants less all the
    same, the second visit ends at a page that says so. Of several accounts the one last used counts.

    :param name: of the client.
    :param scopes: that the view needs.
    :return: the decorator.
    :raises ConfigurationError: when the view is called, if there is no client of that name, if it is one of OAuth 1
        (which has no scopes) and scopes are given, or if the application has no accounts.
    """
    needed = parse_scope(scopes if isinstance(scopes, str) else list(scopes))

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            check = _Check(name, needed)
            refusal = check.refuse()
            if refusal is not None:
                return refusal
            try:
                return current_app.ensure_sync(view)(*args, **kwargs)
            except ReauthorizationRequired as error:
                if error.provider != name:
                    raise
                return check.send_to_consent(error)

        return guarded

    return decorate


class _Check:
    """One request to a guarded view.

    :param name: of the client.
    :param needed: the scopes.
    """

    def __init__(self, name: str, needed: frozenset[str]) -> None:
        self._name = name
        self._needed = needed
        self._state = get_state()
        self._client = _find_client(name, needed)
        self._user_id: Any = None
        self._stored: StoredToken | None = None

    def refuse(self) -> Response | None:
        """:return: where to go instead, ``None`` where the view may run."""
        user = find_current_user(self._state.app)
        if user is None:
            error = MissingTokenError(description="nobody is logged in", provider=self._name)
            return _answer(_create_login_url(), error)
        accounts = self._state.accounts
        self._user_id = accounts.identify(user)
        self._stored = accounts.vault.load(self._user_id, self._name, protocol=self._client.protocol)
        if self._stored is None:
            return self.send_to_consent(MissingTokenError(provider=self._name))
        if accounts.vault.health(self._stored).state in _DEAD:
            return self.send_to_consent(ReauthorizationRequired(provider=self._name))
        if not self._needed <= _read_granted(self._stored):
            return self._refuse_narrow(self._stored)
        self._client.remember_stored(self._stored)
        _forget_asked(self._mark)
        return None

    def send_to_consent(self, error: OAuthError) -> Response:
        """Ask for what was granted and what is needed.

        :param error: why.
        """
        target, query = self._describe_consent()
        return _answer(reconnect_url(self._state.app, target, **query), error)

    def _refuse_narrow(self, stored: StoredToken) -> Response:
        target, query = self._describe_consent()
        error = InsufficientScopeError(provider=self._name)
        url = reconnect_url(self._state.app, target, **query)
        if wants_json() or url is None:
            return _answer(url, error)
        asked = session.get(_ASKED_KEY, {}).get(self._mark)
        was_asked = asked is not None and asked != stored.version
        if was_asked and self._needed <= parse_scope(stored.requested_scope):
            return redirect(narrow_url(self._state.app, target, **query) or url, 303)
        _remember_asked(self._mark, stored.version)
        return _answer(url, error)

    @property
    def _mark(self) -> str:
        """Names this token and these scopes in the session."""
        text = "\0".join([str(self._user_id), self._name, *sorted(self._needed)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _describe_consent(self) -> tuple[str, dict[str, str]]:
        stored = self._stored
        target = describe_target(self._name, stored)
        next_url = _find_next()
        query = {"next": next_url} if next_url else {}
        if self._needed:
            place = f"consent:{self._user_id}:{target}"
            query["scope"] = self._state.accounts.seal(" ".join(sorted(self._needed)), place)
        return target, query


def _find_client(name: str, needed: frozenset[str]) -> Any:
    state = get_state()
    if state.accounts is None:
        raise ConfigurationError(
            f"token_required({name!r}) needs stored tokens: set up OAuthAccounts(oauth, db=…, user_model=…)"
        )
    client = state.oauth.create_client(name)
    if client is None:
        known = ", ".join(state.oauth.list_names()) or "none"
        raise ConfigurationError(f"token_required({name!r}): no client of this name is registered; known are: {known}")
    if needed and client.protocol == "oauth1":
        raise ConfigurationError(f"token_required({name!r}): OAuth 1 has no scopes; leave scopes out", provider=name)
    return client


def _read_granted(stored: StoredToken) -> frozenset[str]:
    """RFC 6749 section 5.1: a scope that was left out of the answer is the one that was asked for."""
    return parse_scope(stored.scope if stored.scope is not None else stored.requested_scope)


def _find_next() -> str | None:
    """Where to come back to: the address itself, after a POST the page of the form; only on this very origin.

    The origin stands in front where the application lies on several hosts: the sign-in pages may be on another one.
    """
    if request.method in _READ_METHODS:
        return find_home() + request.script_root + request.full_path.rstrip("?")
    origin = f"{request.scheme}://{request.host}"
    external = get_state().settings.external_url
    path = safe_next(request.referrer, origins=[origin, external] if external else [origin])
    return path and find_home() + path


def _create_login_url() -> str | None:
    next_url = _find_next()
    view = getattr(current_app.login_manager, "login_view", None)  # type: ignore[attr-defined]
    view = view or find_login_endpoint(current_app)
    if view is None:
        return None
    url: str = login_url(view, next_url)
    return strip_origin(url) if make_origin(urlsplit(url)) == make_origin(urlsplit(request.host_url)) else url


def _remember_asked(mark: str, version: int) -> None:
    others = {key: value for key, value in session.get(_ASKED_KEY, {}).items() if key != mark}
    session[_ASKED_KEY] = {**dict(list(others.items())[1 - _ASKED_MOST :]), mark: version}


def _forget_asked(mark: str) -> None:
    if mark in session.get(_ASKED_KEY, {}):
        session[_ASKED_KEY] = {key: value for key, value in session[_ASKED_KEY].items() if key != mark}


def _answer(url: str | None, error: OAuthError) -> Response:
    if url is None or wants_json():
        response: Response = create_problem(error, status=error.status, url=url)
        response.headers["Cache-Control"] = "no-store"
    else:
        response = redirect(url, 302 if request.method in _READ_METHODS else 303)
    return response
