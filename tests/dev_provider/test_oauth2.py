"""OAuth 2 at the development provider, asked by Authlib's client, which nobody here wrote."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import ClientSecretJWT, PrivateKeyJWT

from flask_oauth_accounts.testing import DevProvider

VERIFIER = "v" * 50
CALLBACK = "http://localhost:9876/deep/callback?keep=1"


def open_session(provider: DevProvider, **options: Any) -> OAuth2Session:
    """A client of the provider's first registration."""
    return OAuth2Session(
        options.pop("client_id", provider.client_id),
        options.pop("client_secret", provider.client_secret),
        scope=options.pop("scope", "profile email"),
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        **options,
    )


def log_in(provider: DevProvider, session: OAuth2Session, user: str = "alice", **params: Any) -> dict[str, Any]:
    """A whole login with PKCE."""
    url, state = session.create_authorization_url(f"{provider.url}/oauth2/authorize", code_verifier=VERIFIER, **params)
    callback = provider.authorize(url, user)
    token: dict[str, Any] = session.fetch_token(
        f"{provider.url}/oauth2/token", authorization_response=callback, state=state, code_verifier=VERIFIER
    )
    return token


def refresh(provider: DevProvider, value: str) -> requests.Response:
    """One refresh request with HTTP Basic."""
    return requests.post(
        f"{provider.url}/oauth2/token",
        data={"grant_type": "refresh_token", "refresh_token": value},
        auth=(provider.client_id, provider.client_secret),
        timeout=10,
    )


def call_api(provider: DevProvider, access_token: str) -> int:
    """The status of an API call with this token."""
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(f"{provider.url}/api/me", headers=headers, timeout=10).status_code


def test_login_with_pkce(oauth_provider: DevProvider) -> None:
    """A login that works here would fail at a real provider, or the other way round."""
    session = open_session(oauth_provider)
    token = log_in(oauth_provider, session, "bob")
    assert token["token_type"] == "Bearer"
    assert token["expires_in"] == 3600
    assert token["scope"] == "profile email"
    profile = session.get(f"{oauth_provider.url}/api/me").json()
    assert profile["login"] == "bob"
    assert profile["email_verified"] is False
    assert session.get(f"{oauth_provider.url}/api/echo").json()["subject"] == profile["id"] == "dev-1002"


def test_callback_keeps_the_query_and_names_the_issuer(oauth_provider: DevProvider) -> None:
    """An application could not test its mix-up defence (RFC 9207)."""
    session = open_session(oauth_provider)
    url, state = session.create_authorization_url(f"{oauth_provider.url}/oauth2/authorize", code_verifier=VERIFIER)
    params = parse_qs(urlsplit(oauth_provider.authorize(url)).query)
    assert params["keep"] == ["1"]
    assert params["state"] == [state]
    assert params["iss"] == [oauth_provider.issuer]


def test_denial_comes_back_with_state(oauth_provider: DevProvider) -> None:
    """An application could not test what a visitor sees who says no."""
    session = open_session(oauth_provider)
    url, state = session.create_authorization_url(f"{oauth_provider.url}/oauth2/authorize", code_verifier=VERIFIER)
    params = parse_qs(urlsplit(oauth_provider.authorize(url, allow=False)).query)
    assert params["error"] == ["access_denied"]
    assert params["state"] == [state]
    assert "code" not in params


def test_wrong_verifier_is_refused(oauth_provider: DevProvider) -> None:
    """A client that breaks PKCE would pass its tests."""
    session = open_session(oauth_provider)
    url, _ = session.create_authorization_url(f"{oauth_provider.url}/oauth2/authorize", code_verifier=VERIFIER)
    callback = oauth_provider.authorize(url)
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.fetch_token(
            f"{oauth_provider.url}/oauth2/token", authorization_response=callback, code_verifier="w" * 50
        )


@pytest.mark.parametrize("method", ["plain", None])
def test_plain_challenge_is_refused(oauth_provider: DevProvider, method: str | None) -> None:
    """A client that sends its verifier in the open would pass its tests."""
    url = f"{oauth_provider.url}/oauth2/authorize?response_type=code&client_id=dev-client&code_challenge=abc"
    url += "&redirect_uri=http://localhost/cb" + (f"&code_challenge_method={method}" if method else "")
    answer = requests.get(url, allow_redirects=False, timeout=10)
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["error"] == ["invalid_request"]


def test_required_pkce() -> None:
    """A client could not be tested against a provider that insists on PKCE."""
    with DevProvider(require_pkce=True) as provider:
        url = (
            f"{provider.url}/oauth2/authorize?response_type=code&client_id=dev-client&redirect_uri=http://localhost/cb"
        )
        answer = requests.get(url, allow_redirects=False, timeout=10)
        assert "error=invalid_request" in answer.headers["Location"]
        provider.settings.require_pkce = False
        assert requests.get(url, allow_redirects=False, timeout=10).status_code == 200


