"""What the tests of store and engine start from: rows inserted directly, a clock moved by hand, a target with a script.

Invariant: nothing here goes through the code under test to set a scene, and nothing waits: whoever needs to know that
something has happened awaits an event of the `ScriptedTarget`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, event, insert, select, text

from cronally import wire
from cronally.ack_links import KEY_BYTES, AckLinks
from cronally.clock import zones
from cronally.cronjob import Policies, State
from cronally.engine.dispatcher import Dispatcher
from cronally.instants import DAY, MINUTE, parse_iso
from cronally.store import Store, pauses, tables
from cronally.store.cronjobs import Cronjob
from cronally.store.database import Work
from cronally.targets.target import Delivered, Destination, Look, Message, Outcome, Receiver
from cronally.vault import SealContext, SealingKey, Vault

NOON = parse_iso("2026-11-24T12:00:00Z")
"""A Tuesday. Where every test's clock starts."""

CANARY = "canary-f3b1c2d4"
"""Stands in every secret: it may appear nowhere but in what a target is given."""

_numbers = itertools.count(1)


def uuid_of(name: str) -> str:
    """The UUID that a test calls `name`. Names of up to 16 characters sort as their UUIDs do."""
    if wire.UUID.fullmatch(name):
        return name
    octets = name.encode()
    return str(UUID(bytes=octets.ljust(16, b"\0") if len(octets) <= 16 else sha256(octets).digest()[:16]))


def name_of(uuid: str) -> str:
    """What a test calls a UUID of `uuid_of`, of a short name."""
    return UUID(uuid).bytes.rstrip(b"\0").decode()


class Clock:
    """The clock of a store, moved by hand."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    async def __call__(self) -> int:
        return self.now

    def forward(self, duration: int) -> int:
        """Move it (back, if the duration is negative) and say where it stands."""
        self.now += duration
        return self.now


class Monotonic:
    """A monotonic clock in seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def vault(key_id: str = "k1", fill: int = 7) -> Vault:
    """A vault with one key."""
    return Vault([SealingKey(key_id, bytes([fill]) * 32)])


LINKS = AckLinks(bytes(range(KEY_BYTES)), "https://cron.example.com")
"""What makes acknowledgement URLs in tests."""


def account_values(account_id: str | None = None) -> dict[str, Any]:
    name = account_id or f"account-{next(_numbers):06}"
    account_id, email = uuid_of(name), f"{name}@example.com"
    return {"account_id": account_id, "email": email, "email_key": email, "created_at": NOON}


def encode_policies(**policies: Any) -> str:
    """Policies as they are stored."""
    return json.dumps(policies, sort_keys=True, separators=(",", ":"))


def cronjob_values(account_id: str, **given: Any) -> dict[str, Any]:
    """A minutely cron job whose next fire time is noon, but for what is given. Policies are given by their names.

    :param secret: a mapping to seal, bytes as they are, or None; a mapping with the canary if not given
    """
    values: dict[str, Any] = {
        "cronjob_id": f"cronjob-{next(_numbers):06}",
        "account_id": account_id,
        "name": "Reports",
        "cron": "* * * * *",
        "timezone": "UTC",
        "state": State.ACTIVE,
        "state_reason": None,
        "version": 1,
        "created_at": NOON - MINUTE,
        "updated_at": NOON - MINUTE,
        "updated_by": None,
        "next_fire_at": NOON,
        "tzdata": zones.version(),
        "fired": 0,
        "target": "scripted",
        "destination": json.dumps({"scripted_topic": "reports"}),
        "secret": {"scripted_secret": CANARY},
        **pauses.NOT_PAUSED,
        "tags": "[]",
        "connection_id": None,
        **given,
    }
    values |= {name: uuid_of(values[name]) for name in ("cronjob_id", "account_id")}
    values.setdefault("settled_at", values["updated_at"])
    policies = {name: values.pop(name) for name in Policies._fields if name in values}
    values.setdefault("policies", encode_policies(**policies))
    values.setdefault("purge_at", NOON + DAY if values["state"] == State.DELETED else None)
    sent = (values[name] for name in ("name", "cron", "policies", "destination", "tags"))
    values["size"] = sum(len(text.encode()) for text in sent) - len("[]")
    if isinstance(values["secret"], Mapping):
        place = SealContext(values["account_id"], "cronjob", "secret", values["cronjob_id"])
        values["secret"] = vault().seal(json.dumps(values["secret"]).encode(), place)
    return values


def cronjob_of(values: Mapping[str, Any]) -> Cronjob:
    """The cron job with these values, as the store reads it."""
    return Cronjob(**{name: values[name] for name in Cronjob.__dataclass_fields__})


