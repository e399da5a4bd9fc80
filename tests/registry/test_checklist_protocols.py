"""Compliance hooks, client authentication, further grants, revocation, introspection, logout and profiles."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask, session

from flask_oauth_accounts import (
    ConfigurationError,
    Identity,
    InvalidTokenError,
    MismatchingStateError,
    MissingTokenError,
    OAuth,
    OAuthError,
    ProviderResponseError,
    ProviderUnavailable,
    TokenRequestError,
)
from flask_oauth_accounts.testing import DevProvider

TOKEN = {"access_token": "AT-1", "token_type": "Bearer", "refresh_token": "RT-1"}
TOKEN1 = {"oauth_token": "OT-1", "oauth_token_secret": "OS-1"}


# -- 1.11 compliance hooks ---


class Fix:
    """A compliance fix that writes down what each hook sees, and changes it."""

    def __init__(self, *kinds: str) -> None:
        self.kinds = kinds
        self.sessions: list[Any] = []
        self.calls: list[tuple[str, Any, Any, Any]] = []

    def __call__(self, session: Any) -> None:
        self.sessions.append(session)
        for kind in self.kinds:
            session.register_compliance_hook(kind, self._response if kind.endswith("response") else self._request(kind))

    def _request(self, kind: str) -> Callable[..., Any]:
        def hook(url: str, headers: Any, data: Any) -> Any:
            self.calls.append((kind, url, dict(headers), data))
            headers["X-Fixed"] = kind
            return url + ("&" if "?" in url else "?") + "fixed=1", headers, data

        return hook

    def _response(self, response: Any) -> Any:
        self.calls.append(("response", response.url, dict(response.headers), response.json()))
        response._content = json.dumps({**response.json(), "fixed": True}).encode()
        return response


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_s301_protected_request(app: Flask, stub: Any, protocol: str) -> None:
    """S:301-322: a fix would see no ``Authorization``, ``None`` for headers, or never be called for OAuth 1."""
    fix = Fix("protected_request")
    client = OAuth(app).register("dev", **getattr(stub, protocol)(compliance_fix=fix))
    token = TOKEN if protocol == "oauth2" else TOKEN1
    with app.test_request_context():
        client.post("a", token=token, data={"x": "1"})
        client.get("a", token=token)
    (kind, url, headers, _), second = fix.calls
    assert (kind, url) == ("protected_request", f"{stub.url}/api/a")
    assert isinstance(headers["Authorization"], str)
    assert headers["Authorization"].startswith("Bearer AT-1" if protocol == "oauth2" else "OAuth ")
    assert second[2]["Authorization"]
    assert [seen.headers["x-fixed"] for seen in stub.seen] == ["protected_request"] * 2
    assert [seen.query for seen in stub.seen] == [{"fixed": "1"}] * 2
    assert stub.seen[0].form == {"x": "1"}
    assert len(fix.sessions) == len(set(map(id, fix.sessions))) == 2


def test_a_fix_may_change_the_body(app: Flask, stub: Any) -> None:
    """A changed body would be sent with the length of the old one."""

    def fix(session: Any) -> None:
        session.register_compliance_hook(
            "protected_request", lambda url, headers, data: (url, headers, "x=changed&y=2")
        )

    oauth = OAuth(app)
    for protocol, token in (("oauth1", TOKEN1), ("oauth2", TOKEN)):
        client = oauth.register(protocol, **getattr(stub, protocol)(compliance_fix=fix))
        with app.test_request_context():
            client.post("a", token=token, data={"x": "1"})
    assert [seen.body for seen in stub.seen] == [b"x=changed&y=2"] * 2


def test_hooks_of_the_token_endpoint(app: Flask, stub: Any) -> None:
    """A provider whose token answers need mending could not be mended."""
    stub.answers |= {"/token": {"access_token": "AT-2", "token_type": "Bearer"}, "/revoke": {}}
    kinds = ("access_token", "refresh_token")
    fix = Fix(*(f"{kind}_{way}" for kind in kinds for way in ("request", "response")), "revoke_token_request")
    kept: list[Any] = []
    client = OAuth(app).register(
        "dev",
        **stub.oauth2(compliance_fix=fix, revocation_endpoint=f"{stub.url}/revoke"),
        fetch_token=lambda: {**TOKEN, "expires_at": 1},
        update_token=kept.append,
    )
    with app.test_request_context():
        assert client.fetch_access_token(code="C")["fixed"] is True
    with app.test_request_context():
        client.get("a")
        client.revoke_token("AT-9", "access_token")
    assert kept[0]["fixed"] is True
    names = [kind for kind, *_ in fix.calls]
    assert names == ["access_token_request", "response", "refresh_token_request", "response", "revoke_token_request"]
    assert stub.find("/token")[0].headers["x-fixed"] == "access_token_request"
    assert stub.find("/token")[1].headers["x-fixed"] == "refresh_token_request"
    assert stub.find("/revoke")[0].headers["x-fixed"] == "revoke_token_request"
    assert all(headers["Authorization"].startswith("Basic ") for kind, _, headers, _ in fix.calls if kind != "response")


def test_the_body_that_hooks_of_the_token_endpoint_get(app: Flask, stub: Any) -> None:
    """A fix that was written for Authlib adds its parameter to text; it would stop every login."""

    def fix(session: Any) -> None:
        for kind in ("access_token_request", "refresh_token_request", "revoke_token_request"):
            session.register_compliance_hook(kind, lambda url, headers, body: (url, headers, body + "&added=1"))

    stub.answers |= {"/token": {"access_token": "AT-2", "token_type": "Bearer"}, "/revoke": {}}
    client = OAuth(app).register(
        "dev",
        **stub.oauth2(compliance_fix=fix, revocation_endpoint=f"{stub.url}/revoke"),
        fetch_token=lambda: {**TOKEN, "expires_at": 1},
        update_token=lambda token: None,
    )
    with app.test_request_context():
        client.fetch_access_token(code="C")
    with app.test_request_context():
        client.get("a")
        client.revoke_token("AT-9", "access_token")
    assert [seen.body.endswith(b"&added=1") for seen in (*stub.find("/token"), *stub.find("/revoke"))] == [True] * 3


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_a_session_without_the_token_is_fixed_too(app: Flask, stub: Any, protocol: str) -> None:
    """A fix that, say, sets the provider's header on each session would be missing where no credential is sent."""

    def fix(session: Any) -> None:
        session.headers["X-Session"] = "fixed"
        session.register_compliance_hook("protected_request", lambda url, headers, data: 1 / 0)

    client = OAuth(app).register("dev", **getattr(stub, protocol)(compliance_fix=fix))
    with app.test_request_context():
        client.get("a", withhold_token=True)
    (seen,) = stub.seen
    assert seen.headers["x-session"] == "fixed"
    assert "authorization" not in seen.headers


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_hooks_find_headers_in_any_case(app: Flask, stub: Any, protocol: str) -> None:
    """A fix that replaces a header in its own spelling would send it twice, or not find it."""

    def hook(url: str, headers: Any, data: Any) -> Any:
        headers["accept"] = f"text/mine, {headers['ACCEPT']}"
        assert "authorization" in headers
        return url, headers, data

    def fix(session: Any) -> None:
        for kind in ("protected_request", "access_token_request"):
            session.register_compliance_hook(kind, hook)

    stub.answers["/token"] = {"access_token": "AT-2", "token_type": "Bearer"}
    client = OAuth(app).register("dev", **getattr(stub, protocol)(compliance_fix=fix))
    with app.test_request_context():
        client.get("a", token={**TOKEN, **TOKEN1})
        if protocol == "oauth2":
            client.fetch_access_token(code="C")
    for seen in stub.seen:
        assert seen.headers["accept"].startswith("text/mine, ")


