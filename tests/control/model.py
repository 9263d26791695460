"""The model of one cron job: what its owner and its schedulers did, and what each of its fire times must come to.

Invariant: it knows no more than what was asked for, and when schedulers looked. A fire time gets its verdict once,
from the history alone; how it was delivered is the business of `judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tests.control import oracle
from tests.control.oracle import Timing

MINUTE = 60_000_000
DAY = 1440 * MINUTE
ON_TIME = MINUTE
"""Fire times up to this old are always fired."""

Calendars = Mapping[str, Sequence[str]]


class Verdict(NamedTuple):
    """What the ledger must say of a fire time."""

    state: str | None = None
    """None: it was owed to the target, and what came of that is told by the target."""
    reason: str | None = None
    cause: str | None = None


OWED = Verdict()
PAUSED = Verdict("skipped", "paused")
DELETED = Verdict("skipped", "deleted")


@dataclass(frozen=True)
class Asked:
    """What its owner asked for. Durations are microseconds."""

    timing: Timing
    catch_up: str = "latest"
    grace: int = DAY
    max_firings: int | None = None
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suppressed:
    """What changes of the clock suppress in a stretch of time."""

    held: frozenset[int]
    skipped: frozenset[tuple[int, int]]
    """Jumps, each with how many local times."""


@dataclass
class Cronjob:
    """One cron job. Every method but `look` says what was done at an instant, and looks first where its owner does."""

    cronjob_id: str
    asked: Asked
    calendars: Calendars
    """Those of its account, as they are at the moment."""
    since: int
    """From when on changes of the clock are not accounted for yet."""
    after: int
    """Until then each fire time has its verdict."""
    state: str = "active"
    until: int | None = None
    """When its pause ends by itself."""
    fired: int = 0
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    """By fire time, in their order."""
    required: list[Suppressed] = field(default_factory=list)
    """What the ledger must say that changes of the clock suppressed."""
    allowed: list[Suppressed] = field(default_factory=list)
    """What it may say: a cron job that has nothing left to fire does not look at the clock any more."""
    runs: set[int] = field(default_factory=set)
    """The fire times of its manual firings."""
    again: dict[tuple[int, str], set[int]] = field(default_factory=dict)
    """By fire time and kind: how often a firing had been sent, each time that it was made due once more."""
    made_up: set[int] = field(default_factory=set)
    """Fire times that it owed to nobody, and that somebody asked for afterwards."""

    @property
    def alive(self) -> bool:
        return self.state != "deleted"

    @property
    def used_up(self) -> bool:
        return self.asked.max_firings is not None and self.fired >= self.asked.max_firings

    @property
    def covered(self) -> int:
        """The last fire time that has a verdict."""
        return next(reversed(self.verdicts), 0)

    @property
    def next_owed(self) -> int | None:
        """Until then ticks have written all that it owes; None: it owes nothing."""
        return max(self.after, self.covered) if self.state == "active" else None

    # What schedulers do

    def tick(self, now: int) -> None:
        """A scheduler wrote all that was due."""
        if self.state == "active":
            self._cover(now)

    def look(self, now: int) -> None:
        """Somebody looked whether its pause has ended."""
        if self.state == "paused" and self.until is not None and self.until <= now:
            self.settled(self.until - 1)
            self._go_on(self.until - 1)

    def settled(self, until: int) -> None:
        """What fell due while it was paused is in the ledger until then."""
        if self.state == "paused":
            self._judge(until, lambda _at: PAUSED if not self.used_up else None)

    # What its owner does

    def pause(self, now: int, until: int | None) -> bool:
        """Whether it can be paused."""
        self.look(now)
        if self.state == "active":
            self._cover(now)
            if self.state == "active":
                self._part(now)
                self.state = "paused"
        if self.state != "paused":
            return False
        self.until = until
        return True

    def goes_again(self, at: int, kind: str, sent: int) -> None:
        """A firing was made due, after it had been sent so often."""
        self.again.setdefault((at, kind), set()).add(sent)
        if kind == "scheduled":
            if at not in self.verdicts:
                self.made_up.add(at)
            self.verdicts = dict(sorted({**self.verdicts, at: OWED}.items()))

    def resume(self, now: int) -> None:
        self.look(now)
        if self.state == "paused":
            self.settled(now)
            self._go_on(now)

    def change(self, now: int, asked: Asked) -> None:
        """It is another one from now on."""
        self.look(now)
        self.tick(now)
        self.settled(now)
        paused = self.state == "paused"
        self._part(now)
        self.asked = asked
        if not paused:
            self._begin()

    def delete(self, now: int) -> None:
        self.look(now)
        self.settled(now)
        if self.state == "active":
            self._judge(now, lambda _at: DELETED)
        self._part(now)
        self.state = "deleted"

    # How it is decided

    def _cover(self, now: int) -> None:
        """What a tick makes of what is due: `catch_up`, the grace, what is excluded, and how often it may fire."""
        due = oracle.expected(self.asked.timing, self.after, now).fires
        timing, fresh = self.asked.timing, now - ON_TIME
        cause = {
            at: oracle.cause_of(self.asked.exclude, self.calendars, timing.zone, at)
            for at in due
            if at > self.covered
        }
        last = max((at for at, excluded in cause.items() if excluded is None), default=None)

        def decide(at: int) -> Verdict | None:
            if self.used_up:
                return None
            if cause[at] is not None:
                return Verdict("skipped", "excluded", cause[at])
            if at < min(now - self.asked.grace, fresh):
                return Verdict("missed", "misfire_grace")
            if at < fresh and self.asked.catch_up == "skip":
                return Verdict("missed", "catch_up=skip")
            if at < fresh and self.asked.catch_up == "latest" and at != last:
                return Verdict("missed", "catch_up=latest")
            self.fired += 1
            return OWED

        self._judge(now, decide)
        self._complete()

    def _judge(self, until: int, decide: Callable[[int], Verdict | None]) -> None:
        for at in oracle.expected(self.asked.timing, self.after, until).fires:
            if at > self.covered and (verdict := decide(at)) is not None:
                self.verdicts[at] = verdict
        self.after = max(self.after, until)

    def _part(self, now: int) -> None:
        """What it was ends; from then on fire times are owed that are later than all that have a verdict."""
        found = oracle.expected(self.asked.timing, self.since, now)
        ends = max((at for at in self.verdicts if at not in self.made_up), default=0)
        if self.state != "completed" and not self.used_up and oracle.fires_after(self.asked.timing, now):
            ends = now
        for until, into in ((now, self.allowed), (ends, self.required)):
            held = frozenset(at for at in found.held if at <= until)
            skipped = frozenset((jump, n) for jump, n in found.skipped.items() if jump - 1 <= until)
            into.append(Suppressed(held, skipped))
        self.since = max(self.since, now)
        self.after = max(now, self.covered)

    def _go_on(self, after: int) -> None:
        """A pause has ended."""
        self._part(after)
        self.until = None
        self._begin()

    def _begin(self) -> None:
        self.state = "active"
        self._complete()

    def _complete(self) -> None:
        if self.used_up or not oracle.fires_after(self.asked.timing, max(self.after, self.covered)):
            self.state = "completed"


def with_timing(asked: Asked, **changes: object) -> Asked:
    """The same with another timing."""
    return replace(asked, timing=replace(asked.timing, **changes))  # type: ignore[arg-type]
