"""What goes once more: a firing that is replayed, a set of them, and a backfill, part by part on two nodes.

Invariant: what an operation made due is seen in the ledger after each of its parts, and held against what it was asked
for. A part may be done twice, and anything may be asked for between two of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from cronally import errors
from cronally.contract.operations import OperationState
from cronally.firing import CLOCK_CHANGES, firing_id
from cronally.instants import MINUTE, SECOND, format_iso
from tests.control import oracle
from tests.control.model import Cronjob
from tests.operations.past import step
from tests.support.factories import read_firings

if TYPE_CHECKING:
    from tests.control.machine import Controls

PER_MINUTE = 600
MOST_SECONDS = 60
"""In which an operation of a test ends: it makes due ten in a second."""
ENDED = ("delivered", "failed", "missed", "skipped")
GIVEN_UP = ("missed", "skipped")

Done = tuple[str, dict[str, Any]]
Key = tuple[str, int, str]
"""Cron job, fire time and kind."""


def replay(controls: Controls, job: Cronjob, which: int) -> None:
    """One row of the ledger, if that can be."""
    rows = controls.on.run(read_firings(controls.on.store, job.cronjob_id))
    if not rows:
        return
    row, now = rows[which % len(rows)], controls.clock.now
    # What is due and has no row yet is the tick's, and so is all that is later.
    tick = (
        job.state == "active" and row.kind == "scheduled" and row.scheduled_at > max(job.after, job.covered)
    )
    ours, sent = controls.on.tenants, {"kind": row.kind}
    work = ours.replay_firing(controls.account, job.cronjob_id, row.scheduled_at, sent)
    if row.state not in ENDED or row.scheduled_at > now or tick:
        with_error(controls, work, errors.Conflict)
    elif row.until_at is not None or row.reason in CLOCK_CHANGES:
        with_error(controls, work, errors.InvalidRequest)
    elif controls.refuses(job, row.kind):
        with_error(controls, work, errors.Conflict)
    else:
        answer = controls.on.run(work)
        assert answer["firing_id"] == firing_id(job.cronjob_id, row.scheduled_at, row.kind)
        assert (answer["state"], answer["attempt"]) == ("pending", row.attempt)
        reopened(controls, {(job.cronjob_id, row.scheduled_at, row.kind)})


def with_error(controls: Controls, work: Any, kind: type[Exception]) -> None:
    try:
        controls.on.run(work)
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


def replay_set(
    controls: Controls, job: Cronjob, states: Sequence[str], order: str, crashes: bool, then: Done
) -> None:
    """All firings of a cron job that have ended so."""
    sent = {"cronjob_id": job.cronjob_id, "state": list(states), "order": order, "max_per_minute": PER_MINUTE}
    now = controls.clock.now
    frozen = controls.refuses(job)
    before = controls.on.run(read_firings(controls.on.store, job.cronjob_id))
    meant = [row for row in before if row.state in states and row.finished_at <= now]
    begun = controls.on.run(controls.on.tenants.replay_firings(controls.account, sent))
    last, made = run(controls, begun, crashes=crashes, then=then)
    owed = job.next_owed
    can = {
        (row.cronjob_id, row.scheduled_at, row.kind)
        for row in meant
        if row.until_at is None and row.reason not in CLOCK_CHANGES and row.scheduled_at <= now
    }
    assert made <= can, "replayed, and not asked for"
    assert last["done"] >= len(made)
    assert last["done"] + last["failed"] <= len(meant)
    if job.alive and then[0] == "nothing" and not frozen:
        assert made == {key for key in can if owed is None or key[2] == "manual" or key[1] <= owed}
        assert (last["done"], last["failed"]) == (len(made), len(meant) - len(made))


def backfill(
    controls: Controls, job: Cronjob, back: int, until: int, order: str, crashes: bool, then: Done
) -> None:
    """What was not delivered, of a stretch of the past."""
    now = controls.clock.now
    first, last = now - back, max(now - back, now - until)
    wanted = [
        at
        for at in oracle.expected(job.asked.timing, first - 1, last).fires
        if at <= (now if job.next_owed is None else job.next_owed)
        and oracle.cause_of(job.asked.exclude, job.calendars, job.asked.timing.zone, at) is None
    ]
    before = controls.on.run(read_firings(controls.on.store, job.cronjob_id))
    parted = {at for at in wanted if covering(before, at) in CLOCK_CHANGES}
    lacking = {at for at in wanted if covering(before, at) is not None}
    sent = {
        "from": format_iso(first),
        "to": format_iso(last),
        "order": order,
        "max_per_minute": PER_MINUTE,
    }
    if controls.refuses(job):
        with_error(
            controls, controls.on.tenants.backfill(controls.account, job.cronjob_id, sent), errors.Conflict
        )
        return
    begun = controls.on.run(controls.on.tenants.backfill(controls.account, job.cronjob_id, sent))
    ended, made = run(controls, begun, crashes=crashes, then=then)
    keys = {(job.cronjob_id, at, "scheduled") for at in wanted}
    assert made <= keys, "made up for, and no fire time of the stretch"
    if then[0] == "nothing":
        assert {at for _, at, _ in made} >= lacking - parted
        assert ended["failed"] <= len(parted), ended
        assert ended["done"] == len(made), ended


def covering(rows: Sequence[Any], at: int) -> str | None:
    """The reason for which a fire time is not delivered, empty where it has no row; None: it is, or may be."""
    for row in rows:
        if row.kind == "scheduled" and row.scheduled_at <= at <= (row.until_at or row.scheduled_at):
            return row.reason if row.state in GIVEN_UP else None
    return ""


def run(
    controls: Controls, begun: dict[str, Any], *, crashes: bool, then: Done
) -> tuple[dict[str, Any], set[Key]]:
    """Do all of an operation; what it came to, and what it made due."""
    other, controls.other = controls.other, None
    controls.time_passes(1)  # what ends at the instant of a request is not told from what had ended
    made: set[Key] = set()
    due: dict[Key, int] = {}
    ends = controls.clock.now + MOST_SECONDS * SECOND
    number = 0
    while True:
        answer = controls.on.run(controls.on.tenants.get_operation(controls.account, begun["operation_id"]))
        if answer["state"] != OperationState.RUNNING:
            break
        assert controls.clock.now < ends, f"it does not end: {answer}"
        before = {key_of(row): row.owed_at for row in all_rows(controls)}
        which = number % 2
        part = step(controls.on.each[which], controls.on.store_of(which), controls.clock, crashes=crashes)
        if other is not None and number == 0:
            # It does not deliver: what it holds for a freeze would be taken for what the part made due.
            did, _ = controls.on.together(part, controls.on.nodes[1].schedule())
            controls.scheduled()
        else:
            did = controls.on.run(part)
        if answer["action"] == "backfill" and did is not None:
            settled(controls, begun["filters"]["cronjob_id"])
        now_due = {
            key_of(row): row.due_at
            for row in all_rows(controls)
            if row.owed_at is not None and row.owed_at != before.get(key_of(row))
        }
        assert not made & now_due.keys(), "made due twice"
        due |= now_due
        made |= now_due.keys()
        reopened(controls, now_due.keys())
        if number == 0:
            controls.do(then)
        elif number % 2:
            controls.work(("schedule", "deliver"), controls.on.nodes)
        if did is None:
            controls.time_passes(SECOND)
        controls.assert_right()
        number += 1
    pace = sorted(due.values())
    assert all(later - earlier >= MINUTE // PER_MINUTE for earlier, later in itertools.pairwise(pace))
    controls.other = other
    return answer, made


def settled(controls: Controls, cronjob_id: str) -> None:
    """A part looks first, and what a pause skips is in the ledger then."""
    now = controls.clock.now
    for job in controls.alive:
        if job.cronjob_id == cronjob_id:
            job.look(now)
            job.settled(now)


def reopened(controls: Controls, keys: Collection[Key]) -> None:
    """Tell the models what was made due, and how often it had been sent before."""
    jobs = {job.cronjob_id: job for job in controls.jobs}
    for cronjob_id, at, kind in keys:
        messages = controls.on.receiver.sent.get(firing_id(cronjob_id, at, kind), ())
        jobs[cronjob_id].goes_again(at, kind, len(messages))


def all_rows(controls: Controls) -> Sequence[Any]:
    rows: Sequence[Any] = controls.on.run(read_firings(controls.on.store))
    return rows


def key_of(row: Any) -> Key:
    return row.cronjob_id, row.scheduled_at, row.kind
