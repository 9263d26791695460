"""An explanation never contradicts the preview, the ledger and the changes, whatever the expression and the zone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from cronally import errors
from cronally.clock.preview import FireTime, Suppressed, preview
from cronally.clock.timetable import timetable
from cronally.cronjob import read_policies
from cronally.instants import DAY, HOUR, MINUTE, SECOND, format_iso, parse_iso
from cronally.operations import Caller
from cronally.store import Store
from tests.operations.explained import NEW_YORK, Explained
from tests.operations.tenant import Tenants
from tests.support.examples import examples
from tests.support.factories import Clock, read_cronjob, read_firings

pytestmark = pytest.mark.sample

TEXTS = [
    *("30 1 * * *", "0,30 2 * * *", "*/20 1-2 * * *", "0 0 * * *", "15 */2 * * *", "H H(0-3) * * *"),
    *("@every 37m", "cron(0/40 1-3 ? * SAT-MON *)", "at(2026-03-08T02:30:00)", "45 1,2 1,8 3,11 SUN"),
]
ZONES = [NEW_YORK, "Australia/Lord_Howe", "America/Havana", "Europe/Dublin", "UTC", "Antarctica/Troll"]
STARTS = [
    parse_iso(f"2026-{day}T00:00:00Z") for day in ("03-07", "03-28", "04-04", "10-03", "10-24", "10-31")
]


@examples(10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(  # a range of missed fire times with a gap in it
    "15 */2 * * *", NEW_YORK, "default", "default", "skip", STARTS[0], [(False, 14), (True, 12), (False, 12)]
)
@given(
    st.sampled_from(TEXTS),
    st.sampled_from(ZONES),
    st.sampled_from(["default", "run_at_jump", "skip", "shift"]),
    st.sampled_from(["default", "first", "last", "both"]),
    st.sampled_from(["latest", "all", "skip"]),
    st.sampled_from(STARTS),
    st.lists(st.tuples(st.booleans(), st.integers(1, 20)), min_size=1, max_size=4),
)
async def test_explain__never_contradicts_preview_and_ledger(
    operations: Tenants,
    caller: Caller,
    store: Store,
    clock: Clock,
    text: str,
    zone: str,
    gap: str,
    overlap: str,
    catch_up: str,
    start: int,
    stretches: list[tuple[bool, int]],
) -> None:
    job = Explained(operations, caller, store, clock)
    policy = {"dst_gap": gap, "dst_overlap": overlap, "catch_up": catch_up}
    try:
        await job.create(text, format_iso(start), timezone=zone, **policy)
    except errors.InvalidExpression:
        return  # an at() whose time is over there, or skipped
    now = start
    for awake, hours in stretches:
        now += hours * HOUR
        await (job.awake if awake else job.tick)(now)
    table = await job.table()
    for row in await read_firings(store, job.cronjob_id):
        for instant in {row.scheduled_at, row.until_at or row.scheduled_at}:
            answer = await job.ask(format_iso(instant))
            assert answer["firing"]["scheduled_at"] == format_iso(row.scheduled_at), answer
            dst = row.state == "skipped"
            assert answer["finding"] == ("suppressed" if dst else row.state), answer
    entries = list(islice(preview(table, start), 60))
    for entry in entries:
        if isinstance(entry, FireTime):
            answer = await job.ask(format_iso(entry.scheduled_at))
            covered = {"pending", "missed"} if entry.scheduled_at <= now else {"future"}
            assert answer["finding"] in covered, answer
            assert answer["mark"] == entry.mark or answer["finding"] == "missed"
        else:
            for instant in {entry.scheduled_at, entry.until_at}:
                answer = await job.ask(format_iso(instant))
                if not table.matches(instant):
                    assert (answer["finding"], answer["reason"]) == ("suppressed", entry.reason), answer
                    instead = answer["instead_at"]
                    assert instead is None or table.matches(parse_iso(instead))
        assert entry.scheduled_at > start
    known = {entry.scheduled_at for entry in entries if isinstance(entry, FireTime)}
    spans = [(entry.scheduled_at, entry.until_at) for entry in entries if isinstance(entry, Suppressed)]
    last = max([entry.scheduled_at for entry in entries], default=start + DAY)
    for instant in range(start + 7 * MINUTE, min(last, start + 3 * DAY), 97 * MINUTE):
        if instant in known or any(first <= instant <= until for first, until in spans):
            continue
        answer = await job.ask(format_iso(instant))
        assert answer["finding"] == "no_fire_time", answer
        following = [at for at in sorted(known) if at > instant]
        assert answer["next_at"] == (format_iso(following[0]) if following else answer["next_at"])
    await operations.delete_cronjob(caller.account_id, job.cronjob_id)


@dataclass(frozen=True)
class Was:
    """What the cron job was from an instant on, and when it fired, replayed without the code that explains."""

    version: int
    since: int
    until: int
    zone: str
    fires: list[int]
    suppressed: list[tuple[int, int]]


def was(version: int, since: int, until: int, row: Any) -> Was:
    """
    :param until: when it became another one
    :param row: the cron job's, as it was
    """
    gap, overlap, *_ = read_policies(row.policies)
    times = timetable(
        row.cron, row.timezone, dst_gap=gap, dst_overlap=overlap, key=row.cronjob_id, anchor=row.created_at
    )
    fires, at = [], times.next(since)
    while at is not None and at <= until:
        fires.append(at)
        at = times.next(at)
    spans = [
        (entry.scheduled_at, entry.until_at)
        for entry in takewhile(lambda entry: entry.scheduled_at <= until, preview(times, since))
        if isinstance(entry, Suppressed)
    ]
    return Was(version, since, until, row.timezone, fires, spans)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "cron": st.sampled_from([text for text in TEXTS if not text.startswith("at(")]),
        "timezone": st.sampled_from(ZONES),
        "dst_gap": st.sampled_from(["default", "run_at_jump", "skip", "shift"]),
        "dst_overlap": st.sampled_from(["default", "first", "last", "both"]),
        "catch_up": st.sampled_from(["latest", "all", "skip"]),
        "name": st.sampled_from(["One", "Two"]),
    },
)


@examples(10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(STARTS),
    CHANGES,
    st.lists(st.tuples(st.booleans(), st.integers(1, 30 * 60), CHANGES), min_size=1, max_size=4),
    st.booleans(),
    st.integers(1, 40),
)
async def test_explain__agrees_with_a_replay_of_all_changes(
    operations: Tenants,
    caller: Caller,
    store: Store,
    clock: Clock,
    start: int,
    first: dict[str, str],
    changes: list[tuple[bool, int, dict[str, str]]],
    deleted: bool,
    step: int,
) -> None:
    job = Explained(operations, caller, store, clock)
    for left in (await operations.list_cronjobs(caller.account_id, {})).items:  # by an example that failed
        await operations.delete_cronjob(caller.account_id, left["cronjob_id"])
    given_first = {"cron": "*/20 1-2 * * *", **first, "name": "Zero"}
    await job.create(given_first.pop("cron"), format_iso(start), **given_first)
    now, since, known = start, start, []
    for awake, minutes, change in changes:
        before = await read_cronjob(store, job.cronjob_id)
        now += minutes * MINUTE
        await (job.awake if awake else job.tick)(now)
        if change:
            await job.change(format_iso(now), **change)
            known.append(was(before.version, since, now, before))
            since = now
    current = await read_cronjob(store, job.cronjob_id)
    now += 6 * HOUR
    clock.now = now
    if deleted:
        await job.delete(format_iso(now))
        known.append(was(current.version, since, now, current))
    else:
        await job.tick(now)
        known.append(was(current.version, since, now + 40 * DAY, current))
    assert [one.version for one in known] == list(range(1, len(known) + 1))

    fires = [at for one in known for at in one.fires]
    for one in known:
        ends = [one.until, one.since + SECOND, *one.fires[:2], *one.fires[-2:]]
        ends += [instant for span in one.suppressed[:2] for instant in span]
        walked = range(one.since + 7 * MINUTE, min(one.until, now + DAY), (step * 13 + 97) * MINUTE)
        for instant in {*ends, *walked}:
            if not one.since < instant <= min(one.until, now + 2 * DAY):
                continue
            answer = await job.ask(format_iso(instant))
            assert (answer["version"], answer["timezone"]) == (one.version, one.zone), answer
            if instant in one.fires:
                done = {"pending", "missed"} | ({"skipped"} if deleted else set())
                assert answer["finding"] in (done if instant <= now else {"future"}), answer
            elif any(first_at <= instant <= last_at for first_at, last_at in one.suppressed):
                assert answer["finding"] in ("suppressed", "no_fire_time"), answer
            else:
                assert answer["finding"] == "no_fire_time" or answer["mark"] == "suppressed", answer
            earlier, later = [at for at in fires if at < instant], [at for at in fires if at > instant]
            assert answer["previous_at"] == (format_iso(max(earlier)) if earlier else None), answer
            if later or deleted:
                assert answer["next_at"] == (format_iso(min(later)) if later else None), answer
    if deleted:
        after = await job.ask(format_iso(now + MINUTE))
        assert (after["finding"], after["state"]) == ("deleted", "deleted")
    else:
        await job.delete(format_iso(now))
