"""OAuth 2 and OpenID Connect: the two halves of a login. What code written for Authlib's Flask client relies on."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, session

from flask_oauth_accounts import (
    ConfigurationError,
    IdTokenError,
    InvalidClientError,
    IssuerMismatchError,
    MismatchingStateError,
    MissingCodeError,
    OAuth,
    OAuthError,
    ProviderResponseError,
    ProviderUnavailable,
    TokenRequestError,
    UnsupportedTokenTypeError,
)
from flask_oauth_accounts.testing import DevProvider

TOKEN = {"access_token": "AT-1", "token_type": "Bearer", "expires_in": 3600}


class Cache(dict[str, Any]):
    def set(self, key: str, value: Any, timeout: int) -> None:
        self[key] = value


def query_of(url: str) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}


class Login:
    """One browser's login with a client of the scripted provider."""

    def __init__(self, app: Flask, client: Any) -> None:
        self.app, self.client = app, client
        self.cookie: dict[str, Any] = {}
        self.query: dict[str, str] = {}

    def start(self, redirect_uri: str | None = "https://app.test/cb?x=1", **kwargs: Any) -> dict[str, str]:
        with self.app.test_request_context():
            session.update(self.cookie)
            response = self.client.authorize_redirect(redirect_uri, **kwargs)
            self.cookie = dict(session)
        assert response.status_code == 302
        self.query = query_of(response.location)
        return self.query

    def finish(self, query: str | None = None, **kwargs: Any) -> Any:
        if query is None:
            query = f"code=C&state={self.query['state']}"
        with self.app.test_request_context(f"/cb?{query}"):
            session.update(self.cookie)
            return self.client.authorize_access_token(**kwargs)


@pytest.fixture
def begin(app: Flask, stub: Any) -> Callable[..., Login]:
    """A browser in front of a client of the scripted provider."""
    stub.answers["/token"] = TOKEN

    def create(**arguments: Any) -> Login:
        return Login(app, OAuth(app, Cache()).register("dev", **stub.oauth2(**arguments)))

    return create


# -- 1.5 authorize_redirect ---


def test_s149_parameters_of_the_authorization_request(begin: Any) -> None:
    """S:149-158: a provider would refuse the request, or the application could not add a parameter."""
    query = begin(client_kwargs={"scope": "email profile"}).start(login_hint="bob", empty=None)
    assert query.keys() == {
        *("response_type", "client_id", "redirect_uri", "scope", "state"),
        *("code_challenge", "code_challenge_method", "login_hint"),
    }
    assert query["response_type"] == "code"
    assert query["client_id"] == "the-client"
    assert query["redirect_uri"] == "https://app.test/cb?x=1"
    assert query["scope"] == "email profile"


@pytest.mark.parametrize("scope", ["a b", ["a", "b"], ("a", "b")])
def test_scope_as_text_or_list(begin: Any, scope: Any) -> None:
    """A scope given as a list would be sent in Python's notation."""
    assert begin(client_kwargs={"scope": scope}).start()["scope"] == "a b"
    assert begin(scope=scope).start()["scope"] == "a b"
    assert begin().start(scope=scope)["scope"] == "a b"


def test_authorize_params_go_before_the_call_and_replace_no_parameter_of_the_protocol(begin: Any) -> None:
    """A keyword of the call could replace what the operator configured, or switch off a check."""
    login = begin(authorize_params={"access_type": "offline", "state": "x", "response_type": "token"})
    query = login.start(access_type="online", client_id="other", code_challenge_method="plain")
    assert query["access_type"] == "offline"
    assert query["state"] != "x"
    assert query["response_type"] == "code"
    assert query["client_id"] == "the-client"
    assert query["code_challenge_method"] == "S256"


def test_a07_state_is_random_and_the_caller_may_give_one(begin: Any) -> None:
    """A07: a state that can be guessed would let an attacker finish his login in a victim's browser."""
    login = begin()
    states = {login.start()["state"] for _ in range(5)}
    assert len(states) == 5
    assert all(len(state) >= 30 for state in states)
    assert login.start(state="mine")["state"] == "mine"
    assert login.finish("code=C&state=mine")["access_token"] == "AT-1"


