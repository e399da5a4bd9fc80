"""Everything that goes wrong in a login: the right status, a page, nobody logged in, and the next login works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cachelib import SimpleCache

from flask_oauth_accounts.signals import login_failed, login_succeeded

PROTOCOLS = pytest.mark.parametrize("name", ["one", "two", "three"])
OAUTH2 = pytest.mark.parametrize("name", ["two", "three"])
TOKEN_PATH = {"one": "/oauth1/access_token", "two": "/token", "three": "/token"}


def change_query(url: str, **changes: str | None) -> str:
    """The same callback with parameters changed, or removed where ``None``."""
    parts = urlsplit(url)
    values = {**dict(parse_qsl(parts.query)), **changes}
    return parts.path + "?" + urlencode({key: value for key, value in values.items() if value is not None})


def assert_refused(site: Any, browser: Any, response: Any, status: int, code: str | None = None) -> None:
    """The page is right, nobody is logged in, no row was written, and an honest login works."""
    assert response.status_code == status, response.text
    assert "<h1>" in response.text
    if code is not None:
        assert code in response.text
    assert response.headers["Cache-Control"] == "no-store"
    assert site.who(browser) is None
    with browser.session_transaction() as session:
        assert "_user_id" not in session
    assert site.count("User") == site.count("OAuthIdentity") == 0
    site.provider.clear_faults()
    assert site.log_in(browser, "two").status_code == 302
    assert site.who(browser) is not None


def count_token_requests(site: Any) -> int:
    return sum(site.provider.count(path) for path in set(TOKEN_PATH.values()))


@PROTOCOLS
def test_l01_the_user_says_no(site: Any, name: str) -> None:
    """Somebody who changed their mind would see a server error."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name), allow=False)
    assert_refused(site, browser, browser.get(callback), 403, "Nothing was changed")


@OAUTH2
@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable", "login_required", "<script>x</script>"])
def test_l01_f01_the_provider_reports_an_error(site: Any, name: str, error: str) -> None:
    """An error of the provider would run as a script, or be taken for a login."""
    browser = site.browser()
    callback = change_query(site.consent(site.start(browser, name)), error=error, error_description="<b>bad</b>")
    response = browser.get(callback)
    assert "<script>" not in response.text
    assert "<b>" not in response.text
    assert_refused(site, browser, response, 502 if error in ("server_error", "temporarily_unavailable") else 403)


@pytest.mark.parametrize("error", ["login_required", "interaction_required", "consent_required"])
def test_a_provider_that_may_not_ask(site: Any, error: str) -> None:
    """Somebody whom ``prompt=none`` could not sign in would read that they had refused something."""
    browser = site.browser()
    callback = site.consent(site.start(browser, "three", prompt="none"))
    response = browser.get(change_query(callback, error=error, code=None))
    assert "You did not give permission" not in response.text
    assert "has to ask you something first" in response.text
    assert 'href="/login/three"' in response.text
    assert_refused(site, browser, response, 403, "authorization_denied")


def test_a_service_that_was_never_connected(site: Any) -> None:
    """Somebody would be told that a connection does not work which they never had."""
    browser = site.browser()
    site.log_in(browser)
    page = browser.get("/profile/three")
    assert page.status_code == 403
    assert "connect it again" not in page.text
    assert "Please connect it first." in page.text


def test_f02_without_a_state_nothing_from_outside_is_shown(site: Any) -> None:
    """An attacker could put words of their own on our page."""
    browser = site.browser()
    site.start(browser, "two")
    response = browser.get("/authorize/two?error=call_555&error_description=Call+555-1234&state=x")
    assert "555" not in response.text
    assert_refused(site, browser, response, 400, "mismatching_state")


