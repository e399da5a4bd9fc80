"""The browser's session: begun afresh, ended from behind, and the ways a callback can reach it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from cachelib import SimpleCache
from flask import Flask
from flask.sessions import SecureCookieSession, SessionInterface
from flask_login import UserMixin, login_user
from flask_wtf.csrf import CSRFProtect


class ServerSession(SecureCookieSession):
    """A session that lives on the server under an id."""

    sid = ""


class ServerSessions(SessionInterface):
    """Sessions on the server, with the ``regenerate`` that Flask-Session has; an unknown id is taken over from the
    browser, as it does."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}

    def open_session(self, app: Flask, request: Any) -> ServerSession:
        sid = request.cookies.get("session") or secrets.token_hex(8)
        session = ServerSession(self.kept.get(sid))
        session.sid = sid
        return session

    def regenerate(self, session: Any) -> None:
        if session:
            self.kept.pop(session.sid, None)
            session.sid = secrets.token_hex(8)

    def save_session(self, app: Flask, session: Any, response: Any) -> None:
        self.kept[session.sid] = dict(session)
        response.set_cookie("session", session.sid)


def test_a11_a_session_on_the_server_gets_another_id(site: Any) -> None:
    """An attacker who has planted a session id would be logged in with the victim."""
    site.app.session_interface = sessions = ServerSessions()
    browser = site.browser()
    browser.set_cookie("session", "planted")
    site.log_in(browser)
    cookie = browser.get_cookie("session")
    assert cookie is not None
    assert cookie.value != "planted"
    assert "_user_id" in sessions.kept[cookie.value]
    assert "_user_id" not in sessions.kept.get("planted", {})


def test_e23_an_inactive_user_is_refused(site: Any) -> None:
    """Somebody who was shut out would come back in."""
    browser = site.browser()
    site.log_in(browser)
    with site.app.app_context():
        site.db.session.query(site.user_model).update({"active": False})
        site.db.session.commit()
    stranger = site.browser()
    response = site.log_in(stranger)
    assert response.status_code == 403
    assert "not active" in response.text
    with stranger.session_transaction() as session:
        assert "_user_id" not in session


def test_a21_the_remembered_user_is_forgotten_at_a_switch(site: Any) -> None:
    """The first user would come back as soon as the second one's session ends."""

    @site.app.get("/remember")
    def remember() -> str:
        login_user(site.db.session.query(site.user_model).first(), remember=True)
        return ""

    site.log_in(site.browser(), "two", "alice")
    browser = site.browser()
    browser.get("/remember")
    assert browser.get_cookie("remember_token") is not None
    started = browser.post("/login/two", data={"csrf_token": site.token(browser)})
    browser.get(site.consent(started.headers["Location"], "bob"))
    assert site.who(browser) == "bob@example.com"
    assert browser.get_cookie("remember_token") is None


def make_form_post(site: Any) -> None:
    kwargs = site.provider.register_kwargs("oidc")
    kwargs["client_kwargs"] = {**kwargs.get("client_kwargs", {}), "response_mode": "form_post"}
    site.oauth.register("posting", **kwargs)


