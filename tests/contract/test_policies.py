"""How a policy of every type is stored and shown, by the imaginary request and by the policies that there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest

from cronally import cron
from cronally.contract import stored_policies as policies
from cronally.contract.attribute import Attribute, declared
from cronally.contract.cronjob_requests import NewCronjob
from cronally.contract.cronjobs import Cronjob
from cronally.contract.listing import CronjobFilters, CronjobPage
from cronally.contract.policies import Policies
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import default_policies, shown_policies, stored_policies, stored_value
from cronally.contract.writing import Answer, to_json
from cronally.cronjob import CatchUp, read_policies
from cronally.instants import DAY
from tests.contract.imaginary import Imaginary

SENT = {
    "text": "default",
    "whole_number": 7,
    "true_or_false": "true",
    "instant": "2026-11-24T08:00:00Z",
    "duration": "15m",
    "list": ["a", "b"],
    "map": {"name": "value"},
    "choice": "two",
    "colour": "blue",
    "numbers": [1, 2],
    "secret": "s",
    "even": 4,
}
SHOWN = {**SENT, "true_or_false": True, "instant": datetime(2026, 11, 24, 8, tzinfo=UTC)}


@pytest.fixture
def imaginary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the parameters of the imaginary request were the policies of a cron job."""
    shown_policies.cache_clear()
    monkeypatch.setattr(policies, "Policies", Imaginary)
    yield
    shown_policies.cache_clear()


def test_shown__what_was_sent_of_every_type(imaginary: None) -> None:
    assert SENT.keys() == declared(Imaginary).keys()
    reading = Reading(Imaginary, SENT)
    assert not reading.complaints
    stored = {name: stored_value(name, value) for name, value in reading.values.items()}
    assert shown_policies(json.dumps(stored)) == SHOWN


def test_shown__defaults_where_nothing_was_sent(imaginary: None) -> None:
    # What has no default is left out, so that the answer's own default holds.
    assert shown_policies("{}") == {"true_or_false": False, "choice": "one"}


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize("value", [{}, [], "x", 0.5, 7, None, True, 10**30, -1])
def test_stored__a_value_of_another_type_is_the_default(imaginary: None, name: str, value: Any) -> None:
    found = stored_policies(json.dumps({name: value}))[name]
    assert found == value or found == default_policies()[name]
    shown_policies(json.dumps({name: value}))


@dataclass(frozen=True, kw_only=True)
class When(Answer):
    instant: Annotated[datetime | None, Attribute("When")] = None


def test_json__of_an_instant(imaginary: None) -> None:
    shown = shown_policies(json.dumps({"instant": 1_795_507_200_000_000}))
    assert to_json(When(instant=shown["instant"])) == {"instant": "2026-11-24T08:00:00Z"}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000])
def test_stored__a_text_that_is_no_object_has_the_defaults(text: str) -> None:
    assert stored_policies(text) == default_policies()


@pytest.mark.parametrize("stored", [{"misfire_grace": "x"}, {"catch_up": 5}, {"dst_gap": ["skip"]}])
def test_shown__what_the_scheduler_sets_aside(stored: dict[str, Any]) -> None:
    text = json.dumps(stored)
    assert read_policies(text).dst_gap == text
    assert shown_policies(text) == shown_policies("{}")


def test_stored_value__default_only_where_the_policy_has_it() -> None:
    assert stored_value("dst_gap", "default") is None
    assert stored_value("dst_gap", "skip") == "skip"
    assert stored_value("catch_up", "default") == "default"


def test_stored_value__a_list_without_items_is_none() -> None:
    assert stored_value("exclude", []) is None
    assert stored_value("exclude", ["holidays"]) == ["holidays"]


def test_defaults__are_those_of_planning() -> None:
    assert default_policies().items() >= read_policies("{}")._asdict().items()
    assert default_policies() == {
        "dst_gap": None,
        "dst_overlap": None,
        "catch_up": CatchUp.LATEST,
        "misfire_grace": DAY,
        "max_age": DAY,
        "retry_max_attempts": 185,
        "ordered": False,
        "after_completion": "keep",
        "overlap": "allow",
        "window": 0,
        "starts_at": None,
        "ends_at": None,
        "max_firings": None,
        "exclude": None,
        "retry_schedule": "exponential",
        "max_in_flight": None,
        "max_per_second": None,
        "dead_letter": None,
        "ack_within": 0,
        "ack_retry": 0,
        "min_duration": 0,
        "pause_after": None,
    }


def test_policies__are_in_requests_and_answers() -> None:
    assert declared(Policies).keys() <= declared(NewCronjob).keys() & declared(Cronjob).keys()


def test_filters__are_policies_without_a_default() -> None:
    others = {"name", "name_prefix", "id_prefix", "state", "health", "tag", "delivery_type", "connection"}
    others |= {"next_fire_from", "next_fire_until"}
    assert declared(CronjobFilters).keys() <= declared(Policies).keys() | others
    assert all(one.attribute.default is None for one in declared(CronjobPage).values())


def test_expression__has_the_limit_of_the_parser() -> None:
    one = declared(NewCronjob)["cron"].item
    assert one is not None
    assert one.attribute.max_length == cron.MAX_LENGTH


@pytest.mark.parametrize("name", ["dst_gap", "dst_overlap", "catch_up"])
def test_choices__are_those_of_the_enum(name: str) -> None:
    from cronally.clock.dst import DstGap, DstOverlap

    enum: Any = {"dst_gap": DstGap, "dst_overlap": DstOverlap, "catch_up": CatchUp}[name]
    assert set(declared(Policies)[name].choices) - {"default"} == set(enum)
