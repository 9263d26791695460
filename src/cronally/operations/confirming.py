"""Confirming that an address wants alerts: a mail with a link, and what becomes of the link.

Invariant: nobody gets more than a few such mails a day, whoever asks for them from however many accounts; they say
nothing that whoever asks has written but the name of a channel. A token is random, is kept as a digest alone, works
once, and for a day.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.audit_chain import Entry, Who
from cronally.contract import channels as contract
from cronally.contract.audit import Action
from cronally.contract.reading import refusal
from cronally.instants import DAY, SECOND
from cronally.operations.mail_limits import digest_of_person
from cronally.operations.parts import change_untold
from cronally.operations.verifying import Verifier
from cronally.store import Store, channels, mail_counts
from cronally.store.audit import record_audit
from cronally.store.audit_subjects import Subject
from cronally.store.channels import StoredChannel
from cronally.targets.mail.mail import NOT_SET_UP, Mail
from cronally.targets.target import Delivered, Outcome
from cronally.wire import Limit

PER_ADDRESS: Final = 3
PER_ACCOUNT: Final = 10
OF_ALL: Final = 1000
"""Mails with a link in a day in UTC: to an address, whatever is behind a + in it; of an account; of this server."""
LASTS: Final = DAY
_BYTES: Final = 32
_OVER: Final = (
    "The link was used already, or it is over; ask for another mail with POST /channel/<name>/confirm/ or"
    " `cronally channel confirm`."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A mail that is to be sent."""

    address: str
    token: str


class Confirming:
    """Asks the owners of addresses."""

    def __init__(self, store: Store, verifier: Verifier, mail: Mail | None, public_url: str | None) -> None:
        """
        :param mail: None where the operator has set up none
        :param public_url: what the link begins with
        """
        self._store = store
        self._verifier = verifier
        self._mail = mail
        self._public_url = public_url

    def require_mail(self) -> None:
        """Raise InvalidRequest if this server sends no mail."""
        if self._mail is None:
            raise refusal("kind", f"email needs mail. {NOT_SET_UP}")

    def ask(self, connection: Connection, stored: StoredChannel, address: str, now: int) -> Asked:
        """Give a channel a new token, in place of any other. Raises RateLimited when there were too many mails.

        The caller has locked the account.
        """
        for counted, most, whose in (
            (f"address:{digest_of_person(address)}", PER_ADDRESS, "address got"),
            (f"account:{stored.account_id}", PER_ACCOUNT, "account asked for"),
            ("all", OF_ALL, "server sent"),
        ):
            if mail_counts.count_mail(connection, counted, now) > most:
                raise errors.RateLimited(
                    f"The {whose} {most:,} mails with a link to confirm today, as many as this server sends; look in"
                    " the mailbox, its spam too, or try again tomorrow.",
                    retry_after=(DAY - now % DAY) // SECOND + 1,
                    limit=Limit("confirmations", most, DAY // SECOND),
                )
        token = secrets.token_urlsafe(_BYTES)
        channels.record_token(connection, stored, _digest(token), now + LASTS)
        return Asked(address, token)

    async def send(self, stored: StoredChannel, asked: Asked) -> None:
        """Send the mail; that it was not taken stands on the channel. Raises nothing for what the server does."""
        mail = self._mail
        if mail is None:
            return
        link = f"{self._public_url}/channel/{contract.CONFIRM}/{asked.token}/"
        try:
            outcome, _ = await self._verifier.ask(
                stored.account_id, set(), lambda: mail.send(asked.address, _SUBJECT, _text(stored.name, link))
            )
        except errors.RateLimited as problem:
            await self._note(stored, str(problem))
            return
        if not isinstance(outcome, Delivered):
            await self._note(stored, _said(outcome))

    async def _note(self, stored: StoredChannel, said: str) -> None:
        now = await self._store.clock()
        detail = f"the mail with the link was not sent: {said}"

        def work(connection: Connection) -> None:
            channels.record_result(connection, stored.account_id, stored.channel_id, now, detail)

        await self._store.transact(work)

    async def confirm(
        self, token: str, address: str | None = None, request_id: str | None = None
    ) -> contract.Confirmed:
        """Confirm the address that a token was sent to, and tell of it in the audit log of its account.

        Raises NotFound for one that is used, over or made up.

        :param address: the client's
        :param request_id: of the request
        """
        now = await self._store.clock()

        def work(connection: Connection) -> str:
            found = channels.confirm(connection, _digest(token), now)
            if found is None:
                raise errors.NotFound(_OVER)
            action, subject = Action.CHANNEL_CONFIRM, Subject.CHANNEL
            entry = Entry(
                *(found.account_id, now, Who.LINK, action, subject, found.channel_id),
                address=address,
                request_id=request_id,
            )
            record_audit(connection, entry)
            return found.name

        return contract.Confirmed(channel=await change_untold(self._store, work))


_SUBJECT: Final = "Confirm that alerts of Cronally may go to this address"


def _text(name: str, link: str) -> str:
    return (
        f"Somebody has set up the channel {name} of a Cronally server to send alerts to this address.\n\n"
        "If that is you, open this link within 24 hours and press the button:\n\n"
        f"{link}\n\n"
        "If it is not, do nothing: no alert comes here without it.\n"
    )


def _said(outcome: Outcome) -> str:
    return "" if isinstance(outcome, Delivered) else outcome.detail


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
