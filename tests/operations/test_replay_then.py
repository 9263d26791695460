"""Replay as it was: message and address of the version that was sent, credentials of now, or a refusal that says so."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import partial

import pytest
from sqlalchemy import Connection, select, text

from cronally import errors
from cronally.contract.then import NotAsThen, as_then
from cronally.engine.dispatcher import Dispatcher
from cronally.firing import Reason, State
from cronally.instants import HOUR, MINUTE, SECOND, format_iso
from cronally.operations import Caller
from cronally.store import Store, former, leases, outcomes, tables
from cronally.store.claims import Record
from cronally.targets.target import Destination, Refused, Retry
from tests.operations.conftest import sign_up
from tests.operations.parameters import HTTP, SECRET, SNS, WEB
from tests.operations.past import finish, step
from tests.operations.tenant import Tenants
from tests.support.factories import (
    NOON,
    Clock,
    ScriptedTarget,
    firing_values,
    insert_rows,
    read,
    read_attempts,
    read_firings,
    vault,
    work_off,
)

THEN = {"as": "then"}
MANUAL = {"kind": "manual"}
TOKEN = {**HTTP, "delivery_http_url": "https://1.1.1.1/in?token=one"}


async def dispatch(store: Store, target: ScriptedTarget) -> None:
    """Send all that is due, whatever its target."""
    await work_off(Dispatcher(store, vault(), {"sns": target, "http": target}, chance=lambda: 0.5))


async def send_once(operations: Tenants, store: Store, caller: Caller, cronjob_id: str, clock: Clock) -> int:
    """Let a cron job fire, and say the fire time."""
    clock.forward(SECOND)
    await operations.run_cronjob(caller.account_id, cronjob_id)
    at = clock.now
    await dispatch(store, ScriptedTarget())
    clock.forward(SECOND)
    return at


async def replay(
    operations: Tenants,
    store: Store,
    caller: Caller,
    cronjob_id: str,
    at: int,
    sent: Mapping[str, str] = THEN,
) -> Destination:
    """Replay a manual firing, and say where it went."""
    await operations.replay_firing(caller.account_id, cronjob_id, at, {**MANUAL, **sent})
    target = ScriptedTarget()
    await dispatch(store, target)
    (destination,) = target.destinations
    return destination


async def test_then__sends_message_and_address_as_they_were_with_the_credentials_of_now(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    account = caller.account_id
    cronjob_id = (await operations.create_cronjob(account, SNS))["cronjob_id"]
    at = await send_once(operations, store, caller, cronjob_id, clock)
    change = {
        "sns_message": "good night",
        "sns_region": "eu-west-2",
        "sns_topic": SNS["sns_topic"].replace("west-1", "west-2"),
        "sns_access_key_id": "AKIAIOSFODNN8EXAMPLE",
        "sns_secret_access_key": "another",
    }
    await operations.update_cronjob(account, cronjob_id, change)
    sent = await replay(operations, store, caller, cronjob_id, at)
    assert (sent.public["sns_message"], sent.public["sns_topic"]) == ("good morning", SNS["sns_topic"])
    assert sent.public["sns_access_key_id"] == "AKIAIOSFODNN8EXAMPLE"
    assert sent.secret == {"sns_secret_access_key": "another"}
    (row,) = await read_firings(store)
    assert (row.version, row.sent_as, row.attempt, row.state) == (1, 1, 2, "delivered")
    clock.forward(SECOND)
    now = await replay(operations, store, caller, cronjob_id, at, {})
    assert now.public["sns_message"] == "good night"
    (row,) = await read_firings(store)
    assert (row.version, row.sent_as, row.attempt) == (2, None, 3)


async def test_then__what_a_connection_holds_goes_to_no_url_of_before(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    account = caller.account_id
    await operations.create_connection(account, WEB)
    elsewhere = {**HTTP, "delivery_http_url": "https://1.0.0.1/in"}
    cronjob_id = (await operations.create_cronjob(account, elsewhere))["cronjob_id"]
    at = await send_once(operations, store, caller, cronjob_id, clock)
    connected = {"connection": "hooks", "delivery_http_url": "/a"}
    await operations.update_cronjob(account, cronjob_id, connected)
    with pytest.raises(errors.InvalidRequest, match="not below the base_url"):
        await operations.replay_firing(account, cronjob_id, at, {**MANUAL, **THEN})
    assert (await replay(operations, store, caller, cronjob_id, at, {})).secret["authorization"]
    below = await send_once(operations, store, caller, cronjob_id, clock)
    await operations.update_cronjob(account, cronjob_id, {"delivery_http_url": "/b"})
    sent = await replay(operations, store, caller, cronjob_id, below)
    assert sent.public["delivery_http_url"] == f"{WEB['base_url']}/a"
    assert sent.secret["authorization"] == f"Bearer {WEB['token']}"


async def test_then__retries_are_as_of_the_same_version(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """Whatever is changed between them: also when what was current at the replay is so no more."""
    account = caller.account_id
    cronjob_id = (await operations.create_cronjob(account, SNS))["cronjob_id"]
    at = await send_once(operations, store, caller, cronjob_id, clock)
    await operations.replay_firing(account, cronjob_id, at, {**MANUAL, **THEN})
    target = ScriptedTarget(lambda _message: Retry("busy"))
    for message in ("two", "three"):
        await operations.update_cronjob(account, cronjob_id, {"sns_message": message})
        await dispatch(store, target)
        clock.forward(HOUR)
    assert [one.public["sns_message"] for one in target.destinations] == ["good morning"] * 2
    attempts = await read_attempts(store, cronjob_id)
    assert [row.version for row in attempts] == [1, 1, 1]


async def test_then__of_what_was_never_attempted_is_by_the_version_in_force(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    account = caller.account_id
    cronjob_id = (await operations.create_cronjob(account, SNS))["cronjob_id"]
    job = {"cronjob_id": cronjob_id, "account_id": account}
    times = [NOON - HOUR, NOON + MINUTE]
    shape = {"state": "missed", "reason": "misfire_grace"}
    await insert_rows(store, "firing", [firing_values(job, scheduled_at=at, **shape) for at in times])
    clock.forward(2 * MINUTE)
    await operations.update_cronjob(account, cronjob_id, {"sns_message": "later"})
    clock.forward(MINUTE)
    with pytest.raises(errors.InvalidRequest, match="was in force at its fire time is not known"):
        await operations.replay_firing(account, cronjob_id, times[0], THEN)
    await operations.replay_firing(account, cronjob_id, times[1], THEN)
    target = ScriptedTarget()
    await dispatch(store, target)
    assert [one.public["sns_message"] for one in target.destinations] == ["good morning"]


@pytest.mark.parametrize("seed", range(4))
async def test_then__is_what_was_sent_after_any_history(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, seed: int
) -> None:
    """Against a record of what was sent when, and a count of what is kept that knows nothing of versions."""
    chance, account = random.Random(seed), caller.account_id
    cronjob_id = (await operations.create_cronjob(account, SNS))["cronjob_id"]
    public = {name: SNS[name] for name in SNS if name.startswith("sns_") and "secret" not in name}
    had, sent = [dict(public)], list[tuple[int, int]]()
    for _ in range(14):
        match chance.choice(("send", "send", "message", "large", "back", "pause", "name")):
            case "send":
                at = await send_once(operations, store, caller, cronjob_id, clock)
                sent.append((at, len(had) - 1))
                continue
            case "message":
                change = {"sns_message": f"message {chance.random()}"}
            case "large":
                change = {"sns_message": chance.choice("äb") * chance.choice((40_000, 70_000))}
            case "back":
                change = {"sns_message": chance.choice(had)["sns_message"]}
            case "name":
                change = {"name": f"Job {chance.random()}"}
            case _:
                await operations.pause_cronjob(account, cronjob_id, {})
                clock.forward(SECOND)
                await operations.resume_cronjob(account, cronjob_id)
                continue
        await operations.update_cronjob(account, cronjob_id, change)
        public |= {name: value for name, value in change.items() if name in public}
        if public != had[-1]:
            had.append(dict(public))
    kept, room = {len(had) - 1}, 256 * 1024
    for place in reversed(range(len(had) - 1)):
        room -= len(json.dumps(had[place], separators=(",", ":"), ensure_ascii=False).encode())
        if room < 0:
            break
        kept.add(place)
    for at, place in sent:
        clock.forward(SECOND)
        if place in kept:
            destination = await replay(operations, store, caller, cronjob_id, at)
            assert destination.public == had[place]
        else:
            with pytest.raises(errors.InvalidRequest, match="is not kept; replay it with as=now"):
                await operations.replay_firing(account, cronjob_id, at, {**MANUAL, **THEN})
    table = tables.cronjob_version
    sizes = [size for (size,) in await read(store, select(table.c.size).where(table.c.size.is_not(None)))]
    assert sum(sizes) <= former.KEPT_BYTES
    assert len(sizes) == len(kept) - 1


# What a URL has that is secret


@pytest.mark.parametrize(
    ("first", "then", "url"),
    [
        ("https://1.1.1.1/in", "https://1.1.1.1/out?token=two", "https://1.1.1.1/in"),
        ("https://1.1.1.1/in?token=one", "https://1.1.1.1/in?token=two", "https://1.1.1.1/in?token=two"),
        ("https://1.1.1.1/in?token=one", "https://1.1.1.1/out?token=two", None),
        ("https://1.1.1.1/in?token=one", "https://1.1.1.1/in", None),
    ],
)
@pytest.mark.sample
async def test_then__puts_no_secret_into_another_url(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, first: str, then: str, url: str | None
) -> None:
    account = caller.account_id
    made = await operations.create_cronjob(account, {**HTTP, "delivery_http_url": first})
    at = await send_once(operations, store, caller, made["cronjob_id"], clock)
    change = {"delivery_http_url": then, "delivery_http_method": "get"}
    await operations.update_cronjob(account, made["cronjob_id"], change)
    if url is None:
        with pytest.raises(errors.InvalidRequest, match="had secrets, which are not kept"):
            await replay(operations, store, caller, made["cronjob_id"], at)
        return
    sent = await replay(operations, store, caller, made["cronjob_id"], at)
    assert (sent.whole("delivery_http_url"), sent.public["delivery_http_method"]) == (url, "post")


@pytest.mark.sample
async def test_then__is_refused_for_another_target(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    at = await send_once(operations, store, caller, made["cronjob_id"], clock)
    await operations.update_cronjob(
        caller.account_id, made["cronjob_id"], {name: HTTP[name] for name in HTTP if "delivery" in name}
    )
    with pytest.raises(
        errors.InvalidRequest, match="had the target sns, and its credentials now are for http"
    ):
        await replay(operations, store, caller, made["cronjob_id"], at)


async def test_then__is_asked_again_at_each_attempt(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """Between the replay and its attempt the URL gets another secret place: the new one is not sent to the old one."""
    made = await operations.create_cronjob(caller.account_id, TOKEN)
    at = await send_once(operations, store, caller, made["cronjob_id"], clock)
    await operations.replay_firing(caller.account_id, made["cronjob_id"], at, {**MANUAL, **THEN})
    change = {"delivery_http_url": "https://1.1.1.1/elsewhere?token=two"}
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], change)
    target = ScriptedTarget()
    await dispatch(store, target)
    assert target.destinations == []
    (row,) = await read_firings(store)
    assert (row.state, row.reason, row.version) == ("failed", "unsendable", 1)
    *_, attempt = await read_attempts(store, made["cronjob_id"])
    assert (attempt.outcome, "one" in attempt.detail, "had secrets" in attempt.detail) == (
        "refused",
        True,
        True,
    )
    assert "token" not in attempt.detail


# What is kept


async def test_kept__nothing_of_a_deleted_cron_job(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"sns_message": "other"})
    table = tables.cronjob_version
    kept = select(table.c.target, table.c.destination).order_by(table.c.version)
    before = await read(store, kept)
    assert [target for target, _ in before] == ["sns", "sns"]
    assert json.loads(before[0].destination)["sns_message"] == "good morning"
    assert SECRET not in before[0].destination
    await operations.delete_cronjob(caller.account_id, made["cronjob_id"])
    assert {*await read(store, kept)} == {(None, None)}


async def test_kept__nothing_where_nothing_of_it_changes(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    await operations.pause_cronjob(caller.account_id, made["cronjob_id"], {})
    await operations.resume_cronjob(caller.account_id, made["cronjob_id"])
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"name": "Other"})
    table = tables.cronjob_version
    assert {*await read(store, select(table.c.target, table.c.destination))} == {("sns", None)}


@pytest.mark.parametrize("unknown", ["version <= 1", "version <= 2"])
@pytest.mark.sample
async def test_kept__of_before_the_migration_nothing(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, unknown: str
) -> None:
    """Nor of what a server of an older version changes, while some of both run."""
    made = await operations.create_cronjob(caller.account_id, SNS)
    at = await send_once(operations, store, caller, made["cronjob_id"], clock)
    forget = text(f"UPDATE cronjob_version SET target = NULL WHERE {unknown}")  # noqa: S608 - a constant
    for message in ("two", "three"):
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"sns_message": message})
        if message == "two":
            await store.transact(lambda connection: connection.execute(forget) and None)
    with pytest.raises(errors.InvalidRequest, match="What version 1 of the cron job sent is not kept"):
        await replay(operations, store, caller, made["cronjob_id"], at)


async def test_kept__not_when_the_row_is_gone(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """Version 2 had another message than the forgotten version 1: it does not stand for it, at the claim neither."""
    made = await operations.create_cronjob(caller.account_id, SNS)
    at = await send_once(operations, store, caller, made["cronjob_id"], clock)
    for message in ("two", "three"):
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"sns_message": message})
    await operations.replay_firing(caller.account_id, made["cronjob_id"], at, {**MANUAL, **THEN})
    table = tables.cronjob_version
    await store.transact(
        lambda connection: connection.execute(table.delete().where(table.c.version == 1)) and None
    )
    target = ScriptedTarget()
    await dispatch(store, target)
    assert target.messages == []
    (row,) = await read_firings(store)
    assert (row.state, row.reason) == ("failed", "unsendable")


async def test_claim__counts_the_bytes_of_then_and_keeps_the_order_of_both_topics(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """Or an account with small cron jobs could have large messages of before read at each claim."""
    fifo = {"sns_message": "x" * 100_000, "sns_topic": f"{SNS['sns_topic']}.fifo"}
    made = await operations.create_cronjob(caller.account_id, SNS | fifo)
    at = await send_once(operations, store, caller, made["cronjob_id"], clock)
    back = {name: SNS[name] for name in fifo}
    await operations.update_cronjob(caller.account_id, made["cronjob_id"], back)
    claimed = []
    for sent in (THEN, {}):
        await operations.replay_firing(caller.account_id, made["cronjob_id"], at, {**MANUAL, **sent})
        claim = partial(
            leases.claim_firings,
            now=clock.now,
            leased_until=clock.now + MINUTE,
            takes={caller.account_id: 10},
        )
        (one,) = await store.transact(claim)
        claimed.append(one)
        record = Record(one, State.FAILED, Reason.MAX_AGE, finished_at=clock.now)
        await store.transact(partial(outcomes.record_outcomes, records=[record]))
        clock.forward(SECOND)
    then, now = claimed
    assert then.size > 100_000 > now.size
    assert (then.version, now.version) == (1, 2)
    assert (then.ordered, now.ordered) == (True, False)
    assert then._replace(destination="", destination_now=then.destination).ordered


# All that filters select


async def test_set__says_first_which_cannot_be_sent_and_sends_the_others(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    account = caller.account_id
    good = (await operations.create_cronjob(account, SNS))["cronjob_id"]
    bad = (await operations.create_cronjob(account, TOKEN))["cronjob_id"]
    for cronjob_id in (good, bad):
        clock.forward(SECOND)
        await operations.run_cronjob(account, cronjob_id)
        await dispatch(store, ScriptedTarget(lambda _message: Refused("no")))
        clock.forward(SECOND)
    await operations.update_cronjob(account, good, {"sns_message": "new"})
    await operations.update_cronjob(account, bad, {"delivery_http_url": "https://1.1.1.1/other"})
    sent = {"state": "failed", **THEN}
    trial = await operations.replay_firings(account, {**sent, "dry_run": "true"})
    assert (trial["total"], trial["failed"], len(trial["problems"])) == (2, 1, 1)
    assert trial["problems"][0]["cronjob_id"] == bad
    assert "had secrets" in trial["problems"][0]["problem"]
    assert "failed" not in await operations.replay_firings(account, {"state": "failed", "dry_run": "true"})
    begun = await operations.replay_firings(account, sent)
    assert begun["parameters"] == THEN
    await finish(operations, store, clock)
    done = await operations.get_operation(account, begun["operation_id"])
    assert (done["done"], done["failed"]) == (1, 1)
    assert done["problems"][0]["problem"] == trial["problems"][0]["problem"]
    target = ScriptedTarget()
    await dispatch(store, target)
    assert [one.public["sns_message"] for one in target.destinations] == ["good morning"]


@pytest.mark.sample
async def test_set__reads_what_a_version_sent_once_for_all_firings(
    operations: Tenants, store: Store, caller: Caller, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    job = {"cronjob_id": made["cronjob_id"], "account_id": caller.account_id}
    shape = {"state": "failed", "reason": "max_age", "attempt": 1, "version": 1, "finished_at": NOON - 1}
    times = range(NOON - HOUR, NOON, MINUTE)
    await insert_rows(store, "firing", [firing_values(job, scheduled_at=at, **shape) for at in times])
    for message in ("two", "three"):
        await operations.update_cronjob(caller.account_id, made["cronjob_id"], {"sns_message": message})
    asked = list[int]()
    get_sent = former.get_sent

    def counted(connection: Connection, cronjob_id: str, version: int) -> tuple[str, str] | None:
        asked.append(version)
        return get_sent(connection, cronjob_id, version)

    monkeypatch.setattr(former, "get_sent", counted)
    trial = await operations.replay_firings(caller.account_id, {"state": "failed", **THEN, "dry_run": "true"})
    assert (trial["total"], trial["failed"], asked) == (len(times), 0, [1])


@pytest.mark.sample
async def test_then__wrong_and_of_others(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    made = await operations.create_cronjob(caller.account_id, SNS)
    at = await send_once(operations, store, caller, made["cronjob_id"], clock)
    other = await sign_up(operations, "other@example.com")
    with pytest.raises(errors.NotFound):
        await operations.replay_firing(other.account_id, made["cronjob_id"], at, {**MANUAL, **THEN})
    trial = await operations.replay_firings(
        other.account_id, {"state": "delivered", **THEN, "dry_run": "true"}
    )
    assert (trial["total"], trial["failed"]) == (0, 0)
    for wrong in ({"as": "before"}, {"as": ""}):
        with pytest.raises(errors.InvalidRequest) as caught:
            await operations.replay_firing(caller.account_id, made["cronjob_id"], at, wrong)
        assert [*caught.value.fields] == ["as"]
    with pytest.raises(errors.InvalidRequest) as caught:
        await operations.replay_firings(caller.account_id, THEN)
    assert [*caught.value.fields] == ["state"]


# The pace of an account


@pytest.mark.sample
async def test_pace__of_an_account_is_600_in_any_minute_whatever_asks(
    operations: Tenants, store: Store, caller: Caller, clock: Clock
) -> None:
    """An operation at full speed, and beside it single replays as many as are taken, counted over every minute."""
    made = await operations.create_cronjob(caller.account_id, SNS)
    job = {"cronjob_id": made["cronjob_id"], "account_id": caller.account_id}
    shape = {"state": "failed", "reason": "max_age", "attempt": 1, "finished_at": NOON - 1}
    first = NOON - 6 * HOUR
    await insert_rows(
        store,
        "firing",
        [firing_values(job, scheduled_at=first + number * SECOND, **shape) for number in range(1500)],
    )
    border = first + 800 * SECOND
    sent = {"state": "failed", "until": format_iso(border), "max_per_minute": "600"}
    await operations.replay_firings(caller.account_id, sent)
    alone = iter(range(border, first + 1500 * SECOND, SECOND))
    for second in range(80):
        while await step(operations, store, clock) is not None:
            pass
        if second >= 50:
            for _ in range(20):
                try:
                    await operations.replay_firing(caller.account_id, made["cronjob_id"], next(alone))
                except errors.RateLimited:
                    break
        clock.forward(SECOND)
    due = sorted(row.owed_at for row in await read_firings(store) if row.owed_at is not None)
    assert len(due) > 800
    assert max(sum(at <= other < at + MINUTE for other in due) for at in due) <= 600


# The rule, alone


def test_as_then__of_a_target_that_is_not_known_here() -> None:
    then = as_then("scripted", {"to": "b"}, 1, "scripted", {"to": "a"})
    assert (then.public, then.unused) == ({"to": "a"}, frozenset())


def test_as_then__of_a_key_id_that_only_one_side_has() -> None:
    now, old = {"sns_topic": "t"}, {"sns_topic": "s", "sns_access_key_id": "AKIA"}
    assert as_then("sns", now, 1, "sns", old).public == {"sns_topic": "s"}
    assert as_then("sns", old, 1, "sns", now).public == {"sns_topic": "t", "sns_access_key_id": "AKIA"}
    with pytest.raises(NotAsThen):
        as_then("sns", old, 1, None, now)
