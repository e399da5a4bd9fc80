"""The blueprint as the public sees it: registered on an application without the extensions, it creates them."""

from __future__ import annotations

from flask import Blueprint

from ..web.blueprint import create_blueprint as create_bare_blueprint
from .instant import ensure_accounts


def create_blueprint(
    name: str = "oauth", *, url_prefix: str | None = None, content_security_policy: str | None = None
) -> Blueprint:
    """Make a blueprint with the sign-in pages.

    :param name: of the blueprint; endpoints are ``<name>.<endpoint>``.
    :param url_prefix: under which the pages lie.
    :param content_security_policy: sent with the pages in place of the default one.
    :return: a blueprint to register on an application, which then gets what it lacks.
    """
    return create_bare_blueprint(
        name, url_prefix=url_prefix, content_security_policy=content_security_policy, on_register=ensure_accounts
    )


oauth_bp = create_blueprint()
