"""Operations in the background: who works on them, how far they come, and how they end, on both databases."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from cronally import errors
from cronally.contract.operations import OperationPage, OperationState
from cronally.contract.reading import Reading
from cronally.contract.writing import to_json
from cronally.engine import janitor
from cronally.instants import DAY, SECOND
from cronally.operations import Caller
from cronally.operations.background import LEASE, Background, Part, Running, Trouble
from cronally.operations.lists import PAGE_BYTES
from cronally.operations.tracking import MAX_KEPT, MAX_RUNNING, Tracking
from cronally.store import Signal, Store, background, open_store
from tests.operations.conftest import sign_up
from tests.operations.tenant import Tenants
from tests.support.factories import NOON, Clock, insert_rows, make_account, uuid_of

pytestmark = pytest.mark.sample

Json = dict[str, Any]


class Counting:
    """An action that goes through so many items, and does what it is told before each part."""

    def __init__(self, items: int = 50, *, before: Callable[[], object] = lambda: None) -> None:
        self.items = items
        self.before = before
        self.parts: list[Running] = []
        self.wait: float | None = None

    async def part(self, running: Running, limit: int) -> Part:
        self.parts.append(running)
        self.before()
        at = int(running.cursor or "0")
        until = min(self.items, at + limit)
        wrong = [Trouble(f"item {number}") for number in range(at, until) if number % 2]
        done = until - at - len(wrong)
        return Part(str(until), done, len(wrong), until == self.items, wrong, self.wait)


@pytest.fixture
def tracking(operations: Tenants) -> Tracking:
    return operations.operations.tracking


async def start(tracking: Tracking, caller: Caller, now: int = NOON, **given: Any) -> str:
    operation, _ = await tracking.start(caller, given.pop("action", "count"), {}, now=now, **given)
    return operation.operation_id


async def show(tracking: Tracking, caller: Caller, operation_id: str) -> Json:
    return to_json(await tracking.get_operation(caller, operation_id))


async def test_step__goes_on_where_it_was_until_the_end(
    store: Store, tracking: Tracking, caller: Caller, clock: Clock
) -> None:
    action = Counting(50)
    runner = Background(store, {"count": action})
    assert await runner.step() is None
    operation_id = await start(tracking, caller, total=50)
    for seconds, cursor, done in ((1, None, 10), (2, "20", 20), (3, "40", 25)):
        clock.now = NOON + seconds * SECOND
        assert await runner.step() == 0
        running = action.parts[-1]
        assert (running.cursor, running.account_id, running.created_by) == (
            cursor,
            caller.account_id,
            caller.api_key,
        )
        shown = await show(tracking, caller, operation_id)
        assert (shown["done"], shown["failed"], shown["total"]) == (done, done, 50)
        assert shown["updated_at"] == f"2026-11-24T12:00:0{seconds}Z"
    assert (shown["state"], shown["finished_at"]) == ("completed", "2026-11-24T12:00:03Z")
    # The first of what went wrong, and no more.
    assert [each["problem"] for each in shown["problems"]] == [f"item {number}" for number in range(1, 40, 2)]
    assert await runner.step() is None


async def test_step__takes_the_one_that_has_waited_longest(
    store: Store, operations: Tenants, tracking: Tracking, caller: Caller, clock: Clock
) -> None:
    other = await sign_up(operations, "other@example.com")
    action = Counting(1000)
    runner = Background(store, {"count": action})
    for number in range(3):
        await start(tracking, caller, NOON + number)
    await start(tracking, other, NOON + 3)
    for number in range(8):
        clock.now = NOON + SECOND + number
        await runner.step()
    accounts = [running.account_id for running in action.parts]
    assert accounts == [*[caller.account_id] * 3, other.account_id] * 2


async def test_step__leaves_what_it_cannot_do_to_a_newer_node(
    store: Store, tracking: Tracking, caller: Caller
) -> None:
    await start(tracking, caller, action="of a newer version")
    assert await Background(store, {"count": Counting()}).step() is None


async def test_step__waits_as_long_as_the_action_says(
    store: Store, tracking: Tracking, caller: Caller, clock: Clock
) -> None:
    action = Counting()
    action.wait = 2.5
    runner = Background(store, {"count": action})
    await start(tracking, caller)
    await runner.step()
    clock.now = NOON + 5 * SECOND // 2 - 1
    assert await runner.step() is None
    clock.forward(1)
    assert await runner.step() == 0


async def test_step__of_an_error_ends_the_operation_and_says_so(
    store: Store, tracking: Tracking, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise KeyError("a secret")

    runner = Background(store, {"count": Counting(before=fail)})
    operation_id = await start(tracking, caller)
    assert await runner.step() == 0
    shown = await show(tracking, caller, operation_id)
    assert (shown["state"], shown["done"]) == ("failed", 0)
    said = "The server failed: KeyError. What is done stays done; the server's log says more."
    assert shown["problems"] == [{"problem": said}]
    assert "an operation failed" in caplog.text


async def test_step__without_a_database_does_the_part_again(
    store: Store, tracking: Tracking, caller: Caller, clock: Clock
) -> None:
    failures = [errors.Unavailable()]

    def fail() -> None:
        if failures:
            raise failures.pop()

    action = Counting(5, before=fail)
    runner = Background(store, {"count": action})
    operation_id = await start(tracking, caller)
    with pytest.raises(errors.Unavailable):
        await runner.step()
    assert await runner.step() is None  # the lease holds on
    clock.forward(LEASE)
    assert await runner.step() == 0
    assert [running.cursor for running in action.parts] == [None, None]
    assert (await show(tracking, caller, operation_id))["state"] == "completed"


async def test_lease__that_was_lost_records_nothing(
    store: Store, tracking: Tracking, caller: Caller, clock: Clock
) -> None:
    operation_id = await start(tracking, caller)
    claim = partial(background.claim_operation, lease=LEASE, actions=["count"])
    slow = await store.transact(partial(claim, now=NOON))
    assert slow is not None
    assert await store.transact(partial(claim, now=NOON + LEASE - 1)) is None
    quick = await store.transact(partial(claim, now=NOON + LEASE))
    assert quick is not None
    assert (slow.lease_no, quick.lease_no) == (1, 2)
    wanted: Mapping[str, Any] = {"failed": 0, "problems": [], "cursor": "x", "free_at": NOON}
    for claimed, recorded in ((slow, False), (quick, True), (quick, True)):
        record = partial(background.record_progress, claimed=claimed, now=NOON, done=7, **wanted)
        state = OperationState.RUNNING
        assert (await store.transact(partial(record, state=state)) is not None) is recorded
    assert (await show(tracking, caller, operation_id))["done"] == 7


async def test_cancel__ends_it_though_somebody_works_on_it(
    store: Store, tracking: Tracking, caller: Caller
) -> None:
    operation_id = await start(tracking, caller)
    claim = partial(background.claim_operation, now=NOON, lease=LEASE, actions=["count"])
    claimed = await store.transact(claim)
    assert claimed is not None
    cancelled = await tracking.cancel_operation(caller, operation_id)
    assert (cancelled.state, cancelled.done) == ("cancelled", 0)
    record = partial(
        background.record_progress,
        claimed=claimed,
        now=NOON,
        state=OperationState.COMPLETED,
        done=1,
        failed=0,
        problems=[],
        cursor=None,
        free_at=NOON,
    )
    assert await store.transact(record) is None
    assert await tracking.get_operation(caller, operation_id) == cancelled
    assert await tracking.cancel_operation(caller, operation_id) == cancelled


async def test_cancel__of_what_has_ended_changes_nothing(
    store: Store, tracking: Tracking, caller: Caller, clock: Clock
) -> None:
    operation_id = await start(tracking, caller)
    await Background(store, {"count": Counting(1)}).step()
    ended = await tracking.get_operation(caller, operation_id)
    clock.forward(SECOND)
    assert await tracking.cancel_operation(caller, operation_id) == ended
    assert ended.state == "completed"


async def test_others__find_nothing(operations: Tenants, tracking: Tracking, caller: Caller) -> None:
    operation_id = await start(tracking, caller)
    other = await sign_up(operations, "other@example.com")
    for asked in (tracking.get_operation, tracking.cancel_operation):
        for unknown in (operation_id, uuid_of("none"), "none"):
            with pytest.raises(errors.NotFound, match="GET /operations/"):
                await asked(other, unknown)
    assert (await tracking.list_operations(other, Reading(OperationPage, {}))).items == []
    assert (await tracking.get_operation(caller, operation_id)).state == "running"


async def test_list__goes_on_at_its_cursor_newest_first(tracking: Tracking, caller: Caller) -> None:
    made = [await start(tracking, caller, NOON + number // 2) for number in range(MAX_RUNNING)]
    whole = await tracking.list_operations(caller, Reading(OperationPage, {}))
    listed = [operation.operation_id for operation in whole.items]
    assert sorted(listed) == sorted(made)
    assert listed[0] == made[-1]
    assert whole.next_cursor is None
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        sent = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = await tracking.list_operations(caller, Reading(OperationPage, sent))
        found += [operation.operation_id for operation in page.items]
        cursor = page.next_cursor
    assert found == listed


async def test_list__ends_a_page_where_it_is_large(store: Store, tracking: Tracking, caller: Caller) -> None:
    problems = json.dumps([{"name": "\U0001f375" * 256, "problem": "x" * 1000}] * 20, ensure_ascii=False)
    rows = [ended(caller.account_id, number, NOON + number) | {"problems": problems} for number in range(30)]
    await insert_rows(store, "operation", rows)
    found: list[str] = []
    sizes, sent = [], dict[str, str]()
    while True:
        page = await tracking.list_operations(caller, Reading(OperationPage, sent))
        found += [operation.operation_id for operation in page.items]
        sizes.append(len(page.items))
        if page.next_cursor is None:
            break
        sent = {"cursor": page.next_cursor}
    assert found == [row["operation_id"] for row in reversed(rows)]
    most = PAGE_BYTES // len(problems.encode())
    assert sizes == [most, most, 30 - 2 * most]


async def test_start__is_bounded(
    store: Store, operations: Tenants, tracking: Tracking, caller: Caller
) -> None:
    made = [await start(tracking, caller) for _ in range(MAX_RUNNING)]
    with pytest.raises(errors.RateLimited, match="has 5 operations that run"):
        await start(tracking, caller)
    await start(tracking, await sign_up(operations, "other@example.com"))
    await tracking.cancel_operation(caller, made[0])
    await start(tracking, caller)


async def test_start__of_accounts_at_once_is_counted(tracking: Tracking, caller: Caller) -> None:
    tried = await asyncio.gather(*[start(tracking, caller) for _ in range(8)], return_exceptions=True)
    assert sum(isinstance(one, str) for one in tried) == MAX_RUNNING
    assert all(isinstance(one, str | errors.RateLimited) for one in tried)


async def test_start__with_the_same_key_is_one(tracking: Tracking, caller: Caller) -> None:
    first = await start(tracking, caller, idempotency_key="once")
    assert await start(tracking, caller, NOON + SECOND, idempotency_key="once") == first
    with pytest.raises(errors.InvalidRequest, match="Idempotency-Key: was used with other parameters"):
        await start(tracking, caller, action="other", idempotency_key="once")


def ended(account_id: str, number: int, finished_at: int) -> Json:
    values = {name: default.default for name, default in background.Operation.__dataclass_fields__.items()}
    return {
        **values,
        "operation_id": uuid_of(f"{account_id[:4]}{number:06}"),
        "account_id": account_id,
        "action": "count",
        "parameters": "{}",
        "created_by": "key",
        "created_at": finished_at,
        "total": None,
        "state": "completed",
        "updated_at": finished_at,
        "finished_at": finished_at,
    }


async def test_start__keeps_the_newest_that_ended(store: Store, tracking: Tracking, caller: Caller) -> None:
    oldest = await start(tracking, caller, NOON - DAY)
    rows = [ended(caller.account_id, number, NOON - MAX_KEPT + number) for number in range(MAX_KEPT)]
    await insert_rows(store, "operation", rows)
    await start(tracking, caller)
    listing = partial(background.list_operations, account_id=caller.account_id, before=None, limit=2000)
    kept = [operation.operation_id for operation in await store.transact(listing)]
    # One that runs is kept, however old it is.
    assert len(kept) == MAX_KEPT + 1
    assert (oldest in kept, rows[0]["operation_id"] in kept, rows[1]["operation_id"] in kept) == (
        True,
        False,
        True,
    )


async def test_janitor__deletes_what_ended_a_week_ago(
    store: Store, tracking: Tracking, caller: Caller, clock: Clock
) -> None:
    running = await start(tracking, caller, NOON - 30 * DAY)
    times = {0: NOON - 7 * DAY - 1, 1: NOON - 7 * DAY, 2: NOON}
    rows = [ended(caller.account_id, number, at) for number, at in times.items()]
    await insert_rows(store, "operation", rows)
    tidy = janitor.Janitor(store, retention=30 * DAY)
    while not await tidy.expire(NOON):
        pass
    page = await tracking.list_operations(caller, Reading(OperationPage, {}))
    left = {operation.operation_id for operation in page.items}
    assert left == {running, rows[1]["operation_id"], rows[2]["operation_id"]}
    assert tidy.done.deleted == 1


async def test_claim__of_two_nodes_at_once_takes_each_operation_once(migrated_postgres_url: str) -> None:
    nodes = [await open_store(migrated_postgres_url) for _ in range(2)]
    try:
        account_id = await make_account(nodes[0])
        running = {"state": "running", "finished_at": None}
        rows = [ended(account_id, number, NOON) | running for number in range(8)]
        await insert_rows(nodes[0], "operation", rows)
        claim = partial(background.claim_operation, now=NOON, lease=LEASE, actions=["count"])
        claimed = await asyncio.gather(*[node.transact(claim) for node in nodes * 4])
        taken = [one.operation_id for one in claimed if one is not None]
        # Who met another's claim looks again.
        while (one := await nodes[1].transact(claim)) is not None:
            taken.append(one.operation_id)
        assert sorted(taken) == sorted(row["operation_id"] for row in rows)
    finally:
        for node in nodes:
            await node.close()


async def test_start__wakes_who_works(store: Store, tracking: Tracking, caller: Caller) -> None:
    woken = store.subscribe(Signal.OPERATIONS)
    await start(tracking, caller)
    async with asyncio.timeout(30):
        await woken.wait()