def test_the_token_requests_of_oauth_1_have_a_hook(app: Flask, stub: Any) -> None:
    """``access_token_request`` would be registered for an OAuth 1 client and never be called."""
    stub.answers["/request_token"] = "oauth_token=RT&oauth_token_secret=RS&oauth_callback_confirmed=true"
    stub.answers["/access_token"] = "oauth_token=OT&oauth_token_secret=OS"
    fix = Fix("access_token_request")
    client = OAuth(app).register("dev", **stub.oauth1(compliance_fix=fix))
    with app.test_request_context():
        data = client.create_authorization_url("http://localhost/cb")
        client.fetch_access_token(data["request_token"], oauth_verifier="V")
        client.get("a")
    assert [url for _, url, _, _ in fix.calls] == [f"{stub.url}/request_token", f"{stub.url}/access_token"]
    assert all(headers["Authorization"].startswith("OAuth ") for _, _, headers, _ in fix.calls)
    assert [seen.headers.get("x-fixed") for seen in stub.seen] == ["access_token_request"] * 2 + [None]


def test_hooks_of_oauth_1(app: Flask, stub: Any) -> None:
    """A fix on an OAuth 1 client could not mend a token answer."""
    stub.answers["/request_token"] = {"oauth_token": "RT", "oauth_token_secret": "RS"}

    def fix(session: Any) -> None:
        def add(response: Any) -> Any:
            response._content = json.dumps({**response.json(), "oauth_callback_confirmed": "true"}).encode()
            return response

        session.register_compliance_hook("access_token_response", add)

    client = OAuth(app).register("dev", **stub.oauth1(compliance_fix=fix))
    with app.test_request_context():
        assert client.authorize_redirect("https://app.test/cb").status_code == 302


