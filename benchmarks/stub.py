"""The provider of the benchmarks: a TLS server in a process of its own that does as little as it can.

It keeps connections alive, answers every request at once, and counts the connections. What is measured is the client.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import multiprocessing
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PROFILE = {"id": 7, "login": "bob", "name": "Bob", "email": "bob@example.com"}
TOKEN = {"access_token": "the-access-token", "token_type": "Bearer", "scope": "profile"}


@dataclass(frozen=True)
class Stub:
    """A running stub.

    :ivar url: its origin, with ``https``.
    :ivar certificate: path of the PEM file to verify it with; it holds the usual authorities too, for reading them is
        a part of what a new connection costs.
    """

    url: str
    certificate: str
    _connections: Any

    def connections(self) -> int:
        """:return: how many connections were opened so far."""
        return int(self._connections.value)


@contextmanager
def run_stub(folder: Path) -> Iterator[Stub]:
    """Run the stub in a process of its own.

    :param folder: where its throw-away certificate goes.
    """
    certificate, key = _create_certificate(folder)
    authorities = folder / "authorities.pem"
    authorities.write_text(certifi.contents() + Path(certificate).read_text())
    context = multiprocessing.get_context("spawn")
    connections, port = context.Value("i", 0), context.Queue()
    process = context.Process(target=_serve, args=(certificate, key, connections, port), daemon=True)
    process.start()
    try:
        yield Stub(f"https://localhost:{port.get(timeout=30)}", str(authorities), connections)
    finally:
        process.terminate()
        process.join()


def _create_certificate(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(certificate_path), str(key_path)


def _serve(certificate: str, key: str, connections: Any, port: Any) -> None:
    asyncio.run(_run(certificate, key, connections, port))


async def _run(certificate: str, key: str, connections: Any, port: Any) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    profile, token = _create_answer(PROFILE), _create_answer(TOKEN)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.value += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                writer.write(token if head.startswith(b"POST") else profile)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    port.put(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _create_answer(values: dict[str, Any]) -> bytes:
    body = json.dumps(values).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
