"""A forward proxy that speaks CONNECT, and a TLS door before a plain server: what stands between an office and a model.

`ConnectProxy` leads each host that it knows to an address of the test, so that public names need no network.
"""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CHUNK_BYTES = 65536
Address = tuple[str, int]
Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Door:
    """A listening socket on loopback; connections are closed with it."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    @property
    def address(self) -> Address:
        """Return where it listens."""
        host, port = self._server.sockets[0].getsockname()
        return host, port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self.handle(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side may hang up at any time
        finally:
            self._writers.discard(writer)
            writer.close()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        raise NotImplementedError

    async def _join(self, near: Pipe, address: Address) -> None:
        far = await asyncio.open_connection(*address)
        self._writers.add(far[1])
        try:
            await asyncio.gather(_pump(near[0], far[1]), _pump(far[0], near[1]))
        finally:
            self._writers.discard(far[1])
            far[1].close()


class ConnectProxy(_Door):
    """Opens tunnels to the hosts of `routes`, and answers 502 for any other; `heads` keeps what it was asked."""

    def __init__(self, routes: Mapping[str, Address]) -> None:
        super().__init__()
        self._routes = routes
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        """Return its URL."""
        return "http://{}:{}".format(*self.address)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.heads.append(head)
        method, target, _ = head.split("\r\n", 1)[0].split(" ")
        address = self._routes.get(target) if method == "CONNECT" else None
        if address is None:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._join((reader, writer), address)


class TlsDoor(_Door):
    """Speaks TLS with a certificate, and hands what is in it to a plain server."""

    def __init__(self, certificate: Path, behind: Address) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        super().__init__(context)
        self._behind = behind

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._join((reader, writer), self._behind)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(CHUNK_BYTES):
        writer.write(part)
        await writer.drain()
    writer.close()


def write_certificate(path: Path, host: str) -> Path:
    """Write a key and a certificate of `host` that signs itself (PEM); who trusts the file trusts the host."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(pem))
    return path
