"""Rules about when something fires: its expressions, their time zone, and between which instants they hold.

Invariant: pure, as `rules`. What passes here can be put in a timetable, and has no two fire times closer to each other
than the server takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cronally import errors
from cronally.clock import zones
from cronally.clock.spacing import too_close
from cronally.contract.previews import never_fires
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import stored_value
from cronally.cron import parse, parse_written
from cronally.cron.hints import of_one, quoted
from cronally.cronjob import Timing, expressions_of, join_expressions
from cronally.instants import MAX_INSTANT, MINUTE, format_duration
from cronally.store.cronjobs import Cronjob

TIMING: Final = frozenset({"cron", "timezone", "dst_gap", "dst_overlap", "starts_at", "ends_at"})
"""The parameters that decide when something fires."""
_CHOSEN: Final = ("dst_gap", "dst_overlap", "starts_at", "ends_at")
"""Those of them that are policies."""


class TimingRules:
    """Checks what requests say about when something fires. Complains, and raises nothing."""

    def __init__(self, min_interval: int = MINUTE) -> None:
        """
        :param min_interval: how close to each other fire times may be, in microseconds
        """
        self._min_interval = min_interval

    def check(
        self, reading: Reading[Any], key: str | None, anchor: int, base: Timing | None = None
    ) -> Timing | None:
        """When something is to fire; None, and complaints in `reading`, where something is wrong.

        :param key: the id of the cron job, if there is one
        :param anchor: when the cron job was created
        :param base: what holds where nothing was sent
        """
        values = reading.values
        base = base or Timing("", zones.UTC, None, None)
        if "cron" in values:
            texts, stored = values["cron"], expressions_of(base.cron)
            reading.check("cron", lambda: self._expressions(texts, key, stored))
        if reading.complaints.keys() & TIMING:
            return None
        timing = Timing(
            join_expressions(values["cron"]) if "cron" in values else base.cron,
            values.get("timezone", base.timezone),
            **{name: stored_value(name, values.get(name, getattr(base, name))) for name in _CHOSEN},
        )
        bounds = [name for name in ("ends_at", "starts_at") if name in values]
        ends_at = timing.ends_at if timing.ends_at is not None else MAX_INSTANT
        if bounds and ends_at < (timing.starts_at or 0):
            complaint = (
                "must not be earlier than starts_at" if bounds[0] == "ends_at" else "is later than ends_at"
            )
            reading.complain(bounds[0], ValueError(f"{complaint}; give another instant, or default"))
            return None
        if values.keys() & {"cron", "timezone", "starts_at"}:
            return self._spaced(reading, timing, key, anchor)
        return timing

    def check_change(self, reading: Reading[Any], cronjob: Cronjob, now: int) -> Timing:
        """A timing as it is to be. One that stays as it is need not fire any more, nor be read by this version."""
        kept = cronjob.timing
        timing = self.check(reading, cronjob.cronjob_id, cronjob.created_at, kept)
        if timing is None or not reading.values.keys() & TIMING:
            return kept
        # What was not sent may be what this version cannot read.
        try:
            complain_of_idle(reading, timing, cronjob.cronjob_id, cronjob.created_at, now)
        except errors.InvalidExpression as problem:
            reading.complain("cron", problem)
        except ValueError as problem:
            reading.complain("timezone", problem)
        return timing

    def check_whole(self, reading: Reading[Any], cronjob: Cronjob, now: int) -> Timing | None:
        """A timing as a request says that has all of it; None, and complaints, where something is wrong. One that
        stays as it is need not fire any more."""
        base = Timing(cronjob.cron, zones.UTC, None, None)
        timing = self.check(reading, cronjob.cronjob_id, cronjob.created_at, base)
        if timing is not None and timing != cronjob.timing:
            complain_of_idle(reading, timing, cronjob.cronjob_id, cronjob.created_at, now)
        return timing

    def _expressions(self, texts: Sequence[str], key: str | None, stored: Sequence[str]) -> list[str]:
        """The expressions that were sent, each once. Raises InvalidExpression, which says of which one."""
        found = []
        for text in texts:
            try:
                found.append(self._expression(text, key, stored))
            except errors.InvalidExpression as problem:
                raise (of_one(problem, text) if len(texts) > 1 else problem) from None
        return list(dict.fromkeys(found))

    def _expression(self, text: str, key: str | None, stored: Sequence[str]) -> str:
        """An expression, with single spaces between its fields. Raises InvalidExpression.

        :param stored: those that the cron job has: sent again, they need be no better than they were
        """
        expression = parse(text, key)
        if expression.text not in stored:
            parse_written(text, key)
        shortest = expression.shortest_interval()
        if shortest is not None and shortest < self._min_interval:
            raise errors.InvalidExpression(
                f'"{expression}" has fire times {format_duration(shortest)} apart; this server takes'
                f" {format_duration(self._min_interval)} at least"
            )
        return expression.text

    def _spaced(self, reading: Reading[Any], timing: Timing, key: str | None, anchor: int) -> Timing | None:
        """A timing whose expressions keep their distance from each other; None, and a complaint, for others."""
        if len(expressions_of(timing.cron)) == 1:
            return timing
        try:
            found = too_close(timing.timetable(key, anchor), self._min_interval)
        except (errors.InvalidExpression, ValueError):
            return timing  # what was not sent, and this version cannot read: that is said elsewhere
        if found is None:
            return timing
        advice = "; what rate() and @every are counted from is starts_at" if found.counted else ""
        complaint = (
            f"{quoted(found.one)} and {quoted(found.other)} have fire times {format_duration(found.distance)} apart;"
            f" this server takes {format_duration(self._min_interval)} at least{advice}"
        )
        reading.complain("cron", errors.InvalidExpression(complaint))
        return None


def complain_of_idle(reading: Reading[Any], timing: Timing, key: str, anchor: int, now: int) -> None:
    """Complain of a timing that never fires after `now`, at the parameter that keeps it from it.

    Raises InvalidExpression, or ValueError for a time zone, where this version cannot read it.
    """
    idle = never_fires(timing, key, anchor, now)
    if idle is not None:
        reading.complain(idle.parameter, idle.problem)
