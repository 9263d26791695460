"""The log: one line an event on standard error, written by a thread of its own.

Invariant: logging never waits. A full pipe or a stuck disk costs lines (counted, told later), never a firing.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
from typing import Any, Final

import structlog

QUEUED: Final = 10_000

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


def _extras(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put what was given as `extra=` beside the message."""
    record: logging.LogRecord = event["_record"]
    event.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
    return event


def start_logging(level: str, style: str) -> logging.handlers.QueueListener:
    """Send every logger's lines to standard error; `stop()` the result to write what is left.

    :param level: `debug`, `info`, `warning` or `error`
    :param style: `json` or `text`
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
        shared.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain))
    writer = logging.StreamHandler(sys.stderr)
    writer.setFormatter(structlog.stdlib.ProcessorFormatter(processors=shared))
    lines: queue.Queue[logging.LogRecord] = queue.Queue(QUEUED)
    root = logging.getLogger()
    root.handlers[:] = [_Dropping(lines)]
    root.setLevel(level.upper())
    for noisy in ("alembic", "asyncio", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    listener = logging.handlers.QueueListener(lines, writer)
    listener.start()
    return listener
