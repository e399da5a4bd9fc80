"""OAuth 1: request tokens, signatures and callbacks. What code written for Authlib's Flask client relies on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask

from flask_oauth_accounts import (
    ConfigurationError,
    FetchTokenDeniedError,
    MissingRequestTokenError,
    MissingVerifierError,
    OAuth,
    ProviderResponseError,
)
from flask_oauth_accounts.testing import DevProvider

REQUEST_TOKEN = "oauth_token=RT&oauth_token_secret=RS&oauth_callback_confirmed=true"


class DictCache(dict[str, Any]):
    """The least that is a cache; the lifetime is called as its maker liked."""

    def set(self, key: str, value: Any, timeout: int) -> None:
        assert isinstance(value, str)
        assert 0 < timeout <= 600
        self[key] = value


class ExpiresCache(DictCache):
    def set(self, key: str, value: Any, expires: int) -> None:  # type: ignore[override]
        super().set(key, value, expires)


class BytesCache(DictCache):
    """Gives back bytes, as a client of Redis does."""

    def get(self, key: str, default: Any = None) -> Any:
        value = super().get(key)
        return value.encode() if isinstance(value, str) else value


class ForgetfulCache:
    """Has no ``delete``."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def set(self, key: str, value: Any, seconds: int) -> None:
        self.values[key] = value


class DeletingCache(DictCache):
    def delete(self, key: str) -> bool:
        return self.pop(key, None) is not None


CACHES: list[Callable[[], Any]] = [DictCache, ExpiresCache, BytesCache, ForgetfulCache, DeletingCache, lambda: None]


@pytest.mark.parametrize("create_cache", CACHES)
@pytest.mark.parametrize("kind", ["oauth1", "oauth2", "oidc"])
def test_s108_any_cache(
    app: Flask, oauth_provider: DevProvider, add_views: Any, create_cache: Callable[[], Any], kind: str
) -> None:
    """S:108-122: a login would fail with a cache that takes ``expires``, gives bytes or cannot delete, or with none."""
    oauth = OAuth(app, create_cache())
    oauth.register("dev", **oauth_provider.register_kwargs(kind))
    add_views(app, oauth)
    browser = app.test_client()
    callback = str(oauth_provider.authorize(browser.get("/login/dev").location))
    first, again = browser.get(callback), browser.get(callback)
    assert first.status_code == 200
    assert again.status_code == 400
    assert again.json is not None
    assert again.json["code"] in ("missing_request_token", "mismatching_state")


def test_a_cache_holds_no_readable_secret(app: Flask, oauth_provider: DevProvider, add_views: Any) -> None:
    """H07: whoever reads the cache could finish or forge a login."""
    cache = DictCache()
    oauth = OAuth(app, cache)
    for kind in ("oauth1", "oidc"):
        oauth.register(kind, **oauth_provider.register_kwargs(kind))
    add_views(app, oauth)
    browser = app.test_client()
    for kind in ("oauth1", "oidc"):
        assert browser.get(f"/login/{kind}").status_code == 302
    text = repr(dict(cache))
    assert len(cache) >= 2
    assert not [secret for secret in oauth_provider.issued_secrets() if secret in text]


def test_s126_own_pair_goes_before_the_cache(app: Flask, stub: Any) -> None:
    """S:126-147: the application's own functions would be accepted and then ignored."""
    saved: list[Any] = []
    cache = DictCache()
    stub.answers |= {"/request_token": REQUEST_TOKEN, "/access_token": "oauth_token=T&oauth_token_secret=S&user_id=7"}
    client = OAuth(app, cache).register(
        "dev",
        **stub.oauth1(),
        save_request_token=saved.append,
        fetch_request_token=lambda: saved[-1] if saved else None,
    )
    with app.test_request_context():
        client.authorize_redirect("https://app.test/cb")
    assert not cache
    assert saved[0]["oauth_token"] == "RT"
    with app.test_request_context("/?oauth_token=RT&oauth_verifier=V"):
        token = client.authorize_access_token()
    assert (token["oauth_token"], token["user_id"]) == ("T", "7")
    saved.clear()
    with (
        app.test_request_context("/?oauth_token=RT&oauth_verifier=V"),
        pytest.raises(MissingRequestTokenError) as error,
    ):
        client.authorize_access_token()
    assert error.value.error == "missing_request_token"


