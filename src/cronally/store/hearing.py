"""What a receiver says of a firing, taken down in one transaction.

Invariant: as of `acknowledgements`. A word is heard under the row locks of its firing and, where others may wait for
that, of its cron job, so no claim decides about them meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import BigInteger, Connection, Text, bindparam, select

from cronally import acknowledgement as rules
from cronally.acknowledgement import Word
from cronally.cronjob import Overlap, read_policies
from cronally.cronjob import State as CronjobState
from cronally.firing import Key
from cronally.store import acknowledgements, order, tables
from cronally.store.types import Id

_table: Final = tables.acknowledgement
_firing: Final = tables.firing
_cronjob: Final = tables.cronjob


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a word."""

    account_id: str
    keeps_body: bool
    """Whether what came with it may be kept."""
    freed: int = 0
    """How many firings became due that had waited for this one."""


_KEY: Final = (
    _firing.c.cronjob_id == bindparam("of", type_=Id()),
    _firing.c.scheduled_at == bindparam("at", type_=BigInteger()),
    _firing.c.kind == bindparam("of_kind", type_=Text()),
)
_FIND: Final = (
    select(_firing.c.account_id, _cronjob.c.policies)
    .join(_cronjob, _cronjob.c.cronjob_id == _firing.c.cronjob_id)
    .where(*_KEY)
)
_LOCK_CRONJOB: Final = (
    select(_cronjob.c.state)
    .where(_cronjob.c.cronjob_id == bindparam("of", type_=Id()))
    .with_for_update(key_share=True)
)
_LOCK_FIRING: Final = select(_firing.c.attempts_before).where(*_KEY).with_for_update()
_READ: Final = select(*acknowledgements.ROW).where(
    _table.c.cronjob_id == bindparam("of", type_=Id()),
    _table.c.scheduled_at == bindparam("at", type_=BigInteger()),
    _table.c.kind == bindparam("of_kind", type_=Text()),
)


def hear(
    connection: Connection,
    key: Key,
    attempts_before: int,
    word: Word,
    now: int,
    *,
    exit_code: int | None = None,
    with_body: bool = False,
) -> Heard | None:
    """Take down what a receiver says of a firing; None if the ledger does not have it any more.

    What is said of a delivery before a replay is heard, and changes nothing.

    :param attempts_before: of the delivery that it is about
    :param with_body: whether something came with it
    """
    parameters = {"of": key[0], "at": key[1], "of_kind": key[2]}
    found = connection.execute(_FIND, parameters).one_or_none()
    if found is None:
        return None
    policies = read_policies(found.policies)
    keeps_body = with_body
    if with_body or policies.overlap != Overlap.ALLOW:
        # A claim that looks whether this firing is open holds it, and so does who deletes the cron job.
        state = connection.execute(_LOCK_CRONJOB, {"of": key[0]}).scalar()
        keeps_body = with_body and state not in (None, CronjobState.DELETED)
    firing = connection.execute(_LOCK_FIRING, parameters).one_or_none()
    if firing is None:
        return None
    row = connection.execute(_READ, parameters).one_or_none()
    before = None if row is None else acknowledgements.current(row, firing.attempts_before)
    if before is None and not policies.ack_within:
        return Heard(found.account_id, False)
    # Without a row it was faster than the record of its delivery, from which on its time runs.
    began = before or replace(
        acknowledgements.new(firing.attempts_before, policies), deadline_at=now + policies.ack_within
    )
    if attempts_before < began.first_before:
        return Heard(found.account_id, False)
    after = rules.after_word(began, word, now, exit_code)
    acknowledgements.write(connection, [acknowledgements.Change(key, found.account_id, before, after)])
    freed = 0
    if began.is_open and not after.is_open and policies.overlap == Overlap.QUEUE:
        freed = order.free_next(connection, [key])
    return Heard(found.account_id, keeps_body, freed)
