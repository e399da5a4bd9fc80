"""Logging out at the provider, and by it: OpenID Connect RP-Initiated Logout 1.0 and Back-Channel Logout 1.0."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cachelib import FileSystemCache
from flask_caching import Cache
from flask_login import login_user, logout_user

EVENT = "http://schemas.openid.net/event/backchannel-logout"


def leave(site: Any, browser: Any) -> str:
    """Press "Sign out"; returns the provider's address."""
    return str(browser.post("/logout", data={"csrf_token": site.token(browser)}).headers["Location"])


class TestOwnLogout:
    """An application that logs out by Flask-Login alone, and in again by a password."""

    @pytest.fixture
    def site(self, make_site: Callable[..., Any]) -> Any:
        """A site with a sign-in and a sign-out of its own, where alice has gone out by them."""
        site = make_site(OAUTH_ACCOUNTS_PROVIDER_LOGOUT=True)

        @site.app.get("/own/<email>")
        def own(email: str) -> str:
            login_user(site.db.session.query(site.user_model).filter_by(email=email).one())
            return ""

        @site.app.get("/leave")
        def go() -> str:
            logout_user()
            return ""

        site.log_in(site.browser(), "two", "bob")
        return site

    @pytest.mark.parametrize(("user", "leaves"), [("bob", True), ("bob", False), ("alice", True)])
    def test_how_the_last_session_began_does_not_count(self, site: Any, user: str, leaves: bool) -> None:
        """A provider's logout of one user would end the session of the next, or their sign-out lead to it."""
        browser = site.browser()
        site.log_in(browser, "three", "alice")
        if leaves:
            browser.get("/leave")
            assert site.who(browser) is None
        browser.get(f"/own/{user}@example.com")
        token = site.provider.create_logout_token("alice")
        assert site.browser().post("/backchannel-logout/three", data={"logout_token": token}).status_code == 200
        assert site.who(browser) == f"{user}@example.com"
        assert leave(site, browser) == "/login?out=1"

    def test_a_session_that_is_prolonged_keeps_its_mark(self, site: Any) -> None:
        """Whoever is remembered by the application would stay when the company has shut them out."""
        browser = site.browser()
        site.log_in(browser, "three", "alice")
        browser.get("/own/alice@example.com")
        token = site.provider.create_logout_token("alice")
        site.browser().post("/backchannel-logout/three", data={"logout_token": token})
        assert site.who(browser) is None

    def test_the_mark_is_that_of_its_user(self, site: Any) -> None:
        """Whoever comes by a remember cookie would be taken for the user before."""
        browser = site.browser()
        site.log_in(browser, "three", "alice")
        with browser.session_transaction() as session:
            session["_user_id"] = "1"
        assert site.who(browser) == "bob@example.com"
        assert leave(site, browser) == "/login?out=1"


class TestRpInitiated:
    """``OAUTH_ACCOUNTS_PROVIDER_LOGOUT``."""

    @pytest.fixture(params=["cache", "session"])
    def site(self, request: pytest.FixtureRequest, make_site: Callable[..., Any]) -> Any:
        """A site that logs out at the provider too, with pending flows in a cache or in the session."""
        cache = {} if request.param == "cache" else {"cache": None}
        return make_site(OAUTH_ACCOUNTS_PROVIDER_LOGOUT=True, **cache)

    def test_what_is_sent(self, site: Any) -> None:
        """The provider would ask the visitor what to do, or not come back."""
        browser = site.browser()
        site.log_in(browser, "three")
        query = parse_qs(urlsplit(leave(site, browser)).query)
        assert set(query) == {"client_id", "id_token_hint", "post_logout_redirect_uri", "state"}
        assert query["post_logout_redirect_uri"] == ["http://localhost/logged-out/three"]

    def test_the_state_is_checked_on_return(self, site: Any) -> None:
        """Another site could show our visitors that they have signed out when they have not."""
        browser = site.browser()
        states = []
        for _ in range(3):
            site.log_in(browser, "three")
            states.append(parse_qs(urlsplit(leave(site, browser)).query)["state"][0])
        assert browser.get("/logged-out/three").status_code == 400
        assert browser.get("/logged-out/three?state=forged").status_code == 400
        assert site.browser().get(f"/logged-out/three?state={states[0]}").status_code == 400
        assert browser.get(f"/logged-out/two?state={states[1]}").status_code == 404
        assert browser.get(f"/logged-out/one?state={states[1]}").status_code == 404
        assert browser.head(f"/logged-out/three?state={states[2]}").status_code == 200, "a preview uses nothing up"
        assert browser.get(f"/logged-out/three?state={states[2]}").headers["Location"] == "/login?out=1"
        assert browser.get(f"/logged-out/three?state={states[2]}").status_code == 400

    def test_the_state_of_a_logout_finishes_no_login(self, site: Any) -> None:
        """One answer of the provider could be used for another purpose."""
        browser = site.browser()
        site.log_in(browser, "three")
        state = parse_qs(urlsplit(leave(site, browser)).query)["state"][0]
        assert browser.get(f"/authorize/three?code=x&state={state}").status_code == 400
        started = site.start(browser, "three")
        login_state = parse_qs(urlsplit(started).query)["state"][0]
        assert browser.get(f"/logged-out/three?state={login_state}").status_code == 400

    def test_in_json(self, site: Any) -> None:
        """A front end could not send the browser on to the provider."""
        browser = site.browser()
        site.log_in(browser, "three")
        headers = {"Accept": "application/json", "X-CSRF-Token": site.token(browser)}
        answer = browser.post("/logout", headers=headers).json
        assert answer["outcome"] == "logged_out"
        assert answer["next"].startswith(site.provider.url)

    def test_the_provider_is_down(self, site: Any) -> None:
        """Somebody could not even sign out here."""
        browser = site.browser()
        site.log_in(browser, "three")
        site.provider.stop()
        assert browser.post("/logout", data={"csrf_token": site.token(browser)}).status_code == 303
        assert site.who(browser) is None


