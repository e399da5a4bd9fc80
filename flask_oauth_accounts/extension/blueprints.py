"""The blueprint as the public sees it: registered on an application without the extensions, it creates them."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Flask, current_app
from flask.blueprints import BlueprintSetupState

from ..web.blueprint import create_blueprint as create_bare_blueprint
from .instant import ensure_accounts
from .logins import check_login_manager, point_to_login_page


def create_blueprint(
    name: str = "oauth", *, url_prefix: str | None = None, content_security_policy: str | None = None
) -> Blueprint:
    """Make a blueprint with the sign-in pages.

    :param name: of the blueprint; endpoints are ``<name>.<endpoint>``.
    :param url_prefix: under which the pages lie.
    :param content_security_policy: sent with the pages in place of the default one.
    :return: a blueprint to register on an application, which then gets what it lacks.
    """
    blueprint = create_bare_blueprint(
        name, url_prefix=url_prefix, content_security_policy=content_security_policy, on_register=ensure_accounts
    )

    @blueprint.record
    def announce(state: BlueprintSetupState) -> None:
        point_to_login_page(cast(Flask, state.app), f"{state.name_prefix}.{state.name}.login_page".lstrip("."))

    @blueprint.before_request
    def check() -> None:
        check_login_manager(current_app)

    return blueprint


oauth_bp = create_blueprint()