@pytest.mark.parametrize(("kind", "key"), [("oauth1", "request_token"), ("oauth2", "state")])
def test_nothing_to_save(app: Flask, stub: Any, kind: str, key: str) -> None:
    """A developer who saves the login without its state would read ``KeyError`` and not what is missing."""
    client = OAuth(app, Cache()).register("dev", **getattr(stub, kind)())
    with app.test_request_context(), pytest.raises(RuntimeError, match=rf"save_authorize_data\(\) needs {key}"):
        client.save_authorize_data(redirect_uri="https://app.test/cb")


def test_missing_authorize_url(app: Flask) -> None:
    """The developer would not learn which value is missing."""
    client = OAuth(app).register("dev", client_id="1")
    with (
        app.test_request_context(),
        pytest.raises(RuntimeError, match=r'Missing "authorize_url" value.*DEV_AUTHORIZE_URL'),
    ):
        client.authorize_redirect("https://app.test/cb")


def test_an_openid_client_of_which_nothing_is_known_needs_discovery(app: Flask) -> None:
    """The log would ask for the first of many addresses, where one address tells them all."""
    client = OAuth(app).register("comp", preset="oidc", client_id="1", client_secret="2")
    with app.test_request_context(), pytest.raises(RuntimeError, match="COMP_SERVER_METADATA_URL"):
        client.authorize_redirect("https://app.test/cb")


def test_create_authorization_url_and_save_authorize_data(app: Flask, stub: Any) -> None:
    """An application that answers with JSON could not start a login without a redirect."""
    stub.answers["/token"] = TOKEN
    client = OAuth(app, Cache()).register("dev", **stub.oauth2(scope="openid", issuer="https://p.test"))
    with app.test_request_context():
        data = client.create_authorization_url("https://app.test/cb")
        assert data.keys() == {"url", "state", "nonce", "code_verifier"}
        assert query_of(data["url"])["nonce"] == data["nonce"]
        client.save_authorize_data(redirect_uri="https://app.test/cb", **data)
        cookie = dict(session)
    with app.test_request_context(f"/?code=C&state={data['state']}"):
        session.update(cookie)
        assert client.authorize_access_token()["access_token"] == "AT-1"
    assert stub.find("/token")[0].form["code_verifier"] == data["code_verifier"]


def test_query_of_the_authorize_url_is_kept(begin: Any, stub: Any) -> None:
    """A provider whose address has a query (a tenant, a policy) would get a broken address."""
    assert begin(authorize_url=f"{stub.url}/authorize?p=policy").start()["p"] == "policy"


def test_a17_several_tabs(begin: Any) -> None:
    """A17: a second tab would kill the login in the first."""
    login = begin()
    states = [login.start()["state"] for _ in range(5)]
    for state in (states[2], states[4], states[0], states[1], states[3]):
        assert login.finish(f"code=C&state={state}")["access_token"] == "AT-1"


# -- 1.6 authorize_access_token ---


def test_s160_the_token_request(begin: Any, stub: Any) -> None:
    """S:160-165: a provider that compares ``redirect_uri`` or wants a parameter of its own would refuse."""
    login = begin(access_token_params={"a": "configured", "b": "configured"})
    login.start()
    login.finish(b="call")
    (seen,) = stub.find("/token")
    verifier = seen.form.pop("code_verifier")
    assert seen.form == {
        "grant_type": "authorization_code",
        "code": "C",
        "redirect_uri": "https://app.test/cb?x=1",
        "a": "configured",
        "b": "call",
    }
    digest = hashlib.sha256(verifier.encode()).digest()
    assert login.query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert seen.basic == ("the-client", "the-client-secret")
    assert seen.headers["accept"] == "application/json"


