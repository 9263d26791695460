"""The ledger of alerts: one row an alert, one a channel, once; and a bound for what is sent in a minute."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from cronally.alert import PER_MINUTE, STORM, Affected, Alert, Event, alert_id
from cronally.instants import MINUTE
from cronally.store import Store, alert_deliveries, alerts, channels, tables
from cronally.store.alerts import Wanted
from tests.support.factories import NOON, analyze, explain, insert_rows, make_account, read, uuid_of


async def make_channel(store: Store, account_id: str, name: str, **given: Any) -> str:
    row = {
        "channel_id": uuid_of(f"{account_id}{name}"),
        "account_id": account_id,
        "name": name,
        "kind": "http",
        "parameters": "{}",
        "version": 1,
        "created_at": NOON,
        "updated_at": NOON,
        "updated_by": "key",
        "confirmed_at": NOON,
        **given,
    }
    await insert_rows(store, "channel", [row])
    return str(row["channel_id"])


def make_alert(account_id: str, number: int = 0, **given: Any) -> Alert:
    event = given.pop("event", Event.BEGAN)
    made_at = given.pop("created_at", NOON)
    condition = given.pop("condition", "failure")
    return Alert(
        alert_id=alert_id(account_id, condition, "cronjob", uuid_of("c"), event, NOON, number),
        account_id=account_id,
        condition=condition,
        event=event,
        subject_kind="cronjob",
        subject_id=uuid_of("c"),
        title="Reports failed",
        lines=("HTTP 503", "since noon"),
        affected=(Affected(uuid_of("c"), "Reports"),),
        created_at=made_at,
        **given,
    )


async def deliveries(store: Store, alert_id: str) -> list[tuple[str, str, str | None]]:
    table = tables.alert_delivery
    found = select(table.c.name, table.c.state, table.c.reason).where(table.c.alert_id == alert_id)
    return [tuple(row) for row in await read(store, found.order_by(table.c.name))]


async def test_insert_alert__writes_it_and_a_row_a_channel_once(store: Store) -> None:
    mine, other = await make_account(store), await make_account(store)
    ids = [await make_channel(store, mine, name) for name in ("a", "b")]
    foreign = await make_channel(store, other, "c")
    made = make_alert(mine)
    insert = partial(alerts.insert_alert, alert=made, channel_ids=[*ids, ids[0], foreign, uuid_of("gone")])
    for _ in range(2):
        await store.transact(insert)
    await store.transact(partial(alerts.insert_alert, alert=made, channel_ids=[]))
    assert await deliveries(store, made.alert_id) == [("a", "pending", None), ("b", "pending", None)]
    rows = await read(store, select(*alerts.COLUMNS))
    assert [alerts.read_alert(row) for row in rows] == [made]


async def test_insert_alert__without_channels_stands_in_the_ledger_alone(store: Store) -> None:
    made = make_alert(await make_account(store))
    await store.transact(partial(alerts.insert_alert, alert=made, channel_ids=[]))
    assert await deliveries(store, made.alert_id) == []
    assert len(await read(store, select(tables.alert.c.alert_id))) == 1


async def test_insert_alert__skips_a_channel_whose_address_nobody_has_confirmed(store: Store) -> None:
    mine = await make_account(store)
    channel = await make_channel(store, mine, "mail", kind="email", confirmed_at=None)
    made = make_alert(mine)
    await store.transact(partial(alerts.insert_alert, alert=made, channel_ids=[channel]))
    assert await deliveries(store, made.alert_id) == [("mail", "skipped", "not_confirmed")]


async def test_insert_alert__a_storm_is_cut_with_one_alert_that_says_so(store: Store) -> None:
    mine, other = await make_account(store), await make_account(store)
    first, second = [await make_channel(store, mine, name) for name in ("a", "b")]

    async def insert(number: int, channel: str, **given: Any) -> list[tuple[str, str, str | None]]:
        made = make_alert(mine, number, **given)
        await store.transact(partial(alerts.insert_alert, alert=made, channel_ids=[channel]))
        return await deliveries(store, made.alert_id)

    # What tests channels, and what goes nowhere, counts for nothing.
    await insert(900, first, event=Event.TEST)
    await store.transact(partial(alerts.insert_alert, alert=make_alert(mine, 901), channel_ids=[]))
    for number in range(PER_MINUTE):
        assert await insert(number, first) == [("a", "pending", None)]
    for number in range(PER_MINUTE, PER_MINUTE + 3):
        assert await insert(number, first) == [("a", "skipped", "storm")]
    assert await insert(100, second) == [("b", "skipped", "storm")]
    (storm,) = await read(store, select(tables.alert.c.alert_id).where(tables.alert.c.condition == STORM))
    assert await deliveries(store, storm[0]) == [("a", "pending", None), ("b", "pending", None)]
    # Neither another account nor the next minute.
    theirs = await make_channel(store, other, "a")
    made = make_alert(other)
    await store.transact(partial(alerts.insert_alert, alert=made, channel_ids=[theirs]))
    assert await deliveries(store, made.alert_id) == [("a", "pending", None)]
    assert await insert(101, first, created_at=NOON + MINUTE) == [("a", "pending", None)]


@pytest.fixture
async def crowd(store: Store) -> str:
    """Many accounts with alerts, most of them sent, so that a database sees what an index is for; one of them."""
    for _ in range(20):
        account_id = await make_account(store)
        channel = await make_channel(store, account_id, "a", token_digest=account_id, token_until=NOON)
        made = [make_alert(account_id, number, created_at=NOON + number) for number in range(100)]
        rows = [
            {
                **{
                    name: getattr(one, name)
                    for name in ("alert_id", "account_id", "condition", "subject_kind")
                },
                "event": "began",
                "subject_id": "x",
                "title": "t",
                "lines": "[]",
                "affected": "[]",
                "affected_total": 0,
                "created_at": one.created_at,
                "counted_at": one.created_at,
            }
            for one in made
        ]
        await insert_rows(store, "alert", rows)
        sent: dict[str, Any] = {"channel_id": channel, "account_id": account_id, "kind": "http", "name": "a"}
        sent |= {"attempts": 1, "lost_leases": 0, "lease_no": 1, "created_at": NOON}
        done = {"state": "delivered", "due_at": None, "finished_at": NOON}
        due = {"state": "pending", "due_at": NOON, "finished_at": None}
        deliveries_of = [
            {**sent, **(due if number < 3 else done), "alert_id": one.alert_id}
            for number, one in enumerate(made)
        ]
        await insert_rows(store, "alert_delivery", deliveries_of)
    await analyze(store)
    return account_id


async def test_verbs__read_by_an_index(store: Store, crowd: str) -> None:
    alert = make_alert(crowd, 1000, created_at=NOON + MINUTE)
    (page,) = [await store.transact(lambda c: alerts.list_alerts(c, crowd, Wanted(), None, 5))]
    ids = [one.alert_id for one in page]
    claim = partial(
        alert_deliveries.claim, now=NOON, until=NOON, after="", mail=False, places=8, per_account=4, busy={}
    )
    works: list[partial[Any]] = [
        partial(alerts.insert_alert, alert=alert, channel_ids=[uuid_of(f"{crowd}a")]),
        partial(alerts.list_alerts, account_id=crowd, wanted=Wanted(), after=(NOON + 50, ids[0]), limit=5),
        partial(alerts.list_alerts, account_id=crowd, wanted=Wanted(state="failed"), after=None, limit=5),
        partial(alerts.get_alert, account_id=crowd, alert_id=ids[0]),
        partial(alerts.count_tests, account_id=crowd, since=NOON, limit=5),
        partial(alerts.delete_alerts, account_id=crowd, before=NOON, limit=5),
        partial(alert_deliveries.list_deliveries, account_id=crowd, alert_ids=ids),
        partial(channels.confirm, digest="x", now=NOON),
        partial(channels.get_channel, account_id=crowd, meant="a"),
        claim,
    ]
    for work in works:
        for plan in await explain(store, work):
            lines = [line.strip() for line in plan.splitlines()]
            scans = [line for line in lines if line.startswith("SCAN alert") and "INDEX" not in line]
            assert not scans + [line for line in lines if "Seq Scan on alert" in line], plan
