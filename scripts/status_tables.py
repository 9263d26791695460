"""The tables of docs/reference/statuses.md, made of those by which answers are judged."""

from __future__ import annotations

from collections.abc import Sequence

from cronally.targets.http.statuses import STATUSES, Meaning, Row
from cronally.targets.sns.answers import CODES
from scripts.contract_tables import PLACE


def filled(page: str) -> str:
    """The page with its tables current."""
    made = {"Statuses": statuses(), "Codes": codes()}
    return PLACE.sub(lambda match: f"{match[1]}\n{made[match[2]]}\n{match[3]}", page)


def statuses() -> str:
    """What each status of HTTP means."""
    rows = [(row.shown, _meaning(row), _repeated(row), row.why) for row in STATUSES]
    return _table(("status", "first attempt", "repeated attempt", "why"), rows)


def codes() -> str:
    """What each code of AWS means."""
    rows = [(", ".join(f"`{code}`" for code in sorted(each.codes)), each.outcome, each.why) for each in CODES]
    return _table(("code", "outcome", "why"), rows)


def _meaning(row: Row) -> str:
    with_wait = "" if row.asked is None else f"; {row.asked} with a `Retry-After`"
    return f"{row.meaning}{with_wait}"


def _repeated(row: Row) -> str:
    meaning: Meaning | None = row.repeated
    return "the same" if meaning is None else str(meaning)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
