"""The transactions in which an owner changes something: one, or several, where it is too much for one.

Invariant: the process may end before or after any of them, and nothing is half done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from cronally import failpoints
from cronally.fairness import out_of_turn
from cronally.store import Signal, Store

T = TypeVar("T")


async def change(store: Store, work: Callable[[Connection], T]) -> T:
    """Run what changes something in one transaction."""

    def reaching(connection: Connection) -> T:
        result = work(connection)
        failpoints.reach("change.before_commit")
        return result

    result = await store.transact(reaching)
    failpoints.reach("change.after_commit")
    return result


async def in_parts(store: Store, part: Callable[[Connection, int], T | None]) -> T:
    """Do a part after the other, each in a transaction of its own, until one answers: the backlog of an outage is long.

    Between two of them others get in, in the store as in the API's turns. What a part wrote may be due.

    :param part: gets the time as it is then: things fire meanwhile
    """

    async def do() -> T | None:
        now = await store.clock()
        return await change(store, lambda connection: part(connection, now))

    while (answer := await do()) is None:
        async with out_of_turn():
            await store.announce(Signal.FIRINGS)
    return answer
