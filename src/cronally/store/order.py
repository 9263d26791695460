"""Firings of a cron job that keeps its order: which ones wait for an earlier one, and who lets them go.

Invariant: of such a cron job the earliest open firing alone is sent. A claim finds out what is in front of a firing and
writes that it waits in one transaction; the transaction that finishes the one in front makes the next one due. On
PostgreSQL both lock the row in front, so that neither misses the other. A claim never waits for a lock: where another
transaction has the row in front, the firing is asked about again in a moment.

A firing in front counts while it is open, and the search for one ends at the first that was attempted and is finished:
that one had waited for those before it. So it reads a row or two, whatever the ledger holds, and needs no index. A
manual firing waits for fire times before it that no tick has written yet, too, or the search would end at it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Integer, Update, bindparam, null, select, text, tuple_, update

from cronally.firing import Key, Kind, Reason, State
from cronally.instants import MAX_INSTANT
from cronally.store import tables
from cronally.store.types import Id


class Front(StrEnum):
    """What is in front of a firing."""

    OPEN = "open"
    """One that is not finished."""
    CHANGING = "changing"
    """One that another transaction is changing, or has just changed, or that a tick is about to write."""


_BLOCKED_SQLITE: Final = text(
    f"""
    SELECT json_group_array(json_array(key, CASE WHEN open THEN '{Front.OPEN}' ELSE '{Front.CHANGING}' END)) FROM (
        SELECT asked.key, (
                   SELECT f.due_at FROM firing f
                   WHERE f.cronjob_id = json_extract(asked.value, '$[0]')
                     AND (f.scheduled_at, f.kind)
                         < (json_extract(asked.value, '$[1]'), json_extract(asked.value, '$[2]'))
                     AND (f.due_at IS NOT NULL OR f.attempt > 0)
                   ORDER BY f.scheduled_at DESC, f.kind DESC LIMIT 1) IS NOT NULL AS open,
               json_extract(asked.value, '$[2]') <> '{Kind.SCHEDULED}' AND EXISTS (
                   SELECT 1 FROM cronjob c
                   WHERE c.cronjob_id = json_extract(asked.value, '$[0]')
                     AND coalesce(c.next_fire_at, c.paused_until - 1) < json_extract(asked.value, '$[1]')) AS unwritten
        FROM json_each(:keys) asked)
    WHERE open OR unwritten
    """  # noqa: S608 - constants
)
_BLOCKED_POSTGRES: Final = text(
    f"""
    SELECT asked.place - 1,
           CASE WHEN locked.due_at IS NOT NULL THEN '{Front.OPEN}' ELSE '{Front.CHANGING}' END
    FROM jsonb_array_elements(CAST(:keys AS jsonb)) WITH ORDINALITY asked(key, place)
    LEFT JOIN LATERAL (
        SELECT f.cronjob_id, f.scheduled_at, f.kind FROM firing f
        WHERE f.cronjob_id = CAST(asked.key ->> 0 AS uuid)
          AND (f.scheduled_at, f.kind) < (CAST(asked.key ->> 1 AS bigint), asked.key ->> 2)
          AND (f.due_at IS NOT NULL OR f.attempt > 0)
        ORDER BY f.scheduled_at DESC, f.kind DESC LIMIT 1) before ON true
    LEFT JOIN LATERAL (
        SELECT g.due_at, g.attempt FROM firing g
        WHERE g.cronjob_id = before.cronjob_id AND g.scheduled_at = before.scheduled_at AND g.kind = before.kind
        FOR SHARE SKIP LOCKED) locked ON true
    WHERE (before.kind IS NOT NULL
           AND (locked.due_at IS NOT NULL OR locked.attempt IS NULL OR locked.attempt = 0))
       OR (asked.key ->> 2 <> '{Kind.SCHEDULED}' AND EXISTS (
               SELECT FROM cronjob c
               WHERE c.cronjob_id = CAST(asked.key ->> 0 AS uuid)
                 AND coalesce(c.next_fire_at, c.paused_until - 1) < CAST(asked.key ->> 1 AS bigint)))
    """  # noqa: S608 - constants
)
"""One that was open and has ended without an attempt since says nothing of those before it: it counts as changing."""


def list_blocked(connection: Connection, keys: Iterable[Key]) -> dict[Key, Front]:
    """Which of these firings have something in front of them. The caller has claimed them in this transaction."""
    asked = list(keys)
    if not asked:
        return {}
    parameters = {"keys": json.dumps(asked)}
    if connection.dialect.name == "sqlite":
        found = json.loads(connection.execute(_BLOCKED_SQLITE, parameters).scalar_one())
    else:
        found = connection.execute(_BLOCKED_POSTGRES, parameters).all()
    return {asked[place]: Front(front) for place, front in found}


FREED_ROWS: Final = 500
"""Of what waits, so much is let go in one transaction; and behind what is finished so many rows are looked at: one that
was replayed may have months of others behind it."""

# A row that is locked is being claimed: that claim sees what is finished now.
_FREE_SQLITE: Final = text(
    f"""
    UPDATE firing SET due_at = scheduled_at
    WHERE state = '{State.PENDING}' AND reason = '{Reason.EARLIER_FIRING}' AND rowid IN (
        SELECT (SELECT f.rowid FROM firing f
                WHERE f.cronjob_id = json_extract(done.value, '$[0]')
                  AND (f.scheduled_at, f.kind)
                      > (json_extract(done.value, '$[1]'), json_extract(done.value, '$[2]'))
                  AND f.due_at IS NOT NULL
                  AND f.scheduled_at <= coalesce((
                      SELECT h.scheduled_at FROM firing h
                      WHERE h.cronjob_id = json_extract(done.value, '$[0]')
                        AND h.scheduled_at >= json_extract(done.value, '$[1]')
                      ORDER BY h.scheduled_at LIMIT 1 OFFSET {FREED_ROWS}), {MAX_INSTANT})
                ORDER BY f.scheduled_at, f.kind LIMIT 1)
        FROM json_each(:keys) done)
    """  # noqa: S608 - constants
)
_FREE_POSTGRES: Final = text(
    f"""
    UPDATE firing f SET due_at = f.scheduled_at
    FROM jsonb_array_elements(CAST(:keys AS jsonb)) done(key) CROSS JOIN LATERAL (
        SELECT g.cronjob_id, g.scheduled_at, g.kind FROM firing g
        WHERE g.cronjob_id = CAST(done.key ->> 0 AS uuid)
          AND (g.scheduled_at, g.kind) > (CAST(done.key ->> 1 AS bigint), done.key ->> 2)
          AND g.due_at IS NOT NULL
          AND g.scheduled_at <= coalesce((
              SELECT h.scheduled_at FROM firing h
              WHERE h.cronjob_id = CAST(done.key ->> 0 AS uuid) AND h.scheduled_at >= CAST(done.key ->> 1 AS bigint)
              ORDER BY h.scheduled_at LIMIT 1 OFFSET {FREED_ROWS}), {MAX_INSTANT})
        ORDER BY g.scheduled_at, g.kind LIMIT 1 FOR UPDATE SKIP LOCKED) n
    WHERE f.cronjob_id = n.cronjob_id AND f.scheduled_at = n.scheduled_at AND f.kind = n.kind
      AND f.state = '{State.PENDING}' AND f.reason = '{Reason.EARLIER_FIRING}'
    """  # noqa: S608 - constants
)


def free_next(connection: Connection, finished: Iterable[Key]) -> int:
    """Make due what waited for firings that this transaction has finished; return how many those are.

    Due since its fire time, as it was at first: the oldest is claimed first.
    """
    parameters = {"keys": json.dumps(list(finished))}
    statement = _FREE_SQLITE if connection.dialect.name == "sqlite" else _FREE_POSTGRES
    return connection.execute(statement, parameters).rowcount


_firing: Final = tables.firing
_KEY: Final = (_firing.c.cronjob_id, _firing.c.scheduled_at, _firing.c.kind)
_FREE: Final[Update] = (
    update(_firing)
    .where(
        # What waits is new: the search begins with the last.
        tuple_(*_KEY).in_(
            select(*_KEY)
            .where(
                _firing.c.cronjob_id == bindparam("of_cronjob", type_=Id()),
                _firing.c.state == State.PENDING,
                _firing.c.reason == Reason.EARLIER_FIRING,
            )
            .order_by(_firing.c.scheduled_at.desc())
            .limit(bindparam("limit", type_=Integer()))
        ),
        _firing.c.state == State.PENDING,
    )
    .values(due_at=_firing.c.scheduled_at, reason=null())
)


def free(connection: Connection, cronjob_id: str) -> bool:
    """Make due what waits for earlier firings of a cron job that keeps the order no longer, up to `FREED_ROWS` of it;
    False if there may be more.
    """
    return connection.execute(_FREE, {"of_cronjob": cronjob_id, "limit": FREED_ROWS}).rowcount < FREED_ROWS