@OAUTH2
@pytest.mark.parametrize("state", [None, "", "wrong", "x" * 5000, "\x00", "é"])
def test_a02_a03_no_state_or_a_wrong_one(site: Any, name: str, state: str | None) -> None:
    """An attacker could log a visitor into the attacker's account."""
    browser = site.browser()
    callback = change_query(site.consent(site.start(browser, name)), state=state)
    response = browser.get(callback)
    assert count_token_requests(site) == 0
    assert_refused(site, browser, response, 400)


@PROTOCOLS
def test_a01_a_callback_of_another_browser(site: Any, name: str) -> None:
    """An attacker could log a visitor into the attacker's account."""
    callback = site.consent(site.start(site.browser(), name))
    victim = site.browser()
    site.start(victim, name)
    response = victim.get(callback)
    assert count_token_requests(site) == 0
    assert_refused(site, victim, response, 400)


@PROTOCOLS
def test_a20_no_cookies(site: Any, name: str) -> None:
    """A visitor who blocks cookies would go round in circles."""
    browser = site.app.test_client(use_cookies=False)
    callback = site.consent(site.start(browser, name))
    response = browser.get(callback)
    assert response.status_code == 400
    assert "cookies" in response.text


@PROTOCOLS
def test_a04_l17_a_callback_works_once(site: Any, name: str) -> None:
    """A callback that is read somewhere later could be used again."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    assert browser.get(callback).status_code == 302
    before = count_token_requests(site)
    response = browser.get(callback)
    assert response.status_code == 400
    assert "/accounts" in response.text
    assert count_token_requests(site) == before
    assert site.who(browser) is not None
    assert site.count("User") == 1


def test_b01_a_state_of_another_provider(site: Any) -> None:
    """A hostile provider could get a code of an honest one exchanged."""
    browser = site.browser()
    callback = site.consent(site.start(browser, "two"))
    response = browser.get(callback.replace("/authorize/two", "/authorize/three"))
    assert count_token_requests(site) == 0
    assert_refused(site, browser, response, 400)


@pytest.mark.parametrize(("name", "parameter"), [("one", "oauth_verifier"), ("two", "code"), ("three", "code")])
@pytest.mark.parametrize("value", [None, ""])
def test_k05_no_code(site: Any, name: str, parameter: str, value: str | None) -> None:
    """A callback without its proof would be exchanged."""
    browser = site.browser()
    callback = change_query(site.consent(site.start(browser, name)), **{parameter: value})
    response = browser.get(callback)
    assert count_token_requests(site) == 0
    assert_refused(site, browser, response, 400)


def test_a13_a_parameter_twice(site: Any) -> None:
    """Two readers of one callback could see two different codes."""
    browser = site.browser()
    callback = site.consent(site.start(browser, "two"))
    assert_refused(site, browser, browser.get(callback + "&code=other"), 400)


@PROTOCOLS
@pytest.mark.parametrize("status", [400, 401, 500, 503])
def test_i09_the_token_endpoint_says_no(site: Any, name: str, status: int) -> None:
    """A provider's fault would be a server error of ours."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    site.provider.fail(TOKEN_PATH[name], status, {"error": "invalid_grant"})
    assert_refused(site, browser, browser.get(callback), 502)


@PROTOCOLS
def test_i02_the_token_endpoint_sends_a_page(site: Any, name: str) -> None:
    """A provider's maintenance page would be a server error of ours."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    site.provider.fail(TOKEN_PATH[name], 200, "<html>Back soon</html>")
    assert_refused(site, browser, browser.get(callback), 502)


@PROTOCOLS
def test_g15_the_token_endpoint_hangs(make_site: Callable[..., Any], name: str) -> None:
    """A provider that hangs would hold our worker for ever."""
    site = make_site(OAUTH_ACCOUNTS_HTTP_TIMEOUT=(1, 0.3))
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    site.provider.fail(TOKEN_PATH[name], hang=True)
    assert_refused(site, browser, browser.get(callback), 504)


@PROTOCOLS
def test_g20_the_connection_breaks(site: Any, name: str) -> None:
    """A broken connection would be a server error of ours."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    site.provider.fail(TOKEN_PATH[name], drop=True, times=None)
    assert_refused(site, browser, browser.get(callback), 502)


