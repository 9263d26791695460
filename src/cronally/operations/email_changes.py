"""Another address for an account: confirmed by the new one, agreed to or refused by the old one.

Invariant: nobody learns here whether the new address has an account: its owner does, by mail. A stolen key alone does
not move an account: the old address, once confirmed, has a week to refuse, and the account hears of it on all channels.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from cronally import errors
from cronally.contract import mailed_links as contract
from cronally.contract.audit import Action
from cronally.contract.keys import Scope
from cronally.contract.mailed_links import LinkPurpose
from cronally.contract.reading import Reading
from cronally.instants import format_iso
from cronally.operations import mail_limits
from cronally.operations.accounts import email_key
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.letters import Letter, agree_letter, change_letter, change_taken_letter
from cronally.operations.mailing import OVER, Mailing
from cronally.store import accounts, email_changes
from cronally.store.audit_subjects import Subject
from cronally.store.email_changes import LASTS, WAITS, EmailChange
from cronally.store.mailed_links import MailedLink

_TAKEN = "Another account has this address by now, so the account keeps the one that it has."


class EmailChanges:
    """Changes of addresses, of one store."""

    def __init__(self, mailing: Mailing) -> None:
        self._mailing = mailing

    async def ask(self, caller: Caller, email: str) -> None:
        """Have links mailed to the new address and, if it was confirmed, to the old one; or end the change under way,
        where `email` is the address that the account has.

        Raises Forbidden for a key without the scope `keys`, and what `Mailing.ask` raises.
        """
        if Scope.KEYS.value not in caller.scopes:
            raise errors.Forbidden(
                "Another address needs the scope keys, which the API key has not; ask with another key."
            )
        now = await self._mailing.clock()
        deed = Deed(
            caller,
            Action.ACCOUNT_EMAIL,
            Subject.ACCOUNT,
            caller.account_id,
            told=lambda letters: {"email": email} if letters else None,
        )
        letters = await self._mailing.write(
            deed, now, lambda connection: self._write(connection, caller, email, now)
        )
        for letter in letters:
            await self._mailing.send(letter)

    def _write(self, connection: Connection, caller: Caller, email: str, now: int) -> list[Letter]:
        account_id, key, url = caller.account_id, email_key(email), self._mailing.url
        accounts.lock_account(connection, account_id)
        account = accounts.get_account(connection, account_id)
        if account is None:
            raise errors.NotFound("There is no such account.")
        email_changes.end_change(connection, account_id)
        if key == email_key(account.email):
            return []
        self._mailing.require()
        sender = f"account:{account_id}"
        mail_limits.count_mail(connection, sender, email, now)
        owner = accounts.get_owner(connection, key)
        email_changes.put_change(connection, EmailChange(account_id, email, key, now))
        issue = self._mailing.issue
        # Made in both cases: nobody gets one of no account.
        to_new = issue(connection, LinkPurpose.CHANGE, email, key, account_id if owner is None else None, now)
        letters = [
            change_letter(email, url, to_new.link) if owner is None else change_taken_letter(owner.email, url)
        ]
        if account.email_confirmed_at is not None:
            mail_limits.count_mail(connection, sender, account.email, now)
            old, lasts = (account.email, email_key(account.email), account_id, now), LASTS + WAITS
            agree = issue(connection, LinkPurpose.AGREE, *old, lasts)
            refuse = issue(connection, LinkPurpose.REFUSE, *old, lasts)
            letters.append(agree_letter(account.email, url, email, agree.link, refuse.link))
            email_changes.tell(
                connection,
                account_id,
                "The account is to have another address",
                [
                    f"An API key has asked for {email}. The address that it has may refuse by the mail that went there."
                ],
                now,
            )
        return letters

    def use_new(
        self, connection: Connection, link: MailedLink, now: int, _reading: Reading[contract.LinkUse]
    ) -> contract.UsedLink:
        """The new address is its owner's. Raises NotFound where it is not wanted any more, and Conflict."""
        change = self._change(connection, link, now)
        if change.email_key != link.email_key:
            raise errors.NotFound(OVER)
        account = accounts.get_account(connection, change.account_id)
        silent = account is not None and account.email_confirmed_at is not None
        change = replace(change, confirmed_at=now, applies_at=now + WAITS if silent else now)
        return self._go_on(connection, change, link, now)

    def use_agree(
        self, connection: Connection, link: MailedLink, now: int, _reading: Reading[contract.LinkUse]
    ) -> contract.UsedLink:
        """The old address agrees. Raises NotFound where nothing is to change any more, and Conflict."""
        change = replace(self._change(connection, link, now), agreed_at=now)
        return self._go_on(connection, change, link, now)

    def use_refuse(
        self, connection: Connection, link: MailedLink, now: int, _reading: Reading[contract.LinkUse]
    ) -> contract.UsedLink:
        """The old address refuses. Raises NotFound where nothing is to change any more."""
        change = self._change(connection, link, now)
        email_changes.end_change(connection, change.account_id)
        email_changes.tell(
            connection,
            change.account_id,
            "The account keeps its address",
            [f"It refused {change.email}."],
            now,
        )
        return _used(
            link,
            change,
            "The account keeps its address. If you have not asked for another one, somebody has an API key of the"
            " account: `cronally account recover` with --revoke-others ends all of them.",
        )

    def _change(self, connection: Connection, link: MailedLink, now: int) -> EmailChange:
        """The change that a link belongs to, with the account locked."""
        if link.account_id is not None:
            accounts.lock_account(connection, link.account_id)
            change = email_changes.get_change(connection, link.account_id, now)
            if change is not None:
                return change
        raise errors.NotFound(OVER)

    def _go_on(
        self, connection: Connection, change: EmailChange, link: MailedLink, now: int
    ) -> contract.UsedLink:
        if change.confirmed_at is None:
            email_changes.put_change(connection, change)
            return _used(
                link, change, f"Agreed. The account has another address once {change.email} is confirmed."
            )
        if change.agreed_at is None and change.applies_at is not None and change.applies_at > now:
            email_changes.put_change(connection, change)
            until = format_iso(change.applies_at)
            said = (
                f"The address is confirmed. The account has it once the old one agrees, or else at {until}."
            )
            return _used(link, change, said)
        if not email_changes.apply_change(connection, change, now):
            raise errors.Conflict(_TAKEN)
        return _used(link, change, f"The address of the account is {change.email} now.")


def _used(link: MailedLink, change: EmailChange, message: str) -> contract.UsedLink:
    purpose = LinkPurpose(link.purpose)
    return contract.UsedLink(purpose=purpose, email=link.email, message=message, account_id=change.account_id)
