"""What is said beforehand: fire times as they fire, and what a change of the clock made of each."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.dst import Mark
from cronally.clock.preview import FireTime, NoFireTime, Suppressed, explain, preview, suppressed
from cronally.clock.timetable import Timetable, timetable
from cronally.firing import Reason
from cronally.instants import DAY, MAX_INSTANT, SECOND, format_iso, parse_iso
from tests.clock.texts import any_expressions, changing_zones, policies
from tests.cron.cron_texts import instants

NEW_YORK = "America/New_York"
SPRING = parse_iso("2026-03-08T05:00:00Z")
AUTUMN = parse_iso("2026-11-01T04:30:00Z")


def told(table: Timetable, after: int, how_many: int) -> list[str]:
    lines = []
    for entry in islice(preview(table, after), how_many):
        line = f"{format_iso(entry.scheduled_at)[11:16]} {entry.local[8:]}"
        if entry.mark is not None:
            line += f" {entry.mark} {entry.reason}"
        if entry.count > 1:
            line += f" x{entry.count}"
        if isinstance(entry, FireTime) and entry.instead_of:
            line += f" of {entry.instead_of[8:]}"
        if isinstance(entry, Suppressed) and entry.until_local != entry.local:
            line += f" to {entry.until_local[8:]}"
        lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("text", "gap", "expected"),
    [
        (
            "30 2 * * *",
            None,
            ["07:00 08T03:00:00-04:00 moved dst_gap=run_at_jump of 08T02:30:00", "06:30 09T02:30:00-04:00"],
        ),
        (
            "0,30 2 * * *",
            None,
            [
                "07:00 08T03:00:00-04:00 moved dst_gap=run_at_jump x2 of 08T02:00:00",
                "06:00 09T02:00:00-04:00",
            ],
        ),
        (
            "30 2 * * *",
            "shift",
            ["07:30 08T03:30:00-04:00 moved dst_gap=shift of 08T02:30:00", "06:30 09T02:30:00-04:00"],
        ),
        ("30 2 * * *", "skip", ["07:00 08T02:30:00 suppressed dst_gap=skip", "06:30 09T02:30:00-04:00"]),
        (
            "0,30 2,3 * * *",
            "skip",
            [
                "07:00 08T02:00:00 suppressed dst_gap=skip x2 to 08T02:30:00",
                "07:00 08T03:00:00-04:00",
                "07:30 08T03:30:00-04:00",
            ],
        ),
        (
            "*/20 2 * * *",
            None,
            ["07:00 08T02:00:00 suppressed real_minutes x3 to 08T02:40:00", "06:00 09T02:00:00-04:00"],
        ),
    ],
)
def test_preview__of_a_gap(text: str, gap: str | None, expected: list[str]) -> None:
    assert told(timetable(text, NEW_YORK, dst_gap=gap), SPRING, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "overlap", "expected"),
    [
        (
            "30 1 * * *",
            None,
            [
                "05:30 01T01:30:00-04:00",
                "06:30 01T01:30:00-05:00 suppressed dst_overlap=first",
                "06:30 02T01:30:00-05:00",
            ],
        ),
        (
            "0,30 1 * * *",
            "last",
            [
                "05:00 01T01:00:00-04:00 suppressed dst_overlap=last x2 to 01T01:30:00-04:00",
                "06:00 01T01:00:00-05:00",
                "06:30 01T01:30:00-05:00",
            ],
        ),
        (
            "30 1 * * *",
            "both",
            ["05:30 01T01:30:00-04:00", "06:30 01T01:30:00-05:00 doubled dst_overlap=both"],
        ),
        (
            "*/30 1 * * *",
            None,
            [
                "05:00 01T01:00:00-04:00",
                "05:30 01T01:30:00-04:00",
                "06:00 01T01:00:00-05:00 doubled real_minutes",
                "06:30 01T01:30:00-05:00 doubled real_minutes",
                "06:00 02T01:00:00-05:00",
            ],
        ),
    ],
)
def test_preview__of_a_repeated_hour(text: str, overlap: str | None, expected: list[str]) -> None:
    assert told(timetable(text, NEW_YORK, dst_overlap=overlap), AUTUMN, len(expected)) == expected


def test_preview__of_a_skipped_day() -> None:
    assert told(timetable("0 8 * * *", "Pacific/Apia"), parse_iso("2011-12-29T12:00:00Z"), 3) == [
        "18:00 29T08:00:00-10:00",
        "10:00 30T08:00:00 suppressed new_clock",
        "18:00 31T08:00:00+14:00",
    ]


def test_preview__of_a_clock_that_went_back_by_seven_hours() -> None:
    table = timetable("0 17 * * *", "Antarctica/Vostok")
    assert told(table, parse_iso("1994-01-31T08:00:00Z"), 2) == [
        "10:00 31T17:00:00+07:00",
        "17:00 31T17:00:00+00:00 doubled new_clock",
    ]


def test_preview__of_an_at_that_is_skipped_ends() -> None:
    table = timetable("at(2026-03-08T02:30:00)", NEW_YORK, dst_gap="skip")
    assert told(table, 0, 5) == ["07:00 08T02:30:00 suppressed dst_gap=skip"]
    assert told(table, SPRING + DAY, 5) == []


def test_preview__of_utc_and_of_an_interval_has_no_marks() -> None:
    assert told(timetable("30 2 * * *"), SPRING, 1) == ["02:30 09T02:30:00+00:00"]
    every_hour = timetable("@every 1h", NEW_YORK, anchor=SPRING)
    assert told(every_hour, SPRING, 2) == ["06:00 08T01:00:00-05:00", "07:00 08T03:00:00-04:00"]
    assert list(suppressed(every_hour, 0, MAX_INSTANT)) == []


def test_preview__local_times_of_offsets_with_seconds() -> None:
    assert told(timetable("0 8 * * *", "Africa/Monrovia"), 0, 1) == ["08:44 01T08:00:00-00:44:30"]


@given(any_expressions, changing_zones, policies, instants)
def test_preview__says_what_fires_and_in_order(
    text: str, name: str, policy: tuple[str, str] | None, after: int
) -> None:
    gap, overlap = policy or (None, None)
    table = timetable(text, name, dst_gap=gap, dst_overlap=overlap)
    entries = list(islice(preview(table, after), 12))
    fire_times = [entry.scheduled_at for entry in entries if isinstance(entry, FireTime)]
    chain, instant = [], after
    for _ in fire_times:
        fire_time = table.next(instant)
        assert fire_time is not None
        chain.append(instant := fire_time)
    assert fire_times == chain
    begins = [entry.scheduled_at for entry in entries]
    assert begins == sorted(begins)
    assert all(entry.scheduled_at > after for entry in entries)
    for entry in entries:
        if isinstance(entry, Suppressed):
            assert entry.count > 0
            assert entry.scheduled_at <= entry.until_at
            # A gap's instant is when the clock jumped, and something else may really fire then.
            if entry.local.count("+") or entry.local.count("-") == 3:
                assert not table.matches(entry.scheduled_at)
                assert isinstance(explain(table, entry.until_at), Suppressed)
        else:
            assert explain(table, entry.scheduled_at + SECOND - 1) == entry


@given(any_expressions, changing_zones, instants)
def test_preview__with_nothing_suppressed_every_local_time_fires(text: str, name: str, after: int) -> None:
    """Fire times and what is suppressed are together what the expression names in the days around."""
    both = timetable(text, name, dst_gap="skip", dst_overlap="both")
    first = timetable(text, name, dst_gap="skip", dst_overlap="first")
    until = after + 40 * DAY
    doubled = both.count(after, until)
    left_out = [
        instant
        for entry in suppressed(first, after - 2 * DAY, until)
        if entry.reason is Reason.DST_OVERLAP_FIRST
        for instant in range(entry.scheduled_at, entry.until_at + 1, SECOND)
        if after < instant <= until and both.matches(instant)
    ]
    assert first.count(after, until) + len(left_out) == doubled


# Explained


def test_explain__a_fire_time_one_that_was_suppressed_and_none() -> None:
    table = timetable("0,30 1 * * *", NEW_YORK)
    fired = explain(table, parse_iso("2026-11-01T05:30:00.25Z"))
    assert isinstance(fired, FireTime)
    assert fired.local == "2026-11-01T01:30:00-04:00"
    again = explain(table, parse_iso("2026-11-01T06:30:00Z"))
    assert isinstance(again, Suppressed)
    assert (again.reason, again.count, again.mark) == (Reason.DST_OVERLAP_FIRST, 2, Mark.SUPPRESSED)
    nothing = explain(table, parse_iso("2026-11-01T06:29:00Z"))
    assert nothing == NoFireTime(
        parse_iso("2026-11-01T05:30:00Z"),
        parse_iso("2026-11-02T06:00:00Z"),
    )


def test_explain__at_the_jump_what_it_skipped() -> None:
    table = timetable("0,30 2 * * *", NEW_YORK, dst_gap="skip")
    skipped = explain(table, parse_iso("2026-03-08T07:00:00Z"))
    assert isinstance(skipped, Suppressed)
    assert (skipped.local, skipped.until_local) == ("2026-03-08T02:00:00", "2026-03-08T02:30:00")
    assert isinstance(explain(table, parse_iso("2026-03-08T06:30:00Z")), NoFireTime)
    assert isinstance(explain(table, parse_iso("2026-03-08T07:30:00Z")), NoFireTime)


def test_explain__of_an_interval() -> None:
    table = timetable("@every 1h", anchor=SPRING)
    assert explain(table, SPRING) == NoFireTime(None, SPRING + DAY // 24)
    assert isinstance(explain(table, SPRING + DAY), FireTime)


# For the ledger


def test_suppressed__is_what_a_policy_decided() -> None:
    year = parse_iso("2026-01-01T00:00:00Z"), parse_iso("2027-01-01T00:00:00Z")
    assert list(suppressed(timetable("*/5 * * * *", NEW_YORK), *year)) == []
    fixed = list(suppressed(timetable("*/5 * * * *", NEW_YORK, dst_overlap="first"), *year))
    assert [(entry.count, entry.reason) for entry in fixed] == [(12, Reason.DST_OVERLAP_FIRST)]
    assert format_iso(fixed[0].scheduled_at) == "2026-11-01T06:00:00Z"
    assert format_iso(fixed[0].until_at) == "2026-11-01T06:55:00Z"


@given(st.integers(0, 24 * 60))
def test_suppressed__ranges_that_follow_each_other_give_each_once(minutes: int) -> None:
    table = timetable("0-59 1,2 * * *", NEW_YORK, dst_gap="skip")
    start, end = parse_iso("2026-01-01T00:00:00Z"), parse_iso("2027-01-01T00:00:00Z")
    cut = AUTUMN + minutes * 60 * SECOND
    whole = list(suppressed(table, start, end))
    assert len(whole) == 2
    before, after = list(suppressed(table, start, cut)), list(suppressed(table, cut, end))
    parts = [*before, *after]
    assert all(start < part.scheduled_at <= part.until_at <= cut for part in before)
    assert all(cut < part.scheduled_at <= part.until_at < end for part in after)
    assert parts[0] == whole[0]
    repeated = parts[1:]
    assert {part.reason for part in repeated} == {Reason.DST_OVERLAP_FIRST}
    assert sum(part.count for part in repeated) == whole[1].count
    assert (repeated[0].scheduled_at, repeated[-1].until_at) == (whole[1].scheduled_at, whole[1].until_at)
    assert all(part.until_at - part.scheduled_at == (part.count - 1) * 60 * SECOND for part in repeated)
