"""Which readings of a clock are believed: scripts of what the clock says while time passes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store.timekeeper import BOUND, PATIENCE, Timekeeper, elapsed
from tests.support.factories import NOON

YEARS = 10 * 365 * DAY


@dataclass
class World:
    """Time as it passes, and a clock that is some way off. Both are moved by hand."""

    passed: int = 0
    off: int = 0

    def __post_init__(self) -> None:
        self.keeper = Timekeeper(lambda: 7 * DAY + self.passed)
        self.ask()  # what a process starts with is believed

    def ask(self, slow: int = 0) -> int:
        """How far the instant to go by is from the true one. The clock is read when half the answer's time is over."""
        before = self.keeper.elapsed()
        self.passed += slow // 2
        reading = NOON + self.passed + self.off
        self.passed += slow - slow // 2
        return self.keeper.judge(reading, before) - NOON - self.passed

    def run(self, duration: int, step: int = SECOND) -> set[int]:
        """Let time pass, and ask every second; return what was seen."""
        seen = set()
        for _ in range(0, duration, step):
            self.passed += step
            seen.add(self.ask())
        return seen


@pytest.fixture
def world() -> World:
    return World()


# What the clock is off, and for how long; what is gone by then, as seen by who asks each second.
SCRIPTS = {
    "right": [(0, HOUR, {0})],
    "a step that NTP makes": [(SECOND // 2, HOUR, {SECOND // 2})],
    "a leap second that is repeated": [(-SECOND, HOUR, {-SECOND}), (0, HOUR, {0})],
    "ahead for a moment": [(3 * SECOND, MINUTE, {0}), (0, HOUR, {0})],
    "an hour ahead for a while": [(HOUR, 10 * MINUTE, {0}), (0, HOUR, {0})],
    "ten years ahead for a while": [(YEARS, 10 * MINUTE, {0}), (0, HOUR, {0})],
    "a jump that is true": [(HOUR, PATIENCE, {0}), (HOUR, HOUR, {HOUR})],
    "ahead again and again": [(HOUR, 10 * MINUTE, {0}), (0, SECOND, {0})] * 5,
    "ahead by ever more": [(n * HOUR, 10 * MINUTE, {0}) for n in range(1, 6)],
    "behind for a moment, after long": [(0, PATIENCE, {0}), (-HOUR, MINUTE, {-HOUR}), (0, HOUR, {0})],
    "behind and further behind": [
        (0, PATIENCE, {0}),
        (-HOUR, MINUTE, {-HOUR}),
        (-2 * HOUR, MINUTE, {-2 * HOUR}),
        (0, HOUR, {0}),
    ],
    "behind, back, and ahead": [
        (0, PATIENCE, {0}),
        (-HOUR, MINUTE, {-HOUR}),
        (HOUR, MINUTE, {-HOUR}),
        (0, HOUR, {0}),
    ],
    "behind for long": [
        (0, PATIENCE, {0}),
        (-HOUR, PATIENCE + MINUTE, {-HOUR}),
        (0, 10 * MINUTE, {-HOUR}),
        (0, PATIENCE, {-HOUR, 0}),
    ],
    "wrong at the start, and set back": [(-HOUR, MINUTE, {-HOUR}), (0, 10 * MINUTE, {-HOUR})],
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_judge__goes_by(world: World, script: list[tuple[int, int, set[int]]]) -> None:
    for off, duration, expected in script:
        world.off = off
        assert world.run(duration) == expected


@pytest.mark.parametrize("rate", [11.6e-6, 5e-4, 0.08], ids=["smeared", "ntpd", "chrony"])
def test_judge__clock_that_is_slewed_is_followed(world: World, rate: float) -> None:
    for second in range(1, 86_400):
        world.passed += SECOND
        world.off = int(second * SECOND * rate)
        assert world.ask() == world.off
    assert world.keeper.jumps == 0


@pytest.mark.parametrize("slow", [SECOND, MINUTE, HOUR])
def test_judge__slow_answer_is_no_jump(world: World, slow: int) -> None:
    """A database that does not answer for an hour, a process that was stopped for one."""
    for _ in range(3):
        assert -slow <= world.ask(slow=slow) <= 0
    assert world.ask() == 0
    assert world.keeper.ahead == 0
    world.passed += slow
    assert world.ask() == 0
    assert world.keeper.jumps == 0


def test_judge__answer_that_was_overtaken_is_no_step_back(world: World) -> None:
    before, reading = world.keeper.elapsed(), NOON + world.passed
    world.run(MINUTE)
    assert world.keeper.judge(reading, before) == reading
    assert world.run(PATIENCE) == {0}
    assert world.keeper.steady_for >= PATIENCE


def test_judge__bound(world: World) -> None:
    world.off = BOUND
    assert world.run(SECOND) == {BOUND}
    world.off = 2 * BOUND + 1
    assert world.run(SECOND) == {BOUND}
    assert world.keeper.jumps == 1


def test_ahead__says_by_how_much_until_it_is_believed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert (world.keeper.ahead, world.keeper.since_leap) == (0, float("inf"))
    world.off = HOUR
    world.run(PATIENCE)
    assert (world.keeper.ahead, world.keeper.jumps) == (HOUR, 1)
    assert "the clock has jumped ahead, and is not believed yet" in caplog.text
    world.run(2 * SECOND)
    assert (world.keeper.ahead, world.keeper.jumps) == (0, 1)
    assert world.keeper.since_leap == 1
    assert "the clock's jump is believed" in caplog.text


def test_tell__once_a_minute_of_a_clock_that_jumps_all_the_time(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(120):
        world.off = HOUR * (second % 3)
        world.run(SECOND)
    assert caplog.text.count("the clock has jumped ahead") <= 3


def test_believe__what_other_nodes_go_by(world: World) -> None:
    """A machine that was stopped with all its clocks: only its own time stood still."""
    world.off = HOUR
    assert world.run(SECOND) == {0}
    world.keeper.believe("another node goes by it")
    assert world.run(SECOND) == {HOUR}


def test_hold_at__the_time_of_other_nodes() -> None:
    """A node that starts while the others do not believe the clock."""
    world = World(off=HOUR)
    assert world.run(SECOND) == {HOUR}
    world.keeper.hold_at(NOON + world.passed)
    assert world.run(10 * MINUTE) == {0}
    assert world.keeper.ahead == HOUR
    world.off = 0
    assert world.run(HOUR) == {0}
    assert world.keeper.ahead == 0


def test_time__without_asking(world: World) -> None:
    world.off = HOUR
    world.run(MINUTE)
    world.passed += 5 * SECOND
    assert world.keeper.time() == NOON + world.passed
    assert Timekeeper().time() is None


def test_elapsed__never_goes_back() -> None:
    first = elapsed()
    assert elapsed() >= first
