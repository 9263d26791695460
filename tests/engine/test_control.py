"""A tenant, a scheduler and the clock by chance: every fire time is covered once, with the right reason.

The model knows stretches of time: what the expression was, and why nothing fired, if nothing did. The independent
oracle says the fire times of each; the ledger must have them all, once each, and nothing may be sent of a stretch that
stood still. Another way to stand still is another verb and another `why`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronally import errors
from cronally.engine.dispatcher import Dispatcher
from cronally.engine.scheduler import Scheduler
from cronally.firing import Reason, State
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso
from cronally.operations import Operations
from cronally.store import Store, open_store
from cronally.targets.target import Target
from tests.operations.parameters import SNS
from tests.operations.tenant import Tenants
from tests.support.examples import examples
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    make_account,
    read_cronjob,
    read_firings,
    vault,
    work_off,
)
from tests.support.oracle import fire_times

EXPRESSIONS = ["*/5 * * * *", "0 * * * *", "7 */2 * * *", "30 6,18 * * *"]
CATCH_UP = ["latest", "all", "skip"]
LATER = st.sampled_from([0, 20 * SECOND, 7 * MINUTE, HOUR + 3 * MINUTE, 5 * HOUR, 26 * HOUR])
"""How much time passes before something is done."""
NOTES: st.SearchStrategy[dict[str, str]] = st.sampled_from([{}, {"note": "deploying"}])
DONE = st.one_of(
    st.just(("work", {})),
    st.just(("set_back", {})),
    st.just(("rename", {})),
    st.just(("resume", {})),
    st.fixed_dictionaries({"cron": st.sampled_from(EXPRESSIONS)}).map(lambda given: ("change", given)),
    st.fixed_dictionaries({"note": NOTES}).map(lambda given: ("pause", given)),
    st.fixed_dictionaries({"note": NOTES, "lasts": st.sampled_from([1, 5, 60, 3000])}).map(
        lambda given: ("pause", given)
    ),
)
"""What is done, by its name; another verb is another line."""
STEPS = st.lists(st.tuples(LATER, st.booleans(), DONE), min_size=8, max_size=12)
"""Of each: how much later, whether at a fire time, and what."""


@dataclass
class Stretch:
    """Of time, in which a cron job was one thing: from later than `after` to the `after` of the next."""

    after: int
    cron: str
    why: Reason | None = None
    """Why nothing fired; None: it did."""


class Server:
    """One store of either kind, on which one example follows the other; time goes on."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.clock = Clock(NOON)
        self.store: Store = self.run(open_store(url))
        self.store.clock = self.clock
        self.target = ScriptedTarget()
        targets: dict[str, Target] = {"sns": self.target}
        self.scheduler = Scheduler(self.store)
        self.dispatcher = Dispatcher(self.store, vault(), targets)
        self.tenants = Tenants(Operations(self.store, vault(), targets))

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    def close(self) -> None:
        self.run(self.store.close())
        self._runner.close()


@pytest.fixture
def server(migrated_url: str) -> Iterator[Server]:
    server = Server(migrated_url)
    yield server
    server.close()


