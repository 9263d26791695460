"""Freezes for the tests of the engine: made, lifted and read by the operations, beside dispatchers by hand."""

from __future__ import annotations

from typing import Any

from cronally.contract.freezes import NewFreeze
from cronally.contract.reading import Reading
from cronally.contract.writing import to_json
from cronally.engine.dispatcher import Dispatcher
from cronally.operations import Caller, Operations
from cronally.store import Store
from tests.engine.owing import dispatcher
from tests.support.factories import ScriptedTarget, make_cronjob, read_firings, vault

API_KEY = "00000000-0000-4000-8000-00000000000a"


def caller(account_id: str) -> Caller:
    return Caller(account_id, API_KEY, b"")


class World:
    """A store, what can be asked of it, and one node that sends."""

    def __init__(self, store: Store, target: ScriptedTarget, **limits: Any) -> None:
        self.store = store
        self.target = target
        self.operations = Operations(store, vault(), {"scripted": target})
        self.node: Dispatcher = dispatcher(store, target, **limits)

    async def freeze(self, account_id: str, **sent: Any) -> dict[str, Any]:
        reading = Reading(NewFreeze, {"until": "1h", **sent})
        return to_json(await self.operations.freezing.freeze(caller(account_id), reading))

    async def lift(self, account_id: str, freeze_id: str) -> dict[str, Any]:
        return to_json(await self.operations.freezing.lift(caller(account_id), freeze_id))

    async def job(self, account_id: str | None = None, *, host: str = "a.example", **given: Any) -> Any:
        """A cron job that fires at no time of its own, and is sent to a host."""
        values = {"next_fire_at": None, "destination": f'{{"to":"{host}"}}', **given}
        return await make_cronjob(self.store, account_id, **values)

    async def states(self, job: Any) -> list[tuple[str, str | None, str | None]]:
        """Of each firing its state, its reason and its cause."""
        rows = await read_firings(self.store, job["cronjob_id"])
        return [(row.state, row.reason, row.cause) for row in rows]
