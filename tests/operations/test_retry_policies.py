"""Retry schedules and the statuses that a cron job chooses: taken, refused, shown, changed, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from cronally import errors
from cronally.operations import Caller
from tests.operations.parameters import HTTP, SNS
from tests.operations.tenant import Tenants

pytestmark = pytest.mark.sample

RETRY, REFUSED = "delivery_http_retry_statuses", "delivery_http_refused_statuses"


@pytest.mark.parametrize(
    ("sent", "shown", "retries"),
    [
        (
            {},
            "exponential",
            "up to 185 more attempts in 24 h: each at a moment by chance within 2 s, 4 s, 8 s, ...",
        ),
        (
            {"retry_schedule": "10s,1m"},
            ["10s", "1m"],
            "up to 185 more attempts in 24 h: after 10 s, 1 min, then",
        ),
        (
            {"retry_schedule": ["60s"]},
            ["1m"],
            "up to 185 more attempts in 24 h: after 1 min, then every 1 min",
        ),
        (
            {"retry_schedule": "2h", "max_age": "1h"},
            ["2h"],
            "none: the first would come after 2 h, when it is older",
        ),
        ({"retry_schedule": "1h", "retry_max_attempts": 0}, ["1h"], "none: there is one attempt"),
    ],
)
async def test_schedule__is_taken_and_said_in_words(
    operations: Tenants, caller: Caller, sent: dict[str, Any], shown: Any, retries: str
) -> None:
    made = await operations.create_cronjob(caller.account_id, {**SNS, **sent})
    found = await operations.get_cronjob(caller.account_id, made["cronjob_id"])
    for answer in (made, found):
        assert answer["retry_schedule"] == shown
        assert answer["retries"].startswith(retries)


@pytest.mark.parametrize(
    "wrong",
    [
        {"retry_schedule": ""},
        {"retry_schedule": "default"},
        {"retry_schedule": "0s"},
        {"retry_schedule": "25h"},
        {"retry_schedule": ",".join(["1s"] * 51)},
        {"retry_schedule": ["1s"] * 51},
        {"retry_schedule": ["1s" * 1000]},
        {"retry_schedule": 10},
        {"retry_schedule": [10]},
        {RETRY: "2xx"},
        {RETRY: "600"},
        {REFUSED: "4xx,nonsense"},
        {REFUSED: ["404"] * 51},
        {REFUSED: [404]},
    ],
)
async def test_create__refuses(operations: Tenants, caller: Caller, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**HTTP, **wrong})
    assert caught.value.fields.keys() == wrong.keys()


async def test_change__of_schedule_and_statuses(operations: Tenants, caller: Caller) -> None:
    sent = {**HTTP, "retry_schedule": "10s", RETRY: "410,500-599", REFUSED: ["404"]}
    made = await operations.create_cronjob(caller.account_id, sent)
    assert (made[RETRY], made[REFUSED]) == (["410", "5xx"], ["404"])

    async def change(**parameters: Any) -> dict[str, Any]:
        return await operations.update_cronjob(caller.account_id, made["cronjob_id"], parameters)

    changed = await change(retry_schedule="exponential", **{REFUSED: ""})
    assert (changed["retry_schedule"], changed[RETRY]) == ("exponential", ["410", "5xx"])
    assert REFUSED not in changed
    changed = await change(name="other")
    assert (changed["retry_schedule"], changed[RETRY]) == ("exponential", ["410", "5xx"])
    with pytest.raises(errors.InvalidRequest) as caught:
        await change(**{REFUSED: "5xx"})
    assert caught.value.fields == {
        REFUSED: "holds 500, which delivery_http_retry_statuses holds too; leave it out of one of them"
    }


async def test_statuses__are_of_http_alone(operations: Tenants, caller: Caller) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.create_cronjob(caller.account_id, {**SNS, RETRY: "5xx"})
    assert caught.value.fields[RETRY].startswith("belongs to delivery_type=http")
