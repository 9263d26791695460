"""The judge: holds the ledger and what the receiver got against what was owed.

Invariant: what is owed comes from the tests' own oracle, and ids are computed here from the words of the design
(UUIDv5 over cron job, fire time and kind); nothing is taken from the package. Every cron job is judged whole: each fire
time from the one that the test put in to the one that is next, covered once, in order, with no gap between rows.

What a fault may do is told per firing. One that a node held when it was killed, which the ledger shows as `sending`,
may have been sent: it may arrive twice, under the same id and the next attempt's number. No other may.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

from tests.acceptance.ledger import DAY, MINUTE, SECOND, Attempt, Ledger, Row, Seed
from tests.acceptance.receiver import Publish
from tests.support import oracle

Key = tuple[str, int, str]

_NAMESPACE: Final = uuid.UUID("9d2b3a52-6b0c-5d0e-8f4e-5a3a7f1c2e90")
_OVERDUE: Final = 20 * SECOND
"""How long after a fire time it must stand in the ledger of a cluster that was awake: a server that was asked to end,
and a busy machine, may take a while until the ledger is read."""


@dataclass(frozen=True)
class Finding:
    """What a judged run came to."""

    delivered: int
    missed: int
    """Fire times, not rows."""
    duplicates: int


def firing_id(cronjob_id: str, scheduled_at: int, kind: str = "scheduled") -> str:
    """RFC 4122, section 4.3, step by step."""
    name = f"{cronjob_id}/{scheduled_at}/{kind}".encode()
    digest = bytearray(hashlib.sha1(_NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def iso(instant: int) -> str:
    """ISO 8601 with `Z`, as it travels with a message."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)
    return moment.isoformat().replace("+00:00", "Z")


def owed(one: Seed, until: int) -> list[int]:
    """The fire times of a cron job from the first that was put in, those before `until`."""
    return [one.next_fire_at, *_fire_times(one.cron, one.next_fire_at + 1, until)]


@cache
def _fire_times(cron: str, start: int, end: int) -> tuple[int, ...]:
    return tuple(oracle.fire_times(cron, start, end))


def all_arrived(seeds: Iterable[Seed], until: int) -> set[str]:
    """The ids of all firings that are owed before an instant."""
    return {firing_id(one.cronjob_id, at) for one in seeds for at in owed(one, until)}


def judge(
    seeds: Sequence[Seed],
    ledger: Ledger,
    received: Sequence[Publish],
    *,
    lost_leases: Mapping[Key, int] | None = None,
    exact: bool = True,
    undelivered: Iterable[str] = (),
    awake: bool = True,
) -> Finding:
    """Raise AssertionError, saying of which firing, unless everything is as was promised.

    :param ledger: read after everything was done
    :param received: all that the receiver got, in order
    :param lost_leases: how many leases on a firing ended without a record, by what the ledger said at each kill
    :param exact: whether that many did, or at most so many: a node that lived on may have recorded some
    :param undelivered: states besides `delivered` and `missed` that are right in this test
    :param awake: whether somebody was there to tick until the ledger was read
    """
    lost = Counter(lost_leases or {})
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(ledger.rows, key=lambda row: row.scheduled_at):
        rows[row.cronjob_id].append(row)
    attempts: dict[Key, list[Attempt]] = defaultdict(list)
    for attempt in ledger.attempts:
        attempts[attempt.key].append(attempt)
    arrived: dict[str, list[Publish]] = defaultdict(list)
    for publish in received:
        arrived[publish.firing_id].append(publish)

    delivered = missed = duplicates = 0
    unowed = set(arrived)
    for one in seeds:
        _judge_coverage(one, rows[one.cronjob_id], ledger, awake)
        for row in rows[one.cronjob_id]:
            where = f"{one.name} at {iso(row.scheduled_at)}: {row}"
            got = arrived[firing_id(*row.key)]
            unowed.discard(firing_id(*row.key))
            _judge_messages(one, row, got, where)
            if row.state == "delivered":
                untold = row.attempt - len(attempts[row.key]) - 1
                # Every lease that may have sent is an attempt: those that were recorded as tried, those that ended
                # without a record, and the one that delivered.
                assert untold == lost[row.key] if exact else 0 <= untold <= lost[row.key], (
                    f"{untold}: {where}"
                )
                _judge_delivery(row, got, attempts[row.key], untold, where)
                delivered += 1
                duplicates += len(got) - 1
            elif row.state == "missed":
                assert row.reason, where
                assert not got, where
                assert row.attempt == 0, where
                missed += row.count
            else:
                assert row.state in undelivered, f"{where}; {attempts[row.key]}"
            assert (row.due_at is None) == (row.state not in ("pending", "sending")), where
    assert not unowed, f"ids that nobody owed: {unowed}"
    return Finding(delivered, missed, duplicates)


