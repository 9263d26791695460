"""Hosts that accounts prove to be their own: what each is to show, and until when it is proven.

Invariant: every verb of a tenant takes the account and touches no other's rows. A proof that was found holds for
`HELD`; it is looked for again each day, each hour where nothing could be understood, and it ends when the host says
that it is not there, or when it was not found in time. What one look found is written only for the text that it looked
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Integer,
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)

from cronally.instants import DAY, HOUR
from cronally.store import tables
from cronally.store.rows import Rows
from cronally.store.types import Id

HELD: Final = 2 * DAY
LOOKED: Final = DAY
"""Between two looks that find it."""
AGAIN: Final = HOUR
"""After one that does not, or that does not end."""


@dataclass(frozen=True, slots=True)
class HostProof:
    """A host of an account. The names are those of the table's columns."""

    account_id: str
    host: str
    path: str
    text: str
    created_at: int
    looked_at: int | None = None
    detail: str | None = None
    proven_until: int | None = None

    def holds(self, now: int) -> bool:
        """Whether it is proven."""
        return self.proven_until is not None and now < self.proven_until <= now + HELD


_table: Final = tables.host_proof
_COLUMNS: Final = tuple(_table.c[name] for name in HostProof.__dataclass_fields__)
_NOW: Final = bindparam("now", type_=BigInteger())
_LIMIT: Final = bindparam("limit", type_=Integer())
_OF: Final = _table.c.account_id == bindparam("account", type_=Id())
_THIS: Final = and_(_OF, _table.c.host == bindparam("named", type_=Text()))
_SAME: Final = and_(_THIS, _table.c.text == bindparam("shown", type_=Text()))
_GET: Final = select(*_COLUMNS).where(_THIS)
_LIST: Final = Rows(select(*_COLUMNS).where(_OF).order_by(_table.c.host).limit(_LIMIT))
_COUNT: Final = select(func.count()).select_from(_table).where(_OF)
# What a clock that was ahead has written holds nothing, and keeps no look from being made.
_HOLDS: Final = and_(
    _table.c.look_at.is_not(None),
    _table.c.proven_until > _NOW,
    _table.c.proven_until <= bindparam("latest", type_=BigInteger()),
)
_IS_DUE: Final = and_(
    _table.c.look_at.is_not(None),
    or_(_table.c.look_at <= _NOW, _table.c.look_at > bindparam("latest", type_=BigInteger())),
)
_HELD: Final = Rows(
    select(_table.c.account_id, _table.c.host)
    .where(
        _HOLDS,
        tuple_(_table.c.account_id, _table.c.host)
        > tuple_(bindparam("after", type_=Id()), bindparam("after_host", type_=Text())),
    )
    .order_by(_table.c.account_id, _table.c.host)
    .limit(_LIMIT)
)
_DUE: Final = (
    select(*_COLUMNS)
    .where(_IS_DUE)
    .order_by(_table.c.look_at)
    .limit(_LIMIT)
    .with_for_update(skip_locked=True)
)
_CLAIM: Final = update(_table).where(_SAME).values(look_at=bindparam("until", type_=BigInteger()))
_FOUND: Final = (
    update(_table)
    .where(_SAME)
    .values(
        looked_at=_NOW,
        detail=null(),
        proven_until=bindparam("ends", type_=BigInteger()),
        look_at=bindparam("until", type_=BigInteger()),
    )
)
_ENDS: Final = or_(bindparam("final", type_=Boolean()) == true(), _table.c.proven_until <= _NOW)
_MISSED: Final = (
    update(_table)
    .where(_SAME)
    .values(
        looked_at=_NOW,
        detail=bindparam("said", type_=Text()),
        proven_until=case((_ENDS, null()), else_=_table.c.proven_until),
        look_at=case((_ENDS, null()), else_=_table.c.look_at),
    )
)


def get_host(connection: Connection, account_id: str, host: str) -> HostProof | None:
    """A host of the account."""
    row = connection.execute(_GET, {"account": account_id, "named": host}).one_or_none()
    return None if row is None else HostProof(*row)


def list_hosts(connection: Connection, account_id: str, limit: int) -> list[HostProof]:
    """Hosts of the account, by name."""
    return [HostProof(*row) for row in _LIST.read(connection, {"account": account_id, "limit": limit})]


def count_hosts(connection: Connection, account_id: str) -> int:
    """How many hosts the account has."""
    return int(connection.execute(_COUNT, {"account": account_id}).scalar_one())


def insert_host(connection: Connection, proof: HostProof) -> None:
    """Add a host. The caller has locked the account."""
    connection.execute(insert(_table).values({name: getattr(proof, name) for name in proof.__slots__}))


def delete_host(connection: Connection, account_id: str, host: str) -> None:
    """Delete a host of the account; its proof ends."""
    connection.execute(delete(_table).where(_THIS), {"account": account_id, "named": host})


def record_found(connection: Connection, proof: HostProof, now: int) -> None:
    """The host shows the text."""
    connection.execute(_FOUND, {**_same(proof), "now": now, "ends": now + HELD, "until": now + LOOKED})


def record_missed(connection: Connection, proof: HostProof, now: int, detail: str, *, final: bool) -> None:
    """The text was not found.

    :param final: whether the host said so
    """
    connection.execute(_MISSED, {**_same(proof), "now": now, "said": detail, "final": final})


def list_proven(
    connection: Connection, now: int, after: tuple[str, str] | None, limit: int
) -> Sequence[tuple[str, str]]:
    """Accounts and the hosts that they have proven, in the order of both, from the one after `after` on."""
    account_id, host = after or (_FIRST, "")
    parameters = {"now": now, "latest": now + HELD, "after": account_id, "after_host": host, "limit": limit}
    return [(row[0], row[1]) for row in _HELD.read(connection, parameters)]


_FIRST: Final = "00000000-0000-0000-0000-000000000000"


def claim_looks(connection: Connection, now: int, limit: int) -> list[HostProof]:
    """Proofs that are to be looked for now, those first that wait longest. No one else gets them for `AGAIN`."""
    parameters = {"now": now, "latest": now + LOOKED, "limit": limit}
    due = [HostProof(*row) for row in connection.execute(_DUE, parameters)]
    for proof in due:
        connection.execute(_CLAIM, {**_same(proof), "until": now + AGAIN})
    return due


def _same(proof: HostProof) -> dict[str, Any]:
    return {"account": proof.account_id, "named": proof.host, "shown": proof.text}
