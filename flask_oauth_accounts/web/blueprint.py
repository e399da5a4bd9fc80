"""The URL map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import MethodNotAllowed

from .. import _resources
from ..registry import get_state
from .account_pages import accounts, disconnect, profile
from .callback import authorize
from .context import create_stylesheet
from .csrf import exempt_from_flask_wtf, uses_flask_wtf
from .faults import register_error_handlers
from .headers import create_policy, name_language, protect
from .links import watch_logins
from .logout import backchannel_logout, logged_out, logout
from .narrow import narrow
from .negotiation import PROBLEM_TYPE
from .resolve import resolve
from .revocations import watch_sessions
from .starts import connect, login, login_page, reconnect
from .words import find_page_language

_YEAR = 365 * 24 * 3600
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_OTHER_METHODS = "_not_allowed"
"""At the end of an endpoint: its address, by a method that it does not have."""


def create_blueprint(
    name: str = "oauth",
    *,
    url_prefix: str | None = None,
    content_security_policy: str | None = None,
    on_register: Callable[[Flask], None] | None = None,
) -> Blueprint:
    """Make the blueprint with the sign-in pages.

    It adds no hook that every request to the application passes. Only where another page asks who is logged in, and an
    ID token has begun that session, is the cache asked whether the provider has ended it.

    :param name: of the blueprint; endpoints are ``<name>.<endpoint>``.
    :param url_prefix: under which the pages lie.
    :param content_security_policy: sent with the pages in place of the default one.
    :param on_register: called with the application when the blueprint is registered, to create what is missing.
    :return: a blueprint to register on an application.
    """
    blueprint = Blueprint(name, __name__, url_prefix=url_prefix, template_folder=str(_resources.templates()))
    _add_routes(blueprint)
    register_error_handlers(blueprint)

    @blueprint.record
    def set_up(state: BlueprintSetupState) -> None:
        app = cast(Flask, state.app)
        if on_register is not None:
            on_register(app)
        watch_sessions(app)
        watch_logins(app)

    @blueprint.url_value_preprocessor
    def exempt_callbacks(endpoint: str | None, values: dict[str, Any] | None) -> None:
        # Runs before Flask-WTF looks, whichever of the two was set up first. What nobody answers needs no token.
        for view in (authorize, backchannel_logout, not_allowed):
            exempt_from_flask_wtf(view)

    @blueprint.after_request
    def protect_page(response: Response) -> Response:
        if request.endpoint == f"{request.blueprint}.stylesheet":
            return response
        policy = content_security_policy or create_policy(pictures=get_state().settings.show_avatars)
        # Over https Flask-WTF wants to see the Referer of forms; an address with a code in it gives none away.
        if response.mimetype in ("text/html", PROBLEM_TYPE):
            name_language(response, find_page_language().replace("_", "-"))
        forms = uses_flask_wtf(current_app) and request.endpoint != f"{request.blueprint}.authorize"
        return protect(response, policy, referrer="same-origin" if forms else "no-referrer")

    return blueprint


def _add_routes(blueprint: Blueprint) -> None:
    def add(rule: str, view: Callable[..., Any], *methods: str) -> None:
        name, others = view.__name__, [method for method in _METHODS if method not in methods]
        options: dict[str, Any] = {"provide_automatic_options": False}
        blueprint.add_url_rule(rule, name, view, methods=list(methods), **options)
        blueprint.add_url_rule(rule, name + _OTHER_METHODS, not_allowed, methods=others, **options)

    add("/login", login_page, "GET")
    add("/login/<name>", login, "GET", "POST")
    add("/authorize/<name>", authorize, "GET", "POST")
    add("/profile/<name>", profile, "GET")
    add("/accounts", accounts, "GET")
    add("/connect/<name>", connect, "POST")
    add("/reconnect/<id>", reconnect, "GET")
    add("/reconnect/<id>/narrow", narrow, "GET")
    add("/resolve", resolve, "GET", "POST")
    add("/accounts/<id>/disconnect", disconnect, "POST")
    add("/logout", logout, "POST")
    add("/logged-out/<name>", logged_out, "GET")
    add("/backchannel-logout/<name>", backchannel_logout, "POST")
    add("/oauth-accounts.css", stylesheet, "GET")


def not_allowed(**_: Any) -> Any:
    """Answer the methods that an address does not have by our own page; Flask's router would by a bare one.

    ``OPTIONS`` is answered by what it has (RFC 9110 section 9.3.7).
    """
    endpoint = str(request.endpoint).removesuffix(_OTHER_METHODS)
    methods = {method for rule in current_app.url_map.iter_rules(endpoint) for method in rule.methods or ()}
    allowed = sorted(methods | {"OPTIONS"})
    if request.method == "OPTIONS":
        return Response("", headers={"Allow": ", ".join(allowed)})
    raise MethodNotAllowed(allowed)


def stylesheet() -> Any:
    """Serve the stylesheet; its address changes with its content, so that a browser asks once."""
    text, version = create_stylesheet()
    response = Response(text, content_type="text/css; charset=utf-8")
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.args.get("v") == version:
        response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    else:
        response.headers["Cache-Control"] = "no-cache"
    response.set_etag(version)
    return response.make_conditional(request)
