"""Previews, made from a timetable: by the server, and by `cronally next` without one.

Invariant: `fire_times` holds fire times alone; what a change of the clock suppresses stands beside them, in
`suppressed`, and what is excluded in `excluded`, so that no reader takes it for a fire time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from cronally.clock import zones
from cronally.clock.exclusion import Excluded, LeftOut, left_out
from cronally.clock.preview import FireTime, Steps, Suppressed, preview
from cronally.clock.sentence import sentence_of
from cronally.clock.timetable import Timetable
from cronally.contract import schedules
from cronally.contract.schedules import Preview
from cronally.contract.writing import make_answer
from cronally.cron import Interval, notes, parse
from cronally.cron.hints import quoted
from cronally.cron.unix import spreads
from cronally.cronjob import Timing, expressions_of
from cronally.errors import InvalidExpression, InvalidRequest, RequestError
from cronally.instants import MAX_INSTANT, MIN_INSTANT, format_iso, to_datetime

MAX_PASSED: Final = 1000
"""So many ranges of excluded dates are passed in search of one that fires, when a cron job is created or changed."""
MAX_STEPS: Final = 125
"""Of a search that a server makes for a client. The worst expressions take 40 to 70 µs a step."""


_PER_COUNT: Final = 10
"""Steps for as much as a timetable counts at little cost: the worst ones take 2 ms for it."""


class Found(NamedTuple):
    """What a search found."""

    entries: list[FireTime | Suppressed | LeftOut]
    """In order."""
    until: int | None
    """None: all that was asked for. Else all up to this instant."""


def search(
    table: Timetable,
    after: int,
    count: int,
    most_steps: int | None = MAX_STEPS,
    excluded: Excluded | None = None,
) -> Found:
    """The next `count` fire times after an instant, and in their places what is suppressed or excluded before the last.

    It ends before more than `count` suppressed or excluded ones, as of an expression that is suppressed for ever, and
    when it has taken the steps that it may. What is suppressed between fire times that one entry excludes is left out.

    :param most_steps: None: as many as it needs
    """
    steps = None if most_steps is None else Steps(most_steps)
    entries: list[FireTime | Suppressed | LeftOut] = []
    left = {FireTime: count, Suppressed: count, LeftOut: count}
    for entry in _entries(table, after, steps, excluded):
        if not left[type(entry)]:
            return Found(entries, entry.scheduled_at - 1)
        entries.append(entry)
        left[type(entry)] -= 1
        # One more than is wanted is never asked for: it may be searched for to the end of time.
        if not left[FireTime]:
            return Found(entries, None)
    return Found(entries, None if steps is None else steps.until)


def _entries(
    table: Timetable, after: int, steps: Steps | None, excluded: Excluded | None
) -> Iterator[FireTime | Suppressed | LeftOut]:
    """What `preview` finds, with one entry for the fire times that one cause excludes.

    Where the steps are bounded an entry reaches no further than what costs little to count, and takes steps for that.
    """
    passed: int | None = after
    while passed is not None:
        found, passed = preview(table, passed, steps), None
        for entry in found:
            segment = None if excluded is None else excluded.segment(entry.scheduled_at)
            if segment is None or segment.cause is None or isinstance(entry, Suppressed):
                yield entry
                continue
            if steps is not None:
                segment = segment._replace(until=min(segment.until, entry.scheduled_at + table.countable))
                if not _take_for(table, entry.scheduled_at, segment.until, steps):
                    return
            yield left_out(table, entry.scheduled_at, segment)
            passed = segment.until - 1
            break


def _take_for(table: Timetable, first: int, until: int, steps: Steps) -> bool:
    """Take the steps for counting the fire times of a stretch, if so many are left."""
    return all(steps.take(first - 1) for _ in range((until - first) * _PER_COUNT // table.countable))


def preview_of(table: Timetable, after: int, found: Found) -> Preview:
    """The answer with what `search` found in a timetable after an instant."""
    gap, overlap = table.chosen
    starts_at = None if table.first == MIN_INSTANT else table.first
    ends_at = None if table.last == MAX_INSTANT else table.last
    expressions = [member.expression for member in table.members]
    fire_times = [_fire_time(entry) for entry in found.entries if isinstance(entry, FireTime)]
    suppressed = [
        make_answer(schedules.Suppressed, entry) for entry in found.entries if isinstance(entry, Suppressed)
    ]
    return Preview(
        expression=one_or_more(table.texts),
        timezone=table.zone.name,
        dst_gap=gap,
        dst_overlap=overlap,
        starts_at=None if starts_at is None else to_datetime(starts_at),
        ends_at=None if ends_at is None else to_datetime(ends_at),
        tzdata=zones.version(),
        schedule=sentence_of(expressions, table.zone.name, starts_at, ends_at),
        notes=tuple(_notes(table)),
        after=to_datetime(after),
        fire_times=tuple(fire_times),
        suppressed=tuple(suppressed),
        excluded=tuple(
            [make_answer(schedules.Excluded, entry) for entry in found.entries if isinstance(entry, LeftOut)]
        ),
        complete=found.until is None,
        until=None if found.until is None else to_datetime(found.until),
    )


def _fire_time(entry: FireTime) -> schedules.FireTime:
    count = None if entry.instead_of is None else entry.count
    return make_answer(schedules.FireTime, entry, count=count)


def one_or_more(texts: Sequence[str]) -> str | tuple[str, ...]:
    """Expressions as an answer shows them: a text where there is one."""
    return texts[0] if len(texts) == 1 else tuple(texts)


def _notes(table: Timetable) -> Iterator[str]:
    for member in table.members:
        for note in notes(member.expression):
            yield note if len(table.members) == 1 else f"{quoted(str(member.expression))}: {note}"


class Idle(NamedTuple):
    """Why nothing fires."""

    parameter: str
    complaint: str

    @property
    def problem(self) -> Exception:
        """The same, to complain of the parameter with."""
        return (InvalidExpression if self.parameter == "cron" else ValueError)(self.complaint)

    @property
    def error(self) -> RequestError:
        """The same, where it is all that is wrong with a request."""
        fields = {self.parameter: self.complaint}
        if self.parameter == "cron":
            return InvalidExpression(self.complaint, fields=fields)
        return InvalidRequest(f"{self.parameter}: {self.complaint}", fields=fields)


def never_fires(timing: Timing, key: str | None, anchor: int, after: int) -> Idle | None:
    """Why nothing fires after an instant; None if something does.

    :param key: the id of the cron job, if there is one
    :param anchor: when it was created

    Raises what a timetable raises.
    """
    table = timing.timetable(key, anchor)
    if table.next(after) is not None:
        return None
    if timing.ends_at is not None:
        following = timing._replace(ends_at=None).timetable(key, anchor).next(after)
        if following is not None:
            later = f"the next fire time would be {format_iso(following)}; give a later instant, or default"
            return Idle("ends_at", f"leaves nothing to fire: {later}")
    if timing.starts_at is not None:
        endless = timing._replace(starts_at=None).timetable(key, anchor)
        last = endless.previous(endless.last + 1)
        if last is not None and last > after:
            earlier = f"the last fire time would be {format_iso(last)}; give an earlier instant, or default"
            return Idle("starts_at", f"leaves nothing to fire: {earlier}")
    return Idle("cron", _never_fires(table, after))


def _never_fires(table: Timetable, after: int) -> str:
    several = len(table.texts) > 1
    whose, they = ("their", "they") if several else ("its", "it")
    never = f'"{table.texts[0]}" never fires'
    if several:
        never = f"none of {', '.join(map(quoted, table.texts))} ever fires"
    last = table.previous(after + 1)
    if last is not None:
        return (
            f"{never}: {whose} last fire time was {format_iso(last)}, by the clock of {table.zone.name};"
            " write a later one"
        )
    if any(isinstance(member.expression, Interval) for member in table.members):
        return (
            f"{never}: {whose} first fire time would not be before {format_iso(MAX_INSTANT)};"
            " write a shorter interval, or look from an earlier instant"
        )
    policy = table.members[0].policy
    return (
        f"{never}: dst_gap={policy.gap} and dst_overlap={policy.overlap} leave out all that"
        f" {they} name{'' if several else 's'} in {table.zone.name}"
    )


def all_excluded(table: Timetable, after: int, excluded: Excluded) -> str | None:
    """Why nothing fires after an instant, as a complaint about what is excluded; None if something does, or may."""
    first = table.next(after)
    found, whole = excluded.first_included(table, first, MAX_PASSED)
    if first is None or found is not None or not whole:
        return None
    return "leaves nothing to fire: every fire time to come is excluded; leave out a date, or a calendar"


def schedule_of(timing: Timing, key: str) -> str | None:
    """The sentence for the expressions of a cron job; None where there is none, or one of them cannot be read.

    :param key: the id of the cron job, which `H` is spread by
    """
    return _schedule(timing, key if spreads(timing.cron) else None)


@lru_cache(maxsize=4096)
def _schedule(timing: Timing, key: str | None) -> str | None:
    try:
        expressions = [parse(text, key) for text in expressions_of(timing.cron)]
    except InvalidExpression:
        return None
    return sentence_of(expressions, timing.timezone, timing.starts_at, timing.ends_at)
