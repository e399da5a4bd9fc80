"""``token_required``: through real logins and real consents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_oauth_accounts import OAuth, current_oauth, token_required
from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.testing import DevProvider, oauth_login

JSON = {"Accept": "application/json"}
Consent = Callable[..., TestResponse]


def add_views(app: Flask) -> None:
    @app.get("/plain")
    @token_required("two")
    def plain() -> Any:
        return current_oauth.two.get("me").json()

    @app.route("/wide", methods=["GET", "POST"])
    @token_required("two", scopes=["repo"])
    def wide() -> Any:
        return {"scope": current_oauth.two.token["scope"]}

    @app.get("/old")
    @token_required("one")
    def old() -> Any:
        return current_oauth.one.get("me").json()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    app = make_app()
    add_views(app)
    return app


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    return app.test_client()


def scopes_in(url: str) -> set[str]:
    return set(parse_qs(urlsplit(url).query)["scope"][0].split())


def follow(browser: FlaskClient, response: TestResponse) -> TestResponse:
    """The next redirect of the application itself."""
    return browser.get(response.headers["Location"])


def test_a_stranger_logs_in_and_comes_back(app: Flask, browser: FlaskClient, provider: DevProvider) -> None:
    """A visitor who follows a link to a guarded page would end up somewhere else."""
    response = browser.get("/plain?page=2&q=a%26b")
    assert response.status_code == 302
    assert response.headers["Location"] == "/login?next=%2Fplain%3Fpage%3D2%26q%3Da%2526b"
    page = browser.get(response.headers["Location"])
    assert page.status_code == 200
    done = oauth_login(browser, "two", provider=provider, next_url="/plain?page=2&q=a%26b")
    assert done.headers["Location"] == "/plain?page=2&q=a%26b"
    assert browser.get(done.headers["Location"]).get_json()["name"] == "Alice Ardent"


def test_a_stranger_who_asks_for_json_is_told_where_to_log_in(browser: FlaskClient) -> None:
    """A front end of one's own would get a page that it cannot read."""
    response = browser.get("/plain", headers=JSON)
    assert response.status_code == 401
    assert response.content_type == "application/problem+json"
    assert response.get_json()["code"] == "missing_token"
    assert response.get_json()["url"] == "/login?next=%2Fplain"


