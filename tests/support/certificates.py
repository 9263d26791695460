"""Certificates that tests make, and a server that asks for them.

Invariant: nothing of it is trusted by any machine, and each authority has a key of its own.
"""

from __future__ import annotations

import contextlib
import queue
import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
CLOCKS = datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
"""Between these the clocks of tests stand; TLS goes by the machine's."""


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key of each size: they take long to make."""
    return rsa.generate_private_key(65_537, bits)


def new_key() -> Key:
    """A key that takes no time to make."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of(
    key: Key,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    """A private key as a text."""
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption()).decode()


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as texts."""

    certificate: str
    """With the chain."""
    key: str = field(repr=False)


class Authority:
    """Issues certificates; itself, or one that another has issued."""

    def __init__(self, name: str = "authority", issuer: Authority | None = None) -> None:
        self._key = new_key()
        self._issuer = issuer
        self._name = _name(name)
        signer = issuer or self
        self._own = (
            _builder(self._name, signer._name, self._key, *_around(datetime.now(UTC)))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    *(False,) * 5, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False
                ),
                critical=True,
            )
            .sign(signer._key, hashes.SHA256())
        )
        self.certificate = self._own.public_bytes(Encoding.PEM).decode()

    def issue(
        self,
        name: str = "client",
        *,
        key: Key | None = None,
        begins: datetime | None = None,
        ends: datetime | None = None,
        host: str | None = "127.0.0.1",
    ) -> Issued:
        """A certificate for a host, or for who has this name, which is valid unless it is said."""
        key = key or new_key()
        valid_from, valid_until = _around(datetime.now(UTC))
        made = _builder(_name(name), self._name, key, begins or valid_from, ends or valid_until)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        if host is not None:
            named = x509.IPAddress(IPv4Address(host)) if host[0].isdigit() else x509.DNSName(host)
            made = made.add_extension(x509.SubjectAlternativeName([named]), critical=False)
        chain = made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        return Issued(chain if self._issuer is None else chain + self.certificate, pem_of(key))


def self_signed(host: str = "127.0.0.1") -> Issued:
    """A certificate for a host that nobody has issued."""
    key = new_key()
    name = _name(host)
    made = _builder(name, name, key, *_around(datetime.now(UTC))).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(host))]), critical=False
    )
    return Issued(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(), pem_of(key))


def server_context(
    shown: Issued,
    trusted: str = "",
    version: ssl.TLSVersion | None = None,
    *,
    requires: bool = True,
) -> ssl.SSLContext:
    """TLS of a server.

    :param shown: what it shows
    :param trusted: the authorities of clients' certificates, which it asks for; by default for none
    :param version: the only one that it speaks
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(shown.certificate + shown.key)
        file.flush()
        context.load_cert_chain(file.name)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if trusted:
        context.load_verify_locations(cadata=trusted)
        context.verify_mode = ssl.CERT_REQUIRED if requires else ssl.CERT_OPTIONAL
    return context


@dataclass
class Asked:
    """A request, and who made it."""

    head: str
    common_name: str | None
    """Of the certificate that was shown."""
    connection: int
    """The number of the connection, from 1."""
    resumed: bool
    """Whether the session of TLS was resumed."""


class AskingServer:
    """A server that asks for client certificates, with OpenSSL's own sockets: they send the alerts that asyncio keeps.

    It answers every request with 200, and reads on after an alert until the client hangs up: data that nobody has read
    would reset the connection, and the alert with it.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.requests: list[Asked] = []
        self.connections = 0
        self.failed: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Why handshakes failed."""
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        # On Linux a thread that waits in `accept` wakes up by this, and not when the socket is closed.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._accepting.join()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    @property
    def names(self) -> list[str | None]:
        """Who made the requests."""
        return [request.common_name for request in self.requests]

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(accepted)
            thread = threading.Thread(target=self._serve, args=(accepted, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, accepted: socket.socket, number: int) -> None:
        with accepted, contextlib.suppress(OSError):
            # Without a copy the ssl module would take the socket, and close it.
            secured = self._context.wrap_socket(
                accepted.dup(), server_side=True, do_handshake_on_connect=False
            )
            with secured:
                try:
                    secured.do_handshake()
                except ssl.SSLError as problem:
                    self.failed.put(str(problem.reason))
                    while accepted.recv(65_536):
                        pass
                    return
                for head in _heads(secured):
                    self.requests.append(
                        Asked(head, _common_name(secured), number, bool(secured.session_reused))
                    )
                    secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def _heads(secured: ssl.SSLSocket) -> Iterator[str]:
    """The heads of requests, which come one after the other's answer."""
    data = b""
    while more := secured.recv(65_536):
        data += more
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if end and len(body) == int(length[1] if length else 0):
            data = b""
            yield head.decode("latin-1")


def _common_name(secured: ssl.SSLSocket) -> str | None:
    found = secured.getpeercert(binary_form=True)
    if found is None:
        return None
    subject = x509.load_der_x509_certificate(found).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _around(moment: datetime) -> tuple[datetime, datetime]:
    begins, ends = CLOCKS
    return min(begins, moment) - timedelta(days=1), max(ends, moment) + timedelta(days=1)


def _builder(
    name: x509.Name, issuer: x509.Name, key: Key, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number(), begins, ends)
