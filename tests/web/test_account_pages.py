"""Connect, disconnect, reconnect."""

from __future__ import annotations

import time
from typing import Any

import pytest

JSON = {"Accept": "application/json"}


def list_accounts(browser: Any) -> list[dict[str, Any]]:
    accounts: list[dict[str, Any]] = browser.get("/accounts", headers=JSON).json["accounts"]
    return accounts


def test_connect_and_log_in_by_either(site: Any) -> None:
    """A second provider would lead to a second account."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    response = site.connect(browser, "three", "bob")
    assert response.headers["Location"] == "/accounts"
    assert "is connected" in browser.get("/accounts").text
    assert "is connected." not in browser.get("/accounts").text
    other = site.browser()
    site.log_in(other, "three", "bob")
    assert site.who(other) == "alice@example.com"
    assert site.count("User") == 1


def test_e14_connect_needs_its_token(site: Any) -> None:
    """Another site could connect an attacker's account to a visitor's."""
    browser = site.browser()
    site.log_in(browser)
    assert browser.post("/connect/three").status_code == 400
    assert browser.post("/connect/three", data={"csrf_token": "x"}).status_code == 400
    assert site.count("OAuthIdentity") == 1


def test_e15_somebody_else_is_logged_in_at_the_callback(site: Any) -> None:
    """An account would be connected to a user who did not ask for it."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    started = browser.post("/connect/three", data={"csrf_token": site.token(browser)})
    callback = site.consent(started.headers["Location"], "carol")
    switch = browser.post("/login/two", data={"csrf_token": site.token(browser)})
    browser.get(site.consent(switch.headers["Location"], "bob"))
    assert browser.get(callback).status_code == 400
    assert site.count("OAuthIdentity") == 2


def test_e17_an_account_of_somebody_else(site: Any) -> None:
    """An account would change its owner."""
    site.log_in(site.browser(), "three", "bob")
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    response = site.connect(browser, "three", "bob")
    assert response.status_code == 409
    assert "bob" not in response.text
    assert site.who(browser) == "alice@example.com"


def test_the_last_way_in_stays(site: Any) -> None:
    """Somebody could lock themselves out."""
    browser = site.browser()
    site.log_in(browser)
    number = list_accounts(browser)[0]["id"]
    response = browser.post(f"/accounts/{number}/disconnect", data={"csrf_token": site.token(browser)})
    assert response.status_code == 409
    assert "only way to sign in" in response.text
    assert site.count("OAuthIdentity") == 1


def test_disconnect_revokes_and_says_so(site: Any) -> None:
    """The provider would go on giving access that nobody wants."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    site.connect(browser, "three", "bob")
    number = next(item["id"] for item in list_accounts(browser) if item["provider"] == "three")
    assert browser.post(f"/accounts/{number}/disconnect").status_code == 400
    response = browser.post(f"/accounts/{number}/disconnect", data={"csrf_token": site.token(browser)})
    assert response.headers["Location"] == "/accounts"
    assert "revoked" in browser.get("/accounts").text
    assert site.provider.count("/revoke") >= 1
    assert [item["provider"] for item in list_accounts(browser)] == ["two"]


def test_disconnect_says_where_the_provider_did_not_revoke(site: Any) -> None:
    """The visitor would believe that the provider gives no access any more."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    site.connect(browser, "three", "bob")
    number = next(item["id"] for item in list_accounts(browser) if item["provider"] == "three")
    site.provider.fail("/revoke", 503, times=None)
    browser.post(f"/accounts/{number}/disconnect", data={"csrf_token": site.token(browser)})
    assert "did not confirm" in browser.get("/accounts").text
    assert site.count("OAuthIdentity") == 1


@pytest.mark.parametrize("number", ["1", "999", "x", "\x00", "1 OR 1=1", "9" * 400])
def test_e20_disconnect_of_somebody_else_s_account(site: Any, number: str) -> None:
    """Anybody could remove anybody's account."""
    site.log_in(site.browser(), "two", "alice")
    browser = site.browser()
    site.log_in(browser, "two", "bob")
    response = browser.post(f"/accounts/{number}/disconnect", data={"csrf_token": site.token(browser)})
    assert response.status_code == 404
    assert site.count("OAuthIdentity") == 2


