"""A request and an answer that do not exist, with an attribute of every type that can be declared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal, TypedDict

from cronally.contract.attribute import Attribute
from cronally.contract.values import Uuid
from cronally.contract.writing import Answer
from cronally.instants import HOUR, MINUTE


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def check_even(number: int) -> int:
    """A check of the value, after the type's own."""
    if number % 2:
        raise ValueError("is odd; give an even number")
    return number


class Imaginary(TypedDict, total=False):
    """A request with a parameter of every type; none is required."""

    text: Annotated[str, Attribute("A text", "a text", min_length=1, max_length=10)]
    whole_number: Annotated[int, Attribute("A number", "a number", minimum=5, maximum=1000)]
    true_or_false: Annotated[bool, Attribute("A truth", "true or false", default=False)]
    instant: Annotated[str | datetime, Attribute("An instant", "an instant")]
    duration: Annotated[
        str | timedelta, Attribute("A duration", "a duration", minimum=MINUTE, maximum=24 * HOUR)
    ]
    list: Annotated[list[str], Attribute("A list", "a list", min_length=1, max_length=3)]
    map: Annotated[dict[str, str], Attribute("A map", "a map", min_length=1, max_length=3)]
    choice: Annotated[Literal["one", "two"], Attribute("One of two", "one or two", default="one")]
    colour: Annotated[Colour, Attribute("A colour", "a colour")]
    numbers: Annotated[
        list[Annotated[int, Attribute("A number", "a number", minimum=1, maximum=9)]],
        Attribute("Numbers", "numbers"),
    ]
    secret: Annotated[str, Attribute("A secret", "a secret", min_length=1, max_bytes=20, secret=True)]
    even: Annotated[int, Attribute("An even number", "a number", check=check_even)]


class Demanding(Imaginary):
    """A request with two parameters that must be there."""

    first: Annotated[str, Attribute("The first", "the first of two")]
    second: Annotated[str, Attribute("The second", "the second of two")]


@dataclass(frozen=True, kw_only=True)
class Part(Answer):
    """An object in an answer."""

    part_id: Uuid
    at: Annotated[datetime, Attribute("When")]


@dataclass(frozen=True, kw_only=True)
class Whole(Answer):
    """An answer with an attribute of every type."""

    name: Annotated[str, Attribute("A name")]
    size: Annotated[int, Attribute("A size", minimum=0)]
    flag: Annotated[bool, Attribute("A truth")]
    colour: Annotated[str | Colour, Attribute("A colour")]
    at: Annotated[datetime | None, Attribute("When")] = None
    left_out: Annotated[datetime | None, Attribute("When, if ever", absent=True)] = None
    note: Annotated[str | None, Attribute("A note")] = None
    words: Annotated[tuple[str, ...], Attribute("Words")] = ()
    notes: Annotated[dict[str, str] | None, Attribute("Notes by name")] = None
    part: Annotated[Part | None, Attribute("A part")] = None
    parts: Annotated[tuple[Part, ...], Attribute("Parts")] = ()
