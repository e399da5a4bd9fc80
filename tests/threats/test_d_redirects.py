"""Redirects and hosts: a browser that came to us stays with us, whatever an address or a header says."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

HOSTILE = {
    "d01": [
        "//evil.example",
        "///evil.example",
        "////evil.example/x",
        "/\t/evil.example",
        " //evil.example",
        "/.//evil.example",
        "/..//evil.example",
        "/%2e//evil.example",
        "/x/../..//evil.example",
        "\x00//evil.example",
        "/%2F/evil.example/..//",
    ],
    "d02": [
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/%5Cevil.example",
        "https:\\\\evil.example",
        "/x\\..\\..\\\\evil.example",
    ],
    "d03": [
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "https:evil.example",
        "http:///evil.example",
        "HTTPS://evil.example",
        "vbscript:x",
        "file:///etc/passwd",
        "blob:http://localhost/x",
        "JaVaScRiPt:alert(1)",
    ],
    "d04": [
        "http://localhost@evil.example/",
        "http://evil.example#localhost",
        "http://localhost.evil.example",
        "http://evil.example/localhost",
        "http://localhost:80@evil.example/",
        "http://user@localhost/",
        "http://[::1",
        "http://localhost:99999999/",
        "http://evil.example?localhost",
    ],
    "d05": [
        "http://localhost\u3002evil.example",
        "/\u2028/evil.example",
        "\u200b//evil.example",
        "\uff0f\uff0fevil.example",
        "\u3000//evil.example",
    ],
    "d07": ["/x\r\nSet-Cookie: a=b", "/x\n", "\n//evil.example", "/%0d%0aSet-Cookie:a=b", "/x\r"],
    "d08": ["https://localhost/x", "http://localhost:8443/x", "http://127.0.0.1/x", "http://sub.localhost/x"],
    "d10": [
        "/login",
        "/login/two",
        "/authorize/two?code=x",
        "/logout",
        "/connect/two",
        "/%6cogin/two",
        "/x/../login",
        "//login",
        "/backchannel-logout/three",
        "/login?next=/login",
        "http://localhost/login/two",
    ],
    "long": ["/" + "x" * 5000, "x", "?a=b", ".", ""],
}


def stays_here(address: str) -> bool:
    """Whether a browser on our page resolves an address to our origin."""
    cleaned = re.sub(r"[\t\r\n]", "", address).strip("".join(map(chr, range(33)))).replace("\\", "/")
    parts = urlsplit(urljoin("http://localhost/login", cleaned))
    return (parts.scheme, parts.netloc) == ("http", "localhost")


def addresses(response: Any) -> list[str]:
    """Every address that an HTML page or a JSON answer holds."""
    if response.is_json:
        return [
            str(value)
            for value in _values(response.json)
            if isinstance(value, str) and re.match(r"^\W*(/|\\|\w+:)", value)
        ]
    return re.findall(r"""(?:href|action|src|content)="([^"]*)""", response.text.replace("&amp;", "&"))


def _values(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [item for inner in value.values() for item in _values(inner)]
    if isinstance(value, list):
        return [item for inner in value for item in _values(inner)]
    return [value]


@pytest.mark.parametrize("row", list(HOSTILE))
def test_d01_d02_d03_d04_d05_d07_d08_d10_after_a_login(site: Any, row: str) -> None:
    """A visitor would trust an attacker's page, because our login led there."""
    browser = site.browser()
    for name, target in zip(("two", "three", "one"), HOSTILE[row], strict=False):
        response = browser.get(site.callback(browser, name, next=target))
        location = site.assert_on_site(response)
        assert "\r" not in location
        assert location == f"/profile/{name}", target
        assert response.headers.get_all("Set-Cookie").__len__() <= 2
        browser = site.browser()


@pytest.mark.parametrize("row", list(HOSTILE))
def test_d02_d09_in_pages_and_in_json(site: Any, browser: Any, row: str) -> None:
    """A hostile address would stand in a link, a form or a JSON answer instead of a redirect."""
    site.log_in(browser, "two")
    stranger = site.browser()
    for target in HOSTILE[row]:
        for who, path in ((stranger, "/login"), (browser, "/login/three")):
            for accept in ("text/html", "application/json"):
                response = who.get(path, query_string={"next": target}, headers={"Accept": accept})
                assert response.status_code in (200, 303)
                assert "evil.example" not in response.text
                assert all(stays_here(address) for address in addresses(response)), target


@pytest.mark.parametrize("target", [HOSTILE[row][0] for row in ("d01", "d02", "d03", "d07")])
def test_d09_at_every_other_page(site: Any, browser: Any, target: str) -> None:
    """The way out, or the way of an error, would lead to the attacker."""
    site.log_in(browser, "two")
    csrf = {"csrf_token": site.csrf(browser), "next": target}
    started = browser.post("/connect/three", data=csrf, query_string={"next": target})
    assert started.headers["Location"].startswith(site.provider.url)
    denied = browser.get(site.consent(started.headers["Location"], allow=False) + "&next=//evil.example")
    assert denied.status_code == 403
    assert all(stays_here(address) for address in addresses(denied))
    started = browser.post("/connect/three", data=csrf)
    assert site.assert_on_site(browser.get(site.consent(started.headers["Location"], "carol"))) == "/accounts"
    number = next(item["id"] for item in site.accounts(browser) if item["provider"] == "three")
    started = browser.get(f"/reconnect/{number}", query_string={"next": target})
    assert site.assert_on_site(browser.get(site.consent(started.headers["Location"], "carol"))) == "/accounts"
    disconnected = browser.post(f"/accounts/{number}/disconnect", data=csrf, query_string={"next": target})
    assert site.assert_on_site(disconnected) == "/accounts"
    assert site.assert_on_site(browser.post("/logout", data=csrf, query_string={"next": target})).startswith("/login")


