"""Discovery: whose document it is, what in it may be used, and how long it is kept."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flask_oauth_accounts.clients.oidc import MetadataSource, derive_issuer
from flask_oauth_accounts.clients.transport import Transport
from flask_oauth_accounts.errors import ConfigurationError, OAuthError, ProviderResponseError, ProviderUnavailable

PATH = "/.well-known/openid-configuration"


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def document(web: Any, **changes: Any) -> dict[str, Any]:
    """An ordinary document, but for the changes."""
    return {
        "issuer": web.url,
        "authorization_endpoint": f"{web.url}/authorize",
        "token_endpoint": f"{web.url}/token",
        "jwks_uri": f"{web.url}/jwks",
        "scopes_supported": ["openid"],
        **changes,
    }


def source(web: Any, transport: Transport, **options: Any) -> MetadataSource:
    """The metadata of the web server."""
    return MetadataSource(transport, provider="acme", **{"url": web.url + PATH, **options})


def test_the_document_is_kept(web: Any, answer: Any, transport: Transport, clock: Clock) -> None:
    """Discovery at each login would double its time."""
    web.routes[PATH] = answer(document(web))
    metadata = source(web, transport, clock=clock)
    for _ in range(5):
        assert metadata.load()["token_endpoint"] == f"{web.url}/token"
    assert len(web.seen) == 1
    clock.now += 3601
    metadata.load()
    assert len(web.seen) == 2
    with pytest.raises(TypeError):
        metadata.load()["token_endpoint"] = "x"  # type: ignore[index]


def test_what_is_configured_wins(web: Any, answer: Any, transport: Transport) -> None:
    """The operator's own endpoint beats the document's; None means not given."""
    web.routes[PATH] = answer(document(web))
    metadata = source(web, transport, static={"token_endpoint": "https://own.example/t", "jwks_uri": None})
    assert metadata.load()["token_endpoint"] == "https://own.example/t"
    assert metadata.load()["jwks_uri"] == f"{web.url}/jwks"


def test_without_a_url_nothing_is_fetched(web: Any, transport: Transport) -> None:
    """Plain OAuth 2 providers have no metadata."""
    metadata = source(web, transport, url=None, issuer="https://a", static={"token_endpoint": "https://a/t"})
    assert dict(metadata.load()) == {"token_endpoint": "https://a/t", "issuer": "https://a"}
    assert "jwks_uri" not in metadata.load()
    assert web.seen == []


@pytest.mark.parametrize(
    "found", ["https://evil.example", "", None, 7, ["x"], {}, "{url}/other", "{url}//", "{url}.evil.example"]
)
def test_c15_another_issuer_is_refused(web: Any, answer: Any, transport: Transport, found: Any) -> None:
    """A document that names another issuer would let one provider sign for another."""
    found = found.replace("{url}", web.url) if isinstance(found, str) else found
    web.routes[PATH] = answer(document(web, issuer=found))
    for issuer in (None, web.url):
        with pytest.raises(ProviderResponseError, match="issuer") as caught:
            source(web, transport, issuer=issuer).load()
        assert web.url in str(caught.value)
        assert caught.value.status == 502


def test_c15_a_missing_issuer_is_refused(web: Any, answer: Any, transport: Transport) -> None:
    """The member is required; without it nothing ties the document to its provider."""
    content = document(web)
    del content["issuer"]
    web.routes[PATH] = answer(content)
    with pytest.raises(ProviderResponseError, match="issuer none"):
        source(web, transport).load()


def test_one_slash_at_the_end_is_forgiven(web: Any, answer: Any, transport: Transport) -> None:
    """Auth0's issuer ends with a slash, and nobody types it."""
    web.routes[PATH] = answer(document(web, issuer=web.url + "/"))
    assert source(web, transport).load()["issuer"] == web.url + "/"
    assert source(web, transport, issuer=web.url).load()["issuer"] == web.url + "/"


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        ("https://login.example/{tenantid}/v2.0", True),
        ("https://login.example/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", True),
        ("https://login.example/a/b/v2.0", False),
        ("https://login.example//v2.0", False),
        ("https://login.example/v2.0", False),
        ("https://login.example/a/v1.0", False),
        ("https://login.example.evil/a/v2.0", False),
    ],
)
def test_c32_an_issuer_template(web: Any, answer: Any, transport: Transport, found: str, fits: bool) -> None:
    """Microsoft's common endpoint names a template; only tenants fit into it."""
    web.routes["/common/v2.0" + PATH] = answer(document(web, issuer=found))
    metadata = source(
        web, transport, url=f"{web.url}/common/v2.0{PATH}", issuer_aliases=("https://login.example/{tenantid}/v2.0",)
    )
    if fits:
        assert metadata.load()["issuer"] == found
    else:
        with pytest.raises(ProviderResponseError):
            metadata.load()


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        (f"https://a{PATH}", "https://a"),
        (f"https://a/realms/x{PATH}", "https://a/realms/x"),
        (f"https://a/x{PATH}?p=policy", "https://a/x"),
        ("https://a/.well-known/oauth-authorization-server", "https://a"),
        ("https://a/.well-known/oauth-authorization-server/x/y", "https://a/x/y"),
        ("https://a/.well-known/openid-configuration/x", "https://a/x"),
        ("https://a/metadata.json", None),
        ("https://a/.well-known/openid-configurations", None),
    ],
)
def test_the_issuer_is_told_by_the_address(url: str, issuer: str | None) -> None:
    """Most applications configure the address only."""
    assert derive_issuer(url) == issuer


