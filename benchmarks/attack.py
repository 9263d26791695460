"""Attacks: what an account that behaves notices while others do not.

    python -m benchmarks.attack [--alone] [--attack NAME ...] [--seconds 60] [--database sqlite]

A real `cronally serve` on an empty database; one account, the bystander, with 60 cron jobs that fire once a minute,
each at its own second, towards a stand-in of SNS. First nobody attacks; then each attack alone, with `--alone`; then
all but `tls`, and all, at the same time. Everything runs on this machine, attackers at a lower priority. Measured are

- the lateness of the bystander's firings, from the fire time to the receipt
- how long the bystander's signed `GET /account/` and anybody's `/healthz` take, each on a connection of its own
- memory and CPU of the server's processes
- what is lost: fire times of the bystander in the window that the receiver never saw
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, insert

from benchmarks.attackers import ATTACKS, HOST_ADDRESSES, signed
from benchmarks.certificate import make_certificate
from benchmarks.hanging_names import ZONE
from benchmarks.standin import Standin
from benchmarks.storm import cpu_seconds, databases, percentile, receipt_lateness, resident_mib, server
from cronally import AsyncClient
from cronally.instants import MINUTE, SECOND, parse_iso
from cronally.store import open_store, tables
from cronally.vault import new_sealing_key

HOSTS: Final = ("continue", "answers", "header", "bytes", "hang", "names", "own", "crowd", "tls")
"""Attacks of a target that an account points its cron jobs to. `names`: ten accounts have 130 cron jobs each to
names that nobody answers for; `own`: 130 cron jobs of the bystander itself point to a target that hangs; `crowd`: ten
accounts send 1,000 requests a minute to one host that answers; `tls`: ten accounts send 1,000 requests at one second,
and again 20 s later, to hosts that shake hands for each."""
EVERY: Final = (*ATTACKS, *HOSTS)
TOGETHER: Final = tuple(kind for kind in EVERY if kind != "tls")
"""What the required result is about; `tls` asks for more: it fills both cores for seconds."""
LEDGER: Final = 20_000
"""Firings of the cron job whose pages are asked for."""
SETTLE: Final = 5.0
TIMEOUT: Final = 10.0

Account = tuple[str, str]


@dataclass
class Noticed:
    """What the bystander noticed in a window. Times in seconds."""

    account: list[float] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    cpu: float = 0.0
    """Cores."""
    lateness: list[float] = field(default_factory=list)
    lost: int = 0
    previews: int = 0
    """That were answered with 200: an attack that is refused for a mistake in it attacks nothing."""
    pages: int = 0
    """Of firings, the same."""


async def sign_up(url: str, count: int) -> list[Account]:
    """New accounts."""
    async with AsyncClient(url) as client:
        made = [await client.signup(f"{uuid.uuid4()}@example.com") for _ in range(count)]
    return [(one.api_key, one.api_secret) for one in made]


async def create_jobs(url: str, account: Account, count: int, every: int = 1, /, **parameters: str) -> str:
    """Cron jobs that fire once a minute, spread over its seconds. Returns the id of the last one.

    :param every: seconds between those that are used
    """
    async with AsyncClient(url, *account) as client:

        async def create(number: int) -> str:
            made = await client.create_cronjob(
                name=f"job {number}",
                cron=f"{number * every % 60} * * * * *",
                **parameters,  # type: ignore[arg-type]
            )
            return made.cronjob_id

        ids: list[str] = []
        for start in range(0, count, 20):
            ids += await asyncio.gather(*map(create, range(start, min(count, start + 20))))
    return ids[-1]


def sns(number: int) -> dict[str, str]:
    """The parameters of a topic."""
    return {
        "sns_topic": f"arn:aws:sns:us-east-1:{number:012d}:attack",
        "sns_message": "x" * 1000,
        "sns_region": "us-east-1",
        "sns_access_key_id": f"AKIA{number:016d}",
        "sns_secret_access_key": f"{number:040d}",
    }


def hook(url: str) -> dict[str, str]:
    """The parameters of an HTTP address."""
    return {"delivery_type": "http", "delivery_http_url": url, "delivery_http_method": "post"}


async def fill_ledger(url: str, cronjob_id: str) -> None:
    """Give a cron job a long ledger, with attempts."""
    store = await open_store(url)

    def work(connection: Connection) -> None:
        account_id = (
            connection.execute(tables.cronjob.select().where(tables.cronjob.c.cronjob_id == cronjob_id))
            .one()
            .account_id
        )
        start = time.time_ns() // 1000 // MINUTE * MINUTE - (LEDGER + 10) * MINUTE
        keys = [
            {"cronjob_id": cronjob_id, "scheduled_at": start + number * MINUTE, "kind": "scheduled"}
            for number in range(LEDGER)
        ]
        rest = {"account_id": account_id, "state": "failed", "reason": "target_refused", "count": 1}
        more = {"attempt": 3, "lease_no": 3, "lost_leases": 0}
        connection.execute(
            insert(tables.firing),
            [
                {**key, **rest, **more, "created_at": key["scheduled_at"], "finished_at": key["scheduled_at"]}
                for key in keys
            ],
        )
        connection.execute(
            insert(tables.attempt),
            [
                {
                    **key,
                    "attempt": number,
                    "lease_no": number,
                    "version": 1,
                    "started_at": key["scheduled_at"],
                    "duration": 1000,
                    "outcome": "retry",
                    "reason": "target_error",
                    "detail": "HTTP 503",
                }
                for key in keys
                for number in (1, 2, 3)
            ],
        )

    try:
        await store.transact(work)
    finally:
        await store.close()


async def ask(url: str, path: str, account: Account | None) -> float:
    """Seconds that one request takes, on a connection of its own."""
    parts = urlsplit(url)
    headers = "" if account is None else signed("GET", path, *account)
    began = time.perf_counter()
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{headers}\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
            if head.startswith(b"HTTP/1.1 200"):
                return time.perf_counter() - began
            print(f"  {path}: {head.splitlines()[0].decode()}", file=sys.stderr)
    return TIMEOUT


async def observe(url: str, pid: int, account: Account, seconds: float) -> Noticed:
    """Ask and look for a while."""
    noticed = Noticed()
    ends = time.monotonic() + seconds

    async def probe(path: str, key: Account | None, taken: list[float]) -> None:
        while time.monotonic() < ends:
            taken.append(await ask(url, path, key))
            await asyncio.sleep(0.1)

    async def look() -> None:
        while time.monotonic() < ends:
            noticed.memory_mib = max(noticed.memory_mib, resident_mib(pid))
            await asyncio.sleep(0.1)

    cpu = cpu_seconds(pid)
    await asyncio.gather(
        probe("/account/", account, noticed.account), probe("/healthz/", None, noticed.health), look()
    )
    noticed.cpu = (cpu_seconds(pid) - cpu) / seconds
    return noticed


@contextlib.contextmanager
def attacker(kind: str, order: Mapping[str, object]) -> Iterator[subprocess.Popen[str]]:
    """A process that attacks."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.attackers", kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.wait()


