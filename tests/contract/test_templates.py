"""Placeholders: what is one, what it is filled in with, and that no text is sent otherwise than it was meant."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.clock import zones
from cronally.contract import templates
from cronally.contract.attribute import declared
from cronally.contract.cronjob_requests import NewCronjob
from cronally.contract.formats import CODES
from cronally.contract.http import HttpParameters
from cronally.contract.shifts import STARTS, Shift, shifted
from cronally.contract.sns import SnsParameters
from cronally.contract.templates import (
    NAMES,
    Form,
    NotFilled,
    Values,
    asks_for_ack,
    check,
    fill,
    longest,
    marks,
    parse,
)
from cronally.instants import MAX_INSTANT, MIN_INSTANT, SECOND, format_iso, from_datetime, parse_iso
from tests.contract import template_oracle as oracle
from tests.contract.template_oracle import Piece
from tests.support.examples import examples

AT = "2026-03-29T00:30:00Z"
ACK_URL = f"https://cron.example.com/ack/{'t' * 60}/"
FIRING = "5a1d3c1e-0000-5000-8000-00000000000f"
CRONJOB = "5a1d3c1e-0000-4000-8000-00000000000c"
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo"]


def values(at: str = AT, timezone: str = "Europe/Berlin", name: str = "wake up", attempt: int = 1) -> Values:
    return Values(FIRING, CRONJOB, name, parse_iso(at), attempt, timezone)


def filled(text: str, form: str = Form.TEXT, **more: Any) -> str:
    return fill(text, form, values(**more))


# One by one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<cronally.firing-id>", FIRING),
        ("<aws.scheduler.execution-id>", FIRING),
        ("<cronally.cronjob-id>", CRONJOB),
        ("<aws.scheduler.schedule-arn>", CRONJOB),
        ("<cronally.cronjob-name>", "wake up"),
        ("<cronally.attempt-number>, <aws.scheduler.attempt-number>", "3, 3"),
        ("<cronally.scheduled-time>", "2026-03-29T00:30:00Z"),
        ("<aws.scheduler.scheduled-time>", "2026-03-29T00:30:00Z"),
        ("<cronally.scheduled-local-time>", "2026-03-29T01:30:00+01:00"),
        ('<cronally.scheduled-local-time format="%Y-%m-%d" offset="-1d">', "2026-03-28"),
        ("<cronally.scheduled-local-time format='%a, %d %b %Y' start-of=month>", "Sun, 01 Mar 2026"),
        ("<cronally.scheduled-local-time offset=1h>", "2026-03-29T03:30:00+02:00"),
        ("<cronally.scheduled-local-time start-of=month offset=+1mo-1d format=%F>", "2026-03-31"),
        ("<cronally.scheduled-time start-of=day>", "2026-03-28T23:00:00Z"),
        ("<cronally.scheduled-time format=unix start-of=hour>", "1774742400"),
        ("<cronally.scheduled-time\n  format=%s\n>", "1774744200"),
        ("<cronally.lt>cronally.firing-id>", "<cronally.firing-id>"),
        ("<cronally.lt><cronally.lt>", "<<"),
    ],
)
def test_fill__each(text: str, expected: str) -> None:
    assert filled(text, attempt=3) == expected


@pytest.mark.parametrize(
    "text", ["a < b", "<", "<cronally", "<html>", "cronally.firing-id>", "<aws.sns.x>", "&lt;cronally.x", ""]
)
def test_parse__what_is_none_stays(text: str) -> None:
    assert parse(text) == [text]
    assert filled(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<cronally.xyz>", "that there is not; did you mean <"),
        ("<cronally.firingid>", "did you mean <cronally.firing-id>?"),
        ("<Cronally.Firing-Id>", "did you mean <cronally.firing-id>?"),
        ("<aws.scheduler.schedule-arm>", "did you mean <aws.scheduler.schedule-arn>?"),
        ("x <cronally.firing-id", "does not end, or is not written like"),
        ("<cronally.firing-id <cronally.firing-id>", "does not end"),
        ("<cronally.firing-id offset=1d>", "with an option that it has not"),
        ("<cronally.scheduled-time ofset=1d>", "with an option that it has not"),
        ("<aws.scheduler.scheduled-time offset=1d>", "with an option that it has not"),
        ("<cronally.scheduled-time offset=1d offset=1d>", "with offset twice"),
        ("<cronally.scheduled-time a=1d a=1d>", "with an option twice"),
        ("<cronally.scheduled-time offset=1x>", "whose offset is none: it is written like -1d"),
        ("<cronally.scheduled-time offset=1d1d1d1d1d>", "of 4 parts at most"),
        ("<cronally.scheduled-time start-of=minute>", "none of hour, day, week, month, year"),
        ("<cronally.scheduled-time format=%Q>", "whose format is none: it is iso, unix, or"),
        ("<cronally.scheduled-time format=%>", "whose format is none"),
        ("<cronally.scheduled-time format=ISO>", "whose format is none"),
        ("<cronally.scheduled-time format=''>", "whose format is none"),
        ("<cronally.lt>" * 101, "holds more than 100 placeholders"),
    ],
)
def test_parse__complaints_say_what_to_do(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="placeholder") as problem:
        parse(text)
    assert said in str(problem.value)


def test_complaint__says_how_to_write_the_text_itself() -> None:
    with pytest.raises(ValueError, match="in place of its <") as problem:
        parse("see <cronally.example>")
    assert "<cronally.lt>" in str(problem.value)
    assert filled("see <cronally.lt>cronally.example>") == "see <cronally.example>"


@pytest.mark.parametrize(
    "url", ["https://<cronally.cronjob-name>/", "<cronally.cronjob-name>://h/", "https://h<cronally.lt>"]
)
def test_check__a_url_leads_where_it_says(url: str) -> None:
    with pytest.raises(ValueError, match="before its path"):
        check(url, url=True)
    check("https://h/<cronally.firing-id>", url=True)
    check("https://h?<cronally.firing-id>", url=True)


# JSON, URLs, marks


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"id": "<cronally.firing-id>"}', "json"),
        ('{"id": <cronally.firing-id>}', "json"),
        (' [1, "a <cronally.cronjob-name> b"]', "json"),
        ('{"at": "<cronally.scheduled-time format="%F">"}', "json"),
        (json.dumps({"at": '<cronally.scheduled-time format="%F">'}), "json"),
        ('{"a": 1<cronally.attempt-number>}', "text"),
        ('{"a": "\\<cronally.cronjob-name>"}', "text"),
        ('{"a": "\\u00<cronally.attempt-number>"}', "text"),
        ("{<cronally.firing-id>: 1}", "text"),
        ('{"a": NaN, "b": "<cronally.firing-id>"}', "text"),
        ("[" * 100_000 + "<cronally.firing-id>", "text"),
        ("<cronally.firing-id>", "text"),
        ('"<cronally.firing-id>"', "text"),
        ("[error] <cronally.firing-id>", "text"),
        ("plain <", None),
        ('{"a": 1}', None),
    ],
)
def test_marks__say_what_a_text_is(text: str, form: str | None) -> None:
    expected = {} if form is None else {"sns_message": form}
    assert marks(declared(SnsParameters), {"sns_message": text, "sns_region": "<cronally.lt>"}) == expected


def test_marks__a_url_and_a_map() -> None:
    url = "https://h/?a=<cronally.firing-id>"
    assert marks(declared(HttpParameters), {"delivery_http_url": url}) == {"delivery_http_url": "url"}
    done = templates.filled({"m": {"a": "<cronally.lt>", "b": "x"}}, {"m": "text"}, values())
    assert done == {"m": {"a": "<", "b": "x"}}


@pytest.mark.parametrize("name", ['a "b" \\ c', "\N{SNOWMAN} & Söhne", "100 % </script>"])
def test_fill__json_stays_json_and_a_url_one_parameter(name: str) -> None:
    text = (
        '{"a": "x <cronally.cronjob-name> y", "b": <cronally.cronjob-name>, "n": <cronally.attempt-number>}'
    )
    assert json.loads(filled(text, Form.JSON, name=name)) == {"a": f"x {name} y", "b": name, "n": 1}
    url = filled("https://h/a?b=<cronally.cronjob-name>&c=1", Form.URL, name=name)
    assert url.count("&") == 1
    assert url.isascii()
    assert unquote(url.split("b=")[1].split("&")[0]) == name


def test_fill__is_bounded() -> None:
    with pytest.raises(NotFilled, match="4,096 bytes"):
        filled("<cronally.cronjob-name>" * 100, name="\N{GRINNING FACE}" * 256)
    with pytest.raises(NotFilled, match="time zone"):
        filled("<cronally.scheduled-time>", timezone="Mars/Olympus")


# Any text


_OPTIONS = st.sampled_from(
    ["", " offset=-1d", ' format="%Y"', " start-of=day", " x=1", " offset=", "\n", " ", ' format=\\"%Y\\"']
)
_BITS = st.one_of(
    st.sampled_from(["<", ">", "<cronally.", "<aws.scheduler.", '"', "\\", "%", "<cronally.lt>", "{", "}"]),
    st.builds(lambda name, options: f"<{name}{options}>", st.sampled_from([*NAMES]), _OPTIONS),
    st.text(max_size=5),
)
ANY = st.lists(_BITS, max_size=12).map("".join)


@given(ANY, st.sampled_from([*Form]))
def test_parse__raises_nothing_but_a_complaint(text: str, form: Form) -> None:
    problem, pieces = "", []
    try:
        pieces = parse(text)
    except ValueError as raised:
        problem = str(raised)
    if not pieces:
        assert problem.startswith("holds ")
        assert "placeholder" in problem
        return
    if len(pieces) == 1:
        assert fill(text, form, values()) == text
    form = Form(marks(declared(SnsParameters), {"sns_message": text}).get("sns_message", Form.TEXT))
    assert form == Form.JSON or "<cronally." not in filled(text.replace("<cronally.lt>", ""))
    filled(text, form)


def test_parse__takes_no_longer_for_a_hostile_text() -> None:
    """Not the time but the work: each place is looked at once, and only so far."""
    for hostile in (
        "<cronally." * 26_000,
        "<cronally.a" + " " * 250_000,
        "<" * 262_144,
        '<cronally.a b="' * 17_000,
    ):
        if hostile.startswith("<<"):
            assert parse(hostile) == [hostile]
            continue
        with pytest.raises(ValueError, match="placeholder"):
            parse(hostile)


# Beside the oracle

_UNITS = st.sampled_from(["m", "h", "d", "w", "mo", "y"])
_PARTS = st.lists(st.tuples(st.integers(-40, 40), _UNITS), max_size=4).map(
    lambda parts: [(max(-10, min(count, 10)) if unit == "y" else count, unit) for count, unit in parts]
)
# Not before 1990 and not behind 2170: what lies outside the years is another test's.
_INSTANTS = st.integers(parse_iso("2016-01-01T00:00:00Z"), parse_iso("2140-01-01T00:00:00Z"))
_NEAR_CHANGES = st.builds(
    lambda zone, index, off: max(
        min(
            zones.zone(zone).span_at(min(index, zones.zone(zone).span_count - 1)).start * SECOND + off,
            MAX_INSTANT,
        ),
        parse_iso("2016-01-01T00:00:00Z"),
    ),
    st.sampled_from(ZONES[1:]),
    st.integers(60, 200),
    st.integers(-3 * 3600 * SECOND, 3 * 3600 * SECOND),
)
_CODES = st.sampled_from([code for code in CODES if code != "%:z"])
_FORMATS = st.lists(
    st.one_of(_CODES, st.sampled_from(["-", "T", " ", ":", "/"])), min_size=1, max_size=6
).map(lambda codes: "".join(codes))


@examples(100)
@given(
    st.one_of(_INSTANTS, _NEAR_CHANGES),
    st.sampled_from(ZONES),
    st.sampled_from([None, *STARTS]),
    _PARTS,
)
def test_shift__agrees_with_the_oracle(
    at: int, timezone: str, start_of: str | None, parts: list[Any]
) -> None:
    found = shifted(at, zones.zone(timezone), Shift(start_of, tuple(parts)))
    expected = oracle.at({"scheduled_at": at, "timezone": timezone}, False, start_of, parts)
    assert format_iso(found) == format_iso(from_datetime(expected))


@st.composite
def placeholders(draw: st.DrawFn) -> Piece:
    """A placeholder, in one of the ways to write it, and what the oracle makes of it."""
    name = draw(st.sampled_from(sorted(NAMES)))
    means = NAMES[name].removeprefix("cronally.")
    if means in ("firing-id", "cronjob-id", "cronjob-name", "ack-url"):
        key = means.replace("-", "_")
        return Piece(f"<{name}>", lambda values: str(values[key]))
    if means == "attempt-number":
        return Piece(f"<{name}>", lambda values: str(values["attempt"]), is_number=True)
    if means == "lt":
        return Piece(f"<{name}>", lambda values: "<")
    local = means == "scheduled-local-time"
    if name.startswith("aws") or draw(st.booleans()):
        return Piece(f"<{name}>", lambda values: iso(oracle.at(values, local, None, []), local))
    start_of, parts = draw(st.sampled_from([None, *STARTS])), draw(_PARTS)
    wanted = draw(st.one_of(st.sampled_from(["iso", "unix"]), _FORMATS))
    if "%" not in wanted and wanted not in ("iso", "unix"):
        wanted = f"%Y{wanted}"
    mark = draw(st.sampled_from(["'", '\\"']))
    options = [f" format={mark}{wanted}{mark}"]
    if start_of is not None:
        options.append(f" start-of={start_of}")
    if parts:
        options.append(f" offset={''.join(f'{count:+}{unit}' for count, unit in parts)}")

    def value(values: dict[str, object]) -> str:
        moment = oracle.at(values, local, start_of, parts)
        if wanted == "iso":
            return iso(moment, local)
        if wanted == "unix":
            return str(int(moment.timestamp()))
        # Python's %s is of the machine's zone, %F and %T are not everywhere.
        plain = wanted.replace("%%", "\1").replace("%s", str(int(moment.timestamp())))
        return moment.strftime(plain.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S")).replace("\1", "%")

    return Piece(f"<{name}{''.join(draw(st.permutations(options)))}>", value, is_number=wanted == "unix")


def iso(moment: Any, local: bool) -> str:
    text = str(moment.isoformat())
    return text if local else text.replace("+00:00", "Z")


_PLAIN = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), max_size=8)
_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@examples(100)
@given(
    st.lists(st.one_of(_PLAIN, placeholders()), max_size=8),
    _INSTANTS,
    st.sampled_from(ZONES),
    _NAMES,
    st.integers(1, 200),
)
def test_fill__agrees_with_the_oracle(
    pieces: list[str | Piece], at: int, timezone: str, name: str, attempt: int
) -> None:
    known: dict[str, object] = {
        "firing_id": FIRING,
        "cronjob_id": CRONJOB,
        "cronjob_name": name,
        "scheduled_at": at,
        "attempt": attempt,
        "timezone": timezone,
        "ack_url": ACK_URL,
    }
    by = Values(FIRING, CRONJOB, name, at, attempt, timezone, ack_url=ACK_URL)
    text = "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)
    assert fill(text, Form.TEXT, by) == oracle.as_text(pieces, known)
    assert fill(text, Form.URL, by) == oracle.as_url(pieces, known)
    longer = longest(name, ACK_URL)
    assert len(fill(text, Form.TEXT, by).encode()) <= len(fill(text, Form.TEXT, longer).encode())
    assert len(fill(text, Form.URL, by)) <= len(fill(text, Form.URL, longer))
    # In JSON: inside a string, and as a whole value, beside what the text is otherwise.
    quoted = "".join(json.dumps(piece)[1:-1] if isinstance(piece, str) else piece.text for piece in pieces)
    bare = [piece for piece in pieces if isinstance(piece, Piece)]
    document = '{"in": "' + quoted + '", "bare": [' + ", ".join(piece.text for piece in bare) + "]}"
    marked = marks(declared(SnsParameters), {"sns_message": document})
    assert marked == ({"sns_message": "json"} if bare else {})
    if bare:
        found = json.loads(fill(document, Form.JSON, by))
        assert found == {
            "in": oracle.as_text(pieces, known),
            "bare": [oracle.as_document(piece, known) for piece in bare],
        }


@pytest.mark.parametrize("unit", ["m", "h", "d", "w", "mo", "y"])
@pytest.mark.parametrize("count", [-9999, 9999])
@pytest.mark.parametrize("at", [MIN_INSTANT, MAX_INSTANT])
def test_shift__stays_within_the_years(unit: str, count: int, at: int) -> None:
    for timezone in ZONES:
        found = shifted(at, zones.zone(timezone), Shift("year", ((count, unit),) * 4))
        assert MIN_INSTANT <= found <= MAX_INSTANT


def test_url__what_is_filled_in_can_be_sent() -> None:
    assert quote("a/b c", safe="") == filled("<cronally.cronjob-name>", Form.URL, name="a/b c")


def test_template__is_declared_of_texts_that_are_sent() -> None:
    found = {name for name, one in declared(NewCronjob).items() if one.attribute.template}
    assert found >= {"sns_message", "delivery_http_url"}


def test_fill__without_an_acknowledgement_says_what_is_missing() -> None:
    by = Values(FIRING, CRONJOB, "Reports", 0, 1, "UTC")
    assert asks_for_ack("<cronally.ack-url>")
    assert not asks_for_ack("<cronally.lt>cronally.ack-url>")
    with pytest.raises(NotFilled, match="ack_within"):
        fill("call <cronally.ack-url>", Form.TEXT, by)
