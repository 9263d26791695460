"""What will fire, said beforehand: of an expression that anybody asks about, and of a cron job.

Invariant: pure, and the answer is made by the timetable that fires. An expression is checked as for a new cron job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cronally import errors
from cronally.clock.preview_answer import entries, over, preview_answer
from cronally.clock.timetable import Timetable
from cronally.operations.answers import Answer
from cronally.operations.fields import Fields, check_instant, check_key, whole_number
from cronally.operations.timings import TIMING, Timings
from cronally.store.cronjobs import Cronjob

MAX_COUNT: Final = 100
DEFAULT_COUNT: Final = 10

_WINDOW: Final = frozenset({"after", "count"})


class Previews:
    """Foretells. Every method raises InvalidRequest with all complaints at once."""

    def __init__(self, timings: Timings) -> None:
        self._timings = timings

    def of_expression(
        self, parameters: Mapping[str, str], unusable: Mapping[str, str] | None, now: int
    ) -> Answer:
        """The preview of a cron job that would be created at `after`, or now."""
        fields = Fields(parameters, unusable)
        fields.allow({"expression", "id", *TIMING, *_WINDOW})
        key = fields.read_given("id", check_key, expected="a cron job's id", default=None)
        # That an id is wrong is said of the id, not of the `H` that needs it.
        known = key if "id" not in fields.complaints else "0"
        timing = self._timings.read(fields, "expression", known)
        after, count = _read_window(fields, now)
        fields.raise_complaints()
        assert timing is not None  # noqa: S101 - else there was a complaint
        table = timing.timetable(key, after)
        answer = _answer(table, after, count)
        if not (answer["fire_times"] or answer["suppressed"]):
            complaint = over(table, after) or ""
            raise errors.InvalidExpression(complaint, fields={"expression": complaint})
        return answer

    def of_cronjob(
        self, cronjob: Cronjob, parameters: Mapping[str, str], unusable: Mapping[str, str] | None, now: int
    ) -> Answer:
        """The preview of a cron job, with its id and state: only an active one fires."""
        fields = Fields(parameters, unusable)
        fields.allow(_WINDOW)
        after, count = _read_window(fields, now)
        fields.raise_complaints()
        try:
            table = cronjob.timing.timetable(cronjob.cronjob_id, cronjob.created_at)
        except (errors.InvalidExpression, ValueError) as problem:
            raise errors.InvalidExpression(
                f"This server cannot read the cron job's schedule: {problem}"
            ) from None
        return {"cronjob_id": cronjob.cronjob_id, "state": cronjob.state, **_answer(table, after, count)}


def _answer(table: Timetable, after: int, count: int) -> Answer:
    return preview_answer(table, after, entries(table, after, count))


def _read_window(fields: Fields, now: int) -> tuple[int, int]:
    after = fields.read_given(
        "after", check_instant, expected="an instant, such as 2026-11-24T08:00:00Z", default=now
    )
    count = fields.read_given(
        "count", whole_number(MAX_COUNT), expected="how many fire times to show", default=DEFAULT_COUNT
    )
    return after, count
