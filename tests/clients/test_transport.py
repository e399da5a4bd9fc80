"""The transport among friends: one pool, no memory, no surprises."""

from __future__ import annotations

import datetime
import io
import multiprocessing
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flask_oauth_accounts.clients.transport import Transport, user_agent
from flask_oauth_accounts.errors import (
    ConfigurationError,
    ProviderResponseError,
    ProviderUnavailable,
    UntrustedHostError,
)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A PEM file with a certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "localhost.pem"
    path.write_bytes(
        built.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def _serve_tls(web: Any, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    web.wrap(context)


def test_a_hundred_sessions_use_one_connection(web: Any, answer: Any, transport: Transport) -> None:
    """Without the shared pool every API call pays for a new TCP and TLS handshake."""
    web.routes["/me"] = answer({"id": 1})
    for _ in range(100):
        session = requests.Session()
        transport.prepare(session)
        with session:
            assert transport.send_api(session, "GET", f"{web.url}/me").json() == {"id": 1}
    assert len(web.connections) == 1


def test_tls_connections_are_kept_too(web: Any, answer: Any, create_transport: Any, certificate: Path) -> None:
    """Real providers are https: a pool that only works for http would help nobody."""
    _serve_tls(web, certificate)
    web.routes["/me"] = answer({"id": 1})
    transport = create_transport(
        verify=str(certificate), operator_hosts=["localhost"], allow_http=lambda host, port: False
    )
    for _ in range(10):
        assert transport.fetch("GET", f"{web.url}/me").json() == {"id": 1}
    assert len(web.connections) == 1


def test_an_unknown_certificate_is_refused(web: Any, create_transport: Any, certificate: Path) -> None:
    """Whoever sits on the wire could otherwise read client secrets and tokens."""
    _serve_tls(web, certificate)
    transport = create_transport(operator_hosts=["localhost"])
    with pytest.raises(ProviderUnavailable, match="TLS failed"):
        transport.fetch("GET", f"{web.url}/me?code=secret")
    assert web.seen == []


def test_an_unreadable_ca_file_is_the_operators_matter(create_transport: Any) -> None:
    """A wrong path in verify= would otherwise look like a fault of the provider."""
    transport = create_transport(verify="/nowhere/ca.pem", operator_hosts=["localhost"])
    with pytest.raises(ConfigurationError, match="verify"):
        transport.fetch("GET", "https://localhost:1/")


def test_threads_share_the_pool_and_nothing_else(web: Any, answer: Any, transport: Transport) -> None:
    """One user's cookies and headers in another user's call would be a breach."""
    web.routes["/me"] = lambda seen: answer(
        {"you": seen.headers.get("authorization", "")}, headers={"Set-Cookie": "who=" + seen.headers["authorization"]}
    )
    wrong: list[Any] = []

    def work(user: str) -> None:
        for _ in range(50):
            session = transport.create_session()
            reply = transport.send_api(session, "GET", f"{web.url}/me", headers={"Authorization": user})
            if reply.json() != {"you": user} or len(session.cookies):
                wrong.append(reply.json())

    threads = [threading.Thread(target=work, args=(f"user-{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(web.seen) == 400
    assert not any("cookie" in seen.headers for seen in web.seen)
    assert len(web.connections) <= 8


def test_g14_a_cookie_is_not_kept_within_a_session(web: Any, answer: Any, transport: Transport) -> None:
    """A session that is used twice would otherwise carry the provider's cookie along."""
    web.routes["/me"] = answer({}, headers={"Set-Cookie": "sid=1; Path=/"})
    session = transport.create_session()
    for _ in range(2):
        transport.send_api(session, "GET", f"{web.url}/me")
    assert [seen.headers.get("cookie") for seen in web.seen] == [None, None]


def test_g13_netrc_and_environment_change_nothing(
    web: Any, answer: Any, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc entry would replace the Bearer header, and a proxy variable would send tokens through a stranger."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login root password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    web.routes["/me"] = answer({})
    transport.fetch("GET", f"{web.url}/me", headers={"Authorization": "Bearer t"})
    transport.fetch("GET", f"{web.url}/me")
    assert [seen.headers.get("authorization") for seen in web.seen] == ["Bearer t", None]
    assert web.seen[0].headers["user-agent"] == user_agent()
    assert user_agent().startswith("flask-oauth-accounts")


def test_a_configured_proxy_is_used(web: Any, answer: Any, create_transport: Any) -> None:
    """Who must go out through a proxy says so in client_kwargs; the address check is the proxy's matter then."""
    web.routes["http://api.example.com/me"] = answer({"by": "proxy"})
    transport = create_transport(proxies={"http": web.url}, allow_http=lambda host, port: host == "api.example.com")
    for _ in range(2):
        assert transport.fetch("GET", "http://api.example.com/me").json() == {"by": "proxy"}
    assert len(web.connections) == 1


def _call_in_child(transport: Transport, url: str, results: Any) -> None:
    results.put(transport.send_api(transport.create_session(), "GET", url).json())


def test_d10_a_forked_worker_opens_connections_of_its_own(web: Any, answer: Any, transport: Transport) -> None:
    """Two processes on one socket would read each other's answers."""
    web.routes["/me"] = answer({"id": 1})
    transport.fetch("GET", f"{web.url}/me")
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    child = fork.Process(target=_call_in_child, args=(transport, f"{web.url}/me", results))
    child.start()
    assert results.get(timeout=20) == {"id": 1}
    child.join(20)
    results.close()
    results.join_thread()
    transport.fetch("GET", f"{web.url}/me")
    assert len(web.connections) == 2


def test_g11_plain_http_is_refused_before_a_byte(web: Any, create_transport: Any) -> None:
    """A token sent in clear is a token given away."""
    transport = create_transport(allow_http=lambda host, port: False, operator_hosts=["127.0.0.1"])
    with pytest.raises(UntrustedHostError, match="OAUTH_ACCOUNTS_ALLOW_HTTP"):
        transport.fetch("GET", f"{web.url}/token?code=secret")
    with pytest.raises(UntrustedHostError):
        transport.send_api(transport.create_session(), "GET", f"{web.url}/me")
    assert not web.connections


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])
def test_g08_g10_a_private_address_is_refused_before_a_byte(web: Any, create_transport: Any, host: str) -> None:
    """A hostile discovery document or DNS record could otherwise make the server ask its own network."""
    transport = create_transport(allow_http=lambda host, port: False)
    with pytest.raises(UntrustedHostError, match="private address"):
        transport.fetch("GET", f"https://{host}:{web.port}/latest/meta-data")
    assert not web.connections


def test_an_address_in_the_applications_own_call_may_be_private(
    web: Any, answer: Any, create_transport: Any, certificate: Path
) -> None:
    """An application could not call a service inside its company's network; or a provider's word would lead there."""
    _serve_tls(web, certificate)
    transport = create_transport(verify=str(certificate), allow_http=lambda host, port: False)
    web.routes["/me"] = answer({"id": 1})
    assert transport.send_api(transport.create_session(), "GET", f"{web.url}/me").json() == {"id": 1}
    with pytest.raises(UntrustedHostError, match="private address"):
        transport.fetch("GET", f"{web.url}/me")
    assert len(web.seen) == 1


def test_g08_a_redirect_of_an_applications_call_does_not_lead_to_private_addresses(
    web: Any, create_web: Any, answer: Any, create_transport: Any, certificate: Path
) -> None:
    """Whoever answers an application's call could have the server ask its own network."""
    other = create_web()
    _serve_tls(web, certificate)
    _serve_tls(other, certificate)
    transport = create_transport(verify=str(certificate), allow_http=lambda host, port: False)
    web.routes["/me"] = answer(status=302, headers={"Location": f"{other.url}/latest/meta-data"})
    with pytest.raises(UntrustedHostError, match="private address"):
        transport.send_api(transport.create_session(), "GET", f"{web.url}/me", allow_redirects=True)
    assert other.seen == []


@pytest.mark.parametrize("name", ["LOCALHOST", "localhost:8443"])
def test_a_host_that_the_operator_named_may_be_private(web: Any, create_transport: Any, name: str) -> None:
    """An identity provider inside the company's network is what the operator wants."""
    transport = create_transport(operator_hosts=[name], allow_http=lambda host, port: False)
    with pytest.raises(ProviderUnavailable):
        transport.fetch("GET", f"https://localhost:{web.port}/")
    assert web.connections


def test_a_wildcard_names_the_hosts_below_it(create_transport: Any) -> None:
    """``allowed_hosts`` may hold ``*.example.com``, and the hosts it means may be private as well."""
    transport = create_transport(operator_hosts=["*.corp.example"], allow_http=lambda host, port: False)
    private = [(0, 0, 0, "", ("10.0.0.1", 443))]
    assert transport._screen("idp.corp.example", private) == private
    for host in ("corp.example", "evilcorp.example", "idp.corp.example.evil"):
        with pytest.raises(UntrustedHostError):
            transport._screen(host, private)


def test_o1_g07_protocol_redirects_are_not_followed(
    web: Any, create_web: Any, answer: Any, transport: Transport
) -> None:
    """A token endpoint that redirects would have code and client secret posted to another host."""
    other = create_web()
    for status in (301, 302, 303, 307, 308):
        web.routes["/token"] = answer(status=status, headers={"Location": f"{other.url}/steal"})
        with pytest.raises(ProviderResponseError, match=f"answered {status}"):
            transport.fetch("POST", f"{web.url}/token", data={"client_secret": "s"})
    assert other.seen == []


def test_a_prepared_session_never_follows_a_redirect_by_itself(
    web: Any, create_web: Any, answer: Any, transport: Transport
) -> None:
    """requests-oauthlib's own methods post without asking us, and requests would follow for them."""
    other = create_web()
    web.routes["/token"] = answer(status=307, headers={"Location": f"{other.url}/steal"})
    assert transport.create_session().post(f"{web.url}/token", data={"client_secret": "s"}).status_code == 307
    assert other.seen == []


def test_api_redirects_within_the_origin_are_followed(web: Any, answer: Any, transport: Transport) -> None:
    """Providers move resources; a GET for one that moved should still find it, with the token."""
    web.routes["/old"] = answer(status=301, headers={"Location": "/new?page=2"})
    web.routes["/new"] = answer({"ok": True})
    session = transport.create_session()
    reply = transport.send_api(
        session, "GET", f"{web.url}/old", params={"page": "1"}, headers={"Authorization": "Bearer t"}
    )
    assert reply.json() == {"ok": True}
    assert [seen.path for seen in web.seen] == ["/old?page=1", "/new?page=2"]
    assert web.seen[1].headers["authorization"] == "Bearer t"
    assert [step.status_code for step in reply.history] == [301]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_unsafe_calls_follow_no_redirect(web: Any, answer: Any, transport: Transport, method: str) -> None:
    """A write that is silently repeated elsewhere, or turned into a GET, is worse than a 3xx that is seen."""
    web.routes["/old"] = answer(status=307, headers={"Location": "/new"})
    reply = transport.send_api(transport.create_session(), method, f"{web.url}/old")
    assert reply.status_code == 307
    assert len(web.seen) == 1


@pytest.mark.parametrize(
    ("method", "status", "asked", "body"),
    [
        ("POST", 301, "GET", b""),
        ("POST", 302, "GET", b""),
        ("POST", 303, "GET", b""),
        ("PUT", 302, "GET", b""),
        ("DELETE", 301, "DELETE", b""),
        ("HEAD", 303, "HEAD", b""),
        ("POST", 307, "POST", b"a=1"),
        ("PUT", 308, "PUT", b"a=1"),
    ],
)
def test_any_call_follows_a_redirect_when_told_to(
    web: Any, answer: Any, transport: Transport, method: str, status: int, asked: str, body: bytes
) -> None:
    """An API that answers a write with "see there", as its documentation says, could not be used as requests is."""
    web.routes["/old"] = answer(status=status, headers={"Location": "/new"})
    web.routes["/new"] = answer({"ok": True})
    reply = transport.send_api(
        transport.create_session(), method, f"{web.url}/old", params={"q": "1"}, data={"a": "1"}, allow_redirects=True,
        headers={"Authorization": "Bearer t", "content-type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert reply.status_code == 200
    seen = web.seen[1]
    assert (seen.method, seen.path, seen.body) == (asked, "/new", body)
    assert seen.headers["authorization"] == "Bearer t"
    assert ("content-type" in seen.headers) is bool(body)


def test_a_body_that_was_read_is_not_sent_again(web: Any, answer: Any, transport: Transport) -> None:
    """An upload would arrive empty at the address that it is redirected to."""
    web.routes["/old"] = answer(status=307, headers={"Location": "/new"})
    options: list[dict[str, Any]] = [{"data": io.BytesIO(b"a")}, {"files": {"f": b"a"}}]
    for option in options:
        session = transport.create_session()
        assert transport.send_api(session, "POST", f"{web.url}/old", allow_redirects=True, **option).status_code == 307
    assert len(web.seen) == 2


def test_g03_a_write_leaves_its_origin_as_a_bare_get_or_not_at_all(
    web: Any, create_web: Any, answer: Any, transport: Transport
) -> None:
    """G03: a redirect would carry what is written, and who writes it, to a foreign host."""
    other = create_web()
    for status, followed in ((307, False), (303, True)):
        web.routes["/old"] = answer(status=status, headers={"Location": f"{other.url}/new"})
        other.routes["/new"] = answer({"ok": True})
        reply = transport.send_api(
            transport.create_session(), "POST", f"{web.url}/old", json={"secret": 1}, allow_redirects=True,
            headers={"Authorization": "Bearer t"},
        )  # fmt: skip
        assert reply.status_code == (200 if followed else status)
    (seen,) = other.seen
    assert (seen.method, seen.body) == ("GET", b"")
    assert "authorization" not in seen.headers


def test_redirects_can_be_switched_off(web: Any, answer: Any, transport: Transport) -> None:
    """The application that wants to see the 3xx gets it."""
    web.routes["/old"] = answer(status=302, headers={"Location": "/new"})
    session = transport.create_session()
    assert transport.send_api(session, "GET", f"{web.url}/old", allow_redirects=False).status_code == 302


def test_g03_a_cross_origin_redirect_is_returned(web: Any, create_web: Any, answer: Any, transport: Transport) -> None:
    """By default nothing at all goes to an address that only the answer named."""
    other = create_web()
    web.routes["/file"] = answer(status=302, headers={"Location": f"{other.url}/file"})
    reply = transport.send_api(transport.create_session(), "GET", f"{web.url}/file")
    assert reply.status_code == 302
    assert other.seen == []


def test_g03_t20_an_explicit_cross_origin_redirect_carries_no_credential(
    web: Any, create_web: Any, answer: Any, transport: Transport
) -> None:
    """A download that moves to a storage host works, and that host learns nothing about the user."""
    other = create_web()
    location = f"{other.url}/file?sig=1&access_token=t&oauth_signature=x"
    web.routes["/file"] = answer(status=302, headers={"Location": location})
    other.routes["/file"] = answer(b"content")
    session = transport.create_session()
    session.auth = _sign
    reply = transport.send_api(
        session, "GET", f"{web.url}/file", allow_redirects=True, cookies={"c": "1"}, params={"access_token": "t"},
        headers={"X-Api-Key": "k", "Accept": "text/plain", "Range": "bytes=0-"},
    )  # fmt: skip
    assert reply.content == b"content"
    assert web.seen[0].headers["authorization"] == "OAuth secret"
    seen = other.seen[0]
    assert seen.path == "/file?sig=1"
    assert not {"authorization", "x-api-key", "cookie", "referer"} & set(seen.headers)
    assert seen.headers["accept"] == "text/plain"
    assert seen.headers["range"] == "bytes=0-"


def _sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
    request.headers["Authorization"] = "OAuth secret"
    return request


def test_a_redirect_from_https_to_http_is_not_followed(
    web: Any, create_web: Any, answer: Any, create_transport: Any, certificate: Path
) -> None:
    """Even without a token, what is fetched over plain http could be anybody's answer."""
    other = create_web()
    _serve_tls(web, certificate)
    web.routes["/file"] = answer(status=302, headers={"Location": f"{other.url}/file"})
    transport = create_transport(verify=str(certificate), operator_hosts=["localhost"])
    reply = transport.send_api(transport.create_session(), "GET", f"{web.url}/file", allow_redirects=True)
    assert reply.status_code == 302
    assert other.seen == []


def test_g19_a_redirect_loop_ends_after_five(web: Any, answer: Any, transport: Transport) -> None:
    """A loop must not keep a worker busy."""
    web.routes["/loop"] = answer(status=302, headers={"Location": "/loop"})
    with pytest.raises(ProviderResponseError, match="circles"):
        transport.send_api(transport.create_session(), "GET", f"{web.url}/loop")
    assert len(web.seen) == 6


def test_streams_are_the_callers(web: Any, answer: Any, create_transport: Any) -> None:
    """A download larger than the limit is possible for who asks to read it piece by piece."""
    web.routes["/big"] = answer(b"x" * 5000)
    transport = create_transport(max_bytes=1000)
    with pytest.raises(ProviderResponseError, match="larger than 1000 bytes"):
        transport.send_api(transport.create_session(), "GET", f"{web.url}/big")
    with transport.send_api(transport.create_session(), "GET", f"{web.url}/big", stream=True) as reply:
        assert sum(len(piece) for piece in reply.iter_content(100)) == 5000


def test_a_large_upload_arrives(web: Any, answer: Any, transport: Transport) -> None:
    """Sending in pieces must not lose or double any."""
    web.routes["/up"] = lambda seen: answer({"size": len(seen.body)})
    body = bytes(range(256)) * 4096
    assert transport.send_api(transport.create_session(), "POST", f"{web.url}/up", data=body).json() == {
        "size": len(body)
    }
    assert web.seen[0].body == body
