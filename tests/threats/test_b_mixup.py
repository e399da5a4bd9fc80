"""Mix-up of providers, injected codes, PKCE: each login ends where it began, with what it began with."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from typing import Any

import pytest

from flask_oauth_accounts.errors import ConfigurationError

OAUTH2 = pytest.mark.parametrize("name", ["two", "three"])


@pytest.mark.parametrize(("started", "finished"), [("two", "three"), ("three", "two"), ("two", "one"), ("one", "two")])
def test_b01_a_state_of_another_provider(site: Any, browser: Any, started: str, finished: str) -> None:
    """The code of one provider would be sent to the other."""
    callback = site.callback(browser, started)
    guard = site.guard(browser)
    guard.refused(browser.get(callback.replace(f"/authorize/{started}", f"/authorize/{finished}")), honest=finished)


@pytest.mark.parametrize("name", ["evil2", "evil3"])
def test_b02_an_evil_provider_forwards_to_the_honest_one(make_site: Any, provider: Any, evil: Any, name: str) -> None:
    """The evil provider would get the honest one's code and redeem it."""
    site = make_site(evil=evil)
    browser = site.browser()
    started = site.query_of(site.start(browser, name))
    honest = {"evil2": "two", "evil3": "three"}[name]
    forwarded = site.change(
        site.start(site.browser(), honest),
        state=started["state"],
        nonce=started.get("nonce"),
        code_challenge=started["code_challenge"],
    )
    callback = site.consent(forwarded)
    assert callback.startswith(f"/authorize/{honest}?")
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest=honest)
    assert not evil.count("/oauth2/token")
    assert provider.client_secret not in evil.issued_secrets()


def test_b02_even_where_the_honest_provider_takes_any_redirect_uri(make_site: Any, provider: Any, evil: Any) -> None:
    """A provider that checks redirect URIs badly would be enough for a mix-up."""
    site = make_site(evil=evil)
    browser = site.browser()
    started = site.start(browser, "evil3")
    forwarded = site.change(started.replace(evil.url, provider.url), client_id=provider.client_id)
    callback = site.path_of(str(provider.authorize(forwarded)))
    assert callback.startswith("/authorize/evil3?")
    code = site.query_of(callback)["code"]
    guard = site.guard(browser)
    guard.refused(browser.get(callback), code="issuer_mismatch", honest="three")
    assert code not in evil.issued_secrets()


@pytest.mark.parametrize("issuer", ["https://evil.example", "", "{issuer}/", "HTTP://127.0.0.1", None])
def test_b03_iss_of_another_server(site: Any, browser: Any, issuer: str | None) -> None:
    """The answer of another server would be taken for the provider's."""
    callback = site.callback(browser, "three")
    issuer = issuer and issuer.format(issuer=site.provider.issuer)
    guard = site.guard(browser)
    guard.refused(browser.get(site.change(callback, iss=issuer)), honest="three")


@pytest.mark.parametrize(("issuer", "accepted"), [("{issuer}", True), ("https://evil.example", False), (None, True)])
def test_b05_iss_without_an_announcement(site: Any, browser: Any, issuer: str | None, accepted: bool) -> None:
    """A provider that sends iss and does not say so would be believed blindly, or not at all."""
    site.provider.settings.iss_in_callback = False
    issuer = issuer and issuer.format(issuer=site.provider.issuer)
    response = browser.get(site.change(site.callback(browser, "three"), iss=issuer))
    assert (response.status_code, site.who(browser) is not None) == ((302, True) if accepted else (400, False))


def test_b07_evil_metadata_names_the_honest_authorization_endpoint(make_site: Any, provider: Any, evil: Any) -> None:
    """The evil provider would get the honest one's code at its own token endpoint."""
    evil.add_client(provider.client_id, any_loopback_redirect=True)
    evil.next_metadata(authorization_endpoint=f"{provider.url}/oauth2/authorize", times=None)
    site = make_site(evil=evil, EVIL3_CLIENT_ID=provider.client_id)
    browser = site.browser()
    location = site.start(browser, "evil3")
    assert location.startswith(provider.url)
    callback = site.path_of(str(provider.authorize(location)))
    guard = site.guard(browser)
    guard.refused(browser.get(callback), honest="three")
    assert provider.client_secret not in evil.issued_secrets()
    assert site.query_of(callback)["code"] not in evil.issued_secrets()


def test_b08_every_provider_has_a_redirect_uri_of_its_own(site: Any, browser: Any) -> None:
    """Answers of two providers could not be told apart."""
    uris = [site.query_of(site.start(browser, name))["redirect_uri"] for name in ("two", "three")]
    assert uris == ["http://localhost/authorize/two", "http://localhost/authorize/three"]


