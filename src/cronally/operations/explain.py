"""Why a cron job did or did not fire at an instant: by the ledger first, and second by what the cron job was then.

Invariant: what the ledger says is never contradicted: a row that covers the instant decides. Where there is none
nothing fired, and the state and the timetable of the version that was in force at the instant say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cronally import spread
from cronally.clock import zones
from cronally.clock.civil import Civil, instants
from cronally.clock.dst import Mark
from cronally.clock.preview import (
    FireTime,
    NoFireTime,
    Suppressed,
    explain,
    held_back,
    jumped_over,
    local_time,
)
from cronally.clock.timetable import Timetable
from cronally.contract.finding import Finding
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.firings import TargetAnswer
from cronally.contract.reading import refusal
from cronally.contract.schedules import Explanation
from cronally.contract.writing import make_answer
from cronally.cronjob import State, read_policies
from cronally.errors import InvalidExpression
from cronally.firing import Key, Reason, shown
from cronally.firing import State as FiringState
from cronally.instants import SECOND, to_datetime
from cronally.operations import explanation_text as text
from cronally.operations.acknowledgement_answers import Values
from cronally.operations.answers import NOTHING, firing_answer
from cronally.operations.around import Around, covering, current, is_suppressed
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Firing
from cronally.store.versions import Version


@dataclass(slots=True)
class _Found:
    """What is found, while it is put together."""

    finding: Finding
    sentence: str
    reason: str | None = None
    mark: Mark | None = None
    instead_at: int | None = None
    firing: FiringAnswer | None = None
    cause: str | None = field(default=None, kw_only=True)
    previous_at: int | None = field(default=None, kw_only=True)
    next_at: int | None = field(default=None, kw_only=True)


def moment(cronjob: Cronjob, asked: int | Civil) -> int:
    """The instant that is asked about: a local time is one of the zone that the cron job has now.

    Raises InvalidRequest for a local time that comes twice, and for a zone that is not known any more.
    """
    if not isinstance(asked, Civil):
        return asked
    try:
        zone = zones.zone(cronjob.timezone)
    except (InvalidExpression, ValueError):
        raise refusal(
            "at", f"is a local time, and the time zone {cronjob.timezone} is not known; add Z for UTC"
        ) from None
    found = instants(zone, asked)
    if len(found) > 1:
        written = " or ".join(local_time(zone, at) for at in found)
        raise refusal("at", f"comes more than once in {cronjob.timezone}; write {written}")
    return found[0]


def explain_answer(
    cronjob: Cronjob,
    around: Around,
    at: int,
    now: int,
    kept_since: int,
    answers: Mapping[str, TargetAnswer] = NOTHING,
    acknowledged: Mapping[Key, Values] = NOTHING,
) -> Explanation:
    """The answer: what is found at an instant, in words and in parts.

    :param kept_since: retention may have deleted the rows of fire times before
    :param answers: what was answered to the attempts of the row that covers it, by the ids of the answers
    :param acknowledged: what is shown of its acknowledgement
    """
    shown = around.then or around.following or current(cronjob)
    try:
        table = shown.timing.timetable(cronjob.cronjob_id, cronjob.created_at)
    except (InvalidExpression, ValueError):
        # It was set aside for this. The ledger still has its rows.
        table = None
    found = _Explainer(cronjob, table, around, at, now, kept_since, answers, acknowledged).explain()
    found.sentence += text.asked_for(around.manual)
    second = at - at % SECOND
    return make_answer(
        Explanation,
        found,
        manual=tuple(
            [
                firing_answer(row, cronjob.name, None, links=around.links, acknowledged=acknowledged)
                for row in around.manual
            ]
        )
        or None,
        cronjob_id=cronjob.cronjob_id,
        at=to_datetime(at),
        local=None if table is None else local_time(table.zone, second),
        state=shown.state,
        version=shown.version,
        timezone=shown.timezone,
        tzdata=zones.version(),
    )


class _Explainer:
    """One question."""

    def __init__(
        self,
        cronjob: Cronjob,
        table: Timetable | None,
        around: Around,
        at: int,
        now: int,
        kept_since: int,
        answers: Mapping[str, TargetAnswer],
        acknowledged: Mapping[Key, Values],
    ) -> None:
        self._cronjob = cronjob
        self._answers = answers
        self._acknowledged = acknowledged
        self._table = table
        self._around = around
        self._exactly = at
        self._at = at - at % SECOND
        self._row = covering(around.until, at)
        self._now = now
        self._kept_since = kept_since
        self._then = around.then
        self._until = None if around.following is None else around.following.changed_at
        self._entry = None if table is None or around.then is None else explain(table, self._at)

    def explain(self) -> _Found:
        found = self._of_row(self._row) if self._row is not None else self._of_nothing()
        found.previous_at, found.next_at = self._previous(), self._next()
        if found.finding in (Finding.NO_FIRE_TIME, Finding.BEFORE_CHANGE):
            found.sentence += f" {text.neighbours(found.previous_at, found.next_at, self._now)}"
        return found

    # A row covers the instant

    def _of_row(self, row: Firing) -> _Found:
        trusted = self._wrote(row)
        if row.until_at is not None and trusted and self._entry is not None:
            ends = {row.scheduled_at, row.until_at} & {self._at, self._exactly}
            if isinstance(self._entry, NoFireTime) and not ends:
                return self._no_fire_time()
            if isinstance(self._entry, Suppressed) and not ends and not is_suppressed(row):
                return self._suppressed(self._entry)
        last = self._around.attempts[-1] if self._around.attempts else None
        said = text.of_row(
            row,
            last,
            self._replacing(row),
            self._around.on_the_way,
            self._in_front(row),
            now=self._now,
            freeze=self._around.freeze,
        )
        if row.reason == Reason.PAUSED and self._then is not None and self._then.state == State.PAUSED:
            said = f"Skipped: {self._paused(self._then)}"
        if row.until_at is not None and not trusted:
            said += text.perhaps(row)
        instead_at = None
        mark = None
        if row.state == FiringState.MISSED:
            replacing = self._replacing(row)
            instead_at = None if replacing is None else replacing.scheduled_at
        elif is_suppressed(row):
            instead_at, mark = self._instead(row.reason), Mark.SUPPRESSED
            said = text.suppressed(row.reason or "", row.count, instead_at, self._now)
        elif trusted and isinstance(self._entry, FireTime) and self._entry.mark is not None:
            mark = self._entry.mark
            said += f" {text.marked(self._entry)}"
        finding = Finding.SUPPRESSED if is_suppressed(row) else Finding(shown(row.state, row.reason))
        said += text.told_by(self._around.telling)
        own = self._around.acks.found.get((row.cronjob_id, row.scheduled_at, row.kind))
        said += "" if own is None else text.acknowledged(own)
        answer = firing_answer(
            row,
            self._cronjob.name,
            self._around.attempts,
            self._answers,
            self._around.links,
            self._acknowledged,
        )
        return _Found(finding, said, row.reason, mark, instead_at, answer, cause=row.cause)

    def _wrote(self, row: Firing) -> bool:
        """Whether a row is of the version that was in force at the instant."""
        if self._then is None or row.created_at <= self._around.since:
            return False
        # A pause that ended by itself was written down when somebody looked.
        ended_itself = row.reason == Reason.PAUSED and self._then.paused_until is not None
        return self._until is None or row.created_at <= self._until or ended_itself

    def _replacing(self, row: Firing) -> Firing | None:
        """The firing that was made instead of missed ones."""
        if row.reason != Reason.CATCH_UP_LATEST:
            return None
        return next((after for after in self._around.after if not is_suppressed(after)), None)

    def _in_front(self, row: Firing) -> Firing | None:
        """The firing that one waits for which keeps the order, if it is near enough to have been read."""
        if row.state != FiringState.PENDING or row.reason != Reason.EARLIER_FIRING:
            return None
        earlier = (other for other in self._around.until if other.scheduled_at < row.scheduled_at)
        return next((other for other in earlier if other.due_at is not None), None)

    def _instead(self, reason: str | None) -> int | None:
        """When the fire time that a repeated hour suppresses at the instant fires instead."""
        return None if self._table is None or reason is None else held_back(self._table, self._at, reason)

    # No row does

    def _of_nothing(self) -> _Found:
        cronjob, at = self._cronjob, self._at
        if at <= cronjob.created_at - cronjob.created_at % SECOND:
            return _Found(Finding.BEFORE_CREATION, text.before_creation(cronjob.created_at))
        then = self._then
        if then is not None and then.state == State.DELETED:
            return _Found(Finding.DELETED, text.deleted(then.changed_at, then.state_reason))
        if then is not None and self._stood_still(then):
            return _Found(
                Finding.INACTIVE,
                f"Not fired: {self._paused(then)}",
                Reason.PAUSED if then.state_reason is None else Reason.SET_ASIDE,
            )
        if at < self._kept_since:
            return _Found(Finding.NOT_KEPT, text.not_kept(self._kept_since, self._was_fire_time()))
        if then is None or self._entry is None:
            return _Found(
                Finding.BEFORE_CHANGE, text.before_change(self._until or cronjob.updated_at, then is not None)
            )
        match self._entry:
            case NoFireTime():
                return self._no_fire_time()
            case Suppressed() as entry:
                return self._suppressed(entry)
            case FireTime() as entry:
                return self._of_fire_time(entry)

    def _of_fire_time(self, entry: FireTime) -> _Found:
        then, next_fire_at = self._then, self._cronjob.next_fire_at
        most = None if then is None else read_policies(then.policies).max_firings
        if then is not None and then.state == State.COMPLETED and most is not None:
            said = text.used_up(self._around.since, self._until, most)
            return _Found(Finding.NOT_OWED, said, entry.reason, entry.mark)
        # One that is paused, and resumes before the instant, has none yet.
        resumes = then is not None and then.state == State.PAUSED
        gone_past = (next_fire_at is None and not resumes) or (next_fire_at or 0) > self._at
        if self._until is not None or gone_past:
            said = text.not_owed(self._cronjob.tzdata, next_fire_at)
            return _Found(Finding.NOT_OWED, said, entry.reason, entry.mark)
        future = self._at > self._now
        cause = self._cause()
        if cause is not None:
            said = text.excluded(cause, future)
            return _Found(Finding.EXCLUDED, said, Reason.EXCLUDED, entry.mark, cause=cause)
        said = text.future(self._at, self._place(), most) if future else text.due(self._at)
        if self._around.freeze is not None:
            said += f" {text.falls_into(self._around.freeze)}"
        if entry.mark is not None:
            said += f" {text.marked(entry)}"
        return _Found(Finding.FUTURE if future else Finding.DUE, said, entry.reason, entry.mark)

    def _place(self) -> int:
        """When the fire time at the instant, which is still to come, starts."""
        window = read_policies(self._cronjob.policies).window
        return self._at + spread.place(self._cronjob.cronjob_id, self._at, window)

    def _cause(self) -> str | None:
        """What excludes the instant; None if nothing does, or that cannot be read: it is set aside then."""
        if self._table is None or self._around.exclusion is None:
            return None
        try:
            return self._around.exclusion.within(self._table.zone).cause(self._at)
        except ValueError:
            return None

    def _suppressed(self, entry: Suppressed) -> _Found:
        instead_at = self._instead(entry.reason)
        said = text.suppressed(entry.reason, entry.count, instead_at, self._now, self._at > self._now)
        return _Found(Finding.SUPPRESSED, said, entry.reason, Mark.SUPPRESSED, instead_at)

    def _no_fire_time(self) -> _Found:
        then = self._then
        other = None if then is None or then.timing == self._cronjob.timing else then.timing
        found = _Found(Finding.NO_FIRE_TIME, text.no_fire_time(other, self._until, self._outside()))
        skipped = None if self._table is None else jumped_over(self._table, self._at)
        if skipped is not None:
            local, made = skipped
            found.reason, found.mark = made.reason, made.mark
            if isinstance(made, FireTime):
                found.instead_at = made.scheduled_at
            found.sentence = text.jumped_over(local, made)
        if then is not None and then.state == State.COMPLETED:
            found.sentence = text.completed(self._around.since, self._until)
        return found

    def _outside(self) -> str | None:
        """Why the instant lies outside of what the cron job was to fire in; None where it does not."""
        if self._table is None or self._table.first <= self._at <= self._table.last:
            return None
        return text.outside(self._table.first, self._table.last, self._at)

    def _was_fire_time(self) -> bool | None:
        """Whether the timetable had a fire time at the instant; None where it cannot be known."""
        return None if self._entry is None else isinstance(self._entry, FireTime)

    def _stood_still(self, then: Version) -> bool:
        """Whether a version was paused at the instant."""
        resumes_at = then.paused_until
        return then.state == State.PAUSED and (resumes_at is None or self._at < resumes_at)

    def _paused(self, then: Version) -> str:
        if then.paused_at is None:
            return text.set_aside(self._around.since, self._until, then.state_reason)
        return text.paused(then, self._around.resumed_at)

    # Neighbours

    def _previous(self) -> int | None:
        """The last fire time before the instant: by the timetable while it was in force, before that by the ledger."""
        if self._then is not None and self._then.state == State.ACTIVE and self._table is not None:
            found = self._table.previous(self._at)
            if found is not None and found > self._around.since:
                return found
        rows = [row for row in self._around.until if not is_suppressed(row)]
        ends = [row.until_at or row.scheduled_at for row in rows]
        return next((end for end in ends if end < self._at), None)

    def _next(self) -> int | None:
        """The first fire time after the instant: by the timetable while it was in force, after that by the ledger."""
        next_fire_at = self._cronjob.next_fire_at
        if self._then is not None:
            found = None
            if self._then.state == State.ACTIVE and self._table is not None:
                found = self._table.next(self._at)
            if self._until is None:
                if found is None or found <= self._now or next_fire_at is None:
                    return found
                # A clock that was set back lets a cron job wait until the ledger is reached.
                return max(found, next_fire_at)
            if found is not None and found <= self._until:
                return found
        after = next((row for row in self._around.after if not is_suppressed(row)), None)
        return next_fire_at if after is None else after.scheduled_at
