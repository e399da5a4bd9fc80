"""What goes wrong in the application's own code is told as that, and not as a fault of the provider."""

from __future__ import annotations

import io
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from flask_oauth_accounts import ConfigurationError, OAuth, OAuthError, ProviderUnavailable

BEARER = {"access_token": "the-token", "token_type": "Bearer"}
OAUTH1 = {"oauth_token": "a", "oauth_token_secret": "b"}


class OwnError(Exception):
    """An error of the application."""


def broken_fix(error: BaseException) -> Any:
    """A compliance fix whose hook fails."""

    def hook(url: str, headers: Any, data: Any) -> Any:
        raise error

    return lambda session: session.register_compliance_hook("protected_request", hook)


@pytest.mark.parametrize("protocol", ["oauth1", "oauth2"])
@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError, OwnError, requests.ConnectionError])
def test_what_a_hook_raises(app: Flask, stub: Any, protocol: str, kind: type[Exception]) -> None:
    """A mistake in a hook would be searched for at the provider."""
    raised = kind("of the hook")
    client = OAuth(app).register("dev", **getattr(stub, protocol)(compliance_fix=broken_fix(raised)))
    with app.test_request_context(), pytest.raises(kind) as caught:
        client.get("me", token=BEARER if protocol == "oauth2" else OAUTH1)
    assert caught.value is raised
    assert "hook" in [entry.name for entry in traceback.extract_tb(raised.__traceback__)]
    assert stub.seen == []


@pytest.mark.parametrize("placement", ["header", "uri", "body"])
def test_h11_what_a_hook_raises_shows_no_token(app: Flask, stub: Any, placement: str) -> None:
    """An error report about a mistake in a hook would carry the user's token to a third party."""
    fix = broken_fix(OwnError())
    client = OAuth(app).register("dev", **stub.oauth2(compliance_fix=fix, client_kwargs={"token_placement": placement}))
    with app.test_request_context(), pytest.raises(OwnError) as caught:
        client.post("me", token=dict(BEARER), data={"a": "b"})
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [line for line in frames.format() if "/flask_oauth_accounts/clients/" in line]
    assert ours and not [line for line in ours if "the-token" in line]


class BrokenFile:
    """A file that cannot be read to its end."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __len__(self) -> int:
        return 100

    def __iter__(self) -> Iterator[bytes]:
        return iter([])

    def read(self, size: int = -1) -> bytes:
        raise self._error


def generate(error: Exception) -> Iterator[bytes]:
    """A body that breaks off."""
    yield b"a"
    raise error


@pytest.mark.parametrize("kind", [FileNotFoundError, ConnectionResetError, ValueError, OwnError])
@pytest.mark.parametrize("body", ["file", "generator"])
def test_what_a_body_raises(app: Flask, stub: Any, body: str, kind: type[Exception]) -> None:
    """A file that cannot be read would look like a provider that is down, and be tried again and again."""
    raised = kind("of the body")
    client = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context(), pytest.raises(kind) as caught:
        client.post("me", token=BEARER, data=BrokenFile(raised) if body == "file" else generate(raised))
    assert caught.value is raised


def test_bodies_of_every_kind_arrive(app: Flask, stub: Any, tmp_path: Path) -> None:
    """An upload would arrive empty or changed."""
    path = tmp_path / "upload"
    path.write_bytes(b"x" * 200_000)
    client = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context(), path.open("rb") as file:
        for data in (file, path.read_bytes(), bytearray(path.read_bytes())):
            assert client.put("me", token=BEARER, data=data).ok
    assert [seen.body for seen in stub.seen] == [path.read_bytes()] * 3


@pytest.mark.parametrize("kind", ["HEADER", "BODY", "QUERY"])
def test_a_stream_arrives_with_oauth_1(app: Flask, stub: Any, kind: str) -> None:
    """An upload would be empty, for it was read while it was signed; or be replaced by the signature."""
    client = OAuth(app).register("dev", **stub.oauth1(client_kwargs={"signature_type": kind}))
    with app.test_request_context():
        assert client.post("me", token=OAUTH1, data=io.BytesIO(b"ab"), timeout=5).ok
        assert client.post("me", token=OAUTH1, data={"a": "b"}).ok
    stream, form = stub.seen
    assert stream.body == b"ab"
    assert "oauth_signature" in stream.query or "oauth_signature" in stream.headers["authorization"]
    assert ("oauth_signature" in form.form) == (kind == "BODY")


@pytest.mark.parametrize(
    ("keywords", "says", "cause"),
    [
        ({"headers": {"X": "a\nthe-token"}}, "one of its headers", None),
        ({"headers": {"X": 5}}, "one of its headers", None),
        ({"headers": {"X": "日本"}}, "cannot be made", None),
        ({"json": {"a": float("nan")}}, "written as JSON", ValueError),
        ({"timeout": 0}, "cannot be made", None),
        ({"proxies": {"http": "http://["}}, "cannot be made", None),
    ],
)
def test_keywords_of_a_call_that_cannot_be(
    app: Flask, stub: Any, keywords: dict[str, Any], says: str, cause: type[Exception] | None
) -> None:
    """The developer would look for the fault at the provider, or wait for it to come back."""
    client = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context(), pytest.raises(ConfigurationError, match=says) as caught:
        client.post("me", token=BEARER, **keywords)
    assert caught.value.provider == "dev"
    assert type(caught.value.__cause__) is (cause or type(None))
    assert "the-token" not in str(caught.value)
    assert stub.seen == []


@pytest.mark.parametrize("address", ["https://a..b/", "https://*.example.com/", "https://a:99999/"])
def test_an_address_that_is_none(app: Flask, stub: Any, address: str) -> None:
    """A typing error in the application's code would look like a fault of the provider."""
    client = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context(), pytest.raises(ConfigurationError):
        client.get(address, withhold_token=True)


def test_a_redirect_to_an_address_that_is_none(app: Flask, stub: Any) -> None:
    """A provider's nonsense would look like a mistake of the application."""
    stub.answers["/api/a"] = (302, "", {"Location": "https://["})
    stub.answers["/api/b"] = (302, "", {"Location": "https://a..b/"})
    client = OAuth(app).register("dev", **stub.oauth2())
    with app.test_request_context():
        assert client.get("a", token=BEARER, allow_redirects=True).status_code == 302
        with pytest.raises(OAuthError) as caught:
            client.get("b", token=BEARER, allow_redirects=True)
    assert caught.value.code == "provider_response"


def test_what_oauth_1_cannot_sign(app: Flask, stub: Any) -> None:
    """oauthlib's own words would come through, with the form in them."""
    client = OAuth(app).register("dev", **stub.oauth1())
    headers, form = {"Content-Type": "application/x-www-form-urlencoded"}, "password=ü the-secret"
    with app.test_request_context(), pytest.raises(ConfigurationError, match="urlencoded") as caught:
        client.post("me", token=OAUTH1, data=form, headers=headers)
    assert "the-secret" not in "".join(traceback.format_exception(caught.value))


def test_the_systems_own_words_are_kept(app: Flask, stub: Any) -> None:
    """The operator would not learn whether a name is unknown or a port closed; or an error report would hold tokens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = OAuth(app).register("dev", **stub.oauth2(api_base_url=f"http://127.0.0.1:{port}/"))
    address = "me?key=the-token"
    with app.test_request_context(), pytest.raises(ProviderUnavailable) as caught:
        client.get(address, token=BEARER)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert caught.value.__cause__.__traceback__ is None
    assert "the-token" not in "".join(traceback.format_exception(caught.value))