def firing_values(cronjob: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """A pending firing of a cron job, due at noon, but for what is given."""
    return {
        "cronjob_id": uuid_of(cronjob["cronjob_id"]),
        "account_id": uuid_of(cronjob["account_id"]),
        "scheduled_at": NOON,
        "kind": "scheduled",
        "state": "pending",
        "reason": None,
        "until_at": None,
        "count": 1,
        "due_at": NOON if given.get("state", "pending") in ("pending", "sending") else None,
        "attempt": 0,
        "lease_no": 0,
        "lost_leases": 0,
        "created_at": NOON,
        "finished_at": None if given.get("state", "pending") in ("pending", "sending") else NOON,
        **given,
    }


async def insert_rows(store: Store, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    values = [dict(row) for row in rows]
    if values:
        await store.transact(lambda connection: _insert(connection, table, values))


def _insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(tables.metadata.tables[table]), rows)


async def make_account(store: Store, account_id: str | None = None) -> str:
    values = account_values(account_id)
    await insert_rows(store, "account", [values])
    return str(values["account_id"])


async def make_cronjob(store: Store, account_id: str | None = None, **given: Any) -> dict[str, Any]:
    """Insert a cron job, with an account of its own unless one is given; return its row."""
    values = cronjob_values(account_id or await make_account(store), **given)
    await insert_rows(store, "cronjob", [values])
    return values


async def make_firing(store: Store, cronjob: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    values = firing_values(cronjob, **given)
    await insert_rows(store, "firing", [values])
    return values


async def read(store: Store, query: Select[Any]) -> Sequence[Any]:
    return await store.transact(lambda connection: connection.execute(query).all())


async def read_firings(store: Store, cronjob_id: str | None = None) -> Sequence[Any]:
    """The ledger, in the order of its key."""
    table = tables.firing
    query = select(table).order_by(table.c.cronjob_id, table.c.scheduled_at, table.c.kind)
    return await read(
        store, query if cronjob_id is None else query.where(table.c.cronjob_id == uuid_of(cronjob_id))
    )


async def read_firing(store: Store, cronjob_id: str) -> Any:
    """The only firing of a cron job."""
    (row,) = await read_firings(store, cronjob_id)
    return row


async def read_cronjob(store: Store, cronjob_id: str) -> Any:
    (row,) = await read(
        store, select(tables.cronjob).where(tables.cronjob.c.cronjob_id == uuid_of(cronjob_id))
    )
    return row


async def read_attempts(store: Store, cronjob_id: str) -> Sequence[Any]:
    table = tables.attempt
    return await read(
        store, select(table).where(table.c.cronjob_id == uuid_of(cronjob_id)).order_by(table.c.lease_no)
    )


async def read_details(store: Store) -> set[str]:
    """What is recorded of all attempts that did not deliver: the texts that targets said."""
    return {row.detail for row in await read(store, select(tables.attempt.c.detail))}


async def explain(store: Store, work: Work[Any]) -> list[str]:
    """How the database would run each of the statements that `work` runs; the work is rolled back."""
    plans: list[str] = []

    def run(connection: Connection) -> None:
        seen: list[tuple[str, Any]] = []

        def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if "SAVEPOINT" not in statement:
                seen.append((statement, parameters))

        event.listen(connection, "before_cursor_execute", record)
        try:
            with connection.begin_nested() as savepoint:
                work(connection)
                savepoint.rollback()
        finally:
            event.remove(connection, "before_cursor_execute", record)
        verb = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        for statement, parameters in seen:
            rows = connection.exec_driver_sql(f"{verb} {statement}", parameters).all()
            plans.append("".join(f"{row[-1]}\n" for row in rows))

    await store.transact(run)
    return plans


async def analyze(store: Store) -> None:
    """Let the database learn how much there is of what."""
    await store.transact(lambda connection: connection.execute(text("ANALYZE")) and None)


Script = Callable[[Message], Outcome]


def deliver(message: Message) -> Outcome:
    """The script that delivers everything."""
    return Delivered(f"sns-{message.firing_id[:8]}")


@dataclass
class ScriptedTarget:
    """A target inside this process: it answers as its script says, and can be made to hang."""

    script: Script = deliver
    request_timeout: float = 10.0
    name: str = "scripted"
    host_by: str = "to"
    messages: list[Message] = field(default_factory=list)
    """What was sent, in the order in which it came in."""
    destinations: list[Destination] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared by `hang`: whoever sends waits until it is set again."""
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.open.set()

    def hang(self) -> None:
        self.open.clear()

    def check(self, parameters: Mapping[str, str]) -> Mapping[str, str]:
        return {}

    def check_size(
        self, parameters: Mapping[str, Any], cronjob_name: str, ack_url: str | None = None
    ) -> Mapping[str, str]:
        return {}

    async def look(self, parameters: Mapping[str, Any], account_id: str) -> Look:
        return Look()

    def receiver(self, public: Mapping[str, str]) -> Receiver:
        name = f"scripted:{public.get('to', '')}"
        return Receiver(name, public.get("to"), name if "to" in public else None)

    def host(self, value: str) -> str:
        return value

    async def send(self, destination: Destination, message: Message) -> Outcome:
        async with self._arrived:
            self.messages.append(message)
            self.destinations.append(destination)
            self._arrived.notify_all()
        await self.open.wait()
        return self.script(message)

    async def arrived(self, count: int) -> None:
        """Wait until `count` messages came in, all told."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)

    async def close(self) -> None:
        return None


async def work_off(dispatcher: Dispatcher) -> None:
    """Step until there is nothing to claim, and wait for what was sent."""
    busy = True
    while busy:
        more = await dispatcher.step() == 0.0
        busy = more or dispatcher.in_flight > 0
        await dispatcher.settled()