def test_b14_redirect_uri_comes_from_the_flow(begin: Any, stub: Any) -> None:
    """B14: whoever controls the callback's host or the configuration could change the address compared."""
    login = begin(access_token_params={"redirect_uri": "https://evil.test/", "code_verifier": "x" * 43, "code": "evil"})
    login.start()
    login.finish()
    form = stub.find("/token")[0].form
    assert (form["redirect_uri"], form["code"]) == ("https://app.test/cb?x=1", "C")
    assert form["code_verifier"] != "x" * 43


def test_no_redirect_uri(begin: Any, stub: Any) -> None:
    """A client registered with one address could not leave it out."""
    login = begin()
    assert "redirect_uri" not in login.start(None)
    login.finish()
    assert "redirect_uri" not in stub.find("/token")[0].form


def test_s160_the_token(begin: Any, stub: Any, app: Flask) -> None:
    """S:160-169: what the provider says beside the token would be lost, or the expiry unknown."""
    stub.answers["/token"] = {**TOKEN, "scope": "a,b", "expires_at": 1, "user_id": 7, "refresh_token": None}
    login = begin()
    login.start()
    with app.test_request_context(f"/?code=C&state={login.query['state']}"):
        session.update(login.cookie)
        token = login.client.authorize_access_token()
        login.client.get("me")
    assert isinstance(token, dict)
    assert token["user_id"] == 7
    assert isinstance(token["expires_at"], int)
    assert token["expires_at"] > 1_700_000_000
    assert "refresh_token" not in token
    assert stub.find("/api/me")[0].headers["authorization"] == "Bearer AT-1"


@pytest.mark.parametrize(
    "answer", ["access_token=AT-1&token_type=bearer&scope=a", {"access_token": "AT-1", "token_type": None}]
)
def test_forms_and_null_types_are_accepted(begin: Any, stub: Any, answer: Any) -> None:
    """I04, I10: GitHub's form answers, and answers without a type, would be refused."""
    stub.answers["/token"] = answer
    login = begin()
    login.start()
    token = login.finish()
    assert token["access_token"] == "AT-1"
    assert token["token_type"].lower() == "bearer"


CALLBACKS = [
    ("", MismatchingStateError),
    ("code=C", MismatchingStateError),
    ("code=C&state=", MismatchingStateError),
    ("code=C&state=foreign", MismatchingStateError),
    ("state={state}", MissingCodeError),
    ("code=&state={state}", MissingCodeError),
    ("access_token=AT&token_type=bearer&state={state}", MissingCodeError),
    ("id_token=x.y.z&state={state}", MissingCodeError),
    ("code=C&code=D&state={state}", OAuthError),
    ("code=C&state={state}&state=x", OAuthError),
    ("oauth_token=RT&oauth_verifier=V", MismatchingStateError),
    ("error=access_denied", MismatchingStateError),
    ("error=access_denied&state=foreign", MismatchingStateError),
    ("error=access_denied&code=C&state={state}", OAuthError),
    ("error=access_denied&state={state}", OAuthError),
    ("code=C&state={state}&iss=https://other.test", IssuerMismatchError),
    ("code=%00&state=%ff%fe", MismatchingStateError),
]


@pytest.mark.parametrize(("query", "expected"), CALLBACKS)
def test_a02_unusable_callbacks(begin: Any, stub: Any, query: str, expected: type[Exception]) -> None:
    """A02, A03, A13, A14, A15, B03, K13: a forged or incomplete callback would be exchanged, or crash."""
    login = begin(issuer="https://p.test")
    login.start()
    with pytest.raises(OAuthError) as caught:
        login.finish(query.format(state=login.query["state"]))
    assert isinstance(caught.value, expected)
    assert 400 <= caught.value.status < 500
    assert not stub.find("/token")


def test_errors_of_the_seed_carry_their_codes(begin: Any) -> None:
    """1.13: code that looks at ``error.error`` would not find the documented value."""
    login = begin()
    login.start()
    with pytest.raises(MismatchingStateError) as caught:
        login.finish("code=C&state=foreign")
    assert caught.value.error == "mismatching_state"
    login.start()
    with pytest.raises(OAuthError) as denied:
        login.finish(f"error=access_denied&error_description=no%0Away&state={login.query['state']}")
    assert denied.value.error == "access_denied"
    assert denied.value.description == "no way"
    assert str(denied.value) == "access_denied: no way"