def test_second_use_of_a_code_kills_its_tokens(oauth_provider: DevProvider) -> None:
    """A client that sends a code twice would not notice (RFC 6749 section 4.1.2)."""
    session = open_session(oauth_provider)
    url, _ = session.create_authorization_url(f"{oauth_provider.url}/oauth2/authorize", code_verifier=VERIFIER)
    callback = oauth_provider.authorize(url)
    exchange = {"authorization_response": callback, "code_verifier": VERIFIER}
    token = session.fetch_token(f"{oauth_provider.url}/oauth2/token", **exchange)
    assert call_api(oauth_provider, token["access_token"]) == 200
    with pytest.raises(OAuthError, match="invalid_grant"):
        session.fetch_token(f"{oauth_provider.url}/oauth2/token", **exchange)
    assert call_api(oauth_provider, token["access_token"]) == 401
    assert refresh(oauth_provider, token["refresh_token"]).json() == {"error": "invalid_grant"}


def test_refresh_rotates_and_reuse_revokes_the_family(oauth_provider: DevProvider) -> None:
    """A client that refreshes twice with one token would keep its grant here and lose it in production."""
    first = log_in(oauth_provider, open_session(oauth_provider))
    second = refresh(oauth_provider, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert refresh(oauth_provider, first["refresh_token"]).json() == {"error": "invalid_grant"}
    assert call_api(oauth_provider, second["access_token"]) == 401
    assert refresh(oauth_provider, second["refresh_token"]).json() == {"error": "invalid_grant"}
    assert oauth_provider.count("/token", grant_type="refresh_token") == 3


def test_refresh_without_reuse_detection() -> None:
    """A provider that only refuses the old token could not be played."""
    with DevProvider(reuse_detection=False) as provider:
        first = log_in(provider, open_session(provider))
        second = refresh(provider, first["refresh_token"]).json()
        assert refresh(provider, first["refresh_token"]).status_code == 400
        assert refresh(provider, second["refresh_token"]).status_code == 200


def test_grace_gives_the_same_successor() -> None:
    """A provider with a grace window could not be played."""
    with DevProvider(rotation_grace=3600) as provider:
        first = log_in(provider, open_session(provider))
        second = refresh(provider, first["refresh_token"]).json()
        assert refresh(provider, first["refresh_token"]).json() == second
        provider.settings.rotation_grace = 0
        assert refresh(provider, first["refresh_token"]).status_code == 400


def test_refresh_without_rotation() -> None:
    """A provider that keeps its refresh tokens could not be played."""
    with DevProvider(rotate_refresh_tokens=False) as provider:
        first = log_in(provider, open_session(provider))
        answers = [refresh(provider, first["refresh_token"]).json() for _ in range(2)]
        assert {answer["refresh_token"] for answer in answers} == {first["refresh_token"]}
        assert all(call_api(provider, answer["access_token"]) == 200 for answer in answers)


def test_of_simultaneous_refreshes_one_succeeds(oauth_provider: DevProvider) -> None:
    """A race of clients would be hidden by a race in the provider."""
    token = log_in(oauth_provider, open_session(oauth_provider))
    barrier, statuses = threading.Barrier(8), []

    def race() -> None:
        barrier.wait()
        statuses.append(refresh(oauth_provider, token["refresh_token"]).status_code)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [400] * 7


def test_refresh_is_one_indivisible_act(oauth_provider: DevProvider) -> None:
    """Two requests with one refresh token could both succeed, where a real provider lets one win."""
    token = log_in(oauth_provider, open_session(oauth_provider, scope="openid"))
    entered, second_done = threading.Event(), threading.Event()
    statuses: dict[str, int] = {}

    def meddle(id_token: str) -> str:
        entered.set()
        second_done.wait(0.3)  # only runs out where the second request has to wait, as it must
        return id_token

    def ask(name: str) -> None:
        statuses[name] = refresh(oauth_provider, token["refresh_token"]).status_code

    oauth_provider.next_id_token(transform=meddle)
    first = threading.Thread(target=ask, args=["first"])
    first.start()
    assert entered.wait(10)
    ask("second")
    second_done.set()
    first.join()
    assert statuses == {"first": 200, "second": 400}


def test_refresh_may_narrow_but_not_widen_the_scope(oauth_provider: DevProvider) -> None:
    """A client that asks for more on refresh would pass its tests; a refusal must not burn the token."""
    session = open_session(oauth_provider)
    token = log_in(oauth_provider, session)
    url = f"{oauth_provider.url}/oauth2/token"
    with pytest.raises(OAuthError, match="invalid_scope"):
        session.refresh_token(url, refresh_token=token["refresh_token"], scope="profile admin")
    narrowed = session.refresh_token(url, refresh_token=token["refresh_token"], scope="profile")
    assert narrowed["scope"] == "profile"


def test_expired_refresh_token_and_missing_expiry() -> None:
    """Providers that end grants, or do not say when tokens expire, could not be played."""
    with DevProvider(refresh_token_lifetime=0, access_token_lifetime=None) as provider:
        token = log_in(provider, open_session(provider))
        assert "expires_in" not in token
        assert token["refresh_token_expires_in"] == 0
        assert refresh(provider, token["refresh_token"]).json() == {"error": "invalid_grant"}


def test_client_credentials_and_password(oauth_provider: DevProvider) -> None:
    """Two grants of RFC 6749 could not be tested."""
    url = f"{oauth_provider.url}/oauth2/token"
    machine = open_session(oauth_provider)
    token = machine.fetch_token(url, grant_type="client_credentials")
    assert "refresh_token" not in token
    assert machine.get(f"{oauth_provider.url}/api/echo").json()["subject"] is None
    assert machine.get(f"{oauth_provider.url}/api/me").status_code == 401
    person = open_session(oauth_provider)
    person.fetch_token(url, username="carol", password="correct horse")
    assert person.get(f"{oauth_provider.url}/api/me").json()["login"] == "carol"
    with pytest.raises(OAuthError, match="invalid_grant"):
        person.fetch_token(url, username="carol", password="battery staple")


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_client_authentication_by_secret(oauth_provider: DevProvider, method: str) -> None:
    """A client that authenticates in another way than configured would pass its tests."""
    strict = oauth_provider.add_client("strict", auth_methods=[method], redirect_uris=[CALLBACK])
    other = {"client_secret_basic": "client_secret_post", "client_secret_post": "client_secret_basic"}[method]
    options = {"client_id": "strict", "client_secret": strict.client_secret}
    log_in(oauth_provider, open_session(oauth_provider, token_endpoint_auth_method=method, **options))
    assert oauth_provider.count("/token", client_auth=method, status=200) == 1
    with pytest.raises(OAuthError, match="invalid_client"):
        log_in(oauth_provider, open_session(oauth_provider, token_endpoint_auth_method=other, **options))


@pytest.mark.parametrize("kind", [ClientSecretJWT, PrivateKeyJWT])
def test_client_authentication_by_assertion(oauth_provider: DevProvider, kind: type[ClientSecretJWT]) -> None:
    """RFC 7523 could not be tested; a replayed assertion must not count."""
    url = f"{oauth_provider.url}/oauth2/token"
    secret = oauth_provider.client_secret if kind is ClientSecretJWT else oauth_provider.client_private_key
    session = open_session(oauth_provider, client_secret=secret, token_endpoint_auth_method=kind.name)
    session.register_client_auth_method(kind(url))
    log_in(oauth_provider, session)
    assert oauth_provider.count("/token", client_auth=kind.name) == 1


def test_assertion_is_good_once_and_only_here(oauth_provider: DevProvider) -> None:
    """A client that reuses assertions, or sends one meant for another server, would pass its tests."""
    url = f"{oauth_provider.url}/oauth2/token"
    session = open_session(oauth_provider)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }
    foreign = ClientSecretJWT("https://elsewhere.example/token").sign(session, "https://elsewhere.example/token")
    good = ClientSecretJWT(url).sign(session, url)
    statuses = [
        requests.post(url, data={**form, "client_assertion": assertion}, timeout=10).status_code
        for assertion in (foreign, good, good)
    ]
    assert statuses == [401, 200, 401]


