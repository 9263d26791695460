"""The database as the tests see it: cron jobs are put in, the ledger is read out.

Invariant: it is read and written with statements of its own, not with the store's verbs, and on SQLite only while no
server has the file (`open_store` takes the server's own lock).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, insert, select, text, update

from cronally.clock import zones
from cronally.server import keys as sealing
from cronally.store import open_store, tables
from cronally.vault import SealContext, Vault, parse_sealing_keys

T = TypeVar("T")

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
DAY: Final = 24 * 60 * MINUTE
RARELY: Final = "0 0 29 2 *"
"""An expression that does not fire while a test runs, but for the fire time that the test puts in."""

_numbers = itertools.count(1)


def now() -> int:
    """The instant, in microseconds since 1970, by the clock that servers and receiver have too."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Seed:
    """A cron job as a test puts it into the database."""

    next_fire_at: int
    """Owed, whatever the expression says; the expression takes over from there."""
    cron: str = RARELY
    timezone: str = "UTC"
    dst_gap: str | None = None
    dst_overlap: str | None = None
    catch_up: str = "all"
    misfire_grace: int = DAY
    ordered: bool = False
    created_at: int | None = None
    """A minute before its first fire time if not given: nothing is owed from before a cron job was made."""
    account: str = "account"
    topic: str = "arn:aws:sns:us-east-1:123456789012:topic"
    destination: dict[str, Any] | None = field(default=None, hash=False)
    """Of the target `http`, in place of the topic."""
    secret_access_key: str = field(default="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", repr=False)
    cronjob_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    name: str = field(default_factory=lambda: f"job {next(_numbers)}")

    @property
    def account_id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, self.account))

    @property
    def message(self) -> str:
        """What it publishes: its own words, so that a mix-up shows."""
        return f"this is {self.name}, {self.cronjob_id}"


@dataclass(frozen=True)
class Row:
    """A row of the ledger."""

    cronjob_id: str
    scheduled_at: int
    kind: str
    account_id: str
    state: str
    reason: str | None
    until_at: int | None
    count: int
    due_at: int | None
    attempt: int
    lease_no: int
    created_at: int
    sent_at: int | None
    finished_at: int | None
    message_id: str | None

    @property
    def key(self) -> tuple[str, int, str]:
        return self.cronjob_id, self.scheduled_at, self.kind


@dataclass(frozen=True)
class Attempt:
    """A try that did not deliver."""

    cronjob_id: str
    scheduled_at: int
    kind: str
    lease_no: int
    attempt: int
    outcome: str
    reason: str

    @property
    def key(self) -> tuple[str, int, str]:
        return self.cronjob_id, self.scheduled_at, self.kind


@dataclass(frozen=True)
class Ledger:
    """Everything that the database says about what fired."""

    read_at: int
    rows: list[Row]
    attempts: list[Attempt]
    next_fire_at: dict[str, int | None]
    """Of every cron job."""

    def waiting(self) -> list[Row]:
        """The firings that wait or are being sent."""
        return [row for row in self.rows if row.due_at is not None]

    def sending(self) -> set[tuple[str, int, str]]:
        """The keys of the firings that are claimed and not recorded."""
        return {row.key for row in self.rows if row.state == "sending"}


def seed(url: str, keys: str, seeds: Iterable[Seed]) -> None:
    """Migrate the database if need be, and put cron jobs with their accounts into it."""
    seeds = list(seeds)
    vault = Vault(parse_sealing_keys(keys))

    async def work() -> None:
        store = await open_store(url)
        try:
            await sealing.check(store, vault)
            await store.transact(lambda connection: _insert(connection, vault, seeds))
        finally:
            await store.close()

    asyncio.run(work())


def read_ledger(url: str) -> Ledger:
    """The ledger as it stands."""

    def work(connection: Connection) -> Ledger:
        return Ledger(
            now(),
            [Row(*row) for row in connection.execute(_select(tables.firing, Row))],
            [Attempt(*row) for row in connection.execute(_select(tables.attempt, Attempt))],
            dict(
                connection.execute(select(tables.cronjob.c.cronjob_id, tables.cronjob.c.next_fire_at)).all()
            ),
        )

    return transact(url, work)


def read_settled_ledger(url: str, *, seconds: float = 60.0) -> Ledger:
    """The ledger of PostgreSQL, as soon as no firing in it is waiting or being sent.

    What arrived is recorded a moment later, and how long that moment is says more about the machine than about us.
    """
    deadline = time.monotonic() + seconds
    while waiting := (ledger := read_ledger(url)).waiting():
        assert time.monotonic() < deadline, waiting
        time.sleep(0.05)
    return ledger


def bring_nearer(url: str, cronjob_id: str, at: int) -> None:
    """Make `at` the next fire time of a cron job on PostgreSQL, and wake the servers as its own change would."""

    def work(connection: Connection) -> None:
        connection.execute(
            update(tables.cronjob).where(tables.cronjob.c.cronjob_id == cronjob_id).values(next_fire_at=at)
        )
        connection.execute(text("SELECT pg_notify('cronally', 'cronjobs')"))

    transact(url, work)


def execute(url: str, statement: str, **parameters: Any) -> None:
    """Run one statement."""
    transact(url, lambda connection: connection.execute(text(statement), parameters) and None)


def transact(url: str, work: Callable[[Connection], T]) -> T:
    """Run `work` in one transaction of a store that is opened for it."""

    async def run() -> T:
        store = await open_store(url)
        try:
            return await store.transact(work)
        finally:
            await store.close()

    return asyncio.run(run())


def _select(table: Any, shape: type) -> Any:
    return select(*(table.c[name] for name in shape.__dataclass_fields__))  # type: ignore[attr-defined]


def _insert(connection: Connection, vault: Vault, seeds: Sequence[Seed]) -> None:
    known = set(connection.execute(select(tables.account.c.account_id)).scalars())
    accounts = {one.account_id: one.account for one in seeds if one.account_id not in known}
    made = now()
    if accounts:
        connection.execute(
            insert(tables.account),
            [
                {"account_id": key, "email": f"{name}@example.com", "email_key": key, "created_at": made}
                for key, name in accounts.items()
            ],
        )
    if seeds:
        connection.execute(insert(tables.cronjob), [_cronjob(vault, one, made) for one in seeds])


def _cronjob(vault: Vault, one: Seed, made: int) -> dict[str, Any]:
    place = SealContext(one.account_id, "cronjob", "secret", one.cronjob_id)
    sealed = vault.seal(json.dumps({"sns_secret_access_key": one.secret_access_key}).encode(), place)
    created_at = min(made, one.next_fire_at - MINUTE) if one.created_at is None else one.created_at
    return {
        "cronjob_id": one.cronjob_id,
        "account_id": one.account_id,
        "name": one.name,
        "cron": one.cron,
        "timezone": one.timezone,
        "policies": json.dumps(
            {
                "dst_gap": one.dst_gap,
                "dst_overlap": one.dst_overlap,
                "catch_up": one.catch_up,
                "misfire_grace": one.misfire_grace,
                "ordered": one.ordered,
            }
        ),
        "state": "active",
        "version": 1,
        "created_at": created_at,
        "updated_at": created_at,
        "settled_at": created_at,
        "next_fire_at": one.next_fire_at,
        "tzdata": zones.version(),
        "target": "http" if one.destination else "sns",
        "destination": json.dumps(
            one.destination
            or {
                "sns_topic": one.topic,
                "sns_message": one.message,
                "sns_region": one.topic.split(":")[3],
                "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
            }
        ),
        "size": len(one.message),
        "secret": None if one.destination else sealed,
    }