def test_a04_replay(begin: Any, stub: Any) -> None:
    """A04: a callback could be used twice, even with the old cookie put back."""
    login = begin()
    login.start()
    login.finish()
    with pytest.raises(MismatchingStateError):
        login.finish()
    assert len(stub.find("/token")) == 1


@pytest.mark.parametrize("cookie", [{}, {"_oauth_accounts": {"b": "other"}}, {"_oauth_accounts": "odd"}])
def test_a01_another_browser(begin: Any, stub: Any, cookie: dict[str, Any]) -> None:
    """A01: an attacker's code would log a victim in as the attacker."""
    login = begin()
    login.start()
    login.cookie = cookie
    with pytest.raises(MismatchingStateError):
        login.finish()
    assert not stub.find("/token")


def test_b01_state_of_another_provider(app: Flask, stub: Any) -> None:
    """B01: a code of one provider would be sent, with the secret, to another."""
    oauth = OAuth(app, Cache())
    one = Login(app, oauth.register("one", **stub.oauth2()))
    two = Login(app, oauth.register("two", **stub.oauth2()))
    one.start()
    two.cookie = one.cookie
    with pytest.raises(MismatchingStateError):
        two.finish(f"code=C&state={one.query['state']}")
    assert not stub.find("/token")


@pytest.mark.parametrize(
    ("iss", "announced", "accepted"),
    [
        ("https://p.test", None, True),
        ("https://p.test", True, True),
        (None, None, True),
        (None, False, True),
        (None, True, False),
        ("https://p.test/", True, False),
        ("https://other.test", None, False),
    ],
)
def test_b03_b05_iss_of_the_callback(begin: Any, stub: Any, iss: str | None, announced: Any, accepted: bool) -> None:
    """B03, B05: an answer from another authorization server would be accepted, or an honest one refused."""
    login = begin(issuer="https://p.test", authorization_response_iss_parameter_supported=announced)
    login.start()
    query = f"code=C&state={login.query['state']}" + (f"&iss={iss}" if iss else "")
    if accepted:
        assert login.finish(query)["access_token"] == "AT-1"
    else:
        with pytest.raises(IssuerMismatchError):
            login.finish(query)
    assert len(stub.find("/token")) == int(accepted)


@pytest.mark.parametrize(("configured", "announced"), [("", ""), ("/", ""), ("", "/")])
def test_an_issuer_with_and_without_a_slash(
    oidc: Any, app: Flask, oauth_provider: DevProvider, configured: str, announced: str
) -> None:
    """A slash too many in ``issuer=``, which discovery passes over, would refuse everybody who comes back."""
    issuer = oauth_provider.issuer + announced
    oauth_provider.next_metadata(issuer=issuer, times=None)
    oauth_provider.next_id_token(iss=issuer)
    client, token = oidc(issuer=oauth_provider.issuer + configured)
    assert token["userinfo"]["iss"] == issuer
    with app.test_request_context():
        assert client.profile(token=token).issuer == issuer
        assert client.profile(token={"access_token": token["access_token"]}).issuer == issuer
    oauth_provider.next_id_token(iss=f"{oauth_provider.issuer}//")
    with pytest.raises(IdTokenError):
        oidc(issuer=oauth_provider.issuer + configured)


def test_form_post(app: Flask, oauth_provider: DevProvider, add_views: Any) -> None:
    """``response_mode=form_post`` (Apple) would end in a missing state."""
    arguments = oauth_provider.register_kwargs("oidc")
    arguments["client_kwargs"] = {**arguments["client_kwargs"], "response_mode": "form_post"}
    oauth = OAuth(app, Cache())
    oauth.register("dev", **arguments)
    add_views(app, oauth)
    browser = app.test_client()
    for allow, status in ((True, 200), (False, 403)):
        callback = oauth_provider.authorize(browser.get("/login/dev").location, allow=allow)
        assert callback.form is not None
        assert browser.post(str(callback), data=callback.form).status_code == status


