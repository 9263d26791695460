"""Cron jobs as they are shown: with the next fire time that is not excluded.

Invariant: what is stored is the next fire time of the timetable, which the ledger gets a row for in any case; what is
shown is the next one that fires, by the calendars as they are now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from cronally import errors
from cronally.clock.exclusion import Exclusion
from cronally.contract import cronjobs
from cronally.contract.connections import Health
from cronally.contract.used_connections import UsedConnection
from cronally.contract.verification import Verification
from cronally.fairness import out_of_turn
from cronally.operations.answers import NOTHING, cronjob_answer
from cronally.store import Store, calendars, connections
from cronally.store.cronjobs import Cronjob

MAX_PASSED: Final = 32
"""So many ranges of excluded dates are passed for each cron job. Behind more of them nothing is looked for."""


async def show_cronjob(
    store: Store,
    cronjob: Cronjob,
    warnings: Sequence[str] = (),
    verification: Verification | None = None,
    *,
    standing: Mapping[str, Any] = NOTHING,
) -> cronjobs.Cronjob:
    """The answer with a cron job, as `cronjob_answer` makes it."""
    (exclusion,) = await _read(store, [cronjob])
    next_fire_at = next_included(cronjob, exclusion)
    (used,) = await _used(store, [cronjob])
    return cronjob_answer(
        cronjob, warnings, verification, next_fire_at=next_fire_at, connection=used, standing=standing
    )


async def show_cronjobs(
    store: Store,
    found: Sequence[Cronjob],
    standings: Sequence[Mapping[str, Any]],
    only: Collection[str] | None = None,
) -> list[cronjobs.Cronjob]:
    """The answers with cron jobs of one account, and how each of them stands.

    :param only: the keys that are wanted; None: all
    """
    is_wanted = only is None or "next_fire_at" in only
    exclusions = await _read(store, found) if is_wanted else [None] * len(found)
    used_wanted = only is None or "connection" in only
    connected = await _used(store, found) if used_wanted else [None] * len(found)
    answers = []
    for cronjob, exclusion, used, standing in zip(found, exclusions, connected, standings, strict=True):
        if exclusion is not None:
            # To look behind excluded dates takes up to some milliseconds each; others get in before.
            async with out_of_turn():
                await asyncio.sleep(0)
        next_fire_at = next_included(cronjob, exclusion)
        answers.append(
            cronjob_answer(cronjob, next_fire_at=next_fire_at, connection=used, standing=standing, only=only)
        )
    return answers


def next_included(cronjob: Cronjob, exclusion: Exclusion | None) -> int | None:
    """The next fire time of a cron job that is not excluded; None where there is none, or none near enough.

    Of one whose schedule or calendar cannot be read it is the one that is stored: the scheduler sets it aside then.
    """
    if exclusion is None or cronjob.next_fire_at is None:
        return cronjob.next_fire_at
    try:
        times = cronjob.timing.timetable(cronjob.cronjob_id, cronjob.created_at)
        excluded = exclusion.within(times.zone)
    except (errors.InvalidExpression, ValueError):
        return cronjob.next_fire_at
    return excluded.first_included(times, cronjob.next_fire_at, MAX_PASSED)[0]


async def _used(store: Store, found: Sequence[Cronjob]) -> list[UsedConnection | None]:
    """The connection that each of these cron jobs of one account uses."""
    ids = {one.connection_id for one in found if one.connection_id is not None}
    if not ids:
        return [None] * len(found)
    account_id = found[0].account_id
    names = await store.transact(lambda connection: connections.names_of(connection, account_id, ids))
    used = {
        connection_id: UsedConnection(
            connection_id=connection_id, name=name, health=Health.OK if since is None else Health.UNHEALTHY
        )
        for connection_id, (name, since) in names.items()
    }
    return [used.get(one.connection_id or "") for one in found]


async def _read(store: Store, found: Sequence[Cronjob]) -> list[Exclusion | None]:
    """What those of these cron jobs exclude that have a next fire time."""
    waiting = [
        (one.account_id, one.policies) for one in found if one.next_fire_at is not None and one.exclude
    ]
    if not waiting:
        return [None] * len(found)
    dates = await store.transact(lambda connection: calendars.read_dates(connection, waiting))
    return [Exclusion.of(one.exclude, dates.get(one.account_id, {})) for one in found]
