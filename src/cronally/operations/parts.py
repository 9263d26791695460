"""The transactions in which an owner changes something: one, or several, where it is too much for one.

Invariant: the process may end before or after any of them, and nothing is half done. What is done and its row of the
audit log are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from cronally import failpoints
from cronally.fairness import out_of_turn
from cronally.operations.deeds import Deed
from cronally.store import Signal, Store
from cronally.store.audit import record_audit

T = TypeVar("T")


async def change(store: Store, deed: Deed, now: int, work: Callable[[Connection], T]) -> T:
    """Run what changes something in one transaction, and write into the audit log what that was.

    :param now: when it is done, as the log says
    """

    def telling(connection: Connection) -> T:
        before = deed.before(connection)
        result = work(connection)
        # Last: whoever else writes into the log waits from here on.
        entry = deed.entry(connection, before, result, now)
        if entry is not None:
            record_audit(connection, entry)
        return result

    return await change_untold(store, telling)


async def change_untold(store: Store, work: Callable[[Connection], T]) -> T:
    """Run what changes something in one transaction, where the audit log tells of it elsewhere: a part of an operation,
    or what follows from something that it has told of.
    """

    def reaching(connection: Connection) -> T:
        result = work(connection)
        failpoints.reach("change.before_commit")
        return result

    result = await store.transact(reaching)
    failpoints.reach("change.after_commit")
    return result


async def in_parts(store: Store, deed: Deed | None, part: Callable[[Connection, int], T | None]) -> T:
    """Do a part after the other, each in a transaction of its own, until one answers: the backlog of an outage is long.

    Between two of them others get in, in the store as in the API's turns. What a part wrote may be due.

    :param deed: what the part does that answers; None: what follows from something that the audit log has told of
    :param part: gets the time as it is then: things fire meanwhile
    """

    async def do() -> T | None:
        now = await store.clock()
        if deed is None:
            return await change_untold(store, lambda connection: part(connection, now))
        return await change(store, deed, now, lambda connection: part(connection, now))

    while (answer := await do()) is None:
        async with out_of_turn():
            await store.announce(Signal.FIRINGS)
    return answer