class TestFormPost:
    """A callback that comes by a cross-site POST, without our cookies."""

    @pytest.fixture(params=["cache", "session"])
    def site(self, request: pytest.FixtureRequest, make_site: Callable[..., Any]) -> Any:
        """A site with a client that asks for ``form_post``."""
        site = make_site() if request.param == "cache" else make_site(cache=None)
        make_form_post(site)
        return site

    def test_it_finishes(self, site: Any) -> None:
        """Nobody could sign in with Apple."""
        browser = site.browser()
        callback = site.provider.authorize(site.start(browser, "posting"))
        assert callback.form
        cross_site = site.app.test_client(use_cookies=False)
        response = cross_site.post("/authorize/posting", data=callback.form)
        assert response.status_code == 303
        assert "Set-Cookie" not in response.headers
        assert callback.form["code"] not in response.headers["Location"]
        done = browser.get(response.headers["Location"])
        assert done.headers["Location"] == "/profile/posting"
        assert site.who(browser) == "alice@example.com"
        assert browser.get(response.headers["Location"]).status_code == 400

    def test_another_browser_cannot_use_it(self, site: Any) -> None:
        """An attacker's callback would log the victim in."""
        callback = site.provider.authorize(site.start(site.browser(), "posting"))
        victim = site.browser()
        response = victim.post("/authorize/posting", data=callback.form)
        assert victim.get(response.headers["Location"]).status_code == 400
        assert site.who(victim) is None

    def test_what_is_no_part_of_an_answer_is_not_kept(self, site: Any, make_site: Callable[..., Any]) -> None:
        """Anybody could fill the cache, from which the logins of everybody would then be lost."""
        kept: dict[str, str] = {}

        class Room(SimpleCache):
            def set(self, key: str, value: Any, timeout: Any = None) -> bool | None:
                kept[key] = value
                return super().set(key, value, timeout)

        room = make_site(cache=Room())
        make_form_post(room)
        filling = {f"k{number}": "y" * 16_000 for number in range(20)}
        answer = {"state": "s" * 200, "code": "c" * 2000, "user": "ü" * 1000}
        for place in (site, room):
            response = place.browser().post("/authorize/posting", data={**answer, **filling})
            assert response.status_code == 303
            assert len(response.headers["Location"]) < 16_000
            for large in ({**answer, "user": "u" * 16_000}, {**answer, "error_description": "e" * 16_384}):
                refused = place.browser().post("/authorize/posting", data=large)
                assert refused.status_code == 400
                assert "<h1>" in refused.text
        assert [len(value) < 16_000 for value in kept.values()] == [True]

    def test_only_where_it_is_asked_for(self, site: Any) -> None:
        """Anybody could fill the store by posting to callbacks."""
        browser = site.browser()
        assert browser.post("/authorize/two", data={"state": "x", "code": "y"}).status_code == 405
        assert browser.post("/authorize/one", data={"oauth_token": "x"}).status_code == 405
        assert browser.post("/authorize/posting", data={"code": "y"}).status_code == 400
        assert browser.get("/authorize/posting?handle=unknown").status_code == 400


class TestFlaskWtf:
    """An application with Flask-WTF's protection, over https, set up before or after the blueprint."""

    @pytest.fixture
    def site(self, make_site: Callable[..., Any]) -> Any:
        """A site that has ``CSRFProtect``."""
        site = make_site(PREFERRED_URL_SCHEME="https")
        make_form_post(site)
        CSRFProtect(site.app)
        return site

    def test_forms_and_callbacks_work(self, site: Any) -> None:
        """Every button of our pages would end in an error, and so would every login with Apple."""
        browser = site.browser()
        callback = site.provider.authorize(site.start(browser, "posting"))
        response = browser.post("/authorize/posting", data=callback.form)
        assert browser.get(response.headers["Location"]).status_code == 302
        # Flask-WTF wants to see the Referer over https, so the page has to let the browser send it.
        assert browser.get("/accounts").headers["Referrer-Policy"] == "same-origin"
        form = {"csrf_token": site.token(browser)}
        assert browser.post("/logout", data=form).status_code == 400
        assert browser.post("/logout", headers={"Referer": "https://localhost/accounts"}).status_code == 400
        done = browser.post("/logout", data=form, headers={"Referer": "https://localhost/accounts"})
        assert done.status_code == 303
        assert site.who(browser) is None

    def test_its_refusal_is_our_page(self, site: Any) -> None:
        """A visitor whose page was open for long would see a bare error."""
        browser = site.browser()
        site.log_in(browser)
        response = browser.post("/connect/two")
        assert response.status_code == 400
        assert "open for too long" in response.text
        answer = browser.post("/connect/two", headers={"Accept": "application/json"})
        assert answer.json["code"] == "csrf"


