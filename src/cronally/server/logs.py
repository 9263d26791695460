"""The log: one line an event on standard error, written by a thread of its own.

Invariant: logging never waits. A full pipe or a stuck disk costs lines (counted, and logged later), never a firing.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
from typing import Any, Final

import structlog

QUEUED: Final = 10_000
"""Lines that wait for a pipe or disk that is slow; more are dropped and counted."""
LAST_LINES: Final = 2.0
"""Seconds that `stop` gives the writing thread for what is left."""

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class _Dropping(logging.handlers.QueueHandler):
    """Hands records to the writing thread; counts those for which there is no room."""

    def __init__(self, lines: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(lines)
        self._lines = lines
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        # The writer formats: nothing is rendered on the event loop's thread.
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self._dropped:
                record.dropped = self._dropped
            self._lines.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1


class _Descriptor(logging.Handler):
    """Writes each line to a file descriptor, with no buffer and no lock.

    A thread that is stuck in `sys.stderr.write` holds locks that Python wants when it exits.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def createLock(self) -> None:
        # Only the listener's thread comes here.
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        except Exception:
            line = f"a line could not be formatted: {record.name}:{record.lineno}\n".encode()
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            # The reader is gone or does not read; there is nowhere to say so.
            return


class _Listener(logging.handlers.QueueListener):
    """The writing thread."""

    def stop(self) -> None:
        """Write what is left, within `LAST_LINES` seconds: a pipe that is not read must not hold the exit."""
        thread = self._thread
        if thread is None:
            return
        self._thread = None
        try:
            self.queue.put(None, timeout=LAST_LINES)  # type: ignore[attr-defined]
        except queue.Full:
            return
        thread.join(LAST_LINES)


def _extras(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put the `extra=` of a call beside the message."""
    record: logging.LogRecord = event["_record"]
    event.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
    return event


def start_logging(level: str, style: str, descriptor: int = 2) -> logging.handlers.QueueListener:
    """Send every logger's lines to standard error; `stop()` the result to write what is left.

    :param level: `debug`, `info`, `warning` or `error`
    :param style: `json` or `text`
    :param descriptor: the open file that gets the lines
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _extras,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    ]
    if style == "json":
        shared += [
            # Frames without their local variables: those may hold secrets.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        plain = structlog.dev.plain_traceback
        shared.append(structlog.dev.ConsoleRenderer(colors=os.isatty(descriptor), exception_formatter=plain))
    writer = _Descriptor(descriptor)
    writer.setFormatter(structlog.stdlib.ProcessorFormatter(processors=shared))
    lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED)
    root = logging.getLogger()
    root.handlers[:] = [_Dropping(lines)]
    root.setLevel(level.upper())
    for noisy in ("alembic", "asyncio", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    listener = _Listener(lines, writer)
    listener.start()
    return listener
