"""What a receiver answered, from its socket to the account that asks: and whatever it does, every firing ends."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import func, select

from cronally.engine.scheduler import Scheduler
from cronally.instants import HOUR, SECOND, parse_iso
from cronally.operations import Caller
from cronally.store import Store, tables, upkeep
from cronally.targets import connection
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.target import Target
from tests.operations.conftest import sign_up
from tests.operations.parameters import HTTP
from tests.operations.receivers import server
from tests.operations.runs import check_ended, deliver, deliver_all
from tests.operations.tenant import Json, Tenants
from tests.support import scripted
from tests.support.factories import CANARY, Clock, read
from tests.support.scripted import ScriptedServer, Step, answer, raw, then_cut

__all__ = ["server"]


@pytest.fixture
async def targets(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, Target]]:
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.1)
    targets = build_targets(egress=Egress(["127.0.0.0/8"]), keep_internal=True, total_timeout=1.0)
    yield targets
    for target in targets.values():
        await target.close()


@pytest.fixture
async def job(operations: Tenants, caller: Caller, server: ScriptedServer) -> Json:
    hook = {**HTTP, "delivery_http_url": f"{server.url}/in", "retry_max_attempts": "2"}
    return await operations.create_cronjob(caller.account_id, hook)


async def count(store: Store) -> int:
    return int((await read(store, select(func.count()).select_from(tables.answer)))[0][0])


async def fired(
    operations: Tenants, caller: Caller, job: Json, store: Store, targets: dict[str, Target], clock: Clock
) -> Json:
    """A firing that was asked for and tried, with its attempts."""
    await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    await deliver(store, targets)
    page = await operations.list_firings_of_cronjob(
        caller.account_id, job["cronjob_id"], {"attempts": "true"}
    )
    return page.items[0]


async def test_answer__is_shown_with_the_attempt_to_its_account_alone(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    server.script.append(answer(410, f"gone {CANARY} ☕", X_Id="7"))
    firing = await fired(operations, caller, job, store, targets, clock)
    (attempt,) = firing["attempts"]
    found = attempt["answer"]
    assert (attempt["outcome"], found["status"], found["cut"]) == ("refused", 410, False)
    assert (found["body"], found["encoding"]) == (f"gone {CANARY} ☕", "utf-8")
    assert found["headers"]["x-id"] == "7"
    assert found["first_byte_ms"] <= found["whole_ms"]
    assert "left_out" not in found
    rows = await read(store, select(tables.answer))
    assert CANARY.encode() not in rows[0].secret, "sealed"
    other = await sign_up(operations, "other@example.com")
    assert not (await operations.list_firings(other.account_id, {"attempts": "true"})).items


async def test_answer__of_a_delivery_only_where_the_cron_job_says_always(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    firing = await fired(operations, caller, job, store, targets, clock)
    assert "answer" not in firing["attempts"][0]
    assert await count(store) == 0
    keep = {"delivery_http_keep_answer": "always"}
    await operations.update_cronjob(caller.account_id, job["cronjob_id"], keep)
    clock.forward(SECOND)
    server.script.append(answer(200, b"\xff\x00"))
    firing = await fired(operations, caller, job, store, targets, clock)
    found = firing["attempts"][-1]["answer"]
    assert (found["status"], found["body"], found["encoding"]) == (200, "/wA=", "base64")
    await operations.update_cronjob(
        caller.account_id, job["cronjob_id"], {"delivery_http_keep_answer": "never"}
    )
    clock.forward(SECOND)
    server.script.append(answer(500, "no"))
    firing = await fired(operations, caller, job, store, targets, clock)
    assert (firing["state"], await count(store)) == ("pending", 1)


async def test_answers__go_with_retention_and_with_the_cron_job(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    server.otherwise = answer(410, "gone")
    for _ in range(2):
        await fired(operations, caller, job, store, targets, clock)
        clock.forward(HOUR)
    assert await count(store) == 2
    before = clock.now - HOUR
    assert await store.transact(
        partial(upkeep.delete_firings, account_id=caller.account_id, before=before, limit=9)
    )
    assert await count(store) == 1
    await operations.delete_cronjob(caller.account_id, job["cronjob_id"])
    assert await count(store) == 0


async def test_answer__to_what_was_under_way_is_not_kept_of_a_deleted_cron_job(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
) -> None:
    async def delete(writer: asyncio.StreamWriter) -> None:
        await operations.delete_cronjob(caller.account_id, job["cronjob_id"])
        await answer(503, "too late")(writer)

    server.script.append(delete)
    await operations.run_cronjob(caller.account_id, job["cronjob_id"])
    await deliver(store, targets)
    assert len(server.requests) == 1
    assert await count(store) == 0


async def test_answer__stands_in_the_explanation(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
) -> None:
    server.script.append(answer(503, "busy"))
    clock.now = parse_iso(job["next_fire_at"])
    await Scheduler(store).tick(clock.now)
    await deliver(store, targets)
    explained = await operations.explain_cronjob(
        caller.account_id, job["cronjob_id"], {"at": job["next_fire_at"]}
    )
    (attempt,) = explained["firing"]["attempts"]
    assert (attempt["answer"]["status"], attempt["answer"]["body"]) == (503, "busy")


FAULTS: list[Step] = [
    answer(200, "ok"),
    answer(302, "moved", Location="http://127.0.0.1:1/"),
    answer(404, "not yet"),
    answer(409, "again"),
    answer(429, "slowly", Retry_After="5"),
    answer(503, "x" * 100_000),
    scripted.cut,
    scripted.reset,
    scripted.hang,
    scripted.trickle(b"HTTP/1.1 500 No\r\n\r\n"),
    scripted.trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
    raw(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nnonsense"),
    raw(b"\x16\x03\x01" * 50),
    then_cut(answer(200, "ok")),
]


@pytest.mark.sample(2)
@pytest.mark.parametrize("seed", range(4))
async def test_receiver__whatever_it_does_every_firing_ends_with_a_reason(
    operations: Tenants,
    caller: Caller,
    job: Json,
    store: Store,
    targets: dict[str, Target],
    server: ScriptedServer,
    clock: Clock,
    seed: int,
) -> None:
    chance, asked = random.Random(seed), 6
    keep = {"delivery_http_keep_answer": chance.choice(("failures", "always"))}
    await operations.update_cronjob(caller.account_id, job["cronjob_id"], keep)
    server.script.extend(chance.choices(FAULTS, k=3 * asked))
    for _ in range(asked):
        await operations.run_cronjob(caller.account_id, job["cronjob_id"])
        clock.forward(SECOND)
    await deliver_all(store, targets, clock, 12)
    await check_ended(store, asked)
    assert asked <= len(server.requests) <= 3 * asked
    page = await operations.list_firings_of_cronjob(
        caller.account_id, job["cronjob_id"], {"attempts": "true"}
    )
    assert len(json.dumps(page.items)) < 3 * asked * 120_000