def measure(url: str, pid: int, standin: Standin, bystander: Account, seconds: float) -> Noticed:
    """One window."""
    standin.reset()
    began = time.time_ns() // 1000
    before = answered(url)
    noticed = asyncio.run(observe(url, pid, bystander, seconds))
    after = answered(url)
    noticed.previews, noticed.pages = (now - then for then, now in zip(before, after, strict=True))
    ended = time.time_ns() // 1000
    deadline = time.monotonic() + 60
    while True:
        receipts = [one for one in standin.receipts() if began < parse_iso(one.scheduled_at) <= ended]
        seen = {parse_iso(one.scheduled_at) for one in receipts}
        due = set(range(began // SECOND * SECOND + SECOND, ended + 1, SECOND))
        if due <= seen or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    noticed.lost = len(due - seen)
    noticed.lateness = sorted(receipt_lateness(receipts)) or [float("nan")]
    return noticed


def answered(url: str) -> tuple[int, int]:
    """How many previews, and how many pages of firings, were answered with 200 so far."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = re.findall(r'http_requests_total\{method="GET",route="([^"]+)",status="200"\} (\S+)', text)
    counts = {route.strip("/"): int(float(count)) for route, count in found}
    return counts.get("schedule/preview", 0), counts.get("cronjob/{cronjob_id}/firings", 0)


def report(name: str, noticed: Noticed) -> None:
    """Print one line."""

    def milliseconds(values: Sequence[float]) -> str:
        ordered = sorted(values)
        return "/".join(f"{1000 * percentile(ordered, share):.0f}" for share in (0.5, 0.99, 1.0))

    print(
        f"  {name:<14} lateness {milliseconds(noticed.lateness):>15} ms,"
        f" account {milliseconds(noticed.account):>15} ms, healthz {milliseconds(noticed.health):>15} ms,"
        f" {noticed.memory_mib:4.0f} MiB, {noticed.cpu:.2f} cores, lost {noticed.lost},"
        f" {noticed.previews} previews and {noticed.pages} pages",
        flush=True,
    )


async def prepare(
    url: str, wanted: Sequence[str], bystander: Account, ports: Sequence[int]
) -> tuple[list[Account], str]:
    """The attackers' accounts and cron jobs; of the first account one for the long ledger.

    :param ports: of the hostile hosts, without TLS and with it
    """
    port, secure = ports
    accounts = await sign_up(url, 14)
    listed = await create_jobs(url, accounts[0], 1, **sns(9), catch_up="latest")
    for place, kind in enumerate(HOSTS[:4]):
        if kind in wanted:
            await create_jobs(
                url, accounts[place], 30, **hook(f"http://{HOST_ADDRESSES[place]}:{port}/{kind}")
            )
    if "hang" in wanted:
        # A host of its own for each account: what limits a host is no defence against them.
        for account, host in zip(accounts[2:], HOST_ADDRESSES[4:], strict=False):
            await create_jobs(url, account, 130, **hook(f"http://{host}:{port}/hang"))
    if "names" in wanted:
        for account in accounts[2:12]:
            for number in range(10):
                name = f"{number}.{account[0]}{ZONE}"
                await create_jobs(url, account, 13, 4, **hook(f"http://{name}:{port}/hang"))
    if "own" in wanted:
        await create_jobs(url, bystander, 130, **hook(f"http://{HOST_ADDRESSES[-2]}:{port}/hang"))
    if "crowd" in wanted:
        for account in accounts[4:]:
            await create_jobs(url, account, 100, **hook(f"http://{HOST_ADDRESSES[-1]}:{port}/quick"))
    if "tls" in wanted:
        for account, host in zip(accounts[4:], HOST_ADDRESSES, strict=False):
            await create_jobs(url, account, 300, 20, **hook(f"https://{host}:{secure}/once"))
    return accounts, listed


@dataclass(frozen=True)
class Targets:
    """The hostile hosts."""

    certificate: str
    """A file."""
    ports: list[int]
    """Without TLS and with it."""


@contextlib.contextmanager
def hostile_targets() -> Iterator[Targets]:
    """Start them, on loopback."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(folder, HOST_ADDRESSES)
        with attacker("hosts", {"certificate": certificate}) as process:
            assert process.stdout is not None
            yield Targets(certificate, json.loads(process.stdout.readline()))


def run(url: str, standin: Standin, wanted: Sequence[str], seconds: float, targets: Targets) -> Noticed:
    """What is noticed on an empty database while nobody attacks, if `wanted` is empty, or else while these do."""
    keys = new_sealing_key()
    settings = {
        "CRONALLY_SIGNUPS_PER_MINUTE": "1000",
        "CRONALLY_HTTP_ALLOWED_NETWORKS": "127.0.0.0/8",
        "CRONALLY_MAX_CRONJOBS_PER_ACCOUNT": "1000",
        "SSL_CERT_FILE": targets.certificate,
    }
    accounts: list[Account] = []
    listed = ""
    with server(url, keys, standin.url, **settings) as (_, address):
        (bystander,) = asyncio.run(sign_up(address, 1))
        asyncio.run(create_jobs(address, bystander, 60, **sns(1)))
        if wanted:
            accounts, listed = asyncio.run(prepare(address, wanted, bystander, targets.ports))
    if wanted:
        asyncio.run(fill_ledger(url, listed))
    with (
        server(url, keys, standin.url, module="benchmarks.hanging_names", **settings) as (process, address),
        contextlib.ExitStack() as stack,
    ):
        order = {"url": address, "accounts": accounts, "cronjob_id": listed}
        for kind in wanted:
            if kind in ATTACKS:
                stack.enter_context(attacker(kind, order))
        time.sleep(SETTLE)
        return measure(address, process.pid, standin, bystander, seconds)


def holds(noticed: Noticed) -> bool:
    """The required result."""
    times = (noticed.lateness, sorted(noticed.account), sorted(noticed.health))
    return (
        all(percentile(values, 0.99) < 0.25 for values in times)
        and noticed.memory_mib < 400
        and not noticed.lost
    )


def main(arguments: Iterable[str] | None = None) -> int:
    """Measure and print; return 1 if the required result did not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--attack", action="append", choices=EVERY, help="only these, together")
    parser.add_argument("--alone", action="store_true", help="each alone, too")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each window")
    parser.add_argument("--database", action="append", choices=["sqlite", "postgres"])
    options = parser.parse_args(None if arguments is None else list(arguments))
    windows: dict[str, Sequence[str]] = {"nobody": ()}
    if options.alone:
        windows |= {kind: (kind,) for kind in EVERY}
    if options.attack:
        windows["these together"] = options.attack
    else:
        windows |= {"all but tls": TOGETHER, "all together": EVERY}
    held = True
    chosen = options.database or ["sqlite", "postgres"]
    runs = [f"window_{number}" for number in range(len(windows))]
    with Standin() as standin, hostile_targets() as targets, databases(chosen, runs) as made:
        for name, urls in made.items():
            print(f"{name}: p50/p99/max", flush=True)
            for url, (title, wanted) in zip(urls, windows.items(), strict=True):
                noticed = run(url, standin, wanted, options.seconds, targets)
                report(title, noticed)
                held &= holds(noticed) or title == "all together"
    print("the required result held" if held else "the required result did not hold")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