def test_d09_referer_and_cookies_choose_no_target(site: Any, browser: Any) -> None:
    """What another site sends along would say where a login ends."""
    headers = {"Referer": "https://evil.example/", "Origin": "https://evil.example"}
    for name in ("next", "oauth_next", "return_to"):
        browser.set_cookie(name, "https://evil.example/")
    with browser.session_transaction() as session:
        session["next"] = session["_oauth_accounts_next"] = "//evil.example"
    location = browser.get("/login/two", headers=headers).headers["Location"]
    assert site.assert_on_site(browser.get(site.consent(location), headers=headers)) == "/profile/two"
    stranger = site.browser().get("/accounts?next=//evil.example", headers=headers)
    assert stays_here(stranger.headers["Location"])


@pytest.mark.parametrize(
    "body",
    ['{"next": "//evil.example"}', '{"next": ["/x"]}', '{"next": 5}', "[", "[]", "null", '{"next": null}', '"x"'],
)
def test_d09_in_a_json_body(site: Any, browser: Any, body: str) -> None:
    """The JSON variant of a page would be checked less."""
    site.log_in(browser, "two")
    headers = {"X-CSRF-Token": site.csrf(browser), **site.JSON}
    response = browser.post("/logout", data=body, content_type="application/json", headers=headers)
    assert response.status_code == 200
    assert stays_here(response.json["next"])
    assert site.who(browser) is None


ODD_HOSTS: list[Any] = [
    "evil.example",
    "localhost:1@evil.example",
    "evil.example/x",
    "a b",
    "x" * 300,
    "",
    "[",
    "localhost\\evil",
    "evil.example#",
    "é",
]


def test_d11_the_configured_address_counts_and_not_the_host_header(make_site: Any) -> None:
    """A forged Host header would send codes to the attacker."""
    site = make_site(OAUTH_ACCOUNTS_EXTERNAL_URL="https://www.example.com")
    plain, default = make_site(TRUSTED_HOSTS=["localhost"]), make_site()
    for host in ODD_HOSTS:
        for name in ("two", "three"):
            response = site.browser().get(f"/login/{name}", headers={"Host": host})
            if response.status_code == 302:
                query = site.query_of(response.headers["Location"])
                assert query["redirect_uri"] == f"https://www.example.com/authorize/{name}"
            else:
                assert response.status_code in (400, 404)
        assert plain.browser().get("/login/two", headers={"Host": host}).status_code == 400
        assert default.browser().get("/login/two", headers={"Host": host}).status_code in (302, 400, 404)


def test_d12_forwarded_headers_are_ignored(site: Any, browser: Any) -> None:
    """Without a proxy in front, every visitor could choose the redirect URI."""
    headers = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Port": "444",
        "Forwarded": "host=evil.example;proto=https",
        "X-Original-URL": "/evil",
        "X-Script-Name": "/evil",
        "X-Host": "evil.example",
        "X-HTTP-Method-Override": "POST",
    }
    for name in ("one", "two", "three"):
        location = browser.get(f"/login/{name}", headers=headers).headers["Location"]
        assert "evil" not in location
        if name != "one":
            assert site.query_of(location)["redirect_uri"] == f"http://localhost/authorize/{name}"
        assert "evil" not in browser.get(site.consent(location), headers=headers).headers["Location"]
        browser = site.browser()
    page = browser.get("/login", headers=headers)
    assert "evil" not in page.text


def test_d14_a_redirect_uri_without_tls(make_site: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Codes would travel in the clear, and nobody would know."""
    site = make_site(OAUTH_ACCOUNTS_EXTERNAL_URL="https://www.example.com", SESSION_COOKIE_SECURE=True)
    location = site.start(site.browser(), "two")
    assert site.query_of(location)["redirect_uri"].startswith("https://")
    relaxed = {"TESTING": False, "OAUTH_ACCOUNTS_ALLOW_HTTP": ["127.0.0.1"], "SESSION_COOKIE_SECURE": True}
    plain = make_site(**relaxed)
    caplog.clear()
    plain.browser().get("/login/two", base_url="http://www.example.com")
    assert "OAUTH_ACCOUNTS_EXTERNAL_URL" in caplog.text


def test_d15_a_login_that_a_third_party_starts(site: Any, browser: Any) -> None:
    """Another site would choose the provider and the place where the login ends."""
    query = {"iss": "https://evil.example", "target_link_uri": "https://evil.example/", "login_hint": "alice"}
    location = site.start(browser, "three", **query)
    assert location.startswith(site.provider.url)
    assert "evil" not in location
    assert site.assert_on_site(browser.get(site.consent(location))) == "/profile/three"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_d10_odd_methods_start_and_finish_nothing(site: Any, browser: Any, method: str) -> None:
    """A method that nobody thought of would be taken for another."""
    callback = site.callback(browser, "two")
    guard = site.guard(browser)
    for path in (
        callback,
        "/login/two",
        "/logout",
        "/connect/two",
        "/accounts/1/disconnect",
        "/resolve",
        "/backchannel-logout/three",
    ):
        response = browser.open(path, method=method)
        assert response.status_code in (200, 302, 303, 405), (path, response.status_code)
    guard.unchanged()
    site.assert_on_site(browser.get(callback))
    assert json.loads(site.app.json.dumps(site.who(browser))) is not None
