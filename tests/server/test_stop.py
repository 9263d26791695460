"""SIGTERM: the grace is for everything together."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from prometheus_client import CollectorRegistry

from cronally.server.parts import Part, Supervisor
from cronally.server.serve import stop_within


class Dispatcher:
    """Notes the grace that it is given."""

    def __init__(self) -> None:
        self.given: list[float] = []

    async def stop(self, grace: float) -> None:
        self.given.append(grace)


async def stop_with(part: Part, grace: float) -> float:
    supervisor = Supervisor([part], CollectorRegistry())
    supervisor.start()
    await asyncio.sleep(0)
    dispatcher = Dispatcher()
    await stop_within(grace, supervisor, cast("Any", dispatcher))
    (given,) = dispatcher.given
    return given


async def test_stop__what_the_parts_took_is_not_given_again() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    # It is cancelled after the grace and a second: nothing is left for what is being sent.
    assert await stop_with(Part("stuck", never, lambda: None), 0.1) == 0.0


async def test_stop__what_the_parts_left_is_given() -> None:
    stopped = asyncio.Event()

    async def until_stopped() -> None:
        await stopped.wait()

    assert 0.0 < await stop_with(Part("quick", until_stopped, stopped.set), 3600.0) <= 3600.0