def test_one_half_of_the_pair_is_refused(app: Flask, stub: Any) -> None:
    """A forgotten ``fetch_request_token`` would show only when the first visitor comes back."""
    for key in ("save_request_token", "fetch_request_token"):
        with pytest.raises(ConfigurationError, match="needs both"):
            OAuth(app).register("dev", **stub.oauth1(), **{key: print})


def test_without_a_cache_the_session_shows_no_secret(app: Flask, oauth_provider: DevProvider, add_views: Any) -> None:
    """The request token's secret would stand readable in the browser's cookie."""
    oauth = OAuth(app)
    oauth.register("dev", **oauth_provider.register_kwargs("oauth1"))
    add_views(app, oauth)
    browser = app.test_client()
    browser.get("/login/dev")
    with browser.session_transaction() as session:
        text = repr(dict(session))
    assert not [secret for secret in oauth_provider.issued_secrets() if secret in text]


# -- the two halves of a login ---


def start(stub: Any, app: Flask, **arguments: Any) -> Any:
    stub.answers.setdefault("/request_token", REQUEST_TOKEN)
    client = OAuth(app, DictCache()).register("dev", **stub.oauth1(**arguments))
    with app.test_request_context():
        response = client.authorize_redirect("https://app.test/cb?x=1", screen_name="bob")
    return client, response


def test_s149_request_token_is_asked_for_with_the_callback(app: Flask, stub: Any) -> None:
    """S:149-158: the provider would not know where to send the browser back to."""
    _, response = start(stub, app)
    (seen,) = stub.find("/request_token")
    assert seen.method == "POST"
    assert 'oauth_callback="https%3A%2F%2Fapp.test%2Fcb%3Fx%3D1"' in seen.headers["authorization"]
    assert response.status_code == 302
    query = parse_qs(urlsplit(response.location).query)
    assert query == {"oauth_token": ["RT"], "screen_name": ["bob"]}
    assert response.headers["Cache-Control"] == "no-store"


def test_request_token_params_are_keywords_of_the_request(app: Flask, stub: Any) -> None:
    """``request_token_params={"params": …}``, as Authlib's Flask client took them, would be refused or lost."""
    start(
        stub,
        app,
        request_token_params={"params": {"scope": "read"}, "headers": {"X-One": "1"}, "realm": "Photos"},
        authorize_params={"screen_name": "fixed"},
    )
    (seen,) = stub.find("/request_token")
    assert seen.query == {"scope": "read"}
    assert seen.headers["x-one"] == "1"
    assert 'realm="Photos"' in seen.headers["authorization"]


def test_authorize_params_go_before_the_call(app: Flask, stub: Any) -> None:
    """A visitor-controlled keyword could replace what the operator has configured."""
    _, response = start(stub, app, authorize_params={"screen_name": "fixed", "oauth_token": "evil"})
    assert parse_qs(urlsplit(response.location).query) == {"oauth_token": ["RT"], "screen_name": ["fixed"]}


@pytest.mark.parametrize(
    "answer",
    [
        "oauth_token=RT&oauth_token_secret=RS",
        "oauth_token=RT&oauth_token_secret=RS&oauth_callback_confirmed=false",
        "oauth_token=&oauth_token_secret=RS&oauth_callback_confirmed=true",
        "oauth_token_secret=RS&oauth_callback_confirmed=true",
        "<html>sorry</html>",
        "",
        [],
    ],
)
def test_k01_unusable_request_token(app: Flask, stub: Any, answer: Any) -> None:
    """K01, K08: the browser would be sent off for a login that can be hijacked or cannot finish."""
    stub.answers["/request_token"] = answer
    with pytest.raises(ProviderResponseError):
        start(stub, app)


