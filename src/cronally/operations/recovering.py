"""Getting back into an account whose keys are lost, and showing that an address is its owner's, by links in mails.

Invariant: only an address that was shown to be its owner's brings an account back, and only by the mail that goes to
the address as the account has it, not as somebody has written it: texts that are equal without case may be different
mailboxes. The keys that are there go on unless whoever recovers says otherwise; the account is told on all channels.
"""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from functools import partial
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from cronally import errors
from cronally.alert import Alert, Event, alert_id
from cronally.contract import mailed_links as contract
from cronally.contract.keys import MAX_KEYS, SPARE_KEYS
from cronally.contract.mailed_links import REVOKE_OTHERS, LinkPurpose, Recovery
from cronally.contract.reading import Reading
from cronally.operations.accounts import email_key
from cronally.operations.caller import Caller
from cronally.operations.keys import SECRET_BYTES, secret_place, shown_keys
from cronally.operations.letters import (
    Letter,
    confirm_letter,
    nothing_to_recover_letter,
    recover_letter,
)
from cronally.operations.mailing import OVER, Mailing
from cronally.store import accounts, alerts, api_keys, channels, email_changes, mailed_links
from cronally.store.accounts import Owner
from cronally.store.api_keys import ApiKey
from cronally.store.mailed_links import MailedLink
from cronally.vault import Vault

CONDITION: Final = "recovered"
_ALL_CHANNELS: Final = 1000
_NAME: Final = "recovery"


