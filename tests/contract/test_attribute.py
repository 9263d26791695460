"""How the declarations are read: names in their order, types without their wrapping, choices, items."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, TypedDict

import pytest

from cronally.contract.attribute import Attribute, declared
from cronally.contract.writing import Answer
from tests.contract.imaginary import Colour, Demanding, Imaginary, Whole


def test_declared__names_in_the_order_of_their_declaration() -> None:
    assert [*declared(Imaginary)] == [*Imaginary.__annotations__]
    assert [*declared(Whole)] == [name for name in Whole.__annotations__ if name != "extra"]


def test_declared__what_is_inherited_is_there() -> None:
    assert set(declared(Demanding)) == {*declared(Imaginary), "first", "second"}


def test_declared__what_must_be_there() -> None:
    assert {name for name, one in declared(Demanding).items() if one.required} == {"first", "second"}
    assert not any(one.required for one in declared(Imaginary).values())


def test_declared__the_last_alternative_is_the_type() -> None:
    assert declared(Imaginary)["instant"].type is datetime
    assert declared(Imaginary)["duration"].type is timedelta
    assert declared(Whole)["colour"].type is Colour


def test_declared__null_is_no_type() -> None:
    at = declared(Whole)["at"]
    assert (at.type, at.nullable) == (datetime, True)
    assert not declared(Whole)["name"].nullable


Inner = Annotated[str, Attribute("inner")]


class Outer(TypedDict):
    a: Annotated[Inner, Attribute("outer")]
    b: Inner


def test_declared__the_outermost_attribute_holds() -> None:
    assert [one.attribute.description for one in declared(Outer).values()] == ["outer", "inner"]


def test_choices__of_literals_and_enums() -> None:
    assert declared(Imaginary)["choice"].choices == ("one", "two")
    assert declared(Imaginary)["colour"].choices == ("red", "blue")
    assert declared(Imaginary)["text"].choices == ()


def test_item__of_a_list_has_its_own_attribute_or_the_description_of_the_list() -> None:
    numbers, words = declared(Imaginary)["numbers"].item, declared(Imaginary)["list"].item
    assert numbers is not None
    assert words is not None
    assert (numbers.type, numbers.attribute.maximum) == (int, 9)
    assert (words.type, words.attribute.description) == (str, "A list")
    assert declared(Imaginary)["map"].item is None


def test_is_text__says_what_stands_in_quotes() -> None:
    texts = {name for name, one in declared(Imaginary).items() if one.is_text}
    assert texts == {"text", "instant", "duration", "choice", "colour", "secret"}


@dataclass(frozen=True, kw_only=True)
class Undeclared(Answer):
    """An answer that holds an answer without saying what it is."""

    whole: Whole


def test_declared__an_object_without_an_attribute_is_a_defect() -> None:
    with pytest.raises(TypeError, match=r"Undeclared.whole has no Attribute"):
        declared(Undeclared)
