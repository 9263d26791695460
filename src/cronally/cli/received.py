"""What a request says of its firing, and how it is written for people and for programs.

Invariant: whatever a client sent, what is written is bounded, and holds nothing that steers a terminal. What a header
says is believed only as far as it has its form.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from cronally.cli.layout import span
from cronally.cli.receiver import Answer, Request
from cronally.instants import SECOND, format_iso, parse_iso, to_datetime
from cronally.webhook_signatures import ID_HEADER
from cronally.wire import IDEMPOTENCY_KEY_HEADER

MAX_LINES: Final = 40
MAX_LINE: Final = 500
"""Characters."""
MAX_SHOWN: Final = 64 * 1024
"""Bytes of a body that are read for people, or written for programs."""
REMEMBERED: Final = 10_000
"""Ids of which it is known when they came first."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An id that came before."""

    times: int
    first_at: int
    """An instant."""


class Ids:
    """How often each id came; of the `REMEMBERED` that came last."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def add(self, firing_id: str | None, now: int) -> Seen | None:
        """Note that an id comes; what is known of the times before."""
        if firing_id is None:
            return None
        before = self._seen.pop(firing_id, None)
        self._seen[firing_id] = Seen(1, now) if before is None else Seen(before.times + 1, before.first_at)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return before


@dataclass(frozen=True, slots=True)
class Received:
    """A request, with what its headers say of its firing."""

    request: Request
    at: int
    """When it had been read whole, an instant of this machine's clock."""
    firing_id: str | None
    cronjob_id: str | None
    cronjob_name: str | None
    scheduled_at: int | None
    attempt: int | None

    @classmethod
    def of(cls, request: Request, at: int) -> Received:
        """Read the headers of a request."""
        headers = request.headers
        own = headers.get("cronally-firing-id") or headers.get(ID_HEADER)
        name = headers.get("cronally-cronjob-name")
        return cls(
            request,
            at,
            own or headers.get(IDEMPOTENCY_KEY_HEADER.lower()),
            headers.get("cronally-cronjob-id"),
            None if name is None else unquote(name),
            _instant(headers.get("cronally-scheduled-at")),
            _number(headers.get("cronally-attempt")),
        )

    @property
    def lateness(self) -> int | None:
        """How long after its fire time it came, in microseconds."""
        return None if self.scheduled_at is None else self.at - self.scheduled_at


def _instant(text: str | None) -> int | None:
    try:
        return None if text is None else parse_iso(text)
    except ValueError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 9 else None


def lines_of(
    received: Received, answer: Answer, before: Seen | None, signature: str | None, *, headers: bool
) -> Iterator[str]:
    """What is printed of a request for people, line by line.

    :param signature: what its signature is worth; None where it was not checked
    :param headers: whether its headers are shown
    """
    request = received.request
    yield f"{_clock(received.at)}  {request.method} {_short(request.path)}  -> {_said(answer)}"
    if received.firing_id is not None:
        again = (
            ""
            if before is None
            else f"  (again: came {_times(before.times)}, first {_clock(before.first_at)})"
        )
        yield f"  firing     {_short(received.firing_id)}{again}"
    if received.cronjob_name is not None or received.cronjob_id is not None:
        known = [part for part in (received.cronjob_name, received.cronjob_id) if part is not None]
        yield f"  cron job   {_short('  '.join(known))}"
    if received.scheduled_at is not None and received.lateness is not None:
        yield f"  fire time  {format_iso(received.scheduled_at)}, {_late(received.lateness)}"
    if received.attempt is not None:
        test = "  (a test message: of no firing)" if received.attempt == 0 else ""
        yield f"  attempt    {received.attempt}{test}"
    if signature is not None:
        yield f"  signature  {_short(signature)}"
    if headers:
        yield from (_short(f"  {name}: {value}") for name, value in request.headers.items())
    if request.body:
        kind = _short(request.headers.get("content-type", "no content type"))
        yield f"  body       {kind}, {len(request.body):,} bytes"
        yield from _body_lines(request.body)


def object_of(
    received: Received, answer: Answer, before: Seen | None, signature: str | None
) -> Mapping[str, Any]:
    """What is printed of a request for programs."""
    request, at = received.request, received.scheduled_at
    return {
        "received_at": format_iso(received.at),
        "method": request.method,
        "path": request.path,
        "firing_id": received.firing_id,
        "cronjob_id": received.cronjob_id,
        "cronjob_name": received.cronjob_name,
        "scheduled_at": None if at is None else format_iso(at),
        "attempt": received.attempt,
        "lateness_ms": None if received.lateness is None else received.lateness // 1000,
        "times_before": 0 if before is None else before.times,
        "signature": signature,
        "answered": answer.status,
        "headers": dict(request.headers),
        "body": request.body[:MAX_SHOWN].decode("utf-8", "replace"),
        "body_bytes": len(request.body),
    }


def _said(answer: Answer) -> str:
    said = str(answer.status)
    if answer.status is None:
        said = "no answer" if answer.hangs else "closed without an answer"
    elif answer.retry_after is not None:
        said += f", Retry-After {answer.retry_after} s"
    return f"{said}, after {answer.delay:g} s" if answer.delay else said


def _times(count: int) -> str:
    return "once before" if count == 1 else f"{count:,} times before"


def _late(lateness: int) -> str:
    """How late, to the millisecond where that is a matter of seconds."""
    if abs(lateness) >= 60 * SECOND:
        return f"{span(abs(lateness))} {'late' if lateness > 0 else 'early'}"
    words = f"{abs(lateness) // 1000:,} ms"
    return f"{words} late" if lateness >= 0 else f"{words} early, by this machine's clock"


def _clock(instant: int) -> str:
    """An instant as the time of day in UTC, to the millisecond."""
    return f"{to_datetime(instant):%H:%M:%S}.{instant % SECOND // 1000:03d}Z"


def _short(text: str) -> str:
    return text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]}..."


def _body_lines(body: bytes) -> Iterator[str]:
    text = body[:MAX_SHOWN].decode("utf-8", "replace")
    if len(body) <= MAX_SHOWN:
        text = _pretty(text)
    lines = text.splitlines()
    for line in lines[:MAX_LINES]:
        yield f"    {_short(line)}"
    if len(lines) > MAX_LINES:
        yield f"    ... {len(lines) - MAX_LINES:,} more lines"
    elif len(body) > MAX_SHOWN:
        yield f"    ... {len(body) - MAX_SHOWN:,} more bytes"


def _pretty(text: str) -> str:
    """JSON with a line for each member; anything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
