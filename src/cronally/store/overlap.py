"""Firings of a cron job that may not overlap: what is open in front of them, and how much of it.

Invariant: who decides holds the cron job's row lock, so that two claims do not decide about firings of one cron job at
the same time, and none decides while a manual firing is put before what it has claimed. It waits for no lock: what
another transaction holds, a tick or a change or the record of the firing in front, is asked about again in a moment.

What is skipped remembers the firing that it was skipped for (`behind_at`); between the two all had ended unsent. So the
search goes on from there, and reads a few rows however many were skipped. It ends, as that of `order`, at the first
that was attempted and is finished: that one had waited for those before it. Where firings are acknowledged, one is open
until its receiver has said how it ended, or is overdue.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Connection, TextClause, Update, bindparam, func, select, text, update

from cronally.firing import Key, Kind
from cronally.store import batches, tables
from cronally.store.order import Front
from cronally.store.types import Id


class Behind(NamedTuple):
    """What a firing is behind."""

    front: Front
    at: int
    """The fire time of the last open one before it, if `front` is open."""
    open: int
    """How many open ones are before it, counted as far as was asked for."""


_cronjob: Final = tables.cronjob
_LOCK: Final = (
    # Of a pause whose end has come and nobody has seen, it is not known what is owed from then on.
    select(
        _cronjob.c.cronjob_id,
        func.coalesce(_cronjob.c.next_fire_at, _cronjob.c.paused_until - 1).label("unwritten_after"),
    )
    .where(_cronjob.c.cronjob_id.in_(bindparam("cronjob_ids", type_=Id(), expanding=True)))
    .with_for_update(key_share=True, skip_locked=True)
)

_COUNTS: Final = "({row}.due_at IS NOT NULL OR {row}.attempt > 0 OR {row}.behind_at IS NOT NULL)"
"""What a search looks at."""
_NOT_FINISHED: Final = "{row}.due_at IS NOT NULL"
_AWAITED: Final = """({row}.due_at IS NOT NULL OR EXISTS (
    SELECT 1 FROM acknowledgement a
    WHERE a.cronjob_id = {row}.cronjob_id AND a.scheduled_at = {row}.scheduled_at AND a.kind = {row}.kind
      AND a.deadline_at IS NOT NULL AND a.attempts_before = {row}.attempts_before))"""
"""What is open where firings are acknowledged."""
_POINTS: Final = (
    "{row}.due_at IS NULL AND {row}.behind_at IS NOT NULL AND {row}.behind_at < {row}.scheduled_at"
)
_BOUND: Final = f"""(CASE WHEN {_POINTS} THEN {{row}}.behind_at + 1 ELSE {{row}}.scheduled_at END,
    CASE WHEN {_POINTS} THEN '' ELSE {{row}}.kind END)"""
"""Before what it goes on."""


def _goes_on(is_open: str, row: str) -> str:
    """What a search goes on from. One that was sent early and skipped at its time is no end."""
    return f"({is_open} OR {row}.attempt = 0 OR {row}.behind_at IS NOT NULL)"


def _walk_sqlite(open_: str) -> TextClause:
    """
    :param open_: which rows are open
    """
    last, found = open_.format(row="last"), open_.format(row="f")
    return text(
        f"""
    WITH RECURSIVE walk(place, most, id, open) AS (
        SELECT asked.key, json_extract(asked.value, '$[3]'), (
                   SELECT f.rowid FROM firing f
                   WHERE f.cronjob_id = json_extract(asked.value, '$[0]')
                     AND (f.scheduled_at, f.kind)
                         < (json_extract(asked.value, '$[1]'), json_extract(asked.value, '$[2]'))
                     AND {_COUNTS.format(row="f")}
                   ORDER BY f.scheduled_at DESC, f.kind DESC LIMIT 1), 0
        FROM json_each(:keys) asked
        UNION ALL
        SELECT walk.place, walk.most, (
                   SELECT f.rowid FROM firing f
                   WHERE f.cronjob_id = last.cronjob_id AND (f.scheduled_at, f.kind) < {_BOUND.format(row="last")}
                     AND {_COUNTS.format(row="f")}
                   ORDER BY f.scheduled_at DESC, f.kind DESC LIMIT 1), walk.open + ({last})
        FROM walk JOIN firing last ON last.rowid = walk.id
        WHERE {_goes_on(last, "last")} AND walk.open + ({last}) < walk.most)
    SELECT json_group_array(json_array(place, '{Front.OPEN}', at, open)) FROM (
        SELECT walk.place, max(f.scheduled_at) AS at, count(*) AS open
        FROM walk JOIN firing f ON f.rowid = walk.id WHERE {found} GROUP BY walk.place)
    """  # noqa: S608 - constants
    )


_ASKED: Final = "(CAST(asked.key ->> 1 AS bigint), asked.key ->> 2)"
_CHANGED: Final = "(locked.due_at IS NOT NULL OR locked.attempt IS NULL OR locked.attempt = 0)"


def _walk_postgres(open_: str, is_front: str, still: str) -> TextClause:
    """
    :param open_: which rows are open
    :param is_front: whether one that was found open is in front, by its row as it is `locked` now
    :param still: whether it is open now
    """
    near = f"""
    SELECT f.cronjob_id, f.scheduled_at, f.kind, f.due_at, f.attempt, f.behind_at, {open_.format(row="f")} AS is_open
    FROM firing f
    WHERE f.cronjob_id = {{cronjob_id}} AND (f.scheduled_at, f.kind) < {{bound}} AND {_COUNTS.format(row="f")}
    ORDER BY f.scheduled_at DESC, f.kind DESC LIMIT 1
    """  # noqa: S608 - constants
    return text(
        f"""
    WITH RECURSIVE walk AS (
        SELECT asked.place, CAST(asked.key ->> 3 AS integer) AS most, near.*, CAST(near.is_open AS integer) AS open
        FROM jsonb_array_elements(CAST(:keys AS jsonb)) WITH ORDINALITY asked(key, place)
        CROSS JOIN LATERAL ({near.format(cronjob_id="CAST(asked.key ->> 0 AS uuid)", bound=_ASKED)}) near
        UNION ALL
        SELECT walk.place, walk.most, near.*, walk.open + CAST(near.is_open AS integer)
        FROM walk CROSS JOIN LATERAL (
            {near.format(cronjob_id="walk.cronjob_id", bound=_BOUND.format(row="walk"))}) near
        WHERE {_goes_on("walk.is_open", "walk")} AND walk.open < walk.most
    ), found AS (
        SELECT place, max(open) AS open FROM walk GROUP BY place)
    SELECT front.place - 1,
           CASE WHEN {still} THEN '{Front.OPEN}' ELSE '{Front.CHANGING}' END,
           front.scheduled_at, found.open
    FROM walk front JOIN found ON found.place = front.place
    LEFT JOIN LATERAL (
        SELECT g.due_at, g.attempt FROM firing g
        WHERE g.cronjob_id = front.cronjob_id AND g.scheduled_at = front.scheduled_at AND g.kind = front.kind
        FOR SHARE SKIP LOCKED) locked ON true
    WHERE front.is_open AND front.open = 1 AND {is_front}
    """  # noqa: S608 - constants
    )


_WALKS: Final = {
    "sqlite": (_walk_sqlite(_NOT_FINISHED), _walk_sqlite(_AWAITED)),
    "postgresql": (
        # One that was open and has ended without an attempt since says nothing of those before it: it counts as
        # changing.
        _walk_postgres(_NOT_FINISHED, _CHANGED, "locked.due_at IS NOT NULL"),
        # Of one that has ended since it is not seen yet whether it is awaited now.
        _walk_postgres(
            _AWAITED,
            "true",
            "locked.due_at IS NOT NULL OR (front.due_at IS NULL AND locked.attempt IS NOT NULL)",
        ),
    ),
}
"""By the dialect: the search, and the one where firings are open until they are acknowledged."""


def list_behind(
    connection: Connection, asked: Mapping[Key, int], *, awaited: bool = False
) -> dict[Key, Behind]:
    """Which of these firings have something in front of them. The caller has claimed them in this transaction.

    :param asked: with each, up to how many open ones in front of it are counted, from 1
    :param awaited: whether any of their cron jobs asks for acknowledgements
    """
    if not asked:
        return {}
    cronjob_ids = sorted({key[0] for key in asked})
    # A statement of its own: the next one sees all that those have written who had the locks before.
    found = connection.execute(_LOCK, {"cronjob_ids": cronjob_ids})
    locked = {row.cronjob_id: row.unwritten_after for row in found}
    behind = dict.fromkeys((key for key in asked if key[0] not in locked), _CHANGING)
    keys = [key for key in asked if key[0] in locked]
    if not keys:
        return behind
    parameters = {"keys": json.dumps([(*key, asked[key]) for key in keys])}
    rows: Any
    if connection.dialect.name == "sqlite":
        rows = json.loads(connection.execute(_WALKS["sqlite"][awaited], parameters).scalar_one())
    else:
        rows = connection.execute(_WALKS["postgresql"][awaited], parameters).all()
    behind |= {keys[place]: Behind(Front(front), at, count) for place, front, at, count in rows}
    for key in keys:
        # Sent before a fire time that no tick has written yet, it would be the one at which later searches end.
        unwritten_after = locked[key[0]]
        if key[2] != Kind.SCHEDULED and unwritten_after is not None and unwritten_after < key[1]:
            behind.setdefault(key, _CHANGING)
    return behind


_CHANGING: Final = Behind(Front.CHANGING, 0, 0)


def record_behind(connection: Connection, skipped: Mapping[Key, int]) -> None:
    """Remember of firings that are skipped in this transaction the fire time of the one that they are skipped for."""
    rows = [(*key, at) for key, at in skipped.items()]
    connection.execute(_record(connection.dialect.name), batches.encode(rows))


@cache
def _record(dialect: str) -> Update:
    batch = batches.table(dialect, {**batches.KEY, "behind_at": BigInteger()})
    firing = tables.firing
    return update(firing).where(batches.same(firing, batch, batches.KEY)).values(behind_at=batch.c.behind_at)
