"""The keys of the ledger: what a firing takes and costs with each type of key, on SQLite and on PostgreSQL.

    python -m benchmarks.keys [--database sqlite] [--cronjobs 10000] [--ticks 100] [--rounds 5]

The statements have the shape of the store's, on the plain drivers, which add the least to what the keys cost. A ledger
of finished firings is written tick by tick, the cron jobs of each tick in random order, and its bytes are counted.
Then, in turns, each variant inserts due firings (500 in one statement), claims and records them, and lists pages. What
is measured is CPU time, of this process and of the PostgreSQL backend, so that other work on the machine matters less.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg

from tests.support.postgres import postgres_server

ACCOUNTS, BATCH, SHARE, PAGES = 200, 500, 10, 200
SECOND: Final = 1_000_000
START: Final = 1_800_000_000 * SECOND
NOW: Final = 2 * START
STATES: Final = ("pending", "sending", "delivered")
PARENT: Final = json.dumps({"sns_topic": "arn:aws:sns:us-east-1:0:report", "sns_message": "report " * 20})
# Name, key of the cron job, key of the account, whether kind and state are small integers (and the columns in the
# order of their width, so that PostgreSQL loses nothing to alignment).
VARIANTS: Final = (
    ("text", "text", "text", False),
    ("text, small", "text", "text", True),
    ("uuid", "uuid", "uuid", False),
    ("uuid, small", "uuid", "uuid", True),
    ("number, account uuid", "number", "uuid", False),
    ("number", "number", "number", False),
    ("number, small", "number", "number", True),
)
SQLITE: Final = {
    "text": ("TEXT", "{}", "{}"),
    "uuid": ("BLOB", "unhex({})", "hex({})"),  # Python gives `hex` its dashes and case.
    "number": ("INTEGER", "{}", "{}"),
}
POSTGRES: Final = {
    "text": ('TEXT COLLATE "C"', "CAST({} AS TEXT)", "{}"),
    "uuid": ("UUID", "CAST({} AS UUID)", "CAST({} AS TEXT)"),
    "number": ("BIGINT", "CAST({} AS BIGINT)", "{}"),
}
"""Of each kind of key: its type, how it comes out of JSON, and how an answer shows it."""

FIRING: Final = """cronjob_key {cronjob} NOT NULL, scheduled_at BIGINT NOT NULL, kind {word} NOT NULL,
account_key {account} NOT NULL, state {word} NOT NULL, reason TEXT, until_at BIGINT, count BIGINT NOT NULL DEFAULT 1,
due_at BIGINT, attempt INTEGER NOT NULL DEFAULT 0, lease_no INTEGER NOT NULL DEFAULT 0,
lost_leases INTEGER NOT NULL DEFAULT 0, created_at BIGINT NOT NULL, sent_at BIGINT, duration BIGINT, version INTEGER,
finished_at BIGINT, message_id TEXT"""
CREATE: Final = """
CREATE TABLE firing ({columns}, PRIMARY KEY (cronjob_key, scheduled_at, kind),
    CHECK ((due_at IS NOT NULL) = (state IN ({pending}, {sending}))));
