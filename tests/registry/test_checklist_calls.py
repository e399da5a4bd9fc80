"""Calling the API: what code written for Authlib's Flask client relies on, and who may see a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_oauth_accounts import ConfigurationError, InvalidTokenError, MissingTokenError, OAuth, UntrustedHostError
from flask_oauth_accounts.remote_app.recent import Recent

TOKEN = {"access_token": "AT-1", "token_type": "Bearer"}
TOKEN1 = {"oauth_token": "OT-1", "oauth_token_secret": "OS-1"}


def register(app: Flask, arguments: dict[str, Any], token: dict[str, Any] | None = TOKEN) -> Any:
    """A client whose user has a token."""
    oauth = OAuth(app)
    return oauth.register("dev", **arguments, fetch_token=lambda: token)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "head", "options"])
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_s037_methods(app: Flask, stub: Any, method: str, protocol: str) -> None:
    """S:37: an API that needs another method than GET could not be called."""
    arguments = getattr(stub, protocol)()
    client = register(app, arguments, TOKEN if protocol == "oauth2" else TOKEN1)
    with app.test_request_context():
        response = getattr(client, method)("item", params={"q": "1"})
    (seen,) = stub.seen
    assert (seen.method, seen.path, seen.query) == (method.upper(), "/api/item", {"q": "1"})
    assert response.status_code == 200
    expected = "Bearer AT-1" if protocol == "oauth2" else "OAuth "
    assert seen.headers["authorization"].startswith(expected)


def test_s169_request_takes_what_requests_takes(app: Flask, stub: Any) -> None:
    """S:169, 223: keywords of ``requests`` would be swallowed or refused."""
    client = register(app, stub.oauth2())
    with app.test_request_context():
        client.request("post", "a", data={"x": "ü"}, headers={"X-One": "1"}, timeout=5)
        client.request("POST", "b", json={"x": 1}, cookies={"c": "1"}, timeout=(3, 5))
        client.post("c", files={"f": ("name.txt", b"content")})
    first, second, third = stub.seen
    assert (first.form, first.headers["x-one"]) == ({"x": "ü"}, "1")
    assert second.body == b'{"x": 1}'
    assert b"content" in third.body
    assert all(seen.headers["authorization"] == "Bearer AT-1" for seen in stub.seen)


def test_own_user_agent(app: Flask, stub: Any) -> None:
    """Providers that refuse requests without a name (GitHub) would refuse ours."""
    client = register(app, stub.oauth2())
    with app.test_request_context():
        client.get("a")
        client.get("b", headers={"User-Agent": "mine"})
    assert "flask" in stub.seen[0].headers["user-agent"].lower()
    assert stub.seen[1].headers["user-agent"] == "mine"


def test_token_argument_wins(app: Flask, stub: Any) -> None:
    """A call for somebody else would carry the current user's token."""
    client = register(app, stub.oauth2())
    with app.test_request_context():
        client.get("a", token={"access_token": "other"})
        client.get("a")
    assert [seen.headers["authorization"] for seen in stub.seen] == ["Bearer other", "Bearer AT-1"]


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_missing_token(app: Flask, stub: Any, protocol: str) -> None:
    """A call without a token would be sent, or fail in a way that no code can tell apart."""
    client = register(app, getattr(stub, protocol)(), None)
    with app.test_request_context(), pytest.raises(MissingTokenError) as caught:
        client.get("a")
    assert caught.value.error == "missing_token"
    assert not stub.seen


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_withhold_token(app: Flask, stub: Any, protocol: str) -> None:
    """A public resource could not be read without a token, or would be shown one."""
    client = register(app, getattr(stub, protocol)(), None)
    with app.test_request_context():
        client.get("a", withhold_token=True)
        client.get(f"{stub.url.replace('127.0.0.1', 'localhost')}/elsewhere", withhold_token=True)
    assert [seen.path for seen in stub.seen] == ["/api/a", "/elsewhere"]
    assert not any("authorization" in seen.headers for seen in stub.seen)


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("/1.1/", "acc.json", "/1.1/acc.json"),
        ("/1.1", "acc.json", "/acc.json"),
        ("/1.1/", "/acc.json", "/acc.json"),
        ("/1.1/", "../acc.json", "/acc.json"),
        ("/1.1/", "?a=b", "/1.1/"),
        ("/1.1/", "", "/1.1/"),
    ],
)
def test_relative_addresses_are_joined_as_urljoin_does(
    app: Flask, stub: Any, base: str, url: str, expected: str
) -> None:
    """Code written for another client would ask other addresses than before."""
    client = register(app, stub.oauth2(api_base_url=stub.url + base))
    with app.test_request_context():
        client.get(url)
        client.get(stub.url + expected)
    assert [seen.path for seen in stub.seen] == [expected, expected]


