"""The storm: many cron jobs of many accounts, due at one instant, on SQLite and on PostgreSQL.

    python -m benchmarks.storm [--cronjobs 20000] [--accounts 200] [--topics 1] [--database sqlite] [--light 500]

A real `cronally serve` is started on a database that holds the cron jobs; it delivers over real sockets to the
stand-in that answers as SNS does. Everything runs on this machine: server, database and receiver. Measured are

- recorded/s: from the fire time until the last firing was durable in the ledger, as the server's own metrics tell
- delivered/s and lateness: from the fire time until the stand-in had received a firing
- lost and duplicate: by firing id, what the ledger owes against what the stand-in received
- memory: the peak of the server process (and of nobody else)
- the ceiling: the bare signed publishing loop, a request for each firing, against the same stand-in in the same run,
  and the ratio to it; what goes out together (`PublishBatch`) can pass it
- a light load: 50 fire times a second, each its own instant
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from sqlalchemy import Connection, insert, select

from benchmarks.publish import PublishFigures, publish_loop
from benchmarks.standin import Receipt, Standin
from cronally.clock import zones
from cronally.firing import State, firing_id
from cronally.instants import DAY, SECOND, format_iso, parse_iso
from cronally.server import keys as sealing
from cronally.store import open_store, tables
from cronally.vault import SealContext, Vault, new_sealing_key, parse_sealing_keys
from tests.support.postgres import postgres_server

LIGHT_PER_SECOND: Final = 50
SETTLE: Final = 4 * SECOND
"""From the end of the set-up to the fire time: the server is awake and idle."""
DEADLINE: Final = 120.0
RECORDED: Final = re.compile(rb'cronally_firings_total\{state="(\w+)",target="sns"\} ([0-9.e+]+)')


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run took. Times in seconds."""

    fired: int
    recorded_in: float
    delivered_in: float
    lateness: list[float]
    lost: int
    duplicates: int
    early: int
    peak_mib: float
    requests: int
    """That brought them to the receiver."""
    cpu_us: float
    """CPU time of the server process for each firing, in microseconds."""


