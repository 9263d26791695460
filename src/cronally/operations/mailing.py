"""Mailing links: a token is made and kept as a digest, and the mail with it goes out.

Invariant: whatever an address has here, the same statements are sent to the database, one mail goes to that address,
and whoever asked hears the same: what mail server and network make of it depends on the address alone. A token is
random, and is nowhere but in its mail.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import mailed_links as contract
from cronally.contract.mailed_links import PATH, LinkPurpose
from cronally.contract.reading import refusal
from cronally.fairness import out_of_turn
from cronally.instants import DAY, MINUTE, to_datetime
from cronally.operations import mail_limits
from cronally.operations.deeds import Deed
from cronally.operations.letters import Letter
from cronally.operations.parts import change, change_untold
from cronally.store import Store, email_changes, mailed_links
from cronally.store.mailed_links import MailedLink
from cronally.targets.mail.mail import Mail
from cronally.targets.target import Delivered, Refused, Unknown

AT_ONCE: Final = 32
"""Requests that wait for the mail server."""
LASTS: Final = {
    LinkPurpose.SIGNUP: DAY,
    LinkPurpose.RECOVER: 30 * MINUTE,
    LinkPurpose.CONFIRM: DAY,
    LinkPurpose.CHANGE: email_changes.LASTS,
}
"""How long a link can be used."""
_BYTES: Final = 32
_BUSY: Final = "Many mails are on their way just now; try again in a minute."
_NO_MAIL: Final = (
    "This server sends no mail, so it cannot ask the owner of an address. Its operator can give an account whose keys"
    " are lost a new one: `cronally admin keys`."
)
_PAUSE: Final = 60
"""Seconds after which it may work: more than the client waits by itself."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Issued:
    """A link that is to be mailed."""

    link: str
    until: int


class Mailing:
    """Sends mails with links, of one store."""

    def __init__(self, store: Store, mail: Mail | None, public_url: str | None) -> None:
        """
        :param mail: None where the operator has set up none
        :param public_url: what links begin with
        """
        self._store = store
        self._mail = mail
        self.url = public_url or ""
        self._waiting = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read something before a mail is made."""
        return await self._store.transact(work)

    async def clock(self) -> int:
        """The time by which links end."""
        return await self._store.clock()

    async def write(self, deed: Deed, now: int, work: Callable[[Connection], T]) -> T:
        """Write something that mails tell of, and the audit log too."""
        return await change(self._store, deed, now, work)

    def require(self) -> None:
        """Raise InvalidRequest where the operator has set up no mail."""
        if self._mail is None:
            raise errors.InvalidRequest(_NO_MAIL)

    def issue(
        self,
        connection: Connection,
        purpose: LinkPurpose,
        email: str,
        email_key: str,
        account_id: str | None,
        now: int,
        lasts: int | None = None,
    ) -> Issued:
        """Make a link, which can be used once and for a while.

        :param account_id: None for sign-up; for another purpose the link then leads nowhere, and is not to be mailed
        :param lasts: for how long, where that is not what the purpose says
        """
        token = f"{purpose}-{secrets.token_urlsafe(_BYTES)}"
        until = now + (LASTS[purpose] if lasts is None else lasts)
        kept = MailedLink(digest(token), purpose, email, email_key, account_id, now, until)
        mailed_links.insert_link(connection, kept)
        return Issued(f"{self.url}{PATH}{token}/", until)

    async def ask(
        self,
        sender: str,
        email: str,
        purpose: LinkPurpose,
        work: Callable[[Connection, int], tuple[Letter, int]],
    ) -> contract.MailedLink:
        """Count a mail, make it in the same transaction, and send it.

        Raises RateLimited, InvalidRequest where there is no mail or the mail server refuses the address, Unavailable
        where mail does not work.

        :param sender: who asks, as for `mail_limits.count_mail`
        :param work: makes the mail; returns it with the instant at which its link ends
        """
        self.require()
        now = await self._store.clock()

        def counted(connection: Connection) -> tuple[Letter, int]:
            mail_limits.count_mail(connection, sender, email, now)
            return work(connection, now)

        letter, until = await change_untold(self._store, counted)
        try:
            await self.send(letter)
        except errors.Unavailable:
            await self._store.transact(
                lambda connection: mail_limits.uncount_mail(connection, sender, email, now)
            )
            raise
        return contract.MailedLink(
            email=email,
            purpose=purpose,
            until=to_datetime(until),
            message=f"A mail is on its way to {email}. Open the link in it, or give it to `cronally account confirm`.",
        )

    async def send(self, letter: Letter) -> None:
        """Send a mail. Raises InvalidRequest for an address that the mail server refuses, and Unavailable."""
        mail = self._mail
        if mail is None:
            raise errors.InvalidRequest(_NO_MAIL)
        if self._waiting >= AT_ONCE:
            raise errors.Unavailable(_BUSY, retry_after=_PAUSE)
        self._waiting += 1
        try:
            async with out_of_turn():
                outcome = await mail.send(letter.to, letter.subject, letter.text)
        finally:
            self._waiting -= 1
        match outcome:
            case Delivered():
                return
            case Unknown():
                _log.warning("a mail may not have been taken", extra={"subject": letter.subject})
            case Refused():
                raise refusal("email", f"does not take mail: {outcome.detail}")
            case _:
                raise errors.Unavailable(f"The mail was not sent: {outcome.detail}.", retry_after=_PAUSE)


def take_link(connection: Connection, token: str, now: int) -> MailedLink:
    """The link with this token, which is used now. Raises NotFound for one that is used, over, or made up."""
    found = mailed_links.take_link(connection, digest(token), now)
    if found is None:
        raise errors.NotFound(OVER)
    return found


OVER: Final = "The link was used already, or it is over, or it is not whole; ask for another mail."


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