ANSWERS: list[tuple[Any, type[OAuthError]]] = [
    ((400, {"error": "invalid_grant", "error_description": "x"}), TokenRequestError),
    ((200, {"error": "bad_verification_code"}), TokenRequestError),
    ((401, {"error": "invalid_client"}), InvalidClientError),
    ((401, "nope"), InvalidClientError),
    ((400, {}), ProviderResponseError),
    ((200, "<html>"), ProviderResponseError),
    ((200, ""), ProviderResponseError),
    ((200, []), ProviderResponseError),
    ((200, {"access_token": None}), ProviderResponseError),
    ((200, {"access_token": ["x"]}), ProviderResponseError),
    ((200, {"access_token": "a\r\nb"}), ProviderResponseError),
    ((200, {"access_token": "x", "token_type": "mac"}), UnsupportedTokenTypeError),
    ((302, {}, {"Location": "http://127.0.0.1:1/"}), ProviderResponseError),
    ((500, {}), ProviderUnavailable),
    ((429, {}, {"Retry-After": "7"}), ProviderUnavailable),
]


@pytest.mark.parametrize(("answer", "expected"), ANSWERS)
def test_i01_faulty_token_answers(begin: Any, stub: Any, answer: Any, expected: type[OAuthError]) -> None:
    """I01-I09: a faulty answer would come out as something that ``except OAuthError`` does not catch."""
    stub.answers["/token"] = answer
    login = begin()
    login.start()
    with pytest.raises(OAuthError) as caught:
        login.finish()
    assert type(caught.value) is expected
    assert caught.value.provider == "dev"
    assert "the-client-secret" not in repr(caught.value) + str(caught.value)
    assert len(stub.find("/token")) == 1


# -- 1.10 PKCE ---


def test_s285_pkce_by_default(begin: Any, stub: Any) -> None:
    """S:285-299, B10: a code stolen on its way back could be exchanged."""
    login = begin()
    verifiers = set()
    for _ in range(3):
        query = login.start()
        assert query["code_challenge_method"] == "S256"
        login.finish()
        verifiers.add(stub.find("/token")[-1].form["code_verifier"])
    assert len(verifiers) == 3
    assert all(43 <= len(verifier) <= 128 for verifier in verifiers)


@pytest.mark.parametrize("place", ["argument", "client_kwargs"])
def test_pkce_method(app: Flask, begin: Any, stub: Any, place: str) -> None:
    """B11: ``plain`` would be accepted, or a provider that breaks on PKCE could not be used."""

    def arguments(method: str) -> dict[str, Any]:
        key = {"code_challenge_method": method}
        return key if place == "argument" else {"client_kwargs": key}

    assert begin(**arguments("S256")).start()["code_challenge_method"] == "S256"
    login = begin(**arguments("none"))
    assert "code_challenge" not in login.start()
    login.finish()
    assert "code_verifier" not in stub.find("/token")[-1].form
    for method in ("plain", "s256", "S512"):
        with pytest.raises(ConfigurationError, match="DEV_CODE_CHALLENGE_METHOD"):
            begin(**arguments(method))


def test_configured_pkce_method(create_app: Callable[..., Flask], stub: Any) -> None:
    """An operator could not switch PKCE off for one provider, or would switch it off for a client that insists."""
    app = create_app(DEV_CODE_CHALLENGE_METHOD="none")
    oauth = OAuth(app)
    assert oauth.register("dev", **stub.oauth2()).code_challenge_method is None
    given = oauth.register("dev", **stub.oauth2(client_kwargs={"code_challenge_method": "S256"}))
    assert given.code_challenge_method == "S256"


def test_own_code_verifier(begin: Any, stub: Any) -> None:
    """A caller could not bring a verifier, or a weak one would pass."""
    login = begin()
    for bad in ("x" * 42, "x" * 129, "x" * 42 + "ü"):
        with pytest.raises(ConfigurationError, match="43 to 128"):
            login.start(code_verifier=bad)
    login.start(code_verifier="y" * 43)
    login.finish()
    assert stub.find("/token")[0].form["code_verifier"] == "y" * 43