def fire_times(count: int, start: int, per_second: int | None) -> list[int]:
    """The fire times of `count` cron jobs: all at `start`, or `per_second` of them evenly after it."""
    if per_second is None:
        return [start] * count
    return [start + number * SECOND // per_second for number in range(count)]


def fill(
    connection: Connection, vault: Vault, accounts: int, topics: int, times: list[int], now: int
) -> None:
    """Write accounts, and cron jobs that are due at `times`, as the API would have.

    :param topics: of each account
    """
    ids = [str(uuid.uuid4()) for _ in range(accounts)]
    connection.execute(
        insert(tables.account),
        [
            {
                "account_id": account,
                "email": f"{account}@example.com",
                "email_key": account,
                "created_at": now,
            }
            for account in ids
        ],
    )
    rows = []
    for number, due_at in enumerate(times):
        index = number % accounts
        account, cronjob_id = ids[index], str(uuid.uuid4())
        place = SealContext(account, "cronjob", "secret", cronjob_id)
        destination = {
            "sns_topic": f"arn:aws:sns:us-east-1:{index:012d}:storm-{number // accounts % topics}",
            "sns_message": f'{{"job": "report {number}", "queue": "nightly"}}',
            "sns_region": "us-east-1",
            "sns_access_key_id": f"AKIA{index:016d}",
        }
        rows.append(
            {
                "cronjob_id": cronjob_id,
                "account_id": account,
                "name": f"report {number}",
                "cron": "0 0 1 1 *",
                "timezone": "UTC",
                "policies": json.dumps({"catch_up": "latest", "misfire_grace": DAY}),
                "state": "active",
                "version": 1,
                "created_at": now,
                "updated_at": now,
                "settled_at": now,
                "next_fire_at": due_at,
                "tzdata": zones.version(),
                "target": "sns",
                "destination": json.dumps(destination),
                "size": len(json.dumps(destination)),
                "secret": vault.seal(json.dumps({"sns_secret_access_key": f"{index:040d}"}).encode(), place),
            }
        )
    connection.execute(insert(tables.cronjob), rows)


async def prepare(
    url: str, keys: str, accounts: int, topics: int, count: int, per_second: int | None
) -> list[int]:
    """Migrate and fill the database; return the fire times."""
    vault = Vault(parse_sealing_keys(keys))
    store = await open_store(url)
    try:
        await sealing.check(store, vault)
        now = await store.clock()
        # The set-up itself takes a moment: fire times count from its end.
        start = now + SETTLE + count * 100
        times = fire_times(count, start, per_second)
        await store.transact(lambda connection: fill(connection, vault, accounts, topics, times, now))
        return times
    finally:
        await store.close()


async def ledger(url: str) -> tuple[Counter[str], set[str]]:
    """How many firings ended in each state, and the ids of all."""
    store = await open_store(url)
    try:
        rows = await store.transact(
            lambda connection: connection.execute(
                select(tables.firing.c.cronjob_id, tables.firing.c.scheduled_at, tables.firing.c.state)
            ).all()
        )
    finally:
        await store.close()
    return Counter(row[2] for row in rows), {firing_id(row[0], row[1]) for row in rows}


@contextlib.contextmanager
def server(
    url: str,
    keys: str,
    endpoint: str,
    *,
    started: str = r'"url": "(http[^"]+)"',
    module: str = "cronally.cli",
    **settings: str,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running `cronally serve`, and its URL.

    :param module: what runs as `cronally` does
    :param started: matches what it logs once it runs; the first group is given back
    :param settings: more variables of its environment
    """
    # The server appends: what is read here moves no position of its own.
    with tempfile.NamedTemporaryFile("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve", "--port", "0"],
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "CRONALLY_DATABASE_URL": url,
                "CRONALLY_SEALING_KEYS": keys,
                "AWS_ENDPOINT_URL_SNS": endpoint,
                **settings,
            },
        )
        try:
            deadline = time.monotonic() + 20
            while True:
                found = re.search(started.encode(), Path(log.name).read_bytes())
                if found:
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not start:\n{Path(log.name).read_text()}")
                time.sleep(0.05)
            yield process, found[1].decode()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def recorded(url: str) -> int:
    """How many firings the server has durably recorded as ended."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        body = answer.read()
    return int(sum(float(count) for state, count in RECORDED.findall(body) if state != b"pending"))


def processes(pid: int) -> list[int]:
    """A server's processes: the one that was started, and those that it has started."""
    found = [pid]
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if re.search(rf"^PPid:\s+{pid}$", status.read_text(), re.MULTILINE):
                found.append(int(status.parent.name))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a server's processes, in seconds."""
    total = 0
    for one in processes(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int, figure: str = "VmRSS") -> float:
    """Memory of a server's processes, in MiB.

    :param figure: `VmRSS` for now, `VmHWM` for the most that each has held
    """
    texts = [Path(f"/proc/{one}/status").read_text() for one in processes(pid)]
    return sum(int(re.findall(rf"^{figure}:\s+(\d+)", text, re.MULTILINE)[0]) for text in texts) / 1024


def storm(
    url: str, standin: Standin, accounts: int, topics: int, count: int, per_second: int | None
) -> Figures:
    """Run one load through a server on the database at `url`."""
    keys = new_sealing_key()
    standin.reset()
    times = asyncio.run(prepare(url, keys, accounts, topics, count, per_second))
    with server(url, keys, standin.url) as (process, address):
        late = times[0] / SECOND - time.time()
        if late < 0.2:
            raise RuntimeError("the set-up took too long: the fire time is past")
        # What a start costs, and the collector's one look at all of it, is no cost of a firing.
        time.sleep(late - 0.1)
        cpu_before = cpu_seconds(process.pid)
        time.sleep(0.1 + (times[-1] - times[0]) / SECOND)
        deadline = time.monotonic() + DEADLINE
        while recorded(address) < count and time.monotonic() < deadline:
            time.sleep(0.1)
        recorded_in = time.time() - times[0] / SECOND
        cpu = cpu_seconds(process.pid) - cpu_before
        peak = resident_mib(process.pid, "VmHWM")
        receipts, requests = standin.receipts(), standin.requests()
    states, owed = asyncio.run(ledger(url))
    received = Counter(receipt.firing_id for receipt in receipts)
    lateness = sorted(receipt_lateness(receipts))
    return Figures(
        fired=states[State.DELIVERED],
        recorded_in=recorded_in,
        delivered_in=max(receipt.received_at for receipt in receipts) / SECOND - times[0] / SECOND,
        lateness=lateness,
        lost=count - len(owed & received.keys()),
        duplicates=sum(received.values()) - len(received),
        early=sum(value < 0 for value in lateness),
        requests=requests,
        peak_mib=peak,
        cpu_us=cpu / count * 1e6,
    )


def receipt_lateness(receipts: Iterable[Receipt]) -> Iterator[float]:
    """Seconds from the fire time to the first receipt, a firing each."""
    seen: set[str] = set()
    for receipt in receipts:
        if receipt.firing_id not in seen:
            seen.add(receipt.firing_id)
            yield (receipt.received_at - parse_iso(receipt.scheduled_at)) / SECOND


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of the sorted values lies."""
    return values[min(len(values) - 1, int(share * len(values)))]


@contextlib.contextmanager
def databases(wanted: Iterable[str], runs: Iterable[str]) -> Iterator[dict[str, list[str]]]:
    """For each database the URL of an empty one for each run, on disk and durable."""
    with tempfile.TemporaryDirectory(prefix="cronally-bench-") as folder, contextlib.ExitStack() as stack:
        made = {}
        if "sqlite" in wanted:
            made["SQLite"] = [f"sqlite:///{folder}/{run}.db" for run in runs]
        if "postgres" in wanted:
            postgres = stack.enter_context(postgres_server(durable=True))
            made["PostgreSQL"] = [postgres.create_database(run) for run in runs]
        yield made


def report(name: str, figures: Figures, ceiling: PublishFigures) -> None:
    """Print the figures of a storm."""
    late = figures.lateness
    print(
        f"{name}: {figures.fired:,} delivered and recorded in {figures.recorded_in:.2f} s\n"
        f"  recorded   {figures.fired / figures.recorded_in:>9,.0f} /s\n"
        f"  delivered  {len(late) / figures.delivered_in:>9,.0f} /s\n"
        f"  ratio      {figures.fired / figures.recorded_in / ceiling.per_second:>9.2f} of the ceiling\n"
        f"  lateness   p50 {percentile(late, 0.5):.2f} s, p99 {percentile(late, 0.99):.2f} s, max {late[-1]:.2f} s\n"
        f"  lost {figures.lost}, duplicates {figures.duplicates}, early {figures.early},"
        f" {figures.requests:,} requests, peak memory {figures.peak_mib:.0f} MiB,"
        f" server CPU {figures.cpu_us:.0f} us a firing"
    )


def report_light(name: str, figures: Figures) -> None:
    """Print the figures of the light load."""
    late = [value * 1000 for value in figures.lateness]
    print(
        f"{name}, light load ({LIGHT_PER_SECOND}/s, {figures.fired} firings): lateness p50"
        f" {percentile(late, 0.5):.1f} ms, p99 {percentile(late, 0.99):.1f} ms, max {late[-1]:.1f} ms;"
        f" lost {figures.lost}, duplicates {figures.duplicates}, early {figures.early}"
    )


def main(arguments: Iterable[str] | None = None) -> int:
    """Run and print everything; return 1 if a firing was lost, doubled or early."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cronjobs", type=int, default=20_000, help="cron jobs due at one instant")
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument(
        "--topics",
        type=int,
        default=1,
        help="topics of each account; only firings with one topic go out together",
    )
    parser.add_argument("--light", type=int, default=500, help="firings of the light load; 0 leaves it out")
    parser.add_argument("--database", action="append", choices=["sqlite", "postgres"])
    options = parser.parse_args(None if arguments is None else list(arguments))
    taken_at = format_iso(time.time_ns() // 10**9 * SECOND)
    print(
        f"{options.cronjobs:,} cron jobs of {options.accounts} accounts at one instant; {os.cpu_count()} cores,"
        f" Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}; {taken_at}"
    )
    bad = 0
    chosen = options.database or ["sqlite", "postgres"]
    loads = {"storm": options.cronjobs} | ({"light": options.light} if options.light else {})
    with Standin() as standin, databases(chosen, loads) as made:
        ceiling = uvloop.run(publish_loop(standin.url, publishes=options.cronjobs))
        print(f"ceiling (bare signed publishing loop, one by one, no database): {ceiling.per_second:,.0f} /s")
        for name, urls in made.items():
            for url, (load, count) in zip(urls, loads.items(), strict=True):
                pace = LIGHT_PER_SECOND if load == "light" else None
                figures = storm(url, standin, options.accounts, options.topics, count, pace)
                if load == "light":
                    report_light(name, figures)
                else:
                    report(name, figures, ceiling)
                bad += figures.lost + figures.duplicates + figures.early + (count - figures.fired)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
