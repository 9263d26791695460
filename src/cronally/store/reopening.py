"""Firings that are to go once more: finished rows that are made pending again, and rows for fire times that have none.

Invariant: the caller holds the row lock of the cron job. A row keeps its id, its attempts and its lease numbers; what
is open is never touched, and no fire time gets a second row. What a range row stands for is the same before it is
parted and after, together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Integer,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    func,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from cronally.firing import Kind, Reason, State
from cronally.store import batches, tables
from cronally.store.rows import Rows
from cronally.store.types import Id

_DETAILS: Final = {
    Reason.REPLAYED: "Delivered; it was sent again later because somebody asked for it.",
    Reason.UNACKNOWLEDGED: "Delivered; it was sent again later because it was not acknowledged in time.",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the ledger that may go once more. The names are those of the table's columns."""

    cronjob_id: str
    scheduled_at: int
    kind: str
    account_id: str
    state: str
    reason: str | None
    until_at: int | None
    count: int
    created_at: int
    finished_at: int | None
    cause: str | None
    owed_at: int | None
    own_message: int
    version: int | None
    """That the last attempt sent."""
    sent_as: int | None = None
    """The version that it is sent as, where that is not the current one."""

    @property
    def last(self) -> int:
        """The last fire time that it stands for."""
        return self.scheduled_at if self.until_at is None else self.until_at

    @property
    def is_held(self) -> bool:
        """Whether a freeze holds it: it is owed at the end of that, whatever it was made due at."""
        return self.state == State.PENDING and self.reason == Reason.FROZEN


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left of a range row on one side of a fire time."""

    first: int
    last: int
    count: int

    @property
    def until_at(self) -> int | None:
        """As a row has it."""
        return None if self.count == 1 else self.last


_firing: Final = tables.firing
_earlier: Final = _firing.alias("earlier")
_COLUMNS: Final = tuple(_firing.c[name] for name in Row.__dataclass_fields__)
_OF: Final = bindparam("of", type_=Id())
_AT: Final = bindparam("at", type_=BigInteger())
_THIS: Final = and_(
    _firing.c.cronjob_id == _OF,
    _firing.c.scheduled_at == _AT,
    _firing.c.kind == bindparam("of_kind", type_=Text()),
)
_GET: Final[Select[Any]] = select(*_COLUMNS).where(_THIS)


def get_row(connection: Connection, cronjob_id: str, scheduled_at: int, kind: str) -> Row | None:
    """A row by its key. The account is the caller's to check."""
    parameters = {"of": cronjob_id, "at": scheduled_at, "of_kind": kind}
    found = connection.execute(_GET, parameters).one_or_none()
    return None if found is None else Row(*found)


def list_covering(connection: Connection, cronjob_id: str, times: Sequence[int]) -> dict[int, Row]:
    """The row that stands for each of these fire times of a cron job, where there is one."""
    if not times:
        return {}
    parameters = {**batches.encode([(at,) for at in times]), "of": cronjob_id, "limit": len(times)}
    found = _covering(connection.dialect.name).read(connection, parameters)
    rows = {found_of[0]: Row(*found_of[1:]) for found_of in found}
    return {at: row for at, row in rows.items() if at == row.scheduled_at or at <= row.last}


@cache
def _covering(dialect: str) -> Rows:
    batch = batches.table(dialect, {"at": BigInteger()})
    # Rows of one cron job do not overlap: only the last one that begins before can reach so far.
    begins = (
        select(func.max(_earlier.c.scheduled_at))
        .where(
            _earlier.c.cronjob_id == _OF,
            _earlier.c.kind == Kind.SCHEDULED,
            _earlier.c.scheduled_at <= batch.c.at,
        )
        .correlate(batch)
        .scalar_subquery()
    )
    return Rows(
        select(batch.c.at.label("asked"), *_COLUMNS)
        .select_from(batch)
        .join(
            _firing,
            and_(
                _firing.c.cronjob_id == _OF,
                _firing.c.scheduled_at == begins,
                _firing.c.kind == Kind.SCHEDULED,
            ),
        )
        .limit(bindparam("limit", type_=Integer()))
    )


