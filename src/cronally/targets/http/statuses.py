"""What the status of an HTTP answer means for a firing: the one table, which the docs show, and a cron job's choices.

Invariant: every status from 200 on stands in exactly one row, and means what that says unless the cron job chooses
otherwise. Statuses are RFC 9110's and those of the registry (https://www.iana.org/assignments/http-status-codes/); one
that is in neither means what RFC 9110, 15, makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import combinations
from typing import Any, Final

from cronally.contract.http_requests import DEFAULT_SUCCESS
from cronally.contract.status_sets import read_statuses
from cronally.targets.target import Delivered, Outcome, Refused, Repeated, Retry, Unauthorized

SUCCESS: Final = "delivery_http_success"
RETRY_STATUSES: Final = "delivery_http_retry_statuses"
REFUSED_STATUSES: Final = "delivery_http_refused_statuses"
CHOSEN: Final = frozenset({SUCCESS, RETRY_STATUSES, REFUSED_STATUSES})


class Meaning(StrEnum):
    """What becomes of the firing. The values are what the docs say."""

    DELIVERED = "`delivered`"
    RETRY = "`retry`"
    UNAUTHORIZED = "`unauthorized`"
    REFUSED = "`refused`"
    NOT_YET = "`refused`, short schedule"
    REPEATED = "`repeated`"


@dataclass(frozen=True, slots=True)
class Row:
    """Statuses that mean the same."""

    statuses: tuple[range, ...]
    shown: str
    """The statuses as the docs write them."""
    meaning: Meaning
    why: str
    repeated: Meaning | None = None
    """What they mean to an attempt that is not the first, if that differs: the target may know the firing's id."""
    asked: Meaning | None = None
    """What they mean together with a Retry-After, if that differs."""

    def of(self, attempt: int, after: float | None) -> Meaning:
        """What they mean to this attempt."""
        if self.asked is not None and after is not None:
            return self.asked
        return self.repeated if self.repeated is not None and attempt > 1 else self.meaning


def _row(shown: str, meaning: Meaning, why: str, *statuses: int, **more: Meaning) -> Row:
    return Row(tuple(range(one, one + 1) for one in statuses), shown, meaning, why, **more)


STATUSES: Final = (
    Row(
        (range(200, 300),),
        "2xx",
        Meaning.DELIVERED,
        "It is taken; what `202` leaves for later is the receiver's task",
    ),
    Row(
        (range(300, 400),),
        "3xx",
        Meaning.REFUSED,
        "A redirect is not followed: where it leads was checked by nobody. Give the URL that it leads to",
    ),
    _row(
        "400, 405, 406, 411, 412, 414, 415, 416, 417, 422, 424, 426, 428, 431, 451",
        Meaning.REFUSED,
        "The request is wrong as it is, and would be the same the next time",
        *(400, 405, 406, 411, 412, 414, 415, 416, 417, 422, 424, 426, 428, 431, 451),
    ),
    _row(
        "401, 403",
        Meaning.UNAUTHORIZED,
        "The credentials in the URL, or the sender's address, are not accepted: a change may take minutes to be known"
        " everywhere",
        401,
        403,
    ),
    _row(
        "402, 407", Meaning.REFUSED, "Somebody must pay, or put a proxy right: no matter of minutes", 402, 407
    ),
    _row(
        "404",
        Meaning.NOT_YET,
        "A new version of the receiver, or its route, may be minutes away, also where firings were delivered before",
        404,
    ),
    _row("408", Meaning.RETRY, "The receiver did not wait for the whole request (RFC 9110, 15.5.9)", 408),
    _row(
        "409",
        Meaning.REFUSED,
        "To a new firing it says no, such as to a second run beside one that goes on. To a repeated one it says that it"
        " knows the id: it is asked again, and if it still says so at the end it has it: `delivered`",
        409,
        repeated=Meaning.REPEATED,
    ),
    _row(
        "410",
        Meaning.REFUSED,
        "Gone for good. The cron job is not paused: a wrong route can say so too, and a firing that fails is seen,"
        " one that is never made is not",
        410,
    ),
    _row(
        "413",
        Meaning.REFUSED,
        "Too large, and not smaller the next time; with a `Retry-After` it is the receiver that has no room now"
        " (RFC 9110, 15.5.14)",
        413,
        asked=Meaning.RETRY,
    ),
    _row(
        "421", Meaning.RETRY, "The wrong server of several: another connection may lead to the right one", 421
    ),
    _row(
        "423", Meaning.RETRY, "Locked: somebody is at it, perhaps the receiver with the attempt before", 423
    ),
    _row("425", Meaning.RETRY, "Too early: the receiver wants it again (RFC 8470)", 425),
    _row("429", Meaning.RETRY, "Too many requests; `Retry-After` says when", 429),
    Row((range(400, 500),), "any other 4xx", Meaning.REFUSED, "As 400 (RFC 9110, 15)"),
    Row(
        (range(500, 600),),
        "5xx",
        Meaning.RETRY,
        "The receiver's trouble, not the request's: 501, 505 and 511, too, come from proxies that are being changed",
    ),
    Row((range(600, 1000),), "600 to 999", Meaning.RETRY, "No status of HTTP: as 5xx (RFC 9110, 15)"),
)
"""The first row that has a status counts."""


