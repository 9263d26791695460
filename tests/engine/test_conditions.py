"""What accounts are told of what happens to their cron jobs: each beginning and each end once, and storms at once."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from cronally.acknowledgement import Ack, Acknowledgement
from cronally.alert import Event
from cronally.condition import APART, LOOKED
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.store import Store, acknowledgements, happenings, outages, tables
from cronally.store.acknowledgements import Change
from cronally.store.happenings import Happening, What
from tests.engine.alerting import BEGAN, ENDED, world
from tests.support.factories import NOON, Clock, insert_rows, make_account, make_cronjob, read


async def test_failure__is_told_once_and_its_end_once(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    channel = await here.channel("mail")
    await here.rule(on_failure=True)
    job = await here.job("Reports")
    await here.fail(job)
    await here.fail(job)
    (began,) = await here.settle()
    assert (began.title, began.subject_kind, began.subject_id) == ("Cron job Reports fails", "cronjob", job)
    assert json.loads(began.affected) == [[job, "Reports"]]
    (line,) = json.loads(began.lines)
    assert line.startswith("Reports: failed 2 in a row, since 2026-11-24T12:00:01Z; target_refused")
    await here.fail(job)
    assert await here.said() == [("failing", BEGAN)]
    await here.deliver(job)
    await here.deliver(job)
    _, ended = await here.settle()
    assert (ended.event, ended.title) == (ENDED, "Cron job Reports is well again")
    assert await here.standing() == await here.happenings() == []
    sent = await read(store, select(tables.alert_delivery.c.channel_id))
    assert [row.channel_id for row in sent] == [channel, channel]


async def test_failure__without_a_rule_is_noted_nowhere(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.fail(await here.job("Reports"))
    assert await here.happenings() == []


async def test_failure__and_its_end_before_anything_was_told_are_told_both(
    store: Store, clock: Clock
) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True)
    job = await here.job("Reports")
    await here.fail(job)
    await here.deliver(job)
    assert await here.said() == [("failing", BEGAN), ("failing", ENDED)]


async def test_failure__that_comes_back_before_its_end_was_told_goes_on(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True)
    job = await here.job("Reports")
    await here.fail(job)
    await here.settle()
    await here.deliver(job)
    await here.settle(0)
    await here.fail(job)
    assert await here.said() == [("failing", BEGAN)]
    await here.deliver(job)
    assert await here.said() == [("failing", BEGAN), ("failing", ENDED)]


async def test_after_failures__tells_from_so_many_in_a_row_on(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(after_failures=3, on_recovery=False)
    job = await here.job("Reports")
    for _ in range(2):
        await here.fail(job)
    await here.deliver(job)
    for _ in range(2):
        await here.fail(job)
    assert await here.said() == []
    await here.fail(job)
    assert await here.said() == [("failing", BEGAN)]
    await here.deliver(job)
    assert await here.said() == [("failing", BEGAN)]
    assert await here.standing() == []


async def test_rules__the_most_specific_one_that_says_anything_decides(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    account, tagged, own = await here.channel("account"), await here.channel("tag"), await here.channel("own")
    await here.rule(on_failure=True, on_late=5 * MINUTE, channels=[account])
    await here.rule("team=*", on_failure=True, channels=[tagged])
    jobs = [await here.job("Any"), await here.job("Tagged", tags='["team=web"]')]
    jobs += [await here.job("Own", tags='["team=web"]'), await here.job("Silent", tags='["team=web"]')]
    await here.rule(jobs[2], after_failures=1, channels=[own])
    await here.rule(jobs[3], on_failure=False)
    await here.fail(*jobs)
    await here.deliver(jobs[3], late=6 * MINUTE)
    alerts = {one.alert_id: one.title for one in await here.settle()}
    sent = await read(store, select(tables.alert_delivery.c.alert_id, tables.alert_delivery.c.channel_id))
    assert sorted((alerts[row.alert_id], row.channel_id) for row in sent) == sorted(
        [
            ("Cron job Any fails", account),
            ("Cron job Own fails", own),
            ("Cron job Silent is late", account),
            ("Cron job Tagged fails", tagged),
        ]
    )


async def test_late__by_more_than_the_rule_says(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_late=5 * MINUTE)
    job = await here.job("Reports")
    await here.deliver(job, late=4 * MINUTE)
    assert await here.said() == []
    await here.deliver(job, late=6 * MINUTE)
    assert await here.said() == [("late", BEGAN)]
    await here.fail(job)
    assert await here.said() == [("late", BEGAN)]
    await here.deliver(job, late=2 * MINUTE)
    assert await here.said() == [("late", BEGAN), ("late", ENDED)]


async def test_storm__of_one_host_is_one_alert_that_lists_it(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True)
    jobs = [await here.job(f"Job {number:03}", host="hooks.example.com") for number in range(120)]
    jobs.append(await here.job("Elsewhere", host="other.example.com"))
    await here.fail(*jobs)
    storm, other = sorted(await here.settle(), key=lambda one: -one.affected_total)
    assert storm.title == "120 cron jobs fail: what is sent to hooks.example.com"
    assert (storm.subject_kind, storm.subject_id) == ("host", "hooks.example.com")
    assert (storm.affected_total, len(json.loads(storm.affected))) == (120, 50)
    assert json.loads(storm.lines)[-1] == "And 100 more."
    assert other.title == "Cron job Elsewhere fails"
    await here.deliver(*jobs)
    assert sorted(one.title for one in await here.settle() if one.event == ENDED) == [
        "120 cron jobs are well again: what is sent to hooks.example.com",
        "Cron job Elsewhere is well again",
    ]
    assert await here.standing() == []


async def test_storm__that_goes_on_is_told_of_in_turns(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True)
    jobs = [await here.job(f"Job {number}", host="hooks.example.com") for number in range(6)]
    for job in jobs:
        await here.fail(job)
        await here.settle(20 * SECOND)
    assert [one.affected_total for one in await here.alerts()] == [1]
    assert [one.affected_total for one in await here.settle(APART)] == [1, 5]


async def test_quiet_hours__are_waited_for_and_what_ends_in_them_is_not_told(
    store: Store, clock: Clock
) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True, quiet_hours="12:00-14:30", timezone="UTC")
    stays, ends = await here.job("Stays", host="a.example.com"), await here.job("Ends", host="b.example.com")
    await here.fail(stays, ends)
    await here.settle(MINUTE)
    await here.deliver(ends)
    assert await here.said(HOUR) == []
    assert await here.said(HOUR) == []
    (began,) = await here.settle(HOUR)
    assert (began.title, began.created_at) == ("Cron job Stays fails", clock.now)


async def test_reminder__for_as_long_as_it_stands(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True, remind_every=HOUR)
    job = await here.job("Reports")
    await here.fail(job)
    await here.settle()
    await here.settle(HOUR - SECOND)
    assert [one.event for one in await here.settle(SECOND)] == [BEGAN, "reminder"]
    last = (await here.settle(HOUR))[-1]
    assert last.title == "Still: Cron job Reports fails"
    await here.deliver(job)
    assert [one.event for one in await here.settle(DAY)] == [BEGAN, "reminder", "reminder", ENDED]


async def test_missed__until_something_is_delivered(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_missed=True)
    job = await here.job("Reports", misfire_grace=MINUTE)
    await here.fire(job, late=10 * MINUTE)
    (began,) = await here.settle()
    assert (began.condition, began.title) == ("missed", "Cron job Reports missed fire times")
    assert await here.said(LOOKED) == [("missed", BEGAN)]
    await here.deliver(job)
    await here.settle(LOOKED)
    assert await here.said() == [("missed", BEGAN), ("missed", ENDED)]


@pytest.mark.parametrize(
    ("condition", "ack", "title"),
    [
        ("overdue", Ack.OVERDUE, "Cron job Reports was not acknowledged in time"),
        ("ack_failed", Ack.FAILED, "Cron job Reports failed, its receiver says"),
    ],
)
async def test_acknowledgement__until_one_is_acknowledged(
    store: Store, clock: Clock, condition: str, ack: Ack, title: str
) -> None:
    here = await world(store, clock)
    settings: dict[str, Any] = {f"on_{condition}": True}
    await here.rule(**settings)
    job = await here.job("Reports")

    async def becomes(ack: Ack) -> None:
        clock.forward(SECOND)
        at = clock.now
        waiting = Acknowledgement(deadline_at=at)
        after = replace(waiting, ack=ack, deadline_at=None, ended_at=at, overdue_at=at)
        change = Change((job, at, "scheduled"), here.account, waiting, after)
        await store.transact(partial(acknowledgements.write, changes=[change]))

    await becomes(ack)
    await becomes(ack)
    (began,) = await here.settle()
    assert (began.condition, began.title) == (condition, title)
    assert await here.said(LOOKED) == [(condition, BEGAN)]
    await becomes(Ack.ACKNOWLEDGED)
    await here.settle(LOOKED)
    assert await here.said() == [(condition, BEGAN), (condition, ENDED)]


async def test_outage__is_told_with_what_was_missed(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_missed=True)
    other = await make_account(store)
    await here.rule(account=other, on_missed=True)
    jobs = [await here.job(f"Job {number}", host=f"{number}.example.com") for number in range(3)]
    beat = {"node": "n", "role": "scheduler", "started_at": NOON, "beat_at": NOON - HOUR}
    await insert_rows(store, "heartbeat", [beat])
    for _ in range(2):  # two nodes notice it
        await store.transact(lambda connection: outages.note_outage(connection, clock.now))
    missed = [
        Happening(here.account, job, What.MISSED, NOON - 30 * MINUTE, clock.now, 3, reason="catch_up=latest")
        for job in jobs
    ]
    await store.transact(lambda connection: happenings.add(connection, missed))
    alerts = {one.account_id: one for one in await here.settle()}
    down = "No server ran from 2026-11-24T11:00:00Z to 2026-11-24T12:00:00Z"
    assert {account: one.title for account, one in alerts.items()} == {
        here.account: f"{down}: 3 cron jobs missed fire times",
        other: down,
    }
    assert [alerts[here.account].event, alerts[other].event] == [BEGAN, Event.NOTICE]
    await here.deliver(*jobs)
    await here.settle(LOOKED)
    assert len(await here.settle()) == 3
    assert await here.standing() == []


async def test_pause_after__is_warned_of_before(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_paused_by_server=True)
    job = await here.job("Reports", policies='{"pause_after":"3"}')
    await here.fail(job)
    assert await here.said() == []
    await here.fail(job)
    (warned,) = await here.settle()
    assert warned.event == Event.NOTICE
    assert warned.title == "Cron job Reports will be paused by the server unless a firing is delivered soon"
    assert here.stopped == []
    await here.fail(job)
    await here.settle()
    assert set(here.stopped) == {(here.account, job, 3)}


async def test_pause_after__counts_from_the_last_delivery_on(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_paused_by_server=True)
    job = await here.job("Reports", policies='{"pause_after":"2d"}')
    await here.fail(job)
    clock.forward(DAY)
    await here.fail(job)
    await here.deliver(job)
    await here.settle()
    await here.fail(job)
    clock.forward(3 * DAY)
    await here.fail(job)
    await here.settle()
    assert here.stopped == []
    await here.fail(job)
    await here.settle()
    assert [one[2] for one in here.stopped][:1] == [3]


async def test_rule__that_is_gone_tells_nothing_more(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    rule = await here.rule(on_failure=True)
    job = await here.job("Reports")
    await here.fail(job)
    await here.settle()
    await store.transact(
        lambda connection: (
            connection.execute(tables.rule.delete().where(tables.rule.c.rule_id == rule)) and None
        )
    )
    await here.deliver(job)
    assert await here.said() == [("failing", BEGAN)]
    assert await here.standing() == []


async def test_cronjob__that_is_deleted_is_forgotten(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True)
    job = await here.job("Reports")
    await here.fail(job)
    await here.settle()
    where = tables.cronjob.c.cronjob_id == job
    await here.change("cronjob", where, state="deleted", purge_at=NOON + DAY)
    assert await here.said(HOUR) == [("failing", BEGAN)]
    assert await here.standing() == []


async def test_accounts__take_turns(store: Store, clock: Clock) -> None:
    """Of one that has much, one transaction reads a part; another one is told as soon."""
    here = await world(store, clock)
    await here.rule(on_failure=True)
    jobs = [await here.job(f"Job {number}") for number in range(3)]
    flood = [
        Happening(here.account, jobs[number % 3], What.FAILED, NOON + number, NOON) for number in range(1200)
    ]
    await store.transact(lambda connection: happenings.add(connection, flood))
    other = await make_account(store, "zzzz")
    await here.rule(account=other, on_failure=True)
    job = await make_cronjob(store, other, next_fire_at=None)
    await here.fail(str(job["cronjob_id"]), account=other)
    assert await here.nodes[0].step() == 0.0
    left = await here.happenings()
    assert {row.account_id for row in left} == {here.account}
    assert len(left) == 700


async def test_of_another_account__nothing_is_told(store: Store, clock: Clock) -> None:
    here = await world(store, clock)
    await here.rule(on_failure=True, on_missed=True, on_late=MINUTE)
    other = await make_account(store)
    job = await make_cronjob(store, other, next_fire_at=None)
    await here.fail(str(job["cronjob_id"]), account=other)
    assert await here.said() == []
    # Not even where something is noted of it in the wrong account.
    wrong = Happening(here.account, str(job["cronjob_id"]), What.FAILED, NOON, NOON)
    await store.transact(lambda connection: happenings.add(connection, [wrong]))
    assert await here.said() == []
