"""An alert: one message to an account that a condition began or ended, and what becomes of it in its ledger.

Invariant: an alert is within its bounds whoever makes it: texts that are longer are cut, each of them is one line, and
none holds what a database or a mail cannot. Its id is a pure function of what it is about: the same after a crash, on
every node, and with every channel that it goes to, so a receiver that remembers ids sees each alert once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha1
from typing import Final
from uuid import UUID

from cronally.firing import Reason as Same
from cronally.instants import HOUR

MAX_TITLE: Final = 200
MAX_LINE: Final = 500
"""Characters."""
MAX_LINES: Final = 40
MAX_AFFECTED: Final = 50
"""Cron jobs that an alert lists; how many they are in all it says as well."""
PER_MINUTE: Final = 30
"""Alerts of an account that are sent in a minute. One more says that the others are not."""
STORM: Final = "storm"
"""The condition that more alerts were made of an account than are sent."""
TEST: Final = "test"
"""The condition of an alert that tests a channel: there is none."""

_NAMESPACE: Final = UUID("2c6f0c0e-5d43-5a0b-9a55-6c1d4b8e7f31").bytes
"""The namespace of the ids of alerts. Changing it would change every id: never do."""
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")
_CUT: Final = "\N{HORIZONTAL ELLIPSIS}"


class Event(StrEnum):
    """What an alert says of its condition."""

    BEGAN = "began"
    ENDED = "ended"
    REMINDER = "reminder"
    """It goes on."""
    TEST = "test"
    """Nothing: a channel is tested."""
    DIGEST = "digest"
    """It is a summary, of no one condition."""
    NOTICE = "notice"
    """It has no end: something happened."""


class State(StrEnum):
    """Where an alert stands with one channel; the last two carry a reason."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why an alert did not reach a channel, or not yet: for programs to switch over."""

    sentence: str
    """The same for people: a clause in English, without a capital letter and a full stop."""

    def __new__(cls, value: str, sentence: str = "") -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    STORM = "storm", "the account had more alerts in a minute than are sent; one alert says so"
    NOT_CONFIRMED = "not_confirmed", "nobody has confirmed the address of the channel yet"
    CHANNEL_DELETED = "channel_deleted", "the channel was deleted before it was sent"
    TARGET_UNAVAILABLE = Same.TARGET_UNAVAILABLE.value, "the receiver did not take it, and may later"
    UNCONFIRMED = Same.UNCONFIRMED.value, "it is not known whether it arrived"
    UNAUTHORIZED = "unauthorized", "the receiver refuses the credentials of the channel"
    REFUSED = "refused", "the receiver refuses it"
    NO_MAIL = "no_mail", "this server sends no mail"
    UNREADABLE = "unreadable", "this server cannot open the secrets of the channel"
    MAX_ATTEMPTS = "max_attempts", "it was tried as often as alerts are"
    MAX_AGE = Same.MAX_AGE.value, "it was older than alerts may become"
    WORKER_LOST = Same.WORKER_LOST.value, "several servers ended while they sent it"


@dataclass(frozen=True, slots=True)
class Affected:
    """A cron job that an alert is about."""

    cronjob_id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One message to an account. `alert_id` says what its id is made of."""

    alert_id: str
    account_id: str
    condition: str
    """The name of what it is about, such as `failure` or `late`."""
    event: Event
    subject_kind: str
    """What the condition is one of: `cronjob`, `tag`, `connection`, `host`, `account`, `server`, ..."""
    subject_id: str
    """Which one: an id, or a name where that is all that there is."""
    title: str
    lines: Sequence[str] = ()
    """The rest of the text: each is a line."""
    affected: Sequence[Affected] = ()
    affected_total: int = 0
    """How many cron jobs are affected; more than are listed where those are many."""
    created_at: int
    """An instant."""

    def __post_init__(self) -> None:
        # A frozen dataclass has no other way to set its own attributes.
        fixed = {
            "condition": fit(self.condition, MAX_TITLE),
            "subject_kind": fit(self.subject_kind, MAX_TITLE),
            "subject_id": fit(self.subject_id, MAX_LINE),
            "title": fit(self.title, MAX_TITLE) or self.condition,
            "lines": tuple(fit(line, MAX_LINE) for line in self.lines[:MAX_LINES]),
            "affected": tuple(
                Affected(one.cronjob_id, fit(one.name, MAX_LINE)) for one in self.affected[:MAX_AFFECTED]
            ),
            "affected_total": max(self.affected_total, len(self.affected)),
        }
        for name, value in fixed.items():
            object.__setattr__(self, name, value)


def fit(text: str, most: int) -> str:
    """A text as one line of at most so many characters, without what is not to be written."""
    line = _UNFIT.sub(" ", text[: most + 1]).strip()
    return line if len(line) <= most else line[: most - 1].rstrip() + _CUT


def alert_id(
    account_id: str,
    condition: str,
    subject_kind: str,
    subject_id: str,
    event: Event,
    at: int,
    number: int = 0,
) -> str:
    """The id of an alert: UUIDv5 of what makes it one.

    :param at: the instant at which the condition began, which its end and its reminders have too
    :param number: which of several of this event it is, such as the reminders of one condition
    """
    parts = (account_id, condition, subject_kind, subject_id, event, str(at), str(number))
    named = "".join(f"{len(part)}:{part}" for part in parts)
    digest = sha1(_NAMESPACE + named.encode("utf-8", "replace"), usedforsecurity=False).digest()
    return str(UUID(bytes=digest[:16], version=5))


def storm_of(alert: Alert) -> Alert:
    """The alert that says, once in an hour, that alerts of an account such as this one are not sent."""
    hour = alert.created_at - alert.created_at % HOUR
    return Alert(
        alert_id=alert_id(alert.account_id, STORM, "account", alert.account_id, Event.NOTICE, hour),
        account_id=alert.account_id,
        condition=STORM,
        event=Event.NOTICE,
        subject_kind="account",
        subject_id=alert.account_id,
        title=f"More than {PER_MINUTE} alerts in a minute: the others are not sent",
        lines=(
            "While the account has more alerts than that, each further one stands in its ledger and goes nowhere.",
            "GET /account/alerts/ or `cronally alerts` lists all of them. This is said once in an hour.",
        ),
        created_at=alert.created_at,
    )