def test_a_user_without_this_token_is_asked_to_connect(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """Somebody who signed in with another provider would get an error instead of a way on."""
    provider.settings.granted_scope = ["openid", "email", "profile"]
    oauth_login(browser, "three", "bob", provider=provider)
    refused = browser.get("/plain", headers=JSON)
    assert (refused.status_code, refused.get_json()["code"]) == (401, "missing_token")
    response = browser.get("/plain")
    assert urlsplit(response.headers["Location"]).path == "/reconnect/two"
    page = follow(browser, response)
    assert page.status_code == 200
    assert 'action="/connect/two"' in page.text
    token = browser.get("/accounts", headers=JSON).get_json()["csrf_token"]
    started = browser.post("/connect/two", data={"csrf_token": token, "next": "/plain"})
    done = consent(browser, started, "bob")
    assert done.headers["Location"] == "/plain"
    assert browser.get("/plain").status_code == 200


def test_a_dead_grant_is_renewed_and_the_browser_comes_back(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """A user whose grant has ended would see an error page each time."""
    oauth_login(browser, "two", provider=provider)
    provider.revoke_grants("alice")
    with app.app_context():
        store = app.extensions["flask_oauth_accounts"].accounts.store
        stored = store.load(1, "two", protocol="oauth2")
        store.mark_reauth_required(stored, error="invalid_grant")
    refused = browser.get("/plain?x=1", headers=JSON)
    assert (refused.status_code, refused.get_json()["code"]) == (401, "reauthorization_required")
    assert refused.get_json()["url"].startswith("http://localhost/reconnect/1?")
    done = consent(browser, browser.get("/plain?x=1"))
    assert done.headers["Location"] == "/plain?x=1"
    assert browser.get("/plain?x=1").status_code == 200


def test_a_grant_that_dies_inside_the_view_leads_to_consent_as_well(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """What the provider has revoked is noticed at the call only; the user would get a 500."""
    provider.settings.access_token_lifetime = 1
    oauth_login(browser, "two", provider=provider)
    provider.settings.access_token_lifetime = 3600
    provider.revoke_grants("alice")
    response = browser.get("/plain")
    assert urlsplit(response.headers["Location"]).path == "/reconnect/1"
    done = consent(browser, response)
    assert done.headers["Location"] == "/plain"
    assert browser.get("/plain").status_code == 200


def test_an_expired_token_that_cannot_be_renewed_leads_to_consent(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """A provider without refresh tokens would lock its users out after an hour."""
    provider.settings.issue_refresh_tokens = False
    oauth_login(browser, "two", provider=provider)
    with app.app_context():
        accounts = app.extensions["flask_oauth_accounts"].accounts
        stored = accounts.vault.load(1, "two", protocol="oauth2")
        old = {"access_token": stored.token["access_token"], "expires_at": 1}
        accounts.vault.save(1, "two", old, stored.account, protocol="oauth2")
    assert browser.get("/plain", headers=JSON).get_json()["code"] == "reauthorization_required"
    done = consent(browser, browser.get("/plain"))
    assert done.headers["Location"] == "/plain"
    assert browser.get("/plain").status_code == 200


def test_consent_is_asked_for_what_was_granted_and_what_is_needed(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """A consent to the new scope alone would take the old ones away again."""
    oauth_login(browser, "two", provider=provider)
    refused = browser.get("/wide", headers=JSON)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "insufficient_scope")
    assert "repo" not in refused.get_json()["url"], "the scope is sealed, nobody can add to it"
    started = follow(browser, browser.get("/wide"))
    assert scopes_in(started.headers["Location"]) == {"profile", "email", "repo"}
    done = consent(browser, started)
    assert done.headers["Location"] == "/wide"
    assert set(browser.get("/wide").get_json()["scope"].split()) == {"profile", "email", "repo"}


def test_a_provider_that_keeps_granting_less_ends_at_a_page_and_not_in_a_circle(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """A provider that consents by itself would send the browser round and round."""
    provider.settings.granted_scope = ["profile", "email"]
    oauth_login(browser, "two", provider=provider)
    done = consent(browser, browser.get("/wide?a=1"))
    assert done.headers["Location"] == "/wide?a=1"
    for _ in range(3):
        second = browser.get("/wide?a=1")
        assert second.status_code == 303
        page = follow(browser, second)
        assert page.status_code == 403
        assert "fewer permissions" in page.text
        assert "Code:</p>" not in page.text
        assert "insufficient_scope" in page.text
    as_json = browser.get(second.headers["Location"], headers=JSON)
    assert as_json.status_code == 403
    again = browser.get(as_json.get_json()["url"])
    assert scopes_in(again.headers["Location"]) == {"profile", "email", "repo"}
    provider.settings.granted_scope = None
    done = consent(browser, again)
    assert done.headers["Location"] == "/wide?a=1"
    assert browser.get("/wide?a=1").status_code == 200


def test_a_user_who_turns_back_at_the_provider_can_try_again(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """Somebody who pressed cancel once would be told that the provider grants too little."""
    oauth_login(browser, "two", provider=provider)
    for _ in range(2):
        denied = consent(browser, browser.get("/wide"), allow=False)
        assert denied.status_code == 403
        assert browser.get("/plain").status_code == 200, "the old grant stays as it was"
    assert consent(browser, browser.get("/wide")).headers["Location"] == "/wide"
    assert browser.get("/wide").status_code == 200


def test_an_answer_without_scope_grants_what_was_asked_for(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """Many providers leave out a scope that they grant as asked (RFC 6749 section 5.1): consent without end."""
    oauth_login(browser, "two", provider=provider)
    started = follow(browser, browser.get("/wide"))
    provider.next_token(remove=["scope"])
    assert consent(browser, started).headers["Location"] == "/wide"
    assert "repo" in browser.get("/wide").get_json()["scope"].split()


def test_a_form_leads_back_to_its_page(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """After a POST there is no address to come back to; the user would lose the page."""
    oauth_login(browser, "two", provider=provider)
    response = browser.post("/wide", headers={"Referer": "http://localhost/form?id=3"})
    assert response.status_code == 303
    assert consent(browser, response).headers["Location"] == "/form?id=3"


@pytest.mark.parametrize("referrer", ["https://evil.example/form", "//evil.example", ""])
def test_a_form_on_another_site_is_not_gone_back_to(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent, referrer: str
) -> None:
    """An attacker's form would get the browser back after the consent."""
    oauth_login(browser, "two", provider=provider)
    response = browser.post("/wide", headers={"Referer": referrer})
    assert response.status_code == 303
    assert consent(browser, response).headers["Location"] == "/accounts"


def test_of_several_accounts_the_last_used_counts(
    app: Flask, browser: FlaskClient, provider: DevProvider, consent: Consent
) -> None:
    """A user with two accounts of one provider would see the wrong one's data."""
    oauth_login(browser, "two", provider=provider)
    token = browser.get("/accounts", headers=JSON).get_json()["csrf_token"]
    consent(browser, browser.post("/connect/two", data={"csrf_token": token}), "bob")
    assert browser.get("/plain").get_json()["name"].startswith("Alice")
    with app.app_context():
        accounts = app.extensions["flask_oauth_accounts"].accounts
        bob = accounts.store.load(1, "two", provider.state.users["bob"].subject, protocol="oauth2")
        accounts.vault.save(1, "two", bob.token, bob.account, protocol="oauth2")
    assert browser.get("/plain").get_json()["name"].startswith("Bob")


def test_two_clients_of_one_provider_do_not_take_each_others_place(
    make_app: Callable[..., Flask], provider: DevProvider, consent: Consent
) -> None:
    """Two registrations at one provider share its accounts; consent would be asked for the wrong one, for ever."""
    app = make_app(
        **provider.oauth2_config("FOUR"),
        OAUTH_ACCOUNTS_PROVIDERS=["two", "four"],
        TWO_ISSUER=provider.issuer,
        FOUR_ISSUER=provider.issuer,
    )
    add_views(app)
    browser = app.test_client()
    oauth_login(app.test_client(), "four", provider=provider)
    oauth_login(browser, "two", provider=provider)
    assert browser.get("/plain").status_code == 200
    done = consent(browser, browser.get("/wide"))
    assert done.headers["Location"] == "/wide"
    assert browser.get("/wide").status_code == 200


def test_oauth1_has_tokens_but_no_scopes(app: Flask, browser: FlaskClient, provider: DevProvider) -> None:
    """A scope that can never be granted would ask for consent for ever."""

    @app.get("/impossible")
    @token_required("one", scopes=["write"])
    def impossible() -> str:
        return ""

    oauth_login(browser, "one", provider=provider)
    assert browser.get("/old").get_json()["name"] == "Alice Ardent"
    with pytest.raises(ConfigurationError, match="OAuth 1 has no scopes"):
        browser.get("/impossible")


def test_a_name_that_is_no_client_is_said_to_the_developer(app: Flask, browser: FlaskClient) -> None:
    """A misspelt name would send every visitor in circles."""

    @app.get("/misspelt")
    @token_required("tow")
    def misspelt() -> str:
        return ""

    with pytest.raises(ConfigurationError, match=r"'tow'.*one, two, three"):
        browser.get("/misspelt")


def test_a_registry_without_accounts_says_what_is_missing() -> None:
    """A view of way C would fail with an AttributeError."""
    app = Flask("registry")
    app.config.update(SECRET_KEY="for this test", TESTING=True)
    OAuth(app).register("github", client_id="id", client_secret="secret")

    @app.get("/")
    @token_required("github")
    def view() -> str:
        return ""

    with pytest.raises(ConfigurationError, match="OAuthAccounts"):
        app.test_client().get("/")


def test_a_view_below_a_prefix_comes_back_below_it(app: Flask, browser: FlaskClient, provider: DevProvider) -> None:
    """Behind a proxy that mounts the application elsewhere, the user would land on somebody else's page."""
    response = browser.get("/plain", base_url="http://localhost/app/")
    assert response.headers["Location"] == "/app/login?next=%2Fapp%2Fplain"
