"""The circuit of an SNS host: when an account leaves it alone, and what never opens it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from cronally.engine.admission import Admission, Limits
from cronally.engine.circuits import THRESHOLD
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import Reason
from cronally.store import Store
from cronally.store.claims import Claim
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered, Outcome, Refused, Reply, Retry, Unauthorized
from tests.support.factories import (
    NOON,
    Clock,
    Monotonic,
    account_values,
    cronjob_values,
    firing_values,
    insert_rows,
    name_of,
    read_firings,
    vault,
)
from tests.support.scripted import ScriptedServer, answer


def claim_of(job: dict[str, Any]) -> Claim:
    """A firing of a cron job under lease."""
    return Claim(
        job["cronjob_id"], NOON, "scheduled", job["account_id"], 1, 1, 0, NOON, "active",
        1, "name", job["target"], job["destination"], job["secret"], job["size"],
    )  # fmt: skip


def sns_job(account: str, number: int, region: str = "us-east-1") -> dict[str, Any]:
    """A cron job with a topic of its own."""
    public = {
        "sns_topic": f"arn:aws:sns:{region}:123456789012:topic-{number}",
        "sns_message": "text",
        "sns_region": region,
        "sns_access_key_id": "AKIA0000000000000000",
    }
    return cronjob_values(
        account,
        cronjob_id=f"{account}-{number}",
        target="sns",
        next_fire_at=None,
        destination=json.dumps(public),
        secret={"sns_secret_access_key": "secret"},
    )


async def test_circuit__of_an_sns_host_that_cannot_be_connected_to(
    store: Store, clock: Clock, monotonic: Monotonic
) -> None:
    """It is one for all topics of an account; another account finds out for itself."""
    async with ScriptedServer(answer(200)) as gone:
        pass
    sns = SnsTarget(endpoint=gone.url)
    dispatcher = Dispatcher(store, vault(), {"sns": sns}, Limits(), chance=lambda: 0.5, monotonic=monotonic)

    async def owe(account: str, numbers: range) -> None:
        jobs = [sns_job(account, number) for number in numbers]
        await insert_rows(store, "cronjob", jobs)
        await insert_rows(store, "firing", [firing_values(job, due_at=clock.now) for job in jobs])

    async def work() -> Counter[tuple[str, str | None]]:
        busy = True
        while busy:
            busy = await dispatcher.step() == 0.0
            await dispatcher.settled()
        return Counter((name_of(row.account_id), row.reason) for row in await read_firings(store))

    await insert_rows(store, "account", [account_values("a"), account_values("b")])
    await owe("a", range(THRESHOLD))
    assert await work() == {("a", "target_unavailable"): THRESHOLD}
    assert dispatcher.admission.circuits.open_count == 1
    await owe("a", range(THRESHOLD, THRESHOLD + 5))
    await owe("b", range(3))
    assert await work() == {
        ("a", "target_unavailable"): THRESHOLD,
        ("a", "circuit_open"): 5,
        ("b", "target_unavailable"): 3,
    }
    assert {row.attempt for row in await read_firings(store) if row.reason == "circuit_open"} == {0}
    await sns.close()


@pytest.mark.parametrize(
    "outcome",
    [Unauthorized("InvalidClientTokenId"), Refused("NotFound"), Retry("Throttling"), Delivered("1")],
)
async def test_circuit__of_aws_is_not_opened_by_any_answer(outcome: Outcome) -> None:
    sns = SnsTarget()
    admission = Admission({"sns": sns}, Limits())
    for number in range(3 * THRESHOLD):
        job = sns_job("a", number)
        one = claim_of(job)
        assert admission.admit(one) is None
        admission.learn(one, 0.1, outcome)
        admission.leave(one)
    assert admission.circuits.open_count == 0
    await sns.close()


async def test_circuit__of_aws_is_that_of_one_region_and_any_answer_closes_it(monotonic: Monotonic) -> None:
    sns = SnsTarget()
    admission = Admission({"sns": sns}, Limits(), monotonic=monotonic)
    for number in range(THRESHOLD):
        one = claim_of(sns_job("a", number))
        assert admission.admit(one) is None
        admission.learn(one, 0.1, Retry("not sent: connection refused", reply=Reply.SILENT))
        admission.leave(one)
    wait = admission.admit(claim_of(sns_job("a", 98)))
    assert wait is not None
    assert wait.reason is Reason.CIRCUIT_OPEN
    assert admission.admit(claim_of(sns_job("a", 99, "eu-west-1"))) is None
    assert admission.admit(claim_of(sns_job("b", 98))) is None
    monotonic.now += 1.0
    probe = claim_of(sns_job("a", 97))
    assert admission.admit(probe) is None
    assert admission.admit(claim_of(sns_job("a", 98))) is not None, "one tries, and the others wait"
    admission.learn(probe, 0.1, Unauthorized("InvalidClientTokenId"))
    assert admission.admit(claim_of(sns_job("a", 98))) is None
    await sns.close()
