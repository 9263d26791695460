"""The log: never waits, counts what it drops, says everything in one JSON line, and shows no local variable."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cronally.server import logs
from cronally.server.logs import start_logging
from tests.support.factories import CANARY


class Pipe:
    """A pipe as standard error, that the test reads when it wants to."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def rest(self) -> list[str]:
        """Everything, once nobody writes any more."""
        os.close(self.writer)
        self.writer = -1
        with os.fdopen(os.dup(self.reader), encoding="utf-8") as stream:
            return stream.read().splitlines()

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """The root logger is as it was after the test."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    others = {name: logging.getLogger(name).level for name in ("alembic", "asyncio", "uvicorn.access")}
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)
    for name, value in others.items():
        logging.getLogger(name).setLevel(value)


log = logging.getLogger("cronally.test")


def test_json__one_object_a_line_with_what_was_given(pipe: Pipe) -> None:
    listener = start_logging("info", "json", pipe.writer)
    log.info("a firing\nwas %s", "sent", extra={"cronjob_id": "c1", "count": 3, "kind": logging})
    log.debug("too fine")
    log.warning("Grüße \U0001f552 \ud800")
    listener.stop()
    first, second = (json.loads(line) for line in pipe.rest())
    assert first["event"] == "a firing\nwas sent"
    assert (first["level"], first["logger"], first["cronjob_id"], first["count"]) == (
        "info",
        "cronally.test",
        "c1",
        3,
    )
    assert first["timestamp"].endswith("Z")
    assert second["event"].startswith("Grüße")


def test_json__exception_with_its_frames_and_without_their_locals(pipe: Pipe) -> None:
    listener = start_logging("info", "json", pipe.writer)

    def fail() -> None:
        secret = CANARY
        raise LookupError(len(secret))

    try:
        fail()
    except LookupError:
        log.exception("it failed")
    listener.stop()
    (line,) = pipe.rest()
    assert CANARY not in line
    (exception,) = json.loads(line)["exception"]
    assert (exception["exc_type"], exception["frames"][-1]["name"]) == ("LookupError", "fail")


def test_text__exception_without_locals(pipe: Pipe) -> None:
    listener = start_logging("info", "text", pipe.writer)

    def fail() -> None:
        secret = CANARY
        raise LookupError(len(secret))

    try:
        fail()
    except LookupError:
        log.exception("it failed", extra={"cronjob_id": "c1"})
    listener.stop()
    text = "\n".join(pipe.rest())
    assert "it failed" in text
    assert "cronjob_id=c1" in text
    assert "LookupError: 15" in text
    assert CANARY not in text
    assert "\x1b[" not in text, "a pipe wants no colours"


def test_line_that_cannot_be_formatted__does_not_end_the_log(pipe: Pipe) -> None:
    listener = start_logging("info", "json", pipe.writer)
    log.info("%s and %s", "one")
    log.info("the next")
    listener.stop()
    lines = pipe.rest()
    assert "could not be formatted" in lines[0]
    assert json.loads(lines[1])["event"] == "the next"


def test_blocked_pipe__blocks_nobody_and_the_dropped_are_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "QUEUED", 100)
    listener = start_logging("info", "json", pipe.writer)
    long = "x" * 10_000  # a pipe holds 64 KiB

    def write() -> None:
        for number in range(1000):
            log.info(long, extra={"number": number})

    # Nobody reads yet: a call that waited for room in the pipe would never return.
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(60)
    assert not writer.is_alive()
    # The reader wakes up: the first line that finds room again tells how many did not.
    seen: list[dict[str, Any]] = []
    arrived = threading.Condition()

    def drain() -> None:
        with os.fdopen(os.dup(pipe.reader), encoding="utf-8") as stream:
            for line in stream:
                with arrived:
                    seen.append(json.loads(line))
                    arrived.notify()

    reader = threading.Thread(target=drain)
    reader.start()
    with arrived:
        assert arrived.wait_for(lambda: len(seen) >= 50, 60)
    log.info("room again")
    listener.stop()
    os.close(pipe.writer)
    pipe.writer = -1
    reader.join(60)
    # In pieces, if a line found room in between.
    told = sum(entry.get("dropped", 0) for entry in seen)
    assert told == 1000 - (len(seen) - 1) > 800


def test_blocked_pipe__does_not_hold_the_exit() -> None:
    """Nobody reads; the process must end all the same, and by itself."""
    program = (
        "import logging\n"
        "from cronally.server import logs\n"
        "logs.LAST_LINES = 0.1\n"
        "listener = logs.start_logging('info', 'json')\n"
        "for _ in range(11_000): logging.getLogger('x').info('x' * 1000)\n"
        "listener.stop()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    try:
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_reader_that_is_gone__does_not_hurt(pipe: Pipe) -> None:
    listener = start_logging("info", "json", pipe.writer)
    os.close(pipe.reader)
    pipe.reader = -1
    log.info("for nobody")
    listener.stop()


def test_stop__twice_does_no_harm(pipe: Pipe) -> None:
    listener = start_logging("info", "json", pipe.writer)
    listener.stop()
    listener.stop()


@pytest.mark.parametrize("name", ["alembic", "asyncio", "uvicorn.access"])
def test_noisy_loggers__are_heard_from_warnings_on(
    pipe: Pipe, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Uvicorn, where a test before ran it without an access log, cuts its logger off.
    monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    listener = start_logging("debug", "json", pipe.writer)
    logging.getLogger(name).info("noise")
    logging.getLogger(name).warning("news")
    listener.stop()
    assert [json.loads(line)["event"] for line in pipe.rest()] == ["news"]
