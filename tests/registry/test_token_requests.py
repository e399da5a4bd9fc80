"""Token requests with keywords of the HTTP request: headers, proxies, certificates, an authentication of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from requests.auth import HTTPBasicAuth

from flask_oauth_accounts import ConfigurationError, OAuth, ProviderResponseError

REQUEST_TOKEN = "oauth_token=RT&oauth_token_secret=RS&oauth_callback_confirmed=true"
OUT_OF_REACH = "http://127.0.0.1:1"
"""Only a proxy leads there."""


def http_keywords(stub: Any) -> dict[str, Any]:
    """Keywords that requests understands, and a proxy without which nothing arrives."""
    return {
        "headers": {"X-One": "1", "accept": "text/plain"},
        "cookies": {"route": "a"},
        "proxies": {"http": stub.url},
        "timeout": (3, 8),
        "verify": False,
        "cert": None,
    }


@pytest.mark.parametrize("place", ["call", "configuration"])
def test_http_keywords_of_an_oauth_2_token_request(app: Flask, stub: Any, place: str) -> None:
    """A header, a proxy or a certificate would go to the provider as a field of the form, and be without effect."""
    stub.answers["/token"] = {"access_token": "AT"}
    keywords = {**http_keywords(stub), "resource": "one", "method": "POST"}
    given, call = ({}, keywords) if place == "call" else ({"access_token_params": keywords}, {})
    client = OAuth(app).register("dev", **stub.oauth2(access_token_url=f"{OUT_OF_REACH}/token", **given))
    with app.test_request_context():
        client.fetch_access_token(grant_type="client_credentials", **call)
    (seen,) = stub.find("/token")
    assert seen.form == {"grant_type": "client_credentials", "resource": "one"}
    assert (seen.headers["x-one"], seen.headers["accept"], seen.headers["cookie"]) == ("1", "text/plain", "route=a")
    assert seen.basic == ("the-client", "the-client-secret")


def test_http_keywords_of_a_refresh(app: Flask, stub: Any) -> None:
    """A gateway in front of the token endpoint would refuse each refresh."""
    stub.answers["/token"] = {"access_token": "new", "expires_in": 3600}
    client = OAuth(app).register("dev", **stub.oauth2(refresh_token_params={"headers": {"X-One": "1"}, "a": "b"}))
    with app.test_request_context():
        client.get("me", token={"access_token": "old", "refresh_token": "R", "expires_at": 1})
    (seen,) = stub.find("/token")
    assert seen.form == {"grant_type": "refresh_token", "refresh_token": "R", "a": "b"}
    assert seen.headers["x-one"] == "1"


def test_a_refresh_at_yahoo_names_a_redirect_uri(app: Flask, stub: Any) -> None:
    """Yahoo refuses a refresh without it, so everybody would have to consent again after an hour."""
    stub.answers["/token"] = {"access_token": "new", "expires_in": 3600}
    client = OAuth(app).register("yahoo", **stub.oauth2())
    with app.test_request_context():
        client.get("me", token={"access_token": "old", "refresh_token": "R", "expires_at": 1})
    assert stub.find("/token")[0].form["redirect_uri"] == "oob"


def test_auth_takes_the_place_of_the_client_authentication(app: Flask, stub: Any) -> None:
    """A provider that wants another authentication would get two, or one in the form."""
    stub.answers["/token"] = {"access_token": "AT"}
    client = OAuth(app).register(
        "dev", **stub.oauth2(client_kwargs={"token_endpoint_auth_method": "client_secret_post"})
    )
    with app.test_request_context():
        client.fetch_access_token(grant_type="client_credentials", auth=HTTPBasicAuth("other", "secret"))
    (seen,) = stub.find("/token")
    assert seen.basic == ("other", "secret")
    assert seen.form == {"grant_type": "client_credentials"}


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
@pytest.mark.parametrize(
    ("keyword", "value"), [("allow_redirects", True), ("stream", True), ("hooks", {"response": print})]
)
def test_keywords_that_would_change_the_request(app: Flask, stub: Any, protocol: str, keyword: str, value: Any) -> None:
    """A redirect would take code and secret to another server; or the keyword would be without effect in silence."""
    register: Callable[..., dict[str, Any]] = getattr(stub, protocol)
    with pytest.raises(ConfigurationError, match=f"DEV_ACCESS_TOKEN_PARAMS: '{keyword}'"):
        OAuth(app).register("dev", **register(access_token_params={keyword: value}))
    client = OAuth(app).register("dev", **register())
    with app.test_request_context(), pytest.raises(ConfigurationError, match=keyword):
        if protocol == "oauth1":
            token = {"oauth_token": "a", "oauth_token_secret": "b"}
            client.fetch_access_token(token, oauth_verifier="v", **{keyword: value})
        else:
            client.fetch_access_token(grant_type="client_credentials", **{keyword: value})
    assert stub.seen == []


def test_what_is_done_anyway_may_be_said(app: Flask, stub: Any) -> None:
    """Code that says ``allow_redirects=False``, to be on the safe side, would be refused."""
    stub.answers["/token"] = {"access_token": "AT"}
    client = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context():
        client.fetch_access_token(grant_type="client_credentials", allow_redirects=False, stream=False)
    assert stub.seen[0].form == {"grant_type": "client_credentials"}


def test_a_token_request_by_get(app: Flask, stub: Any) -> None:
    """The client secret would lie in the logs of every server on the way."""
    with pytest.raises(ConfigurationError, match="'method' must be POST"):
        OAuth(app).register("dev", **stub.oauth2(access_token_params={"method": "GET"}))


@pytest.mark.parametrize("kind", ["request_token", "access_token"])
def test_http_keywords_of_an_oauth_1_token_request(app: Flask, stub: Any, kind: str) -> None:
    """A proxy or a certificate would be a crash in the first login."""
    stub.answers |= {"/request_token": REQUEST_TOKEN, "/access_token": REQUEST_TOKEN}
    keywords = {**http_keywords(stub), "params": {"a": "1"}, "data": {"b": "2"}, "realm": "Photos"}
    given = {f"{kind}_params": keywords, f"{kind}_url": f"{OUT_OF_REACH}/{kind}"}
    client = OAuth(app).register("dev", **stub.oauth1(**given))
    with app.test_request_context():
        if kind == "request_token":
            client.create_authorization_url("https://app.test/cb")
        else:
            client.fetch_access_token({"oauth_token": "a", "oauth_token_secret": "b"}, oauth_verifier="v")
    (seen,) = stub.seen
    assert (seen.path, seen.query, seen.form) == (f"/{kind}", {"a": "1"}, {"b": "2"})
    assert (seen.headers["x-one"], seen.headers["cookie"]) == ("1", "route=a")
    assert 'realm="Photos"' in seen.headers["authorization"]


def test_parameters_in_the_wrong_place(app: Flask, stub: Any) -> None:
    """Who writes parameters where keywords of the request belong would find out at the first login."""
    with pytest.raises(ConfigurationError, match=r"DEV_REQUEST_TOKEN_PARAMS: 'scope' .* \"params\" or \"data\""):
        OAuth(app).register("dev", **stub.oauth1(request_token_params={"scope": "read"}))


def test_g08_an_endpoint_that_was_left_out_is_named(app: Flask, stub: Any) -> None:
    """The operator would look for a forgotten setting, where the provider names an address without TLS."""
    stub.answers["/.well-known/openid-configuration"] = {
        "issuer": stub.url,
        "authorization_endpoint": f"{stub.url}/authorize",
        "token_endpoint": "http://idp.example.com/token",
    }
    url = f"{stub.url}/.well-known/openid-configuration"
    client = OAuth(app).register("dev", client_id="1", client_secret="2", server_metadata_url=url)
    with app.test_request_context():
        with pytest.raises(ProviderResponseError, match=r"token_endpoint .*idp\.example\.com/token.*ALLOW_HTTP"):
            client.fetch_access_token(grant_type="client_credentials")
        with pytest.raises(ConfigurationError, match='Missing "introspection_endpoint"'):
            client.introspect_token({"access_token": "AT"})