def _judge_coverage(one: Seed, rows: Sequence[Row], ledger: Ledger, awake: bool) -> None:
    """Each fire time stands in exactly one row, and the next one is the next one."""
    next_fire_at = ledger.next_fire_at[one.cronjob_id]
    assert next_fire_at is not None, f"{one.name} has no next fire time"
    if next_fire_at == one.next_fire_at:
        assert not rows, f"{one.name} has rows and was not moved on"
        assert not awake or next_fire_at > ledger.read_at - _OVERDUE, f"{one.name} never fired"
        return
    expected = owed(one, next_fire_at)
    covered = 0
    for row in rows:
        where = f"{one.name}, {one.cron}: {row}"
        assert row.account_id == one.account_id, where
        assert row.kind == "scheduled", where
        last = row.scheduled_at if row.until_at is None else row.until_at
        stretch = expected[covered : covered + row.count]
        assert stretch, f"a row too many: {where}"
        assert (stretch[0], stretch[-1], len(stretch)) == (row.scheduled_at, last, row.count), where
        covered += row.count
    assert covered == len(expected), f"{one.name}: no row covers {[iso(at) for at in expected[covered:]]}"
    last = one.next_fire_at if not rows else rows[-1].until_at or rows[-1].scheduled_at
    right = _next(one.cron, last // MINUTE * MINUTE)
    assert next_fire_at == right, f"{one.name} fires next at {iso(right)}, not at {iso(next_fire_at)}"
    assert not awake or next_fire_at > ledger.read_at - _OVERDUE, f"{one.name} is overdue"


@cache
def _next(cron: str, after: int) -> int:
    """The first fire time after a whole minute, which is the first after any instant in that minute."""
    for days in (2, 400, 3000):
        if found := oracle.fire_times(cron, after + 1, after + days * DAY):
            return found[0]
    raise AssertionError(f"{cron} does not fire again")


def _judge_messages(one: Seed, row: Row, got: Sequence[Publish], where: str) -> None:
    """Never early, and never somebody else's."""
    for publish in got:
        assert publish.received_at >= row.scheduled_at, f"early: {where}"
        assert publish.topic == one.topic, where
        assert publish.message == one.message, where
        assert publish.attributes == {
            "cronally-firing-id": firing_id(*row.key),
            "cronally-cronjob-id": one.cronjob_id,
            "cronally-cronjob-name": one.name,
            "cronally-scheduled-at": iso(row.scheduled_at),
            "cronally-attempt": str(publish.attempt),
        }, where
    numbers = [publish.attempt for publish in got]
    assert numbers == sorted(set(numbers)), f"attempt numbers {numbers}: {where}"


def _judge_delivery(
    row: Row, got: Sequence[Publish], attempts: Sequence[Attempt], lost: int, where: str
) -> None:
    assert got, f"delivered and never received: {where}"
    assert got[-1].attempt == row.attempt, where
    assert got[-1].message_id == row.message_id, where
    maybe = lost + sum(attempt.outcome == "unknown" for attempt in attempts)
    assert len(got) <= 1 + maybe, f"received {len(got)} times: {where}"
    assert row.sent_at is not None, where
    assert row.finished_at is not None, where
    assert row.scheduled_at <= row.sent_at <= row.finished_at, where
