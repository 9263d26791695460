"""Previews: what an expression or a cron job will fire.

Invariant: pure, and the timetable that fires makes the answer. An expression is checked as for a new cron job.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cronally import errors, spread
from cronally.clock.exclusion import Excluded, Exclusion
from cronally.clock.timetable import Timetable
from cronally.contract.previews import never_fires, preview_of, search
from cronally.contract.reading import Reading
from cronally.contract.schedules import CronjobPreview, ExpressionPreview, FireTime, Preview, Window
from cronally.contract.values import DEFAULT_COUNT
from cronally.cronjob import State, read_policies
from cronally.instants import format_iso, from_datetime, to_datetime
from cronally.operations.timing_rules import TimingRules
from cronally.store.cronjobs import Cronjob


def preview_expression(rules: TimingRules, reading: Reading[ExpressionPreview], now: int) -> Preview:
    """The preview of a cron job that is created at `after`, or now. Raises InvalidRequest."""
    key = reading.values.get("id")
    # That an id is wrong is said of the id, not of the `H` that needs it.
    after = reading.values.get("after", now)
    timing = rules.check(reading, "0" if "id" in reading.complaints else key, after)
    reading.raise_complaints()
    assert timing is not None  # noqa: S101 - else there was a complaint
    table = timing.timetable(key, after)
    exclusion = Exclusion.of(reading.values.get("exclude"), {})
    excluded = None if exclusion is None else exclusion.within(table.zone)
    answer = _preview(table, after, reading, excluded)
    if answer.complete and not (answer.fire_times or answer.suppressed or answer.excluded):
        idle = never_fires(timing, key, after, after)
        assert idle is not None  # noqa: S101 - the search has found nothing
        raise idle.error
    return answer


def preview_cronjob(
    cronjob: Cronjob, exclusion: Exclusion | None, reading: Reading[Window], now: int
) -> CronjobPreview:
    """The preview of a cron job, with its id and state: only an active one fires. Raises InvalidRequest."""
    reading.raise_complaints()
    try:
        table = cronjob.timing.timetable(cronjob.cronjob_id, cronjob.created_at)
        excluded = None if exclusion is None else exclusion.within(table.zone)
    except (errors.InvalidExpression, ValueError) as problem:
        raise errors.InvalidExpression(
            f"This server cannot read the cron job's schedule: {problem}"
        ) from None
    answer = _preview(table, reading.values.get("after", now), reading, excluded)
    window = read_policies(cronjob.policies).window
    if window:
        placed = [_placed(cronjob.cronjob_id, one, window) for one in answer.fire_times]
        answer = replace(answer, fire_times=tuple(placed))
    if (most := read_policies(cronjob.policies).max_firings) is not None:
        answer = replace(answer, notes=(_limited(most, cronjob.fired), *answer.notes))
    if cronjob.state == State.PAUSED:
        answer = replace(answer, notes=(_paused(cronjob), *answer.notes))
    return CronjobPreview(cronjob_id=cronjob.cronjob_id, state=cronjob.state, **vars(answer))


def _placed(cronjob_id: str, fire_time: FireTime, window: int) -> FireTime:
    """A fire time with the instant at which it starts in its window."""
    at = from_datetime(fire_time.scheduled_at)
    return replace(fire_time, due_at=to_datetime(at + spread.place(cronjob_id, at, window)))


def _paused(cronjob: Cronjob) -> str:
    until = "it is resumed" if cronjob.paused_until is None else format_iso(cronjob.paused_until)
    return f"The cron job is paused: what falls due before {until} is skipped."


def _limited(most: int, fired: int) -> str:
    if fired >= most:
        return f"The cron job has fired {fired:,} times: max_firings lets it fire no more."
    return f"The cron job has fired {fired:,} times: max_firings lets it fire {most - fired:,} more at most."


def _preview(table: Timetable, after: int, reading: Reading[Any], excluded: Excluded | None) -> Preview:
    count = reading.values.get("count", DEFAULT_COUNT)
    return preview_of(table, after, search(table, after, count, excluded=excluded))
