"""Applications, registries and clients that are made in a function, of which only one is returned."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_oauth_accounts import OAuth


@pytest.mark.parametrize("returned", ["client", "registry", "proxy"])
def test_only_one_of_them_is_kept(create_app: Callable[..., Flask], stub: Any, returned: str) -> None:
    """A function that sets up a client and returns it would give one that stops to work."""

    def make() -> Any:
        if returned == "proxy":
            oauth = OAuth()
            client = oauth.register("dev", **stub.oauth2())
            oauth.init_app(create_app())
            return client
        oauth = OAuth(create_app())
        client = oauth.register("dev", **stub.oauth2())
        return client if returned == "client" else oauth

    made = make()
    gc.collect()
    client = made.dev if returned == "registry" else made
    assert client.get("a", token={"access_token": "AT"}).ok


def test_a_registry_of_a_module_keeps_one_application(create_app: Callable[..., Flask]) -> None:
    """Every application that a test suite makes would stay in memory."""
    oauth = OAuth()
    oauth.register("dev", client_id="x", access_token_url="https://provider.test/token")
    made = []
    for _ in range(3):
        app = create_app()
        oauth.init_app(app)
        with app.app_context():
            assert oauth.dev.client_id == "x"
        made.append(weakref.ref(app))
    del app
    gc.collect()
    assert [reference() is not None for reference in made] == [False, False, True]
