"""A cron job's policies, read from the JSON that is stored: tolerant of the future, never the end of a tick."""

from __future__ import annotations

import pytest

from cronally.cronjob import CatchUp, Policies, Timing, read_policies
from cronally.instants import DAY


def test_policies__absent_names_have_their_default() -> None:
    assert read_policies("{}") == Policies(None, None, CatchUp.LATEST, DAY)
    assert read_policies('{"dst_overlap":"last","misfire_grace":60000000}') == Policies(
        None, "last", CatchUp.LATEST, 60_000_000
    )


def test_policies__names_that_planning_does_not_know_are_ignored() -> None:
    assert read_policies('{"catch_up":"all","priority":3,"labels":["a"]}') == Policies(catch_up="all")


def test_policies__each_text_is_read_once() -> None:
    text = '{"catch_up":"skip"}'
    assert read_policies(text) is read_policies(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "null", '"dst_gap"', "[" * 100_000),
        *(
            '{"catch_up":null}',
            '{"dst_gap":{}}',
            '{"catch_up":["all"]}',
            '{"dst_gap":{"a":1}}',
            '{"dst_overlap":[1]}',
        ),
        *(
            '{"misfire_grace":"24h"}',
            '{"misfire_grace":1.5}',
            '{"misfire_grace":true}',
            '{"misfire_grace":null}',
        ),
    ],
)
def test_policies__what_cannot_be_read_is_refused_by_every_timetable(text: str) -> None:
    policies = read_policies(text)
    hash(policies)
    for cron in ("* * * * *", "@every 90s"):
        with pytest.raises(ValueError, match="not one of"):
            Timing(cron, "UTC", policies.dst_gap, policies.dst_overlap).timetable("key", 0)
