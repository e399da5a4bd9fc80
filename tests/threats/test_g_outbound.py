"""What goes out: credentials only to the provider, never to where somebody else points, and never for ever."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import request

from flask_oauth_accounts.errors import OAuthError
from flask_oauth_accounts.testing import DevUser

ALL = pytest.mark.parametrize("name", ["one", "two", "three"])
TOKEN = {"one": "/oauth1/access_token", "two": "/oauth2/token", "three": "/oauth2/token"}


@ALL
def test_g02_addresses_that_leave_the_provider(make_site: Any, evil: Any, name: str) -> None:
    """A path from a form would carry the user's token to the attacker."""
    site = make_site()
    browser = site.browser()
    site.log_in(browser, name)
    host = evil.url.removeprefix("http://")
    for url in (
        f"//{host}/x",
        f"///{host}/x",
        f"/\\\\{host}/x",
        f"\\\\\\\\{host}/x",
        f"{evil.url}/x",
        f"HTTP://{host}/x",
        f" {evil.url}/x",
        f"/\t/{host}/x",
        f"http:{host}",
        f"http:///{host}/x",
        f"{site.provider.url}@{host}/x",
        f"{site.provider.url}.evil.example/x",
        f"http://user:pw@{host}/x",
        "file:///etc/passwd",
        "ftp://x/y",
        "javascript:x",
        "http://[",
        "x\r\nHost: evil",
        "\x00",
    ):
        answer = browser.get(f"/fetch/{name}", query_string={"url": url})
        assert answer.status_code == 200
        assert "error" in answer.json or answer.json["status"] == 404, url
    assert not [record for record in evil.log if record.client_auth or record.user]
    assert not evil.issued_secrets() & site.provider.issued_secrets()
    assert not [record for record in evil.log if record.path == "/x"]


@ALL
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_g03_an_api_that_redirects_elsewhere(make_site: Any, evil: Any, name: str, status: int) -> None:
    """A redirect of the API would carry the user's token to the attacker."""
    site = make_site()
    browser = site.browser()
    site.log_in(browser, name)
    site.provider.fail("/echo", status, headers={"Location": f"{evil.url}/steal"})
    answer = browser.get(f"/fetch/{name}", query_string={"url": "echo"}).json
    assert answer.get("status") == status or "error" in answer
    assert not evil.issued_secrets() & site.provider.issued_secrets()
    assert not [record for record in evil.log if record.client_auth]


@pytest.mark.parametrize(
    "path",
    [
        "/openid-configuration",
        "/jwks.json",
        "/oauth2/token",
        "/oauth2/userinfo",
        "/oauth1/request_token",
        "/oauth1/access_token",
        "/api/me",
    ],
)
@pytest.mark.parametrize("status", [302, 307])
def test_g07_g19_protocol_endpoints_that_redirect(make_site: Any, evil: Any, path: str, status: int) -> None:
    """A redirect would carry the code and the client secret elsewhere, or lead into our own network."""
    site = make_site()
    name = "one" if "oauth1" in path else "two" if "/api" in path else "three"
    browser = site.browser()
    site.provider.fail(path, status, headers={"Location": f"{evil.url}/internal"}, times=None)
    started = browser.get(f"/login/{name}")
    if started.status_code == 302:
        finished = browser.get(site.consent(started.headers["Location"]))
        site.assert_page(finished, 302, 502) if finished.status_code == 502 else browser.get(f"/profile/{name}")
    assert not len(evil.log)
    assert site.provider.count(path) <= 2


@pytest.mark.parametrize("endpoint", ["token_endpoint", "jwks_uri", "authorization_endpoint", "userinfo_endpoint"])
@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/x", "https://[::1]/x", "file:///etc/passwd", 5, "https://u:p@x.example/"]
)
def test_g08_g11_metadata_that_points_into_our_network(make_site: Any, endpoint: str, address: Any) -> None:
    """A hostile document would let us ask our own servers, or speak in the clear."""
    site = make_site(THREE_CLIENT_KWARGS={"default_timeout": 1}, OAUTH_ACCOUNTS_HTTP_TIMEOUT=0.5)
    site.provider.next_metadata(**{endpoint: address}, times=None)
    browser = site.browser()
    response = browser.get("/login/three")
    if response.status_code == 302 and response.headers["Location"].startswith(site.provider.url):
        response = browser.get(site.consent(response.headers["Location"]))
        if endpoint == "userinfo_endpoint":
            assert response.status_code in (302, 502, 503, 504)
            return
        site.assert_page(response, 502, 503, 504)
    elif response.status_code == 302:
        assert endpoint == "authorization_endpoint"
        assert response.headers["Location"].startswith("https://")
    else:
        site.assert_page(response, 502, 503)
    assert site.who(browser) is None