def test_reconnect_repairs_the_same_account_only(site: Any) -> None:
    """A dead connection could not be repaired, or would become a connection to somebody else."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    number = list_accounts(browser)[0]["id"]
    started = browser.get(f"/reconnect/{number}")
    assert started.status_code == 302
    refused = browser.get(site.consent(started.headers["Location"], "bob"))
    assert refused.status_code == 403
    assert site.count("OAuthIdentity") == 1
    done = browser.get(site.consent(browser.get(f"/reconnect/{number}").headers["Location"], "alice"))
    assert done.headers["Location"] == "/accounts"
    assert "connected again" in browser.get("/accounts").text
    site.connect(browser, "two", "bob")
    other_own = browser.get(site.consent(browser.get(f"/reconnect/{number}").headers["Location"], "bob"))
    assert other_own.status_code == 403
    by_name = browser.get("/reconnect/two?next=/me")
    assert browser.get(site.consent(by_name.headers["Location"])).headers["Location"] == "/me"


def test_reconnect_by_a_link_adds_nothing(site: Any) -> None:
    """A link could add a way into somebody's account."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    before = site.provider.count()
    page = browser.get("/reconnect/three")
    assert page.status_code == 200
    assert 'action="/connect/three"' in page.text
    assert site.provider.count() == before
    assert browser.get("/reconnect/nope").status_code == 404
    assert site.browser().get("/reconnect/two").headers["Location"] == "/login?next=/reconnect/two"


def test_reconnect_takes_scopes_only_from_ourselves(site: Any) -> None:
    """A link could make the visitor consent to more than the application asks for."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    assert browser.get("/reconnect/two?scope=admin").status_code == 400
    with site.app.app_context():
        user_id = site.db.session.query(site.user_model.id).scalar()
        sealed = site.app.extensions["flask_oauth_accounts"].keys.seal("extra", f"consent:{user_id}:two")
    url = browser.get("/reconnect/two", query_string={"scope": sealed}).headers["Location"]
    assert "extra" in url


def test_l14_a_provider_that_was_removed(site: Any) -> None:
    """An account of a provider that is gone could be neither seen nor removed."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    site.connect(browser, "three", "bob")
    site.oauth.unregister("three")
    page = browser.get("/accounts")
    assert page.status_code == 200
    assert "not offered here any more" in page.text
    number = next(item["id"] for item in list_accounts(browser) if item["provider"] == "three")
    browser.post(f"/accounts/{number}/disconnect", data={"csrf_token": site.token(browser)})
    assert site.count("OAuthIdentity") == 1
    assert browser.get("/profile/three").status_code == 404


def test_dead_access_is_said_in_words(site: Any) -> None:
    """Nobody would know why nothing works any more."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    site.provider.revoke_grants("alice")
    with site.app.app_context():
        site.db.session.query(site.accounts.models.OAuth2Token).update({"expires_at": 1})
        site.db.session.commit()
    page = browser.get("/profile/two")
    assert page.status_code == 403
    assert "/reconnect/" in page.text
    with site.app.app_context():
        site.db.session.query(site.accounts.models.OAuth2Token).update({"updated_at": time.time() - 3 * 86400})
        site.db.session.commit()
    assert "stopped accepting our access 3 days ago." in browser.get("/accounts").text
    assert list_accounts(browser)[0]["status"] == "reauth_required"


def test_a_profile_of_a_provider_that_is_not_connected(site: Any) -> None:
    """The page would be a server error."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    response = browser.get("/profile/one")
    assert response.status_code == 403
    assert "/accounts" in response.text


