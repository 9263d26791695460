"""Links of mails that are used: what each one does is decided by the row that its token finds.

Invariant: a link is taken in the transaction of what it does: it is used once and wholly, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from cronally.contract import mailed_links as contract
from cronally.contract.mailed_links import REVOKE_OTHERS, LinkPurpose, purpose_of
from cronally.contract.reading import Reading
from cronally.operations.mailing import take_link
from cronally.operations.parts import change
from cronally.store import Store
from cronally.store.mailed_links import MailedLink

Use = Callable[[Connection, MailedLink, int, Reading[contract.LinkUse]], contract.UsedLink]


class UsingLinks:
    """Uses the links of one store."""

    def __init__(self, store: Store, uses: Mapping[LinkPurpose, Use]) -> None:
        """
        :param uses: what a link of each purpose does
        """
        self._store = store
        self._uses = uses

    async def use(self, token: str, reading: Reading[contract.LinkUse]) -> contract.UsedLink:
        """Do what a link is for.

        Raises InvalidRequest, NotFound for one that is used, over, or made up, and Conflict where it cannot be done any
        more.
        """
        if REVOKE_OTHERS in reading.values and purpose_of(token) is not LinkPurpose.RECOVER:
            reading.complain(REVOKE_OTHERS, ValueError("is for the link of a recovery; leave it out"))
        reading.raise_complaints()
        now = await self._store.clock()

        def work(connection: Connection) -> contract.UsedLink:
            link = take_link(connection, token, now)
            return self._uses[LinkPurpose(link.purpose)](connection, link, now, reading)

        return await change(self._store, work)
