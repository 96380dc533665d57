"""PostgreSQL servers that speak TLS, and the certificates for it.

The throwaway server's wheel is built without TLS, so a front that speaks it stands before that server. Where the
machine has a PostgreSQL of its own (Debian's is built with TLS), a throwaway cluster of that one is tested too.
"""

import asyncio
import datetime as dt
import os
import pwd
import shutil
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests import databases, servers
from tests.colours import LoopThread
from undercroft.settings.tls import Tls
from undercroft.settings.urls import DatabaseUrl

# What a door of the server lets in: anybody, TLS only, plain text only, holders of a certificate only.
EITHER_WAY, TLS_ONLY, PLAIN_ONLY, WITH_CERTIFICATE = DOORS = "either_way", "tls_only", "plain_only", "with_certificate"
_HBA = """
host    postgres         all 127.0.0.1/32 trust
host    either_way       all 127.0.0.1/32 trust
hostssl tls_only         all 127.0.0.1/32 trust
hostnossl plain_only     all 127.0.0.1/32 trust
hostssl with_certificate all 127.0.0.1/32 trust clientcert=verify-ca
"""
_SSL_REQUEST, _GSS_REQUEST = struct.pack("!ii", 8, 80877103), struct.pack("!ii", 8, 80877104)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key; an authority issues others."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, folder: Path, name: str, passphrase: bytes | None = None) -> tuple[str, str]:
        """The paths of the certificate and the key, as PEM."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        sealed: Any = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        key.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed))
        key.chmod(0o600)
        return str(certificate), str(key)


def issue(name: str, by: Issued | None = None, dns: str = "") -> Issued:
    """A certificate of an authority, or an authority if there is none to issue it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=by.certificate.subject if by else subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - day,
        not_valid_after=now + day,
    ).add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False)
    return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)


@dataclass(frozen=True)
class TlsServer:
    """Its certificate names `localhost` and not 127.0.0.1; `client` is of the same authority, `stranger` is not."""

    doors: dict[str, tuple[int, str]]  # port and database
    ca: str
    other_ca: str
    client: tuple[str, str]
    stranger: tuple[str, str]

    def url(self, door: str, tls: Tls, host: str = "localhost") -> DatabaseUrl:
        port, database = self.doors[door]
        return DatabaseUrl("postgresql", host=host, port=port, user="postgres", database=database, tls=tls)


def names() -> list[str]:
    """The servers there are."""
    return ["front", *(["postgresql"] if _programs() else [])]


@contextmanager
def run(name: str, loop: LoopThread) -> Iterator[TlsServer]:
    """A server, with its certificates in a directory of its own."""
    with TemporaryDirectory(prefix="undercroft-test-tls-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o711)  # started by root, PostgreSQL runs as another user
        ca, other = issue("an authority"), issue("another authority")
        paths = {
            "ca": ca.write(home, "ca")[0],
            "other_ca": other.write(home, "other")[0],
            "client": issue("postgres", ca).write(home, "client"),
            "stranger": issue("postgres", other).write(home, "stranger"),
        }
        certificate = issue("server", ca, dns="localhost")
        with ExitStack() as lifetimes:
            if name == "front":
                address = lifetimes.enter_context(databases.created(servers.url("postgresql")))
                doors = lifetimes.enter_context(_front(home, certificate, loop, address))
            else:
                doors = lifetimes.enter_context(_cluster(home, certificate))
            yield TlsServer(doors, **paths)


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) or [Path(shutil.which("pg_ctl") or "/nowhere")]
    return found[-1].parent if found[-1].exists() else None


