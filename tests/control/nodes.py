"""Two nodes over one database: real stores, schedulers and dispatchers, and a target that says what it was sent when.

Invariant: nothing waits for the wall clock. The time of both nodes is one clock, moved by hand.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, delete

from cronally.engine.dispatcher import Dispatcher
from cronally.engine.scheduler import CONTENDED, Scheduler
from cronally.instants import MINUTE, SECOND
from cronally.operations import Operations
from cronally.store import Store, open_store, tables
from cronally.store.claims import Record
from cronally.targets.target import Delivered, Destination, Message, Outcome, Refused, Retry
from tests.operations.tenant import Tenants
from tests.support.factories import Clock, ScriptedTarget, vault, work_off

T = TypeVar("T")

KEPT = {"tzdata", "sealing_check"}
"""Tables of the installation, not of its accounts."""
TURNS = 3
"""Of the event loop, in which a message is on its way."""
Said = tuple[str, int]
"""The health that a firing speaks of, and its fire time."""
OUTCOMES = ("delivered", "later", "refused", "some")


@dataclass(frozen=True)
class Sent:
    """One message, when it was sent, and what became of it."""

    at: int
    message: Message
    outcome: Outcome


class Receiver(ScriptedTarget):
    """Answers as the test wants, and keeps what it was sent; also how many of a cron job it got at once."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(host_by="sns_topic")
        self.clock = clock
        self.answers = "delivered"
        self.sent: dict[str, list[Sent]] = {}
        """By the id of the firing."""
        self.on_the_way: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.may_send: Callable[[Message], bool] = lambda _message: True
        self.broken: list[Message] = []
        """What was sent, though it might not be."""

    def answer(self, message: Message) -> Outcome:
        """Some of what is sent is delivered, whichever node sends it first."""
        answers = self.answers
        if answers == "some":
            answers = OUTCOMES[int(message.firing_id[:8], 16) % 3]
        if answers == "later":
            return Retry("busy")
        return Refused("no such topic") if answers == "refused" else Delivered("id")

    def host(self, value: str) -> str:
        """Each topic has a host of its own."""
        return f"{value.rpartition(':')[2]}.example.com"

    async def send(self, destination: Destination, message: Message) -> Outcome:
        job = message.cronjob_id
        self.on_the_way[job] += 1
        self.most[job] = max(self.most[job], self.on_the_way[job])
        if not self.may_send(message):
            self.broken.append(message)
        outcome = self.answer(message)
        self.sent.setdefault(message.firing_id, []).append(Sent(self.clock.now, message, outcome))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self.on_the_way[job] -= 1
        return outcome


class Node:
    """A scheduler and a dispatcher of their own."""

    def __init__(self, store: Store, receiver: Receiver, name: str) -> None:
        self.scheduler = Scheduler(store, node=name)
        # It goes by the clock of the test, so what it measures takes no time.
        clock = receiver.clock
        self.dispatcher = Dispatcher(
            store,
            vault(),
            {"sns": receiver},
            chance=lambda: 0.5,
            monotonic=lambda: clock.now / SECOND,
            observe=self.note,
        )
        self._records: list[Record] = []

    def note(self, records: list[Record]) -> None:
        # Of one transaction they count in the order in which they ended.
        self._records += sorted(records, key=lambda one: (one.finished_at or 0, one.claim.key))

    def hear(self) -> dict[str, list[Said]]:
        """What it recorded since that was last asked for says of how cron jobs stand, in this order."""
        said: dict[str, list[Said]] = {}
        for record in self._records:
            job, at = record.claim.cronjob_id, record.claim.scheduled_at
            if record.state in ("delivered", "failed"):
                since = at if record.claim.owed_at is None else record.claim.owed_at
                late = (record.finished_at or 0) - since > MINUTE
                health = "failing" if record.state == "failed" else "late" if late else "ok"
                said.setdefault(job, []).append((health, at))
        self._records.clear()
        return said

    async def schedule(self) -> None:
        """Tick, and look at what stands still, until nothing is left to do."""
        # In a moment, where the other node, or an owner, has what is due in hand.
        while await self.scheduler.step() in (0.0, CONTENDED):
            pass

    async def deliver(self) -> None:
        await work_off(self.dispatcher)

    async def work(self, what: Sequence[str]) -> None:
        """One after the other."""
        for one in what:
            await getattr(self, one)()


class Nodes:
    """Two nodes, on which one example follows the other."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.clock = Clock()
        self._stores = [self.run(open_store(url))]
        if url.startswith("postgresql"):
            self._stores.append(self.run(open_store(url)))  # of SQLite there is one
        for store in self._stores:
            store.clock = self.clock  # type: ignore[method-assign]
        self.store: Store = self._stores[0]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def together(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        """Do several things at once; what each of them came to."""

        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*works)

        return self.run(all_of_them())

    def begin(self, now: int) -> None:
        """Forget all that there was, and begin at an instant."""
        self.clock.now = now
        self.run(self.store.transact(_forget))
        self.receiver = Receiver(self.clock)
        self.nodes = [Node(self.store_of(n), self.receiver, f"node {n}") for n in range(2)]
        self.each = [Tenants(Operations(self.store_of(n), vault(), {"sns": self.receiver})) for n in range(2)]
        """What tenants have of each node."""
        self.tenants = self.each[0]

    def store_of(self, number: int) -> Store:
        """The one that a node has."""
        return self._stores[number % len(self._stores)]

    def close(self) -> None:
        for store in self._stores:
            self.run(store.close())
        self._runner.close()


def _forget(connection: Connection) -> None:
    for table in reversed(tables.metadata.sorted_tables):
        if table.name not in KEPT:
            connection.execute(delete(table))
