"""TLS of one connection, as a step between the bytes of the network and those of HTTP.

Invariant: it reads and writes no socket, so every byte that arrives is counted before it is decrypted. The event
loops' own TLS decrypts all that comes, records without content among it, which nothing above it would see.
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import Final

_CHUNK: Final = 65_536


@cache
def client_context() -> ssl.SSLContext:
    """The certificates that the machine trusts, TLS 1.2 or newer, HTTP/1.1. Read once: it takes 20 ms."""
    return prepared(ssl.create_default_context())


def prepared(context: ssl.SSLContext) -> ssl.SSLContext:
    """A client's settings with what holds for every connection: TLS 1.2 or newer, HTTP/1.1, no renegotiation."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


class TlsSession:
    """The client's end. Every method may raise ssl.SSLError; what then is to be sent still, `to_send` returns."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """
        :param host: a name or an IP address, which the certificate must be for
        """
        self._arrived = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._arrived, self._leaving, server_hostname=host)
        self.established = False
        """Whether the handshake is over and the certificate is valid."""
        self.ended = False
        """Whether the other side has said that it sends no more."""

    def receive(self, data: bytes) -> bytes:
        """What the arrived bytes hold for HTTP; without any, begin the handshake."""
        self._arrived.write(data)
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b""
        chunks = []
        try:
            while chunk := self._object.read(_CHUNK):
                chunks.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        return b"".join(chunks)

    def encrypt(self, data: bytes) -> None:
        """Put bytes of HTTP in line to be sent."""
        self._object.write(data)

    def to_send(self) -> bytes:
        """The bytes to send now."""
        return self._leaving.read()

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
