"""The bare signed publishing loop: what `SnsTarget.send` alone can do, and so the ceiling of every storm.

    python -m benchmarks.publish [--publishes 20000] [--concurrency 64]

No database, no scheduler, no retries: firings of many accounts, each with keys of its own, go to the stand-in
over real sockets. Printed are publishes a second, and the CPU time of this process for each.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

import uvloop

from benchmarks.standin import Standin
from cronally.firing import firing_id
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered, Destination, Message

SCHEDULED_AT = 1_795_507_200_000_000
"""2026-11-24T08:00:00Z"""


@dataclass(frozen=True, slots=True)
class PublishFigures:
    """What one run took."""

    publishes: int
    seconds: float
    cpu_seconds: float
    failed: int

    @property
    def per_second(self) -> float:
        """Publishes per second."""
        return self.publishes / self.seconds

    @property
    def cpu_microseconds(self) -> float:
        """CPU time of the publishing process for each, in microseconds."""
        return self.cpu_seconds / self.publishes * 1e6


def firings(count: int, accounts: int) -> Iterator[tuple[Destination, Message]]:
    """`count` firings due together, of cron jobs that are spread over `accounts` with keys of their own."""
    for number in range(count):
        account = number % accounts
        cronjob_id = str(UUID(int=number))
        yield (
            Destination(
                "sns",
                {
                    "sns_topic": f"arn:aws:sns:us-east-1:{account:012d}:storm",
                    "sns_message": f'{{"job": "report {number}", "queue": "nightly"}}',
                    "sns_region": "us-east-1",
                    "sns_access_key_id": f"AKIA{account:016d}",
                },
                {"sns_secret_access_key": f"{account:040d}"},
            ),
            Message(firing_id(cronjob_id, SCHEDULED_AT), cronjob_id, f"report {number}", SCHEDULED_AT, 1),
        )


async def publish_loop(
    endpoint: str, *, publishes: int = 20_000, concurrency: int = 64, accounts: int = 200
) -> PublishFigures:
    """Publish `publishes` firings, `concurrency` at a time, and measure from the first to the last answer."""
    target = SnsTarget(endpoint=endpoint, connections=concurrency)
    try:
        await asyncio.gather(*(target.send(*firing) for firing in firings(concurrency, 1)))  # connect
        due = iter(list(firings(publishes, accounts)))
        failed = 0

        async def worker() -> None:
            nonlocal failed
            for destination, message in due:
                if not isinstance(await target.send(destination, message), Delivered):
                    failed += 1

        started, cpu_started = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        return PublishFigures(
            publishes, time.perf_counter() - started, time.process_time() - cpu_started, failed
        )
    finally:
        await target.close()


def main(arguments: Iterable[str] | None = None) -> None:
    """Measure against a stand-in of its own and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--publishes", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    with Standin() as standin:
        for _ in range(options.repeat):
            figures = uvloop.run(
                publish_loop(
                    standin.url,
                    publishes=options.publishes,
                    concurrency=options.concurrency,
                    accounts=options.accounts,
                )
            )
            print(
                f"{figures.publishes} publishes in {figures.seconds:.2f} s: {figures.per_second:,.0f}/s, "
                f"{figures.cpu_microseconds:.1f} us of CPU each, {figures.failed} failed"
            )


if __name__ == "__main__":
    main()
