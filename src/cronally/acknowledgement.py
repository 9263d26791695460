"""An acknowledgement: the receiver's word that the work of a firing is done, and what each word makes of it.

Invariant: pure. `acknowledged` is never taken back; every other word may come late, twice and in any order, and said
twice it changes nothing the second time. What is open has an instant at which it is looked at again, and what is not
open has none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

MAX_BODY: Final = 10 * 1024
"""Bytes that are kept of what a receiver says with its word: the last ones."""
MAX_RETRIES: Final = 5
"""So often a firing is delivered again because nobody acknowledges it, at most."""


class Ack(StrEnum):
    """Where the acknowledgement of a firing stands."""

    WAITING = "waiting"
    STARTED = "started"
    """The receiver has said that it has begun."""
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    """The receiver has said that it did not get it done."""
    OVERDUE = "overdue"
    """The receiver has not said how it ended in time, and it is not delivered once more."""


OPEN: Final = (Ack.WAITING, Ack.STARTED)
"""For `overlap` the firing is not finished."""


class Word(StrEnum):
    """What a receiver says."""

    DONE = "done"
    START = "start"
    FAIL = "fail"
    LOG = "log"


def word_by(word: Word, exit_code: int | None) -> Word:
    """What a word means with an exit code, so that a crontab can send `fail/?exit_code=$?` in any case."""
    if exit_code is None or word not in (Word.DONE, Word.FAIL):
        return word
    return Word.DONE if exit_code == 0 else Word.FAIL


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """That of one firing. Instants and durations are microseconds. The names are those of the table's columns."""

    ack: Ack = Ack.WAITING
    attempts_before: int = 0
    """That of the firing: where it has another one now, the firing was replayed, and nobody waits for this one."""
    first_before: int = 0
    """The same when the firing was first delivered since it was last replayed: words for that delivery count, too."""
    within: int = 0
    min_duration: int = 0
    retries: int = 0
    """How often it was delivered again because nobody had acknowledged it."""
    deadline_at: int | None = None
    """When it is overdue, or looked at again; None once it is not open."""
    sent_at: int | None = None
    """When the attempt began that delivered it."""
    delivered_at: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    """When the receiver said how it ended."""
    overdue_at: int | None = None
    exit_code: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the receiver still has to say how it ended."""
        return self.ack in OPEN

    @property
    def is_late(self) -> bool:
        """Whether the receiver said how it ended when that was overdue."""
        return self.overdue_at is not None and self.ended_at is not None

    @property
    def duration(self) -> int | None:
        """How long the work took, as far as that is known: from its start, or from when it was sent."""
        begun = self.sent_at if self.started_at is None else self.started_at
        return None if begun is None or self.ended_at is None else max(0, self.ended_at - begun)

    @property
    def is_too_fast(self) -> bool:
        """Whether it was done in less time than the work can take."""
        duration = self.duration
        return self.ack is Ack.ACKNOWLEDGED and duration is not None and duration < self.min_duration


def after_word(
    before: Acknowledgement, word: Word, now: int, exit_code: int | None = None
) -> Acknowledgement:
    """What a word makes of an acknowledgement.

    :param exit_code: of the work, if the receiver says it
    """
    if before.ack is Ack.ACKNOWLEDGED:
        return before
    match word_by(word, exit_code):
        case Word.START if before.started_at is None and before.ack is not Ack.FAILED:
            ack = Ack.STARTED if before.ack is Ack.WAITING else before.ack
            return replace(before, ack=ack, started_at=now)
        case Word.DONE:
            return _ended(before, Ack.ACKNOWLEDGED, now, exit_code)
        case Word.FAIL if before.ack is not Ack.FAILED:
            return _ended(before, Ack.FAILED, now, exit_code)
    return before


def _ended(before: Acknowledgement, ack: Ack, now: int, exit_code: int | None) -> Acknowledgement:
    return replace(before, ack=ack, deadline_at=None, ended_at=now, exit_code=exit_code)


def after_delivery(before: Acknowledgement, sent_at: int, delivered_at: int) -> Acknowledgement:
    """What it is once the firing is delivered: from then on its time runs, unless the receiver was faster."""
    if not before.is_open:
        return replace(
            before,
            sent_at=sent_at if before.sent_at is None else before.sent_at,
            delivered_at=delivered_at if before.delivered_at is None else before.delivered_at,
        )
    return replace(
        before, sent_at=sent_at, delivered_at=delivered_at, deadline_at=delivered_at + before.within
    )


def after_deadline(
    before: Acknowledgement, now: int, *, is_on_its_way: bool, attempts: int, may_retry: bool
) -> Acknowledgement:
    """What it is once its time is over: open for as long again, or overdue.

    :param is_on_its_way: whether the firing is not finished: its time begins when it is delivered
    :param attempts: that the firing has had
    :param may_retry: whether it is to be delivered once more
    """
    if is_on_its_way:
        return replace(before, deadline_at=now + before.within)
    if may_retry:
        return replace(
            before,
            ack=Ack.WAITING,
            attempts_before=attempts,
            retries=before.retries + 1,
            deadline_at=now + before.within,
            started_at=None,
        )
    return replace(before, ack=Ack.OVERDUE, deadline_at=None, overdue_at=now)