@PROTOCOLS
def test_the_provider_is_gone(site: Any, name: str) -> None:
    """A provider that is down would be a server error of ours."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    site.provider.stop()
    response = browser.get(callback)
    assert response.status_code == 502
    if name == "one":
        assert browser.get("/login/one").status_code == 502
    site.provider.start()
    assert_refused(site, browser, response, 502)


@PROTOCOLS
@pytest.mark.parametrize("raw", ["[]", "null", "<html>", "{}", '{"sub": null}'])
def test_i11_userinfo_makes_no_sense(site: Any, name: str, raw: str) -> None:
    """An account would be made of nothing."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    site.provider.next_userinfo(raw=raw, times=None)
    assert_refused(site, browser, browser.get(callback), 502)


def test_c29_no_id_token(site: Any) -> None:
    """A login that nobody has signed would be believed."""
    browser = site.browser()
    callback = site.consent(site.start(browser, "three"))
    site.provider.next_id_token(omit=True)
    assert_refused(site, browser, browser.get(callback), 502, "invalid_id_token")


@pytest.mark.parametrize("name", ["nope", "__class__", "register", "\x00", "a\r\nb", "x" * 5000, "<b>bold</b>", "🦊"])
@pytest.mark.parametrize("page", ["login", "authorize", "profile"])
def test_l12_f05_a_provider_that_is_not_there(site: Any, page: str, name: str) -> None:
    """A name from an address would reach something else than a provider, or run as a script."""
    browser = site.browser()
    if page == "profile":
        site.log_in(browser)
    response = browser.get(f"/{page}/{name}")
    assert response.status_code == 404
    assert "bold" not in response.text
    assert "nope" not in response.text


def test_l12_a_stranger_at_a_provider_that_is_not_there(site: Any) -> None:
    """A stranger would be asked to sign in for a page that there is not, and a front end would ask for a token."""
    browser = site.browser()
    for response in (
        browser.get("/profile/nope"),
        browser.get("/profile/nope", headers={"Accept": "application/json"}),
        browser.post("/connect/nope"),
    ):
        assert response.status_code == 404
    site.log_in(browser)
    assert browser.post("/connect/nope").status_code == 404


class BrokenCache(SimpleCache):
    """A cache whose server is down."""

    broken = False

    def get(self, key: str) -> Any:
        if self.broken:
            raise ConnectionError("secret-looking text")
        return super().get(key)

    def set(self, key: str, value: Any, timeout: Any = None) -> Any:
        if self.broken:
            raise ConnectionError("secret-looking text")
        return super().set(key, value, timeout)


@PROTOCOLS
def test_l06_the_cache_is_down(make_site: Callable[..., Any], name: str) -> None:
    """Without its cache a login would skip its checks, or end in a server error."""
    cache = BrokenCache()
    site = make_site(cache=cache)
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    cache.broken = True
    assert browser.get(f"/login/{name}").status_code == 503
    response = browser.get(callback)
    assert "secret-looking" not in response.text
    cache.broken = False
    assert_refused(site, browser, response, 503)


@PROTOCOLS
def test_l07_the_cache_was_emptied(make_site: Callable[..., Any], name: str) -> None:
    """A cache that forgets would let unchecked callbacks in."""
    cache = SimpleCache()
    site = make_site(cache=cache)
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    cache.clear()
    assert_refused(site, browser, browser.get(callback), 400)


@PROTOCOLS
def test_l05_the_database_is_down(site: Any, name: str) -> None:
    """Without its database a login would end in a server error, or log in somebody who is stored nowhere."""
    browser = site.browser()
    callback = site.consent(site.start(browser, name))
    with site.app.app_context():
        site.db.drop_all()
    response = browser.get(callback)
    with site.app.app_context():
        site.db.create_all()
    assert_refused(site, browser, response, 503)


