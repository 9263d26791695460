"""The audit log of an account: read by its owner, and written for what was refused.

Invariant: what is done is written with it (`parts.change`); here only requests that were refused are, which do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection

from cronally.audit_chain import Entry, Row
from cronally.contract.audit import AuditChange, AuditEnds, AuditPage, AuditRow
from cronally.contract.reading import Reading
from cronally.contract.values import DEFAULT_LIMIT
from cronally.instants import to_datetime
from cronally.operations import cursor as cursors
from cronally.operations.caller import Caller
from cronally.operations.lists import Page, read_cursor
from cronally.operations.refused import Refused
from cronally.store import Store, audit
from cronally.store.audit import MAX_NUMBER, Chosen

_LISTED: Final = "audit"


AT_ONCE: Final = 100
"""So many rows one transaction writes."""


class Auditing:
    """The audit logs of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_audit(self, caller: Caller, reading: Reading[AuditPage]) -> Page[AuditRow]:
        """A page of the account's log, newest first. It may have fewer rows than were asked for, and go on."""
        position = read_cursor(reading, _LISTED, 0, _is_number)
        reading.raise_complaints()
        limit = reading.values.get("limit", DEFAULT_LIMIT)
        chosen = Chosen(**{name: reading.values.get(name) for name in Chosen.__dataclass_fields__})
        work = partial(
            audit.list_audit,
            account_id=caller.account_id,
            before=None if position is None else position[0],
            limit=limit,
            chosen=chosen,
        )
        part = await self._store.transact(work)
        cursor = None if part.last is None else cursors.encode(_LISTED, (part.last,))
        return Page([_answer(row) for row in part.rows], cursor)

    async def get_ends(self, caller: Caller) -> AuditEnds:
        """Where the account's log begins and ends."""
        ends = await self._store.transact(partial(audit.get_ends, account_id=caller.account_id))
        return AuditEnds(
            number=ends.number, hash=ends.hash, anchor_number=ends.anchor_number, anchor=ends.anchor
        )

    async def record_refused(self, refused: Sequence[Refused]) -> None:
        """Write requests that were refused into the logs of the accounts whose API keys they came with."""
        now = await self._store.clock()
        for start in range(0, len(refused), AT_ONCE):
            entries = [one.entry(now) for one in refused[start : start + AT_ONCE]]
            await self._store.transact(partial(_record, entries=entries))


def _record(connection: Connection, entries: Sequence[Entry]) -> None:
    audit.record_audit(connection, *entries)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_NUMBER


def _answer(row: Row) -> AuditRow:
    entry = row.entry
    return AuditRow(
        number=row.number,
        at=to_datetime(entry.at),
        who=entry.who.value,
        api_key=entry.api_key,
        address=entry.address,
        request_id=entry.request_id,
        action=entry.action,
        subject=entry.subject,
        subject_id=entry.subject_id,
        cronjob_id=entry.cronjob_id,
        count=entry.count,
        changes=tuple(
            [AuditChange(name=one.name, before=one.before, after=one.after) for one in entry.changes]
        ),
        previous=row.previous,
        hash=row.hash,
    )