def test_an_address_that_tells_no_issuer_needs_one(web: Any, answer: Any, transport: Transport) -> None:
    """The document alone must not decide whose it is."""
    web.routes["/meta.json"] = answer(document(web))
    with pytest.raises(ConfigurationError, match="issuer="):
        source(web, transport, url=f"{web.url}/meta.json").load()
    assert source(web, transport, url=f"{web.url}/meta.json", issuer=web.url).load()


@pytest.mark.parametrize(
    "value",
    [
        "http://op.example/token",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//op.example/token",
        "https://user:pw@op.example/",
        "https://op.example/#x",
        "https://op.example\\@evil.example/",
        "",
        None,
        7,
        ["https://op.example/"],
    ],
)
def test_g08_endpoints_must_be_https(web: Any, answer: Any, transport: Transport, value: Any) -> None:
    """A document could otherwise send codes and secrets in clear, or the visitor to a script."""
    web.routes[PATH] = answer(document(web, token_endpoint=value, end_session_endpoint=value, jwks_uri=value))
    metadata = source(web, transport)
    assert not {"token_endpoint", "end_session_endpoint", "jwks_uri"} & set(metadata.load())
    with pytest.raises(ProviderResponseError, match="token_endpoint of the metadata is not an https URL"):
        metadata.check_endpoint("token_endpoint")
    metadata.check_endpoint("authorization_endpoint")
    metadata.check_endpoint("introspection_endpoint")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"<html>", 200, ProviderResponseError),
        (b"[]", 200, ProviderResponseError),
        (b"null", 200, ProviderResponseError),
        (b"{}", 404, ProviderResponseError),
        (b"", 301, ProviderResponseError),
        (b"", 503, ProviderUnavailable),
    ],
)
def test_a_failure_is_not_kept(
    web: Any, answer: Any, transport: Transport, body: bytes, status: int, error: type[OAuthError]
) -> None:
    """The next login after an outage works."""
    web.routes[PATH] = answer(body, status)
    metadata = source(web, transport)
    with pytest.raises(error):
        metadata.load()
    web.routes[PATH] = answer(document(web))
    assert metadata.load()["issuer"] == web.url


def test_an_old_document_serves_while_the_provider_is_down(
    web: Any, answer: Any, transport: Transport, clock: Clock
) -> None:
    """Endpoints seldom move: an hour-old document is better than no login, and is not asked for at each of them."""
    web.routes[PATH] = answer(document(web))
    metadata = source(web, transport, clock=clock)
    metadata.load()
    web.routes[PATH] = answer(b"", 503)
    clock.now += 7200
    for _ in range(10):
        assert metadata.load()["issuer"] == web.url
    assert len(web.seen) == 2
    clock.now += 6
    web.routes[PATH] = answer(document(web, scopes_supported=["openid", "email"]))
    assert metadata.load()["scopes_supported"] == ["openid", "email"]


def test_g21_many_threads_cause_one_request_and_share_its_failure(web: Any, answer: Any, transport: Transport) -> None:
    """Twenty visitors who meet a hanging provider must wait once, not one after the other."""
    arrived, gate = threading.Event(), threading.Event()

    def slow(seen: Any) -> Any:
        arrived.set()
        gate.wait(20)
        return answer(b"", 503)

    web.routes[PATH] = slow
    metadata = source(web, transport)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            metadata.load()
        except OAuthError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    threads[0].start()
    assert arrived.wait(20)
    for thread in threads[1:]:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 8
    assert {type(error) for error in errors} == {ProviderUnavailable}
    assert len(set(map(id, errors))) == 8
    assert {str(error) for error in errors} == {str(errors[0])}