class TestApiOnly:
    """An account that is connected for its API, and is no way to log in."""

    @staticmethod
    def connect(site: Any, browser: Any, name: str, user: str) -> Any:
        token = site.token(browser)
        started = browser.post(f"/connect/{name}?use=api", data={"csrf_token": token})
        assert started.status_code == 303, started.text
        return browser.get(site.consent(started.headers["Location"], user))

    @pytest.mark.parametrize("name", ["one", "three"])
    def test_it_is_no_way_in(self, site: Any, name: str) -> None:
        """Whoever gets hold of an account that was connected for its API could sign in with it."""
        browser = site.browser()
        site.log_in(browser, "two", "alice")
        assert self.connect(site, browser, name, "bob").headers["Location"] == "/accounts"
        page = browser.get("/accounts").text
        assert "The account is connected. It is not a way to sign in." in page
        assert "not for signing in." in page
        assert browser.get(f"/profile/{name}").status_code == 200
        listed = {item["provider"]: item for item in list_accounts(browser)}
        assert listed[name]["can_log_in"] is False
        assert listed["two"]["can_disconnect"] is False
        assert listed[name]["can_disconnect"] is True
        other = site.browser()
        site.log_in(other, name, "bob")
        assert site.who(other) != "alice@example.com"

    def test_the_choice_is_bound_to_the_flow(self, site: Any) -> None:
        """A parameter in the callback's address could turn an API connection into a way in."""
        browser = site.browser()
        site.log_in(browser, "two", "alice")
        started = browser.post("/connect/three", data={"csrf_token": site.token(browser), "use": "api"})
        callback = site.consent(started.headers["Location"], "bob")
        browser.get(f"{callback}&use=login")
        assert {item["provider"]: item["can_log_in"] for item in list_accounts(browser)}["three"] is False

    def test_a_way_in_stays_one(self, site: Any) -> None:
        """Connecting the same account once more, for its API, would lock its user out."""
        browser = site.browser()
        site.log_in(browser, "two", "alice")
        self.connect(site, browser, "two", "alice")
        assert [item["can_log_in"] for item in list_accounts(browser)] == [True]

    def test_it_becomes_a_way_in_by_connecting_it_as_one(self, site: Any) -> None:
        """Somebody who changes their mind would have to disconnect first."""
        browser = site.browser()
        site.log_in(browser, "two", "alice")
        self.connect(site, browser, "three", "bob")
        site.connect(browser, "three", "bob")
        assert all(item["can_log_in"] for item in list_accounts(browser))

    def test_reconnect_does_not_make_it_a_way_in(self, site: Any) -> None:
        """A plain link could add a way into somebody's account."""
        browser = site.browser()
        site.log_in(browser, "two", "alice")
        self.connect(site, browser, "three", "bob")
        browser.get(site.consent(browser.get("/reconnect/three").headers["Location"], "bob"))
        assert {item["provider"]: item["can_log_in"] for item in list_accounts(browser)}["three"] is False

    def test_an_unknown_use_and_a_missing_token(self, site: Any) -> None:
        """A mistyped parameter would connect a way in that nobody asked for."""
        browser = site.browser()
        site.log_in(browser, "two", "alice")
        assert browser.post("/connect/three?use=api").status_code == 400
        form = {"csrf_token": site.token(browser)}
        assert browser.post("/connect/three?use=Api", data=form).status_code == 400

    def test_in_json(self, site: Any) -> None:
        """A front end of one's own could not offer the choice."""
        browser = site.browser()
        site.log_in(browser, "two", "alice")
        headers = {**JSON, "X-CSRF-Token": site.token(browser)}
        url = browser.post("/connect/three", headers=headers, json={"use": "api"}).json["url"]
        assert browser.get(site.consent(url, "bob"), headers=JSON).json["outcome"] == "connect"
        assert {item["provider"]: item["can_log_in"] for item in list_accounts(browser)}["three"] is False


def test_the_last_way_in_is_said_before_the_click(site: Any) -> None:
    """A button that can only fail is a trap."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    page = browser.get("/accounts").text
    assert "/disconnect" not in page
    assert "This is your only way to sign in." in page
    site.connect(browser, "three", "bob")
    page = browser.get("/accounts").text
    assert page.count("/disconnect") == 2
    assert "only way" not in page


def test_an_account_that_a_policy_keeps(site: Any) -> None:
    """The page would say that it is the only way in, when it is not."""
    site.app.extensions["flask_oauth_accounts"].accounts.service.policy.may_disconnect = (
        lambda user, record, others=None: record.identity.name != "three"
    )
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    site.connect(browser, "three", "bob")
    page = browser.get("/accounts").text
    assert page.count("/disconnect") == 1
    assert "This account cannot be disconnected here." in page


def test_a_user_without_any_name(site: Any) -> None:
    """The page would greet somebody as "None"."""
    browser = site.browser()
    site.log_in(browser, "two", "alice")
    with site.app.app_context():
        site.db.session.query(site.user_model).update({"email": None, "display_name": None})
        site.db.session.commit()
    for path in ("/accounts", "/login", "/login/two"):
        text = browser.get(path).text
        assert "You are signed in." in text
        assert "None" not in text
