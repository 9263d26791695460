"""Leases that are made longer: of firings whose requests take longer than a lease lasts.

Invariant: a lease is renewed by its number, as an outcome is recorded by it. What another worker has claimed, or what
has ended, is not renewed: its worker is told that the lease is lost. A renewal waits for no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, Update, bindparam, null, select, update

from cronally.firing import Key, State
from cronally.store import batches, tables

Lease = tuple[Key, int]
"""Of a firing: its row, and the number of the lease."""

_firing = tables.firing


class Renewed(NamedTuple):
    """What became of leases."""

    renewed: set[Lease]
    lost: set[Lease]
    """What is in neither, another transaction has locked: its end is being recorded, or it is being claimed."""


def renew_leases(connection: Connection, begun: Sequence[tuple[Key, int, int]], leased_until: int) -> Renewed:
    """Let these leases last until `leased_until`, and the ledger say since when their firings are being sent.

    :param begun: row, number of the lease, and when the request of each began
    """
    dialect = connection.dialect.name
    wanted = {(key, number): at for key, number, at in begun}
    renewed = _read(connection, _hold(dialect), wanted)
    if renewed:
        rows = batches.encode((*key, number, wanted[key, number]) for key, number in renewed)
        connection.execute(_renew(dialect), {**rows, "leased_until": leased_until})
    missing = wanted.keys() - renewed
    ours = _read(connection, _ours(dialect), missing) if missing else set()
    return Renewed(renewed, missing - ours)


def _read(connection: Connection, statement: Select[Any], of: Iterable[Lease]) -> set[Lease]:
    rows = connection.execute(statement, batches.encode((*key, number) for key, number in of))
    return {(tuple(key), number) for *key, number in rows}


@cache
def _ours(dialect: str) -> Select[Any]:
    """Which of the batch are still under these leases."""
    batch = batches.table(dialect, batches.LEASE)
    same = batches.same(_firing, batch, batches.LEASE)
    columns = (_firing.c[name] for name in batches.LEASE)
    return select(*columns).join_from(batch, _firing, same).where(_firing.c.state == State.SENDING)


@cache
def _hold(dialect: str) -> Select[Any]:
    """The same, locked: all but what another transaction has locked."""
    return _ours(dialect).with_for_update(of=_firing, skip_locked=True)


@cache
def _renew(dialect: str) -> Update:
    # What is being sent and has no duration is shown with when that began; an earlier attempt left both.
    batch = batches.table(dialect, {**batches.LEASE, "sent_at": BigInteger()})
    return (
        update(_firing)
        .where(batches.same(_firing, batch, batches.LEASE), _firing.c.state == State.SENDING)
        .values(
            due_at=bindparam("leased_until", type_=BigInteger()), sent_at=batch.c.sent_at, duration=null()
        )
    )