# -- OpenID Connect ---


@pytest.fixture
def oidc(app: Flask, oauth_provider: DevProvider) -> Callable[..., Any]:
    """A login with the development provider by OpenID Connect, through to the token."""

    def log_in(user: str = "alice", finish: dict[str, Any] | None = None, **arguments: Any) -> tuple[Any, Any]:
        client = OAuth(app, Cache()).register("dev", **{**oauth_provider.register_kwargs("oidc"), **arguments})
        with app.test_request_context():
            location = client.authorize_redirect("http://localhost/cb").location
            cookie = dict(session)
        callback = oauth_provider.authorize(location, user)
        with app.test_request_context(str(callback)):
            session.update(cookie)
            return client, client.authorize_access_token(**(finish or {}))

    return log_in


def test_userinfo_in_the_token(oidc: Any, app: Flask) -> None:
    """``token["userinfo"]``, which code for Authlib reads, would be missing."""
    client, token = oidc()
    assert token["userinfo"]["sub"] == "dev-1001"
    assert token["userinfo"].sub == "dev-1001"
    with app.test_request_context():
        client.token = token
        claims = client.userinfo()
        assert claims == client.userinfo(token=token)
        assert claims.email == claims["email"] == "alice@example.com"
        with pytest.raises(AttributeError):
            claims.nothing
        assert claims.phone_number is claims.c_hash is None
        assert "phone_number" not in claims
        identity = client.profile()
    assert (identity.subject, identity.email, identity.email_verified) == ("dev-1001", "alice@example.com", True)
    assert identity.issuer == client.load_server_metadata()["issuer"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "x"},
        {"aud": "x"},
        {"iss": "https://x.test"},
        {"exp": 1},
        {"at_hash": "x"},
        {"alg": "none"},
        {"remove": ["nonce"]},
    ],
)
def test_an_id_token_that_may_not_be_believed(oidc: Any, oauth_provider: DevProvider, wrong: dict[str, Any]) -> None:
    """C01-C24: a forged ID token would log somebody in."""
    oauth_provider.next_id_token(**wrong)
    with pytest.raises(IdTokenError):
        oidc()


def test_an_answer_without_an_id_token_passes_here(oidc: Any, oauth_provider: DevProvider) -> None:
    """Code for Authlib expects the token; only the blueprint refuses."""
    oauth_provider.next_id_token(omit=True)
    _, token = oidc()
    assert "userinfo" not in token


def test_parse_id_token(oidc: Any, app: Flask) -> None:
    """An application that validates an ID token itself could not do so."""
    client, token = oidc()
    nonce = token["userinfo"]["nonce"]
    with app.test_request_context():
        assert client.parse_id_token(token, nonce, leeway=5)["sub"] == "dev-1001"
        assert client.parse_id_token({"access_token": "x"}, nonce) is None
        with pytest.raises(IdTokenError):
            client.parse_id_token(token, "other")


def test_metadata_and_keys(oidc: Any, oauth_provider: DevProvider) -> None:
    """Each login would ask the provider for metadata and keys, or new keys could not be fetched."""
    client, _ = oidc()
    assert client.load_server_metadata()["issuer"] == oauth_provider.issuer
    client.load_server_metadata()["issuer"] = "changed"
    assert client.load_server_metadata()["issuer"] == oauth_provider.issuer
    assert client.fetch_jwk_set()["keys"]
    assert oauth_provider.count("/.well-known/openid-configuration") == 1
    before = oauth_provider.count("/jwks.json")
    client.fetch_jwk_set()
    assert oauth_provider.count("/jwks.json") == before == 1
    client.fetch_jwk_set(force=True)
    assert oauth_provider.count("/jwks.json") == 2


def test_scope_of_authorize_params_decides_about_the_nonce(app: Flask, stub: Any) -> None:
    """A login that asks for ``openid`` in ``authorize_params`` would go without a nonce."""
    client = OAuth(app).register("dev", **stub.oauth2(authorize_params={"scope": "openid"}, issuer="https://p.test"))
    with app.test_request_context():
        assert "nonce" in query_of(client.create_authorization_url("https://app.test/cb")["url"])