def test_an_unknown_hook_is_refused(app: Flask, stub: Any) -> None:
    """A misspelt hook would never be called."""
    client = OAuth(app).register("dev", **stub.oauth2(compliance_fix=Fix("protected_requests")))
    with app.test_request_context(), pytest.raises(ConfigurationError, match="protected_request"):
        client.get("a", token=TOKEN)


@pytest.mark.parametrize("placement", ["header", "uri", "body"])
def test_token_placement(app: Flask, stub: Any, placement: str) -> None:
    """A provider that wants its token elsewhere could not be used."""
    client = OAuth(app).register("dev", **stub.oauth2(client_kwargs={"token_placement": placement}))
    with app.test_request_context():
        client.post("a", token=TOKEN, data={"x": "1"})
    (seen,) = stub.seen
    places = {
        "header": seen.headers.get("authorization"),
        "uri": seen.query.get("access_token"),
        "body": seen.form.get("access_token"),
    }
    assert {key: bool(value) for key, value in places.items()} == {key: key == placement for key in places}
    assert "AT-1" in str(places[placement])
    assert seen.form["x"] == "1"


# -- client authentication and grants ---


def ec_pair() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


METHODS = ["client_secret_basic", "client_secret_post", "none", "client_secret_jwt", "rsa", "ec"]


@pytest.mark.parametrize("method", METHODS)
def test_client_authentication(app: Flask, oauth_provider: DevProvider, add_views: Any, method: str) -> None:
    """A provider that asks for this way to authenticate would refuse the login or the refresh."""
    private, public = ec_pair()
    name = "private_key_jwt" if method in ("rsa", "ec") else method
    client = oauth_provider.add_client(
        "special:ü/+ %",
        client_secret="s:ü/+ %" + "x" * 32,
        public=method == "none",
        public_key=public if method == "ec" else None,
        auth_methods=[name],
        any_loopback_redirect=True,
    )
    arguments = oauth_provider.register_kwargs("oauth2", client)
    arguments["client_kwargs"] = {"scope": "email", "token_endpoint_auth_method": name}
    if name == "private_key_jwt":
        arguments["client_secret"] = private if method == "ec" else oauth_provider.client_private_key
    oauth = OAuth(app)
    oauth.register("dev", **arguments)
    add_views(app, oauth)
    browser = app.test_client()
    answer = browser.get(str(oauth_provider.authorize(browser.get("/login/dev").location)))
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    with app.test_request_context():
        assert oauth.dev.get("echo", token={**answer.json, "expires_at": 1}).json()["subject"] == "dev-1001"
    requests = oauth_provider.requests("/oauth2/token")
    assert [request.client_auth for request in requests] == [name, name]


