"""What must hold between the ledger of a cron job, its model, and what its target was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cronally.firing import CLOCK_CHANGES, firing_id
from cronally.targets.target import Delivered
from tests.control import oracle
from tests.control.model import DAY, MINUTE, OWED, Cronjob, Suppressed
from tests.control.nodes import Said, Sent

GIVEN_UP = ("target_refused", "target_unavailable", "max_age", "retry_max_attempts")
"""Why a firing fails that was attempted."""


def assert_right(
    job: Cronjob,
    row: Any,
    ledger: Sequence[Any],
    sent: Mapping[str, Sequence[Sent]],
    now: int,
    *,
    overlaps: bool,
    freezes: Collection[str],
) -> None:
    """The whole truth about one cron job.

    :param row: its own
    :param overlaps: whether its firings may be on their way together
    :param freezes: the ids of those that were for it
    """
    assert row.state == job.state
    assert row.fired == job.fired
    assert (row.next_fire_at is None) == (job.state != "active")
    scheduled = [one for one in ledger if one.kind == "scheduled"]
    manual = [one for one in ledger if one.kind == "manual"]
    assert_covered_once(job, row, scheduled, now)
    assert {one.scheduled_at for one in manual} == job.runs
    ids = Counter(firing_id(job.cronjob_id, one.scheduled_at, one.kind) for one in ledger)
    assert set(ids.values()) <= {1}, "an id is given to one firing"
    assert {key for key, messages in sent.items() if messages[0].message.cronjob_id == job.cronjob_id} <= set(
        ids
    ), "sent, and not in the ledger"
    for one in ledger:
        messages = sent.get(firing_id(job.cronjob_id, one.scheduled_at, one.kind), ())
        if one.kind == "manual" or job.verdicts.get(one.scheduled_at) == OWED:
            again = job.again.get((one.scheduled_at, one.kind), ())
            assert_delivery(job, one, messages, again, overlaps=overlaps, freezes=freezes)
        else:
            assert not messages, f"sent, and not owed: {one}"
    # What goes again holds others as far as nothing that has ended lies between.
    if not overlaps and not job.again:
        begun = [one for one in ledger if one.due_at is not None and one.attempt > (one.attempts_before or 0)]
        assert len(begun) <= 1, "two are being attempted"


def assert_covered_once(job: Cronjob, row: Any, scheduled: Sequence[Any], now: int) -> None:
    """Every fire time has one row, with its verdict; what changes of the clock suppress has one, too."""
    # What a pause skips is written once a day, and before anything changes.
    assert row.state != "paused" or now - row.settled_at <= DAY or row.wake_at <= now
    expected = dict(job.verdicts)
    ahead = oracle.expected(job.asked.timing, job.since, now)
    ahead_of = Suppressed(frozenset(ahead.held), frozenset(ahead.skipped.items()))
    held = Counter(at for part in job.required for at in part.held)
    skipped = {jump: n for part in job.required for jump, n in part.skipped}
    allowed = {at for part in [*job.allowed, ahead_of] for at in part.held}
    gaps = {gap for part in [*job.allowed, ahead_of] for gap in part.skipped}
    seen: set[int] = set()
    for one in scheduled:
        last = one.until_at or one.scheduled_at
        if one.reason in CLOCK_CHANGES:
            assert one.state == "skipped", one
            if one.scheduled_at % MINUTE:
                assert (one.scheduled_at + 1, one.count) in gaps, one
                skipped.pop(one.scheduled_at + 1, None)
            else:
                inside = [at for at in allowed if one.scheduled_at <= at <= last]
                assert (len(inside), min(inside), max(inside)) == (one.count, one.scheduled_at, last), one
                assert not seen & {*inside}, f"suppressed twice: {one}"
                seen |= {*inside}
            continue
        inside = [at for at in expected if one.scheduled_at <= at <= last]
        assert inside, f"no fire time: {one}"
        assert (len(inside), inside[0], inside[-1]) == (one.count, one.scheduled_at, last), one
        for at in inside:
            verdict = expected.pop(at)
            if verdict == OWED:
                assert one.count == 1, one
            else:
                assert (one.state, one.reason, one.cause) == verdict, (at, one)
    assert not expected, f"no row has {expected}"
    assert not set(held) - seen - job.verdicts.keys(), (
        f"no row says that these are suppressed: {set(held) - seen}"
    )
    assert not skipped, f"no row says that these are skipped by the clock: {skipped}"


def assert_delivery(
    job: Cronjob,
    one: Any,
    messages: Sequence[Sent],
    again: Collection[int],
    *,
    overlaps: bool,
    freezes: Collection[str],
) -> None:
    """What became of a firing that was owed to its target.

    :param again: how often it had been sent, each time that it was made due once more
    """
    is_open_again = len(messages) in again
    outcomes = [isinstance(each.outcome, Delivered) for each in messages]
    assert [each.message.attempt for each in messages] == [*range(1, len(messages) + 1)]
    assert all(each.at >= one.scheduled_at for each in messages), "sent early"
    assert not [sent for sent, delivered in enumerate(outcomes[:-1], 1) if delivered and sent not in again], (
        "sent once more after it was delivered"
    )
    assert (one.state == "delivered") == (bool(outcomes) and outcomes[-1] and not is_open_again), one
    assert one.attempt == len(messages), one
    if one.reason == "frozen":
        assert one.cause in freezes, one
    if one.state in ("pending", "sending", "delivered"):
        assert one.state != "sending", "nobody has it"
        return
    allowed = {("skipped", "deleted")} if not job.alive else set()
    allowed |= {("skipped", "frozen")} if freezes else set()
    if messages:
        allowed |= {
            ("failed", reason)
            for reason in ("target_refused", "target_unavailable", "max_age", "retry_max_attempts")
        }
    if not messages or is_open_again:
        allowed |= {("missed", "misfire_grace"), ("failed", "max_age")}
        if not overlaps:
            allowed |= {("skipped", "overlap"), ("skipped", "queue_full")}
    assert (one.state, one.reason) in allowed, one
    if one.state == "missed":
        assert one.finished_at > max(one.scheduled_at + MINUTE, one.created_at + MINUTE), one


def replayed(said: Sequence[Said | None]) -> tuple[str, int, int] | bool | None:
    """How a cron job stands by what its firings said one after the other: health, since when, how many; None: well.

    False where that cannot be told: None among them is something of which the order is not known.
    """
    last = said[-1] if said else ("ok", 0)
    if last is None:
        return False
    health, since, count = last[0], last[1], 0
    for one in reversed(said):
        if one is None:
            return False
        if one[0] != health:
            break
        since, count = one[1], count + 1
    return None if health == "ok" else (health, since, count)
