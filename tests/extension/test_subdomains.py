"""An application on several hosts: its sign-in pages lie on one of them, its own pages on the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_oauth_accounts import create_blueprint, token_required
from flask_oauth_accounts.extension.wiring import reconnect_url
from flask_oauth_accounts.testing import DevProvider

HOME = "http://site.localhost:5000"
SHOP = "http://shop.site.localhost:5000"
PAGES = "http://auth.site.localhost:5000"


def create_app(make_app: Callable[..., Flask], *, matching: bool = True, **config: Any) -> Flask:
    config = {"SERVER_NAME": "site.localhost:5000", "SESSION_COOKIE_DOMAIN": "site.localhost", **config}
    app = make_app(register=False, **config)
    app.subdomain_matching = matching
    app.register_blueprint(create_blueprint(), subdomain="auth" if matching else None)

    def repos() -> str:
        return "repos"

    guarded = token_required("two")(repos)
    app.add_url_rule("/repos", "repos", guarded, methods=["GET", "POST"])
    app.add_url_rule("/repos", "shop", guarded, subdomain="shop" if matching else None, methods=["GET", "POST"])
    return app


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return create_app(make_app)


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


def log_in(browser: FlaskClient, provider: DevProvider, name: str, next_url: str | None = None) -> str:
    """A whole login on the host of the pages; returns where the browser is sent."""
    query = {} if next_url is None else {"next": next_url}
    started = browser.get(f"/login/{name}", base_url=PAGES, query_string=query)
    done = browser.get(str(provider.authorize(started.headers["Location"], "alice")), base_url=PAGES)
    return str(done.headers["Location"])


@pytest.mark.parametrize("host", [HOME, SHOP])
def test_a_stranger_comes_back_to_the_host_they_came_from(
    browser: FlaskClient, provider: DevProvider, host: str
) -> None:
    """Whoever signs in on the way to a page would land on the sign-in host, where there is no such page."""
    address = browser.get("/repos?page=2", base_url=host).headers["Location"]
    assert address.startswith(f"{PAGES}/login?next=")
    next_url = parse_qs(urlsplit(address).query)["next"][0]
    assert log_in(browser, provider, "two", next_url) == f"{host}/repos?page=2"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_consent_is_asked_for_on_the_host_of_the_pages(
    browser: FlaskClient, provider: DevProvider, method: str
) -> None:
    """A user without a token would be sent to an address that is none, or see a server error."""
    log_in(browser, provider, "three")
    headers = {"Referer": f"{HOME}/form"} if method == "POST" else {}
    address = browser.open("/repos", method=method, base_url=HOME, headers=headers).headers["Location"]
    assert address.startswith(f"{PAGES}/reconnect/two?")
    page = browser.get(address)
    assert page.status_code == 200
    assert f'value="{HOME}/{"form" if method == "POST" else "repos"}"' in page.text


def test_a_job_names_the_host_of_the_pages(app: Flask, make_app: Callable[..., Flask]) -> None:
    """A link in a mail would lead to a host that nobody has."""
    with app.app_context():
        assert reconnect_url(app, 1) == f"{PAGES}/reconnect/1"
    external = create_app(make_app, OAUTH_ACCOUNTS_EXTERNAL_URL="https://login.example.com")
    with external.app_context():
        assert reconnect_url(external, 1) == "https://login.example.com/reconnect/1"
    with external.test_request_context("/repos", base_url=HOME):
        assert reconnect_url(external, 1) == "https://login.example.com/reconnect/1"


def test_the_command_line_names_the_callback_on_the_host_of_the_pages(app: Flask) -> None:
    """An operator would register an address with the provider that no login sends."""
    output = app.test_cli_runner().invoke(args=["oauth", "providers"]).output
    assert f" {PAGES}/authorize/two\n" in output


@pytest.mark.parametrize(
    "target",
    [
        "http://other.site.localhost:5000/repos",
        "http://site.localhost:5001/repos",
        "https://site.localhost:5000/repos",
        "http://evilsite.localhost:5000/repos",
        "http://site.localhost:5000.evil.com/repos",
        "http://site.localhost:5000@evil.com/repos",
        "http://auth.shop.site.localhost:5000/repos",
        "//site.localhost:5000/repos",
        "http://site.localhost:5000//evil.com",
        "http://site.localhost:5000\\@evil.com",
    ],
)
def test_d08_what_is_no_host_of_this_application_is_refused(
    browser: FlaskClient, provider: DevProvider, target: str
) -> None:
    """A visitor would be sent from our login to a page of an attacker."""
    assert log_in(browser, provider, "two", target) == "/profile/two"


def test_d08_without_subdomains_there_is_one_host(make_app: Callable[..., Flask], provider: DevProvider) -> None:
    """A site whose neighbours below its name are other people's would send its visitors there."""
    browser = create_app(make_app, matching=False).test_client()
    for target in (HOME, SHOP):
        assert log_in(browser, provider, "two", f"{target}/repos") == "/profile/two"
        browser = browser.application.test_client()
