"""Sign-up where an address is confirmed first: the account is made, with its key, by the link in the mail.

Invariant: nobody learns from the answer whether an address has an account: that stands in the mail that its owner gets.
Until the link is used there is no account and no key.
"""

from __future__ import annotations

from functools import partial
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import mailed_links as contract
from cronally.contract.accounts import Signup
from cronally.contract.mailed_links import LinkPurpose
from cronally.contract.reading import Reading
from cronally.operations.accounts import Accounts, email_key
from cronally.operations.caller import Caller
from cronally.operations.letters import Letter, signup_letter, taken_letter
from cronally.operations.mailing import Mailing
from cronally.store import accounts, mailed_links
from cronally.store.mailed_links import MailedLink

TAKEN = "The address has an account by now; `cronally account recover` gives it a new API key."


class VerifiedSignup:
    """Sign-up by mail."""

    def __init__(self, mailing: Mailing, made: Accounts) -> None:
        """
        :param made: makes the accounts
        """
        self._mailing = mailing
        self._accounts = made

    async def ask(self, reading: Reading[Signup], sender: str) -> contract.MailedLink:
        """Mail a link that makes the account. Raises InvalidRequest, and what `Mailing.ask` raises.

        :param sender: the address that the request came from, as limits count it
        """
        reading.raise_complaints()
        email: str = reading.values["email"]
        work = partial(self._write, email)
        return await self._mailing.ask(sender, email, LinkPurpose.SIGNUP, work)

    def _write(self, email: str, connection: Connection, now: int) -> tuple[Letter, int]:
        key, url = email_key(email), self._mailing.url
        owner = accounts.get_owner(connection, key)
        # Made in both cases: nobody gets the second one.
        issued = self._mailing.issue(connection, LinkPurpose.SIGNUP, email, key, None, now)
        if owner is None:
            return signup_letter(email, url, issued.link), issued.until
        # As the account has it: texts that are equal without case may be different mailboxes.
        return taken_letter(owner.email, url, confirmed=owner.confirmed_at is not None), issued.until

    def use(
        self, connection: Connection, link: MailedLink, now: int, _reading: Reading[contract.LinkUse]
    ) -> contract.UsedLink:
        """Make the account. Raises Conflict where the address has got one meanwhile."""
        caller = Caller(str(uuid4()), str(uuid4()), b"")
        made = self._accounts.insert(connection, caller, link.email, now, confirmed_at=now)
        if made is None:
            raise errors.Conflict(TAKEN)
        mailed_links.delete_same(connection, link)
        return contract.UsedLink(
            purpose=LinkPurpose.SIGNUP,
            email=made.email,
            message="The account is created. Keep its API key and the secret: the secret is shown this once.",
            account_id=made.account_id,
            api_key=made.api_key,
            api_secret=made.api_secret,
        )
