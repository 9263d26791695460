"""The operator's forecast: what lies ahead of all accounts, computed in a process of its own.

Invariant: it writes nothing, and needs neither the sealing keys nor a server: the database alone.
"""

from __future__ import annotations

import gc
from functools import partial

import uvloop

from cronally.contract.forecasts import Forecast
from cronally.operations.forecasts import forecast_of_all
from cronally.role import Role
from cronally.server.environment import read_settings
from cronally.server.resources import open_targets
from cronally.store import open_as_it_is


def forecast(hours: int) -> Forecast:
    """What lies ahead in the next hours. Raises `errors.CronallyError` with what to do when it cannot be computed."""

    async def work() -> Forecast:
        settings = read_settings(roles=[Role.SCHEDULER])
        store = await open_as_it_is(settings.database_url.get_secret_value())
        try:
            async with open_targets(settings) as targets:
                now = await store.clock()
                return await store.transact(
                    partial(forecast_of_all, targets=targets, hours=hours, now=now), patience=None
                )
        finally:
            await store.close()

    # What it makes lives until it ends: to look through it for cycles took a fifth of the time.
    gc.disable()
    try:
        return uvloop.run(work())
    finally:
        gc.enable()