def test_a_relative_address_needs_a_base(app: Flask) -> None:
    """The sentence would not say what to set."""
    client = register(app, {"client_id": "1"})
    with app.test_request_context(), pytest.raises(ConfigurationError, match="DEV_API_BASE_URL"):
        client.get("me")


FOREIGN = [
    "//127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}/x",
    "HTTP://127.0.0.1:{port}/x",
    "HtTp://127.0.0.1:{port}/x",
    "///127.0.0.1:{port}/x",
    "/\\127.0.0.1:{port}/x",
    "\\\\127.0.0.1:{port}/x",
    "http:\\\\127.0.0.1:{port}/x",
    " http://127.0.0.1:{port}/x",
    "/\t/127.0.0.1:{port}/x",
    "http://127.0.0.1:{own}@127.0.0.1:{port}/x",
    "http://localhost:{port}/x",
    "http://127.1:{port}/x",
    "http://127.0.0.1:{port} /x",
    "http://127.0.0.1:{port}/x ",
    "\u00a0http://127.0.0.1:{port}/x",
    "https://127.0.0.1:{own}/x",
]


@pytest.mark.parametrize("url", FOREIGN)
@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_g02_foreign_hosts_see_not_a_byte(app: Flask, stub: Any, listener: Any, url: str, protocol: str) -> None:
    """A token would leave for a host that is not the provider's."""
    client = register(app, getattr(stub, protocol)(), TOKEN if protocol == "oauth2" else TOKEN1)
    target = url.format(port=listener.port, own=stub.port)
    with app.test_request_context():
        try:
            client.get(target)
        except UntrustedHostError:
            refused = True
        else:
            refused = False
    assert not listener.connections
    assert not listener.received
    # A path with three slashes stays at home, so it may be asked.
    assert refused or (
        url.startswith("///") and [seen.headers["host"] for seen in stub.seen] == [f"127.0.0.1:{stub.port}"]
    )


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_blanks_within_an_address(app: Flask, stub: Any, protocol: str) -> None:
    """A search as the documentation of Google Drive shows it would be refused as an attack."""
    client = register(app, getattr(stub, protocol)(), TOKEN if protocol == "oauth2" else TOKEN1)
    with app.test_request_context():
        client.get("my files?q=name contains 'x'")
        for odd in (" a", "a ", "a\tb", "a\nb", "a\\b", f"http://127.0.0.1 :{stub.port}/a", "http://a b.test/", None):
            with pytest.raises(UntrustedHostError):
                client.get(odd)
    (seen,) = stub.seen
    assert (seen.path, seen.query) == ("/api/my%20files", {"q": "name contains 'x'"})


@pytest.mark.parametrize(
    ("allowed", "sent"),
    [
        (["localhost:{port}"], True),
        ("localhost:{port}, other.test", True),
        (["*.localhost:{port}"], False),
        (["localhost"], False),
        (["localhost:1"], False),
        ([], False),
    ],
)
def test_allowed_hosts(app: Flask, stub: Any, allowed: Any, sent: bool) -> None:
    """A provider with a second API host could not be used, or a wrong port would get the token."""
    text = allowed.format(port=stub.port) if isinstance(allowed, str) else [a.format(port=stub.port) for a in allowed]
    client = register(app, stub.oauth2(allowed_hosts=text))
    with app.test_request_context():
        if sent:
            client.get(f"http://localhost:{stub.port}/x")
        else:
            with pytest.raises(UntrustedHostError, match="allowed_hosts"):
                client.get(f"http://localhost:{stub.port}/x")
    assert bool(stub.seen) is sent


def test_allowed_hosts_by_wildcard(app: Flask) -> None:
    """``*.example.com`` would also stand for other domains, or for none."""
    arguments = {"client_id": "1", "api_base_url": "https://api.example.test/", "allowed_hosts": ["*.example.com"]}
    client = register(app, arguments)
    client._hosts.check("https://a.example.com/")
    client._hosts.check("https://a.b.EXAMPLE.com./x")
    for url in (
        "https://example.com/",
        "https://evilexample.com/",
        "https://a.example.com:8443/",
        "https://.example.com/",
    ):
        with pytest.raises(UntrustedHostError):
            client._hosts.check(url)


