"""How much is sent of one cron job at once and in a second: the counts, and the engine on both databases."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.engine import cronjob_limits
from cronally.engine.cronjob_limits import CronjobLimits
from cronally.store.claims import Claim
from tests.engine.test_admission import World, world
from tests.engine.test_verdict import claim
from tests.support.examples import examples
from tests.support.factories import read_firings

__all__ = ["world"]

pytestmark = pytest.mark.sample


def limited(cronjob_id: str = "c", **policies: int) -> Claim:
    return claim(cronjob_id=cronjob_id, stored_policies=json.dumps(policies))


def send(those: CronjobLimits, made: Claim, count: int, now: float = 0.0) -> int:
    """Send as many as are allowed; how many were."""
    for sent in range(count):
        if those.wait(made, now) is not None:
            return sent
        those.begin(made, now)
    return count


def test_in_flight__of_each_cron_job_by_itself() -> None:
    those = CronjobLimits()
    one, other = limited("one", max_in_flight=3), limited("other", max_in_flight=1)
    assert (send(those, one, 10), send(those, other, 10)) == (3, 1)
    assert send(those, limited("free"), 1000) == 1000
    those.end(one)
    assert (send(those, one, 10), send(those, other, 10)) == (1, 0)
    assert send(those, one, 10, now=1000.0) == 0, "time frees no place"


def test_per_second__and_each_is_told_to_come_in_turn() -> None:
    those, one = CronjobLimits(), limited(max_per_second=4)
    assert send(those, one, 100, now=7.5) == 4
    assert [those.wait(one, 7.9) for _ in range(7)] == [n / 4 for n in range(2, 9)], "one was told by `send`"
    assert send(those, one, 100, now=8.0) == 4
    assert those.wait(one, 8.0) == (8 - 4 + 1 + 1) / 4
    assert send(those, one, 100, now=100.0) == 4


def test_memory__idle_cron_jobs_are_forgotten_and_busy_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cronjob_limits, "PRUNED_AT", 3)
    those = CronjobLimits()
    busy = limited("busy", max_in_flight=1)
    assert send(those, busy, 5) == 1
    for number in range(20):
        made = limited(str(number), max_in_flight=1)
        assert send(those, made, 5, now=number + 1.0) == 1
        those.end(made)
    assert len(those._jobs) <= 4
    assert send(those, busy, 5, now=100.0) == 0


@examples(50)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from(["send", "end"]), st.integers(0, 2000)), max_size=60),
)
def test_limits__hold_whatever_comes(most: int, per_second: int, steps: list[tuple[str, int]]) -> None:
    those, one = CronjobLimits(), limited(max_in_flight=most, max_per_second=per_second)
    now, in_flight, sent = 0, 0, Counter[int]()
    for step, milliseconds in steps:
        now += milliseconds
        if step == "end" and in_flight:
            those.end(one)
            in_flight -= 1
        elif step == "send":
            allowed = those.wait(one, now / 1000) is None
            assert allowed == (in_flight < most and sent[now // 1000] < per_second)
            if allowed:
                those.begin(one, now / 1000)
                in_flight += 1
                sent[now // 1000] += 1


async def test_engine__sends_so_many_at_once_and_the_others_wait(world: Any) -> None:
    it: World = world()
    it.target.hang()
    await it.owe("a", "one", 6, policies='{"max_in_flight":2}')
    await it.owe("a", "other", 2)
    await it.work()
    await it.target.arrived(4)
    states = Counter(await it.states("a", "one"))
    assert states == {("sending", None): 2, ("pending", "cronjob_limit"): 4}
    rows = [row for row in await read_firings(it.store) if row.state == "pending"]
    assert {(row.attempt, row.sent_at) for row in rows} == {(0, None)}, "no attempt was burned"
    it.target.open.set()
    await it.dispatcher.settled()
    for _ in range(40):
        it.forward(0.2)
        await it.work()
    assert Counter(await it.states("a", "one")) == {("delivered", None): 6}


async def test_engine__sends_so_many_a_second(world: Any) -> None:
    it: World = world()
    await it.owe("a", "one", 12, policies='{"max_per_second":3}')
    counts = []
    for _ in range(30):
        before = len(it.target.messages)
        await it.work()
        counts.append(len(it.target.messages) - before)
        it.forward(1.0)
    assert max(counts) == 3
    assert sum(counts) == 12
    assert counts[0] == 3
    assert Counter(await it.states("a", "one")) == {("delivered", None): 12}
