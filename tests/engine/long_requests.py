"""What the tests of requests that may take long share: a target that takes the timeout of a destination, and nodes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cronally.engine.admission import Limits
from cronally.engine.dispatcher import Dispatcher
from cronally.instants import SECOND
from cronally.store import Store
from cronally.targets.target import Receiver, Target
from tests.support.factories import (
    Monotonic,
    ScriptedTarget,
    cronjob_values,
    firing_values,
    insert_rows,
    make_account,
    vault,
)

TIMEOUT = "delivery_http_timeout"
MINUTES = 600
"""Seconds: of a request that may take long."""


@dataclass
class PatientTarget(ScriptedTarget):
    """A target whose destinations have timeouts of their own."""

    def receiver(self, public: Mapping[str, Any]) -> Receiver:
        seconds = public.get(TIMEOUT, 0) / SECOND
        long = seconds if seconds > self.request_timeout else None
        return replace(super().receiver(public), long=long)


def node(store: Store, target: Target, monotonic: Monotonic, *, long: int = 16, **limits: Any) -> Dispatcher:
    return Dispatcher(
        store,
        vault(),
        {target.name: target},
        Limits(long_in_flight=long, **limits),
        chance=lambda: 0.5,
        monotonic=monotonic,
    )


async def owe(
    store: Store,
    account: str | None = None,
    count: int = 1,
    *,
    to: str = "host",
    seconds: float | None = MINUTES,
    **given: Any,
) -> list[dict[str, Any]]:
    """So many cron jobs of an account, each with a firing that is due, to a host, perhaps with a timeout."""
    account = account or await make_account(store)
    destination = {"to": to} if seconds is None else {"to": to, TIMEOUT: int(seconds * SECOND)}
    given = {"destination": json.dumps(destination), **given}
    jobs = [cronjob_values(account, next_fire_at=None, **given) for _ in range(count)]
    await insert_rows(store, "cronjob", jobs)
    await insert_rows(store, "firing", [firing_values(job) for job in jobs])
    return jobs


async def claim_all(dispatcher: Dispatcher) -> None:
    """Begin all that may go out at this instant."""
    while await dispatcher.step() == 0.0 or dispatcher._recorder.unwritten:
        await dispatcher._recorder.flushed()