def test_allowed_hosts_by_address(app: Flask) -> None:
    """An address of IP version 6 would be cut at its first colon."""
    client = register(app, {"client_id": "1", "allowed_hosts": ["[::1]:8000", "API.Example.com."]})
    client._hosts.check("http://[::1]:8000/x")
    client._hosts.check("https://api.example.com/x")
    for url in ("http://[::1]/x", "http://[::2]:8000/x"):
        with pytest.raises(UntrustedHostError):
            client._hosts.check(url)


@pytest.mark.parametrize(
    "host", ["https://api.example.com", "api.example.com/v1", "a@b.test", "a.test:x", "*", "a.*.test", ""]
)
def test_allowed_hosts_that_are_none(app: Flask, host: str) -> None:
    """An address in place of a host name would never fit, and the developer would not learn why."""
    oauth = OAuth(app)
    with pytest.raises(ConfigurationError, match="DEV_ALLOWED_HOSTS"):
        oauth.register("dev", client_id="1", allowed_hosts=[host])
    assert oauth.create_client("dev") is None


def test_a_client_with_neither_is_not_pinned(app: Flask, stub: Any) -> None:
    """A client without ``api_base_url`` could not call anything."""
    client = register(app, {"client_id": "1"})
    with app.test_request_context():
        client.get(f"{stub.url}/x")
    assert stub.seen[0].headers["authorization"] == "Bearer AT-1"


def test_a_configured_endpoint_is_trusted_on_its_own_origin(app: Flask, stub: Any) -> None:
    """A provider whose userinfo lies on another host than its API could not be used."""
    other = f"http://localhost:{stub.port}"
    client = register(app, stub.oauth2(userinfo_endpoint=f"{other}/me"))
    stub.answers["/me"] = {"sub": "1"}
    with app.test_request_context():
        assert client.userinfo()["sub"] == "1"
        assert client.get(f"{other}/me").status_code == 200


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
def test_g03_no_credential_survives_a_redirect(app: Flask, stub: Any, protocol: str) -> None:
    """A provider that redirects elsewhere would pass the token on, or a re-signed request with it."""
    client = register(app, getattr(stub, protocol)(), TOKEN if protocol == "oauth2" else TOKEN1)
    stub.answers["/api/a"] = (302, {}, {"Location": f"http://localhost:{stub.port}/target"})
    with app.test_request_context():
        response = client.get("a")
        followed = client.get("a", allow_redirects=True)
    assert response.status_code == 302
    assert followed.status_code == 200
    (seen,) = stub.find("/target")
    assert "authorization" not in seen.headers


# -- after a 401 ---


def answer_by_token(stub: Any) -> Callable[[Any], Any]:
    """An API that accepts the renewed token only."""

    def answer(seen: Any) -> Any:
        return {"ok": True} if seen.headers.get("authorization") == "Bearer AT-2" else (401, {"error": "invalid_token"})

    return answer


@pytest.mark.parametrize(
    ("method", "retried"),
    [
        ("GET", True),
        ("HEAD", True),
        ("OPTIONS", True),
        ("PUT", True),
        ("DELETE", True),
        ("POST", False),
        ("PATCH", False),
    ],
)
def test_a_401_renews_once_and_retries_what_may_be_repeated(app: Flask, stub: Any, method: str, retried: bool) -> None:
    """A token that the provider has withdrawn would fail the call, or an order would be placed twice."""
    stub.answers["/api/a"] = answer_by_token(stub)
    stub.answers["/token"] = {"access_token": "AT-2", "token_type": "Bearer", "expires_in": 3600}
    kept: list[Any] = []
    client = OAuth(app).register(
        "dev",
        **stub.oauth2(),
        fetch_token=lambda: {**TOKEN, "refresh_token": "RT-1"},
        update_token=kept.append,
    )
    with app.test_request_context():
        response = client.request(method, "a")
    assert response.status_code == (200 if retried else 401)
    assert len(stub.find("/token")) == (1 if retried else 0)
    assert len(stub.find("/api/a")) == (2 if retried else 1)
    assert len(kept) == (1 if retried else 0)


