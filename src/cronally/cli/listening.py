"""`listen`: receives firings on this machine and prints them, so that a webhook is seen without an account anywhere.

Invariant: it listens on the loopback interface alone. Where secrets are given, what carries no valid signature is
answered with 401, and never with what it would get otherwise.
"""

from __future__ import annotations

import asyncio
import json as json_
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from cronally import message_signatures
from cronally.cli import inputs
from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.output import complain, print_lines
from cronally.cli.received import Ids, Received, lines_of, object_of
from cronally.cli.receiver import Answer, Receiver, Request
from cronally.instants import DAY, MINUTE, SECOND, format_duration, parse_duration
from cronally.webhook_signatures import SIGNATURE_HEADER, Key, NotSigned, read_key, verify

HOST: Final = "127.0.0.1"
TAKEN: Final = Answer(200)
UNSIGNED: Final = Answer(401)
MAX_DELAY: Final = 15 * MINUTE
"""Microseconds: as long as any request may take."""
MAX_SECRETS: Final = 10
_HOW: Final = (
    "A server on this machine calls this address only if it was started with permission to:",
    f"  CRONALLY_HTTP_ALLOWED_NETWORKS={HOST}/32 cronally serve",
    "then, for one firing now:",
    "  cronally add --name hello --cron '0 8 * * *' --delivery-http-method post --delivery-http-url {url}/hello",
    "  cronally run hello\n",
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How requests are answered."""

    fails: Answer | None = None
    """The answer that fails on purpose; None: everything is taken."""
    times: int | None = None
    """How many requests fail, from the first on; None: all."""
    delay: float = 0.0
    """Seconds before each answer."""

    def to(self, number: int) -> Answer:
        """The answer to a request.

        :param number: from 1
        """
        fails = self.fails is not None and (self.times is None or number <= self.times)
        return self.fails if fails and self.fails is not None else Answer(TAKEN.status, self.delay)


class Listener:
    """Prints what arrives, and decides about it."""

    def __init__(
        self, behaviour: Behaviour, keys: Sequence[Key], most: int | None, *, headers: bool, json: bool
    ) -> None:
        """
        :param keys: one of which has to fit; none: signatures are not checked
        :param most: after how many requests it ends
        """
        self._behaviour = behaviour
        self._keys = keys
        self._most = most
        self._headers = headers
        self._json = json
        self._ids = Ids()
        self._handled = 0
        self._ended = asyncio.Event()
        self._problem: OSError | None = None
        self.arrived = 0
        self.unsigned = 0

    async def run(self, port: int, seconds: float | None) -> None:
        """Listen until enough has come. Raises OSError, and TimeoutError if it has not come in time."""
        receiver = Receiver(self._decide, self._count, self._refuse)
        server, port = await receiver.start(HOST, port)
        try:
            self._introduce(f"http://{HOST}:{port}")
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        finally:
            server.close()
            await receiver.close()
        if self._problem is not None:
            raise self._problem

    def _introduce(self, url: str) -> None:
        # On stderr, so that stdout holds what arrives and nothing else.
        complain("note", f"listening on {url}; Ctrl-C ends it")
        for line in _HOW:
            print(line.format(url=url), file=sys.stderr, flush=True)  # noqa: T201

    def _decide(self, request: Request) -> Answer:
        if self._most is not None and self.arrived >= self._most:
            return Answer(None)
        self.arrived += 1
        now = time.time_ns() // 1000
        received = Received.of(request, now)
        answer, signature = self._behaviour.to(self.arrived), None
        if self._keys:
            try:
                signature = f"valid ({_verify(self._keys, request, now)})"
            except NotSigned as problem:
                self.unsigned += 1
                answer, signature = UNSIGNED, f"NOT VALID: {problem}"
        before = self._ids.add(received.firing_id, now)
        try:
            if self._json:
                print(json_.dumps(object_of(received, answer, before, signature)), flush=True)  # noqa: T201
            else:
                print_lines(*lines_of(received, answer, before, signature, headers=self._headers))
                sys.stdout.flush()
        except OSError as problem:
            # Whoever read this is gone: the connection would swallow the error.
            self._problem = problem
            self._ended.set()
        return answer

    def _count(self) -> None:
        self._handled += 1
        if self._most is not None and self._handled >= self._most:
            self._ended.set()

    def _refuse(self, problem: str) -> None:
        complain("warning", f"refused {problem}")


def listen(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is a free one.")] = 0,
    fail: Annotated[
        int | None,
        typer.Option(
            metavar="STATUS", min=300, max=599, help="Fail on purpose: answer with this.", show_default=False
        ),
    ] = None,
    hang: Annotated[bool, typer.Option("--hang", help="Fail on purpose: never answer.")] = False,
    close: Annotated[
        bool, typer.Option("--close", help="Fail on purpose: close the connection in place of an answer.")
    ] = False,
    times: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Fail the first N requests alone, and take what comes then; without it, all of them.",
            show_default=False,
        ),
    ] = None,
    retry_after: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Send a Retry-After with --fail, such as 30s.", show_default=False
        ),
    ] = None,
    delay: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Wait before each answer, such as 2s.", show_default=False),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHSEC",
            help="Check signatures, of Standard Webhooks or HTTP Message Signatures, with this secret (whsec_...), or"
            " with a public key (whpk_...), and answer 401 to what has no valid one. It may be repeated: one of them"
            " has to fit. On the command line it stays in the shell's history; --secret-file avoids that.",
            show_default=False,
        ),
    ] = None,
    secret_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Read --secret from a file, one a line; - is stdin.", show_default=False
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after one request, as --count 1.")] = False,
    count: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="End after so many requests; with 1 if one of them had no valid signature.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="With --once or --count: fail if they have not come by then, such as 5m.",
            show_default=False,
        ),
    ] = None,
    headers: Annotated[bool, typer.Option("--headers", help="Show all headers.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each request.")] = False,
) -> None:
    """Receive firings on this machine, and print them.

    A server calls addresses of its own machine only if it was started with
    CRONALLY_HTTP_ALLOWED_NETWORKS=127.0.0.1/32.
    """
    if once and count is not None:
        raise WrongUsage("--once: it is --count 1; give one of them")
    most = 1 if once else count
    if timeout is not None and most is None:
        raise WrongUsage("--timeout: it is for --once and --count")
    seconds = None if timeout is None else _duration(timeout, "--timeout", DAY) / SECOND
    behaviour = _behaviour(fail, hang, close, times, retry_after, delay)
    listener = Listener(behaviour, _keys(secret or (), secret_file), most, headers=headers, json=json)
    try:
        asyncio.run(listener.run(port, seconds))
    except TimeoutError:
        raise Failure(f"{listener.arrived} of {most} requests came in {timeout}") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(
            f"cannot listen on {HOST}:{port}: {os.strerror(error.errno) if error.errno else error}",
            "without --port it takes a free one",
        ) from None
    if listener.unsigned:
        raise Failure(f"{listener.unsigned} of {listener.arrived} had no valid signature")


def _verify(keys: Sequence[Key], request: Request, now: int) -> str:
    """Which signatures of a request are good, where each kind that it has is. Raises NotSigned."""
    good, headers = [], request.headers
    if SIGNATURE_HEADER in headers or message_signatures.INPUT_HEADER not in headers:
        good.append(verify(keys, headers, request.body, now))
    if message_signatures.INPUT_HEADER in headers:
        signed = message_signatures.Request(
            request.method, headers.get("host", ""), request.path, request.headers
        )
        good.append(message_signatures.verify(keys, signed, request.body, now))
    return ", ".join(good)


def _behaviour(
    fail: int | None,
    hang: bool,
    close: bool,
    times: int | None,
    retry_after: str | None,
    delay: str | None,
) -> Behaviour:
    chosen = [name for name, is_set in (("--fail", fail), ("--hang", hang), ("--close", close)) if is_set]
    if len(chosen) > 1:
        raise WrongUsage(f"{' and '.join(chosen)}: give one of them")
    if times is not None and not chosen:
        raise WrongUsage("--times: it is for --fail, --hang and --close")
    if retry_after is not None and fail is None:
        raise WrongUsage("--retry-after: it is for --fail")
    wait = 0.0 if delay is None else _duration(delay, "--delay", MAX_DELAY) / SECOND
    after = None if retry_after is None else _duration(retry_after, "--retry-after", DAY) // SECOND
    fails = Answer(fail, wait, hangs=hang, retry_after=after) if chosen else None
    return Behaviour(fails, times, wait)


def _duration(text: str, name: str, most: int) -> int:
    try:
        duration = parse_duration(text)
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint=name) from None
    if duration > most:
        raise typer.BadParameter(f"give {format_duration(most)} at most", param_hint=name)
    return duration


def _keys(secrets: Sequence[str], file: str | None) -> list[Key]:
    texts = [(text, "--secret") for text in secrets]
    if file is not None:
        read = [line.strip() for line in inputs.read_secrets(file, "--secret-file").splitlines()]
        texts += [(line, "--secret-file") for line in read if line]
        if not any(read):
            raise typer.BadParameter(f"{file} is empty", param_hint="--secret-file")
    if len(texts) > MAX_SECRETS:
        raise WrongUsage(f"--secret: there are {len(texts)}; give {MAX_SECRETS} at most")
    keys = []
    for text, name in texts:
        try:
            keys.append(read_key(text))
        except ValueError as problem:
            raise typer.BadParameter(str(problem), param_hint=name) from None
    return keys
