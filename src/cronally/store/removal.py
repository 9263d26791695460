"""How a cron job is deleted, by its owner or by the server.

Invariant: nothing of it fires any more, its secret is gone, what its versions sent and what was answered to them, when
the transaction ends; its row stays for as long as the ledger speaks of it, or an idempotency key may.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Integer, bindparam, exists, or_, select, text

from cronally.audit_chain import Entry
from cronally.contract.templates import MARK
from cronally.cronjob import KEEP_COMPLETED, AfterCompletion, State, read_object
from cronally.firing import Reason
from cronally.instants import format_duration
from cronally.store import (
    acknowledgements,
    alert_rules,
    answers,
    audit_states,
    cronjobs,
    dead_letters,
    former,
    idempotency,
    ledger,
    manual,
    pauses,
    schedule,
    standings,
    tables,
    versions,
)
from cronally.store.cronjobs import Cronjob
from cronally.store.types import Id

MAX_VERSIONS: Final = 10
"""So many versions of a deleted cron job are kept at most, the last ones."""
KEPT_BYTES: Final = 512
"""Of a deleted cron job's destination this much is kept, the shortest values first: where it went, not what it said."""

_REASONS: Final = {
    AfterCompletion.KEEP: f"Deleted {format_duration(KEEP_COMPLETED)} after it was completed.",
    AfterCompletion.DELETE: "Deleted when it was completed, as after_completion=delete says.",
}


def delete(
    connection: Connection,
    before: Cronjob,
    now: int,
    *,
    retention: int,
    changed_by: str | None,
    state_reason: str | None = None,
) -> tuple[Cronjob, bool]:
    """Delete a cron job, whose row lock the caller holds; False if there may be more pending: see `skip_rest`.

    :param retention: how long the ledger is kept, in microseconds
    :param changed_by: the API key of who deletes it; None: the server itself
    :param state_reason: why the server deletes it
    """
    before = pauses.settle(connection, pauses.look(connection, before, now), now, now)
    over = schedule.skip_owed(connection, before.cronjob_id, now, Reason.DELETED)
    spoken_of = ledger.speaks_of(connection, before.account_id, before.cronjob_id)
    after = replace(
        before,
        **pauses.NOT_PAUSED,
        state=State.DELETED,
        state_reason=state_reason,
        next_fire_at=None,
        version=before.version + 1,
        updated_at=now,
        updated_by=changed_by,
        destination=_what_is_kept(before.destination),
        tags=cronjobs.NO_TAGS,
        connection_id=None,
        purge_at=now + (retention if spoken_of else idempotency.KEPT),
    )
    cronjobs.update_cronjob(connection, after)
    cronjobs.replace_secret(connection, after, None)
    manual.erase_messages_of(connection, after.cronjob_id)
    former.erase_destinations(connection, after.cronjob_id)
    standings.forget_standing(connection, after.cronjob_id)
    alert_rules.delete_rules_of(connection, after.account_id, after.cronjob_id)
    versions.forget_versions(connection, after.cronjob_id, after.version - MAX_VERSIONS)
    acknowledgements.erase_bodies_of(connection, after.cronjob_id)
    # Last, as where outcomes are recorded: it waits for those that are, with all that these have locked before.
    answers.erase_answers_of(connection, after.account_id, after.cronjob_id)
    return after, over


def skip_rest(connection: Connection, cronjob_id: str, now: int) -> bool:
    """Skip more of what a deleted cron job has pending; False if there may be more.

    What is left of it, should nobody go on, the dispatcher skips when it is due.
    """
    return schedule.skip_pending(connection, cronjob_id, now, Reason.DELETED)


def delete_completed(
    connection: Connection, account_id: str, now: int, limit: int, *, retention: int, told: list[Entry]
) -> int:
    """Delete up to `limit` cron jobs of an account that are completed and need not be kept; return how many.

    :param told: gets what the audit log is to tell of it, when all else of the transaction is done
    """
    parameters = {"account_id": account_id, "before": now - KEEP_COMPLETED, "limit": limit}
    deleted = 0
    completed = list(connection.execute(_COMPLETED, {**parameters, "named": []}).scalars())
    # They tell of what has failed of others, whether they fire by themselves or not.
    named = dead_letters.list_named(connection, account_id) if completed else set()
    if not named.isdisjoint(completed):
        completed = list(connection.execute(_COMPLETED, {**parameters, "named": sorted(named)}).scalars())
    for cronjob_id in completed:
        before = cronjobs.lock_cronjob(connection, account_id, cronjob_id)
        if before is None or before.state != State.COMPLETED or _is_open(connection, cronjob_id):
            continue  # changed, or asked to fire, meanwhile
        policies = read_object(before.policies) or {}
        at_once = policies.get("after_completion") == AfterCompletion.DELETE
        chosen = AfterCompletion.DELETE if at_once else AfterCompletion.KEEP
        if at_once or before.updated_at <= now - KEEP_COMPLETED:
            delete(
                connection, before, now, retention=retention, changed_by=None, state_reason=_REASONS[chosen]
            )
            state = (State.COMPLETED, State.DELETED, _REASONS[chosen])
            told.append(audit_states.of_cronjob(account_id, cronjob_id, now, *state))
            deleted += 1
    return deleted


_table: Final = tables.cronjob
_COMPLETED: Final = (
    select(_table.c.cronjob_id)
    .where(
        _table.c.account_id == bindparam("account_id", type_=Id()),
        # As in the partial index.
        text("state <> 'deleted'"),
        _table.c.state == State.COMPLETED,
        _table.c.cronjob_id.not_in(bindparam("named", type_=Id(), expanding=True)),
        or_(
            _table.c.updated_at <= bindparam("before", type_=BigInteger()),
            _table.c.policies.contains(f'"after_completion":"{AfterCompletion.DELETE}"', autoescape=True),
        ),
        # What is on its way ends first.
        ~exists().where(
            tables.firing.c.cronjob_id == _table.c.cronjob_id, tables.firing.c.due_at.is_not(None)
        ),
    )
    .limit(bindparam("limit", type_=Integer()))
)


_OPEN: Final = (
    select(tables.firing.c.state)
    .where(
        tables.firing.c.cronjob_id == bindparam("cronjob_id", type_=Id()), tables.firing.c.due_at.is_not(None)
    )
    .limit(1)
)


def _is_open(connection: Connection, cronjob_id: str) -> bool:
    """Whether a firing of a cron job, whose row lock the caller holds, is not finished."""
    return connection.execute(_OPEN, {"cronjob_id": cronjob_id}).first() is not None


def _what_is_kept(destination: str) -> str:
    """What is kept of a deleted cron job's destination."""
    kept: dict[str, Any] = {}
    stored = json.loads(destination)
    stored.pop(MARK, None)
    for name, value in sorted(stored.items(), key=lambda item: len(_encode({"": item[1]}))):
        longer = _encode({**kept, name: value})
        if len(longer.encode()) > KEPT_BYTES:
            break
        kept[name] = value
    return _encode(kept)


def _encode(values: dict[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