def test_l05_the_database_is_down_for_somebody_who_is_logged_in(site: Any) -> None:
    """The error page itself would need the database."""
    browser = site.browser()
    site.log_in(browser)
    with site.app.app_context():
        site.db.drop_all()
    for path in ("/accounts", "/profile/two", "/login", "/login/two"):
        response = browser.get(path)
        assert response.status_code == 503, path
        assert "<h1>" in response.text


@pytest.mark.parametrize("signal", [login_succeeded])
def test_l23_a_receiver_that_raises_leaves_nobody_logged_in(site: Any, signal: Any) -> None:
    """A check that the operator hung onto the signal would be passed over."""

    def refuse(sender: Any, **_: Any) -> None:
        raise RuntimeError("secret-looking text")

    browser = site.browser()
    with signal.connected_to(refuse, site.app):
        response = site.log_in(browser)
    assert response.status_code == 503
    assert "secret-looking" not in response.text
    assert site.who(browser) is None
    assert site.log_in(browser).status_code == 302


def test_login_failed_tells_what_happened(site: Any) -> None:
    """The operator could not count failed logins."""
    heard: list[tuple[str, str]] = []

    def hear(sender: Any, *, name: str, error: Any, **_: Any) -> None:
        heard.append((name, error.code))

    browser = site.browser()
    with login_failed.connected_to(hear, site.app):
        browser.get(site.consent(site.start(browser, "two"), allow=False))
        browser.get("/login/nope")
    assert heard == [("two", "authorization_denied")]


def test_a_failure_of_a_user_is_recorded_and_one_of_a_stranger_is_not(site: Any) -> None:
    """The operator could not see why a user's connection failed, or strangers could fill the database."""
    browser = site.browser()
    site.log_in(browser)
    before = site.rows()
    stranger = site.browser()
    stranger.get(site.consent(site.start(stranger, "two"), allow=False))
    browser.get("/authorize/two?state=forged")
    assert site.rows() == before
    started = browser.post("/connect/three", data={"csrf_token": site.token(browser)})
    browser.get(site.consent(started.headers["Location"], allow=False))
    with site.app.app_context():
        event = site.db.session.query(site.accounts.models.OAuthEvent).order_by("id").all()[-1]
        assert (event.outcome, event.name, event.error) == ("failed", "three", "authorization_denied")
        assert str(event.user_id) == "1"


def test_retry_after_is_handed_on(site: Any) -> None:
    """A front end would not know when to try again."""
    browser = site.browser()
    callback = site.consent(site.start(browser, "two"))
    site.provider.fail("/oauth2/token", 503, headers={"Retry-After": "7"})
    assert browser.get(callback).headers["Retry-After"] == "7"


def test_d14_a_plain_redirect_uri_is_named_in_the_log(
    make_site: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Codes would travel in the clear, and nobody would know."""
    site = make_site(OAUTH_ACCOUNTS_ALLOW_HTTP="127.0.0.1")
    site.app.testing = False
    for host, warned in (("localhost", False), ("www.example.com", True)):
        caplog.clear()
        assert site.browser().get("/login/two", headers={"Host": host}).status_code == 302
        assert ("OAUTH_ACCOUNTS_EXTERNAL_URL" in caplog.text) is warned


def test_f06_one_failure_is_one_line(site: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An attacker could write lines of their own into the log."""
    browser = site.browser()
    callback = site.consent(site.start(browser, "two"))
    with caplog.at_level("INFO", logger="flask_oauth_accounts"):
        browser.get(change_query(callback, error="a\nINFO forged", error_description="b\r\nforged\x1b[31m"))
    lines = [record.getMessage() for record in caplog.records if "authorize failed" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert "provider=two code=authorization_denied status=403" in lines[0]
