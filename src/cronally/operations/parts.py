"""Work on one cron job that is too much for one transaction: the backlog of an outage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from cronally.fairness import out_of_turn
from cronally.store import Signal, Store

T = TypeVar("T")


async def in_parts(store: Store, part: Callable[[Connection, int], T | None]) -> T:
    """Do a part after the other, each in a transaction of its own, until one answers.

    Between two of them others get in, in the store as in the API's turns. What a part wrote may be due.

    :param part: gets the time as it is then: things fire meanwhile
    """

    async def do() -> T | None:
        now = await store.clock()
        return await store.transact(lambda connection: part(connection, now))

    while (answer := await do()) is None:
        async with out_of_turn():
            await store.announce(Signal.FIRINGS)
    return answer