def test_without_a_method_the_secret_decides(app: Flask, stub: Any) -> None:
    """A public client would send ``Basic id:`` with an empty password."""
    stub.answers["/token"] = TOKEN
    oauth = OAuth(app)
    with app.test_request_context():
        oauth.register("one", **stub.oauth2()).fetch_access_token(code="C")
        oauth.register("two", **stub.oauth2(client_secret=None)).fetch_access_token(code="C")
    secret, public = stub.find("/token")
    assert secret.basic == ("the-client", "the-client-secret")
    assert "client_id" not in secret.form
    assert not public.basic
    assert public.form["client_id"] == "the-client"


def test_a_client_assertion(app: Flask, stub: Any) -> None:
    """An assertion without lifetime, or used twice, would be refused by strict providers."""
    stub.answers["/token"] = TOKEN
    kwargs = {"token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "HS512"}
    client = OAuth(app).register("dev", **stub.oauth2(client_secret="x" * 64, client_kwargs=kwargs))
    with app.test_request_context():
        for _ in range(2):
            client.fetch_access_token(code="C")
    parts = [seen.form["client_assertion"].split(".") for seen in stub.find("/token")]
    header, claims = ([json.loads(urlsafe_b64decode(part[i] + "==")) for part in parts] for i in (0, 1))
    assert header[0]["alg"] == "HS512"
    assert claims[0]["iss"] == claims[0]["sub"] == "the-client"
    assert claims[0]["aud"] == f"{stub.url}/token"
    assert 0 < claims[0]["exp"] - claims[0]["iat"] <= 600
    assert claims[0]["jti"] != claims[1]["jti"]
    assert "client_secret" not in stub.find("/token")[0].form


@pytest.mark.parametrize(
    ("method", "secret"),
    [
        ("private_key_jwt", "not a key"),
        ("private_key_jwt", None),
        ("client_secret_post", None),
        ("client_secret_jwt", ""),
    ],
)
def test_a_missing_or_unfit_secret_is_said(app: Flask, stub: Any, method: str, secret: str | None) -> None:
    """A missing key would show as a refusal of the provider."""
    arguments = stub.oauth2(client_secret=secret, client_kwargs={"token_endpoint_auth_method": method})
    client = OAuth(app).register("dev", **arguments)
    with app.test_request_context(), pytest.raises(ConfigurationError, match="DEV_CLIENT_SECRET") as caught:
        client.fetch_access_token(code="C")
    assert "not a key" not in str(caught.value)


def test_client_credentials(app: Flask, oauth_provider: DevProvider) -> None:
    """A job could not call an API in the application's own name."""
    client = OAuth(app).register("dev", **oauth_provider.register_kwargs("oauth2"))
    with app.app_context():
        token = client.fetch_access_token(grant_type="client_credentials")
        assert client.get("echo", token=token).json()["subject"] is None
        assert token["scope"] == "profile email"
        assert client.fetch_access_token(grant_type="client_credentials", scope="email")["scope"] == "email"


def test_client_credentials_never_take_the_place_of_a_users_token(app: Flask, stub: Any) -> None:
    """A visitor's call would go out in the application's own name, and show or change what is not the visitor's."""
    kept: dict[str, Any] = {"access_token": "OF-THE-USER"}
    stub.answers["/token"] = lambda seen: {"access_token": seen.form["grant_type"], "token_type": "Bearer"}
    client = OAuth(app, fetch_token=lambda name: kept or None).register("dev", **stub.oauth2())
    with app.test_request_context():
        client.fetch_access_token(grant_type="client_credentials")
        client.get("me")
        assert client.token["access_token"] == "OF-THE-USER"
        client.fetch_access_token(grant_type="password", username="bob", password="secret")
        client.get("me")
    kept.clear()
    with app.test_request_context():
        client.fetch_access_token()
        client.get("me")
        client.token = None
        with pytest.raises(MissingTokenError):
            client.get("me")
    sent = [seen.headers["authorization"] for seen in stub.find("/api/me")]
    assert sent == ["Bearer OF-THE-USER", "Bearer password", "Bearer client_credentials"]


def test_password(app: Flask, oauth_provider: DevProvider) -> None:
    """An application of the provider's own could not use its users' passwords."""
    client = OAuth(app).register("dev", **oauth_provider.register_kwargs("oauth2"))
    with app.app_context():
        token = client.fetch_access_token(grant_type="password", username="bob", password="correct horse")
        assert client.get("echo", token=token).json()["subject"] == "dev-1002"
        with pytest.raises(TokenRequestError) as caught:
            client.fetch_access_token(grant_type="password", username="bob", password="wrong horse")
    assert caught.value.error == "invalid_grant"
    assert "wrong horse" not in repr(caught.value)


# -- revocation, introspection, logout ---


def test_revoke_and_introspect(app: Flask, oauth_provider: DevProvider) -> None:
    """A disconnected account would keep its grant at the provider."""
    client = OAuth(app).register("dev", **oauth_provider.register_kwargs("oidc"))
    with app.app_context():
        token = client.fetch_access_token(grant_type="password", username="bob", password="correct horse")
        assert client.introspect_token(token)["active"] is True
        assert client.introspect_token(token["refresh_token"], token_type_hint="refresh_token")["active"] is True
        assert client.introspect_token()["username"] == "bob"
        assert client.revoke_token(token) is True
        assert client.introspect_token(token)["active"] is False
        assert client.introspect_token(token["refresh_token"])["active"] is False
        client.token = None
        for call in (client.revoke_token, client.introspect_token):
            with pytest.raises(MissingTokenError):
                call()


def test_revoking_one_token_by_its_text(app: Flask, stub: Any) -> None:
    """``revoke_token(text, token_type_hint=…)`` would send something else."""
    client = OAuth(app).register("dev", **stub.oauth2(revocation_endpoint=f"{stub.url}/revoke"))
    stub.answers["/revoke"] = (200, "")
    with app.app_context():
        client.revoke_token("RT-1", token_type_hint="refresh_token")
    (seen,) = stub.find("/revoke")
    assert seen.form == {"token": "RT-1", "token_type_hint": "refresh_token"}
    assert seen.basic == ("the-client", "the-client-secret")


def test_a_failed_revocation_is_said(app: Flask, stub: Any) -> None:
    """The user would be told that access has ended where it has not."""
    client = OAuth(app).register("dev", **stub.oauth2(revocation_endpoint=f"{stub.url}/revoke"))
    for answer in ((503, {}), (400, {"error": "unsupported_token_type"}), (404, "")):
        stub.answers["/revoke"] = answer
        with app.app_context(), pytest.raises(OAuthError):
            client.revoke_token("RT-1")


REFUSED = (400, {"error": "unsupported_token_type"})
GONE = (400, {"error": "invalid_token"})


@pytest.mark.parametrize(
    ("preset", "answers", "asked", "works"),
    [
        (None, [(200, ""), (200, "")], ["RT-1", "AT-1"], True),
        # The grant goes with the refresh token: what is said of the access token afterwards does not count.
        (None, [(200, ""), GONE], ["RT-1", "AT-1"], True),
        (None, [(200, ""), (401, {"error": "invalid_token"})], ["RT-1", "AT-1"], True),
        (None, [(200, ""), (503, "")], ["RT-1", "AT-1"], True),
        ("google", [(200, "")], ["RT-1"], True),
        # Some revoke access tokens only, some have forgotten the refresh token.
        (None, [REFUSED, (200, "")], ["RT-1", "AT-1"], True),
        (None, [GONE, (200, "")], ["RT-1", "AT-1"], True),
        (None, [(400, {"error": "invalid_request"}), (200, "")], ["RT-1", "AT-1"], False),
        (None, [REFUSED, REFUSED], ["RT-1", "AT-1"], False),
        (None, [(503, "")], ["RT-1"], False),
    ],
)
def test_revoking_a_pair_of_tokens(
    app: Flask, stub: Any, preset: str | None, answers: list[Any], asked: list[str], works: bool
) -> None:
    """The user would be told that access has not ended where it has, or the other way round."""
    arguments = {"revocation_endpoint": f"{stub.url}/revoke", "preset": preset}
    client = OAuth(app).register("dev", **stub.oauth2(**arguments))
    left = iter(answers)
    stub.answers["/revoke"] = lambda seen: next(left)
    with app.app_context():
        if works:
            assert client.revoke_token(TOKEN) is True
        else:
            with pytest.raises(OAuthError):
                client.revoke_token(TOKEN)
    assert [seen.form["token"] for seen in stub.find("/revoke")] == asked


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ok": False, "error": "invalid_auth"}, TokenRequestError),
        ({}, TokenRequestError),
        ([], TokenRequestError),
        ("<html>", ProviderResponseError),
        ((429, {"ok": False}), ProviderUnavailable),
        ((503, {"ok": False}), ProviderUnavailable),
        ((403, {"ok": False}), TokenRequestError),
    ],
)
def test_revoking_in_a_providers_own_way(app: Flask, stub: Any, answer: Any, expected: type[OAuthError]) -> None:
    """Slack says with status 200 that it has revoked nothing, and the user would believe that access has ended."""
    client = OAuth(app).register("slack", **stub.oauth2())
    stub.answers["/api/auth.revoke"] = answer
    with app.app_context():
        with pytest.raises(OAuthError) as caught:
            client.revoke_token(TOKEN)
        assert type(caught.value) is expected
        stub.answers["/api/auth.revoke"] = {"ok": True, "revoked": True}
        assert client.revoke_token(TOKEN) is True
        for nothing in ({"token_type": "Bearer"}, {"refresh_token": "RT-1"}):
            with pytest.raises(MissingTokenError):
                client.revoke_token(nothing)


