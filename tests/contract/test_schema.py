"""The JSON Schema of a declaration, held to what reads and writes it: a validator of JSON Schema and the contract agree
on what a request may hold, and every answer fits its schema."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cronally.contract import accounts, cronjob_requests, cronjobs, firings, listing, schedules, service
from cronally.contract.attribute import declared
from cronally.contract.reading import Parameters, Reading
from cronally.contract.schema import answer_schema, attribute_schema, request_schema
from cronally.contract.writing import to_json
from tests.contract.imaginary import Colour, Demanding, Imaginary, Part, Whole
from tests.contract.test_writing import WHOLES

VALIDATOR = Draft202012Validator(request_schema(Imaginary))
WHOLE = Draft202012Validator(
    {**answer_schema(Whole), "components": {"schemas": {"Part": answer_schema(Part)}}}
)

# What the schema says completely, with values of its own type: beside these a schema cannot say all that is checked.
COMPLETE = {
    "text": st.text(max_size=12),
    "whole_number": st.integers(-10, 1010),
    "true_or_false": st.booleans(),
    "list": st.lists(st.text(min_size=1, max_size=3), max_size=5),
    "map": st.dictionaries(st.text(min_size=1, max_size=3), st.text(max_size=3), max_size=5),
    "choice": st.sampled_from(["one", "two", "three", "ONE"]),
    "colour": st.sampled_from(["red", "blue", "green"]),
    "numbers": st.lists(st.integers(-1, 11), max_size=5),
}
OTHERS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
DURATIONS = st.from_regex(r"\A[0-9]{0,11}[smhdw]?\Z")


def accepts(sent: dict[str, Any]) -> bool:
    return not Reading(Imaginary, Parameters(sent)).complaints


@given(st.fixed_dictionaries({}, optional=COMPLETE))
def test_request__validator_and_reading_agree(sent: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(sent) == accepts(sent)


@given(
    st.sampled_from([*COMPLETE]),
    OTHERS | st.lists(OTHERS, max_size=3) | st.dictionaries(st.text(max_size=3), OTHERS),
)
def test_request__values_of_another_type(name: str, sent: Any) -> None:
    if VALIDATOR.is_valid({name: sent}):
        whole = sent if isinstance(sent, list) else [sent]
        if not any(isinstance(part, float) for part in whole):  # JSON Schema takes 6.0 for a whole number
            assert accepts({name: sent})
    elif accepts({name: sent}):
        # The text that a form would send is read too, and the schema describes the value alone.
        assert isinstance(sent, str) or (
            name == "numbers" and all(isinstance(each, int | str) for each in sent)
        )


@given(DURATIONS)
def test_request__a_duration_that_is_read_fits_the_schema(text: str) -> None:
    if accepts({"duration": text}):
        assert VALIDATOR.is_valid({"duration": text})


def test_request__names_that_are_unknown_or_missing() -> None:
    assert not VALIDATOR.is_valid({"unknown": "x"})
    demanding = Draft202012Validator(request_schema(Demanding))
    assert demanding.is_valid({"first": "a", "second": "b"})
    assert not demanding.is_valid({"first": "a"})


def test_request__defaults_are_of_new_things_alone() -> None:
    assert request_schema(Imaginary)["properties"]["choice"]["default"] == "one"
    assert request_schema(Imaginary)["properties"]["true_or_false"]["default"] is False
    assert "default" not in json.dumps(request_schema(Imaginary, defaults=False))


def test_secret__is_a_password() -> None:
    assert attribute_schema(declared(Imaginary)["secret"])["format"] == "password"


@given(WHOLES, st.sampled_from(Colour))
def test_answer__fits_its_schema(whole: Whole, colour: Colour) -> None:
    whole = replace(whole, colour=colour)
    WHOLE.validate(json.loads(json.dumps(to_json(whole))))


def test_answer__the_schema_refuses_what_is_no_answer() -> None:
    good = json.loads(json.dumps(to_json(Whole(name="n", size=1, flag=False, colour="red"))))
    WHOLE.validate(good)
    assert not WHOLE.is_valid({**good, "more": 1})
    assert not WHOLE.is_valid({**good, "name": None})
    assert not WHOLE.is_valid({**good, "size": "1"})
    assert not WHOLE.is_valid({**good, "left_out": None})
    for name in good:
        assert not WHOLE.is_valid({key: value for key, value in good.items() if key != name}), name


def test_schemas__of_the_contract_are_valid() -> None:
    requests = [
        accounts.Signup,
        cronjob_requests.NewCronjob,
        cronjob_requests.CronjobChange,
        listing.CronjobPage,
    ]
    requests += [firings.FiringQuery, schedules.ExpressionPreview, schedules.Window, schedules.Question]
    for kind in requests:
        Draft202012Validator.check_schema(request_schema(kind))
    for answer in (accounts.Account, cronjobs.Cronjob, firings.Firing, schedules.Explanation, service.Error):
        Draft202012Validator.check_schema(answer_schema(answer))


def test_schemas__every_attribute_of_a_request_says_what_it_is() -> None:
    for kind in (
        accounts.Signup,
        cronjob_requests.NewCronjob,
        firings.FiringQuery,
        schedules.ExpressionPreview,
    ):
        for name, one in declared(kind).items():
            assert one.attribute.description, name
            assert one.attribute.expected or one.choices, name