class Control:
    """One cron job between its owner, a scheduler that may be down, and a clock, and the model of it."""

    def __init__(self, server: Server, cron: str, catch_up: str) -> None:
        self.server, self.clock, self.run = server, server.clock, server.run
        self.clock.now = (self.clock.now // DAY + 1) * DAY + 12 * HOUR
        server.target.messages.clear()
        self.until: int | None = None
        """When the pause ends by itself."""
        self.seen = self.clock.now
        """Until when the ledger was written, at most: it does not go back with the clock."""
        self.deleted = False
        self.account = self.run(make_account(server.store))
        sent = {**SNS, "cron": cron, "catch_up": catch_up}
        self.cronjob_id = self.run(server.tenants.create_cronjob(self.account, sent))["cronjob_id"]
        self.stretches = [Stretch(self.clock.now, cron)]

    @property
    def last(self) -> Stretch:
        return self.stretches[-1]

    def is_paused(self) -> bool:
        """Whether it is paused now: an end that has come counts, whether or not anybody looked."""
        if self.until is not None and self.until <= self.clock.now:
            self.stretches.append(Stretch(self.until - 1, self.last.cron))
            self.until = None
        return self.last.why is Reason.PAUSED

    def cut(self, cron: str, why: Reason | None) -> None:
        """Another stretch begins now."""
        self.seen = max(self.seen, self.clock.now)
        self.stretches.append(Stretch(self.seen, cron, why))

    def ask(self, verb: str, *parameters: Any) -> Any:
        return self.run(getattr(self.server.tenants, verb)(self.account, self.cronjob_id, *parameters))

    def step(self, later: int, aligned: bool, done: tuple[str, dict[str, Any]]) -> None:
        self.clock.forward(later)
        if aligned:
            self.clock.now = (self.clock.now // (5 * MINUTE) + 1) * 5 * MINUTE
        verb, given = done
        getattr(self, verb)(**given)

    # What is done

    def set_back(self) -> None:
        """The clock, by less than is followed without a question, all told."""
        if self.clock.now >= self.seen:
            self.clock.forward(-SECOND)

    def work(self) -> None:
        """A scheduler and a dispatcher do what there is to do."""
        self.is_paused()
        self.seen = max(self.seen, self.clock.now)
        while self.run(self.server.scheduler.step()) == 0.0:
            pass
        self.run(work_off(self.server.dispatcher))

    def pause(self, note: dict[str, str], lasts: int | None = None) -> None:
        until = None if lasts is None else self.clock.now + lasts * MINUTE
        again = self.is_paused()
        answer = self.ask("pause_cronjob", note if until is None else {**note, "until": format_iso(until)})
        assert answer["state"] == "paused"
        if not again:
            self.cut(self.last.cron, Reason.PAUSED)
        self.until = until

    def resume(self) -> None:
        paused = self.is_paused()
        assert self.ask("resume_cronjob")["state"] == "active"
        if paused:
            self.cut(self.last.cron, None)
            self.until = None

    def change(self, cron: str) -> None:
        paused = self.is_paused()
        answer = self.ask("update_cronjob", {"cron": cron})
        assert answer["state"] == ("paused" if paused else "active")
        self.cut(cron, self.last.why)

    def rename(self) -> None:
        self.is_paused()
        self.ask("update_cronjob", {"name": f"at {self.clock.now}"})

    def delete(self) -> None:
        self.is_paused()
        self.ask("delete_cronjob")
        self.cut(self.last.cron, Reason.DELETED)
        self.deleted = True
        with pytest.raises(errors.NotFound):
            self.ask("resume_cronjob")

    # What holds

    def assert_covered_once(self) -> None:
        """Every fire time is covered once, with its reason, and what stood still sent nothing."""
        self.work()
        row = self.run(read_cronjob(self.server.store, self.cronjob_id))
        if self.deleted:
            end = self.last.after
        else:
            assert row.state == ("paused" if self.is_paused() else "active")
            end = row.settled_at if row.state == "paused" else self.seen
            assert self.clock.now - row.settled_at <= DAY or row.state == "active"
        covered = [at for firing in self.ledger() for at in self.covers(firing)]
        expected = [at for stretch, until in self.parts(end) for at in self.owed(stretch, until)]
        assert covered == expected
        for message in self.server.target.messages:
            assert self.stretch_of(message.scheduled_at).why is None, "sent while it stood still"

    def ledger(self) -> Any:
        return self.run(read_firings(self.server.store, self.cronjob_id))

    def covers(self, row: Any) -> list[int]:
        """The fire times of a row, by the oracle."""
        stretch = self.stretch_of(row.scheduled_at)
        found = fire_times(stretch.cron, row.scheduled_at, (row.until_at or row.scheduled_at) + 1)
        assert (found[0], len(found)) == (row.scheduled_at, row.count), row
        assert self.stretch_of(found[-1]) is stretch, f"beyond its stretch: {row}"
        if stretch.why is None:
            gone = row.reason == Reason.DELETED and self.deleted
            assert row.state != State.SKIPPED or gone, row
        else:
            assert (row.state, row.reason) == (State.SKIPPED, stretch.why), row
        return found

    def parts(self, end: int) -> Iterator[tuple[Stretch, int]]:
        """The stretches, each with its end, up to an instant."""
        for one, following in zip(self.stretches, [*self.stretches[1:], None], strict=True):
            yield one, end if following is None else min(following.after, end)

    def owed(self, stretch: Stretch, until: int) -> list[int]:
        return fire_times(stretch.cron, stretch.after + 1, until + 1) if until > stretch.after else []

    def stretch_of(self, at: int) -> Stretch:
        return [one for one in self.stretches if one.after < at][-1]


def test_control__each_fire_time_once_with_its_reason(server: Server) -> None:
    @settings(examples(20), suppress_health_check=[*HealthCheck])
    @given(st.sampled_from(EXPRESSIONS), st.sampled_from(CATCH_UP), STEPS)
    def check(cron: str, catch_up: str, steps: list[Any]) -> None:
        control = Control(server, cron, catch_up)
        for step in steps:
            control.step(*step)
        control.assert_covered_once()
        control.clock.forward(HOUR)
        control.delete()
        control.assert_covered_once()

    check()