def test_no_way_to_revoke_or_introspect(app: Flask, stub: Any) -> None:
    """A provider without these endpoints would make disconnecting fail."""
    client = OAuth(app).register("dev", **stub.oauth2())
    with app.app_context():
        assert client.revoke_token(TOKEN) is None
        with pytest.raises(ConfigurationError, match="introspection_endpoint"):
            client.introspect_token(TOKEN)


def test_introspection_of_odd_answers(app: Flask, stub: Any) -> None:
    """An answer that says nothing would count as an active token."""
    client = OAuth(app).register("dev", **stub.oauth2(introspection_endpoint=f"{stub.url}/introspect"))
    odd: list[Any] = [{}, {"active": "true"}, [], "<html>"]
    for answer in odd:
        stub.answers["/introspect"] = answer
        with app.app_context(), pytest.raises(ProviderResponseError):
            client.introspect_token("AT-1")


def test_logout_at_the_provider(app: Flask, oauth_provider: DevProvider) -> None:
    """The user would stay logged in at the provider, or a forged return would be believed."""
    client = OAuth(app).register("dev", **oauth_provider.register_kwargs("oidc"))
    with app.test_request_context():
        response = client.logout_redirect("http://localhost/bye", ui_locales="de")
        cookie = dict(session)
    assert response.status_code == 302
    query = parse_qs(urlsplit(response.location).query)
    assert query["client_id"] == [oauth_provider.client_id]
    assert query["ui_locales"] == ["de"]
    back = oauth_provider.confirm_logout(response.location)
    assert str(back).startswith("http://localhost/bye?state=")
    with app.test_request_context(str(back)), pytest.raises(MismatchingStateError):
        client.validate_logout_response()
    with app.test_request_context(str(back)):
        session.update(cookie)
        assert client.validate_logout_response() == {"post_logout_redirect_uri": "http://localhost/bye"}
        with pytest.raises(MismatchingStateError):
            client.validate_logout_response()
    for path in ("/bye", "/bye?state=x"):
        with app.test_request_context(path), pytest.raises(MismatchingStateError):
            client.validate_logout_response()


