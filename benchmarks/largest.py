"""What the dearest firings cost: CPU of making one request, as far as the rules let a cron job make it dear.

    python -m benchmarks.largest [--rounds 20]

Nothing is sent. The first line is the firing that most people have: only ratios to it mean anything on another machine.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Final

from cronally.contract import templates
from cronally.contract.http_requests import MAX_BODY
from cronally.contract.templates import MAX_PLACEHOLDERS, Form, Values
from cronally.targets.aws.models import Models
from cronally.targets.aws.operation import MAX_VALUES, Operation, read_input
from cronally.targets.http import events, signatures
from cronally.targets.sns.form import quote
from cronally.targets.sns.forms import publish_form
from cronally.targets.target import Message
from cronally.wire import NIL_UUID

MESSAGE: Final = Message(NIL_UUID, NIL_UUID, "a cron job", scheduled_at=1_800_000_000_000_000, attempt=1)
_JSON: Final = "application/json"


def requests(operation: Operation) -> Iterator[tuple[str, Callable[[], object]]]:
    """What each is called, and what makes it.

    :param operation: `PutEvents`: of what AWS takes, the input with the most structures
    """
    public = {"sns_topic": "arn:aws:sns:us-east-1:123456789012:t", "sns_message": '{"job": "report"}'}
    yield (
        "SNS, 17 bytes",
        lambda: publish_form(public, quote(public["sns_message"].encode()), MESSAGE),
    )
    accents = ("é" * (MAX_BODY // 2)).encode()
    yield "SNS, 256 KiB that are all escaped", lambda: publish_form(public, quote(accents), MESSAGE)
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    text = b"x" * MAX_BODY
    yield (
        "HTTP, 256 KiB signed twice",
        lambda: signatures.sign([secret, secret], NIL_UUID, 1_800_000_000, text),
    )
    tiny = f"[{','.join('1' * (MAX_BODY // 2 - 1))}]".encode()
    yield "CloudEvents around 256 KiB of tiny values", lambda: events.around(MESSAGE, _JSON, tiny)
    values = Values(NIL_UUID, NIL_UUID, "a cron job", MESSAGE.scheduled_at, 1, "America/New_York")
    local = "<cronally.scheduled-local-time offset='-1d'>"
    marked = (local * MAX_PLACEHOLDERS).ljust(MAX_BODY, "x")
    yield (
        f"a text of 256 KiB with {MAX_PLACEHOLDERS} placeholders",
        lambda: templates.fill(marked, Form.TEXT, values),
    )
    entry = {"Source": "a", "DetailType": "b", "Detail": "{}", "Resources": ["c"]}
    many = json.dumps({"Entries": [entry] * (MAX_VALUES // 6)})

    def call() -> object:
        return operation.request(read_input(many), region="us-east-1", token=NIL_UUID)

    yield f"AWS, an input of {MAX_VALUES:,} values", call


def cpu_ms(make: Callable[[], object], rounds: int) -> float:
    """CPU time of making one, in milliseconds: the median."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time_ns()
        make()
        taken.append(time.process_time_ns() - begun)
    return statistics.median(taken) / 1e6


async def find_put_events() -> Operation:
    """The operation as botocore describes it."""
    models = Models()
    try:
        found = await models.get("events", "PutEvents", NIL_UUID)
    finally:
        await models.close()
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    usual = None
    for name, make in requests(asyncio.run(find_put_events())):
        taken = cpu_ms(make, rounds)
        usual = usual or taken
        print(f"{taken:8.3f} ms {taken / usual:>8,.0f} x  {name}")


if __name__ == "__main__":
    main()
