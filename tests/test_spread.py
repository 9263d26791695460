"""Places in a window: stable for ever, inside of it, and spread evenly."""

from __future__ import annotations

from fractions import Fraction
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.instants import DAY, HOUR, MINUTE, SECOND, parse_iso
from cronally.spread import place

NOON = parse_iso("2026-11-24T12:00:00Z")
JOB = "c06c30e8-3fd7-4090-9136-9680da1c509f"
MILLISECOND = SECOND // 1000
IDS = st.uuids().map(str)
INSTANTS = st.integers(0, 7_000_000_000).map(lambda seconds: seconds * SECOND)


# What is in a ledger was placed by these. Add, never change.
@pytest.mark.parametrize(
    ("cronjob_id", "scheduled_at", "window", "expected"),
    [
        (JOB, NOON, 10 * MINUTE, 289_705_000),
        (JOB, NOON, DAY, 41_717_580_000),
        (JOB, NOON + MINUTE, 10 * MINUTE, 68_593_000),
        ("00000000-0000-0000-0000-000000000001", NOON, 10 * MINUTE, 159_655_000),
        (JOB, 0, SECOND, 578_000),
        (JOB, NOON, 0, 0),
    ],
)
def test_place__never_changes(cronjob_id: str, scheduled_at: int, window: int, expected: int) -> None:
    assert place(cronjob_id, scheduled_at, window) == expected


@given(IDS, INSTANTS, st.integers(0, DAY // SECOND).map(lambda seconds: seconds * SECOND))
def test_place__is_in_the_window_and_as_a_fraction_says(cronjob_id: str, at: int, window: int) -> None:
    found = place(cronjob_id, at, window)
    assert found % MILLISECOND == 0
    assert 0 <= found < max(window, 1)
    share = Fraction(int(sha256(f"{cronjob_id}/{at}".encode()).hexdigest()[:16], 16), 2**64)
    assert found == int(share * (window // MILLISECOND)) * MILLISECOND


@given(IDS, INSTANTS)
def test_place__keeps_its_share_of_a_longer_window(cronjob_id: str, at: int) -> None:
    assert abs(place(cronjob_id, at, 2 * HOUR) - 2 * place(cronjob_id, at, HOUR)) <= 2 * MILLISECOND


@pytest.mark.parametrize("herd", ["of cron jobs at one fire time", "of one cron job at many"])
@pytest.mark.parametrize("window", [MINUTE, 10 * MINUTE, DAY])
def test_place__is_spread_evenly(herd: str, window: int) -> None:
    """Chi-squared over 20 parts: beyond 43.8 in one of a thousand even spreads. Nothing here is left to chance."""
    if herd == "of one cron job at many":
        places = [place(JOB, NOON + number * MINUTE, window) for number in range(4000)]
    else:
        places = [place(str(UUID(int=number)), NOON, window) for number in range(4000)]
    counts = [0] * 20
    for one in places:
        counts[one * 20 // window] += 1
    expected = len(places) / len(counts)
    assert sum((count - expected) ** 2 / expected for count in counts) < 43.8
    assert len(set(places)) > len(places) // 2
