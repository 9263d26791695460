"""Alerts go out: one id, at least once, fair, within bounds, and never about themselves."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from cronally import webhook_signatures
from cronally.alert import Alert, Event, alert_id
from cronally.contract.channel_requests import NewChannel
from cronally.contract.connection_requests import NewConnection
from cronally.contract.reading import Reading
from cronally.engine import alert_verdict
from cronally.engine.alerting import PER_ACCOUNT, PLACES, Alerting
from cronally.engine.host_limits import HostLimits
from cronally.engine.janitor import Janitor
from cronally.instants import DAY, HOUR, MINUTE, SECOND
from cronally.operations import Caller, Operations
from cronally.operations.channels import place_of
from cronally.operations.stored_parameters import seal
from cronally.store import Store, alerts, channels, tables
from cronally.store.alert_deliveries import Claim
from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.mail.mail import Mail
from cronally.targets.mail.server import SmtpServer
from cronally.targets.target import (
    Delivered,
    Outcome,
    Refused,
    Repeated,
    Retry,
    Target,
    Unauthorized,
    Unknown,
)
from tests.support.aws import REGION, LocalAws
from tests.support.factories import CANARY, NOON, Clock, ScriptedTarget, make_account, read, uuid_of, vault
from tests.support.sampling import first
from tests.support.scripted import ScriptedServer, answer
from tests.support.smtp import smtp_server

SIGNING = f"whsec_{base64.b64encode(b'0123456789abcdef01234567').decode()}"


@pytest.fixture
async def targets() -> AsyncIterator[dict[str, Target]]:
    targets = build_targets(egress=Egress(["127.0.0.0/8"]))
    yield targets
    for target in targets.values():
        await target.close()


@pytest.fixture
def operations(store: Store, targets: dict[str, Target]) -> Operations:
    return Operations(store, vault(), targets)


async def tenant(store: Store) -> Caller:
    return Caller(await make_account(store), uuid_of("key"), b"")


async def make_channel(operations: Operations, caller: Caller, **sent: str) -> str:
    made = await operations.channels.create(caller, Reading(NewChannel, sent))
    return made.channel_id


async def tell(store: Store, caller: Caller, channel_ids: list[str], number: int = 0) -> Alert:
    made = Alert(
        alert_id=alert_id(caller.account_id, "failure", "cronjob", uuid_of("c"), Event.BEGAN, NOON, number),
        account_id=caller.account_id,
        condition="failure",
        event=Event.BEGAN,
        subject_kind="cronjob",
        subject_id=uuid_of("c"),
        title="Reports failed",
        lines=("HTTP 503",),
        created_at=await store.clock(),
    )
    await store.transact(partial(alerts.insert_alert, alert=made, channel_ids=channel_ids))
    return made


async def work_off(alerting: Alerting) -> None:
    while await alerting.step() == 0.0:
        await alerting.settled()


async def states(store: Store) -> list[tuple[str, str | None, int]]:
    table = tables.alert_delivery
    found = select(table.c.state, table.c.reason, table.c.attempts).order_by(table.c.name, table.c.alert_id)
    return [tuple(row) for row in await read(store, found)]


def webhook(port: int, path: str = "/hook", **sent: str) -> dict[str, str]:
    return {
        "name": "hook",
        "kind": "http",
        "webhook_url": f"http://127.0.0.1:{port}{path}",
        "signing_secret": SIGNING,
        **sent,
    }


async def test_http__gets_a_signed_json_with_the_id(
    store: Store, operations: Operations, targets: dict[str, Target], clock: Clock
) -> None:
    me = await tenant(store)
    async with ScriptedServer(answer(204)) as receiver:
        channel = await make_channel(operations, me, **webhook(receiver.port))
        made = await tell(store, me, [channel])
        await work_off(Alerting(store, vault(), targets, None))
    (got,) = receiver.requests
    assert (got.method, got.path, got.headers["content-type"]) == ("POST", "/hook", "application/json")
    assert got.headers["cronally-alert-id"] == got.headers["idempotency-key"] == made.alert_id
    assert got.headers["cronally-attempt"] == "1"
    assert not [name for name in got.headers if name.startswith(("cronally-cronjob", "cronally-firing"))]
    body = json.loads(got.body)
    shown = await operations.alerted.get(me, made.alert_id)
    assert {name: body[name] for name in ("alert_id", "condition", "event", "title", "lines")} == {
        "alert_id": made.alert_id,
        "condition": "failure",
        "event": "began",
        "title": "Reports failed",
        "lines": ["HTTP 503"],
    }
    assert (shown.title, shown.deliveries[0].state) == ("Reports failed", "delivered")
    key = webhook_signatures.read_key(SIGNING)
    second = int(got.headers["webhook-timestamp"]) * SECOND
    assert webhook_signatures.verify([key], got.headers, got.body, second) == "v1"
    assert got.headers["webhook-id"] == made.alert_id
    assert await states(store) == [("delivered", None, 1)]
    assert (await operations.channels.get(me, "hook")).delivered_at is not None


@pytest.mark.parametrize("form", ["slack", "mattermost", "discord", "teams"])
async def test_slack__gets_what_its_service_takes(
    store: Store, operations: Operations, targets: dict[str, Target], clock: Clock, form: str
) -> None:
    me = await tenant(store)
    async with ScriptedServer(answer(200, b"ok")) as receiver:
        url = f"http://127.0.0.1:{receiver.port}/services/T0/B0/{CANARY}"
        channel = await make_channel(operations, me, name="chat", kind="slack", webhook_url=url, format=form)
        await tell(store, me, [channel])
        await work_off(Alerting(store, vault(), targets, None))
    (got,) = receiver.requests
    assert got.path.endswith(CANARY)
    assert "Reports failed" in json.dumps(json.loads(got.body))
    shown = await operations.channels.get(me, "chat")
    assert shown.webhook_url == f"http://127.0.0.1:{receiver.port}/***"
    assert CANARY not in repr(shown)


async def test_email__gets_the_title_the_text_and_the_id(
    store: Store, targets: dict[str, Target], clock: Clock
) -> None:
    me = await tenant(store)
    async with smtp_server() as mailbox:
        mail = Mail(SmtpServer("127.0.0.1", mailbox.port, "off"), "cron@example.com")
        operations = Operations(store, vault(), targets, mail=mail, public_url="https://cron.example.com")
        channel = await make_channel(operations, me, name="ops", kind="email", address="ops@example.com")
        await tell(store, me, [channel])
        alerting = Alerting(store, vault(), targets, mail)
        await work_off(alerting)
        assert await states(store) == [("skipped", "not_confirmed", 0)]
        (asked,) = mailbox.received
        link = next(line for line in asked.mail.get_content().splitlines() if "/channel/confirm/" in line)
        await operations.confirming.confirm(link.rstrip("/").rpartition("/")[2])
        made = await tell(store, me, [channel], 1)
        await work_off(alerting)
    got = mailbox.received[1].mail
    assert (got["To"], got["Subject"]) == ("ops@example.com", "Reports failed")
    assert got["Message-ID"] == f"<{made.alert_id}@example.com>"
    assert "HTTP 503" in got.get_content()


async def test_sns__through_a_topic_with_keys_and_with_a_connection(
    store: Store, clock: Clock, aws: LocalAws
) -> None:
    me = await tenant(store)
    topic = aws.make_topic()
    keys = aws.make_publisher(topic.arn)
    targets = build_targets(sns_endpoint=aws.url, sts_endpoint=aws.url)
    operations = Operations(store, vault(), targets)
    try:
        of_connection = {
            "name": "aws",
            "kind": "aws",
            "aws_access_key_id": keys.access_key_id,
            "aws_secret_access_key": keys.secret_access_key,
        }
        await operations.connecting.create(me, Reading(NewConnection, of_connection))
        where = {"kind": "sns", "sns_topic": topic.arn, "sns_region": REGION}
        own = {
            "sns_access_key_id": keys.access_key_id,
            "sns_secret_access_key": keys.secret_access_key,
        }
        ids = [
            await make_channel(operations, me, name="own", **where, **own),
            await make_channel(operations, me, name="shared", **where, connection="aws"),
        ]
        made = await tell(store, me, ids)
        await work_off(Alerting(store, vault(), targets, None))
        assert await states(store) == [("delivered", None, 1)] * 2
        got = topic.receive(2)
    finally:
        for target in targets.values():
            await target.close()
    for one in got:
        assert one.attributes == {"cronally-alert-id": made.alert_id, "cronally-attempt": "1"}
        assert json.loads(one.message)["title"] == one.envelope["Subject"] == "Reports failed"


# What becomes of outcomes


async def test_failure__is_shown_on_the_channel_and_the_others_get_it(
    store: Store, operations: Operations, targets: dict[str, Target], clock: Clock
) -> None:
    me = await tenant(store)
    async with ScriptedServer(answer(500)) as bad, ScriptedServer(answer(200)) as good:
        ids = [
            await make_channel(operations, me, **webhook(bad.port, name="bad")),
            await make_channel(operations, me, **webhook(good.port, name="good")),
        ]
        made = await tell(store, me, ids)
        alerting = Alerting(store, vault(), targets, None, chance=lambda: 0.5)
        await work_off(alerting)
        assert await states(store) == [("pending", "target_unavailable", 1), ("delivered", None, 1)]
        shown = await operations.channels.get(me, "bad")
        assert (shown.health, shown.unhealthy_detail) == ("unhealthy", "HTTP 500")
        since = shown.unhealthy_since
        delivery = (await operations.alerted.get(me, made.alert_id)).deliveries[0]
        assert delivery.next_attempt_at is not None
        await work_off(alerting)
        assert len(bad.requests) == 1  # it is not due yet
        clock.forward(HOUR)
        await work_off(alerting)
        assert (await operations.channels.get(me, "bad")).unhealthy_since == since
        bad.otherwise = answer(200)
        clock.forward(HOUR)
        await work_off(alerting)
    assert await states(store) == [("delivered", None, 3), ("delivered", None, 1)]
    assert {got.headers["cronally-alert-id"] for got in bad.requests} == {made.alert_id}
    shown = await operations.channels.get(me, "bad")
    assert (shown.health, shown.unhealthy_detail) == ("ok", None)
    # Nothing of this was told as an alert.
    assert len(await read(store, select(tables.alert.c.alert_id))) == 1


async def test_egress__an_alert_goes_nowhere_where_a_firing_may_not(
    store: Store, operations: Operations, targets: dict[str, Target], clock: Clock
) -> None:
    me = await tenant(store)
    closed = build_targets(egress=Egress())
    try:
        async with ScriptedServer(answer(200)) as receiver:
            channel = await make_channel(operations, me, **webhook(receiver.port))
            await tell(store, me, [channel])
            await work_off(Alerting(store, vault(), closed, None))
        assert receiver.requests == []
        assert (await states(store))[0][:2] == ("failed", "refused")
    finally:
        for target in closed.values():
            await target.close()


async def test_without_mail__an_alert_waits_and_says_so(
    store: Store, operations: Operations, targets: dict[str, Target], clock: Clock
) -> None:
    me = await tenant(store)
    row = channels.StoredChannel(
        uuid_of("m"),
        me.account_id,
        "m",
        "email",
        '{"address":"ops@example.com"}',
        None,
        1,
        NOON,
        NOON,
        "k",
        NOON,
    )
    await store.transact(partial(channels.insert_channel, stored=row, secret=None))
    await tell(store, me, [row.channel_id])
    await work_off(Alerting(store, vault(), targets, None))
    assert await states(store) == [("pending", "no_mail", 1)]
    assert "CRONALLY_SMTP_URL" in str((await operations.channels.get(me, "m")).unhealthy_detail)


async def test_a_key_that_is_missing__is_waited_for(
    store: Store, operations: Operations, targets: dict[str, Target], clock: Clock
) -> None:
    me = await tenant(store)
    channel = await make_channel(operations, me, **webhook(9999))
    await tell(store, me, [channel])
    await work_off(Alerting(store, vault("another", 9), targets, None))
    assert await states(store) == [("pending", "unreadable", 1)]


async def test_deleted__is_skipped_and_too_old_fails(
    store: Store, operations: Operations, targets: dict[str, Target], clock: Clock
) -> None:
    me = await tenant(store)
    for name in ("a", "b"):
        await tell(store, me, [await make_channel(operations, me, **webhook(9999, name=name))], ord(name))
    await operations.channels.delete(me, "a")
    assert (await states(store))[0] == ("skipped", "channel_deleted", 0)
    clock.forward(DAY + SECOND)
    await work_off(Alerting(store, vault(), targets, None))
    assert await states(store) == [("skipped", "channel_deleted", 0), ("failed", "max_age", 0)]


# Places, turns and leases


@pytest.fixture
def quiet() -> ScriptedTarget:
    return ScriptedTarget(name="http")


async def http_channel(store: Store, caller: Caller, name: str = "hook") -> str:
    place = channels.StoredChannel(
        uuid_of(f"{caller.account_id}{name}"),
        caller.account_id,
        name,
        "http",
        '{"webhook_url":"https://example.com/***"}',
        None,
        1,
        NOON,
        NOON,
        "k",
        NOON,
    )
    sealed = seal(
        vault(), {"webhook_url": "https://example.com/x", "signing_secret": SIGNING}, place_of(place)
    )
    await store.transact(partial(channels.insert_channel, stored=place, secret=sealed))
    return place.channel_id


async def test_claim__is_fair_over_accounts_and_bounded_for_each(
    store: Store, clock: Clock, quiet: ScriptedTarget
) -> None:
    greedy, modest = await tenant(store), await tenant(store)
    channel = await http_channel(store, greedy)
    for number in range(20):
        await tell(store, greedy, [channel], number)
    clock.forward(SECOND)
    theirs = await tell(store, modest, [await http_channel(store, modest)])
    quiet.hang()
    alerting = Alerting(store, vault(), {"http": quiet}, None)
    await alerting.step()
    await quiet.arrived(PER_ACCOUNT + 1)
    await alerting.step()
    sent = [message.firing_id for message in quiet.messages]
    assert theirs.alert_id in sent
    assert len(sent) == PER_ACCOUNT + 1 <= PLACES
    quiet.open.set()
    await alerting.settled()
    assert alerting.wake.is_set()
    await work_off(alerting)
    assert len({message.firing_id for message in quiet.messages}) == len(quiet.messages) == 21


async def test_lease__whoever_dies_is_followed_by_another_with_the_same_id(
    store: Store, clock: Clock, quiet: ScriptedTarget
) -> None:
    me = await tenant(store)
    await tell(store, me, [await http_channel(store, me)])
    quiet.hang()
    dying = Alerting(store, vault(), {"http": quiet}, None)
    await dying.step()
    await quiet.arrived(1)
    alive = Alerting(store, vault(), {"http": quiet}, None)
    await work_off(alive)
    assert len(quiet.messages) == 1  # it is the other's
    clock.forward(61 * SECOND)
    assert await alive.step() == 0.0
    await quiet.arrived(2)
    quiet.open.set()
    await alive.settled()
    await dying.settled()  # its record is under an older lease: it changes nothing
    assert len({message.firing_id for message in quiet.messages}) == 1
    assert await states(store) == [("delivered", None, 2)]


async def test_lease__five_that_were_lost_end_it(store: Store, clock: Clock, quiet: ScriptedTarget) -> None:
    me = await tenant(store)
    await tell(store, me, [await http_channel(store, me)])
    quiet.hang()
    dying = []
    for _ in range(alert_verdict.MAX_LOST_LEASES):
        dying.append(Alerting(store, vault(), {"http": quiet}, None))
        await dying[-1].step()
        clock.forward(61 * SECOND)
    last = Alerting(store, vault(), {"http": quiet}, None)
    await work_off(last)
    assert (await states(store))[0][:2] == ("failed", "worker_lost")
    for one in dying:
        await one.stop(0)


async def test_stop__cuts_off_what_hangs_and_leaves_the_lease(
    store: Store, clock: Clock, quiet: ScriptedTarget
) -> None:
    me = await tenant(store)
    await tell(store, me, [await http_channel(store, me)])
    quiet.hang()
    alerting = Alerting(store, vault(), {"http": quiet}, None)
    await alerting.step()
    await quiet.arrived(1)
    await alerting.stop(0)
    assert (await states(store))[0][0] == "sending"


async def test_hosts__what_firings_take_of_a_host_alerts_do_not_get(
    store: Store, clock: Clock, quiet: ScriptedTarget
) -> None:
    me = await tenant(store)
    quiet.host_by = "delivery_http_url"
    limits = HostLimits(in_flight=1, per_second=1)
    receiver = quiet.receiver
    quiet.receiver = lambda public: receiver({**public, "to": "example.com"})  # type: ignore[method-assign]
    limits.begin("example.com", uuid_of("other"), 0.0)
    await tell(store, me, [await http_channel(store, me)])
    alerting = Alerting(store, vault(), {"http": quiet}, None, hosts=limits, monotonic=lambda: 0.0)
    await work_off(alerting)
    assert quiet.messages == []
    assert await states(store) == [("pending", None, 0)]
    limits.end("example.com", uuid_of("other"))
    clock.forward(MINUTE)
    alerting = Alerting(store, vault(), {"http": quiet}, None, hosts=HostLimits(1, 1))
    await work_off(alerting)
    assert await states(store) == [("delivered", None, 1)]


async def test_janitor__deletes_what_is_old_and_closed(
    store: Store, clock: Clock, quiet: ScriptedTarget
) -> None:
    me = await tenant(store)
    channel = await http_channel(store, me)
    await tell(store, me, [channel])
    await work_off(Alerting(store, vault(), {"http": quiet}, None))
    await tell(store, me, [channel], 1)  # nobody sends it: it is open
    clock.forward(8 * DAY)
    janitor = Janitor(store, retention=7 * DAY)
    while not await janitor.expire(clock.now):
        pass
    assert [state for state, _, _ in await states(store)] == ["pending"]
    assert len(await read(store, select(tables.alert.c.alert_id))) == 1


# The machine: whatever is answered, in whatever order, on two nodes that come and go


OUTCOMES: list[Outcome] = [
    Delivered("x"),
    Retry("HTTP 503"),
    Retry("HTTP 429", after=30.0),
    Unauthorized("HTTP 401"),
    Refused("HTTP 404"),
    Refused("no such topic", final=False),
    Unknown("timeout"),
    Repeated("HTTP 409"),
]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(range(len(OUTCOMES))), st.sampled_from(["works", "dies", "late"]), st.integers(0, 90)
    ),
    min_size=1,
    max_size=40,
)


@first("sqlite", "migrated_url")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_machine__every_delivery_ends_once_and_is_sent_until_then(
    store: Store, clock: Clock, steps: list[tuple[int, str, int]]
) -> None:
    """The model: what was sent, and what an honest worker has recorded last."""
    # An example begins with an empty ledger.
    await store.transact(lambda connection: connection.execute(delete(tables.alert)) and None)
    me = await tenant(store)
    made = await tell(store, me, [await http_channel(store, me)])
    target = ScriptedTarget(name="http")
    began = clock.now
    sent, ended = 0, False
    abandoned: list[Alerting] = []
    for which, how, minutes in steps:
        outcome = OUTCOMES[which]
        target.script = lambda _message, outcome=outcome: outcome  # type: ignore[misc]
        alerting = Alerting(store, vault(), {"http": target}, None, chance=lambda: 0.0)
        before = len(target.messages)
        if how == "works":
            await work_off(alerting)
        else:
            target.hang()
            await alerting.step()
            await asyncio.sleep(0)
            if how == "dies":
                await alerting.stop(0)
            else:
                abandoned.append(alerting)
            # Whoever is late answers in the next round, when its lease may be over.
            target.open.set()
        assert not ended or len(target.messages) == before, "what has ended is not sent again"
        sent = len(target.messages)
        ((state, reason, attempts),) = await states(store)
        assert attempts <= max(alert_verdict.SCHEDULE.max_attempts or 0, sent)
        ended = state in ("delivered", "failed", "skipped")
        assert ended or clock.now <= began + alert_verdict.MAX_AGE + 2 * HOUR + len(steps) * 90 * MINUTE
        assert (reason is None) == (state == "delivered") or state == "sending" or attempts == 0
        clock.forward(minutes * MINUTE)
    for one in abandoned:
        await one.settled()
    assert {message.firing_id for message in target.messages} <= {made.alert_id}
    clock.forward(2 * DAY)
    target.script = lambda _message: Delivered("x")
    await work_off(Alerting(store, vault(), {"http": target}, None))
    ((state, reason, _),) = await states(store)
    assert state in ("delivered", "failed"), (state, reason)
    assert len(await read(store, select(tables.alert.c.alert_id))) == 1


CLAIM = Claim(
    Alert(
        alert_id=uuid_of("a"),
        account_id=uuid_of("x"),
        condition="c",
        event=Event.BEGAN,
        subject_kind="cronjob",
        subject_id="s",
        title="t",
        created_at=NOON,
    ),
    uuid_of("ch"),
    uuid_of("x"),
    "http",
    "sending",
    1,
    0,
    1,
    NOON,
    NOON,
    "{}",
    None,
)


@given(
    st.sampled_from(OUTCOMES),
    st.integers(1, 30),
    st.integers(0, 2 * DAY),
    st.floats(0, 0.999, allow_nan=False),
)
def test_verdict__is_over_exactly_where_nothing_is_due(
    outcome: Outcome, attempts: int, age: int, chance: float
) -> None:
    made = alert_verdict.verdict(replace(CLAIM, attempts=attempts), outcome, NOON + age, chance)
    assert (made.due_at is None) == (made.state in ("delivered", "failed"))
    assert (made.reason is None) == (made.state == "delivered")
    if made.due_at is not None:
        assert NOON + age <= made.due_at <= NOON + alert_verdict.MAX_AGE
    if isinstance(outcome, Retry) and outcome.after and made.due_at is not None:
        assert made.due_at >= NOON + age + int(outcome.after * SECOND)


def test_schedule__goes_on_for_hours() -> None:
    made, now, claim = [], NOON, CLAIM
    for attempt in range(1, 100):
        record = alert_verdict.verdict(replace(claim, attempts=attempt), Retry("x"), now, 0.0)
        if record.due_at is None:
            break
        made.append(record.due_at - now)
        now = record.due_at
    assert made[0] < 10 * SECOND
    assert 5 * HOUR < now - NOON < DAY
