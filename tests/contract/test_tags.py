"""Tags as they are sent: in a form, a query and JSON; what is none is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.contract.cronjob_requests import CronjobChange, CronjobQuery
from cronally.contract.reading import Parameters, Reading, Repeated
from cronally.contract.tags import MAX_TAGS, check_tags, check_wanted

LETTERS = "azAZ09_.:/-"
keys = st.text(LETTERS, min_size=1, max_size=64)
values = st.text(LETTERS, min_size=1, max_size=128)
tags = keys | st.builds("{}={}".format, keys, values)


def read(value: Any) -> Reading[CronjobChange]:
    return Reading(CronjobChange, Parameters({"tags": value}))


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (["web", "env=prod"], ["env=prod", "web"]),
        ("web,env=prod", ["env=prod", "web"]),
        (Repeated(["web", "env=prod"]), ["env=prod", "web"]),
        (Repeated(["web, b", "a"]), ["a", "b", "web"]),
        ("A,a", ["A", "a"]),
        ([], []),
        ("", []),
        ([f"t{number}" for number in range(MAX_TAGS)], sorted(f"t{number}" for number in range(MAX_TAGS))),
        (f"{'k' * 64}={'v' * 128}", [f"{'k' * 64}={'v' * 128}"]),
    ],
)
def test_tags__every_form_of_a_list(sent: Any, found: list[str]) -> None:
    reading = read(sent)
    assert not reading.complaints
    assert reading.values["tags"] == found


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (Repeated(["", ""]), "is missing or empty"),
        ("a b", "holds what is no tag"),
        ("env=", "holds what is no tag"),
        ("=prod", "holds what is no tag"),
        ("env=*", "holds what is no tag"),
        ("a=b=c", "holds what is no tag"),
        ("ü", "holds what is no tag"),
        (['a"'], "holds what is no tag"),
        (["a\n"], "holds what is no tag"),
        ("k" * 65, "holds what is no tag"),
        (f"k={'v' * 129}", "holds what is no tag"),
        ("a,a", "holds a word or a key more than once"),
        ("env=a,env=b", "holds a word or a key more than once"),
        ("env,env=b", "holds a word or a key more than once"),
        ([f"t{number}" for number in range(MAX_TAGS + 1)], "has 21 items; give 20 at most"),
        ("," * 1000, "has more than 20 items"),
        ([""], "is missing or empty"),
        ([1], "is a number"),
        ({"a": "b"}, "is an object"),
        (None, "is null"),
        (7, "is a number"),
    ],
)
def test_tags__what_is_none_is_refused(sent: Any, complaint: str) -> None:
    reading = read(sent)
    assert reading.complaints["tags"].startswith(complaint)
    assert "tags" not in reading.values


def test_tag__is_another_name_of_tags_unless_both_are_sent() -> None:
    assert Reading(CronjobChange, {"tag": "a"}).values == {"tags": ["a"]}
    assert "tag" in Reading(CronjobChange, {"tag": "a", "tags": "b"}).complaints


@given(st.lists(tags, max_size=20, unique_by=lambda tag: tag.partition("=")[0]))
def test_tags__come_back_sorted_and_can_be_asked_for(found: list[str]) -> None:
    assert check_tags(found) == sorted(found)
    assert check_tags(",".join(found).split(",") if found else []) == sorted(found)
    assert check_wanted(found) == sorted(found)


@pytest.mark.parametrize("wanted", ["a", "a=b", "a=*", "a/b:c=*"])
def test_wanted__a_tag_or_any_value_of_a_key(wanted: str) -> None:
    assert Reading(CronjobQuery, {"tag": wanted}).values == {"tag": [wanted]}


@pytest.mark.parametrize("wanted", ["*", "=*", "a*", "a=b*", "a=**", "", ",", 'a"', "a=%"])
def test_wanted__no_other_pattern(wanted: str) -> None:
    assert "tag" in Reading(CronjobQuery, {"tag": wanted}).complaints


def test_fields__are_names_of_keys_and_the_id() -> None:
    reading = Reading(CronjobQuery, {"fields": "name, state"})
    assert reading.values["fields"] == {"name", "state", "cronjob_id"}
    complaint = Reading(CronjobQuery, {"fields": "name,canary"}).complaints["fields"]
    assert complaint.startswith("holds what is no key of the answer; there are account_id, cronjob_id, name,")
    assert "canary" not in complaint