class Recovering:
    """Recovery of accounts by mail."""

    def __init__(self, mailing: Mailing, vault: Vault) -> None:
        self._mailing = mailing
        self._vault = vault

    async def ask(self, reading: Reading[Recovery], sender: str) -> contract.MailedLink:
        """Mail a link that gives a new API key. Raises InvalidRequest, and what `Mailing.ask` raises.

        :param sender: the address that the request came from, as limits count it
        """
        reading.raise_complaints()
        email: str = reading.values["email"]
        return await self._mailing.ask(sender, email, LinkPurpose.RECOVER, partial(self._write, email))

    def _write(self, email: str, connection: Connection, now: int) -> tuple[Letter, int]:
        key, url = email_key(email), self._mailing.url
        owner = accounts.get_owner(connection, key)
        found = owner if owner is not None and owner.confirmed_at is not None else None
        # Made in all cases: nobody gets one of no account.
        account_id = None if found is None else found.account_id
        issued = self._mailing.issue(connection, LinkPurpose.RECOVER, email, key, account_id, now)
        if found is not None:
            return recover_letter(found.email, url, issued.link), issued.until
        to = email if owner is None else owner.email
        return nothing_to_recover_letter(to, url, unconfirmed=owner is not None), issued.until

    def use(
        self, connection: Connection, link: MailedLink, now: int, reading: Reading[contract.LinkUse]
    ) -> contract.UsedLink:
        """Make an API key, and with `revoke_others` end all others, and a change of the address that is under way.

        Raises NotFound where the account has another address by now, and Conflict where it has too many keys.
        """
        owner = self._owner(connection, link)
        if owner.confirmed_at is None:
            raise errors.NotFound(OVER)
        known = api_keys.list_keys(connection, owner.account_id)
        live = [each for each in known if each.is_live(now)]
        ending = live if reading.values.get(REVOKE_OTHERS) else []
        if len(live) - len(ending) >= MAX_KEYS + SPARE_KEYS:
            raise errors.Conflict(
                f"The account has {len(live)} API keys; send {REVOKE_OTHERS}=true, which ends them, with the link."
            )
        for each in ending:
            api_keys.revoke_key(connection, each, now)
        if reading.values.get(REVOKE_OTHERS):
            # Who has stolen a key may have asked for another address, which a week of silence would give them.
            email_changes.end_change(connection, owner.account_id)
        new = self._new_key(owner.account_id, live, now)
        secret = os.urandom(SECRET_BYTES)
        sealed = self._vault.seal(secret, secret_place(owner.account_id, new.api_key))
        api_keys.insert_api_key(connection, replace(new, secret=sealed))
        mailed_links.delete_same(connection, link)
        self._tell(connection, new, len(ending), now)
        listed = api_keys.list_keys(connection, owner.account_id)
        return contract.UsedLink(
            purpose=LinkPurpose.RECOVER,
            email=owner.email,
            message="The account has a new API key; its secret is shown this once. "
            + (
                f"The {len(ending)} others were ended."
                if ending
                else "The others go on: revoke those that you do not know with `cronally key revoke`."
            ),
            account_id=owner.account_id,
            api_key=new.api_key,
            api_secret=base64.b64encode(secret).decode("ascii"),
            keys=shown_keys(listed, now),
        )

    async def ask_confirmation(self, caller: Caller) -> contract.MailedLink:
        """Mail a link that shows that the account's address is its owner's.

        Raises Conflict where that was shown already, and what `Mailing.ask` raises.
        """
        self._mailing.require()
        account_id = caller.account_id
        email = await self._mailing.read(lambda connection: _unconfirmed(connection, account_id))

        def write(connection: Connection, now: int) -> tuple[Letter, int]:
            key = email_key(email)
            issued = self._mailing.issue(connection, LinkPurpose.CONFIRM, email, key, account_id, now)
            return confirm_letter(email, self._mailing.url, issued.link), issued.until

        return await self._mailing.ask(f"account:{account_id}", email, LinkPurpose.CONFIRM, write)

    def use_confirmation(
        self, connection: Connection, link: MailedLink, now: int, _reading: Reading[contract.LinkUse]
    ) -> contract.UsedLink:
        """The address is its owner's. Raises NotFound where the account has another one by now."""
        owner = self._owner(connection, link)
        accounts.record_confirmed(connection, owner.account_id, link.email_key, now)
        mailed_links.delete_same(connection, link)
        return contract.UsedLink(
            purpose=LinkPurpose.CONFIRM,
            email=owner.email,
            message="The address is confirmed: mail to it brings the account back if its keys are lost.",
            account_id=owner.account_id,
        )

    def _owner(self, connection: Connection, link: MailedLink) -> Owner:
        """The account that a link is for, locked, if it has the address still that the link went to."""
        if link.account_id is not None:
            accounts.lock_account(connection, link.account_id)
            owner = accounts.get_owner(connection, link.email_key)
            if owner is not None and owner.account_id == link.account_id:
                return owner
        raise errors.NotFound(OVER)

    def _new_key(self, account_id: str, live: list[ApiKey], now: int) -> ApiKey:
        """A key that may do everything, with a name that none has, and without its secret."""
        names = {each.name for each in live}
        tries = [_NAME, *(f"{_NAME}-{number}" for number in range(2, len(names) + 3))]
        name = next(each for each in tries if each not in names)
        return ApiKey(str(uuid4()), account_id, None, now, name=name)

    def _tell(self, connection: Connection, key: ApiKey, ended: int, now: int) -> None:
        """Tell the account on all its channels."""
        account_id = key.account_id
        told = Alert(
            alert_id=alert_id(account_id, CONDITION, "account", account_id, Event.NOTICE, now),
            account_id=account_id,
            condition=CONDITION,
            event=Event.NOTICE,
            subject_kind="account",
            subject_id=account_id,
            title="A new API key was made by mail, as when all keys are lost",
            lines=(
                f"It is called {key.name} and has the id {key.api_key}; it may do everything."
                + (f" The {ended} other keys were ended." if ended else ""),
                "Whoever made it reads the mail of the account's address. If that was not you, revoke it:"
                f" cronally key revoke {key.api_key}",
            ),
            created_at=now,
        )
        ids = [one.channel_id for one in channels.list_channels(connection, account_id, "", _ALL_CHANNELS)]
        alerts.insert_alert(connection, told, ids)


def _unconfirmed(connection: Connection, account_id: str) -> str:
    """The address of an account that is not confirmed yet. Raises Conflict for one that is."""
    account = accounts.get_account(connection, account_id)
    if account is None:
        raise errors.NotFound("There is no such account.")
    if account.email_confirmed_at is not None:
        raise errors.Conflict("The address of the account is confirmed already; there is nothing to do.")
    return account.email