@OAUTH2
def test_b10_pkce_is_s256_and_new_each_time(site: Any, browser: Any, name: str) -> None:
    """A stolen code could be redeemed by whoever stole it."""
    queries = [site.query_of(site.start(browser, name)) for _ in range(5)]
    assert {query["code_challenge_method"] for query in queries} == {"S256"}
    assert len({query["code_challenge"] for query in queries}) == 5
    callback = site.callback(browser, name)
    site.assert_on_site(browser.get(callback))
    carriers = [record for record in site.provider.log if "code_verifier" in (*record.query_keys, *record.form_keys)]
    assert [record.path for record in carriers] == ["/oauth2/token"]


@OAUTH2
def test_b10_the_verifier_is_as_the_rfc_wants_it(site: Any, browser: Any, name: str) -> None:
    """A short verifier could be guessed."""
    location = site.start(browser, name)
    browser.get(site.consent(location))
    challenge = site.query_of(location)["code_challenge"]
    found = [secret for secret in site.provider.issued_secrets() if _challenge(secret) == challenge]
    assert len(found) == 1
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", found[0])


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


@pytest.mark.parametrize("methods", [["plain"], [], None])
def test_b11_metadata_talks_nobody_out_of_s256(site: Any, browser: Any, methods: list[str] | None) -> None:
    """An attacker between us and the provider would switch PKCE off."""
    site.provider.next_metadata(code_challenge_methods_supported=methods, times=None)
    assert site.query_of(site.start(browser, "three"))["code_challenge_method"] == "S256"


def test_b11_plain_is_refused(make_site: Any) -> None:
    """A typing error in the configuration would switch PKCE off."""
    with pytest.raises(ConfigurationError, match="S256"):
        make_site(TWO_CODE_CHALLENGE_METHOD="plain").start(make_site().browser(), "two")


@OAUTH2
def test_b11_a_refused_verifier_is_not_left_out_the_next_time(site: Any, browser: Any, name: str) -> None:
    """A provider's error would be enough to get rid of PKCE."""
    callback = site.callback(browser, name)
    site.provider.fail("/oauth2/token", 400, {"error": "invalid_grant", "error_description": "PKCE"})
    guard = site.guard(browser)
    guard.refused(browser.get(callback), 400, 502, exchanged=1, honest=name)


@pytest.mark.parametrize(
    ("name", "stripped"),
    [("two", "state"), ("two", "code_challenge"), ("three", "state"), ("three", "nonce"), ("three", "code_challenge")],
)
def test_b12_an_attacker_strips_the_checks_from_the_address(site: Any, browser: Any, name: str, stripped: str) -> None:
    """A check that the attacker can take out of an address is none."""
    location = site.start(browser, name)
    removed = {stripped: None, **({"code_challenge_method": None} if stripped == "code_challenge" else {})}
    callback = site.consent(site.change(location, **removed))
    guard = site.guard(browser)
    response = browser.get(callback)
    if stripped == "code_challenge":
        assert "code_verifier" in site.provider.requests("/oauth2/token")[-1].form_keys
        return
    guard.refused(response, 400, 502, exchanged=None, honest=name)


@pytest.mark.parametrize("name", ["one", "two", "three"])
def test_b13_users_at_the_same_moment_get_their_own_identity(site: Any, name: str) -> None:
    """Somebody would be logged in as somebody else."""
    people = {"alice": "dev-1001", "bob": "dev-1002", "carol": "dev-1003"}
    browsers = {user: site.browser() for user in people}
    barrier = threading.Barrier(len(people))

    def log_in(user: str) -> None:
        barrier.wait()
        for _ in range(2):
            browser = site.browser()
            browser.get(site.callback(browser, name, user))
            browsers[user] = browser

    threads = [threading.Thread(target=log_in, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for user, subject in people.items():
        assert [item["account"]["subject"] for item in site.accounts(browsers[user])] == [subject]
        assert browsers[user].get(f"/api/{name}").json["subject"] == subject


@OAUTH2
def test_b14_the_redirect_uri_is_the_one_of_the_start(site: Any, browser: Any, name: str) -> None:
    """Behind a proxy with two names every login would end at an error of the provider."""
    callback = site.callback(browser, name)
    browser.set_cookie("session", browser.get_cookie("session").value, domain="other.example")
    assert browser.get(callback, base_url="http://other.example").status_code == 302


def test_b16_a_nonce_is_of_one_login(site: Any, browser: Any) -> None:
    """An ID token of another login would be taken for this one's."""
    nonces = {site.query_of(site.start(browser, "three"))["nonce"] for _ in range(5)}
    assert len(nonces) == 5
    assert all(len(nonce) >= 22 for nonce in nonces)
