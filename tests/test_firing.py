"""The id of a firing, for ever the same, and its states."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock.dst import DstGap, DstOverlap
from cronally.cronjob import CatchUp
from cronally.firing import CLOCK_CHANGES, Kind, Reason, State, firing_id, shown
from cronally.instants import MAX_INSTANT, parse_iso

TERMINAL = frozenset({State.DELIVERED, State.FAILED, State.MISSED, State.SKIPPED})

CRONJOB = "34f10c9d-ca04-4faf-9e83-92eea9e58be8"


# Receivers remember these ids. A failure here means that an upgrade would send firings twice: mend the code, never
# the expected id.
@pytest.mark.parametrize(
    ("cronjob_id", "scheduled_at", "kind", "expected"),
    [
        (CRONJOB, "2026-11-24T08:00:00Z", "scheduled", "b9765434-2515-5068-89ae-9a843273c52f"),
        (CRONJOB, "2026-11-24T08:01:00Z", "scheduled", "ffcad372-0d88-5191-b79b-d6c2be5841f5"),
        (CRONJOB, "2026-11-24T08:00:00Z", "manual", "1479107e-fb66-55bf-b059-e0d6929f9398"),
        (CRONJOB, "2026-11-24T08:00:00.000001Z", "manual", "0bd5eaa3-c522-51b3-92da-e439dfc721bc"),
        (
            "59ab5a9c-ce44-4446-9501-76f4f64be3c6",
            "2026-11-24T08:00:00Z",
            "scheduled",
            "68065abd-05ab-578f-968f-200a46a3df35",
        ),
        (CRONJOB, "1970-01-01T00:00:00Z", "scheduled", "2d61fa39-46c7-541c-967e-340ce51fcf04"),
    ],
)
def test_firing_id__never_changes(cronjob_id: str, scheduled_at: str, kind: str, expected: str) -> None:
    assert firing_id(cronjob_id, parse_iso(scheduled_at), kind) == expected


def test_firing_id__of_a_kind_and_of_its_name_are_the_same() -> None:
    assert firing_id(CRONJOB, 0, Kind.MANUAL) == firing_id(CRONJOB, 0, "manual")
    assert firing_id(CRONJOB, 0) == firing_id(CRONJOB, 0, Kind.SCHEDULED)


keys = st.tuples(st.uuids().map(str), st.integers(0, MAX_INSTANT), st.sampled_from(Kind))


@given(keys, keys)
def test_firing_id__is_a_uuid_of_its_own_for_each_key(
    one: tuple[str, int, Kind], other: tuple[str, int, Kind]
) -> None:
    assert UUID(firing_id(*one)).version == 5
    assert (firing_id(*one) == firing_id(*other)) == (one == other)


def test_states__end_in_one_of_four() -> None:
    assert set(State) - TERMINAL == {State.PENDING, State.SENDING, State.HELD}


# Programs compare with these words. They are kept for ever in ledgers: add, never change.
def test_reasons__never_change() -> None:
    assert [*Reason] == [
        "misfire_grace",
        "max_age",
        "catch_up=latest",
        "catch_up=skip",
        "deleted",
        "set_aside",
        "paused",
        "excluded",
        "frozen",
        "suspended",
        "account_deleted",
        "overlap",
        "queue_full",
        "clock_ahead",
        "dst_gap=run_at_jump",
        "dst_gap=skip",
        "dst_gap=shift",
        "dst_overlap=first",
        "dst_overlap=last",
        "dst_overlap=both",
        "real_minutes",
        "new_clock",
        "account_limit",
        "host_limit",
        "cronjob_limit",
        "connection_limit",
        "long_limit",
        "circuit_open",
        "earlier_firing",
        "connection_unhealthy",
        "retry_max_attempts",
        "target_unavailable",
        "target_unauthorized",
        "target_refused",
        "unconfirmed",
        "repeated",
        "unsendable",
        "attempt_failed",
        "worker_lost",
        "replayed",
        "unacknowledged",
    ]


@pytest.mark.parametrize("reason", Reason)
def test_reason__has_a_sentence(reason: Reason) -> None:
    assert Reason(reason.value) is reason
    assert " " in reason.sentence
    assert reason.sentence == reason.sentence.strip(" .")


def test_reasons__of_policies_are_those_of_the_policies() -> None:
    policies = {f"dst_gap={gap}" for gap in DstGap} | {f"dst_overlap={overlap}" for overlap in DstOverlap}
    assert policies | {Reason.REAL_MINUTES, Reason.NEW_CLOCK} == CLOCK_CHANGES
    caught_up = {f"catch_up={policy}" for policy in CatchUp if policy is not CatchUp.ALL}
    assert caught_up == {reason for reason in Reason if reason.startswith("catch_up=")}


def test_shown__is_held_what_waits_for_good_credentials() -> None:
    assert shown(State.PENDING, Reason.CONNECTION_UNHEALTHY) is State.HELD
    assert shown(State.PENDING, Reason.FROZEN) is State.PENDING
    assert shown(State.SKIPPED, Reason.CONNECTION_UNHEALTHY) is State.SKIPPED
