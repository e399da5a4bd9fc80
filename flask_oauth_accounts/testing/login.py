"""A whole login of a Flask test client, through the application's own views and the provider's own pages."""

from __future__ import annotations

from flask import url_for
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

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
    started = client.get(path)
    location = started.headers.get("Location", "")
    if not location.startswith(provider.url):
        raise RuntimeError(f"{path} answered {started.status_code} without a redirect to {provider.url}")
    callback = provider.authorize(location, user, allow=allow)
    if callback.form is not None:
        return client.post(str(callback), data=callback.form)
    return client.get(str(callback))
