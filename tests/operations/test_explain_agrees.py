"""An explanation never contradicts the preview and the ledger, whatever the expression, the zone and the outages."""

from __future__ import annotations

from itertools import islice

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronally import errors
from cronally.clock.preview import FireTime, Suppressed, preview
from cronally.instants import DAY, HOUR, MINUTE, format_iso, parse_iso
from cronally.operations import Caller, Operations
from cronally.store import Store
from tests.operations.explained import NEW_YORK, Explained
from tests.support.factories import Clock, read_firings

TEXTS = [
    *("30 1 * * *", "0,30 2 * * *", "*/20 1-2 * * *", "0 0 * * *", "15 */2 * * *", "H H(0-3) * * *"),
    *("@every 37m", "cron(0/40 1-3 ? * SAT-MON *)", "at(2026-03-08T02:30:00)", "45 1,2 1,8 3,11 SUN"),
]
ZONES = [NEW_YORK, "Australia/Lord_Howe", "America/Havana", "Europe/Dublin", "UTC", "Antarctica/Troll"]
STARTS = [
    parse_iso(f"2026-{day}T00:00:00Z") for day in ("03-07", "03-28", "04-04", "10-03", "10-24", "10-31")
]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    operations: Operations,
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
