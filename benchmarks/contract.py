"""What the contract costs: CPU of requests and answers, of hostile bodies, and the time of imports.

    python -m benchmarks.contract

Requests go from the bytes of a body to the checked request, without network and database; answers from rows to the
bytes of JSON. Imports are wall time of fresh processes. Only ratios within one run mean anything: to compare two
versions, run both in turns on one machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request

from cronally import errors
from cronally.api.answers import success_page
from cronally.api.parameters import read_form_or_json
from cronally.clock import zones
from cronally.contract.cronjob_requests import NewCronjob
from cronally.contract.reading import Reading
from cronally.cronjob import State
from cronally.instants import MINUTE, parse_iso
from cronally.operations import Page
from cronally.operations.answers import cronjob_answer
from cronally.operations.rules import Rules
from cronally.store.cronjobs import Cronjob
from cronally.targets.build import build_targets

NOW: Final = parse_iso("2026-11-24T12:00:00Z")
ID: Final = "0199a8f2-6c1e-7d3b-9f00-3b9aca00f001"
MIB: Final = 1 << 20
_CALLS: Final = 20

NEW: Final = {
    "name": "wake up",
    "cron": "0 8 * * 1-5",
    "timezone": "Europe/Berlin",
    "sns_topic": "arn:aws:sns:eu-west-1:123456789012:my-topic",
    "sns_region": "eu-west-1",
    "sns_message": "good morning",
    "sns_access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "sns_secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
WRONG: Final = {
    **dict.fromkeys(NEW, "\n"),
    "catch_up": "x",
    "misfire_grace": "1",
    "dst_gpa": "x",
}


def hostile() -> Mapping[str, bytes]:
    """Bodies of JSON of 1 MiB, by what there is too much of."""
    filled = "x" * (MIB - 100)
    bodies = {
        "80,000 members": "{" + ",".join(f'"a{number}":"b"' for number in range(80_000)) + "}",
        "500,000 numbers in a list": '{"name":[' + ",".join(["1"] * 500_000) + "]}",
        "one text": json.dumps({"name": filled}),
        "99 unknown names of 10 kB": json.dumps({f"n{number}" + "x" * 10_000: "" for number in range(99)}),
        "99 unknown names of 60 characters": json.dumps(
            {f"n{number:02}" + "x" * 57: "y" * 10_000 for number in range(99)}
        ),
        "a list in a list, 500,000 deep": '{"name":' + "[" * 500_000 + "]" * 500_000 + "}",
        "a number of 1,000,000 digits": '{"name":' + "9" * 1_000_000 + "}",
    }
    return {name: body.encode()[:MIB] for name, body in bodies.items()}


def rows() -> list[Cronjob]:
    """100 cron jobs, as the store reads them."""
    values: dict[str, Any] = {
        "cronjob_id": ID,
        "account_id": ID,
        "name": "wake up",
        "cron": "0 8 * * 1-5",
        "timezone": "Europe/Berlin",
        "policies": "{}",
        "state": State.ACTIVE,
        "version": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "next_fire_at": NOW + MINUTE,
        "tzdata": zones.version(),
        "target": "sns",
        "destination": json.dumps({name: NEW[name] for name in ("sns_topic", "sns_region", "sns_message")}),
    }
    row: dict[str, Any] = {name: values.get(name) for name in Cronjob.__dataclass_fields__}
    return [Cronjob(**row) for _ in range(100)]


def request(body: bytes, media_type: str) -> Request:
    """A request with a body."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", media_type.encode())]
    scope = {"type": "http", "method": "POST", "path": "/cronjob/", "query_string": b"", "headers": headers}
    return Request(scope, receive)


async def check(rules: Rules, body: bytes, media_type: str) -> None:
    """What `POST /cronjob/` does before it asks the database."""
    try:
        reading = Reading(NewCronjob, await read_form_or_json(request(body, media_type)))
        rules.check_new(reading, cronjob_id=ID, now=NOW)
    except errors.RequestError:
        pass


async def cpu(work: Callable[[], Awaitable[object]], runs: int, calls: int = 1) -> float:
    """Microseconds of CPU of a call: the median of some runs."""
    taken = []
    for _ in range(runs + 1):
        start = time.process_time_ns()
        for _ in range(calls):
            await work()
        taken.append((time.process_time_ns() - start) / calls / 1000)
    return statistics.median(taken[1:])


def process(*arguments: str, runs: int = 15) -> float:
    """Milliseconds of a fresh process: the median of some runs."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CRONALLY_")}
    taken = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environ, stdout=subprocess.DEVNULL, check=True)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken[1:])


async def measure() -> None:
    """Print a table of requests and answers."""
    targets = build_targets()
    rules = Rules(targets)
    form, as_json, wrong = urlencode(NEW).encode(), json.dumps(NEW).encode(), json.dumps(WRONG).encode()
    of_form, of_json = "application/x-www-form-urlencoded", "application/json"
    found = rows()

    async def listed() -> None:
        success_page(Page([cronjob_answer(row, next_fire_at=row.next_fire_at) for row in found], None))

    us = {
        "POST /cronjob/, a form": await cpu(lambda: check(rules, form, of_form), 200, _CALLS),
        "POST /cronjob/, JSON": await cpu(lambda: check(rules, as_json, of_json), 200, _CALLS),
        "POST /cronjob/, JSON, all of it wrong": await cpu(lambda: check(rules, wrong, of_json), 200, _CALLS),
        "GET /cronjobs/, 100 cron jobs": await cpu(listed, 60),
    }
    for name, body in hostile().items():
        us[f"1 MiB: {name}"] = await cpu(lambda body=body: check(rules, body, of_json), 5)  # type: ignore[misc]
    for name, taken in us.items():
        print(f"{name:45} {taken:10,.0f} \N{MICRO SIGN}s CPU")
    for target in targets.values():
        await target.close()


def main() -> None:
    """Measure and print."""
    asyncio.run(measure())
    for name, arguments in {
        "an interpreter that does nothing": ["-c", ""],
        "import of the contract": [
            "-c",
            "import cronally.contract.cronjob_requests, cronally.contract.schedules",
        ],
        "import of the client": ["-c", "import cronally.client"],
        "cronally --help": ["-m", "cronally.cli", "--help"],
        "cronally add --help": ["-m", "cronally.cli", "add", "--help"],
    }.items():
        print(f"{name:45} {process(*arguments):10,.0f} ms")


if __name__ == "__main__":
    main()
