"""An account with rules, cron jobs that fail and are delivered, and nodes that tell of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, select, update

from cronally.alert import Event
from cronally.alert_rules import Scope
from cronally.condition import GATHERED
from cronally.engine.conditions import Conditions
from cronally.engine.dispatcher import Dispatcher
from cronally.instants import SECOND
from cronally.store import Store, alert_rules, tables
from cronally.store.alert_rules import StoredRule
from cronally.targets.target import Delivered, Message, Outcome, Refused
from tests.engine.owing import dispatcher
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    firing_values,
    insert_rows,
    make_account,
    make_cronjob,
    read,
    uuid_of,
    work_off,
)

API_KEY = "00000000-0000-4000-8000-00000000000a"


@dataclass
class World:
    """One account, and two nodes."""

    store: Store
    clock: Clock
    account: str = ""
    failing: set[str] = field(default_factory=set)
    """The cron jobs whose firings are refused."""
    stopped: list[tuple[str, str, int]] = field(default_factory=list)
    """What was to be paused."""
    numbers: int = 0

    async def begin(self) -> World:
        self.account = self.account or await make_account(self.store)
        self.target = ScriptedTarget(script=self._answer)
        self.sender: Dispatcher = dispatcher(self.store, self.target)
        self.nodes = [self.node(), self.node()]
        return self

    def node(self) -> Conditions:
        return Conditions(self.store, {"scripted": self.target}, self._stop)

    async def _stop(self, account_id: str, cronjob_id: str, failures: int) -> None:
        self.stopped.append((account_id, cronjob_id, failures))

    def _answer(self, message: Message) -> Outcome:
        return Refused("no such room") if message.cronjob_id in self.failing else Delivered(None)

    async def rule(self, value: str | None = None, account: str | None = None, **settings: Any) -> str:
        """A rule of a tag, of a cron job by its id, or of the account."""
        self.numbers += 1
        scope = Scope.ACCOUNT if value is None else Scope.CRONJOB if "-" in value else Scope.TAG
        made = StoredRule(
            uuid_of(f"rule-{self.numbers}"),
            account or self.account,
            scope,
            value,
            json.dumps(settings),
            NOON + self.numbers,
            NOON,
            API_KEY,
        )
        await self.store.transact(lambda connection: alert_rules.insert_rule(connection, made))
        return made.rule_id

    async def job(self, name: str, *, host: str | None = None, **given: Any) -> str:
        destination = json.dumps({"to": host} if host else {})
        made = await make_cronjob(
            self.store, self.account, name=name, next_fire_at=None, destination=destination, **given
        )
        return str(made["cronjob_id"])

    async def fire(self, *jobs: str, late: int = 0, account: str | None = None) -> None:
        """One firing of each, which ends as its cron job does now."""
        self.clock.forward(SECOND)
        at = self.clock.now - late
        rows = [
            firing_values(
                {"cronjob_id": job, "account_id": account or self.account},
                scheduled_at=at,
                due_at=at,
                created_at=at,
            )
            for job in jobs
        ]
        await insert_rows(self.store, "firing", rows)
        await work_off(self.sender)

    async def fail(self, *jobs: str, **given: Any) -> None:
        self.failing.update(jobs)
        await self.fire(*jobs, **given)

    async def deliver(self, *jobs: str, **given: Any) -> None:
        self.failing.difference_update(jobs)
        await self.fire(*jobs, **given)

    async def settle(self, forward: int = GATHERED) -> list[Any]:
        """Let both nodes judge what happened, and tell what is due after a while; all alerts so far."""
        await self._steps()
        self.clock.forward(forward)
        await self._steps()
        return await self.alerts()

    async def _steps(self) -> None:
        for node in self.nodes:
            while await node.step() == 0.0:
                pass

    async def alerts(self) -> list[Any]:
        table = tables.alert
        found = await read(
            self.store, select(table).order_by(table.c.created_at, table.c.event, table.c.alert_id)
        )
        return list(found)

    async def said(self, forward: int = GATHERED) -> list[tuple[str, str]]:
        """The condition and the event of each alert."""
        return [(one.condition, one.event) for one in await self.settle(forward)]

    async def standing(self) -> list[Any]:
        return list(await read(self.store, select(tables.condition).order_by(tables.condition.c.subject)))

    async def happenings(self) -> list[Any]:
        return list(await read(self.store, select(tables.happening)))

    async def channel(self, name: str) -> str:
        channel_id = uuid_of(f"channel-{name}")
        row = {
            "channel_id": channel_id,
            "account_id": self.account,
            "name": name,
            "kind": "http",
            "parameters": "{}",
            "version": 1,
            "created_at": NOON,
            "updated_at": NOON,
            "updated_by": API_KEY,
            "confirmed_at": NOON,
        }
        await self.store.transact(lambda connection: connection.execute(insert(tables.channel), row) and None)
        return channel_id

    async def change(self, table: str, where: Any, **values: Any) -> None:
        target = tables.metadata.tables[table]
        await self.store.transact(
            lambda connection: connection.execute(update(target).where(where).values(values)) and None
        )


async def world(store: Store, clock: Clock) -> World:
    return await World(store, clock).begin()


BEGAN, ENDED = Event.BEGAN.value, Event.ENDED.value
