"""Work in the background: any node takes an operation, lets its action do a part, and gives it back.

Invariant: a part that was done and not recorded, because the process ended or the lease was lost, is done again by
whoever claims the operation next. So an action does each item in a way that twice is the same as once. One operation
is worked on at a time in a process, a part of it, and the one that has waited longest is next: no account's operations
wait for another's to end.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from cronally import errors
from cronally.contract.operations import OperationState
from cronally.instants import SECOND
from cronally.store import Signal, Store, background
from cronally.store.background import Operation

LEASE: Final = 30 * SECOND
"""For one part. Microseconds."""
ITEMS: Final = 20
"""So many things a part goes through at most."""

_FAILED: Final = "The server failed: {}. What is done stays done; the server's log says more."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """An operation as its action sees it."""

    operation_id: str
    account_id: str
    created_by: str
    """The API key that asked for it."""
    created_at: int
    parameters: Mapping[str, Any]
    """As it was stored by whoever began it."""
    cursor: str | None
    """As the action left it; None at the beginning."""
    within: tuple[str, ...] = ()
    """The tags of the cron jobs that the API key was for; for all where there is none."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with one item."""

    problem: str
    cronjob_id: str | None = None
    name: str | None = None
    """What the cron job is called."""


@dataclass(frozen=True, slots=True)
class Part:
    """What an action has done of an operation."""

    cursor: str | None
    """Where it goes on."""
    done: int
    failed: int
    over: bool
    """Whether nothing is left."""
    problems: Sequence[Trouble] = ()
    """Of those that failed, or of as many as are told."""
    wait: float | None = None
    """Seconds until it may go on; None for at once."""


class Action(Protocol):
    """What an operation does."""

    async def part(self, running: Running, limit: int) -> Part:
        """Do the next part, within a few seconds: one that takes longer than `LEASE` is done again by another node.

        :param limit: how many items it may go through

        Raises Unavailable to do the same part again; any other error ends the operation as failed.
        """


class Work:
    """Goes on with operations that the caller has claimed."""

    def __init__(self, store: Store, actions: Mapping[str, Action]) -> None:
        """
        :param actions: by the name that is stored with an operation
        """
        self._store = store
        self.actions = dict(actions)

    async def go_on(self, claimed: Operation, *, keep: int = 0) -> Operation | None:
        """Do a part of an operation and record it; the operation as it stands then, None if it was lost or cancelled.

        :param keep: for how long the caller keeps the lease then, in microseconds
        """
        state, part = await self._do(claimed)
        now = await self._store.clock()
        wait = int((part.wait or 0.0) * SECOND)
        record = partial(
            background.record_progress,
            claimed=claimed,
            now=now,
            state=state,
            free_at=now + max(keep, wait),
            **_recorded(part),
        )
        recorded = await self._store.transact(record)
        if recorded is None:
            _log.info("an operation was cancelled or lost", extra={"operation_id": claimed.operation_id})
        return recorded

    async def _do(self, claimed: Operation) -> tuple[OperationState, Part]:
        """Let the action do a part; where the operation stands then, and what was done."""
        running = Running(
            operation_id=claimed.operation_id,
            account_id=claimed.account_id,
            created_by=claimed.created_by,
            created_at=claimed.created_at,
            parameters=json.loads(claimed.parameters),
            cursor=claimed.cursor,
            within=tuple(json.loads(claimed.within or "[]")),
        )
        try:
            part = await self.actions[claimed.action].part(running, ITEMS)
        except errors.Unavailable:
            raise
        except Exception as problem:
            extra = {"operation_id": claimed.operation_id, "action": claimed.action}
            _log.exception("an operation failed", extra=extra)
            said = problem.message if isinstance(problem, errors.CronallyError) else type(problem).__name__
            trouble = Trouble(_FAILED.format(said.rstrip(".")))
            return OperationState.FAILED, Part(claimed.cursor, 0, 0, over=True, problems=(trouble,))
        return OperationState.COMPLETED if part.over else OperationState.RUNNING, part


class Background:
    """Claims the operations of one store and goes on with them. Belongs to one event loop."""

    def __init__(self, store: Store, actions: Mapping[str, Action]) -> None:
        """
        :param actions: by the name that is stored with an operation
        """
        self._store = store
        self._work = Work(store, actions)
        self.wake = store.subscribe(Signal.OPERATIONS)

    async def step(self) -> float | None:
        """Do a part of one operation; 0 if there was one, None where nothing can be done."""
        now = await self._store.clock()
        actions = self._work.actions.keys()
        claim = partial(background.claim_operation, now=now, lease=LEASE, actions=actions)
        claimed = await self._store.transact(claim)
        if claimed is None:
            return None
        await self._work.go_on(claimed)
        return 0.0


def _recorded(part: Part) -> dict[str, Any]:
    problems = [
        {"cronjob_id": one.cronjob_id, "name": one.name, "problem": one.problem} for one in part.problems
    ]
    return {"done": part.done, "failed": part.failed, "problems": problems, "cursor": part.cursor}
