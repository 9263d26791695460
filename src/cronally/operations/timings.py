"""The parameters that say when a cron job fires, read together: expression, zone and policies.

Invariant: pure. A timing that came through here can be put in a timetable; each complaint stands at the parameter that
is wrong, and none is kept back for another. Whether it still fires is a question for its timetable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cronally import errors
from cronally.clock import zones
from cronally.clock.dst import DstGap, DstOverlap
from cronally.cron import parse
from cronally.cronjob import Timing
from cronally.instants import MINUTE, format_duration
from cronally.operations.fields import Fields, one_of

DEFAULT: Final = "default"
"""What a policy is given as to follow Debian's rule, as when it is not given."""

TIMING: Final = frozenset({"timezone", "dst_gap", "dst_overlap"})
"""The parameters beside the expression."""


class Timings:
    """Reads timings."""

    def __init__(self, min_interval: int = MINUTE) -> None:
        """
        :param min_interval: how close to each other fire times may be, in microseconds
        """
        self._min_interval = min_interval

    def read(
        self, fields: Fields, named: str, key: str | None, default: Timing | None = None
    ) -> Timing | None:
        """What the parameters say; None, and complaints, where something is wrong.

        :param named: what the parameter of the expression is called
        :param key: the id of the cron job, if there is one
        :param default: what stays where nothing is given; without it the expression is required
        """
        kept = default or Timing("", zones.UTC, None, None)
        timing = Timing(
            (fields.read if default is None else fields.read_given)(
                named,
                lambda text: self._check(text, key),
                expected="when to fire, such as 0 8 * * *",
                default=kept.cron,
            ),
            fields.read_given(
                "timezone", _check_zone, expected="an IANA name, such as Europe/Berlin", default=kept.timezone
            ),
            _read_policy(fields, "dst_gap", [*DstGap], kept.dst_gap),
            _read_policy(fields, "dst_overlap", [*DstOverlap], kept.dst_overlap),
        )
        return None if fields.complaints.keys() & {named, *TIMING} else timing

    def _check(self, text: str, key: str | None) -> str:
        """An expression, with single spaces between its fields. Raises InvalidExpression."""
        expression = parse(text, key)
        shortest = expression.shortest_interval()
        if shortest is not None and shortest < self._min_interval:
            raise errors.InvalidExpression(
                f'"{expression}" has fire times {format_duration(shortest)} apart; this server takes'
                f" {format_duration(self._min_interval)} at least"
            )
        return expression.text


def _check_zone(text: str) -> str:
    return zones.zone(text).name


def _read_policy(fields: Fields, name: str, policies: Sequence[str], default: str | None) -> str | None:
    names = [*policies, DEFAULT]
    chosen = fields.read_given(
        name, one_of(names), expected=f"one of {', '.join(names)}", default=default or DEFAULT
    )
    return None if chosen == DEFAULT else chosen