def test_a_state_of_a_login_is_none_of_a_logout(app: Flask, oauth_provider: DevProvider) -> None:
    """A09: a state made for one purpose would be accepted for another."""
    client = OAuth(app).register("dev", **oauth_provider.register_kwargs("oidc"))
    with app.test_request_context():
        data = client.create_authorization_url("http://localhost/cb")
        client.save_authorize_data(redirect_uri="http://localhost/cb", **data)
        cookie = dict(session)
    with app.test_request_context(f"/?state={data['state']}"), pytest.raises(MismatchingStateError):
        session.update(cookie)
        client.validate_logout_response()


def test_create_logout_url(app: Flask, stub: Any) -> None:
    """An application that answers with JSON could not log out at the provider."""
    client = OAuth(app).register("dev", **stub.oauth2(end_session_endpoint=f"{stub.url}/logout?p=x"))
    with app.test_request_context():
        data = client.create_logout_url("https://app.test/bye", id_token_hint="x.y.z", state="S")
        plain = client.create_logout_url()
    query = parse_qs(urlsplit(data["url"]).query)
    assert data["state"] == "S"
    assert query == {
        "p": ["x"],
        "client_id": ["the-client"],
        "id_token_hint": ["x.y.z"],
        "post_logout_redirect_uri": ["https://app.test/bye"],
        "state": ["S"],
    }
    assert "state" not in plain["url"]
    without = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context(), pytest.raises(ConfigurationError, match="DEV_END_SESSION_ENDPOINT"):
        without.logout_redirect("https://app.test/bye")


