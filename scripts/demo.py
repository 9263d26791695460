"""`make demo`: one cron job from sign-up to the message in a queue, every part of it real.

Invariant: whatever happens, success, failure, Ctrl-C or `kill -9`, no process and no file of the demo stays behind:
both servers run under watchers that end with it (`tests.support.server_process`) and remove its only folder.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from tests.support.aws import Keys, Received, Topic, local_aws
from tests.support.cronally_server import CronallyServer, cronally_server
from tests.support.server_process import ServerFailed

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EMAIL = "demo@example.com"
NAME = "every minute"
EXPRESSION = "* * * * *"
MESSAGE = "Good morning."

PATIENCE = 15.0
"""Seconds after the fire time within which the message must have arrived."""


class DemoFailed(Exception):
    """Something did not happen that should have. The message is the one line that says what."""


class DemoStopped(BaseException):
    """Somebody does not want to wait. The argument is the signal that said so."""


def main() -> int:
    """Run the demo. Returns the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    for number in _STOPS:
        signal.signal(number, _stop)
    try:
        with ExitStack() as stack:
            _run(stack)
    except DemoStopped as stopped:
        _end_line()
        _fail("stopped; everything was removed again")
        return 128 + int(stopped.args[0])
    except (DemoFailed, ServerFailed, subprocess.TimeoutExpired) as problem:
        _fail(str(problem))
        return 1
    print("\nEverything was removed again.")
    return 0


def _stop(number: int, frame: object) -> NoReturn:
    for other in _STOPS:
        signal.signal(other, signal.SIG_IGN)  # once is enough; what follows is the clean-up
    raise DemoStopped(number)


def _run(stack: ExitStack) -> None:
    folder = Path(tempfile.mkdtemp(prefix="cronally-demo-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    aws = stack.enter_context(local_aws(folder, remove=[folder]))
    settings = {
        "CRONALLY_DATABASE_URL": f"sqlite:///{folder / 'cronally.db'}",
        "AWS_ENDPOINT_URL_SNS": aws.url,
    }
    server = stack.enter_context(cronally_server(folder, settings, remove=[folder]))
    topic = aws.make_topic("good-morning")
    publisher = aws.make_publisher(topic.arn)
    print(f"Cronally    {server.url}, on SQLite")
    print(f"SNS, SQS    {aws.url} (moto, authentication on)")
    print(f"Topic       {topic.arn}, with a queue subscribed to it")
    print(f"IAM user    {publisher.access_key_id}, may sns:Publish on that topic and nothing else")

    print(_run_cli(server, "signup", EMAIL))
    cronjob = _add_cronjob(server, topic, publisher)
    cronjob_id, fire_time = cronjob["cronjob_id"], datetime.fromisoformat(cronjob["next_fire_at"])
    print(f"Cron job {cronjob_id}, next fire time {fire_time:%H:%M:%S} UTC\n")
    received = _wait_for_message(server, topic, cronjob_id, fire_time)
    firing = _wait_for_delivery(server, cronjob_id, received)
    _show(received, firing)
    print(_run_cli(server, "firings", cronjob_id))
    print(_run_cli(server, "delete", cronjob_id, "--yes"))


def _add_cronjob(server: CronallyServer, topic: Topic, publisher: Keys) -> dict[str, Any]:
    answer = _run_cli(
        server,
        "add",
        *("--name", NAME),
        *("--cron", EXPRESSION),
        *("--sns-topic", topic.arn),
        *("--sns-message", MESSAGE),
        *("--sns-access-key-id", publisher.access_key_id),
        "--json",
        # Where it stands in no process list and no shell's history.
        secrets={"CRONALLY_SNS_SECRET_ACCESS_KEY": publisher.secret_access_key},
    )
    cronjob: dict[str, Any] = json.loads(answer)["response"]
    return cronjob


def _run_cli(server: CronallyServer, *arguments: str, secrets: Mapping[str, str] | None = None) -> str:
    """Show a command of the CLI, run it, and return what it printed."""
    print("\n$ cronally " + shlex.join(arguments))
    done = server.cli(*arguments, env=secrets)
    if done.returncode:
        raise DemoFailed(f"cronally {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.rstrip()


def _wait_for_message(server: CronallyServer, topic: Topic, cronjob_id: str, fire_time: datetime) -> Received:
    """The first message of the queue, with a countdown to the fire time until it comes."""
    while (left := (fire_time - datetime.now(UTC)).total_seconds()) > -PATIENCE:
        _show_countdown(fire_time, left)
        # Up to the countdown's next second, or until the message comes.
        if received := topic.receive(seconds=1.0):
            _end_line()
            return received[0]
    _end_line()
    said = [
        f"{firing['state']}, {firing['reason']}, {[attempt['detail'] for attempt in firing['attempts']]}"
        for firing in _firings(server, cronjob_id)
    ]
    raise DemoFailed(
        f"no message arrived within {PATIENCE:.0f} s after {fire_time:%H:%M:%S} UTC;"
        f" the ledger says: {said[-1] if said else 'nothing'}"
    )


def _wait_for_delivery(server: CronallyServer, cronjob_id: str, received: Received) -> dict[str, Any]:
    """The ledger's row of the firing that the message came from, once its delivery is recorded."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for firing in _firings(server, cronjob_id):
            if (firing["firing_id"], firing["state"]) == (
                received.attributes["cronally-firing-id"],
                "delivered",
            ):
                return firing
    raise DemoFailed("the message arrived, but the ledger does not say that it was delivered")


def _firings(server: CronallyServer, cronjob_id: str) -> list[dict[str, Any]]:
    """The ledger of a cron job, newest first."""
    done = server.cli("firings", cronjob_id, "--json")
    firings: list[dict[str, Any]] = json.loads(done.stdout)["response"] if done.returncode == 0 else []
    return firings


def _show(received: Received, firing: Mapping[str, Any]) -> None:
    print("\nThe message that arrived in the queue")
    print(f"  {'message':<26}{received.message}")
    print(f"  {'MessageId':<26}{received.message_id}")
    for name, value in sorted(received.attributes.items()):
        print(f"  {name:<26}{value}")
    print("\nIts row in the ledger")
    for name, value in firing.items():
        print(f"  {name:<26}{value if isinstance(value, str) else json.dumps(value)}")
    print(f"\nDelivered and recorded {firing['lateness_ms']} ms after its fire time.")


def _show_countdown(fire_time: datetime, left: float) -> None:
    """:param left: seconds to the fire time, negative behind it"""
    seconds = round(left)
    when = f"in {seconds} s" if seconds > 0 else f"{-seconds} s ago" if seconds else "now"
    text = f"fire time {fire_time:%H:%M:%S} UTC, {when}"
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)
    elif seconds % 10 == 0:
        print(text)


def _end_line() -> None:
    if sys.stdout.isatty():
        print()


def _fail(reason: str) -> None:
    """One line, whatever it was: what happened, and the last thing that was said about it."""
    first, *rest = [line.strip() for line in reason.splitlines() if line.strip()]
    print("demo:", first, *rest[-1:], file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
