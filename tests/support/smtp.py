"""An SMTP server for tests: a real one (aiosmtpd), with TLS and authentication, that keeps what it was given; and one
that follows a script, line by line.

Invariant: both listen on this machine alone, and end with their test.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

USER = "cronally"
PASSWORD = "p@ss:word"


@dataclass
class Received:
    """A mail that was taken."""

    sender: str
    recipients: list[str]
    content: bytes
    tls: bool
    user: bool
    """Whether its sender had said who it is."""

    @property
    def mail(self) -> EmailMessage:
        """The mail, read."""
        return message_from_bytes(self.content, policy=policy.default)


@dataclass
class Mailbox:
    """An SMTP server that runs, and what became of what it was asked."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    """What is said to a command, by its name, in place of 250."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """As the setting has it, for a server with STARTTLS and authentication."""
        return f"smtp://{USER}:p%40ss%3Aword@127.0.0.1:{self.port}"

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        """An address is named."""
        if "RCPT" not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:
        """A mail has come."""
        if "DATA" in self.answers:
            return self.answers["DATA"]
        self.received.append(
            Received(
                envelope.mail_from,
                list(envelope.rcpt_tos),
                envelope.content,
                session.ssl is not None,
                bool(session.authenticated),
            )
        )
        self.arrived.set()
        return "250 OK"


def _authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=known, handled=False)


@contextlib.asynccontextmanager
async def smtp_server(tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Mailbox]:
    """A server; with TLS it demands STARTTLS, and a user."""
    mailbox = Mailbox()
    if tls is not None:
        options |= {"require_starttls": True, "auth_required": True, "authenticator": _authenticate}
    loop = asyncio.get_running_loop()
    connected: list[SMTP] = []

    def make() -> SMTP:
        connected.append(SMTP(mailbox, hostname="mail.example.com", tls_context=tls, loop=loop, **options))
        return connected[-1]

    server = await loop.create_server(make, "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        tasks = [one._handler_coroutine for one in connected if one._handler_coroutine is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in connected:
            if one.transport is not None:
                one.transport.close()
        await server.wait_closed()


Script = Mapping[bytes, bytes | Callable[[asyncio.StreamWriter], None] | None]
"""What is answered to a command, by its first letters; None: nothing. `` is the greeting, `.` the end of a mail."""


@contextlib.asynccontextmanager
async def scripted_smtp(script: Script) -> AsyncIterator[int]:
    """The port of a server that says what a script has, and 250 to all else."""
    over = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter, command: bytes) -> None:
        said = script.get(command, b"220 here\r\n" if not command else b"250 OK\r\n")
        if callable(said):
            said(writer)
        elif said is not None:
            writer.write(said)
            await writer.drain()
        else:
            await over.wait()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(writer, b"")
            in_mail = False
            while line := await reader.readline():
                if in_mail:
                    in_mail = line != b".\r\n"
                    if not in_mail:
                        await answer(writer, b".")
                    continue
                command = line[:4].upper().strip()
                in_mail = command == b"DATA" and b"DATA" not in script
                if in_mail:
                    writer.write(b"354 go on\r\n")
                else:
                    await answer(writer, command)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()
