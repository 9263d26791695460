"""Local times without an offset, and at which instants the clocks of a zone show them.

Invariant: pure, and imports no parser of expressions: the client reads this, too.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from cronally.instants import MAX_INSTANT, MIN_INSTANT, SECOND

if TYPE_CHECKING:
    from cronally.clock.tzif import Zone

_LOCAL: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_EPOCH: Final = datetime(1970, 1, 1)
_NEAR: Final = 2 * 86_400
"""No offset is as long. Seconds."""


class Civil(NamedTuple):
    """A local time, in a zone that is not said."""

    second: int
    """Seconds since 1970-01-01T00:00:00, as if each day had 86,400."""


def is_civil(text: str) -> bool:
    """Whether a text has the form of a local time without an offset, such as `2026-11-24T08:00` or with a blank."""
    return _LOCAL.fullmatch(text) is not None


def parse_civil(text: str) -> Civil:
    """The local time that a text of that form names. Raises ValueError for a day or a time that there is not."""
    try:
        second = (datetime.fromisoformat(text) - _EPOCH) // timedelta(seconds=1)
    except ValueError:
        second = -1
    if not MIN_INSTANT <= second * SECOND <= MAX_INSTANT:
        raise ValueError("there is no such day or time between the years 1970 and 2200")
    return Civil(second)


def instants(zone: Zone, civil: Civil) -> list[int]:
    """The instants, in microseconds, at which the clocks of a zone show a local time: one, or two where it is repeated.

    For one that is skipped, the one that it would be by the offset before: what `preview.jumped_over` explains.
    """
    second = civil.second
    near = range(zone.index(second - _NEAR), zone.index(second + _NEAR) + 1)
    spans = [zone.span_at(index) for index in near]
    shown = [second - span.offset for span in spans if span.start <= second - span.offset < span.stop]
    skipped = [
        second - span.before
        for span in spans
        if span.start + span.before <= second < span.start + span.offset
    ]
    return [max(MIN_INSTANT, min(at * SECOND, MAX_INSTANT)) for at in shown or skipped]
