"""One registry of a module, and an application factory that registers clients: whose client is whose."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_oauth_accounts import ConfigurationError, OAuth

URLS = {"authorize_url": "https://provider.test/a", "access_token_url": "https://provider.test/t"}


@pytest.fixture
def oauth() -> OAuth:
    """The registry of a module."""
    return OAuth()


@pytest.fixture
def create_site(oauth: OAuth, create_app: Callable[..., Flask]) -> Callable[..., Flask]:
    """An application factory that registers clients with its own client id, within its context or without."""

    def create(client_id: str, *names: str, within: bool = True, first: bool = False) -> Flask:
        app = create_app()
        if not first:
            oauth.init_app(app)
        for name in names:
            if within:
                with app.app_context():
                    oauth.register(name, client_id=client_id, **URLS)
            else:
                oauth.register(name, client_id=client_id, **URLS)
        if first:
            oauth.init_app(app)
        return app

    return create


def ids(oauth: OAuth, app: Flask) -> dict[str, Any]:
    """The client ids that an application sees."""
    with app.app_context():
        return {name: getattr(oauth, name).client_id for name in oauth.list_names()}


@pytest.mark.parametrize("first", [False, True], ids=["registered-after-init_app", "registered-before-init_app"])
def test_a_client_registered_within_a_context_is_that_applications(
    oauth: OAuth, create_site: Callable[..., Flask], first: bool
) -> None:
    """The users of one application would be sent to the provider as users of another."""
    one = create_site("one", "dev", first=first)
    two = create_site("two", "dev", "more", first=first)
    three = create_site("three", first=first)
    assert ids(oauth, one) == {"dev": "one"}
    assert ids(oauth, two) == {"dev": "two", "more": "two"}
    assert ids(oauth, three) == {}
    with one.app_context():
        assert oauth.create_client("more") is None
        with pytest.raises(AttributeError, match="No such client: more; it was registered in the context of another"):
            oauth.more
        with pytest.raises(AttributeError, match=r"No such client: nope$"):
            oauth.nope


def test_an_applications_own_goes_before_what_is_there_for_all(oauth: OAuth, create_site: Callable[..., Flask]) -> None:
    """A factory could not give one application another client than the module's."""
    oauth.register("dev", client_id="module", **URLS)
    one, two = create_site("one", "dev"), create_site("two", "more")
    assert ids(oauth, one) == {"dev": "one"}
    assert ids(oauth, two) == {"dev": "module", "more": "two"}
    with one.app_context():
        oauth.unregister("dev")
        assert oauth.dev.client_id == "module"
        oauth.unregister("dev")
        assert oauth.create_client("dev") is None
    assert ids(oauth, two) == {"more": "two"}


def test_without_a_context_the_last_registration_counts_everywhere(
    oauth: OAuth, create_site: Callable[..., Flask]
) -> None:
    """A client that a test or a command registers anew would stay the old one."""
    one, two = create_site("one", "dev", within=False), create_site("two", "dev", within=False)
    assert ids(oauth, one) == ids(oauth, two) == {"dev": "two"}
    three = create_site("three", "dev")
    oauth.register("dev", client_id="last", **URLS)
    assert ids(oauth, one) == ids(oauth, three) == {"dev": "last"}
    with three.app_context():
        oauth.register("dev", client_id="own", **URLS)
    oauth.unregister("dev")
    assert ids(oauth, one) == ids(oauth, three) == {}


def test_one_application_sees_its_clients_outside_of_its_context(create_app: Callable[..., Flask]) -> None:
    """A script with one application would not find what was registered in a ``with`` block."""
    app = create_app()
    oauth = OAuth(app)
    with app.app_context():
        proxy = oauth.register("dev", client_id="one", **URLS)
    assert oauth.dev is proxy and oauth.list_names() == ("dev",)


def test_a_refused_registration_leaves_the_applications_own(oauth: OAuth, create_site: Callable[..., Flask]) -> None:
    """After one wrong ``register`` an application would have lost its client, or every page would fail."""
    one = create_site("one", "dev")
    with one.app_context(), pytest.raises(ConfigurationError):
        oauth.register("dev", client_id="wrong", authorize_url="http://provider.test/")
    assert ids(oauth, one) == {"dev": "one"}


def test_registrations_do_not_keep_an_application(oauth: OAuth, create_site: Callable[..., Flask]) -> None:
    """Every application that a test suite makes would stay in memory."""
    gone = weakref.ref(create_site("one", "dev"))
    create_site("two", "dev")
    gc.collect()
    assert gone() is None
