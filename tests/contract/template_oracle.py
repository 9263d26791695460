"""Placeholders filled in slowly, by other means: a walk over characters, `zoneinfo`, `strftime` and a JSON parser.

Independent of `cronally.contract.templates`: nothing of it is used here.
"""

from __future__ import annotations

import json
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from tests.support.clock_oracle import zone_info


@dataclass(frozen=True)
class Piece:
    """A placeholder as it is written, and what it means."""

    text: str
    value: Callable[[dict[str, object]], str]
    is_number: bool = False


def at(
    values: dict[str, object], local: bool, start_of: str | None, parts: list[tuple[int, str]]
) -> datetime:
    """The instant that a fire time is shifted to, with the offset that it is shown in."""
    zone = zone_info(str(values["timezone"]))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(str(values["scheduled_at"])))
    naive = moment.astimezone(zone).replace(tzinfo=None)
    if start_of is not None:
        naive = start(naive, start_of)
    for count, unit in parts:
        if unit in "hm":
            moment = resolve(naive, moment, zone) + timedelta(**{{"h": "hours", "m": "minutes"}[unit]: count})
            naive = moment.astimezone(zone).replace(tzinfo=None)
        else:
            naive = move(naive, count, unit)
    if start_of is not None or parts:
        moment = resolve(naive, moment, zone)
    return moment.astimezone(zone) if local else moment


def start(naive: datetime, unit: str) -> datetime:
    """The start of the hour, day, week, month or year that a local time lies in, minute by minute or day by day."""
    naive = naive.replace(second=0, microsecond=0)
    while naive.minute:
        naive -= timedelta(minutes=1)
    while unit != "hour" and naive.hour:
        naive -= timedelta(hours=1)
    while (
        (unit == "week" and naive.strftime("%u") != "1")
        or (unit in ("month", "year") and naive.day != 1)
        or (unit == "year" and naive.month != 1)
    ):
        naive -= timedelta(days=1)
    return naive


def move(naive: datetime, count: int, unit: str) -> datetime:
    """A local time so many units later, a month at a time."""
    if unit in "dw":
        return naive + timedelta(days=count * (7 if unit == "w" else 1))
    year, month = naive.year, naive.month
    for _ in range(abs(count) * (12 if unit == "y" else 1)):
        month += 1 if count > 0 else -1
        if month == 13:
            year, month = year + 1, 1
        if month == 0:
            year, month = year - 1, 12
    return naive.replace(year=year, month=month, day=min(naive.day, monthrange(year, month)[1]))


def resolve(naive: datetime, before: datetime, zone: object) -> datetime:
    """The instant that shows a local time: of two the one with the offset before it; of none as if nothing jumped."""
    offset = before.astimezone(zone).utcoffset()  # type: ignore[arg-type]
    shown = []
    for fold in (0, 1):
        candidate = naive.replace(tzinfo=zone, fold=fold).astimezone(UTC)  # type: ignore[arg-type]
        if candidate.astimezone(zone).replace(tzinfo=None) == naive:  # type: ignore[arg-type]
            shown.append(candidate)
    if not shown:
        return naive.replace(tzinfo=zone, fold=0).astimezone(UTC)  # type: ignore[arg-type]
    for candidate in shown:
        if candidate.astimezone(zone).utcoffset() == offset:  # type: ignore[arg-type]
            return candidate
    return min(shown)


def as_text(pieces: list[str | Piece], values: dict[str, object]) -> str:
    """A text, filled in."""
    return "".join(piece if isinstance(piece, str) else piece.value(values) for piece in pieces)


def as_url(pieces: list[str | Piece], values: dict[str, object]) -> str:
    """A URL, filled in."""
    return "".join(
        piece if isinstance(piece, str) else quote(piece.value(values), safe="") for piece in pieces
    )


def as_document(document: object, values: dict[str, object]) -> object:
    """A document whose strings hold pieces, as a parser of JSON is to find it."""
    match document:
        case dict():
            return {key: as_document(value, values) for key, value in document.items()}
        case list() if document and isinstance(document[0], Piece | str):
            return as_text(document, values)
        case list():
            return [as_document(value, values) for value in document]
        case Piece():
            value = document.value(values)
            return json.loads(value) if document.is_number else value
    return document