class TestProviderLogout:
    """Logging out at an OpenID provider, and when it says so."""

    def test_rp_initiated(self, make_site: Callable[..., Any]) -> None:
        """The next visitor of the machine would be logged in by the provider at once."""
        site = make_site(OAUTH_ACCOUNTS_PROVIDER_LOGOUT=True)
        browser = site.browser()
        site.log_in(browser, "three")
        response = browser.post("/logout", data={"csrf_token": site.token(browser)})
        location = response.headers["Location"]
        assert location.startswith(site.provider.url)
        assert "id_token_hint=" in location
        assert site.who(browser) is None
        back = str(site.provider.confirm_logout(location)).removeprefix("http://localhost")
        assert browser.get(back).headers["Location"] == "/login?out=1"
        assert browser.get(back).status_code == 400

    def test_rp_initiated_only_where_there_is_a_way(self, make_site: Callable[..., Any]) -> None:
        """A provider without a logout, or one that is down, would keep the visitor logged in here."""
        site = make_site(OAUTH_ACCOUNTS_PROVIDER_LOGOUT=True)
        browser = site.browser()
        site.log_in(browser, "two")
        response = browser.post("/logout", data={"csrf_token": site.token(browser)})
        assert response.headers["Location"] == "/login?out=1"

    def test_back_channel_by_subject(self, site: Any) -> None:
        """Somebody whom the company has shut out would stay logged in here."""
        alice, alice_too, bob = site.browser(), site.browser(), site.browser()
        site.log_in(alice, "three", "alice")
        site.log_in(alice_too, "three", "alice")
        site.log_in(bob, "three", "bob")
        token = site.provider.create_logout_token("alice")
        response = site.browser().post("/backchannel-logout/three", data={"logout_token": token})
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert site.who(alice) is None
        assert site.who(alice_too) is None
        assert site.who(bob) == "bob@example.com"
        with alice.session_transaction() as session:
            assert "_user_id" not in session

    @pytest.mark.parametrize("token", ["", "x", "a.b.c"])
    def test_back_channel_with_a_bad_token(self, site: Any, token: str) -> None:
        """Anybody could log everybody out."""
        browser = site.browser()
        site.log_in(browser, "three")
        answer = site.browser().post("/backchannel-logout/three", data={"logout_token": token})
        assert answer.status_code == 400
        for name in ("one", "two"):
            assert site.browser().post(f"/backchannel-logout/{name}", data={"logout_token": token}).status_code == 404
        assert site.who(browser) is not None


class Plain:
    """Users who know nothing of Flask-Login."""


class OnlyId:
    """Users who can be told apart by Flask-Login, and no more."""

    def get_id(self) -> str:
        return str(self.id)  # type: ignore[attr-defined]


class TestUsersOfAnotherKind:
    """A class of users that Flask-Login cannot log in."""

    @pytest.mark.parametrize("base", [Plain, OnlyId])
    def test_a_wrapper_of_the_row_is_logged_in(self, make_site: Callable[..., Any], base: type) -> None:
        """An application that wraps its users for Flask-Login could not use our pages."""
        site = make_site(bases=(base,))

        class Wrapped(UserMixin):
            def __init__(self, row: Any) -> None:
                self.id, self.display_name = row.id, row.display_name

        site.app.login_manager.user_loader(lambda key: Wrapped(site.db.session.get(site.user_model, int(key))))
        for kind in ("signup", "login"):
            browser = site.browser()
            assert site.log_in(browser).status_code == 302, kind
            assert browser.get("/me").json["name"] == "Alice Ardent"
        assert browser.get("/accounts").status_code == 200
        assert site.rows()["User"] == 1

    def test_without_one_the_log_says_what_to_write(
        self, make_site: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """An operator would read that something went wrong, not what, and users would be stored who cannot log in."""
        site = make_site(bases=(OnlyId,))
        browser = site.browser()
        callback = site.consent(site.start(browser, "two"))
        with site.app.app_context():
            site.db.session.add(site.user_model())
            site.db.session.commit()
        before = site.rows()
        for path in (callback, "/login"):
            assert browser.get(path).status_code == 503
        assert caplog.text.count("let User inherit from flask_login.UserMixin") == 2
        assert site.rows() == before

    def test_the_first_user_is_not_logged_in_either(
        self, make_site: Callable[..., Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The very first login, before there is a user to look at, would end in an error that says nothing."""
        site = make_site(bases=(Plain,))
        browser = site.browser()
        assert site.log_in(browser).status_code == 503
        assert "let User inherit from flask_login.UserMixin" in caplog.text
        with browser.session_transaction() as session:
            assert "_user_id" not in session
