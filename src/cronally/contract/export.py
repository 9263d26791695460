"""Firings as text for other programs: CSV, and lines of JSON. The server writes them, and the CLI.

Invariant: a column keeps its place for ever, and a new one comes at the end. A table is as RFC 4180 says, in UTF-8; no
spreadsheet takes a text in it for a formula. A line of JSON is ASCII, so nothing in it ends the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

COLUMNS: Final = (
    "firing_id",
    "cronjob_id",
    "cronjob_name",
    "scheduled_at",
    "kind",
    "state",
    "reason",
    "count",
    "until_at",
    "attempt",
    "created_at",
    "due_at",
    "sent_at",
    "finished_at",
    "lateness_ms",
    "message_id",
    "cause",
    "discarded_at",
    "discarded_by",
    "discarded_note",
    "ack",
    "ack_deadline_at",
    "ack_started_at",
    "ack_ended_at",
    "ack_overdue_at",
    "ack_late",
    "ack_duration_ms",
    "ack_too_fast",
    "ack_exit_code",
    "ack_retries",
)
"""The attributes of a firing that a table has: all but its attempts, what its receiver sent, and the other firings that
it has to do with."""

CSV_MEDIA_TYPE: Final = "text/csv"
JSON_LINES_MEDIA_TYPE: Final = "application/x-ndjson"

_END: Final = "\r\n"
CSV_HEADER: Final = ",".join(COLUMNS) + _END
# https://owasp.org/www-community/attacks/CSV_Injection; a number may well begin with a minus.
_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_QUOTED: Final = re.compile(r'[",\r\n]')


def csv_rows(firings: Iterable[Mapping[str, Any]]) -> str:
    """A row of the table for each firing, as an answer of the API has it."""
    return "".join([",".join([_cell(firing.get(name)) for name in COLUMNS]) + _END for firing in firings])


def json_lines(firings: Iterable[Mapping[str, Any]]) -> str:
    """A line for each firing."""
    return "".join([json.dumps(firing, separators=(",", ":")) + "\n" for firing in firings])


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    if isinstance(value, str) and _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