def test_public_client_needs_pkce_and_sends_no_secret(oauth_provider: DevProvider) -> None:
    """A public client that forgets PKCE would pass its tests."""
    oauth_provider.add_client("spa", public=True, redirect_uris=[CALLBACK])
    session = open_session(oauth_provider, client_id="spa", client_secret=None, token_endpoint_auth_method="none")
    log_in(oauth_provider, session)
    assert oauth_provider.count("/token", client_auth="none") == 1
    bare = OAuth2Session("spa", redirect_uri=CALLBACK)
    url, _ = bare.create_authorization_url(f"{oauth_provider.url}/oauth2/authorize")
    assert "error=invalid_request" in oauth_provider.authorize(url)


def test_two_proofs_at_once_are_refused(oauth_provider: DevProvider) -> None:
    """A client that sends its secret twice would pass its tests (RFC 6749 section 2.3)."""
    answer = requests.post(
        f"{oauth_provider.url}/oauth2/token",
        data={"grant_type": "client_credentials", "client_secret": oauth_provider.client_secret},
        auth=(oauth_provider.client_id, oauth_provider.client_secret),
        timeout=10,
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_code_is_bound_to_its_client_and_redirect_uri(oauth_provider: DevProvider) -> None:
    """A code injected into another client, or with another redirect URI, would be accepted."""
    other = oauth_provider.add_client("other", redirect_uris=[CALLBACK])
    for changed in ({"client_id": "other", "client_secret": other.client_secret}, {}):
        session = open_session(oauth_provider)
        url, _ = session.create_authorization_url(f"{oauth_provider.url}/oauth2/authorize", code_verifier=VERIFIER)
        callback = oauth_provider.authorize(url)
        thief = open_session(oauth_provider, **changed)
        thief.redirect_uri = CALLBACK if changed else "http://localhost/elsewhere"
        with pytest.raises(OAuthError, match=r"invalid_grant|invalid_request"):
            thief.fetch_token(
                f"{oauth_provider.url}/oauth2/token", authorization_response=callback, code_verifier=VERIFIER
            )


def test_revocation(oauth_provider: DevProvider) -> None:
    """A disconnect that does not reach the provider would not be noticed (RFC 7009)."""
    session = open_session(oauth_provider)
    token = log_in(oauth_provider, session)
    url = f"{oauth_provider.url}/oauth2/revoke"
    assert session.revoke_token(url, token["access_token"], token_type_hint="access_token").status_code == 200
    assert call_api(oauth_provider, token["access_token"]) == 401
    renewed = refresh(oauth_provider, token["refresh_token"]).json()
    assert session.revoke_token(url, renewed["refresh_token"]).status_code == 200
    assert call_api(oauth_provider, renewed["access_token"]) == 401
    assert session.revoke_token(url, "unknown").status_code == 200
    assert requests.post(url, data={"token": "unknown"}, timeout=10).status_code == 401


def test_introspection(oauth_provider: DevProvider) -> None:
    """A client could not test how it reads RFC 7662 answers."""
    session = open_session(oauth_provider)
    token = log_in(oauth_provider, session)
    url = f"{oauth_provider.url}/oauth2/introspect"
    claims = session.introspect_token(url, token["access_token"]).json()
    assert claims["active"] is True
    assert (claims["sub"], claims["username"], claims["scope"]) == ("dev-1001", "alice", "profile email")
    oauth_provider.expire_access_tokens("alice")
    assert session.introspect_token(url, token["access_token"]).json() == {"active": False}


def test_expired_and_revoked_users(oauth_provider: DevProvider) -> None:
    """Expiry and withdrawn consent could only be tested by waiting, and would hit the wrong user."""
    alice = log_in(oauth_provider, open_session(oauth_provider), "alice")
    bob = log_in(oauth_provider, open_session(oauth_provider), "bob")
    oauth_provider.expire_access_tokens("alice")
    assert call_api(oauth_provider, alice["access_token"]) == 401
    assert call_api(oauth_provider, bob["access_token"]) == 200
    renewed = refresh(oauth_provider, alice["refresh_token"]).json()
    assert call_api(oauth_provider, renewed["access_token"]) == 200
    oauth_provider.revoke_grants("alice")
    assert refresh(oauth_provider, renewed["refresh_token"]).json() == {"error": "invalid_grant"}
    assert call_api(oauth_provider, bob["access_token"]) == 200


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1@evil.example/",
        "http://evil.example\\@localhost/",
        "http://localhost/cb#fragment",
        "http://user:password@localhost/cb",
        "javascript:alert(1)",
        "//localhost/cb",
    ],
)
def test_no_open_redirect(oauth_provider: DevProvider, uri: str) -> None:
    """The provider on a developer's machine could be used to send browsers anywhere."""
    params = {"response_type": "code", "client_id": "dev-client", "redirect_uri": uri}
    answer = requests.get(f"{oauth_provider.url}/oauth2/authorize", params, allow_redirects=False, timeout=10)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


def test_registered_redirect_uris_are_compared_whole(oauth_provider: DevProvider) -> None:
    """A client with a wrong redirect URI would pass its tests."""
    oauth_provider.add_client("exact", redirect_uris=["https://app.example/cb"])
    base = f"{oauth_provider.url}/oauth2/authorize?response_type=code&client_id=exact&redirect_uri="
    assert oauth_provider.authorize(base + "https://app.example/cb").startswith("https://app.example/cb?code=")
    with pytest.raises(RuntimeError, match=r"400 .*https://app.example/cb/ is neither registered"):
        oauth_provider.authorize(base + "https://app.example/cb/")


def test_granted_scope_can_be_smaller_than_asked() -> None:
    """A client could not test that it looks at what was granted."""
    with DevProvider(granted_scope=["profile"]) as provider:
        token = log_in(provider, open_session(provider))
        assert token["scope"] == "profile"