def test_g09_pictures_are_never_fetched(make_site: Any, evil: Any) -> None:
    """A picture's address would let us ask servers of our own network."""
    site = make_site(OAUTH_ACCOUNTS_SHOW_AVATARS=True)
    for user, picture in (("p1", f"{evil.url}/p.png"), ("p2", "http://169.254.169.254/latest")):
        site.provider.add_user(DevUser(user, user, claims={"picture": picture, "profile": picture}))
        for name in ("one", "two", "three"):
            browser = site.browser()
            site.log_in(browser, name, user)
            browser.get("/accounts")
            browser.get(f"/profile/{name}")
    assert not len(evil.log)


@ALL
def test_g13_netrc_and_proxies_of_the_environment(
    site: Any, browser: Any, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file in the home directory would replace our credentials, or a variable would lead the traffic elsewhere."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password secret\ndefault login mallory password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    assert site.log_in(browser, name).status_code == 302
    assert browser.get(f"/api/{name}").json["subject"] == "dev-1001"


@ALL
def test_g14_cookies_of_the_provider_are_nobodys(site: Any, name: str) -> None:
    """The provider's session of one user would serve the next one."""
    seen: list[str | None] = []
    site.provider.app.before_request(lambda: seen.append(request.headers.get("Cookie")))
    site.provider.fail("/echo", 200, {"subject": "x"}, headers={"Set-Cookie": "sid=alice; Path=/"})
    browser, other = site.browser(), site.browser()
    site.log_in(browser, name)
    browser.get(f"/api/{name}")
    site.log_in(other, name, "bob")
    other.get(f"/api/{name}")
    browser.get(f"/api/{name}")
    assert "sid=alice" not in str(seen)


@ALL
def test_g15_g16_a_provider_that_hangs(make_site: Any, name: str) -> None:
    """One slow provider would hold a visitor, and a worker, for ever."""
    site = make_site(OAUTH_ACCOUNTS_HTTP_TIMEOUT=0.3, OAUTH_ACCOUNTS_HTTP_TOTAL_TIMEOUT=0.6)
    browser = site.browser()
    callback = site.callback(browser, name)
    site.provider.fail(TOKEN[name], hang=True, times=None)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 504, exchanged=None, honest=None)
    site.provider.clear_faults()


@ALL
@pytest.mark.parametrize(
    "headers", [{"Content-Encoding": "gzip"}, {"Content-Encoding": "gzip, gzip"}, {}, {"Content-Encoding": "br"}]
)
def test_g18_bombs(site: Any, browser: Any, name: str, headers: dict[str, str]) -> None:
    """A small answer would fill the memory."""
    body: bytes = b"[" * 8_000_000
    if headers:
        body = gzip.compress(body)
    callback = site.callback(browser, name)
    site.provider.fail(TOKEN[name], 200, body, content_type="application/json", headers=headers)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 502, exchanged=1, honest=name)


@ALL
def test_g20_a_broken_transfer(site: Any, browser: Any, name: str) -> None:
    """A connection that breaks would be a server error, or half a login."""
    callback = site.callback(browser, name)
    site.provider.fail(TOKEN[name], drop=True)
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 502, exchanged=1, honest=name)
    other = site.browser()
    callback = site.callback(other, name)
    site.provider.fail(
        TOKEN[name], 200, b'{"access_token": "x', headers={"Content-Length": "5000"}, content_type="application/json"
    )
    guard = site.guard(other)
    guard.refused(other.get(callback), 502, 504, exchanged=1, honest=None)


def test_g21_a_hanging_provider_blocks_no_other(make_site: Any, evil: Any) -> None:
    """One provider in trouble would take the whole site down."""
    site = make_site(evil=evil, OAUTH_ACCOUNTS_HTTP_TIMEOUT=20)
    hanging = [
        evil.fail("/openid-configuration", hang=True, times=None),
        evil.fail("/oauth2/token", hang=True, times=None),
    ]
    callbacks = [site.browser() for _ in range(4)]
    started = [(browser, site.callback(browser, "evil2", "carol")) for browser in callbacks]
    threads = [threading.Thread(target=browser.get, args=(callback,)) for browser, callback in started]
    threads += [threading.Thread(target=site.browser().get, args=("/login/evil3",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert all(fault.entered.wait(10) for fault in hanging)
    for name in ("one", "two", "three"):
        browser = site.browser()
        assert site.log_in(browser, name, "bob").status_code == 302
        assert browser.get(f"/profile/{name}").status_code == 200
    assert all(thread.is_alive() for thread in threads)
    evil.clear_faults()
    for thread in threads:
        thread.join(30)


def test_g11_a_client_without_tls_is_refused_in_production(make_site: Any) -> None:
    """A provider's address without TLS would pass unseen."""
    with pytest.raises(OAuthError, match="http"):
        site = make_site(TESTING=False)
        site.start(site.browser(), "two")
