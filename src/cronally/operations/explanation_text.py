"""The sentences of an explanation, in English: one for each finding, and additions to it.

Invariant: a sentence says what was found and nothing else. Instants are ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cronally.acknowledgement import Ack, Acknowledgement
from cronally.clock.dst import Mark
from cronally.clock.preview import FireTime, Suppressed
from cronally.contract.freezes import Rule
from cronally.cronjob import QUEUED, Timing, expressions_of
from cronally.firing import WAITS, Kind, Reason, State, lateness
from cronally.firing import shown as shown_state
from cronally.instants import HOUR, MINUTE, SECOND, format_iso
from cronally.store.freezes import Freeze
from cronally.store.ledger import Attempt, Firing
from cronally.store.versions import Version


def of_row(
    row: Firing,
    last: Attempt | None,
    instead: Firing | None,
    on_the_way: int = 0,
    in_front: Firing | None = None,
    *,
    now: int | None = None,
    freeze: Freeze | None = None,
) -> str:
    """What a row of the ledger says.

    :param last: its last attempt that did not deliver
    :param instead: the firing that was made instead of missed ones
    :param on_the_way: how many firings of the account are being sent
    :param in_front: the open firing that it waits for, if it waits for an earlier one
    :param now: when it is asked, for a row that waits for its place in a window
    :param freeze: the one that keeps it, or kept it, from going
    """
    why = _why(row, last) if freeze is None else f"it fell into {_frozen(freeze)}"
    if in_front is not None:
        why = f"the firing of {format_iso(in_front.scheduled_at)} is not finished"
    match row.state:
        case State.DELIVERED:
            return _delivered(row)
        case State.SENDING:
            return f"Due: attempt {row.attempt} is on its way{_since(row)}."
        case State.PENDING if row.reason == Reason.CONNECTION_UNHEALTHY:
            tried = "" if last is None else f"; its last attempt ended with {last.detail.rstrip('.')!r}"
            return f"Held: {why}, or it is too old{tried}."
        case State.PENDING if last is not None and last.reason in (
            Reason.REPLAYED,
            Reason.UNACKNOWLEDGED,
        ):
            due = "" if row.due_at is None else f", from {format_iso(row.due_at)} on"
            return f"To be sent again{due}: it was delivered before, by {_attempts(row.attempt)}."
        case State.PENDING if row.attempt:
            due = "" if row.due_at is None else f"; the next one comes from {format_iso(row.due_at)} on"
            failed = f"Not delivered yet: {_attempts(row.attempt)} failed"
            if row.reason in WAITS:
                said = "" if last is None else f", the last one with {last.detail.rstrip('.')!r}"
                return f"{failed}{said}{due}: {why}."
            return f"{failed}, the last one with {why!r}{due}."
        case State.PENDING if row.reason is None and now is not None and now < row.due_since:
            return f"Owed: it starts at {format_iso(row.due_since)}, {_into_window(row)}."
        case State.PENDING:
            due = "" if row.due_at is None else f" It is looked at again from {format_iso(row.due_at)} on."
            counts = on_the_way and row.reason not in (Reason.EARLIER_FIRING, Reason.FROZEN)
            others = f" {on_the_way} firings of the account are being sent." if counts else ""
            if row.reason in WAITS:
                return f"Owed: it waits for its first attempt because {why}.{others}{due}"
            return f"Owed: it waits for its first attempt.{others}"
        case State.FAILED:
            answer = "" if last is None else last.detail.rstrip(".")
            ending = f"; the last attempt ended with {answer!r}" if answer not in ("", why) else ""
            return f"Failed after {_attempts(row.attempt)}: {why}{ending}."
        case State.MISSED:
            return _missed(row, instead)
    if row.behind_at is not None:
        return f"{_behind(row, row.behind_at)}."
    by = "" if row.cause is None or row.reason == Reason.FROZEN else f" by {row.cause}"
    return f"Skipped: {why}{by}."


def _frozen(freeze: Freeze) -> str:
    """A freeze: what it is for, when it was or is in force, and why."""
    what = "the account" if freeze.value is None else f"the {freeze.selector} {freeze.value}"
    ends = format_iso(freeze.until if freeze.lifted_at is None else freeze.lifted_at)
    note = "" if freeze.note is None else f" ({freeze.note})"
    return f"a freeze of {what}{note}, in force from {format_iso(freeze.created_at)} to {ends}"


def falls_into(freeze: Freeze) -> str:
    """What is to be added of a fire time that comes in a freeze, unless that is lifted before."""
    then = {
        Rule.SKIP: "it is skipped then",
        Rule.LATEST: "it is held until the end of that, unless a later one is",
    }.get(Rule(freeze.rule), "it is held until the end of that")
    return f"It falls into {_frozen(freeze)}: {then}, unless the freeze is lifted before."


def _behind(row: Firing, behind_at: int) -> str:
    """A row that was skipped because of an earlier firing."""
    others = f", and {QUEUED} firings were open before that one" if row.reason == Reason.QUEUE_FULL else ""
    return f"Skipped: the firing of {format_iso(behind_at)} was not finished{others}"


def asked_for(rows: Sequence[Firing]) -> str:
    """What was asked for by hand at the instant, or tells of a failure, beside what was owed."""
    return "".join(
        f" Beside the schedule, {_BESIDE.get(row.kind, row.kind)} at {format_iso(row.scheduled_at)}:"
        f" {_stands(row)}."
        for row in rows
    )


_BESIDE: Final[Mapping[str, str]] = {
    Kind.MANUAL: "a manual firing was asked for",
    Kind.DEAD_LETTER: "it was to tell of a firing that has failed",
}


def _stands(row: Firing) -> str:
    said = f"{shown_state(row.state, row.reason)}{_since(row)}"
    return said if row.reason is None else f"{said}, {_sentence(row.reason)}"


def _since(row: Firing) -> str:
    """Since when a firing is being sent, if that takes long. Of an earlier attempt the row has the duration, too."""
    if row.state != State.SENDING or row.sent_at is None or row.duration is not None:
        return ""
    return f", since {format_iso(row.sent_at)}"


def told_by(row: Firing | None) -> str:
    """The firing of another cron job that tells of one that has failed."""
    if row is None:
        return ""
    return f" The cron job {row.cronjob_id} tells of it, at {format_iso(row.scheduled_at)}: {_stands(row)}."


def acknowledged(one: Acknowledgement) -> str:
    """What became of the acknowledgement that a firing was to have."""
    ended = "" if one.ended_at is None else f" at {format_iso(one.ended_at)}"
    late = (
        f", late: it was overdue since {format_iso(one.overdue_at)}" if one.is_late and one.overdue_at else ""
    )
    again = "" if not one.retries else f" It was delivered again {one.retries} times for the lack of a word."
    match one.ack:
        case Ack.WAITING:
            by = "" if one.deadline_at is None else f" until {format_iso(one.deadline_at)}"
            said = f"Its receiver has said nothing yet, and may{by}."
        case Ack.STARTED:
            since = "" if one.started_at is None else f" at {format_iso(one.started_at)}"
            by = "" if one.deadline_at is None else f"; it is to end until {format_iso(one.deadline_at)}"
            said = f"Its receiver began{since}{by}."
        case Ack.ACKNOWLEDGED:
            fast = ", in less time than min_duration" if one.is_too_fast else ""
            said = f"Acknowledged by its receiver{ended}{fast}{late}."
        case Ack.FAILED:
            code = "" if one.exit_code is None else f" with exit code {one.exit_code}"
            said = f"Its receiver failed{ended}{code}{late}."
        case Ack.OVERDUE:
            began = "" if one.started_at is None else f", and began at {format_iso(one.started_at)}"
            said = f"Overdue since {format_iso(one.overdue_at or 0)}: its receiver has not said how it ended{began}."
    return f" {said}{again}"


def _why(row: Firing, last: Attempt | None) -> str:
    """Why a row is not delivered: what the target said at the last attempt, else what the reason says."""
    if last is not None and row.reason in (last.reason, None):
        return last.detail.rstrip(".")
    return "no reason is recorded" if row.reason is None else _sentence(row.reason)


def _sentence(reason: str) -> str:
    """The sentence of a reason. A newer server may have recorded one that this server does not know."""
    return Reason(reason).sentence if reason in _REASONS else reason


_REASONS = frozenset(Reason)


def _delivered(row: Firing) -> str:
    if row.finished_at is None:
        return "Fired: delivered."
    if row.reason == Reason.CLOCK_AHEAD:
        return f"Sent early: {Reason.CLOCK_AHEAD.sentence}."
    late = max(lateness(row.due_since, row.finished_at), 0)
    shown = f"{late // 1000} ms" if late < SECOND else f"{late // SECOND} s"
    after = "the fire time" if row.place_at is None else f"its place, {_into_window(row)}"
    attempts = f", by attempt {row.attempt}" if row.attempt > 1 else ""
    return f"Fired: delivered at {format_iso(row.finished_at)}, {shown} after {after}{attempts}."


def _into_window(row: Firing) -> str:
    return _into(row.due_since - row.scheduled_at)


def _into(place: int) -> str:
    """How far into its window a firing starts."""
    if place < SECOND:
        return f"{place // 1000} ms into its window"
    parts = (
        (place // HOUR, "h"),
        (place % HOUR // MINUTE, "min"),
        (place % MINUTE // SECOND, "s"),
    )
    return f"{' '.join(f'{count} {unit}' for count, unit in parts if count)} into its window"


def _missed(row: Firing, instead: Firing | None) -> str:
    if row.lease_no and row.finished_at is not None:
        until = format_iso(row.finished_at)
        return (
            f"Missed: it waited for its first attempt until {until}; by then {_sentence(row.reason or '')}."
        )
    first, until = format_iso(row.scheduled_at), format_iso(row.created_at)
    several = f", for this and {row.count - 1} more fire times" if row.count > 1 else ""
    said = f"Missed: no server ran from {first} to {until}{several}"
    if row.reason == Reason.MISFIRE_GRACE:
        return f"{said}; by then {Reason.MISFIRE_GRACE.sentence}."
    if instead is None:
        return f"{said}; {row.reason}."
    return f"{said}; {row.reason} fired {format_iso(instead.scheduled_at)} instead."


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def perhaps(row: Firing) -> str:
    """What is not known of a range row after the cron job was changed."""
    first, last = format_iso(row.scheduled_at), format_iso(row.until_at or row.scheduled_at)
    return (
        f" The row stands for {row.count} fire times from {first} to {last}, of the cron job as it was then;"
        " whether this instant is one of them is not kept."
    )


def marked(entry: FireTime) -> str:
    """What a change of the clock made of a fire time."""
    if entry.mark is Mark.DOUBLED:
        return f"Its local time, {entry.local}, comes for the second time then ({entry.reason})."
    more = f" and {entry.count - 1} more" if entry.count > 1 else ""
    return f"It stands for {entry.instead_of}{more}, which the local clock skips ({entry.reason})."


def suppressed(reason: str, count: int, instead_at: int | None, now: int, ahead: bool = False) -> str:
    """A fire time that a change of the clock suppresses."""
    said = f"{'To be suppressed' if ahead else 'Suppressed'} by {reason}"
    if instead_at is not None:
        verb = "fires" if instead_at > now else "fired"
        return f"{said}: its local time comes twice, and it {verb} at {format_iso(instead_at)} instead."
    if reason == Reason.DST_GAP_SKIP and count > 1:
        return f"{said}: the clock skips the local times of {count} fire times."
    return f"{said}: {_sentence(reason)}."


def no_fire_time(other: Timing | None, until: int | None, outside: str | None = None) -> str:
    """The timetable has nothing there.

    :param other: what decided when the cron job fired then, if that is not what decides now
    :param until: how long it did
    :param outside: that the instant lies outside of its bounds
    """
    why = "" if outside is None else f" {outside};"
    if other is None or until is None:
        return f"Not a fire time:{why}"
    named = " or ".join(map(repr, expressions_of(other.cron)))
    return (
        f"Not a fire time of {named} in {other.timezone}, as the cron job was until {format_iso(until)}:{why}"
    )


def outside(starts_at: int, ends_at: int, at: int) -> str:
    """The instant lies before `starts_at` or after `ends_at`."""
    if at < starts_at:
        return f"the cron job starts at {format_iso(starts_at)}"
    return f"the cron job ends at {format_iso(ends_at)}"


def jumped_over(local: str, made: FireTime | Suppressed) -> str:
    """The instant is asked about for a local time that a gap skips."""
    then = (
        f"it fires at {format_iso(made.scheduled_at)}" if isinstance(made, FireTime) else "it does not fire"
    )
    return f"Not a fire time: {local} does not exist on that day, and by {made.reason} {then};"


def neighbours(previous_at: int | None, next_at: int | None, now: int) -> str:
    """The fire times before and after the instant."""
    before = "there is none before" if previous_at is None else f"the one before is {format_iso(previous_at)}"
    after = "there is none after" if next_at is None else f"the next is {format_iso(next_at)}"
    return f"{before}, {after}."


def future(at: int, place_at: int, most: int | None) -> str:
    """A fire time that is still to come.

    :param place_at: when it will start
    :param most: the `max_firings` of the cron job
    """
    starts = "" if place_at == at else f", and start at {format_iso(place_at)}, {_into(place_at - at)}"
    unless = "" if most is None else f", unless it has fired {most:,} times by then (max_firings)"
    return f"In the future: it will fire at {format_iso(at)}{starts}{unless}."


def excluded(cause: str, future: bool) -> str:
    """A fire time whose date is excluded, and that the ledger does not have yet."""
    when = "when its time comes" if future else "once a scheduler ticks"
    return f"Will not fire: {Reason.EXCLUDED.sentence} by {cause}. It is skipped {when}."


def due(at: int) -> str:
    """A fire time that has come and has no row yet."""
    return (
        f"Due since {format_iso(at)}: no scheduler has ticked since. It will be in the ledger once one does."
    )


def not_owed(tzdata: str, next_fire_at: int | None) -> str:
    """A fire time that the cron job went past."""
    goes_on = "it fires no more" if next_fire_at is None else f"it goes on at {format_iso(next_fire_at)}"
    return (
        "Did not fire, although the expression names this instant: the cron job had gone past it, because the clock"
        f" was set or the zone's rules (now {tzdata}) changed; {goes_on}."
    )


def before_creation(created_at: int) -> str:
    """The cron job was not there."""
    return f"Before the cron job existed: it was created at {format_iso(created_at)}."


def before_change(until: int, is_kept: bool) -> str:
    """Nothing fired, and why is not known.

    :param until: when the cron job became what is known
    :param is_kept: whether what it was before is kept, but cannot be read
    """
    said = "Did not fire, and was no fire time: the ledger has a row for each, and none here."
    if is_kept:
        return f"{said} This server cannot read the schedule that the cron job had then:"
    return f"{said} The cron job was changed at {format_iso(until)}, and what it was before is not kept:"


def set_aside(since: int, until: int | None, reason: str | None) -> str:
    """The server had paused the cron job."""
    why = "" if reason is None else f" {reason}"
    return f"the cron job {_period('paused', since, until)}.{why}"


def paused(then: Version, until: int | None) -> str:
    """The cron job's owner had paused it.

    :param then: what it was
    :param until: when it became another one, if it did
    """
    said = f"the cron job {_period('paused', then.paused_at or then.changed_at, until)}"
    if until is None and then.paused_until is not None:
        said += f" and resumes at {format_iso(then.paused_until)}"
    said += f", by API key {then.paused_by}" if then.paused_by is not None else ""
    said += f": {then.paused_note}" if then.paused_note is not None else ""
    said = said if said.endswith((".", "!", "?")) else f"{said}."
    return said if then.state_reason is None else f"{said} {then.state_reason}"


def completed(since: int, until: int | None) -> str:
    """The cron job had nothing left to fire."""
    return f"Not a fire time: the cron job {_period('completed', since, until)};"


def used_up(since: int, until: int | None, most: int) -> str:
    """The cron job had fired as often as it was to."""
    return f"Not fired: the cron job {_period('completed', since, until)}; max_firings let it fire {most:,} times."


def _period(state: str, since: int, until: int | None) -> str:
    if until is None:
        return f"has been {state} since {format_iso(since)}"
    return f"was {state} from {format_iso(since)} to {format_iso(until)}"


def deleted(since: int, reason: str | None) -> str:
    """The cron job was deleted; by the server for a reason."""
    said = f"Not fired: the cron job was deleted at {format_iso(since)}."
    return said if reason is None else f"{said} {reason}"


def not_kept(since: int, was_fire_time: bool | None) -> str:
    """The row may have been deleted by retention."""
    said = f"Not known any more: the ledger is kept from {format_iso(since)} on"
    if was_fire_time is None:
        return f"{said}."
    return f"{said}. By the expression it {'was a' if was_fire_time else 'was no'} fire time."