def test_max_age_is_checked(oidc: Any, app: Flask, oauth_provider: DevProvider) -> None:
    """C33: ``max_age`` would be asked for and then not checked."""
    oauth_provider.next_id_token(auth_time=1)
    with pytest.raises(IdTokenError):
        oidc(authorize_params={"max_age": 60})


@pytest.mark.parametrize(("leeway", "ago", "believed"), [(0, 30, False), (100, 80, True), (900, 400, False)])
def test_a_clients_own_leeway(oidc: Any, oauth_provider: DevProvider, leeway: int, ago: int, believed: bool) -> None:
    """C18: who wants to be strict with ``leeway: 0`` would let in whoever brings a token that has expired."""
    oauth_provider.next_id_token(exp=int(time.time()) - ago, iat=int(time.time()) - 600)
    arguments = oauth_provider.register_kwargs("oidc")
    arguments["client_kwargs"] = {**arguments["client_kwargs"], "leeway": leeway}
    if believed:
        assert oidc(**arguments)[1]["userinfo"]["sub"] == "dev-1001"
    else:
        with pytest.raises(IdTokenError, match="expired"):
            oidc(**arguments)


def test_claims_options_of_authlib_are_accepted(oidc: Any) -> None:
    """A call with Authlib's ``claims_options`` and ``leeway`` would send them to the provider."""
    _, token = oidc(finish={"claims_options": {"iss": {}}, "leeway": 10})
    assert token["userinfo"]["sub"] == "dev-1001"


@pytest.mark.parametrize(
    ("option", "hd", "holds"),
    [
        ({"essential": True}, "any.com", True),
        ({"essential": True}, "", False),
        ({"essential": True}, None, False),
        ({"value": "mycompany.com"}, "mycompany.com", True),
        ({"value": "mycompany.com"}, "evil.com", False),
        ({"value": "mycompany.com"}, None, False),
        ({"essential": True, "values": ["mycompany.com", "my.org"]}, "my.org", True),
        ({"essential": True, "values": ["mycompany.com", "my.org"]}, "evil.com", False),
        ({"values": []}, "evil.com", False),
        ({"validate": lambda claims, value: value == claims["email"].split("@")[1]}, "example.com", True),
        ({"validate": lambda claims, value: value == claims["email"].split("@")[1]}, "evil.com", False),
    ],
)
def test_claims_options_restrict_who_comes_in(
    oidc: Any, app: Flask, oauth_provider: DevProvider, option: dict[str, Any], hd: str | None, holds: bool
) -> None:
    """An application that lets in one company by ``claims_options`` would let in everybody."""
    oauth_provider.next_id_token(hd=hd)
    if not holds:
        with pytest.raises(IdTokenError, match="'hd'"):
            oidc(finish={"claims_options": {"hd": option}})
        oauth_provider.next_id_token(hd=hd)
        client, token = oidc()
        with app.test_request_context(), pytest.raises(IdTokenError, match="'hd'"):
            client.parse_id_token(token, token["userinfo"]["nonce"], {"hd": option})
        return
    client, token = oidc(finish={"claims_options": {"hd": option}})
    with app.test_request_context():
        assert client.parse_id_token(token, token["userinfo"]["nonce"], {"hd": option})["hd"] == hd


def test_claims_options_never_switch_a_check_off(oidc: Any, oauth_provider: DevProvider) -> None:
    """An option written for Authlib, where it replaces the check of the issuer, would let any issuer speak."""
    for option in ({}, {"essential": False}, {"values": ["https://x.test"]}, {"validate": lambda claims, value: True}):
        oauth_provider.next_id_token(iss="https://x.test")
        with pytest.raises(IdTokenError):
            oidc(finish={"claims_options": {"iss": option}})
    with pytest.raises(IdTokenError, match="'iss'"):
        oidc(finish={"claims_options": {"iss": {"values": ["https://another-tenant.test"]}}})
    own = {"iss": {"values": [oauth_provider.issuer]}, "aud": {"value": oauth_provider.client_id}}
    _, token = oidc(finish={"claims_options": own})
    assert token["userinfo"]["sub"] == "dev-1001"


