"""The chain of an account's audit log: what one row is, its hash, and whether rows follow one another.

Invariant: pure, and the one place that says what is hashed. A row's hash covers everything that is shown of it and the
hash of the row before, so that whoever holds a hash holds all rows up to it: one that is changed, missing, or put in
between does not fit. The first row follows a hash of the account's id, so no row fits into another account's log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cronally.instants import format_iso

_FORM: Final = "cronally-audit-1"


class Who(StrEnum):
    """Who did what a row tells of."""

    KEY = "key"
    """Somebody with an API key of the account."""
    SERVER = "server"
    """The server by itself, or for an operation in the background that somebody had asked for before."""
    OPERATOR = "operator"
    """Who runs the server, with `cronally admin`."""
    LINK = "link"
    """Somebody with a link that was mailed to an address of the account."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was changed."""

    name: str
    before: str | None
    """As a text: what is no text as JSON, a secret as its digest. None: there was none."""
    after: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row tells, before it is one: who did what to what, when."""

    account_id: str
    at: int
    who: Who
    action: str
    """Such as `cronjob.pause`."""
    subject: str
    """What was acted on: `cronjob`, `connection`, ..."""
    subject_id: str | None
    """Its id, or its name where it has no id."""
    changes: tuple[Change, ...] = ()
    cronjob_id: str | None = None
    """The cron job that it concerns, whatever was acted on."""
    api_key: str | None = None
    address: str | None = None
    """The client's."""
    request_id: str | None = None
    """Of the request, or the operation, that did it."""
    count: int = 1
    """How often, where one row stands for repeats."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the log."""

    number: int
    """1, 2, 3, ... in each account, without a gap."""
    entry: Entry
    previous: str
    """The hash of the row before."""
    hash: str


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a log begins and ends, as the server keeps it apart from the rows."""

    anchor_number: int
    """Of the last row that is not kept any more; 0 while all are."""
    anchor: str
    """Its hash; before the first row, that of the account's id."""
    number: int
    """Of the newest row; that of the anchor while there is none."""
    hash: str


def first_hash(account_id: str) -> str:
    """What the first row of an account follows."""
    return hashlib.sha256(f"{_FORM} {account_id}".encode()).hexdigest()


def hash_of(number: int, entry: Entry, previous: str) -> str:
    """The hash of a row: SHA-256, in hexadecimal, of a JSON array without spaces, in UTF-8."""
    members = [
        number,
        format_iso(entry.at),
        entry.who,
        entry.api_key,
        entry.address,
        entry.request_id,
        entry.action,
        entry.subject,
        entry.subject_id,
        entry.cronjob_id,
        entry.count,
        [[change.name, change.before, change.after] for change in entry.changes],
        previous,
    ]
    return hashlib.sha256(json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def problems(rows: Iterable[Row], before: Ends, ask: Callable[[], Ends]) -> Iterator[str]:
    """What is wrong with a log that is read whole, newest first; nothing: it is as it was written.

    :param before: its ends, asked for before the first row
    :param ask: asks for its ends, after the last row: meanwhile rows may come, and go for their age
    """
    later: Row | None = None
    newest = 0
    for row in rows:
        newest = newest or row.number
        if hash_of(row.number, row.entry, row.previous) != row.hash:
            yield f"Row {row.number} is not as it was written: its hash does not fit."
        if later is not None:
            if row.number != later.number - 1:
                yield f"Between the rows {row.number} and {later.number} there are some missing."
            elif row.hash != later.previous:
                yield f"Row {later.number} does not follow row {row.number}: one of them was replaced."
        if row.number == before.number and row.hash != before.hash:
            yield f"Row {row.number} is not the newest that the server wrote."
        later = row
    after = ask()
    if newest < before.number and after.anchor_number < before.number:
        yield f"The newest row, {before.number}, is missing."
    if later is None:
        return
    if later.number > after.anchor_number + 1:
        yield f"The rows {after.anchor_number + 1} to {later.number - 1} are missing."
    elif later.number == after.anchor_number + 1 and later.previous != after.anchor:
        yield f"Row {later.number} does not follow the last that is not kept any more."
