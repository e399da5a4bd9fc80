"""Reading answers and addresses."""

from __future__ import annotations

from typing import Any

import pytest

from flask_oauth_accounts.clients.answers import parse_retry_after
from flask_oauth_accounts.clients.origins import is_public_address, origin_of, place_of, same_origin
from flask_oauth_accounts.clients.transport import Transport, check_status, decode_json, parse_form_or_json
from flask_oauth_accounts.errors import ProviderResponseError, ProviderUnavailable


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("99999999999999999999", 86400.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86400.0),
        ("", None),
        (None, None),
        ("-1", None),
        ("1e3", None),
        ("²", None),
        ("soon", None),
        ("Thu, 99 Jan 1970 00:00:01 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """A provider's wish to be left alone is honoured, and a hostile one cannot switch logins off for a year."""
    assert parse_retry_after(value, now=100.0) == seconds


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
def test_unavailable_by_status(web: Any, answer: Any, transport: Transport, status: int) -> None:
    """5xx and 429 are told apart from answers that make no sense, because trying again helps."""
    web.routes["/a"] = answer(b"", status, {"Retry-After": "5"})
    with pytest.raises(ProviderUnavailable, match=str(status)) as caught:
        check_status(transport.fetch("GET", f"{web.url}/a"), "acme")
    assert caught.value.retry_after == 5.0


@pytest.mark.parametrize("status", [200, 204, 400, 401, 404])
def test_other_statuses_pass(web: Any, answer: Any, transport: Transport, status: int) -> None:
    """What a 400 means is for the protocol to say."""
    web.routes["/a"] = answer(b"", status)
    check_status(transport.fetch("GET", f"{web.url}/a"), "acme")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b"{'a': 1}",
    ],
    ids=["empty", "html", "utf-16", "nan", "infinity", "overflow", "deep", "deep-object", "huge-int", "quotes"],
)
def test_o7_bad_json(web: Any, answer: Any, transport: Transport, body: bytes) -> None:
    """Whatever a provider sends, the login ends in a page and not in a traceback."""
    web.routes["/a"] = answer(body, headers={"Content-Type": "application/json"})
    response = transport.fetch("GET", f"{web.url}/a")
    for read in (decode_json, parse_form_or_json):
        with pytest.raises(ProviderResponseError):
            read(response, "acme")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{"a": "1", "b": ""}'),
        ("application/json; charset=utf-8", '\ufeff{"a": "1", "b": ""}'),
        ("text/html", '{"a": "1", "b": ""}'),
        ("text/javascript", '{"a": "1", "b": ""}'),
        ("application/x-www-form-urlencoded", "a=1&b="),
        ("Application/X-WWW-Form-Urlencoded;charset=UTF-8", "a=1&b=&a=2"),
        ("text/plain", "a=1&b=\n"),
        ("text/html; charset=utf-8", "a=1&b="),
    ],
)
def test_forms_and_json(web: Any, answer: Any, transport: Transport, kind: str, body: str) -> None:
    """OAuth 1 providers and GitHub answer with forms, and some with a wrong content type."""
    web.routes["/a"] = answer(body, headers={"Content-Type": kind})
    assert parse_form_or_json(transport.fetch("GET", f"{web.url}/a"), "acme") == {"a": "1", "b": ""}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", "[]"),
        ("application/json", "null"),
        ("application/json", "a=1"),
        ("text/html", "<a href=x>"),
        ("application/x-www-form-urlencoded", "%ff=%fe"),
        ("application/x-www-form-urlencoded", "&".join(f"a{n}=1" for n in range(500))),
    ],
)
def test_neither_form_nor_json(web: Any, answer: Any, transport: Transport, kind: str, body: str) -> None:
    """An error page is not a token."""
    web.routes["/a"] = answer(body, headers={"Content-Type": kind})
    with pytest.raises(ProviderResponseError):
        parse_form_or_json(transport.fetch("GET", f"{web.url}/a"), "acme")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.Example.com/x?y", "https://api.example.com"),
        ("HTTPS://api.example.com:443", "https://api.example.com"),
        ("https://api.example.com:8443/", "https://api.example.com:8443"),
        ("http://a:80/", "http://a"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://user:pw@a/", "https://a"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("https://good.example\\@evil.example/", None),
        ("https://a\t.example/", None),
        ("https://a.example/\n", None),
        ("//a.example/", None),
        ("/path", None),
        ("ftp://a/", None),
        ("https://", None),
        ("https://[::", None),
        ("https://a:99999/", None),
        ("https://a:x/", None),
        (None, None),
        (b"https://a/", None),
    ],
)
def test_origins(url: Any, origin: str | None) -> None:
    """Two spellings of one origin are one, and a URL that can be read in two ways belongs to none."""
    assert origin_of(url) == origin


def test_same_origin() -> None:
    """No origin is not the same as no origin."""
    assert same_origin("https://a/x", "https://A:443/y")
    assert not same_origin("https://a/", "http://a/")
    assert not same_origin("https://a/", "https://a:8443/")
    assert not same_origin("nonsense", "nonsense")


def test_places_hold_no_secret() -> None:
    """What errors say about a URL ends up in logs."""
    assert place_of("https://user:pw@a.example/path?code=1#frag") == "a.example/path"
    assert place_of("https://[::") == place_of(None) == "an address that is not a URL"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("64:ff9b::5db8:d822", True),
        ("::ffff:93.184.216.34", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_g08_public_addresses(address: str, public: bool) -> None:
    """Cloud metadata services and neighbours in the private network are not providers."""
    assert is_public_address(address) is public
