"""Headers, bodies and their types: what is taken can be sent, and what looks secret is not taken."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cronally.contract.cronjob_requests import CronjobChange, NewCronjob
from cronally.contract.firings import MESSAGES, ManualFiring
from cronally.contract.http_requests import (
    MAX_CONTENT_TYPE,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    check_content_type,
    check_headers,
    check_success,
)
from cronally.contract.reading import Reading, Repeated
from tests.support.factories import CANARY

HEADERS = "delivery_http_headers"


def complaint_about(headers: dict[str, str]) -> str:
    try:
        check_headers(headers)
    except ValueError as problem:
        return str(problem)
    raise AssertionError("taken")


@pytest.mark.parametrize(
    "sent",
    [
        {HEADERS: {"X-Team": "a, b", "Accept": "text/csv"}},
        {HEADERS: Repeated(["X-Team: a, b", "accept:text/csv "])},
        {"header": Repeated(["Accept:text/csv", "X-Team :a, b"])},
    ],
)
def test_headers__as_an_object_or_repeated(sent: dict[str, Any]) -> None:
    reading = Reading(CronjobChange, sent)
    assert not reading.complaints
    found = reading.values[HEADERS]
    assert {name.lower(): value for name, value in found.items()} == {"accept": "text/csv", "x-team": "a, b"}
    assert [name.lower() for name in found] == ["accept", "x-team"], "sorted, whatever the order"


@pytest.mark.parametrize("sent", ["", {}])
def test_headers__are_taken_away_by_nothing(sent: Any) -> None:
    assert Reading(CronjobChange, {HEADERS: sent}).values == {HEADERS: {}}


@pytest.mark.parametrize("name", ["delivery_http_body", "delivery_http_content_type"])
def test_text__is_taken_away_by_an_empty_one(name: str) -> None:
    assert Reading(CronjobChange, {name: ""}).values == {name: ""}
    assert Reading(CronjobChange, {"sns_message": ""}).complaints.keys() == {"sns_message"}


RESERVED = [
    *("Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer", "Expect"),
    *("Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Cronally-Attempt", "Cronally-Anything"),
    *("webhook-id", "webhook-signature", "Idempotency-Key", "User-Agent", "Accept-Encoding", "Content-Type"),
]


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("spell", [str, str.lower, str.upper])
def test_headers__reserved_ones_are_refused_with_a_reason(name: str, spell: Any) -> None:
    complaint = complaint_about({"Accept": "x", spell(name): "1"})
    assert "which cannot be chosen: " in complaint
    assert name.partition("-")[0].lower() in complaint.lower()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Authorization", "anything"),
        ("X-Api-Key", CANARY),
        ("X-Auth-Token", CANARY),
        ("Cookie", f"a={CANARY}"),
        ("X-Hub-Signature", CANARY),
        ("X-Plain", f"Bearer {CANARY}"),
        ("X-Plain", f'{{"password": "{CANARY}"}}'),
        ("X-Plain", f"https://user:{CANARY}@example.com/"),
        ("X-Plain", f"https%3A%2F%2Fexample.com%2F%3Ftoken%3D{CANARY}"),
        ("X-Plain", f"ghp_{CANARY}"),
    ],
)
def test_headers__what_looks_secret_belongs_into_a_connection(name: str, value: str) -> None:
    complaint = complaint_about({"Accept": "text/csv", name: value})
    assert "looks like a secret, in its entry 2" in complaint
    assert "connection" in complaint
    assert CANARY not in complaint
    assert name not in complaint


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"": "a"}, "has a name, in its entry 1, that is none"),
        ({"A B": "a"}, "has a name, in its entry 1, that is none"),
        ({"A:": "a"}, "has a name, in its entry 1, that is none"),
        ({"Ä": "a"}, "has a name, in its entry 1, that is none"),
        ({"A\r\nB": "a"}, "has a name, in its entry 1, that is none"),
        ({"A": "a\r\nB: c"}, "has a value, in its entry 1, with control"),
        ({"A": "a\tb"}, "has a value, in its entry 1, with control"),
        ({"A": "ä"}, "characters outside ASCII"),
        ({"A": "\x7f"}, "has a value, in its entry 1, with control"),
        ({"a": "1", "A": "2"}, "holds a name more than once"),
        ({"A": "x" * MAX_HEADER_BYTES}, f"has {MAX_HEADER_BYTES + 5:,} bytes as it is sent"),
        ({"A": "b=" * 129, "C": "d:" * 128}, "too many = : and %"),
    ],
)
def test_headers__what_cannot_be_sent(headers: dict[str, str], expected: str) -> None:
    assert expected in complaint_about(headers)


def test_headers__so_many_and_no_more() -> None:
    most = {f"X-{number}": "" for number in range(MAX_HEADERS)}
    assert Reading(NewCronjob, {HEADERS: most}).values[HEADERS] == most
    more = Reading(NewCronjob, {HEADERS: {**most, "Y": ""}}).complaints[HEADERS]
    assert more == f"has {MAX_HEADERS + 1} items; give {MAX_HEADERS} at most"
    assert check_headers({"A": "x" * (MAX_HEADER_BYTES - 5)})


PLAIN = "".join(chr(code) for code in range(32, 127))


@given(
    st.dictionaries(
        st.text(string.ascii_letters + string.digits + "-_.!~:/ ä\r\n", max_size=12),
        st.text(PLAIN + "\t\n\rä", max_size=30),
        max_size=5,
    )
)
@example({"X": " edges "})
def test_headers__what_is_taken_is_one_line_each(headers: dict[str, str]) -> None:
    """An independent reading of the lines that would be sent finds the headers that were given, and no others."""
    try:
        taken = check_headers(headers)
    except ValueError:
        return
    lines = "".join(f"{name}: {value}\r\n" for name, value in taken.items())
    found = [line.split(":", 1) for line in lines.split("\r\n")[:-1]]
    assert {name: value.strip(" ") for name, value in found} == {n: v.strip() for n, v in headers.items()}
    assert lines.isascii()
    assert len(lines) <= MAX_HEADER_BYTES
    assert len({name.lower() for name in taken}) == len(taken)


@pytest.mark.parametrize(
    "text",
    [
        "application/json",
        "application/vnd.api+json;version=2",
        "text/plain; charset=utf-8",
        'text/plain; charset="UTF-8"',
        'multipart/form-data; boundary="a b"',
    ],
)
def test_content_type__that_can_be_sent(text: str) -> None:
    assert check_content_type(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("json", "is no media type"),
        ("application/json\r\nX: y", "is no media type"),
        ("a/b;c", "is no media type"),
        ("a/b" * MAX_CONTENT_TYPE, "is no media type"),
        ("text/plain; charset=latin-1", "has another charset"),
        ("a/" + "b" * MAX_CONTENT_TYPE, "is no media type"),
    ],
)
def test_content_type__that_cannot(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        check_content_type(text)


def test_message__a_firing_may_have_a_body_of_its_own() -> None:
    assert {"sns_message", "delivery_http_body"} == MESSAGES
    assert Reading(ManualFiring, {"delivery_http_body": "x"}).values == {"delivery_http_body": "x"}


def test_success__is_of_answers_that_may_deliver() -> None:
    assert check_success(["200", "201-204", "3xx"]) == ["200-204", "3xx"]
    for text in ("199", "1xx"):
        with pytest.raises(ValueError, match="goes beyond 200 to 599"):
            check_success([text])
