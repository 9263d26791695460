"""The loop: repeats a step, wakes early, survives a step that raises, and ends between two steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from cronally import errors
from cronally.engine import loop as loop_module
from cronally.engine.loop import Loop

LONG = 3600.0
"""Seconds that no test waits for."""


class Steps:
    """A step that answers from a list, says when it ran, and stops its loop after the last answer."""

    def __init__(self, *answers: float | Exception | None) -> None:
        self.answers = list(answers)
        self.ran = 0
        self.loop: Loop | None = None
        self._condition = asyncio.Condition()

    async def __call__(self) -> float | None:
        async with self._condition:
            self.ran += 1
            self._condition.notify_all()
        answer = self.answers.pop(0)
        if not self.answers and self.loop is not None:
            self.loop.stop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def times(self, count: int) -> None:
        async with self._condition:
            await self._condition.wait_for(lambda: self.ran >= count)


def make(
    *answers: float | Exception | None, poll: float = LONG, wake: asyncio.Event | None = None
) -> tuple[Loop, Steps]:
    steps = Steps(*answers)
    loop = steps.loop = Loop("test", steps, poll=poll, wake=wake)
    return loop, steps


async def test_run__goes_on_at_once_after_zero() -> None:
    loop, steps = make(0, 0, 0, 0.0)
    await loop.run()
    assert steps.ran == 4


async def test_run__sleeps_as_long_as_the_step_wants() -> None:
    loop, steps = make(0.001, 0.001, None)
    await loop.run()
    assert steps.ran == 3


async def test_run__polls_when_the_step_wants_nothing_or_too_long() -> None:
    loop, steps = make(None, LONG, None, poll=0.001)
    await loop.run()
    assert steps.ran == 3


async def test_wake__ends_the_sleep() -> None:
    wake = asyncio.Event()
    loop, steps = make(None, None, None, wake=wake)
    running = asyncio.create_task(loop.run())
    for count in (1, 2):
        await steps.times(count)
        wake.set()
    await running
    assert steps.ran == 3


async def test_wake__during_the_step_is_not_lost() -> None:
    wake = asyncio.Event()
    ran: list[int] = []
    loop: Loop

    async def step() -> float | None:
        ran.append(1)
        if len(ran) == 1:
            wake.set()  # as an announcement would that comes while the step runs
        else:
            loop.stop()
        return None

    loop = Loop("test", step, poll=LONG, wake=wake)
    await loop.run()
    assert len(ran) == 2


async def test_stop__ends_the_sleep() -> None:
    loop, steps = make(None, None)
    running = asyncio.create_task(loop.run())
    await steps.times(1)
    await asyncio.sleep(0)
    loop.stop()
    await running
    assert steps.ran == 1


async def test_stop__never_inside_a_step() -> None:
    entered, proceed, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def step() -> float | None:
        entered.set()
        await proceed.wait()
        finished.set()
        return 0

    loop = Loop("test", step, poll=LONG)
    running = asyncio.create_task(loop.run())
    await entered.wait()
    loop.stop()
    await asyncio.sleep(0)
    assert not running.done()
    proceed.set()
    await running
    assert finished.is_set()


async def test_stop__before_the_run_runs_no_step() -> None:
    loop, steps = make(0)
    loop.stop()
    await loop.run()
    assert steps.ran == 0


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "PAUSE_FIRST", 0.0001)


@pytest.mark.usefixtures("hurried")
async def test_failure__is_logged_and_the_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    loop, steps = make(LookupError("one bad row"), errors.Unavailable(), 0, None)
    await loop.run()
    assert steps.ran == 4
    bad, gone, again = caplog.records
    assert (bad.levelno, bad.getMessage(), bad.exc_info is not None) == (logging.ERROR, "a step failed", True)
    assert (gone.levelno, gone.getMessage(), gone.exc_info) == (
        logging.WARNING,
        "the database does not answer",
        None,
    )
    assert (bad.loop, bad.failures, gone.failures) == ("test", 1, 2)  # type: ignore[attr-defined]
    assert (again.getMessage(), again.failures) == ("goes on after failures", 2)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("hurried")
async def test_failure__count_starts_again_after_a_success(caplog: pytest.LogCaptureFixture) -> None:
    loop, _ = make(LookupError(), 0, LookupError(), None)
    await loop.run()
    failed = [record for record in caplog.records if record.getMessage() == "a step failed"]
    assert [record.failures for record in failed] == [1, 1]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("hurried")
async def test_failure__many_in_a_row_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    loop, _ = make(*[errors.Unavailable()] * 200, LookupError(), None)
    await loop.run()
    told = [record.failures for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 192, 201, 201]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the loop takes, none of which is waited for."""
    taken: list[float] = []
    timeout: Callable[[float], asyncio.Timeout] = asyncio.timeout

    def none(seconds: float) -> asyncio.Timeout:
        taken.append(seconds)
        return timeout(0)

    monkeypatch.setattr(asyncio, "timeout", none)
    return taken


async def test_failure__pauses_grow_to_a_ceiling(pauses: list[float]) -> None:
    loop, _ = make(*[LookupError()] * 12, None)
    await loop.run()
    assert 0.1 <= pauses[0] <= 0.2
    assert all(pause <= loop_module.PAUSE_CEILING for pause in pauses)
    assert all(pause >= loop_module.PAUSE_CEILING / 2 for pause in pauses[6:])


async def test_failure__pauses_are_no_longer_than_the_poll(pauses: list[float]) -> None:
    loop, _ = make(*[LookupError()] * 12, None, poll=1.0)
    await loop.run()
    assert max(pauses) <= 1.0


async def test_failure__wakes_do_not_shorten_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "PAUSE_FIRST", LONG)
    monkeypatch.setattr(loop_module, "PAUSE_CEILING", LONG)
    wake = asyncio.Event()
    loop, steps = make(LookupError(), None, wake=wake)
    running = asyncio.create_task(loop.run())
    await steps.times(1)
    for _ in range(10):
        wake.set()
        await asyncio.sleep(0)
    assert steps.ran == 1
    # But a stop does.
    loop.stop()
    await running


async def test_run__cancelled_ends() -> None:
    loop, steps = make(None, None)
    running = asyncio.create_task(loop.run())
    await steps.times(1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