@contextmanager
def _cluster(home: Path, certificate: Issued) -> Iterator[dict[str, tuple[int, str]]]:
    data, programs = home / "data", _programs()
    data.mkdir()
    assert programs is not None
    account: dict[str, Any] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        nobody = pwd.getpwnam("nobody")
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(data, nobody.pw_uid, nobody.pw_gid)

    def command(program: str, *arguments: object) -> None:
        line = [programs / program, "-D", data, *map(str, arguments)]
        subprocess.run(line, check=True, cwd=data, stdout=subprocess.DEVNULL, **account)

    command("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
    shutil.copy(home / "ca.crt", data / "ca.crt")
    for path in (*certificate.write(data, "server"), data / "ca.crt"):
        if account:
            os.chown(path, account["user"], account["group"])
    (data / "pg_hba.conf").write_text(_HBA)
    port = servers._free_port()
    settings = f"port={port} listen_addresses=127.0.0.1 unix_socket_directories= ssl=on ssl_ca_file=ca.crt"
    options = " ".join(f"-c {setting}" for setting in settings.split())
    command("pg_ctl", "start", "--wait", f"--log={data / 'log'}", "-o", options)
    try:
        with closing(
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True)
        ) as connection:
            for door in DOORS:
                connection.execute(f"CREATE DATABASE {door}")
        yield {door: (port, door) for door in DOORS}
    finally:
        command("pg_ctl", "stop", "--wait", "--mode=immediate")


@contextmanager
def _front(home: Path, certificate: Issued, loop: LoopThread, address: str) -> Iterator[dict[str, tuple[int, str]]]:
    """Speaks TLS as PostgreSQL does (its documentation, "SSL Session Encryption"), one port a door."""
    contexts = {}
    for door in DOORS:
        contexts[door] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        contexts[door].load_cert_chain(*certificate.write(home, "server"))
        if door == WITH_CERTIFICATE:
            contexts[door].load_verify_locations(home / "ca.crt")
            contexts[door].verify_mode = ssl.CERT_REQUIRED
    behind = urlsplit(address)

    async def answer(door: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError), closing(writer):
            head, encrypted = await reader.readexactly(8), False
            while head in {_SSL_REQUEST, _GSS_REQUEST}:
                encrypted = head == _SSL_REQUEST and door != PLAIN_ONLY
                writer.write(b"S" if encrypted else b"N")
                if encrypted:
                    await writer.start_tls(contexts[door])
                head = await reader.readexactly(8)
            if door in {TLS_ONLY, WITH_CERTIFICATE} and not encrypted:
                fields = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0\0"
                writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
                await writer.drain()
                return
            back_reader, back_writer = await asyncio.open_connection(behind.hostname, behind.port)
            with closing(back_writer):
                back_writer.write(head)
                await asyncio.wait(
                    [
                        asyncio.ensure_future(_pump(reader, back_writer)),
                        asyncio.ensure_future(_pump(back_reader, writer)),
                    ],
                    return_when=asyncio.FIRST_COMPLETED,
                )

    async def start() -> list[asyncio.Server]:
        return [await asyncio.start_server(partial(answer, door), "127.0.0.1", 0) for door in DOORS]

    async def stop() -> None:
        for listener in listeners:
            listener.close()

    listeners = loop.run(start)
    yield {
        door: (listener.sockets[0].getsockname()[1], behind.path.removeprefix("/"))
        for door, listener in zip(DOORS, listeners, strict=True)
    }
    loop.run(stop)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextmanager
def before(address: str, home: Path, loop: LoopThread) -> Iterator[tuple[int, str]]:
    """Speaks TLS from the first byte before a Redis that does not; gives its port, and its authority's certificate."""
    ca = issue("an authority")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*issue("server", ca, dns="localhost").write(home, "server"))
    behind = urlsplit(address)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(behind.hostname, behind.port)
        pumps = [
            asyncio.ensure_future(_pump(reader, back_writer)),
            asyncio.ensure_future(_pump(back_reader, writer)),
        ]
        with closing(writer), closing(back_writer):
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)

    async def stop() -> None:
        listener.close()

    listener = loop.run(start)
    yield listener.sockets[0].getsockname()[1], ca.write(home, "ca")[0]
    loop.run(stop)
