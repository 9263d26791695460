"""Firings of cron jobs that use a connection: what a target gets, attempt by attempt, on both databases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import event

from cronally.engine.dispatcher import Dispatcher
from cronally.engine.uses import Uses
from cronally.firing import Reason
from cronally.instants import HOUR, MINUTE, SECOND
from cronally.store import Store, connections
from cronally.store.connections import USE_NOTED, StoredConnection
from cronally.targets.target import Delivered, Message, Outcome, Retry, Role, Unauthorized
from cronally.vault import SealContext
from tests.support.factories import (
    CANARY,
    NOON,
    Clock,
    Monotonic,
    ScriptedTarget,
    make_account,
    make_cronjob,
    make_firing,
    read_attempts,
    read_firing,
    uuid_of,
    vault,
    work_off,
)

URL = "https://a.example/v1/x"
BASE = "https://a.example/v1"


def seal(account: str, table: str, secret: Mapping[str, str]) -> bytes:
    place = SealContext(account, table, "secret", uuid_of("conn"))
    return vault().seal(json.dumps(dict(secret)).encode(), place)


async def connect(
    store: Store,
    kind: str,
    public: Mapping[str, Any],
    secret: Mapping[str, str],
    previous: Mapping[str, str] | None = None,
    until: int = NOON + HOUR,
) -> StoredConnection:
    account = await make_account(store)
    made = StoredConnection(uuid_of("conn"), account, "c", kind, json.dumps(public), 1, NOON, NOON, "key")

    def insert(connection: Any) -> None:
        connections.insert_connection(connection, made, seal(account, "connection", secret))
        if previous is not None:
            former = seal(account, "connection_previous", previous)
            connections.keep_previous(connection, made, former, until)

    await store.transact(insert)
    return made


async def owe(store: Store, made: StoredConnection, target: str, **given: Any) -> dict[str, Any]:
    destination = given.pop(
        "destination", {"delivery_http_url": URL} if target == "http" else {"sns_topic": "t"}
    )
    job = await make_cronjob(
        store,
        made.account_id,
        target=target,
        destination=json.dumps(destination),
        secret=None,
        connection_id=made.connection_id,
        **given,
    )
    await make_firing(store, job)
    return job


def dispatcher(store: Store, target: ScriptedTarget) -> Dispatcher:
    return Dispatcher(store, vault(), {target.name: target}, chance=lambda: 0.5, monotonic=Monotonic())


async def test_send__with_what_the_connection_holds(store: Store) -> None:
    made = await connect(
        store,
        "aws",
        {"aws_access_key_id": "AKIA"},
        {"aws_secret_access_key": CANARY, "aws_session_token": "token"},
    )
    target = ScriptedTarget(name="sns")
    job = await owe(store, made, "sns")
    await work_off(dispatcher(store, target))
    (sent,) = target.destinations
    assert sent.public == {"sns_topic": "t", "sns_access_key_id": "AKIA"}
    assert sent.secret == {"sns_secret_access_key": CANARY, "aws_session_token": "token"}
    assert (await read_firing(store, job["cronjob_id"])).state == "delivered"
    found = await store.transact(
        lambda connection: connections.get_connection(connection, made.account_id, "c")
    )
    assert found is not None
    assert found.last_used_at == NOON


async def test_send__with_the_role_that_the_connection_has(store: Store) -> None:
    public = {"aws_role_arn": "arn:aws:iam::111111111111:role/x", "aws_external_id": "cronally-x"}
    made = await connect(store, "aws", public, {})
    target = ScriptedTarget(name="sqs")
    await owe(store, made, "sqs", destination={"aws_region": "eu-west-1"})
    await work_off(dispatcher(store, target))
    (sent,) = target.destinations
    assert (sent.public, sent.secret) == ({"aws_region": "eu-west-1"}, {})
    assert sent.role == Role(
        public["aws_role_arn"], "cronally-x", f"cronally-{made.connection_id}", "us-east-1"
    )


async def test_send__with_the_timeout_of_the_connection(store: Store) -> None:
    made = await connect(store, "http", {"base_url": BASE, "timeout": 3_000_000}, {})
    target = ScriptedTarget(name="http")
    await owe(store, made, "http")
    await work_off(dispatcher(store, target))
    assert target.destinations[0].public["delivery_http_timeout"] == 3_000_000


async def test_send__without_a_connection_is_as_ever(store: Store) -> None:
    target = ScriptedTarget()
    job = await make_cronjob(store)
    await make_firing(store, job)
    await work_off(dispatcher(store, target))
    assert target.destinations[0].secret == {"scripted_secret": CANARY}


async def test_send__a_change_holds_for_the_next_attempt(store: Store, clock: Clock) -> None:
    made = await connect(store, "http", {"base_url": BASE}, {"authorization": "Bearer one"})
    answers: list[Outcome] = [Retry("503"), Delivered(None)]
    target = ScriptedTarget(script=lambda _: answers.pop(0), name="http")
    await owe(store, made, "http")
    await work_off(dispatcher(store, target))
    sealed = seal(made.account_id, "connection", {"authorization": "Bearer two"})
    await store.transact(lambda connection: connections.replace_connection(connection, made, sealed))
    clock.forward(MINUTE)
    await work_off(dispatcher(store, target))
    assert [sent.secret["authorization"] for sent in target.destinations] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(("until", "second"), [(NOON + HOUR, "OLD"), (NOON + SECOND, "NEW")])
async def test_send__refused_keys_fall_back_to_the_former_ones(
    store: Store, clock: Clock, until: int, second: str
) -> None:
    made = await connect(
        store,
        "aws",
        {"aws_access_key_id": "NEW"},
        {"aws_secret_access_key": "new"},
        {"aws_access_key_id": "OLD", "aws_secret_access_key": "old"},
        until,
    )
    sent: list[str] = []
    target = ScriptedTarget(name="sns")

    def answer(_: Message) -> Outcome:
        sent.append(target.destinations[-1].public["sns_access_key_id"])
        return Unauthorized("refused") if sent[-1] == "NEW" else Delivered("m")

    target.script = answer
    job = await owe(store, made, "sns")
    await work_off(dispatcher(store, target))
    clock.forward(MINUTE)
    await work_off(dispatcher(store, target))
    assert sent == ["NEW", second]
    state = (await read_firing(store, job["cronjob_id"])).state
    assert state == ("delivered" if second == "OLD" else "pending")


@pytest.mark.parametrize(
    ("target", "destination"),
    [
        ("http", {"delivery_http_url": "https://evil.example/"}),
        ("http", {"delivery_http_url": f"{BASE}/../x"}),
    ],
)
async def test_send__never_anywhere_else(store: Store, target: str, destination: dict[str, str]) -> None:
    made = await connect(store, "http", {"base_url": BASE}, {"authorization": f"Bearer {CANARY}"})
    scripted = ScriptedTarget(name=target)
    job = await owe(store, made, target, destination=destination)
    await work_off(dispatcher(store, scripted))
    assert not scripted.messages
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("failed", Reason.UNSENDABLE)
    (attempt,) = await read_attempts(store, job["cronjob_id"])
    assert "not below" in attempt.detail
    assert CANARY not in attempt.detail


async def test_send__of_one_account_with_anothers_connection_opens_nothing(store: Store) -> None:
    """Should a row ever say so: the secret is sealed for its own account."""
    made = await connect(store, "http", {"base_url": BASE}, {"authorization": "Bearer one"})
    other = await make_account(store)
    job = await make_cronjob(
        store,
        other,
        target="http",
        destination=json.dumps({"delivery_http_url": URL}),
        secret=None,
        connection_id=made.connection_id,
    )
    await make_firing(store, job)
    target = ScriptedTarget(name="http")
    await work_off(dispatcher(store, target))
    assert not target.messages
    row = await read_firing(store, job["cronjob_id"])
    assert (row.state, row.reason) == ("pending", Reason.UNSENDABLE)


async def test_uses__are_written_once_a_minute(sqlite_store: Store, clock: Clock) -> None:
    store = sqlite_store
    made = await connect(store, "http", {"base_url": BASE}, {"authorization": "Bearer one"})
    job = await owe(store, made, "http")
    target = ScriptedTarget(name="http")
    sends = dispatcher(store, target)
    written: list[str] = []

    def listen(connection: Any) -> None:
        event.listen(
            connection.engine,
            "before_cursor_execute",
            lambda *each: written.append(each[2]) if "last_used_at" in each[2] else None,
        )

    await store.transact(listen)
    for seconds in (0, 1, 59, 60):
        clock.now = NOON + seconds * SECOND
        if seconds:
            await make_firing(store, job, scheduled_at=clock.now, due_at=clock.now)
        await work_off(sends)
    assert len(target.messages) == 4
    assert len(written) == 2


def test_uses__what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cronally.engine.uses._KNOWN", 3)
    uses = Uses()
    uses.written({f"c{number}": NOON for number in range(10)})
    assert list(uses._written) == ["c7", "c8", "c9"]
    assert USE_NOTED == MINUTE