@cache
def row_of(status: int) -> Row:
    """The row of a status, which is from 200 to 999."""
    return next(row for row in STATUSES if any(status in statuses for statuses in row.statuses))


@dataclass(frozen=True, slots=True)
class Choices:
    """The statuses that mean to a cron job what it says."""

    success: frozenset[int] = read_statuses((DEFAULT_SUCCESS,))
    retry: frozenset[int] = frozenset()
    refused: frozenset[int] = frozenset()

    @classmethod
    def of(cls, public: Mapping[str, Any]) -> Choices:
        """Those in the public parameters of a destination."""
        if CHOSEN.isdisjoint(public):
            return NO_CHOICES
        success, retry, refused = (
            read_statuses(tuple(public.get(name) or default))
            for name, default in ((SUCCESS, (DEFAULT_SUCCESS,)), (RETRY_STATUSES, ()), (REFUSED_STATUSES, ()))
        )
        return cls(success, retry, refused)

    def complaints(self) -> dict[str, str]:
        """What is wrong with statuses that are to mean two things, by parameter."""
        chosen = {SUCCESS: self.success, RETRY_STATUSES: self.retry, REFUSED_STATUSES: self.refused}
        found = {}
        for (one, here), (other, there) in combinations(chosen.items(), 2):
            if both := here & there:
                found[other] = f"holds {min(both)}, which {one} holds too; leave it out of one of them"
        return found

    def meaning(self, status: int) -> Meaning | None:
        """What a status means by them; None where they say nothing."""
        if status in self.success:
            return Meaning.DELIVERED
        if status in self.retry:
            return Meaning.RETRY
        return Meaning.REFUSED if status in self.refused else None


NO_CHOICES: Final = Choices()
_FORBIDDEN: Final = 403


def outcome(status: int, attempt: int, after: float | None, choices: Choices = NO_CHOICES) -> Outcome:
    """The outcome of an attempt that was answered with a status.

    :param attempt: its number, from 1
    :param after: seconds that Retry-After asks to wait
    """
    chosen = choices.meaning(status)
    detail = f"HTTP {status}"
    match chosen or row_of(status).of(attempt, after):
        case Meaning.DELIVERED if chosen is None:  # to others
            return Retry(f"{detail}: it is none of {SUCCESS}", after)
        case Meaning.DELIVERED:
            return Delivered(None)
        case Meaning.RETRY:
            return Retry(detail, after)
        case Meaning.UNAUTHORIZED:
            return Unauthorized(detail, known=status == _FORBIDDEN)
        case Meaning.REPEATED:
            return Repeated(f"{detail}: it knows this firing from an earlier attempt", after)
        case meaning:
            if 300 <= status < 400:
                detail = f"{detail}: redirects are not followed; give the URL that it leads to"
            return Refused(detail, final=meaning is not Meaning.NOT_YET)
