"""Links of mails that are used: what each one does is decided by the row that its token finds.

Invariant: a link is taken in the transaction of what it does: it is used once and wholly, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection

from cronally.audit_chain import Change, Entry, Who
from cronally.contract import mailed_links as contract
from cronally.contract.audit import Action
from cronally.contract.mailed_links import REVOKE_OTHERS, LinkPurpose, purpose_of
from cronally.contract.reading import Reading
from cronally.operations.mailing import take_link
from cronally.operations.parts import change_untold
from cronally.store import Store
from cronally.store.audit import record_audit
from cronally.store.audit_subjects import Subject
from cronally.store.mailed_links import MailedLink

_ACTIONS: Final = {
    LinkPurpose.SIGNUP: Action.ACCOUNT_CREATE,
    LinkPurpose.CONFIRM: Action.ACCOUNT_CONFIRM,
    LinkPurpose.RECOVER: Action.ACCOUNT_RECOVER,
    LinkPurpose.CHANGE: Action.ACCOUNT_EMAIL,
    LinkPurpose.AGREE: Action.ACCOUNT_EMAIL,
    LinkPurpose.REFUSE: Action.ACCOUNT_EMAIL,
}
Use = Callable[[Connection, MailedLink, int, Reading[contract.LinkUse]], contract.UsedLink]


class UsingLinks:
    """Uses the links of one store."""

    def __init__(self, store: Store, uses: Mapping[LinkPurpose, Use]) -> None:
        """
        :param uses: what a link of each purpose does
        """
        self._store = store
        self._uses = uses

    async def use(
        self,
        token: str,
        reading: Reading[contract.LinkUse],
        address: str | None = None,
        request_id: str | None = None,
    ) -> contract.UsedLink:
        """Do what a link is for, and tell of it in the audit log of its account.

        :param address: the client's
        :param request_id: of the request

        Raises InvalidRequest, NotFound for one that is used, over, or made up, and Conflict where it cannot be done any
        more.
        """
        if REVOKE_OTHERS in reading.values and purpose_of(token) is not LinkPurpose.RECOVER:
            reading.complain(REVOKE_OTHERS, ValueError("is for the link of a recovery; leave it out"))
        reading.raise_complaints()
        now = await self._store.clock()

        def work(connection: Connection) -> contract.UsedLink:
            link = take_link(connection, token, now)
            purpose = LinkPurpose(link.purpose)
            used = self._uses[purpose](connection, link, now, reading)
            account_id = used.account_id if link.account_id is None else link.account_id
            if account_id is not None:
                said = (Change("link", None, purpose), Change("email", None, link.email))
                entry = Entry(
                    *(account_id, now, Who.LINK, _ACTIONS[purpose], Subject.ACCOUNT, account_id, said),
                    api_key=used.api_key,
                    address=address,
                    request_id=request_id,
                )
                record_audit(connection, entry)
            return used

        return await change_untold(self._store, work)
