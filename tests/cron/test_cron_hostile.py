"""Hostile and damaged text: bounded work, and never another error than InvalidExpression."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cronally.cron import parse
from cronally.errors import InvalidExpression
from tests.clock.texts import any_expressions


def accepted_or_refused(text: str) -> str:
    """The message of the refusal, empty for an expression that is accepted. Any other error goes through."""
    try:
        assert parse.__wrapped__(text, "an id").text == " ".join(text.split())
    except InvalidExpression as refused:
        return refused.message
    return ""


HOSTILE: list[Callable[[], str]] = [
    lambda: "*" * 65_536,
    lambda: "9" * 65_536 + " * * * *",
    lambda: "1," * 32_768,
    lambda: " " * 65_536,
    lambda: "* * * * *" + " " * 65_536,
    lambda: "\u0661" * 65_536,
    lambda: "\n" * 65_536,
    lambda: "*/" + "9" * 246 + " * * * *",
    lambda: "9" * 248 + " * * * *",
    lambda: "0-" + "9" * 246 + " * * * *",
    lambda: ",".join(["*/1"] * 62) + " * * * *",
    lambda: "L" * 248 + " * * * *",
    lambda: "1" * 247 + "L * * * *",
    lambda: "(" * 256,
    lambda: "cron(" + "9" * 245 + ")",
    lambda: "cron(" + "1,2 " * 60 + ")",
    lambda: "cron(0 0 29 2 ? " + ",".join(str(year) for year in range(1971, 2195, 4)) + ")",
    lambda: "cron(0 0 ? 2 2#5 1971/2)",
    lambda: "rate(" + "9" * 200 + " days)",
    lambda: "@every " + "9d" * 120,
    lambda: "at(" + "2" * 250 + ")",
    lambda: "0 0 " + ",".join(["31W"] * 40) + " 2,4,6,9,11 */2",
    lambda: "0 0 LW " + ",".join(["1-12"] * 30) + " */6",
    lambda: "0 0 * * " + ",".join(["MON#5"] * 40),
    lambda: "0 0 31 H *",
    lambda: "0 0 " + ",".join(["H(29-31)"] * 27) + " H(2-2) *",
    lambda: "H(" + "9" * 240 + ") * * * *",
    lambda: "H/" + "9" * 240 + " * * * *",
    lambda: "Mon" + "..Mon" * 40 + " 10:00",
    lambda: "a," * 100 + "a 1:1",
    lambda: "TZ=" + "x" * 250,
]


def calls_of(work: Callable[[], str]) -> tuple[str, int]:
    """What some work answers, and how many functions it calls, those in C too: the same on every machine."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        answer = work()
    finally:
        sys.setprofile(before)
    return answer, calls


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text__is_answered_in_few_steps(hostile: Callable[[], str]) -> None:
    text = hostile()
    message, calls = calls_of(lambda: accepted_or_refused(text))
    assert len(message) < 600
    assert calls < 6_000


def test_length__is_bounded_before_anything_is_read() -> None:
    assert "257 characters; write at most 256" in accepted_or_refused("0 8 * * *" + " " * 248)
    assert parse("0 8 * * *" + " " * 247)
    every_minute = ",".join(map(str, range(60)))
    assert len(every_minute) == 169
    assert parse(f"{every_minute} * * * *")


CRON_CHARACTERS = "0123456789*,-/?LWH#@() \tMONFRISUNjan:."
BEGINNINGS = ["", "cron(", "at(", "rate(", "@every ", "0 0 ", "H ", "TZ=", "Mon *-*-* "]


WRITTEN = st.builds(str.__add__, st.sampled_from(BEGINNINGS), st.text(alphabet=CRON_CHARACTERS, max_size=40))


@given(st.one_of(st.text(), WRITTEN, st.binary().map(bytes.hex)))
@example("@")
@example("@ daily")
@example("*/")
@example("0 0 */ * *")
@example("0 0 - * *")
@example("0 0 , * *")
@example("\ud800 * * * *")
def test_read__raises_nothing_but_invalid_expression(text: str) -> None:
    message = accepted_or_refused(text)
    assert message.isascii()
    assert len(message) < 600


@given(any_expressions, st.data())
def test_read__raises_nothing_else_for_a_damaged_expression(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    damage = data.draw(st.text(alphabet=CRON_CHARACTERS, max_size=2))
    accepted_or_refused(text[:at] + damage + text[at + data.draw(st.integers(0, 2)) :])


@given(any_expressions, st.integers(0, 300), st.sampled_from(["\n", "\r\n", "\v", "\u2028"]))
def test_parse__a_line_end_is_in_no_expression(text: str, place: int, line_end: str) -> None:
    """Where several expressions are stored, it stands between them."""
    place %= len(text) + 1
    assert accepted_or_refused(text[:place] + line_end + text[place:])
