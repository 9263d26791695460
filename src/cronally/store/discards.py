"""Dead letters that were discarded: firings that have failed, and that somebody has said to need nothing more.

Invariant: only what has failed is discarded, once; a row that is made pending again is discarded no more (`reopening`,
`schedule`). The row itself stays in the ledger as it is. Every verb takes the account and touches no other's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Text, and_, bindparam, func, select, text, tuple_, update

from cronally.firing import Key, State
from cronally.store import tables
from cronally.store.types import Id

COUNTED: Final = 1000
"""So many of the newest rows that were not delivered are looked at for a count."""

_firing: Final = tables.firing
_ACCOUNT: Final = _firing.c.account_id == bindparam("of_account", type_=Id())
_DEAD: Final = and_(_firing.c.state == State.FAILED, _firing.c.discarded_at.is_(None))
_DISCARD: Final = (
    update(_firing)
    .where(
        _ACCOUNT,
        tuple_(_firing.c.cronjob_id, _firing.c.scheduled_at, _firing.c.kind).in_(
            bindparam("keys", expanding=True)
        ),
        _DEAD,
    )
    .values(
        discarded_at=bindparam("now", type_=BigInteger()),
        discarded_by=bindparam("by", type_=Text()),
        discarded_note=bindparam("note", type_=Text()),
    )
)
_newest: Final = (
    select(_firing.c.state, _firing.c.discarded_at)
    # Word for word as in the index, or SQLite does not see that it holds all that is asked for.
    .where(_ACCOUNT, text(tables.WENT_WRONG))
    .order_by(_firing.c.scheduled_at.desc())
    .limit(COUNTED)
    .subquery()
)
COUNT: Final = (
    select(func.count())
    .select_from(_newest)
    .where(_newest.c.state == State.FAILED, _newest.c.discarded_at.is_(None))
)
"""How many of the last `COUNTED` rows of an account (`of_account`) that were not delivered are dead letters."""


def discard(
    connection: Connection, account_id: str, keys: Sequence[Key], now: int, api_key: str, note: str
) -> int:
    """Discard those of these firings that have failed and are not discarded; how many those are.

    :param keys: of as many firings as a page has, at most
    """
    if not keys:
        return 0
    parameters: dict[str, Any] = {
        "of_account": account_id,
        "keys": list(keys),
        "now": now,
        "by": api_key,
        "note": note,
    }
    return connection.execute(_DISCARD, parameters).rowcount
