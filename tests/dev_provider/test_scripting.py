"""Running, recording and scripting the development provider."""

from __future__ import annotations

import logging
import socket
import threading
from typing import Any

import pytest
import requests
from oauthlib.oauth2 import is_secure_transport

from flask_oauth_accounts.errors import ConfigurationError
from flask_oauth_accounts.testing import DevProvider, DevUser, keys
from flask_oauth_accounts.testing.models import is_loopback_url


def ask_for_token(provider: DevProvider, **options: Any) -> requests.Response:
    """One request at the token endpoint that is good unless scripted otherwise."""
    return requests.post(
        f"{provider.url}/oauth2/token",
        data={"grant_type": "client_credentials"},
        auth=(provider.client_id, provider.client_secret),
        timeout=options.pop("timeout", 10),
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com", "localhost.example.com", ""])
def test_only_loopback(host: str) -> None:
    """A provider that asks for no password would be open to the network."""
    with pytest.raises(ConfigurationError, match="loopback"):
        DevProvider(host=host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_other_loopback_hosts(host: str) -> None:
    """A developer whose application uses another name for this machine could not run it."""
    with DevProvider(host=host) as provider:
        assert requests.get(f"{provider.url}/jwks.json", timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("uri", "fits"),
    [
        ("http://localhost", True),
        ("https://app.localhost:8443/cb?x=1", True),
        ("http://[::1]:5000/cb", True),
        ("http://127.8.9.10/", True),
        ("http://user:password@localhost/", False),
        ("http://localhost/#fragment", False),
        ("http://localhost\\@evil.example/", False),
        ("http://localhost:99999/", False),
        ("http://local host/", False),
        ("http://localhost\n.evil.example/", False),
        ("ftp://localhost/", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_what_counts_as_loopback(uri: str, fits: bool) -> None:
    """A browser could be sent to another machine, or to the right one in a form that hides it."""
    assert is_loopback_url(uri) is fits


def test_foreign_host_names_are_refused(oauth_provider: DevProvider) -> None:
    """A web page could reach the provider by DNS rebinding."""
    answer = requests.get(f"{oauth_provider.url}/", headers={"Host": "evil.example"}, timeout=10)
    assert answer.status_code == 421


def test_unknown_setting_is_named() -> None:
    """A mistyped setting would silently test something else."""
    with pytest.raises(ConfigurationError, match=r"rotate_tokens.*rotate_refresh_tokens"):
        DevProvider(rotate_tokens=False)


def test_port_in_use_is_named(oauth_provider: DevProvider) -> None:
    """A second provider would end the whole test run instead of saying what is wrong."""
    port = int(oauth_provider.url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=f"port {port}"):
        DevProvider(port=port).start()


def test_stop_and_start_again(oauth_provider: DevProvider) -> None:
    """An application could not be tested against a provider that goes away and comes back."""
    url = oauth_provider.url
    token = ask_for_token(oauth_provider).json()["access_token"]
    oauth_provider.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
    oauth_provider.start()
    assert oauth_provider.url == url
    answer = requests.get(f"{url}/api/echo", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 200


def test_url_before_start_is_an_error() -> None:
    """An application would be configured with an address that leads nowhere."""
    with pytest.raises(RuntimeError, match="start"):
        _ = DevProvider().url


def test_keys_are_generated_late_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test with a provider of its own would wait for RSA keys."""
    made: list[str] = []
    generate = keys._generate

    def count(alg: str) -> keys.SigningKey:
        made.append(alg)
        return generate(alg)

    monkeypatch.setattr(keys, "_generated", {})
    monkeypatch.setattr(keys, "_generate", count)
    for _ in range(2):
        with DevProvider() as provider:
            assert ask_for_token(provider).status_code == 200
    assert made == []
    for _ in range(2):
        with DevProvider() as provider:
            assert requests.get(f"{provider.url}/jwks.json", timeout=10).status_code == 200
    assert made == ["RS256"]


def test_oauthlib_stays_strict_about_http(oauth_provider: DevProvider) -> None:
    """The provider would switch off the application's own refusal of plain http in the same process."""
    assert ask_for_token(oauth_provider).status_code == 200
    assert is_secure_transport("http://localhost/") is False


def test_failure_with_status_headers_and_body(oauth_provider: DevProvider) -> None:
    """A provider's bad days could not be played."""
    fault = oauth_provider.fail("/oauth2/token", 429, {"error": "slow_down"}, headers={"Retry-After": "7"}, times=2)
    for _ in range(2):
        answer = ask_for_token(oauth_provider)
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (429, "7", {"error": "slow_down"})
    assert ask_for_token(oauth_provider).status_code == 200
    assert fault.hits == 2
    oauth_provider.fail("/token", 200, "<h1>Maintenance</h1>", times=None)
    assert ask_for_token(oauth_provider).headers["Content-Type"].startswith("text/html")
    oauth_provider.clear_faults()
    assert ask_for_token(oauth_provider).status_code == 200


def test_dropped_connection(oauth_provider: DevProvider) -> None:
    """A connection that breaks could not be played."""
    oauth_provider.fail("/oauth2/token", drop=True)
    with pytest.raises(requests.ConnectionError):
        ask_for_token(oauth_provider)
    assert ask_for_token(oauth_provider).status_code == 200


def test_lost_answer(oauth_provider: DevProvider) -> None:
    """The worst case of a refresh could not be played: done at the provider, unknown to the client."""
    oauth_provider.fail("/oauth2/token", drop=True, after=True)
    with pytest.raises(requests.ConnectionError):
        ask_for_token(oauth_provider)
    assert len(oauth_provider.state.access_tokens) == 1


def test_hanging_until_released(oauth_provider: DevProvider) -> None:
    """A slow provider could only be played with sleeps."""
    fault = oauth_provider.fail("/oauth2/token", None, hang=True)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(ask_for_token(oauth_provider).status_code))
    thread.start()
    assert fault.entered.wait(10)
    assert answers == []
    assert requests.get(f"{oauth_provider.url}/jwks.json", timeout=10).status_code == 200
    fault.release()
    thread.join(10)
    assert answers == [200]


def test_stop_releases_who_hangs(oauth_provider: DevProvider) -> None:
    """A test that forgets to release a fault would never end."""
    fault = oauth_provider.fail("/oauth2/token", 503, hang=True)
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(ask_for_token(oauth_provider).status_code))
    thread.start()
    assert fault.entered.wait(10)
    oauth_provider.stop()
    thread.join(10)
    assert statuses == [503]


def test_odd_answers(oauth_provider: DevProvider) -> None:
    """Answers that make no sense could not be played."""
    oauth_provider.next_token(token_type=None, remove=["expires_in"])
    odd = ask_for_token(oauth_provider).json()
    assert odd["token_type"] is None
    assert "expires_in" not in odd
    oauth_provider.next_token(raw="[]")
    assert ask_for_token(oauth_provider).json() == []
    headers = {"Authorization": f"Bearer {odd['access_token']}"}
    assert requests.get(f"{oauth_provider.url}/api/echo", headers=headers, timeout=10).status_code == 200
    oauth_provider.next_metadata(issuer="https://evil.example")
    metadata = f"{oauth_provider.url}/.well-known/openid-configuration"
    assert requests.get(metadata, timeout=10).json()["issuer"] == "https://evil.example"
    assert requests.get(metadata, timeout=10).json()["issuer"] == oauth_provider.issuer
    oauth_provider.next_jwks({"keys": []})
    assert requests.get(f"{oauth_provider.url}/jwks.json", timeout=10).json() == {"keys": []}


def test_odd_profile_and_callback(oauth_provider: DevProvider) -> None:
    """A profile or a callback that is not what it should be could not be played."""
    form = {"grant_type": "password", "username": "alice", "password": "correct horse"}
    auth = (oauth_provider.client_id, oauth_provider.client_secret)
    token = requests.post(f"{oauth_provider.url}/oauth2/token", form, auth=auth, timeout=10).json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    oauth_provider.next_userinfo(remove=["id"], email="new@example.com")
    odd = requests.get(f"{oauth_provider.url}/api/me", headers=headers, timeout=10).json()
    assert "id" not in odd
    assert odd["email"] == "new@example.com"
    oauth_provider.next_userinfo(raw=None)
    oauth_provider.clear_faults()
    oauth_provider.next_userinfo(raw=["no object"])
    assert requests.get(f"{oauth_provider.url}/api/me", headers=headers, timeout=10).json() == ["no object"]
    url = f"{oauth_provider.url}/oauth2/authorize?response_type=code&client_id=dev-client&state=s"
    oauth_provider.next_callback(iss="https://evil.example", remove=["state"])
    callback = oauth_provider.authorize(url + "&redirect_uri=http://localhost/cb")
    assert "iss=https%3A%2F%2Fevil.example" in callback
    assert "state" not in callback


def test_log_shows_what_was_asked_but_no_secret(oauth_provider: DevProvider) -> None:
    """A test could not say which requests reached the provider, or would print secrets when it fails."""
    ask_for_token(oauth_provider)
    (record,) = oauth_provider.requests("/oauth2/token")
    assert (record.method, record.grant_type, record.client_auth, record.status) == (
        "POST",
        "client_credentials",
        "client_secret_basic",
        200,
    )
    assert oauth_provider.log.count(grant_type="client_credentials") == 1
    assert oauth_provider.count("/token", grant_type="refresh_token") == 0
    assert not any(secret in repr(list(oauth_provider.log)) for secret in oauth_provider.issued_secrets())
    oauth_provider.log.clear()
    assert len(oauth_provider.log) == 0


def test_secrets_are_complete(oauth_provider: DevProvider, caplog: pytest.LogCaptureFixture) -> None:
    """A leak test would search for too little, or find what the provider itself has logged."""
    caplog.set_level(logging.DEBUG)
    verifier = "pkce-verifier-" + "v" * 40
    form = {"grant_type": "password", "username": "alice", "password": "correct horse", "code_verifier": verifier}
    auth = (oauth_provider.client_id, oauth_provider.client_secret)
    token = requests.post(f"{oauth_provider.url}/oauth2/token", {**form, "scope": "openid"}, auth=auth, timeout=10)
    secrets = oauth_provider.issued_secrets()
    expected = {token.json()[key] for key in ("access_token", "refresh_token", "id_token")}
    assert expected | {verifier, oauth_provider.client_secret, "correct horse"} <= secrets
    assert "alice" not in secrets
    assert not any(secret in caplog.text for secret in secrets)


def test_own_users_and_clients() -> None:
    """An application with users of its own could not be tested."""
    zoe = DevUser("z-1", "zoe", "zoe@example.org", email_verified=True, claims={"groups": ["admins"]})
    with DevProvider(users=[zoe]) as provider:
        assert list(provider.users) == ["zoe"]
        provider.add_user(DevUser("y-1", "yan"))
        with pytest.raises(RuntimeError, match="zoe, yan"):
            provider.authorize(provider.url, "alice")
        assert "horse" not in repr(zoe)
        assert provider.client_secret not in repr(provider.state.clients)


def test_configuration_fits_the_registry(oauth_provider: DevProvider) -> None:
    """The lines to paste would not work."""
    url = oauth_provider.url
    assert oauth_provider.oauth2_config("dev2") == {
        "DEV2_CLIENT_ID": "dev-client",
        "DEV2_CLIENT_SECRET": oauth_provider.client_secret,
        "DEV2_ACCESS_TOKEN_URL": f"{url}/oauth2/token",
        "DEV2_AUTHORIZE_URL": f"{url}/oauth2/authorize",
        "DEV2_API_BASE_URL": f"{url}/api/",
        "DEV2_USERINFO_ENDPOINT": f"{url}/api/me",
        "DEV2_REVOCATION_ENDPOINT": f"{url}/oauth2/revoke",
        "DEV2_SCOPE": "profile email",
    }
    assert oauth_provider.oauth1_config("DEV1")["DEV1_REQUEST_TOKEN_URL"] == f"{url}/oauth1/request_token"
    assert oauth_provider.oidc_config("DEV")["DEV_SERVER_METADATA_URL"] == f"{url}/.well-known/openid-configuration"
    assert oauth_provider.register_kwargs("oidc")["client_kwargs"] == {"scope": "openid email profile"}
    with pytest.raises(ConfigurationError, match="oidc"):
        oauth_provider.config("saml", "DEV")


def test_several_providers_are_strangers(oauth_provider: DevProvider) -> None:
    """Mix-up of two providers could not be tested."""
    with DevProvider() as other:
        token = ask_for_token(oauth_provider).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{other.url}/api/echo", headers=headers, timeout=10).status_code == 401
        assert other.client_secret != oauth_provider.client_secret


def test_many_threads(oauth_provider: DevProvider) -> None:
    """Tests with many threads would meet the provider's own races."""
    tokens: list[str] = []

    def work() -> None:
        for _ in range(10):
            tokens.append(ask_for_token(oauth_provider).json()["access_token"])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(tokens)) == 80
    assert oauth_provider.count("/token", status=200) == 80


def test_garbage_is_answered(oauth_provider: DevProvider) -> None:
    """Nonsense would end in a traceback on the developer's screen."""
    port = int(oauth_provider.url.rpartition(":")[2])
    for target in ("/oauth2/authorize?x=%zz&%%%", "/oauth2/authorize?a=\xe4", "/oauth1/authorize?oauth_token=%00"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode("latin-1"))
            assert connection.recv(12) == b"HTTP/1.1 400"
    for path in ("token", "revoke", "introspect"):
        answer = requests.post(
            f"{oauth_provider.url}/oauth2/{path}",
            data=b"%zz=%&\xff",
            headers={"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic %%%"},
            timeout=10,
        )
        assert 400 <= answer.status_code < 500
    for path in ("request_token", "access_token"):
        headers = {"Authorization": "OAuth nonsense"}
        answer = requests.post(f"{oauth_provider.url}/oauth1/{path}", headers=headers, timeout=10)
        assert 400 <= answer.status_code < 500
    headers = {"Authorization": "OAuth oauth_token"}
    assert requests.get(f"{oauth_provider.url}/oauth1/api/me", headers=headers, timeout=10).status_code == 401
