"""The supervisor: a part that ends by itself is started again, visibly, and ends no other."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from cronally.server import parts
from cronally.server.parts import Part, Supervisor


class Scripted:
    """A part whose runs end as the test says: an exception is raised, None returns."""

    def __init__(self, *ends: Exception | None) -> None:
        self._ends = list(ends)
        self._stopped = asyncio.Event()
        self.began = asyncio.Event()
        self.lasting = asyncio.Event()
        """Set once a run goes on until `stop`."""
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        self.began.set()
        if self._ends:
            end = self._ends.pop(0)
            if end is not None:
                raise end
            return
        self.lasting.set()
        await self._stopped.wait()

    def stop(self) -> None:
        self._stopped.set()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAUSE_FIRST", 0.0)


def supervisor_of(registry: CollectorRegistry, **named: Scripted) -> Supervisor:
    return Supervisor([Part(name, one.run, one.stop) for name, one in named.items()], registry)


async def test_part__that_raises_or_returns_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    failing, steady = Scripted(OSError("broken"), None), Scripted()
    supervisor = supervisor_of(registry, failing=failing, steady=steady)
    supervisor.start()
    await failing.lasting.wait()
    await supervisor.stop(10.0)
    assert (failing.runs, steady.runs) == (3, 1)
    assert registry.get_sample_value("cronally_part_restarts_total", {"part": "failing"}) == 2
    assert registry.get_sample_value("cronally_part_restarts_total", {"part": "steady"}) == 0
    assert "broken" in caplog.text


async def test_stop__ends_a_part_that_waits_to_be_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PAUSE_FIRST", 3600.0)
    failing = Scripted(OSError("broken"))
    supervisor = supervisor_of(CollectorRegistry(), failing=failing)
    supervisor.start()
    await failing.began.wait()
    await supervisor.stop(3600.0)
    assert failing.runs == 1


async def test_stop__cancels_a_part_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    began = asyncio.Event()

    async def run() -> None:
        began.set()
        await asyncio.Event().wait()

    supervisor = Supervisor([Part("stuck", run, lambda: None)], CollectorRegistry())
    supervisor.start()
    await began.wait()
    await supervisor.stop(0.01)
    assert "a part did not stop" in caplog.text