CREATE INDEX ix_firing_due ON firing (account_key, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX ix_firing_listed ON firing (account_key, scheduled_at);
CREATE TABLE account (account_key {account} PRIMARY KEY, public_id {public} UNIQUE);
CREATE TABLE cronjob (cronjob_key {cronjob} PRIMARY KEY, public_id {public} UNIQUE, account_key {account} NOT NULL,
    version INTEGER, second BIGINT, destination TEXT)"""
LOAD: Final = """INSERT INTO firing (cronjob_key, scheduled_at, kind, account_key, state, attempt, lease_no, created_at,
    sent_at, duration, version, finished_at, message_id)
SELECT cronjob_key, {at}, {scheduled}, account_key, {delivered}, 1, 1, {at}, {at}, 20000, 1, {at}, {message}
FROM cronjob ORDER BY random()"""
INSERT: Final = """INSERT INTO firing (cronjob_key, scheduled_at, account_key, state, reason, until_at, count, due_at,
    created_at, finished_at, kind)
SELECT {fields}, {scheduled} FROM {each} WHERE 1 = 1 ON CONFLICT DO NOTHING"""
LEASE: Final = """state = {sending}, due_at = $2, attempt = f.attempt + 1, lease_no = f.lease_no + 1,
    lost_leases = f.lost_leases + CASE WHEN f.state = {sending} THEN 1 ELSE 0 END"""
READ: Final = """{shown_cronjob}, f.scheduled_at, f.kind, {shown_account}, f.attempt, f.lease_no, f.lost_leases,
    f.created_at, c.version, c.destination, {raw_cronjob}"""
PICK_SQLITE: Final = """SELECT json_group_array(picked) FROM (SELECT f.rowid AS picked
    FROM json_each($1) v CROSS JOIN firing f WHERE f.rowid IN (SELECT g.rowid FROM firing g
    WHERE g.account_key = {from_account} AND g.due_at <= $2 ORDER BY g.due_at LIMIT 10) LIMIT 500)"""
LEASE_SQLITE: Final = f"UPDATE firing AS f SET {LEASE} WHERE rowid IN (SELECT value FROM json_each($1))"  # noqa: S608
READ_SQLITE: Final = f"""SELECT json_group_array(json_array({READ}))
FROM json_each($1) r CROSS JOIN firing f ON f.rowid = r.value {{joins}}"""  # noqa: S608
CLAIM_POSTGRES: Final = f"""WITH picked AS (
    SELECT due.* FROM jsonb_array_elements_text(CAST(CAST($1 AS TEXT) AS JSONB)) v(value) CROSS JOIN LATERAL (
        SELECT g.cronjob_key, g.scheduled_at, g.kind FROM firing g
        WHERE g.account_key = {{from_account}} AND g.due_at <= $2
        ORDER BY g.due_at LIMIT 10 FOR UPDATE SKIP LOCKED) due LIMIT 500),
claimed AS (UPDATE firing f SET {LEASE.replace("$2", "$3")} FROM picked p WHERE f.cronjob_key = p.cronjob_key
    AND f.scheduled_at = p.scheduled_at AND f.kind = p.kind RETURNING f.*)
SELECT {READ} FROM claimed f {{joins}}"""  # noqa: S608
RECORD: Final = """UPDATE firing SET state = b.v4, reason = b.v5, due_at = b.v6, attempt = b.v7, sent_at = b.v8,
    duration = b.v9, version = b.v10, finished_at = b.v11, message_id = b.v12, lost_leases = 0
FROM (SELECT {fields} FROM {each}) b WHERE firing.cronjob_key = b.v0 AND firing.scheduled_at = b.v1
    AND firing.kind = b.v2 AND firing.lease_no = b.v3 AND firing.state = {sending}"""
PAGE: Final = """SELECT {shown_cronjob}, f.scheduled_at, f.kind, f.state, f.reason, f.until_at, f.count, f.due_at,
    f.attempt, f.lease_no, f.created_at, f.sent_at, f.duration, f.finished_at, f.message_id
FROM (SELECT * FROM firing f WHERE account_key = {page_account}
    ORDER BY scheduled_at DESC, cronjob_key DESC, kind DESC LIMIT 100) f {page_join}"""
Run = Callable[..., Any]
Clock = Callable[[], float]


class Ledger:
    """One variant in a database of its own."""

    def __init__(
        self, variant: tuple[str, str, str, bool], made: tuple[Run, Clock], sqlite: bool, cronjobs: int
    ) -> None:
        self.name, cronjob, account, self.small = variant
        run, self.clock = made
        self.run, self.sqlite = run, sqlite
        self.times: dict[str, list[float]] = {name: [] for name in ("insert", "claim", "record", "page")}
        kinds = SQLITE if sqlite else POSTGRES
        self.states = [number if self.small else state for number, state in enumerate(STATES)]
        self.scheduled = 1 if self.small else "scheduled"
        word = "SMALLINT" if self.small else kinds["text"][0]
        shown_cronjob = kinds[cronjob][2].format("f.cronjob_key")
        at = f"{{tick}} + second * {SECOND}"
        numbered = cronjob == "number"
        more = "JOIN account a ON a.account_key = f.account_key" if account == "number" else ""
        owner = kinds["uuid"][2].format("a.public_id") if more else kinds[account][2].format("f.account_key")
        page_join = "JOIN cronjob c ON c.cronjob_key = f.cronjob_key" if numbered else ""
        self.words = {
            **{state: repr(value) for state, value in zip(STATES, self.states, strict=True)},
            "scheduled": repr(self.scheduled),
            "raw_cronjob": shown_cronjob,
            "shown_cronjob": kinds["uuid"][2].format("c.public_id") if numbered else shown_cronjob,
            "shown_account": owner,
            "from_account": kinds[account][1].format("v.value"),
            "page_account": kinds[account][1].format("$1" if sqlite else "CAST($1 AS TEXT)"),
            "joins": f"JOIN cronjob c ON c.cronjob_key = f.cronjob_key {more}",
            "page_join": f"{page_join} ORDER BY f.scheduled_at DESC, f.cronjob_key DESC, f.kind DESC",
            "each": "json_each($1)" if sqlite else "jsonb_array_elements(CAST(CAST($1 AS TEXT) AS JSONB))",
            "message": "hex(randomblob(18))" if sqlite else "CAST(gen_random_uuid() AS TEXT)",
            "at": at,
        }
        casts = {
            "c": kinds[cronjob][1],
            "a": kinds[account][1],
            "n": kinds["number"][1],
            "t": kinds["text"][1],
        }
        casts |= {"i": "{}" if sqlite else "CAST({} AS INTEGER)", "w": casts["t"]}
        if self.small and not sqlite:
            casts["w"] = "CAST({} AS SMALLINT)"
        value = "json_extract(value, '$[{}]')" if sqlite else "(value ->> {})"

        def fields(letters: str) -> str:
            return ", ".join(f"{casts[x].format(value.format(i))} AS v{i}" for i, x in enumerate(letters))

        self.insert_sql = INSERT.format(fields=fields("cnawtninnn"), **self.words)
        self.record_sql = RECORD.format(fields=fields("cnwiwtninnint"), **self.words)
        columns = re.split(
            r",\s+", FIRING.format(cronjob=kinds[cronjob][0], account=kinds[account][0], word=word)
        )
        if self.small:
            width = {"BIGINT": 0, "INTEGER": 1, "SMALLINT": 2}
            columns.sort(key=lambda column: width.get(column.split()[1], 3))
        types = {"cronjob": kinds[cronjob][0], "account": kinds[account][0], "public": kinds["uuid"][0]}
        for statement in CREATE.format(columns=", ".join(columns), **types, **self.words).split(";"):
            run(statement)
        self.accounts = [self._parent("account", account, number, "") for number in range(ACCOUNTS)]
        run("BEGIN")
        # The cron jobs of an account do not fire in the same second.
        self.cronjobs = [
            (
                self._parent("cronjob", cronjob, i, self.accounts[i % ACCOUNTS]),
                self.accounts[i % ACCOUNTS],
                i // ACCOUNTS,
            )
            for i in range(cronjobs)
        ]
        run("COMMIT")

    def _parent(self, table: str, kind: str, number: int, account: Any) -> Any:
        """Insert an account or a cron job, and return its key as it travels in JSON."""
        public = uuid.uuid4()
        key = {"text": f"'{public}'", "uuid": f"'{public.hex}'", "number": str(number)}[kind]
        stored = f"x{key}" if self.sqlite and kind == "uuid" else key
        other = (f"x'{public.hex}'" if self.sqlite else f"'{public.hex}'") if kind == "number" else "NULL"
        more = ""
        if account != "":
            owner = account if isinstance(account, int) else f"'{account}'"
            blob = "x" if self.sqlite and isinstance(account, str) and len(account) == 32 else ""
            more = f", {blob}{owner}, 1, {number // ACCOUNTS}, '{PARENT}'"
        self.run(f"INSERT INTO {table} VALUES ({stored}, {other}{more})")  # noqa: S608
        return number if kind == "number" else key.strip("'")

    def load(self, tick: int) -> None:
        """A finished firing of each cron job, in any order."""
        words = {**self.words, "at": self.words["at"].format(tick=START + 60 * tick * SECOND)}
        self.run(LOAD.format(**words))

    def insert(self, tick: int) -> None:
        """A due firing of each cron job, as the scheduler writes them."""
        mixed = random.sample(self.cronjobs, len(self.cronjobs))
        for first in range(0, len(mixed), BATCH):
            rows = []
            for cronjob, account, second in mixed[first : first + BATCH]:
                at = START + (second + 60 * tick) * SECOND
                rows.append((cronjob, at, account, self.states[0], None, None, 1, at, at, None))
            self.run(self.insert_sql, encode(rows))

    def claim(self, accounts: list[Any]) -> list[list[Any]]:
        """Lease firings; each row has last what SQL finds its cron job by."""
        given = json.dumps(accounts)
        if not self.sqlite:
            rows = self.run(CLAIM_POSTGRES.format(**self.words), given, NOW, NOW + 1)
        else:
            picked = self.run(PICK_SQLITE.format(**self.words), given, NOW)[0][0]
            self.run(LEASE_SQLITE.format(**self.words), picked, NOW + 1)
            rows = json.loads(self.run(READ_SQLITE.format(**self.words), picked)[0][0])
        return [[dashed(row[0]), *row[1:3], dashed(row[3]), *row[4:]] for row in rows]

    def record(self, claims: list[list[Any]]) -> None:
        """Every claim was delivered."""
        ended = (START, 20000, 1, START)
        rows = [
            (c[10], *c[1:3], c[5], self.states[2], None, None, c[4], *ended, str(uuid.uuid4()))
            for c in claims
        ]
        self.run(self.record_sql, encode(rows))

    def page(self, account: Any) -> list[list[Any]]:
        """The newest 100 firings of an account."""
        if not self.sqlite:
            rows = self.run(PAGE.format(**self.words), str(account))
        else:
            marks = ", ".join(f"c{number}" for number in range(15))
            page = f"WITH p({marks}) AS ({PAGE}) SELECT json_group_array(json_array({marks})) FROM p"  # noqa: S608
            rows = json.loads(self.run(page.format(**self.words), account)[0][0])
        return [[dashed(row[0]), *row[1:]] for row in rows]

    def turn(self, tick: int) -> None:
        """Measure: insert, claim and record a firing of each cron job, and list pages."""
        spent = dict.fromkeys(self.times, 0.0)

        def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
            began = self.clock()
            result = work(*given)
            spent[name] += self.clock() - began
            return result

        timed("insert", self.insert, tick)
        claimed = place = 0
        while claimed < len(self.cronjobs):
            chosen = (self.accounts * 2)[place : place + BATCH // SHARE]
            claims = timed("claim", self.claim, chosen)
            timed("record", self.record, claims)
            claimed, place = claimed + len(claims), (place + BATCH // SHARE) % ACCOUNTS
        for number in range(PAGES):
            timed("page", self.page, self.accounts[number % ACCOUNTS])
        for name, seconds in spent.items():
            self.times[name].append(seconds / (PAGES if name == "page" else len(self.cronjobs)))

    def sizes(self, rows: int) -> list[float]:
        """Bytes of a firing: heap, primary key, listing; all."""
        names = ["firing", "sqlite_autoindex_firing_1" if self.sqlite else "firing_pkey", "ix_firing_listed"]
        of = (
            "SELECT sum(pgsize) FROM dbstat WHERE name = '{}'"
            if self.sqlite
            else "SELECT pg_relation_size('{}')"
        )
        found = [self.run(of.format(name))[0][0] / rows for name in names]
        return [*found, sum(found)]


def encode(rows: list[Any]) -> str:
    """The parameter for a statement over many rows."""
    return json.dumps(rows, separators=(",", ":"))


def dashed(key: str) -> str:
    """The usual form of a UUID, of the digits that SQLite gives."""
    if len(key) != 32:
        return key
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}".lower()


def _execute(file: sqlite3.Connection, sql: str, *values: Any) -> list[Any]:
    return file.execute(re.sub(r"\$(\d)", r"?\1", sql), values).fetchall()


def _fetch(runner: asyncio.Runner, link: asyncpg.Connection, sql: str, *values: Any) -> list[Any]:
    found: list[Any] = runner.run(link.fetch(sql, *values))
    return found


def _cpu_seconds(pid: int) -> float:
    return time.process_time() + backend_seconds(pid)


def backend_seconds(pid: int) -> float:
    """CPU time of a process, as the scheduler of Linux counts it."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@contextlib.contextmanager
def databases(sqlite: bool) -> Iterator[list[tuple[Run, Clock]]]:
    """What runs a statement in a durable database, an own one for each variant."""
    with contextlib.ExitStack() as stack:
        made: list[tuple[Run, Clock]] = []
        if sqlite:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cronally-bench-"))
            for number in range(len(VARIANTS)):
                file = stack.enter_context(
                    contextlib.closing(sqlite3.connect(f"{folder}/{number}", isolation_level=None))
                )
                # SQLite has it from 3.41 on.
                file.create_function("unhex", 1, bytes.fromhex, deterministic=True)
                for setting in (
                    "journal_mode=WAL",
                    "synchronous=FULL",
                    "cache_size=-16384",
                    "temp_store=MEMORY",
                ):
                    file.execute(f"PRAGMA {setting}")
                made.append((partial(_execute, file), time.process_time))
        else:
            server = stack.enter_context(postgres_server(durable=True))
            runner = stack.enter_context(asyncio.Runner())
            for number in range(len(VARIANTS)):
                link = runner.run(asyncpg.connect(server.create_database(f"keys{number}")))
                pid = runner.run(link.fetchval("SELECT pg_backend_pid()"))
                made.append((partial(_fetch, runner, link), partial(_cpu_seconds, pid)))
        yield made


def measure(sqlite: bool, cronjobs: int, ticks: int, rounds: int) -> None:
    """Fill, count, take turns, print."""
    with databases(sqlite) as made:
        ledgers = [Ledger(v, run, sqlite, cronjobs) for v, run in zip(VARIANTS, made, strict=True)]
        for ledger in ledgers:
            for tick in range(ticks):
                ledger.load(tick)
            ledger.run("ANALYZE" if sqlite else "VACUUM ANALYZE")
        sizes = [ledger.sizes(cronjobs * ticks) for ledger in ledgers]
        for turn in range(rounds):
            for ledger in ledgers[turn % len(ledgers) :] + ledgers[: turn % len(ledgers)]:
                ledger.turn(ticks + turn)
                ledger.run("PRAGMA wal_checkpoint" if sqlite else "VACUUM firing")
    print(f"{'SQLite' if sqlite else 'PostgreSQL'}, {cronjobs * ticks:,} firings; medians (ratio to text)")
    print("| keys | heap | primary key | listing | bytes a firing | insert | claim | record | page |")
    for ledger, size in zip(ledgers, sizes, strict=True):
        cells = [*(f"{value:.0f}" for value in size[:3]), f"{size[3]:.0f} ({size[3] / sizes[0][3]:.2f})"]
        for name, seconds in ledger.times.items():
            ratio = statistics.median(a / b for a, b in zip(ledgers[0].times[name], seconds, strict=True))
            middle = statistics.median(seconds)
            figure = f"{middle * 1000:.2f} ms" if name == "page" else f"{1 / middle:,.0f}/s"
            cells.append(f"{figure} ({ratio:.2f})")
        print(" | ".join(["", ledger.name, *cells, ""]).strip(), flush=True)


def main(arguments: Iterable[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cronjobs", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, help="firings of each cron job: 40 on SQLite, 100 on PostgreSQL")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", action="append", choices=["sqlite", "postgres"])
    options = parser.parse_args(None if arguments is None else list(arguments))
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}")
    for database in options.database or ["sqlite", "postgres"]:
        sqlite = database == "sqlite"
        measure(sqlite, options.cronjobs, options.ticks or (40 if sqlite else 100), options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
