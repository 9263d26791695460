"""The ledger as a tenant reads it: a firing, those around an instant, and their attempts. Lists of them: `listing`.

Invariant: every verb takes the account and reads no other's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    literal,
    select,
    tuple_,
)

from cronally.firing import Kind, State
from cronally.store import tables
from cronally.store.attempts import ATTEMPTS_KEPT
from cronally.store.rows import Rows

Position = tuple[int, str, str]
"""Where a list stands: fire time, cron job and kind of the last firing that was listed."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A row of the ledger. The names are those of the table's columns."""

    cronjob_id: str
    scheduled_at: int
    kind: str
    state: str
    reason: str | None
    until_at: int | None
    count: int
    due_at: int | None
    attempt: int
    lease_no: int
    created_at: int
    sent_at: int | None
    duration: int | None
    """Microseconds that the last attempt took."""
    finished_at: int | None
    message_id: str | None
    place_at: int | None = None
    behind_at: int | None = None
    cause: str | None = None
    """Of what is skipped: by what."""
    discarded_at: int | None = None
    discarded_by: str | None = None
    discarded_note: str | None = None

    @property
    def due_since(self) -> int:
        """From when on it may start: its place in the window of its cron job, or its fire time."""
        return self.scheduled_at if self.place_at is None else self.place_at

    @property
    def position(self) -> Position:
        """Where a list stands after this row."""
        return (self.scheduled_at, self.cronjob_id, self.kind)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that did not deliver. The names are those of the table's columns."""

    cronjob_id: str
    scheduled_at: int
    kind: str
    attempt: int
    started_at: int
    duration: int
    """Microseconds."""
    outcome: str
    reason: str
    detail: str
    """What the target said."""
    lease_no: int = 0


_ALL: Final = 1_000_000
"""More rows than there can be: a page's firings, each with `ATTEMPTS_KEPT`."""

_firing: Final = tables.firing
_attempt: Final = tables.attempt
COLUMNS: Final[tuple[ColumnElement[Any], ...]] = tuple(
    _firing.c[name] for name in Firing.__dataclass_fields__
)
"""What a `Firing` is made of, in its order."""
_AT: Final = bindparam("at", type_=BigInteger())
_GET: Final = select(*COLUMNS).where(
    _firing.c.account_id == bindparam("account_id"),
    _firing.c.cronjob_id == bindparam("cronjob_id"),
    _firing.c.scheduled_at == _AT,
    _firing.c.kind == bindparam("kind", type_=Text()),
)

# Only fire times: what was asked for by hand stands for none.
_SCHEDULED: Final[Select[Any]] = (
    select(*COLUMNS)
    .where(
        _firing.c.account_id == bindparam("account_id"),
        _firing.c.cronjob_id == bindparam("cronjob_id"),
        _firing.c.kind == Kind.SCHEDULED,
    )
    .limit(bindparam("limit", type_=Integer()))
)
_UNTIL: Final = Rows(_SCHEDULED.where(_firing.c.scheduled_at <= _AT).order_by(_firing.c.scheduled_at.desc()))
_AFTER: Final = Rows(_SCHEDULED.where(_firing.c.scheduled_at > _AT).order_by(_firing.c.scheduled_at))
_MANUAL: Final = Rows(
    select(*COLUMNS)
    .where(
        _firing.c.account_id == bindparam("account_id"),
        _firing.c.cronjob_id == bindparam("cronjob_id"),
        _firing.c.kind != Kind.SCHEDULED,
        _firing.c.scheduled_at >= _AT,
        _firing.c.scheduled_at < bindparam("until", type_=BigInteger()),
    )
    .order_by(_firing.c.scheduled_at)
    .limit(bindparam("limit", type_=Integer()))
)

ON_THE_WAY_COUNTED: Final = 1000
"""More are not counted: what is read for it is bounded by this, too."""
_open: Final = (
    select(_firing.c.state)
    .where(_firing.c.account_id == bindparam("account_id"), _firing.c.due_at.is_not(None))
    .order_by(_firing.c.due_at.desc())
    .limit(ON_THE_WAY_COUNTED)
    .subquery()
)
_ON_THE_WAY: Final = select(func.count()).select_from(_open).where(_open.c.state == State.SENDING)

