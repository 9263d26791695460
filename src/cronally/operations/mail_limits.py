"""How many mails with a link are sent in a day: what keeps this server from being used to flood somebody.

Invariant: a mail is counted in the transaction that makes its link, over all nodes; one that is too many makes nothing.
What is counted does not depend on whether an address has an account, and no address stands in the counts in the clear.
Days are those of UTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.instants import DAY, SECOND
from cronally.store import mail_counts, mailed_links
from cronally.wire import Limit

PER_PAIR: Final = 3
"""To one address that one client, or one account, asks for: so one client alone cannot use up what an address may get,
and keep its owner from recovering an account."""
PER_PERSON: Final = 6
"""To one address, whoever asks: whatever is behind a + in it, and whatever its case."""
PER_SENDER: Final = 30
"""That one client, or one account, asks for."""
OF_ALL: Final = 1000
"""Of this server."""
_LOOK: Final = "look in the mailbox, its spam too, or try again tomorrow"


def count_mail(connection: Connection, sender: str, email: str, now: int) -> None:
    """Count a mail with a link. Raises RateLimited when it would be one too many.

    :param sender: who asks: the address of a client, or an account
    """
    # Always in this order, so that no two wait for each other.
    for counted, most, whose in _counts(sender, email):
        if mail_counts.count_mail(connection, counted, now) > most:
            raise errors.RateLimited(
                f"{whose} {most:,} mails with a link today, as many as this server sends; {_LOOK}.",
                retry_after=(DAY - now % DAY) // SECOND + 1,
                limit=Limit("mails", most, DAY // SECOND),
            )


def uncount_mail(connection: Connection, sender: str, email: str, counted_at: int) -> None:
    """Take back that a mail was counted, which was not sent because this server's mail does not work."""
    for counted, *_ in _counts(sender, email):
        mailed_links.uncount_mail(connection, counted, counted_at)


def _counts(sender: str, email: str) -> Iterator[tuple[str, int, str]]:
    person = digest_of_person(email)
    yield f"link-pair:{_digest(sender)}:{person}", PER_PAIR, "You have asked for"
    yield f"link-person:{person}", PER_PERSON, "The address got"
    yield f"link-sender:{_digest(sender)}", PER_SENDER, "You have asked for"
    yield "link-all", OF_ALL, "This server has sent"


def digest_of_person(email: str) -> str:
    """Whose address it is, as far as that shows: many servers ignore the case, and what is behind a +."""
    local, _, domain = email.casefold().rpartition("@")
    return _digest(f"{local.partition('+')[0]}@{domain}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