def test_an_essential_claim_needs_an_id_token(oidc: Any, app: Flask, oauth_provider: DevProvider) -> None:
    """A provider that leaves the ID token out would pass the application's restriction."""
    oauth_provider.next_id_token(omit=True)
    with pytest.raises(IdTokenError, match="'hd'"):
        oidc(finish={"claims_options": {"hd": {"essential": True}}})
    client, _ = oidc()
    with app.test_request_context(), pytest.raises(IdTokenError, match="'hd'"):
        client.parse_id_token({"access_token": "x"}, None, {"hd": {"essential": True}})


@pytest.mark.parametrize(
    "keywords",
    [
        {"claims_cls": dict},
        {"claims_options": {"hd": "mycompany.com"}},
        {"claims_options": {"hd": {"vales": ["mycompany.com"]}}},
        {"claims_options": 5},
    ],
)
def test_a_restriction_that_nothing_would_read_is_refused(
    oidc: Any, app: Flask, oauth_provider: DevProvider, keywords: dict[str, Any]
) -> None:
    """A restriction of the login that is not understood would be passed over, or be sent to the provider."""
    with pytest.raises(TypeError, match="claims_options"):
        oidc(finish=keywords)
    assert oauth_provider.count("/oauth2/token") == 0
    client, token = oidc()
    with app.test_request_context(), pytest.raises(TypeError, match="claims_options"):
        client.parse_id_token(token, None, **keywords)


@pytest.mark.parametrize("value", [{"hd": {"essential": True}}, lambda claims: True])
def test_a_misspelt_restriction_is_refused(oidc: Any, oauth_provider: DevProvider, value: Any) -> None:
    """A restriction whose name is misspelt would be sent to the provider as a parameter, and let in everybody."""
    with pytest.raises(TypeError, match=r"'claim_options'.*claims_options"):
        oidc(finish={"claim_options": value})
    assert oauth_provider.count("/oauth2/token") == 0
    _, token = oidc(finish={"audience": "api", "headers": {"X-A": "1"}})
    assert token["access_token"]


def test_openid_without_an_issuer_is_refused_with_a_sentence(app: Flask, stub: Any) -> None:
    """An ID token nobody vouches for would fail without saying what to set."""
    stub.answers["/token"] = {**TOKEN, "id_token": "x.y.z"}
    login = Login(app, OAuth(app, Cache()).register("dev", **stub.oauth2(scope="openid")))
    login.start()
    with pytest.raises(OAuthError) as caught:
        login.finish()
    assert isinstance(caught.value, (ConfigurationError, IdTokenError))
    if isinstance(caught.value, ConfigurationError):
        assert "DEV_ISSUER" in str(caught.value)


@pytest.mark.parametrize("other", [{}, {"client_id": "another"}, {"authorize_url": "https://other.test/authorize"}])
def test_a_client_of_that_name_in_another_registry(app: Flask, stub: Any, other: dict[str, str]) -> None:
    """Two providers of one name would take each other's codes; or a second registry would spoil every login."""
    stub.answers["/token"] = {"access_token": "AT-2", "token_type": "Bearer"}
    first, second = OAuth(app), OAuth(app)
    first.register("dev", **stub.oauth2())
    second.register("dev", **{**stub.oauth2(), **other})
    app.add_url_rule("/login", "login", lambda: first.dev.authorize_redirect("http://localhost/done"))
    app.add_url_rule("/done", "done", lambda: second.dev.authorize_access_token()["access_token"])
    browser = app.test_client()
    state = parse_qs(urlsplit(browser.get("/login").headers["Location"]).query)["state"][0]
    if other:
        with pytest.raises(MismatchingStateError):
            browser.get(f"/done?code=C&state={state}")
        assert not stub.find("/token")
    else:
        assert browser.get(f"/done?code=C&state={state}").text == "AT-2"
