"""The decision about one change of the offset: what is skipped or repeated, and what happens to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cronally.clock import dst
from cronally.clock.dst import DstGap, DstOverlap, Mark, decide, policy
from cronally.clock.tzif import Change
from cronally.firing import Reason

AT = 1_000_000
HOUR = 3600


@pytest.mark.parametrize(
    ("gap", "expected", "moved_until"),
    [
        (DstGap.RUN_AT_JUMP, (Mark.MOVED, Reason.DST_GAP_RUN_AT_JUMP), AT + 1),
        (DstGap.SHIFT, (Mark.MOVED, Reason.DST_GAP_SHIFT), AT + HOUR),
        (DstGap.SKIP, (Mark.SUPPRESSED, Reason.DST_GAP_SKIP), AT),
        (None, (Mark.MOVED, Reason.DST_GAP_RUN_AT_JUMP), AT + 1),
    ],
)
def test_decide__a_gap(gap: DstGap | None, expected: tuple[Mark, Reason], moved_until: int) -> None:
    decision = decide(Change(AT, HOUR, 2 * HOUR), policy(False, gap, None))
    assert (decision.start, decision.stop) == (AT + HOUR, AT + 2 * HOUR)
    assert (decision.mark, decision.reason) == expected
    assert (decision.fires_until, decision.fires_from) == (AT, AT)
    assert decision.moved_until == moved_until
    assert decision.suppressed_offset is None


@pytest.mark.parametrize(
    ("overlap", "expected", "fires_until", "fires_from", "suppressed_offset"),
    [
        (DstOverlap.FIRST, (Mark.SUPPRESSED, Reason.DST_OVERLAP_FIRST), AT, AT + HOUR, HOUR),
        (DstOverlap.LAST, (Mark.SUPPRESSED, Reason.DST_OVERLAP_LAST), AT - HOUR, AT, 2 * HOUR),
        (DstOverlap.BOTH, (Mark.DOUBLED, Reason.DST_OVERLAP_BOTH), AT, AT, None),
        (None, (Mark.SUPPRESSED, Reason.DST_OVERLAP_FIRST), AT, AT + HOUR, HOUR),
    ],
)
def test_decide__an_overlap(
    overlap: DstOverlap | None,
    expected: tuple[Mark, Reason],
    fires_until: int,
    fires_from: int,
    suppressed_offset: int | None,
) -> None:
    decision = decide(Change(AT, 2 * HOUR, HOUR), policy(False, None, overlap))
    assert (decision.start, decision.stop) == (AT + HOUR, AT + 2 * HOUR)
    assert (decision.mark, decision.reason) == expected
    assert (decision.fires_until, decision.fires_from) == (fires_until, fires_from)
    assert decision.moved_until == AT
    assert decision.suppressed_offset == suppressed_offset
    assert decision.doubled_until == AT + HOUR


@pytest.mark.parametrize(
    ("forward", "mark", "reason"),
    [
        (3 * HOUR - 1, Mark.MOVED, Reason.DST_GAP_SHIFT),
        (3 * HOUR, Mark.SUPPRESSED, Reason.NEW_CLOCK),
        (-3 * HOUR, Mark.SUPPRESSED, Reason.DST_OVERLAP_LAST),
        (-3 * HOUR - 1, Mark.DOUBLED, Reason.NEW_CLOCK),
    ],
)
def test_decide__no_policy_applies_to_a_new_clock(forward: int, mark: Mark, reason: Reason) -> None:
    for wildcard in (False, True):
        chosen = policy(wildcard, DstGap.SHIFT, DstOverlap.LAST)
        decision = decide(Change(AT, 0, forward), chosen)
        assert (decision.mark, decision.reason) == (mark, reason)


@pytest.mark.parametrize(
    ("forward", "mark", "reason"),
    [
        (HOUR, Mark.SUPPRESSED, Reason.REAL_MINUTES),
        (24 * HOUR, Mark.SUPPRESSED, Reason.REAL_MINUTES),
        (-HOUR, Mark.DOUBLED, Reason.REAL_MINUTES),
        (-7 * HOUR, Mark.DOUBLED, Reason.NEW_CLOCK),
    ],
)
def test_decide__a_wildcard_job_follows_the_real_minutes(forward: int, mark: Mark, reason: Reason) -> None:
    decision = decide(Change(AT, 0, forward), policy(True, None, None))
    assert (decision.mark, decision.reason) == (mark, reason)
    assert (decision.fires_until, decision.fires_from, decision.moved_until) == (AT, AT, AT)


def test_decide__is_the_only_place_that_tests_a_policy() -> None:
    package = Path(dst.__file__).parent.parent
    compared = re.compile(r"(?:\b(?:is|not|case|in)|[=!]=) \(?Dst(?:Gap|Overlap)\.|LONGEST_(?:GAP|OVERLAP)")
    found = {path.name for path in package.rglob("*.py") if compared.search(path.read_text())}
    assert found == {"dst.py"}
