"""Links of mails that are used: what each one does is decided by the row that its token finds.

Invariant: a link is taken in the transaction of what it does: it is used once and wholly, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from cronally.contract import mailed_links as contract
from cronally.contract.mailed_links import Purpose
from cronally.operations.mailing import take_link
from cronally.operations.parts import change
from cronally.store import Store
from cronally.store.mailed_links import MailedLink

Use = Callable[[Connection, MailedLink, int], contract.UsedLink]


class UsingLinks:
    """Uses the links of one store."""

    def __init__(self, store: Store, uses: Mapping[Purpose, Use]) -> None:
        """
        :param uses: what a link of each purpose does
        """
        self._store = store
        self._uses = uses

    async def use(self, token: str) -> contract.UsedLink:
        """Do what a link is for.

        Raises NotFound for one that is used, over, or made up, and Conflict where it cannot be done any more.
        """
        now = await self._store.clock()

        def work(connection: Connection) -> contract.UsedLink:
            link = take_link(connection, token, now)
            return self._uses[Purpose(link.purpose)](connection, link, now)

        return await change(self._store, work)