_numbered: Final = (
    select(
        *[_attempt.c[name] for name in Attempt.__dataclass_fields__],
        func.row_number()
        .over(
            partition_by=(_attempt.c.cronjob_id, _attempt.c.scheduled_at, _attempt.c.kind),
            order_by=_attempt.c.lease_no.desc(),
        )
        .label("from_last"),
    )
    .join(
        _firing,
        and_(
            _firing.c.cronjob_id == _attempt.c.cronjob_id,
            _firing.c.scheduled_at == _attempt.c.scheduled_at,
            _firing.c.kind == _attempt.c.kind,
        ),
    )
    .where(
        _firing.c.account_id == bindparam("account_id"),
        # By their keys: firings of a page may lie far from each other, with many attempts of others in between.
        tuple_(_firing.c.cronjob_id, _firing.c.scheduled_at, _firing.c.kind).in_(
            bindparam("keys", expanding=True)
        ),
    )
    .subquery()
)
_ATTEMPTS: Final = Rows(
    select(*[_numbered.c[name] for name in Attempt.__dataclass_fields__])
    .where(_numbered.c.from_last <= ATTEMPTS_KEPT)
    .order_by(_numbered.c.lease_no)
    .limit(bindparam("limit", type_=Integer()))
)


def get_firing(
    connection: Connection, account_id: str, cronjob_id: str, scheduled_at: int, kind: str
) -> Firing | None:
    """A firing of one of the account's cron jobs."""
    parameters = {"account_id": account_id, "cronjob_id": cronjob_id, "at": scheduled_at, "kind": kind}
    row = connection.execute(_GET, parameters).one_or_none()
    return None if row is None else Firing(*row)


def list_until(connection: Connection, account_id: str, cronjob_id: str, at: int, limit: int) -> list[Firing]:
    """The firings of fire times of one of the account's cron jobs that begin at an instant or before, last first."""
    return _around(connection, _UNTIL, account_id, cronjob_id, at, limit)


def list_after(connection: Connection, account_id: str, cronjob_id: str, at: int, limit: int) -> list[Firing]:
    """The firings of fire times of one of the account's cron jobs that begin after an instant, first first."""
    return _around(connection, _AFTER, account_id, cronjob_id, at, limit)


def list_manual(
    connection: Connection, account_id: str, cronjob_id: str, at: int, until: int, limit: int
) -> list[Firing]:
    """The firings of one of the account's cron jobs that stand for no fire time, from an instant on and before another,
    first first.
    """
    parameters = {
        "account_id": account_id,
        "cronjob_id": cronjob_id,
        "at": at,
        "until": until,
        "limit": limit,
    }
    return [Firing(*row) for row in _MANUAL.read(connection, parameters)]


def _around(
    connection: Connection, rows: Rows, account_id: str, cronjob_id: str, at: int, limit: int
) -> list[Firing]:
    parameters = {"account_id": account_id, "cronjob_id": cronjob_id, "at": at, "limit": limit}
    return [Firing(*row) for row in rows.read(connection, parameters)]


def count_on_the_way(connection: Connection, account_id: str) -> int:
    """How many of the account's firings are being sent, `ON_THE_WAY_COUNTED` at most."""
    return int(connection.execute(_ON_THE_WAY, {"account_id": account_id}).scalar_one())


_SPEAKS: Final = (
    select(literal(1))
    .where(_firing.c.account_id == bindparam("account_id"), _firing.c.cronjob_id == bindparam("cronjob_id"))
    .limit(1)
)


def speaks_of(connection: Connection, account_id: str, cronjob_id: str) -> bool:
    """Whether the ledger has any firing of one of the account's cron jobs."""
    return (
        connection.execute(_SPEAKS, {"account_id": account_id, "cronjob_id": cronjob_id}).first() is not None
    )


def list_attempts(
    connection: Connection, account_id: str, firings: Sequence[Firing]
) -> dict[Position, list[Attempt]]:
    """The last `ATTEMPTS_KEPT` attempts that did not deliver, of each of these firings that has any, oldest first.

    :param firings: of the account, as many as a page with attempts has
    """
    # What was never tried, or delivered at once, has no rows there.
    tried = [
        firing
        for firing in firings
        if firing.lease_no > 1 or (firing.lease_no and (firing.state != State.DELIVERED or firing.reason))
    ]
    if not tried:
        return {}
    parameters = {
        "account_id": account_id,
        "keys": [(firing.cronjob_id, firing.scheduled_at, firing.kind) for firing in tried],
        "limit": _ALL,
    }
    attempts: dict[Position, list[Attempt]] = {}
    for row in _ATTEMPTS.read(connection, parameters):
        attempt = Attempt(*row)
        attempts.setdefault((attempt.scheduled_at, attempt.cronjob_id, attempt.kind), []).append(attempt)
    return attempts