@pytest.mark.parametrize(
    ("kwargs", "status"),
    [({"stream": True}, 200), ({"data": b"x"}, 200), ({"data": iter([b"x"])}, 401), ({"files": {"f": b"x"}}, 401)],
    ids=["stream", "bytes", "iterator", "files"],
)
def test_a_401_is_repeated_with_the_same_body_or_not_at_all(
    app: Flask, stub: Any, kwargs: dict[str, Any], status: int
) -> None:
    """A body that has been read once would be stored empty by the second request."""
    stub.answers["/api/a"] = answer_by_token(stub)
    stub.answers["/token"] = {"access_token": "AT-2", "token_type": "Bearer", "expires_in": 3600}
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: {**TOKEN, "refresh_token": "RT-1"})
    with app.test_request_context():
        response = client.put("a", **kwargs)
    assert response.status_code == status
    response.close()


def test_a_second_401_is_the_answer(app: Flask, stub: Any) -> None:
    """A provider that refuses for another reason would be asked for ever."""
    stub.answers["/api/a"] = (401, {})
    stub.answers["/token"] = {"access_token": "AT-2"}
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: {**TOKEN, "refresh_token": "RT-1"})
    with app.test_request_context():
        assert client.get("a").status_code == 401
    assert len(stub.find("/api/a")) == 2
    assert len(stub.find("/token")) == 1


def test_an_api_that_always_refuses_costs_one_refresh(app: Flask, stub: Any) -> None:
    """One address that means "not for you" by its 401 would use up the provider's limit of refreshes for everybody."""
    stub.answers["/api/closed"] = (401, {})
    stub.answers["/api/open"] = lambda seen: {"ok": True} if "AT-3" in seen.headers["authorization"] else (401, {})
    renewals = iter(["AT-2", "AT-3"])
    stub.answers["/token"] = lambda _: {"access_token": next(renewals), "refresh_token": "RT-2"}
    kept: dict[str, Any] = {**TOKEN, "refresh_token": "RT-1"}
    client = OAuth(app).register("dev", **stub.oauth2(), fetch_token=lambda: kept, update_token=kept.update)
    for number in range(4):
        with app.test_request_context():
            assert client.get(f"closed?page={number}").status_code == 401
    assert len(stub.find("/api/closed")) == 5
    assert len(stub.find("/token")) == 1
    with app.test_request_context():
        assert client.get("open").status_code == 200
    assert len(stub.find("/token")) == 2


def test_a_profile_that_is_always_refused_costs_one_refresh(app: Flask, stub: Any) -> None:
    """Each look at a profile page would end a refresh token and begin another."""
    stub.answers["/me"] = (401, {})
    stub.answers["/token"] = {"access_token": "AT-2", "refresh_token": "RT-2"}
    kept: dict[str, Any] = {**TOKEN, "refresh_token": "RT-1"}
    oauth = OAuth(app, fetch_token=lambda _: kept, update_token=lambda _, token: kept.update(token))
    client = oauth.register("dev", **stub.oauth2(userinfo_endpoint=f"{stub.url}/me"))
    for ask in (client.userinfo, client.profile, client.userinfo):
        with app.test_request_context(), pytest.raises(InvalidTokenError):
            ask()
    assert len(stub.find("/token")) == 1
    assert len(stub.find("/me")) == 4


def test_what_is_remembered_ends_and_is_bounded() -> None:
    """A token that works again would be refused for ever, or the process would grow with each user."""
    now = [1000.0]
    recent: Recent[int] = Recent(lambda: now[0])
    for number in range(1500):
        recent.put(str(number), number)
    assert [recent.find(key) for key in ("0", "499", "500", "1499")] == [None, None, 500, 1499]
    now[0] += 59
    assert recent.find("1499") == 1499
    now[0] += 2
    assert recent.find("1499") is None


def test_a_401_without_a_refresh_token_is_the_answer(app: Flask, stub: Any) -> None:
    """A call would raise where the application wants to read the answer."""
    stub.answers["/api/a"] = (401, {"why": "x"})
    client = register(app, stub.oauth2())
    with app.test_request_context():
        assert client.get("a").json() == {"why": "x"}


def test_connections_are_kept_and_cookies_are_not(app: Flask, stub: Any) -> None:
    """Each call would open a connection, or one user's cookies at the provider would serve the next."""
    stub.answers["/api/a"] = (200, {}, {"Set-Cookie": "who=alice"})
    client = register(app, stub.oauth2())
    with app.test_request_context():
        for _ in range(5):
            client.get("a")
    assert len(stub.connections) == 1
    assert not any("cookie" in seen.headers for seen in stub.seen)
