"""What must go on working: being strict with the honest is a failure too."""

from __future__ import annotations

import base64
import json
import time
from functools import partial
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry
from markupsafe import escape
from werkzeug.urls import iri_to_uri

from flask_oauth_accounts.testing import DevUser
from flask_oauth_accounts.testing.keys import find_key

ALL = pytest.mark.parametrize("name", ["one", "two", "three"])


def present(site: Any, browser: Any, **token: Any) -> int:
    """The status of a login with this ID token."""
    callback = site.callback(browser, "three")
    site.provider.next_id_token(**token)
    return int(browser.get(callback).status_code)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "PS256"])
def test_m01_algorithms(make_site: Any, alg: str) -> None:
    """Providers with other keys than the most common ones would be shut out."""
    kwargs = {} if alg == "RS256" else {"THREE_ID_TOKEN_SIGNING_ALGS": [alg]}
    site = make_site(**kwargs)
    browser = site.browser()
    if alg == "PS256":
        key = find_key("provider", "RS256", 0)
        public = {**key.as_dict(private=False), "alg": "PS256"}
        site.provider.next_jwks({"keys": [public]}, times=None)
        site.provider.next_metadata(id_token_signing_alg_values_supported=["PS256"], times=None)
        assert (
            present(site, browser, alg="PS256", key=RSAKey.import_key({**key.as_dict(private=True), "alg": "PS256"}))
            == 302
        )
        return
    site.provider.settings.signing_alg = alg
    assert site.log_in(browser, "three").status_code == 302


@ALL
def test_m02_more_parameters_in_the_callback(site: Any, browser: Any, name: str) -> None:
    """Providers that add parameters of their own would be shut out."""
    extra = (
        "&session_state=x&authuser=0&prompt=none&hd=example.com&scope=openid&x=1&x=2&%F0%9F%98%80=1&token_type=Bearer"
    )
    assert browser.get(site.callback(browser, name) + extra).status_code == 302


@pytest.mark.parametrize(
    "header",
    [
        {"x5t": "AAAA", "x5c": ["A" * 3000]},
        {"typ": "JWT", "x": "y" * 1500},
        {"typ": None},
        {"typ": "jwt"},
        {"cty": "x", "ver": "1"},
    ],
)
def test_m03_more_header_parameters(site: Any, browser: Any, header: dict[str, Any]) -> None:
    """Providers that add parameters of their own would be shut out."""
    assert present(site, browser, transform=partial(sign_again, header)) == 302


def sign_again(changes: dict[str, Any], token: str) -> str:
    """The same token with another header, signed by the provider."""
    header, payload, _ = token.split(".")
    values = {**json.loads(base64.urlsafe_b64decode(header + "==")), **changes}
    text = json.dumps({key: value for key, value in values.items() if value is not None}).encode()
    signed = f"{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{payload}"
    registry = JWSRegistry(algorithms=["RS256"], strict_check_header=False)
    signature = registry.get_alg("RS256").sign(signed.encode(), find_key("provider", "RS256", 0))
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["dev-client"]},
        {"iat": time.time() + 60},
        {"exp": time.time() - 30},
        {"aud": ["dev-client"], "azp": "dev-client"},
        {"iat": int(time.time()) + 0.5},
        {"at_hash": None, "remove": ["at_hash"]},
        {"aud": ["dev-client", "dev-client"]},
    ],
)
def test_m04_claims_at_the_edge(site: Any, browser: Any, claims: dict[str, Any]) -> None:
    """Honest providers whose clock is a little off would be shut out."""
    shift = {key: value for key, value in claims.items() if key not in ("iat", "exp")}
    now = time.time()
    if "iat" in claims:
        shift["iat"] = int(now) + 50
    if "exp" in claims:
        shift["exp"] = int(now) - 20
    assert present(site, browser, **shift) == 302


@pytest.mark.parametrize("trusted", ["the-project", ["other", "the-project"], "*"])
def test_m04_a_further_audience_that_is_trusted(make_site: Any, trusted: Any) -> None:
    """A provider that names its project beside the client, as ZITADEL does, would shut everybody out."""
    site = make_site(THREE_TRUSTED_AUDIENCES=trusted)
    browser = site.browser()
    assert present(site, browser, aud=["dev-client", "the-project"], azp="dev-client") == 302


def test_m05_userinfo_is_asked_by_header(site: Any, browser: Any) -> None:
    """A token in an address would stand in the provider's logs."""
    site.log_in(browser, "three")
    assert browser.get("/profile/three").status_code == 200
    record = site.provider.requests("/oauth2/userinfo")[-1]
    assert (record.method, record.status, record.query_keys, record.form_keys) == ("GET", 200, (), ())


def test_m07_the_new_token_is_used(site: Any, browser: Any) -> None:
    """After a renewal the old token would be sent on."""
    site.log_in(browser, "three")
    site.provider.expire_access_tokens()
    site.execute("UPDATE oauth2_token SET expires_at = 1")
    assert "Alice" in browser.get("/profile/three").text
    assert site.provider.requests("/oauth2/userinfo")[-1].status == 200


def test_m08_keys_under_another_address(make_site: Any) -> None:
    """Providers that move their keys would need a change of configuration."""
    for path in ("/jwks.json?run=1", "/x/../jwks.json"):
        site = make_site()
        site.provider.next_metadata(jwks_uri=site.provider.url + path, times=None)
        assert site.log_in(site.browser(), "three").status_code == 302


@pytest.mark.parametrize(
    "text", ["Zoë Łukasz", "山田 太郎", "👩‍👩‍👧 مرحبا", "O'Neil & <Sons>", "x" * 400, "a\u202eb\u0000c"]
)
def test_m10_every_script(site: Any, browser: Any, text: str) -> None:
    """Somebody's own name would be a server error, or shown as question marks."""
    name = ("one", "two", "three")[len(text) % 3]
    site.provider.add_user(DevUser("u-1", "unicode", name=text, claims={"preferred_username": text, "login": text}))
    assert site.log_in(browser, name, "unicode").status_code == 302
    for path in ("/accounts", f"/profile/{name}"):
        page = browser.get(path)
        assert page.status_code == 200
    if len(text) < 100 and text.isprintable():
        assert str(escape(text)) in page.text
    denied = site.change(site.callback(site.browser(), name), error="x", error_description=text)
    assert site.browser().get(denied).status_code == 400


@pytest.mark.parametrize(
    "target",
    ["/a/b?c=d&e=f#g", "/ü?q=é#ö", "/q?to=https://other.example/x", "http://localhost/x?y=1#z", "/", "/loginx"],
)
def test_m11_next_is_kept(site: Any, browser: Any, target: str) -> None:
    """Everybody would end at the same page, wherever they wanted to go."""
    name = ("one", "two", "three")[len(target) % 3]
    location = browser.get(site.callback(browser, name, next=target)).headers["Location"]
    assert location == iri_to_uri(target.removeprefix("http://localhost"))