def test_a_refused_request_token(app: Flask, stub: Any) -> None:
    """A wrong consumer key would look like a fault of this application."""
    stub.answers["/request_token"] = (401, "no")
    with pytest.raises(FetchTokenDeniedError) as caught:
        start(stub, app)
    assert caught.value.error == "fetch_token_denied"


def come_back(app: Flask, client: Any, query: str, cookie: dict[str, Any]) -> Any:
    """The callback in the browser whose session this is."""
    from flask import session

    with app.test_request_context(f"/cb?{query}"):
        session.update(cookie)
        return client.authorize_access_token()


@pytest.fixture
def begun(app: Flask, stub: Any) -> tuple[Any, dict[str, Any]]:
    """A client and the session of a browser that has started a login with it."""
    from flask import session

    stub.answers |= {
        "/request_token": REQUEST_TOKEN,
        "/access_token": "oauth_token=T&oauth_token_secret=S&screen_name=bob&user_id=7",
    }
    client = OAuth(app, DictCache()).register("dev", **stub.oauth1(access_token_params={"headers": {"X-One": "1"}}))
    with app.test_request_context():
        client.authorize_redirect("https://app.test/cb")
        return client, dict(session)


def test_s160_the_whole_answer_is_the_token(app: Flask, stub: Any, begun: Any) -> None:
    """S:160-165: ``user_id`` and ``screen_name`` in the answer would be lost."""
    token = come_back(app, begun[0], "oauth_token=RT&oauth_verifier=V", begun[1])
    assert dict(token) == {"oauth_token": "T", "oauth_token_secret": "S", "screen_name": "bob", "user_id": "7"}
    (seen,) = stub.find("/access_token")
    assert seen.method == "POST"
    assert 'oauth_verifier="V"' in seen.headers["authorization"]
    assert 'oauth_token="RT"' in seen.headers["authorization"]
    assert seen.headers["x-one"] == "1"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("oauth_token=foreign&oauth_verifier=V", "missing_request_token"),
        ("oauth_verifier=V", "missing_request_token"),
        ("", "missing_request_token"),
        ("oauth_token=RT", "missing_verifier"),
        ("oauth_token=RT&oauth_verifier=", "missing_verifier"),
        ("denied=RT", "access_denied"),
        ("oauth_token=RT&oauth_token=RT&oauth_verifier=V", "invalid_callback"),
        ("oauth_token=RT&oauth_verifier=V&oauth_verifier=V", "invalid_callback"),
        ("code=C&state=S", "missing_request_token"),
        ("oauth_token=%00&oauth_verifier=V", "missing_request_token"),
        ("oauth_token=" + "x" * 20000 + "&oauth_verifier=V", "invalid_callback"),
    ],
)
def test_k02_unusable_callbacks(app: Flask, stub: Any, begun: Any, query: str, error: str) -> None:
    """K02, K05, K06, K13, K14, A13: a foreign or incomplete callback would reach the provider, or crash."""
    from flask_oauth_accounts import OAuthError

    with pytest.raises(OAuthError) as caught:
        come_back(app, begun[0], query, begun[1])
    assert caught.value.error == error
    assert 400 <= caught.value.status < 500
    assert not stub.find("/access_token")


def test_k02_own_pair_compares_the_token(app: Flask, stub: Any) -> None:
    """K02: with the application's own functions a foreign ``oauth_token`` would be signed and sent."""
    client = OAuth(app).register(
        "dev",
        **stub.oauth1(),
        save_request_token=print,
        fetch_request_token=lambda: {"oauth_token": "RT", "oauth_token_secret": "RS"},
    )
    for query in ("oauth_token=foreign&oauth_verifier=V", "oauth_verifier=V"):
        with app.test_request_context(f"/?{query}"), pytest.raises(MissingRequestTokenError):
            client.authorize_access_token()
    with app.test_request_context("/?oauth_token=RT"), pytest.raises(MissingVerifierError):
        client.authorize_access_token()
    assert not stub.seen


