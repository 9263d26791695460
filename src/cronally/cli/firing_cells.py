"""What stands in the cells of a table of firings.

Invariant: of each firing what the server says of it, and nothing that it does not say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from cronally.cli.layout import instant, joined, span
from cronally.contract.kept import BASE64
from cronally.firing import Kind

if TYPE_CHECKING:
    from cronally.client import Attempt, Firing


def fire_times(firing: Firing) -> Text:
    """The fire time, or the first and the last of those that it stands for, and the kind if it was asked for."""
    text = Text(instant(firing.scheduled_at, seconds=True) or "")
    if firing.until_at is not None:
        text.append(f"\nto {instant(firing.until_at)}")
    if firing.kind != Kind.SCHEDULED:
        text.append(f"\n{firing.kind}")
    return text


def why(firing: Firing) -> str | None:
    """The reason, with what the target said at the last attempt."""
    why = ": ".join(filter(None, (firing.reason, firing.cause))) or None
    if firing.until_at is not None:
        return f"{firing.count} fire times: {why}"
    last = firing.attempts[-1] if firing.attempts else None
    if firing.reason is None or last is None or last.reason != firing.reason or last.detail is None:
        return why
    return f"{firing.reason}: {last.detail}"


def ack(firing: Firing) -> str | None:
    """Where its acknowledgement stands, with what is remarkable about it."""
    if firing.ack is None:
        return None
    marks = ("late" if firing.ack_late else None, "too fast" if firing.ack_too_fast else None)
    code = None if not firing.ack_exit_code else f"exit code {firing.ack_exit_code}"
    return ", ".join([str(firing.ack), *filter(None, (*marks, code))])


def acknowledgement(firing: Firing) -> list[tuple[str, str | None]]:
    """What its receiver said of it, and when."""
    if firing.ack is None:
        return []
    took = lateness(firing.ack_duration_ms)
    body = firing.ack_body
    if body is not None and firing.ack_body_cut:
        body = f"…{body}"
    return [
        ("Acknowledgement", joined(ack(firing), None if took is None else f"after {took}")),
        ("Began", instant(firing.ack_started_at, seconds=True)),
        ("Ended", instant(firing.ack_ended_at, seconds=True)),
        ("Overdue since", instant(firing.ack_overdue_at, seconds=True)),
        ("To end until", instant(firing.ack_deadline_at, seconds=True)),
        ("Receiver", body),
    ]


SHOWN: Final = 1000
"""Characters of a body. `--json` shows all that is kept."""


def attempts(firing: Firing) -> list[tuple[str, str | None]]:
    """Each attempt: when it began, how it ended, what the target said, and what it answered."""
    pairs: list[tuple[str, str | None]] = []
    for each in firing.attempts or ():
        ended = joined(instant(each.started_at, seconds=True), each.outcome, _with_detail(each))
        pairs += [(f"Attempt {each.attempt}", ended), *answer(each)]
    return pairs


def answer(attempt: Attempt) -> list[tuple[str, str | None]]:
    """What the target answered to an attempt: its status and how long each part took, its headers and its body."""
    found = attempt.answer
    if found is None:
        return []
    parts = ("dns", "connect", "tls", "first_byte", "whole")
    took = {part.replace("_", " "): getattr(found, f"{part}_ms") for part in parts}
    times = ", ".join(
        f"{name} {milliseconds} ms" for name, milliseconds in took.items() if milliseconds is not None
    )
    headers = "\n".join(f"{name}: {value}" for name, value in (found.headers or {}).items())
    body = found.body or ""
    if found.encoding == BASE64 and body:
        body = f"{BASE64}: {body}"
    if len(body) > SHOWN or found.cut:
        body = f"{body[:SHOWN]}…"
    left_out = "its headers and body had no room here" if found.left_out else None
    return [
        ("Answer", joined(f"HTTP {found.status}", times, left_out)),
        ("Headers", headers or None),
        ("Body", body or None),
    ]


def _with_detail(attempt: Attempt) -> str | None:
    return ": ".join([part for part in (attempt.reason, attempt.detail) if part]) or None


def lateness(milliseconds: float | None) -> str | None:
    """How late it was delivered: milliseconds below a second, else as a span of time."""
    if milliseconds is None:
        return None
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return span(int(milliseconds * 1000))
