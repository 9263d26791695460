"""A mail as bytes: its headers and its text.

Invariant: pure. A header is one line whatever it is made of, so nobody adds one of their own; an address is one
address; a text is plain, and so long at most. Sources: RFC 5322 (form), RFC 3834 (`Auto-Submitted`), RFC 6531
(addresses that are not ASCII).
"""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from typing import Final

import idna

from cronally.alert import fit
from cronally.contract.values import check_email
from cronally.instants import to_datetime

MAX_SUBJECT: Final = 200
MAX_TEXT: Final = 32_768
"""Characters."""
_UNFIT: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def parse_address(text: str) -> str:
    """An address as it is written to a server: the domain in ASCII. Raises ValueError for what is none."""
    local, _, domain = check_email(text).rpartition("@")
    try:
        address = f"{local}@{idna.encode(domain, uts46=True).decode('ascii')}"
    except (idna.IDNAError, UnicodeError):
        raise ValueError("has a domain that is none; give an address like username@example.com") from None
    # In ASCII a domain may be longer than it was.
    return check_email(address)


def letter(*, sender: str, name: str, to: str, subject: str, text: str, message_id: str, now: int) -> bytes:
    """The bytes of a mail.

    :param sender: as `parse_address` returns it; so is `to`
    :param name: of the sender, for people
    :param message_id: a UUID: the same for each try, so that who gets it twice sees that
    :param now: an instant
    """
    mail = EmailMessage(policy=SMTP if to.isascii() else SMTPUTF8)
    mail["From"] = _mailbox(sender, name)
    mail["To"] = _mailbox(to)
    mail["Subject"] = fit(subject, MAX_SUBJECT)
    mail["Date"] = format_datetime(to_datetime(now))
    mail["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    plain = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", text[:MAX_TEXT].replace("\r\n", "\n"))
    mail.set_content(plain, charset="utf-8", cte="quoted-printable")
    return mail.as_bytes()


def _mailbox(address: str, name: str = "") -> Address | str:
    local, _, domain = address.rpartition("@")
    # Its own class takes no local part that is not ASCII.
    return Address(name, local, domain) if address.isascii() else address