# -- who is it ---


def test_profile_without_a_preset(app: Flask, stub: Any) -> None:
    """A plain OAuth 2 provider could not say who somebody is, although it answers with the usual names."""
    client = OAuth(app).register("dev", **stub.oauth2(userinfo_endpoint="me"))
    stub.answers["/api/me"] = {
        "id": 7,
        "login": "bob",
        "name": "Bob Builder",
        "email": "bob@example.com",
        "email_verified": True,
        "picture": "https://p.test/bob.png",
    }
    with app.test_request_context():
        client.token = TOKEN
        identity = client.profile()
        stub.answers["/api/me"] = {"sub": "8", "preferred_username": "rob"}
        other = client.profile()
    assert isinstance(identity, Identity)
    assert (identity.name, identity.subject, identity.username) == ("dev", "7", "bob")
    assert (identity.email, identity.email_verified) == ("bob@example.com", True)
    assert (identity.display_name, identity.avatar_url) == ("Bob Builder", "https://p.test/bob.png")
    assert identity.raw["login"] == "bob"
    assert (other.subject, other.username, other.email, other.email_verified) == ("8", "rob", None, None)


@pytest.mark.parametrize("answer", [{}, {"id": None}, {"id": True}, {"sub": ""}, {"id": {}}, [], "x", "<html>"])
def test_e12_profiles_without_a_subject(app: Flask, stub: Any, answer: Any) -> None:
    """E12: users without an id would all be the same one."""
    stub.answers["/api/me"] = answer
    client = OAuth(app).register("dev", **stub.oauth2(userinfo_endpoint=f"{stub.url}/api/me"))
    with app.test_request_context(), pytest.raises(ProviderResponseError):
        client.token = TOKEN
        client.profile()


