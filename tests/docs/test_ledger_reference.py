"""docs/reference/ledger.md says what the code does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cronally import firing
from cronally import plan as planning
from cronally.cronjob import DEFAULT_MAX_AGE, DEFAULT_RETRY_MAX_ATTEMPTS, Timing
from cronally.engine import backoff, verdict
from cronally.firing import WAITS, Reason, State
from cronally.instants import HOUR, MINUTE, SECOND, parse_iso
from cronally.server import engine as loops
from cronally.targets import pool, target
from cronally.targets.http import content, statuses
from cronally.targets.http import target as http
from cronally.targets.sns import answers as sns_answers
from cronally.targets.sns import forms as sns_forms
from tests.docs.markdown import ROOT, Page, first_names, read, rows

TERMINAL = {State.DELIVERED, State.FAILED, State.MISSED, State.SKIPPED}

LEDGER: Page = read(ROOT / "docs/reference/ledger.md")
MESSAGE = target.Message("firing", "cronjob", "name", parse_iso("2026-11-24T08:00:00Z"), 1)


def names_of(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_states__are_all_there() -> None:
    assert first_names(LEDGER.section("States")) == [*firing.State]
    final = {names_of(row[0])[0] for row in rows(LEDGER.section("States")) if row[2] == "final"}
    assert final == TERMINAL


def test_reasons__are_all_there() -> None:
    section = LEDGER.section("Reasons")
    states = {names_of(row[1])[0]: names_of(row[0]) for row in rows(section) if len(row) == 3}
    elsewhere = {names_of(row[0])[0] for row in rows(section) if len(row) == 2}
    assert states.keys() | elsewhere == {reason.value for reason in Reason}
    assert not states.keys() & elsewhere
    expected = {reason: ["missed"] for reason in ("misfire_grace", "catch_up=latest", "catch_up=skip")}
    expected |= {reason: ["skipped"] for reason in ("deleted", "set_aside", "dst_gap=skip", "new_clock")}
    expected |= {reason: ["skipped"] for reason in ("paused", "overlap", "queue_full", "excluded")}
    expected |= {reason: ["skipped"] for reason in ("suspended", "account_deleted")}
    expected |= {reason: ["skipped"] for reason in ("dst_overlap=first", "dst_overlap=last")}
    expected |= {reason.value: ["failed", "pending", "sending"] for reason in OUTCOME_OF}
    expected |= {"repeated": ["pending", "sending"], "earlier_firing": ["pending"]}
    expected |= {"max_age": ["failed"], "retry_max_attempts": ["failed"]}
    expected |= {"worker_lost": ["failed"], "clock_ahead": ["delivered", "failed", "skipped"]}
    expected |= {reason.value: ["pending"] for reason in WAITS} | {"frozen": ["pending", "skipped"]}
    expected["connection_unhealthy"] = ["held"]
    assert states == expected
    assert f"up to {verdict.MAX_TEXT:,} characters" in LEDGER.prose
    assert verdict.MAX_LOST_LEASES == 5
    assert Reason.WORKER_LOST.sentence.startswith("five ")


OUTCOME_OF = {
    **{reason: kind.__name__.lower() for kind, reason in verdict._REASONS.items()},
    Reason.UNSENDABLE: "retry",
    Reason.ATTEMPT_FAILED: "unknown",
}


def test_reasons__of_attempts_name_their_outcomes() -> None:
    table = [row for row in rows(LEDGER.section("Reasons")) if len(row) == 3]
    listed = {names_of(row[1])[0]: names_of(row[2])[-1:] for row in table}
    for reason, outcome in OUTCOME_OF.items():
        assert listed[reason] == [outcome]


def test_outcomes__are_all_there() -> None:
    kinds = (
        target.Delivered,
        target.Retry,
        target.Unknown,
        target.Unauthorized,
        target.Refused,
        target.Repeated,
    )
    listed = first_names(LEDGER.section("Attempts and retries"))
    assert listed == [kind.__name__.lower() for kind in kinds]


def test_long_schedule__figures() -> None:
    numbers = [row for row in rows(LEDGER.section("Attempts and retries")) if row[0] == "at most"]
    (limits,) = numbers
    seconds = [int(cell.removesuffix(" s")) for cell in limits[1:]]
    longest = [backoff.delay(attempt, 1 - 1e-12) / SECOND for attempt in range(1, 186)]
    assert seconds[:9] == pytest.approx(longest[:9])
    assert set(seconds[9:]) == {900}
    assert longest[9:] == pytest.approx([900] * 176)
    policy = backoff.DELIVERY
    assert (DEFAULT_RETRY_MAX_ATTEMPTS, DEFAULT_MAX_AGE, policy.max_attempts) == (185, 24 * HOUR, None)
    assert sum(longest) / 2 / 3600 == pytest.approx(22, abs=0.2)
    assert backoff.MAX_RETRY_AFTER == HOUR
    assert policy.first == 2 * SECOND


def test_short_schedule__figures() -> None:
    (row,) = [row for row in rows(LEDGER.section("Attempts and retries")) if row[0] == "between"]
    policy = backoff.CONSISTENCY
    for attempt, cell in enumerate(row[1:], 1):
        low, high = (float(number) for number in re.findall(r"[0-9.]+", cell))
        assert backoff.delay(attempt, 0.0, policy) / SECOND == pytest.approx(low)
        assert backoff.delay(attempt, 1 - 1e-12, policy) / SECOND == pytest.approx(high)
    assert policy.max_attempts == 5 == len(row)
    for chance, minutes in ((0.0, 9), (1.0, 11)):
        total = sum(backoff.delay(attempt, chance, policy) for attempt in range(1, 5))
        assert int(total / MINUTE) == minutes


def test_poll__a_retry_may_be_a_second_late() -> None:
    assert "once a second" in LEDGER.prose
    assert loops.POLL == 1.0


def test_catch_up__the_example_is_what_is_planned() -> None:
    day = parse_iso("2026-11-24T00:00:00Z")
    given = planning.Schedule(Timing("* * * * *", "UTC", None, None), "latest", 24 * HOUR, day + 8 * HOUR)
    plan = planning.plan(given, day + 10 * HOUR + 30 * MINUTE + SECOND // 2)
    missed, fires = plan.entries
    section = LEDGER.section("Catch-up")
    assert (missed.state, missed.reason, missed.count) == (firing.State.MISSED, "catch_up=latest", 150)
    assert "`missed`, `catch_up=latest`, `count` 150, `until_at` 10:29" in section
    assert missed.until_at == day + 10 * HOUR + 29 * MINUTE
    assert (fires.scheduled_at, fires.state) == (day + 10 * HOUR + 30 * MINUTE, firing.State.PENDING)
    assert planning.ON_TIME == MINUTE


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        ("latest", [("missed", 3), ("pending", 1)]),
        ("all", [("pending", 1)] * 4),
        ("skip", [("missed", 4)]),
    ],
)
def test_catch_up__each_policy_without_one_on_time(catch_up: str, expected: list[Any]) -> None:
    day = parse_iso("2026-11-24T00:00:00Z")
    given = planning.Schedule(Timing("0 * * * *", "UTC", None, None), catch_up, 24 * HOUR, day + 8 * HOUR)
    plan = planning.plan(given, day + 11 * HOUR + 30 * MINUTE)
    assert [(entry.state, entry.count) for entry in plan.entries] == expected


def test_message__attributes_of_sns() -> None:
    form = sns_forms.publish_form(
        {"sns_topic": "arn:aws:sns:us-east-1:123456789012:t.fifo"}, b"text", MESSAGE
    ).decode()
    sent = dict(
        zip(
            re.findall(r"entry\.\d\.Name=([^&]+)", form),
            re.findall(r"entry\.\d\.Value\.DataType=([^&]+)", form),
            strict=True,
        )
    )
    listed = {
        names_of(row[0])[0]: row[1]
        for row in rows(LEDGER.section("What travels with a message"))
        if row[0].startswith("`cronally-")
    }
    assert listed == sent
    assert "MessageGroupId=cronjob&MessageDeduplicationId=firing" in form


def test_message__headers_and_body_of_http() -> None:
    sent = set(http._headers(MESSAGE)) - {"Accept", "Accept-Encoding"}
    listed = {
        names_of(row[0])[0] for row in rows(LEDGER.section("What travels with a message")) if len(row) == 2
    }
    assert listed == sent
    example = json.loads(LEDGER.block('"firing_id"').text)
    assert example.keys() == json.loads(content.document(MESSAGE)).keys()
    at = parse_iso(example["scheduled_at"])
    assert firing.firing_id(example["cronjob_id"], at) == example["firing_id"]


def outcome_of(detail: str) -> str | None:
    """What the code makes of what a detail in the table tells of; None where it is no answer's."""
    if status := re.match(r"HTTP ([0-9]{3})", detail):
        attempt = 2 if "an earlier attempt" in detail else 1
        chosen = {statuses.SUCCESS: ["200"]} if statuses.SUCCESS in detail else {}
        choices = statuses.Choices.of(chosen)
        return type(statuses.outcome(int(status[1]), attempt, None, choices)).__name__.lower()
    if code := re.match(r"([A-Z]\w+): \.\.\.", detail):
        body = f"<ErrorResponse><Error><Code>{code[1]}</Code><Message>m</Message></Error></ErrorResponse>"
        return type(sns_answers.outcome(400, body.encode())).__name__.lower()
    return None


def test_details__what_targets_say_has_the_outcome_that_is_documented() -> None:
    checked = 0
    for row in rows(LEDGER.section("What targets say")):
        for detail in names_of(row[0]):
            found = outcome_of(detail)
            if found is not None:
                assert names_of(row[1]) == [found], detail
                checked += 1
    assert checked >= 10
    assert not statuses.outcome(404, 1, None).final  # type: ignore[union-attr]
    assert type(sns_answers.outcome(200, b"")) is target.Unknown
    assert sns_answers.outcome(200, b"").detail == "answered 200 without a MessageId"  # type: ignore[union-attr]


def test_details__texts_stand_in_the_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/cronally").rglob("*.py"))
    for row in rows(LEDGER.section("What targets say")):
        for detail in names_of(row[0]):
            text = re.split(r"[:;]? ?\(?\.\.\.", detail)[0]
            if outcome_of(detail) is None and not re.search(r"[0-9]", text) and text != "connection refused":
                assert text in source, detail
    assert pool.USER_AGENT.startswith("Cronally/")
