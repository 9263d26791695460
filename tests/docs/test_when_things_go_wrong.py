"""The guide of what goes wrong names what exists: reasons, settings, and sentences that the code says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from cronally.firing import CLOCK_CHANGES, Kind, Reason, State
from cronally.instants import DAY, HOUR, parse_iso
from cronally.operations import explanation_text as text
from cronally.store.freezes import Freeze
from cronally.store.ledger import Attempt, Firing
from cronally.store.versions import Version
from cronally.targets.http import statuses
from tests.docs.markdown import ROOT, names_of, read, rows

GUIDE = read(ROOT / "docs" / "guides" / "when-things-go-wrong.md")
REASONS = ("It came late, or not at all", "It waits", "The target says no", "It is the server")
SAID = {**dict.fromkeys(REASONS, 2), "A cron job stands still": 1}
"""The sections, and in which column of their tables stands what `why` says."""
NOON = parse_iso("2026-11-24T12:00:00Z")


def firing(state: State, reason: Reason | None, attempt: int, lease_no: int) -> Firing:
    done = state not in (State.PENDING, State.SENDING)
    return Firing(
        "c",
        NOON,
        Kind.SCHEDULED,
        state,
        reason,
        None,
        1,
        None if done else NOON + HOUR,
        attempt,
        lease_no,
        NOON,
        None,
        None,
        NOON + DAY if done else None,
        None,
    )


@cache
def said() -> str:
    return "\n".join(dict.fromkeys(sentences()))


def sentences() -> Iterator[str]:
    """What `why` says of rows of every kind, and of instants without one."""
    details = [
        "no answer: 10 s have passed",
        "the sealing key k2 is missing; give it to the server",
        "the server's clock is wrong: RequestExpired: x",
        "Cronally failed while it sent this (ValueError).",
        "NotFound: x",
    ]
    in_front = firing(State.PENDING, Reason.TARGET_UNAVAILABLE, 1, 1)
    for state in State:
        for reason in (None, *Reason):
            for attempt in (0, 1, 2):
                yield text.of_row(firing(state, reason, attempt, attempt), None, None)
                yield text.of_row(firing(state, reason, attempt, 3), None, None, 2, in_front)
            for detail in details:
                last = Attempt(
                    "c", NOON, Kind.SCHEDULED, 1, NOON, 1, "retry", Reason.TARGET_UNAVAILABLE, detail
                )
                yield text.of_row(firing(state, reason, 2, 2), last, None)
    for reason in (Reason.OVERLAP, Reason.QUEUE_FULL):
        yield text.of_row(replace(firing(State.SKIPPED, reason, 0, 1), behind_at=NOON), None, None)
    yield text.of_row(replace(firing(State.PENDING, None, 0, 0), place_at=NOON + HOUR), None, None, now=NOON)
    yield from details
    for status in range(200, 600):
        for attempt in (1, 2):
            yield getattr(statuses.outcome(status, attempt, None), "detail", "")
    for reason in Reason:
        yield text.suppressed(reason, 1, None, NOON)
    yield text.no_fire_time(None, None)
    yield f"Not fired: {text.set_aside(NOON, None, 'state_reason')}"
    paused = Version(
        2, "* * * * *", "UTC", "{}", "paused", None, NOON, "key", NOON, NOON + HOUR, "key", "deploying"
    )
    yield f"Not fired: {text.paused(paused, None)}"
    yield f"Skipped: {text.paused(paused, NOON + HOUR)}"
    yield text.of_row(replace(firing(State.SKIPPED, Reason.EXCLUDED, 0, 0), cause="holidays"), None, None)
    frozen = Freeze("f", "a", "host", "a.example", "latest", "deploying", NOON, NOON + HOUR, "key")
    for state in (State.PENDING, State.SKIPPED):
        yield text.of_row(firing(state, Reason.FROZEN, 0, 1), None, None, freeze=frozen)
    yield text.completed(NOON, None)
    yield text.not_owed("2026a", NOON)


def test_reasons__exist() -> None:
    assert _reasons() - {"delivered"} <= {*Reason}


def test_reasons__all_that_a_firing_may_have_are_there() -> None:
    elsewhere = {Reason.DELETED, Reason.SET_ASIDE, Reason.PAUSED, Reason.EXCLUDED, *CLOCK_CHANGES}
    elsewhere |= {Reason.REPLAYED, Reason.UNACKNOWLEDGED}  # of an attempt that went well
    assert {*Reason} - elsewhere <= _reasons()


def _reasons() -> set[str]:
    return {name for heading in REASONS for row in rows(GUIDE.section(heading)) for name in names_of(row[1])}


@pytest.mark.parametrize("heading", SAID)
def test_sentences__are_said_by_the_code(heading: str) -> None:
    for row in rows(GUIDE.section(heading)):
        for sentence in names_of(row[SAID[heading]]):
            if sentence != "state_reason":
                pattern = ".*".join(re.escape(piece.strip()) for piece in sentence.split("..."))
                assert re.search(pattern, said()), sentence


def test_settings__exist() -> None:
    known = (ROOT / "README.md").read_text()
    for name in re.findall(r"CRONALLY_\w+", GUIDE.prose):
        assert f"`{name}`" in known, name


def test_commands__exist() -> None:
    known = (ROOT / "docs/reference/cli.md").read_text()
    for command in re.findall(r"`cronally (\w+)", GUIDE.prose):
        assert f"cronally {command}" in known
