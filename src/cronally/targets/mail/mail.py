"""Mail: hands one text for one address over to the operator's SMTP server.

Invariant: one call of `send` is at most one mail, within `timeout` whatever the server does. What the server says of an
address the account is told; what it says of this server (its credentials, its sender, TLS) goes to the log alone, and
the account is told that this server's mail does not work. Once the text is on its way a failure is `Unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import aiosmtplib

from cronally.alert import fit
from cronally.instants import SECOND
from cronally.targets.mail.letter import letter, parse_address
from cronally.targets.mail.server import SmtpServer
from cronally.targets.target import Delivered, Outcome, Refused, Reply, Retry, Unknown

NOT_SET_UP: Final = "This server sends no mail; its operator sets CRONALLY_SMTP_URL."
AT_ONCE: Final = 8
"""Connections to the SMTP server."""
MAX_SAID: Final = 200
_PERMANENT: Final = range(500, 600)
_UTF8: Final = "smtputf8"
_LATE: Final = Retry("this server's mail server does not answer in time", reply=Reply.SILENT)
_UNKNOWN: Final = Unknown("this server's mail server did not say whether it has the mail", reply=Reply.SILENT)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Mail:
    """One mail that is being handed over."""

    to: str
    subject: str
    text: str
    message_id: str
    on_its_way: bool = False
    """Whether the server may have it."""


class Mail:
    """Sends mail through one SMTP server. Belongs to one event loop."""

    def __init__(
        self,
        server: SmtpServer,
        sender: str,
        *,
        name: str = "Cronally",
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param sender: the address that mail comes from; raises ValueError if it is none, or is not ASCII
        :param timeout: seconds for one call of `send`, waiting for a connection included
        :param tls: which certificates are trusted; those of the machine by default
        :param clock: seconds since 1970, for the `Date` of a mail
        """
        self._server = server
        self._sender = parse_address(sender)
        if not self._sender.isascii():
            raise ValueError("is not ASCII; mail comes from an address that every server takes")
        self._name = name
        self.timeout = timeout
        self._tls = tls
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)

    async def send(self, to: str, subject: str, text: str, *, message_id: str | None = None) -> Outcome:
        """Try once. Never raises for what the server does, or for an address that is none.

        :param message_id: a UUID, the same for each try of one mail; a new one by default
        """
        try:
            address = parse_address(to)
        except ValueError as problem:
            return Refused(f"the address {problem}", reply=Reply.NOT_ASKED)
        mail = _Mail(address, subject, text, message_id or str(uuid4()))
        try:
            async with asyncio.timeout(self.timeout), self._places:
                return await self._hand_over(mail)
        except TimeoutError:
            return _UNKNOWN if mail.on_its_way else _LATE

    async def _hand_over(self, mail: _Mail) -> Outcome:
        client = self._client()
        try:
            try:
                await client.connect()
                if client.is_ehlo_or_helo_needed:
                    await client.ehlo()
            except (aiosmtplib.SMTPException, OSError, ValueError) as problem:  # ssl.SSLError is an OSError
                return self._own(problem)
            return await self._say(client, mail)
        finally:
            # Without a QUIT that could be waited for: what was taken was taken.
            client.close()

    async def _say(self, client: aiosmtplib.SMTP, mail: _Mail) -> Outcome:
        to, options = mail.to, []
        if not to.isascii():
            if not client.supports_extension(_UTF8):
                return Refused("this server's mail server takes no address that is not ASCII (SMTPUTF8)")
            options = ["SMTPUTF8", "BODY=8BITMIME"]
        content = letter(
            sender=self._sender,
            name=self._name,
            to=to,
            subject=mail.subject,
            text=mail.text,
            message_id=mail.message_id,
            now=int(self._clock() * SECOND),
        )
        encoding = "utf-8" if options else "ascii"
        try:
            await client.mail(self._sender, options=options, encoding=encoding)
        except (aiosmtplib.SMTPException, OSError) as problem:
            return self._own(problem)
        try:
            await client.rcpt(to, encoding=encoding)
        except aiosmtplib.SMTPResponseException as problem:
            return _of_address(problem)
        except (aiosmtplib.SMTPException, OSError) as problem:
            return self._own(problem)
        mail.on_its_way = True
        try:
            await client.data(content)
        except aiosmtplib.SMTPResponseException as problem:
            return _of_address(problem)
        except (aiosmtplib.SMTPException, OSError):
            return _UNKNOWN
        return Delivered(mail.message_id)

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password or None,
            # Never asked of a resolver, which might be slow.
            local_hostname=self._sender.rpartition("@")[2],
            timeout=self.timeout,
            use_tls=server.tls == "at once",
            start_tls=server.tls == "starttls",
            tls_context=None if server.tls == "off" else self._context(),
        )

    def _context(self) -> ssl.SSLContext:
        """Read once: it takes 20 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._tls

    def _own(self, problem: Exception) -> Outcome:
        """What is wrong between this server and its mail server: the account can do nothing about it."""
        said = f"{type(problem).__name__}: {fit(str(problem), MAX_SAID)}"
        _log.warning("the mail server does not take mail", extra={"host": self._server.host, "said": said})
        silent = not isinstance(problem, aiosmtplib.SMTPResponseException)
        return Retry(
            "this server's mail server does not take mail from it now; its operator finds the reason in the log",
            reply=Reply.SILENT if silent else Reply.ANSWERED,
        )


def _of_address(problem: aiosmtplib.SMTPResponseException) -> Outcome:
    """What the server says of the address, or of the mail: a code below 500 may be another one later (greylisting)."""
    said = f"{problem.code} {fit(problem.message, MAX_SAID)}".rstrip()
    return Refused(said) if problem.code in _PERMANENT else Retry(said)
