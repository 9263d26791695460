"""What a signed request costs by each version of the signature, on both databases: ratios within one run.

    python -m benchmarks.signatures [--requests 2000]

`GET /account/`, one after the other, through the whole application and without sockets. Version 2 writes its nonce; the
last column is what it would cost if that waited for the disk. SQLite's file and PostgreSQL's cluster are in the
folder for temporary files: on a disk that is none (tmpfs) nothing waits.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from cronally import request_signatures, signing
from cronally.api import create_app
from cronally.contract.accounts import Account, Signup
from cronally.contract.reading import Parameters, Reading
from cronally.operations import Operations
from cronally.store import Store, open_store
from cronally.targets.build import build_targets
from tests.support import factories
from tests.support.postgres import postgres_server

PATH: Final = "/account/"
TURNS: Final = 10
Headers = list[tuple[bytes, bytes]]


def first(account: Account, secret: bytes) -> Headers:
    """Headers of version 1."""
    date = signing.format_date(time.time_ns() // 1000)
    named = {
        "x-cron-key": account.api_key,
        "x-cron-date": date,
        "x-cron-signature": signing.sign(secret, PATH, "GET", date),
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]


def second(account: Account, secret: bytes) -> Headers:
    """Headers of version 2."""
    nonce = os.urandom(16).hex()
    named = request_signatures.sign(
        secret, account.api_key, "GET", PATH, {}, b"", second=int(time.time()), nonce=nonce
    )
    return [(name.lower().encode(), value.encode()) for name, value in named.items()]


async def ask(app: Any, headers: Headers) -> None:
    """One request."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    await app(scope, receive, send)
    assert statuses[0] == 200, statuses


async def measure(url: str, requests: int) -> dict[str, float]:
    """The median over the turns of the microseconds of a request, by how it is signed."""
    store = await open_store(url)
    operations = Operations(store, factories.vault(), build_targets())
    app = create_app(operations, requests_per_minute=10**9, request_seconds_per_minute=10**9)
    parameters = Parameters({"email": "somebody@example.com"})
    account = await operations.create_account(Reading(Signup, parameters), address=None)
    secret = signing.decode_secret(account.api_secret)
    kinds: dict[str, tuple[Callable[[Account, bytes], Headers], bool]] = {
        "v1": (first, True),
        "v2": (second, True),
        "v2, at the disk": (second, False),
    }
    note, found = store.note, {name: list[float]() for name in kinds}
    for _ in range(TURNS):
        for name, (sign, lazily) in kinds.items():
            store.note = note if lazily else _at_the_disk(store)  # type: ignore[method-assign]
            signed = [sign(account, secret) for _ in range(requests // TURNS)]
            began = time.perf_counter()
            for headers in signed:
                await ask(app, headers)
            found[name].append((time.perf_counter() - began) / len(signed) * 1e6)
    await store.close()
    return {name: statistics.median(times) for name, times in found.items()}


def _at_the_disk(store: Store) -> Any:
    async def note(work: Any) -> Any:
        def durably(connection: Any) -> Any:
            found = work(connection)
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
            return found

        return await store.transact(durably)

    return note


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="of each kind and database")
    options = parser.parse_args()
    with TemporaryDirectory() as folder, postgres_server(durable=True) as postgres:
        urls = {
            "SQLite": f"sqlite:///{Path(folder) / 'cronally.db'}",
            "PostgreSQL": postgres.create_database("signatures"),
        }
        for database, url in urls.items():
            found = asyncio.run(measure(url, options.requests))
            ratios = "  ".join(f"{name}: {us:,.0f} us ({us / found['v1']:.2f})" for name, us in found.items())
            print(f"{database}: {ratios}")


if __name__ == "__main__":
    main()
