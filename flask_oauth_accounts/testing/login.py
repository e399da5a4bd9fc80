"""A whole login of a Flask test client, through the application's own views and the provider's own pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import url_for
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ..registry import EXTENSION_KEY
from .provider import DevProvider


def oauth_login(
    client: FlaskClient,
    name: str,
    user: str = "alice",
    *,
    provider: DevProvider,
    allow: bool = True,
    endpoint: str = "oauth.login",
    next_url: str | None = None,
) -> TestResponse:
    """Log in: the application's login view, the provider's consent page, the application's callback.

    Where ``OAUTH_ACCOUNTS_EXTERNAL_URL`` is set, the browser is at that address: register its callback with
    :meth:`DevProvider.add_redirect_uri`, and give the client's further calls its origin as ``base_url``.

    :param client: a test client of the application; afterwards it holds the logged-in session.
    :param name: of the client in the registry.
    :param user: who consents; a user name or subject of the provider.
    :param provider: a running provider.
    :param allow: whether the user consents.
    :param endpoint: of the view that starts the login; it takes ``name``.
    :param next_url: ``?next=`` for the login view.
    :return: the answer to the callback.
    :raises RuntimeError: if the application does not redirect to the provider, or the provider shows an error page.
    """
    with client.application.test_request_context():
        path = url_for(endpoint, name=name, **({"next": next_url} if next_url else {}), _external=False)
    started = _open(client, path)
    location = started.headers.get("Location", "")
    if not location.startswith(provider.url):
        raise RuntimeError(f"{path} answered {started.status_code} without a redirect to {provider.url}")
    callback = provider.authorize(location, user, allow=allow)
    if callback.form is not None:
        return _open(client, str(callback), method="POST", data=callback.form)
    return _open(client, str(callback))


def _open(client: FlaskClient, address: str, **kwargs: Any) -> TestResponse:
    """Open an address as a browser does, on the host that the outside sees.

    :param address: absolute, or a path on that host. The prefix under which the application lies is taken off: the
        test client adds ``APPLICATION_ROOT`` by itself, and a proxy would not let any other one through.
    """
    state = client.application.extensions.get(EXTENSION_KEY)
    outside = urlsplit(state.settings.external_url or "") if state is not None else urlsplit("")
    parts = urlsplit(address)
    path = parts.path
    for prefix in (outside.path, client.application.config["APPLICATION_ROOT"].rstrip("/")):
        path = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
    inside = parts._replace(scheme=parts.scheme or outside.scheme, netloc=parts.netloc or outside.netloc, path=path)
    return client.open(inside.geturl(), **kwargs)
