"""A mailbox for tests that have no event loop of their own: the SMTP server of `tests.support.smtp`, in a thread.

Invariant: it is gone when its block ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from cronally.targets.mail.mail import Mail
from cronally.targets.mail.server import SmtpServer
from tests.support.smtp import Mailbox, smtp_server

SENDER = "cron@example.com"
_LINK = re.compile(r"https?://\S+/account/confirm/\S+/")


@contextlib.contextmanager
def running_mailbox() -> Iterator[Mailbox]:
    """A mailbox for the length of the block."""
    ready: Future[tuple[Mailbox, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with smtp_server() as mailbox:
            ready.set_result((mailbox, asyncio.get_running_loop(), stop))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="smtp")
    thread.start()
    mailbox, loop, stop = ready.result(30)
    try:
        yield mailbox
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


def mail_to(mailbox: Mailbox) -> Mail:
    """What sends mail to a mailbox."""
    return Mail(SmtpServer("127.0.0.1", mailbox.port, "off"), SENDER)


def text_of(mailbox: Mailbox, number: int = -1) -> str:
    """The text of a mail that came, the last one by default."""
    text: str = mailbox.received[number].mail.get_content()
    return text


def links_of(text: str) -> list[str]:
    """The links in a mail, each once."""
    return list(dict.fromkeys(_LINK.findall(text)))