@pytest.mark.parametrize("kind", ["oauth1", "oauth2"])
def test_userinfo_with_parameters_and_headers(app: Flask, stub: Any, kind: str) -> None:
    """A provider that gives only the fields that are asked for, as Facebook, would answer with next to nothing."""
    arguments = getattr(stub, kind)(userinfo_endpoint=f"{stub.url}/api/me", client_kwargs={"headers": {"X-A": "1"}})
    client = OAuth(app).register("dev", **arguments)
    stub.answers["/api/me"] = {"id": "7"}
    with app.test_request_context():
        client.token = {**TOKEN, **TOKEN1}
        options = {"params": {"fields": "id,email"}, "headers": {"X-Tenant": "7"}, "timeout": 5}
        for call in ({}, {"token": {**TOKEN, **TOKEN1}}):
            assert client.userinfo(**call, **options)["id"] == "7"
        with pytest.raises(TypeError, match="verify"):
            client.userinfo(verify=False)
    for seen in stub.find("/api/me"):
        assert seen.query == {"fields": "id,email"}
        assert (seen.headers["x-tenant"], seen.headers["x-a"]) == ("7", "1")
        assert seen.headers["accept"] == "application/json"


def test_userinfo_refusals(app: Flask, stub: Any) -> None:
    """I11: a refused token would look like a broken provider."""
    client = OAuth(app).register("dev", **stub.oauth2(userinfo_endpoint=f"{stub.url}/api/me"))
    stub.answers["/api/me"] = (401, {})
    with app.test_request_context(), pytest.raises(InvalidTokenError):
        client.userinfo(token=TOKEN)
    bare = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context(), pytest.raises(ConfigurationError, match="DEV_USERINFO_ENDPOINT"):
        bare.userinfo(token=TOKEN)


def test_oauth_1_has_no_introspection(app: Flask, stub: Any) -> None:
    """The failure would not say why."""
    client = OAuth(app).register("dev", **stub.oauth1())
    with app.test_request_context():
        assert client.revoke_token(TOKEN1) is None
        with pytest.raises(ConfigurationError, match="OAuth 1"):
            client.introspect_token(TOKEN1)


def test_client_kwargs_reach_the_connection(app: Flask, stub: Any) -> None:
    """``verify``, ``proxies`` and ``default_timeout`` would be accepted and ignored."""
    kwargs = {"verify": "/no/such/file.pem", "proxies": {"https": "http://proxy.test:3128"}, "default_timeout": 7}
    client = OAuth(app).register("dev", **stub.oauth2(client_kwargs=kwargs))
    assert client._transport.verify == "/no/such/file.pem"
    assert client._transport.proxies == {"https": "http://proxy.test:3128"}
    assert client._transport.timeout[1] == 7.0


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"scopes": "a"}, "DEV_CLIENT_KWARGS: 'scopes' is not known here; did you mean 'scope'"),
        ({"token_endpoint_auth_method": "basic"}, "must be one of client_secret_basic"),
        ({"token_placement": "cookie"}, "must be one of header, uri, body"),
        ({"response_type": "token"}, "must be one of code"),
        ({"signature_method": "HMAC-SHA1"}, "'signature_method' is not known here"),
        ({"token": {}}, "'token' is not known here"),
        ({"redirect_uri": "x"}, "'redirect_uri' is not known here"),
        ("scope=a", "DEV_CLIENT_KWARGS must be a dictionary"),
        ({"scope": 7}, "'scope' must be a text or a list"),
        ({"verify": 1.5}, "'verify' must be true, false or the path"),
        ({"default_timeout": "fast"}, "'default_timeout' must be a number of seconds"),
        ({"default_timeout": True}, "'default_timeout' must be a number of seconds"),
        ({"leeway": "1"}, "'leeway' must be a number of seconds"),
        ({"proxies": "http://proxy.test"}, "'proxies' must be a dictionary"),
    ],
)
def test_client_kwargs_that_cannot_work(app: Flask, stub: Any, kwargs: Any, says: str) -> None:
    """A mistake in ``client_kwargs`` would explode in the middle of the first login."""
    with pytest.raises(ConfigurationError, match=says):
        OAuth(app).register("dev", **stub.oauth2(client_kwargs=kwargs))
