"""docs/reference/expressions.md says what the clock does, table by table."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from croniter import croniter
from cronsim import CronSim

from cronally import cron, errors
from cronally.clock.dst import DstGap, DstOverlap
from cronally.clock.timetable import timetable
from cronally.cron import MAX_LENGTH, SHORTCUTS
from cronally.instants import DAY, format_iso, parse_iso
from tests.docs.markdown import ROOT, Page, first_names, read, rows

EXPRESSIONS: Page = read(ROOT / "docs/reference/expressions.md")


def names_of(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def on_the_day(text: str, zone: str, day: str, **policy: str) -> str:
    """The fire times of a local day, as the tables write them."""
    table = timetable(text, zone, **policy)  # type: ignore[arg-type]
    offset = table.zone.span(parse_iso(f"{day}T00:00:00Z") // 1_000_000).offset * 1_000_000
    midnight = parse_iso(f"{day}T00:00:00Z")
    found = []
    instant = table.next(midnight - offset - DAY // 2)
    while instant is not None and instant < midnight + 2 * DAY:
        local = instant + table.zone.span(instant // 1_000_000).offset * 1_000_000
        if midnight <= local < midnight + DAY:
            found.append(format_iso(instant)[11:16])
        instant = table.next(instant)
    return ", ".join(found) or "never"


def test_examples__fire_as_documented() -> None:
    after = parse_iso("2026-11-24T12:00:00Z")
    checked = 0
    for row in rows(EXPRESSIONS.section("Examples")):
        table = timetable(names_of(row[0])[0])
        at: int | None = after
        for expected in re.findall(r"\d{4}-\d\d-\d\dT[0-9:]+Z", row[1]):
            assert at is not None
            at = table.next(at)
            assert at is not None
            assert format_iso(at) == expected, row
            checked += 1
    assert checked >= 35


def test_gaps__fire_as_documented() -> None:
    table = rows(EXPRESSIONS.section("Gaps"))
    assert len(table) >= 10
    for expression, gap, expected in table:
        policy = {} if gap == "default" else {"dst_gap": names_of(gap)[0]}
        found = on_the_day(names_of(expression)[0], "America/New_York", "2026-03-08", **policy)
        assert found == expected, (expression, gap)


def test_overlaps__fire_as_documented() -> None:
    table = rows(EXPRESSIONS.section("Overlaps"))
    assert len(table) >= 7
    for expression, overlap, expected in table:
        policy = {} if overlap == "default" else {"dst_overlap": names_of(overlap)[0]}
        found = on_the_day(names_of(expression)[0], "America/New_York", "2026-11-01", **policy)
        assert found == expected, (expression, overlap)


def test_unusual_changes__fire_as_documented() -> None:
    table = rows(EXPRESSIONS.section("Unusual changes"))
    assert len(table) >= 9
    for expression, zone, day, expected, _ in table:
        assert on_the_day(names_of(expression)[0], names_of(zone)[0], day) == expected, (expression, zone)


def test_policies__are_all_there() -> None:
    listed = first_names(EXPRESSIONS.section("Daylight-saving time"))
    assert [name for name in listed if name in [*DstGap]] == [*DstGap]
    assert [name for name in listed if name in [*DstOverlap]] == [*DstOverlap]


def test_refusals__are_word_for_word() -> None:
    refused = rows(EXPRESSIONS.section("What is refused"))
    assert len(refused) >= 35
    for expression, answer in refused:
        with pytest.raises(errors.InvalidExpression) as caught:
            cron.parse_written(names_of(expression)[0])
        assert caught.value.message == answer


def test_notes__are_word_for_word() -> None:
    noted = rows(EXPRESSIONS.section("Notes"))
    assert len(noted) >= 9
    for expression, note in noted:
        assert cron.notes(cron.parse_written(names_of(expression)[0])) == [note]


def test_accepted__forms_are_those_of_the_table() -> None:
    """Each form stands in an expression that is accepted."""
    section = EXPRESSIONS.section("What is accepted, and where it comes from")
    listed = [row for row in rows(section) if len(row) == 3]
    assert len(listed) >= 11
    forms = [form for row in listed for form in names_of(row[0]) if re.search(r"^[A-Z0-9]", form)]
    assert len(forms) >= 10
    for form in forms:
        tried = [f"0 0 {form} * *", f"0 0 1 {form} *", f"0 0 * * {form}", f"{form} * * * *"]
        assert any(_accepted(text) for text in tried), form


def _accepted(text: str) -> bool:
    try:
        return bool(cron.parse_written(text, "an id"))
    except errors.InvalidExpression:
        return False


@pytest.mark.parametrize("expression", ["@reboot", "R * * * *", "0 8 * * *\n0 9 * * *"])
def test_refusals__that_are_only_named(expression: str) -> None:
    with pytest.raises(errors.InvalidExpression):
        cron.parse(expression)


def test_shortcuts_and_length() -> None:
    listed = {
        name: names_of(row[1])[0]
        for row in rows(EXPRESSIONS.prose)
        if row[0].startswith("`@") and len(names_of(row[1])) == 1
        for name in names_of(row[0])
        if name in SHORTCUTS
    }
    assert listed == SHORTCUTS
    assert f"at most {MAX_LENGTH} characters" in EXPRESSIONS.prose


def test_forms__are_accepted() -> None:
    for row in rows(EXPRESSIONS.section("Extensions")):
        for form in names_of(row[0]):
            text = form
            if " " not in form:
                where = row[1].split(",")[0]
                text = f"0 0 * * {form}" if where == "day-of-week" else f"0 0 {form} * *"
                text = f"{form} * * * *" if where == "any field" else text
            assert cron.parse(text, "an id"), row
    for dialect in rows(EXPRESSIONS.prose)[:3]:
        for text in names_of(dialect[1]):
            assert timetable(text, anchor=0)


def test_other_libraries__do_what_is_said_of_them() -> None:
    """Where an example needs no change of the clock; the others are in tests/clock/test_others.py."""
    assert len(rows(EXPRESSIONS.section("Other libraries"))) >= 11
    noon = datetime(2026, 1, 14, 12)
    assert next(CronSim("7-7/3 * * * *", noon.replace(minute=8))).minute == 10
    assert next(CronSim("5/10 * * * *", noon)).minute == 5
    assert croniter("5/10 * * * *", noon).get_next(datetime).minute == 5
    assert croniter("0 13-13 * * *", noon.replace(hour=14)).get_next(datetime).hour == 15
    mondays = croniter("0 0 13,* * MON", noon)
    assert {mondays.get_next(datetime).isoweekday() for _ in range(5)} == {1}
    assert timetable("7-7/3 * * * *").next(parse_iso("2026-01-14T12:08:00Z")) == parse_iso(
        "2026-01-14T13:07:00Z"
    )
    assert timetable("0 0 13,* * MON").next(parse_iso("2026-01-14T12:00:00Z")) == parse_iso(
        "2026-01-15T00:00:00Z"
    )
