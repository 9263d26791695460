"""An alert: within its bounds whoever makes it, and one id for what it is about."""

from __future__ import annotations

import json
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cronally.alert import (
    MAX_AFFECTED,
    MAX_LINE,
    MAX_LINES,
    MAX_TITLE,
    Affected,
    Alert,
    Event,
    alert_id,
    storm_of,
)
from cronally.instants import HOUR, MINUTE
from tests.support.factories import NOON, uuid_of

TEXTS = st.text(st.characters(exclude_categories=()), max_size=MAX_LINE + 10)


@given(TEXTS, st.lists(TEXTS, max_size=MAX_LINES + 3), st.lists(TEXTS, max_size=5))
def test_alert__is_within_its_bounds(title: str, lines: list[str], names: list[str]) -> None:
    made = Alert(
        alert_id=uuid_of("alert"),
        account_id=uuid_of("a"),
        condition="failure",
        event=Event.BEGAN,
        subject_kind="cronjob",
        subject_id=uuid_of("c"),
        title=title,
        lines=lines,
        affected=[Affected(uuid_of("c"), name) for name in names],
        created_at=NOON,
    )
    assert 0 < len(made.title) <= MAX_TITLE
    assert len(made.lines) == min(len(lines), MAX_LINES)
    for text in (made.title, *made.lines, *(one.name for one in made.affected)):
        assert len(text) <= MAX_LINE
        assert len(text.splitlines()) <= 1
        assert "\0" not in text
        assert json.loads(json.dumps(text)) == text == text.encode().decode()
    assert made.affected_total == len(names)


def test_alert__lists_some_of_many_and_says_how_many_they_are() -> None:
    made = Alert(
        alert_id=uuid_of("alert"),
        account_id=uuid_of("a"),
        condition="failure",
        event=Event.BEGAN,
        subject_kind="host",
        subject_id="example.com",
        title="Many",
        affected=[Affected(str(number), "x") for number in range(MAX_AFFECTED + 1)],
        affected_total=700,
        created_at=NOON,
    )
    assert (len(made.affected), made.affected_total) == (MAX_AFFECTED, 700)


PART = st.text(max_size=6)
ABOUT = st.tuples(PART, PART, PART, PART, st.sampled_from(Event), st.integers(0, 20), st.integers(0, 3))


@given(ABOUT, ABOUT)
def test_alert_id__is_the_same_for_the_same_and_for_nothing_else(
    one: tuple[str, str, str, str, Event, int, int], other: tuple[str, str, str, str, Event, int, int]
) -> None:
    assert (alert_id(*one) == alert_id(*other)) == (one == other)
    assert UUID(alert_id(*one)).version == 5


def test_alert_id__stays_what_it_was() -> None:
    made = alert_id(uuid_of("a"), "failure", "cronjob", uuid_of("c"), Event.BEGAN, NOON)
    assert made == alert_id(uuid_of("a"), "failure", "cronjob", uuid_of("c"), Event.BEGAN, NOON, 0)
    assert made == "6966934c-e994-5f21-8e2b-00933c0f8f03"


def test_storm__is_said_once_in_an_hour() -> None:
    def at(instant: int) -> Alert:
        return storm_of(
            Alert(
                alert_id=uuid_of("alert"),
                account_id=uuid_of("a"),
                condition="failure",
                event=Event.BEGAN,
                subject_kind="cronjob",
                subject_id=uuid_of("c"),
                title="Failed",
                created_at=instant,
            )
        )

    hour = NOON - NOON % HOUR
    assert at(hour).alert_id == at(hour + HOUR - 1).alert_id != at(hour + HOUR).alert_id
    assert at(hour + MINUTE).condition == "storm"
