"""What a manual firing sends of its own, and how many there may be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cronally import errors
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.operations import Caller
from cronally.operations.quotas import MAX_OPEN_RUNS, MAX_OPEN_RUNS_OF_ACCOUNT, MAX_RUNS
from cronally.store import Store
from cronally.targets.target import Target
from tests.operations.parameters import HTTP, SNS
from tests.operations.receivers import server, targets
from tests.operations.runs import OWN, deliver, job, messages
from tests.operations.tenant import Json, Tenants
from tests.support.factories import (
    CANARY,
    NOON,
    Clock,
    firing_values,
    insert_rows,
    make_cronjob,
    read_firings,
)
from tests.support.scripted import ScriptedServer, answer

__all__ = ["job", "server", "targets"]


# A message of its own


async def test_message__is_sent_sealed_and_erased(
    operations: Tenants, caller: Caller, job: Json, store: Store, targets: dict[str, Target], server: ScriptedServer,
    clock: Clock,
) -> None:  # fmt: skip
    server.script.append(answer(503, "busy"))
    await operations.run_cronjob(caller.account_id, job["cronjob_id"], {"sns_message": OWN})
    await deliver(store, targets)
    (row,) = await read_firings(store)
    assert (row.state, row.attempt, await messages(store)) == ("pending", 1, 1), "it is sent again"
    clock.now = row.due_at
    await deliver(store, targets)
    await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    await deliver(store, targets)
    sent = [request.form()["Message"] for request in server.requests]
    assert sent == [OWN, OWN, SNS["sns_message"]]
    assert await messages(store) == 0


@pytest.mark.parametrize("ending", ["refused", "too old", "deleted"])
async def test_message__is_erased_however_the_firing_ends(
    operations: Tenants, caller: Caller, job: Json, store: Store, targets: dict[str, Target], server: ScriptedServer,
    clock: Clock, ending: str,
) -> None:  # fmt: skip
    await operations.run_cronjob(caller.account_id, job["cronjob_id"], {"sns_message": OWN})
    assert await messages(store) == 1
    if ending == "refused":
        server.otherwise = answer(400, "<Error><Code>InvalidParameter</Code><Message>no</Message></Error>")
    elif ending == "too old":
        clock.forward(DAY + SECOND)
    else:
        await operations.delete_cronjob(caller.account_id, job["cronjob_id"])
    await deliver(store, targets)
    (row,) = await read_firings(store)
    assert row.finished_at is not None
    assert row.state == {"refused": "failed", "too old": "missed", "deleted": "skipped"}[ending]
    assert await messages(store) == 0


async def test_message__of_a_cron_job_with_another_target_by_now_is_left_out(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
) -> None:
    await operations.run_cronjob(caller.account_id, job["cronjob_id"], {"sns_message": OWN})
    hook = {**HTTP, "delivery_http_url": f"{server.url}/in"}
    await operations.update_cronjob(caller.account_id, job["cronjob_id"], hook)
    await deliver(store, targets)
    (request,) = server.requests
    assert CANARY.encode() not in request.body
    assert await messages(store) == 0


# How many


async def test_many__in_a_burst_and_then_as_often_as_it_could_fire(
    operations: Tenants, caller: Caller, job: Json, store: Store, clock: Clock, targets: dict[str, Target]
) -> None:
    for number in range(MAX_RUNS):
        ahead = {"at": "1h"} if number % 2 else {}
        await operations.run_cronjob(caller.account_id, job["cronjob_id"], ahead)
    with pytest.raises(errors.RateLimited) as caught:
        await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    assert caught.value.retry_after == MAX_RUNS * MINUTE // SECOND + 1
    clock.forward(HOUR + SECOND)
    await deliver(store, targets)
    for _ in range(MAX_RUNS // 2):
        await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    with pytest.raises(errors.RateLimited):
        await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    assert len(await read_firings(store)) == MAX_RUNS * 3 // 2


@pytest.mark.parametrize(("most", "of_one"), [(MAX_OPEN_RUNS, True), (MAX_OPEN_RUNS_OF_ACCOUNT, False)])
async def test_many__open_ones_are_bounded(
    operations: Tenants, caller: Caller, job: Json, store: Store, most: int, of_one: bool
) -> None:
    holder = job if of_one else await make_cronjob(store, caller.account_id)
    rows = [
        firing_values(
            holder | {"account_id": caller.account_id}, scheduled_at=NOON - DAY + number, kind="manual"
        )
        for number in range(most)
    ]
    await insert_rows(store, "firing", rows[1:])
    await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    with pytest.raises(errors.Forbidden, match=f"{most:,} manual firings that are not finished"):
        await operations.run_cronjob(caller.account_id, job["cronjob_id"])


async def test_many__messages_count_as_the_cron_jobs_do(
    operations: Tenants, caller: Caller, job: Json, store: Store, targets: dict[str, Target]
) -> None:
    limits = operations.operations.limits
    limits.servers = replace(limits.servers, max_bytes=10_000)
    # Percent-encoded, as it is held while it is sent.
    large = {"sns_message": "\N{SNOWMAN}" * 1000}
    await operations.run_cronjob(caller.account_id, job["cronjob_id"], large)
    with pytest.raises(errors.Forbidden):
        await operations.run_cronjob(caller.account_id, job["cronjob_id"], large)
    assert (len(await read_firings(store)), await messages(store)) == (1, 1)
    await deliver(store, targets)
    await operations.run_cronjob(caller.account_id, job["cronjob_id"], large)