@pytest.mark.parametrize("cookie", [{}, {"_oauth_accounts": {"b": "other"}}])
def test_k03_request_token_of_another_browser(app: Flask, stub: Any, begun: Any, cookie: dict[str, Any]) -> None:
    """K03: an attacker could have a victim finish the attacker's login."""
    with pytest.raises(MissingRequestTokenError):
        come_back(app, begun[0], "oauth_token=RT&oauth_verifier=V", cookie)
    assert not stub.find("/access_token")


def test_k04_replay(app: Flask, stub: Any, begun: Any) -> None:
    """K04: a callback could be used twice, even with the old cookie put back."""
    come_back(app, begun[0], "oauth_token=RT&oauth_verifier=V", begun[1])
    with pytest.raises(MissingRequestTokenError):
        come_back(app, begun[0], "oauth_token=RT&oauth_verifier=V", begun[1])
    assert len(stub.find("/access_token")) == 1


# -- signatures ---


METHODS = ["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "RSA-SHA256", "PLAINTEXT"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["HEADER", "AUTH_HEADER", "QUERY", "BODY"])
def test_signatures(app: Flask, oauth_provider: DevProvider, add_views: Any, method: str, kind: str) -> None:
    """A provider that asks for another signature than HMAC-SHA1 in the header could not be used."""
    arguments = oauth_provider.register_kwargs("oauth1")
    arguments["client_kwargs"] = {"signature_method": method, "signature_type": kind}
    if method.startswith("RSA"):
        arguments["client_kwargs"]["rsa_key"] = oauth_provider.client_private_key
    oauth = OAuth(app, DictCache())
    client = oauth.register("dev", **arguments)
    add_views(app, oauth)
    browser = app.test_client()
    answer = browser.get(str(oauth_provider.authorize(browser.get("/login/dev").location, "bob")))
    assert answer.status_code == 200, answer.json
    with app.test_request_context():
        assert client.post("echo", token=answer.json, data={"a": "ü &="}).json()["subject"] == "dev-1002"
        assert client.get("me", token=answer.json, params={"q": "ü &="}).json()["login"] == "bob"


def test_where_a_signature_goes(app: Flask, stub: Any) -> None:
    """``signature_type`` would be accepted and ignored."""
    token = {"oauth_token": "T", "oauth_token_secret": "S"}
    oauth = OAuth(app)
    for kind in ("QUERY", "BODY", "HEADER"):
        client = oauth.register(kind, **stub.oauth1(client_kwargs={"signature_type": kind, "realm": "Photos"}))
        with app.test_request_context():
            client.post("a", token=token, data={"x": "1"})
    query, body, header = stub.seen
    assert "oauth_signature" in query.query
    assert "oauth_signature" in body.form
    assert header.headers["authorization"].startswith('OAuth realm="Photos"')
    assert header.form == {"x": "1"}


def test_a_signature_never_replaces_another_body(app: Flask, stub: Any) -> None:
    """With ``signature_type="BODY"`` a JSON document or file would be sent as a form, or not at all."""
    token = {"oauth_token": "T", "oauth_token_secret": "S"}
    client = OAuth(app).register("dev", **stub.oauth1(client_kwargs={"signature_type": "BODY"}))
    with app.test_request_context():
        client.post("a", token=token, json={"x": 1})
        client.post("b", token=token, files={"f": ("n", b"content")})
        client.put("c", token=token, data="<xml/>", headers={"Content-Type": "text/xml"})
        client.post("d", token=token)
    as_json, as_file, as_xml, empty = stub.seen
    assert as_json.body == b'{"x": 1}'
    assert b"content" in as_file.body
    assert as_xml.body == b"<xml/>"
    assert all("authorization" in seen.headers for seen in stub.seen[:3])
    assert "oauth_signature" in empty.form


def test_k09_nonces_are_unique(app: Flask, stub: Any) -> None:
    """K09: a provider that checks nonces would refuse the second call."""
    client = OAuth(app).register("dev", **stub.oauth1())
    with app.test_request_context():
        for _ in range(5):
            client.get("a", token={"oauth_token": "T", "oauth_token_secret": "S"})
    nonces = {seen.headers["authorization"].split('oauth_nonce="')[1].split('"')[0] for seen in stub.seen}
    assert len(nonces) == 5


def pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"signature_method": "HMAC-MD5"}, "DEV_CLIENT_KWARGS: signature_method must be one of HMAC-SHA1"),
        ({"signature_type": "COOKIE"}, "DEV_CLIENT_KWARGS: signature_type must be HEADER"),
        ({"signature_method": "RSA-SHA1"}, "DEV_CLIENT_KWARGS: .*rsa_key"),
        ({"signature_method": "RSA-SHA1", "rsa_key": "no key"}, "DEV_CLIENT_KWARGS: .*rsa_key"),
        ({"signature_method": "RSA-SHA1", "rsa_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "rsa_key"),
        ({"signatur_method": "HMAC-SHA1"}, "did you mean 'signature_method'"),
        ({"token": {}}, "'token' is not known here"),
    ],
)
def test_client_kwargs_that_cannot_work(app: Flask, stub: Any, kwargs: dict[str, Any], says: str) -> None:
    """A mistake in ``client_kwargs`` would explode in the middle of the first login."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        OAuth(app).register("dev", **stub.oauth1(client_kwargs=kwargs))
    assert "PRIVATE KEY" not in str(caught.value)


def test_plaintext_needs_tls(app: Flask, create_app: Any) -> None:
    """PLAINTEXT sends both secrets; without TLS everybody on the way would have them."""
    urls = ("request_token_url", "access_token_url", "authorize_url", "api_base_url")
    arguments: dict[str, Any] = {key: f"http://provider.test/{key}/" for key in urls} | {"client_id": "1"}
    with pytest.raises(ConfigurationError, match="OAUTH_ACCOUNTS_ALLOW_HTTP"):
        OAuth(app).register("dev", **arguments, client_kwargs={"signature_method": "PLAINTEXT"})
    allowed = create_app(OAUTH_ACCOUNTS_ALLOW_HTTP="provider.test")
    assert OAuth(allowed).register("dev", **arguments, client_kwargs={"signature_method": "PLAINTEXT"})


def test_rsa_key_needs_no_client_secret(app: Flask, stub: Any) -> None:
    """A client of a provider that works with keys alone would be refused."""
    key = pem(rsa.generate_private_key(65537, 2048))
    arguments = stub.oauth1(client_secret=None, client_kwargs={"signature_method": "RSA-SHA256", "rsa_key": key})
    client = OAuth(app).register("dev", **arguments)
    with app.test_request_context():
        client.get("a", token={"oauth_token": "T", "oauth_token_secret": "S"})
    assert 'oauth_signature_method="RSA-SHA256"' in stub.seen[0].headers["authorization"]


def test_profile_by_oauth_1(app: Flask, oauth_provider: DevProvider, add_views: Any) -> None:
    """A provider of OAuth 1 could not say who somebody is."""
    oauth = OAuth(app, DictCache())
    client = oauth.register("dev", **oauth_provider.register_kwargs("oauth1"))
    add_views(app, oauth)
    browser = app.test_client()
    token = browser.get(str(oauth_provider.authorize(browser.get("/login/dev").location, "alice"))).json
    with app.test_request_context():
        client.token = token
        identity = client.profile()
        assert client.userinfo()["login"] == "alice"
    assert (identity.name, identity.subject, identity.username) == ("dev", "dev-1001", "alice")