def post(site: Any, token: str, name: str = "three") -> Any:
    """What the provider's machine does."""
    return site.app.test_client(use_cookies=False).post(f"/backchannel-logout/{name}", data={"logout_token": token})


class TestBackChannel:
    """What a provider posts from behind; the names are those of the conformance suite's cases."""

    @pytest.mark.parametrize(
        "options",
        [
            {"alg": "none"},
            {"alg": "HS256", "key": "a secret that is long enough for HS256, at least"},
            {"iss": "https://evil.example"},
            {"aud": "somebody-else"},
            {"events": {"http://schemas.openid.net/event/other": {}}},
            {"events": {}},
            {"remove": ["events"]},
            {"nonce": "n"},
            {"remove": ["sub"]},
            {"remove": ["iat"]},
            {"remove": ["jti"]},
            {"exp": 1},
        ],
        ids=[
            "wrong-alg-none",
            "wrong-alg",
            "wrong-issuer",
            "wrong-aud",
            "wrong-event",
            "empty-events",
            "no-event",
            "with-nonce",
            "no-sub-and-no-sid",
            "no-iat",
            "no-jti",
            "expired",
        ],
    )
    def test_refused(self, site: Any, options: dict[str, Any]) -> None:
        """Anybody could end anybody's session."""
        browser = site.browser()
        site.log_in(browser, "three", "alice")
        token = site.provider.create_logout_token("alice", **options)
        answer = post(site, token)
        assert answer.status_code == 400
        assert answer.headers["Cache-Control"] == "no-store"
        assert site.who(browser) == "alice@example.com"

    def test_who_logs_in_again_at_once_is_logged_in(self, site: Any) -> None:
        """A user who comes back right after the provider's logout would be signed out again with the first click."""
        browser = site.browser()
        for _ in range(3):
            site.log_in(browser, "three", "alice")
            assert site.who(browser) == "alice@example.com"
            assert post(site, site.provider.create_logout_token("alice")).status_code == 200
            assert site.who(browser) is None

    def test_an_id_token_is_no_logout_token(self, site: Any) -> None:
        """Whoever has seen an ID token could end its user's sessions."""
        browser = site.browser()
        site.log_in(browser, "three", "alice")
        with site.app.app_context():
            row = site.db.session.query(site.accounts.models.OAuth2Token).one()
            id_token = row.id_token
        assert post(site, id_token).status_code == 400
        assert site.who(browser) == "alice@example.com"

    def test_of_one_session(self, site: Any) -> None:
        """Signing out on one machine would sign out everywhere, or nowhere."""
        here, there = site.browser(), site.browser()
        site.log_in(here, "three", "alice")
        site.log_in(there, "three", "alice")
        with here.session_transaction() as session:
            sid = session["_oauth_accounts_login"].get("sid")
        assert sid
        assert post(site, site.provider.create_logout_token("alice", sid=sid)).status_code == 200
        assert site.who(here) is None
        assert site.who(there) == "alice@example.com"

    def test_who_comes_back_stays(self, site: Any) -> None:
        """Nobody could sign in again after a logout at the provider."""
        browser = site.browser()
        site.log_in(browser, "three", "alice")
        token = site.provider.create_logout_token("alice", iat=int(time.time()) - 120)
        assert post(site, token).status_code in (200, 400)
        again = site.browser()
        site.log_in(again, "three", "alice")
        assert site.who(again) == "alice@example.com"

    def test_an_older_logout_that_comes_later_revives_nothing(self, site: Any) -> None:
        """A session that the provider has ended would go on when it repeats a logout from before."""
        browser = site.browser()
        older = site.provider.create_logout_token("alice", iat=int(time.time()) - 120)
        site.log_in(browser, "three", "alice")
        for token in (site.provider.create_logout_token("alice"), older):
            assert post(site, token).status_code == 200
        assert site.who(browser) is None

    def test_it_needs_a_cache(self, make_site: Callable[..., Any]) -> None:
        """The provider would believe that the session is over."""
        site = make_site(cache=None)
        site.log_in(site.browser(), "three", "alice")
        assert post(site, site.provider.create_logout_token("alice")).status_code == 503

    @pytest.mark.parametrize("kind", ["files", "redis"])
    def test_by_another_worker(
        self, make_site: Callable[..., Any], kind: str, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        """With several workers, the session would go on wherever the provider did not happen to knock."""
        if kind == "redis":
            url = request.getfixturevalue("redis_url")
            settings = {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": url}
            caches = [make_cache(settings), make_cache(settings)]
        else:
            caches = [FileSystemCache(str(tmp_path / "cache")), FileSystemCache(str(tmp_path / "cache"))]
        first, second = make_site(cache=caches[0]), make_site(cache=caches[1])
        browser = first.browser()
        first.log_in(browser, "three", "alice")
        assert first.who(browser) == "alice@example.com"
        assert post(second, second.provider.create_logout_token("alice")).status_code == 200
        assert first.who(browser) is None


def make_cache(settings: dict[str, Any]) -> Any:
    """A Flask-Caching backend as a worker of its own has it."""
    from flask import Flask

    app = Flask("worker")
    cache = Cache(app, config=settings)
    return cache.cache if hasattr(cache, "cache") else app.extensions["cache"][cache]