_REOPEN: Final[Update] = (
    update(_firing)
    .where(_THIS, _firing.c.due_at.is_(None), _firing.c.until_at.is_(None))
    .values(
        state=State.PENDING,
        due_at=bindparam("due", type_=BigInteger()),
        owed_at=bindparam("due", type_=BigInteger()),
        attempts_before=_firing.c.attempt,
        sent_as=bindparam("as_version", type_=Integer()),
        refusals=0,
        lost_leases=0,
        **dict.fromkeys(("reason", "cause", "finished_at", "message_id", "place_at", "behind_at"), null()),
        **dict.fromkeys(tables.DISCARDED, null()),
    )
)


def reopen(
    connection: Connection,
    row: Row,
    due_at: int,
    sent_as: int | None = None,
    *,
    because: Reason = Reason.REPLAYED,
) -> None:
    """Make a row of one fire time that has ended pending again, due at an instant from which its age counts.

    :param sent_as: the version of the cron job that it is sent as; None: as the cron job is
    :param because: why it goes once more

    The attempt that delivered it is kept among the others: the row has room for the one that will.
    """
    parameters = {"of": row.cronjob_id, "at": row.scheduled_at, "of_kind": row.kind}
    if row.state == State.DELIVERED and row.reason is None:
        connection.execute(_keep_attempt(connection.dialect.name, because), parameters)
    connection.execute(_REOPEN, {**parameters, "due": due_at, "as_version": sent_as})


@cache
def _keep_attempt(dialect: str, because: Reason) -> Insert:
    dialect_insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    columns = {
        **{name: _firing.c[name] for name in ("cronjob_id", "scheduled_at", "kind", "lease_no", "attempt")},
        "started_at": func.coalesce(_firing.c.sent_at, _firing.c.created_at),
        "duration": func.coalesce(_firing.c.duration, 0),
        "version": func.coalesce(_firing.c.version, 1),
        "outcome": literal("delivered"),
        "reason": literal(because.value),
        "detail": literal(_DETAILS[because]),
    }
    chosen = select(*columns.values()).where(_THIS)
    return dialect_insert(tables.attempt).from_select(list(columns), chosen).on_conflict_do_nothing()


def insert_owed(
    connection: Connection, account_id: str, cronjob_id: str, scheduled_at: int, due_at: int, now: int
) -> None:
    """Add a pending row for a fire time that has none; where it has one, that stays."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(
        dialect.insert(_firing)
        .values(
            cronjob_id=cronjob_id,
            scheduled_at=scheduled_at,
            kind=Kind.SCHEDULED,
            account_id=account_id,
            state=State.PENDING,
            due_at=due_at,
            owed_at=due_at,
            created_at=now,
        )
        .on_conflict_do_nothing()
    )


def part_row(
    connection: Connection, row: Row, at: int, before: Rest | None, behind: Rest | None, due_at: int, now: int
) -> None:
    """Let one fire time out of a range row, pending and due at an instant; what is left of the row stays as it is.

    :param before: what is left before the fire time; None if nothing
    :param behind: the same behind it
    """
    first = before or Rest(at, at, 1)
    connection.execute(
        update(_firing)
        .where(_THIS)
        .values(until_at=bindparam("until", type_=BigInteger()), count=bindparam("new_count")),
        {
            "of": row.cronjob_id,
            "at": row.scheduled_at,
            "of_kind": row.kind,
            "until": first.until_at,
            "new_count": first.count,
        },
    )
    if behind is not None:
        connection.execute(
            insert(_firing).values(
                cronjob_id=row.cronjob_id,
                scheduled_at=behind.first,
                kind=row.kind,
                account_id=row.account_id,
                state=row.state,
                reason=row.reason,
                until_at=behind.until_at,
                count=behind.count,
                created_at=row.created_at,
                finished_at=row.finished_at,
                cause=row.cause,
            )
        )
    if before is None:
        reopen(connection, row, due_at)
    else:
        insert_owed(connection, row.account_id, row.cronjob_id, at, due_at, now)
