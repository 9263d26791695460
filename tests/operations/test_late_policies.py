"""The policies that bound how late, how often and in what order: taken, refused, shown, changed, explained."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from cronally import errors
from cronally.instants import MINUTE, parse_iso
from cronally.operations import Caller
from cronally.store import Store, tables
from tests.operations.explained import Explained
from tests.operations.parameters import HTTP, SNS
from tests.operations.tenant import Tenants
from tests.support.factories import NOON, Clock, make_firing, read_cronjob, read_firings

pytestmark = pytest.mark.sample


@pytest.fixture
def explained(operations: Tenants, caller: Caller, store: Store, clock: Clock) -> Explained:
    return Explained(operations, caller, store, clock)


FIFO = {**SNS, "sns_topic": "arn:aws:sns:eu-west-1:123456789012:reports.fifo"}
DEFAULTS = {"max_age": "24h", "retry_max_attempts": 185, "ordered": False}


async def create(operations: Tenants, caller: Caller, sent: dict[str, Any]) -> dict[str, Any]:
    return await operations.create_cronjob(caller.account_id, sent)


def late(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in DEFAULTS}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({}, {}),
        ({"max_age": "1m"}, {"max_age": "1m"}),
        ({"max_age": "7d"}, {"max_age": "7d"}),
        ({"retry_max_attempts": "0"}, {"retry_max_attempts": 0}),
        ({"retry_max_attempts": 185}, {"retry_max_attempts": 185}),
        ({"ordered": "true"}, {"ordered": True}),
        ({"ordered": True}, {"ordered": True}),
    ],
)
async def test_create__takes_and_shows(
    operations: Tenants, caller: Caller, sent: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert late(await create(operations, caller, {**SNS, **sent})) == {**DEFAULTS, **shown}


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_age": "59s"},
        {"max_age": "169h"},
        {"max_age": ""},
        {"max_age": "-1h"},
        {"retry_max_attempts": "-1"},
        {"retry_max_attempts": "186"},
        {"retry_max_attempts": "1.5"},
        {"retry_max_attempts": "9" * 5000},
        {"ordered": "maybe"},
        {"ordered": "1"},
    ],
)
async def test_create__refuses(operations: Tenants, caller: Caller, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await create(operations, caller, {**SNS, **wrong})
    assert caught.value.fields.keys() == wrong.keys()


async def test_row_without_them__has_the_defaults(operations: Tenants, caller: Caller, store: Store) -> None:
    made = await create(operations, caller, SNS)
    await store.transact(
        lambda connection: connection.execute(update(tables.cronjob).values(policies="{}")) and None
    )
    assert late(await operations.get_cronjob(caller.account_id, made["cronjob_id"])) == DEFAULTS


# FIFO topics


async def test_fifo__is_ordered_without_a_word(operations: Tenants, caller: Caller, store: Store) -> None:
    made = await create(operations, caller, FIFO)
    assert made["ordered"] is True
    assert '"ordered":false' in (await read_cronjob(store, made["cronjob_id"])).policies


async def test_fifo__refuses_to_be_out_of_order(operations: Tenants, caller: Caller) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        await create(operations, caller, {**FIFO, "ordered": "false"})
    assert caught.value.fields["ordered"].startswith("cannot be false on a FIFO topic")


@pytest.mark.parametrize(
    ("first", "change", "ordered"),
    [
        (FIFO, {"ordered": "false"}, None),
        (SNS, {"ordered": "false", "sns_topic": FIFO["sns_topic"]}, None),
        (SNS, {"sns_topic": FIFO["sns_topic"]}, True),
        ({**SNS, "ordered": "false"}, {"sns_topic": FIFO["sns_topic"]}, True),
        (FIFO, {"sns_topic": SNS["sns_topic"]}, False),
        (FIFO, {"sns_topic": SNS["sns_topic"], "ordered": "false"}, False),
        (FIFO, {"sns_topic": SNS["sns_topic"], "ordered": "true"}, True),
        ({**HTTP, "ordered": "true"}, {"ordered": "false"}, False),
        (FIFO, {"ordered": "true"}, True),
        (FIFO, {"name": "x"}, True),
    ],
)
async def test_change__of_topic_and_order(
    operations: Tenants, caller: Caller, first: dict[str, Any], change: dict[str, Any], ordered: bool | None
) -> None:
    made = await create(operations, caller, first)
    if ordered is None:
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.update_cronjob(caller.account_id, made["cronjob_id"], change)
        assert caught.value.fields.keys() == {"ordered"}
    else:
        changed = await operations.update_cronjob(caller.account_id, made["cronjob_id"], change)
        assert changed["ordered"] is ordered
        assert changed["next_fire_at"] == made["next_fire_at"], "it has nothing to do with when it fires"


@pytest.mark.parametrize("change", [{"ordered": "false"}, {"name": "x"}, {"max_age": "2h"}])
async def test_change__no_longer_ordered_lets_what_waits_go(
    operations: Tenants, caller: Caller, store: Store, change: dict[str, str]
) -> None:
    made = await create(operations, caller, {**SNS, "ordered": "true"})
    job = {"cronjob_id": made["cronjob_id"], "account_id": caller.account_id}
    tried = {"attempt": 1, "lease_no": 1, "reason": "target_unavailable"}
    await make_firing(store, job, scheduled_at=NOON - 2 * MINUTE, due_at=NOON + MINUTE, **tried)
    await make_firing(store, job, scheduled_at=NOON - MINUTE, due_at=NOON + MINUTE, reason="earlier_firing")
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], change)
    first, second = await read_firings(store, made["cronjob_id"])
    assert first.due_at == NOON + MINUTE
    assert second.due_at == (NOON - MINUTE if "ordered" in change else NOON + MINUTE)


# What `why` says


def _set(connection: Connection, at: int, failed: dict[str, Any] | None, **values: Any) -> None:
    table = tables.firing
    connection.execute(update(table).where(table.c.scheduled_at == at).values(**values))
    if failed is not None:
        (row,) = connection.execute(select(table).where(table.c.scheduled_at == at)).mappings()
        key = {name: row[name] for name in ("cronjob_id", "scheduled_at", "kind")}
        made = {"lease_no": 1, "attempt": 1, "started_at": at, "duration": 1, "version": 1}
        connection.execute(insert(tables.attempt).values({**key, **made, **failed}))


BUSY = {"outcome": "retry", "reason": "target_unavailable", "detail": "HTTP 503"}


@pytest.mark.parametrize(
    ("values", "failed", "sentence"),
    [
        (
            {"state": "pending", "reason": "earlier_firing"},
            None,
            "Owed: it waits for its first attempt because the firing of 2026-11-24T12:00:00Z is not finished."
            " It is looked at again from 2026-11-24T12:02:00Z on.",
        ),
        (
            {"state": "failed", "reason": "max_age", "attempt": 3, "lease_no": 3},
            BUSY,
            "Failed after 3 attempts: it was older than max_age allows; the last attempt ended with 'HTTP 503'.",
        ),
        (
            {"state": "failed", "reason": "max_age", "lease_no": 9},
            None,
            "Failed after 0 attempts: it was older than max_age allows.",
        ),
        (
            {"state": "missed", "reason": "misfire_grace", "lease_no": 9},
            None,
            "Missed: it waited for its first attempt until 2026-11-24T13:00:00Z; by then it was older than"
            " misfire_grace allows.",
        ),
        (
            {"state": "pending", "reason": "repeated", "attempt": 2, "lease_no": 2},
            {"outcome": "repeated", "reason": "repeated", "detail": "HTTP 409: it knows this firing"},
            "Not delivered yet: 2 attempts failed, the last one with 'HTTP 409: it knows this firing'; the next one"
            " comes from 2026-11-24T12:02:00Z on.",
        ),
        (
            {"state": "failed", "reason": "retry_max_attempts", "attempt": 2, "lease_no": 3},
            BUSY,
            "Failed after 2 attempts: retry_max_attempts allows no further attempt; the last attempt ended with"
            " 'HTTP 503'.",
        ),
    ],
)
async def test_explain__says_what_ended_or_holds_it(
    explained: Explained,
    store: Store,
    values: dict[str, Any],
    failed: dict[str, Any] | None,
    sentence: str,
) -> None:
    await explained.create("* * * * *", "2026-11-24T11:59:30Z", ordered="true")
    await explained.awake("2026-11-24T12:01:00Z")
    at = parse_iso("2026-11-24T12:01:00Z")
    done = values["state"] not in ("pending", "sending")
    times = {
        "due_at": None if done else at + MINUTE,
        "finished_at": parse_iso("2026-11-24T13:00:00Z") if done else None,
    }
    await store.transact(lambda connection: _set(connection, at, failed, **values, **times))
    answer = await explained.ask("2026-11-24T12:01:00Z")
    assert (answer["finding"], answer["reason"]) == (values["state"], values["reason"])
    assert answer["sentence"] == sentence
