"""One request for many cron jobs: pause, resume, run, delete and change whatever filters select.

Invariant: each cron job is a transaction of its own, or several, as if it had been asked for alone, with all the rules
and limits of that; what goes wrong with one is told and keeps no other. Those that were made after the request are not
touched. Where an operation goes on stands in its cursor, with the ids of those that are next: done again after a crash,
they are the same ones, and twice is the same as once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cronally import errors
from cronally.contract.bulk import ALL, AT_ONCE, DRY_RUN, MAX_SHOWN, Selected, Selecting, Selection
from cronally.contract.cronjob_requests import CronjobChange, Pause
from cronally.contract.listing import CronjobFilters
from cronally.contract.operations import Operation as OperationAnswer
from cronally.contract.reading import Reading
from cronally.contract.writing import make_answer
from cronally.fairness import out_of_turn
from cronally.operations.background import LEASE, Part, Running, Trouble, Work
from cronally.operations.caller import Caller
from cronally.operations.lists import read_chosen
from cronally.operations.pausing import check_until
from cronally.operations.policy_rules import check_calendars
from cronally.operations.repeats import check_key
from cronally.operations.restricting import within
from cronally.operations.running import check_start
from cronally.operations.tracking import get_kept, operation_answer
from cronally.store import Store, selection
from cronally.store.background import Operation

if TYPE_CHECKING:
    from cronally.operations.operations import Operations

PATIENCE: Final = 5.0
"""Seconds after which a part begins with no other cron job: one with a backlog takes many transactions."""

Item = Callable[["Caller", str, Running], Awaitable[object]]
"""Does it to one cron job, by its id; twice is the same as once."""


class Bulk:
    """Does one thing to many cron jobs."""

    def __init__(
        self,
        store: Store,
        operations: Operations,
        act_as: Callable[[str, str], Caller],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param act_as: the caller with this account and this API key
        """
        self._store = store
        self._operations = operations
        items: Mapping[str, Item] = {
            "pause": self._pause,
            "resume": lambda caller, cronjob_id, _: operations.pausing.resume(caller, cronjob_id),
            "run": self._run,
            "delete": self._delete,
            "change": self._change,
        }
        self.actions = {
            name: BulkAction(store, item, act_as, gone_is_done=name == "delete", monotonic=monotonic)
            for name, item in items.items()
        }
        self._work = Work(store, self.actions)

    async def ask(
        self,
        caller: Caller,
        action: str,
        selecting: Reading[Selecting],
        reading: Reading[Any],
        *,
        idempotency_key: str | None = None,
    ) -> Selection | OperationAnswer:
        """Do it to what the filters select, or begin to; with `dry_run`, say which cron jobs that are.

        Up to `AT_ONCE` of them it is done when this returns. Raises InvalidRequest, and RateLimited while too many
        operations run.
        """
        now = await self._store.clock()
        check_key(reading, idempotency_key)
        filters = selecting.as_json(selecting.known.keys() - {ALL})
        _check_filters(selecting, filters)
        chosen = within(replace(read_chosen(selecting), made_until=now), caller)
        sent = {"filters": filters, "parameters": reading.as_json(reading.known.keys() - {DRY_RUN})}
        is_trial = reading.values.get(DRY_RUN)
        if idempotency_key is not None and not (is_trial or selecting.complaints or reading.complaints):
            find = self._operations.tracking.find
            begun = await find(caller, action, sent, now=now, idempotency_key=idempotency_key)
            if begun is not None:
                # Before its instants are looked at: they may have passed since.
                return operation_answer(begun)
        await self._operations.restricting.check_change(caller, reading)
        at = _check(action, reading, now)
        check_calendars(reading, await self._operations.calendars.names_for(caller, reading))
        reading.complaints = {**selecting.complaints, **reading.complaints}
        reading.raise_complaints()
        count = partial(selection.count_chosen, account_id=caller.account_id, chosen=chosen, now=now)
        total = await self._store.transact(count)
        if is_trial:
            first = partial(
                selection.list_briefs,
                account_id=caller.account_id,
                after=None,
                limit=MAX_SHOWN,
                chosen=chosen,
                now=now,
            )
            shown = await self._store.transact(first)
            return Selection(total=total, cronjobs=tuple([make_answer(Selected, brief) for brief in shown]))
        operation, is_new = await self._operations.tracking.start(
            caller,
            action,
            sent | ({} if at is None else {"at": at}),
            now=now,
            total=total,
            idempotency_key=idempotency_key,
            sent=sent,
            # Should this process end meanwhile, another one goes on.
            claimed_until=now + LEASE if total <= AT_ONCE else 0,
        )
        if is_new and total <= AT_ONCE:
            operation = await self._do(operation)
        return operation_answer(operation)

    async def _do(self, operation: Operation) -> Operation:
        """Go through all of an operation that nobody else has; it as it stands then."""
        last: Operation | None = operation
        while last is not None and last.finished_at is None:
            operation = last
            last = await self._work.go_on(operation, keep=LEASE)
            async with out_of_turn():
                pass
        if last is not None:
            return last
        get = partial(get_kept, account_id=operation.account_id, operation_id=operation.operation_id)
        return await self._store.transact(get)

    # What is done to one of them

    async def _pause(self, caller: Caller, cronjob_id: str, running: Running) -> object:
        return await self._operations.pausing.pause(caller, cronjob_id, _sent(Pause, running))

    async def _run(self, caller: Caller, cronjob_id: str, running: Running) -> object:
        key = f"{running.operation_id}/{cronjob_id}"
        at = running.parameters.get("at")
        return await self._operations.runs.run_at(caller, cronjob_id, at, idempotency_key=key)

    async def _delete(self, caller: Caller, cronjob_id: str, _running: Running) -> object:
        return await self._operations.delete_cronjob(caller, cronjob_id)

    async def _change(self, caller: Caller, cronjob_id: str, running: Running) -> object:
        change = _sent(CronjobChange, running)
        return await self._operations.editing.change(caller, cronjob_id, change, unless_same=True)


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where an operation stands."""

    after: tuple[int, str] | None
    """The last cron job that was selected."""
    items: list[tuple[str, str]]
    """The id and the name of each that was selected and is not done."""
    over: bool
    """Whether no others are left to select."""

    @classmethod
    def read(cls, text: str) -> _Cursor:
        after, items, over = json.loads(text)
        return cls(None if after is None else (after[0], after[1]), [(one[0], one[1]) for one in items], over)

    def written(self) -> str:
        return json.dumps([self.after, self.items, self.over], separators=(",", ":"), ensure_ascii=False)


class BulkAction:
    """Does one thing to each cron job that an operation's filters select."""

    def __init__(
        self,
        store: Store,
        item: Item,
        act_as: Callable[[str, str], Caller],
        *,
        gone_is_done: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param gone_is_done: whether one that is not there any more is as it is to be
        """
        self._store = store
        self._item = item
        self._act_as = act_as
        self._gone_is_done = gone_is_done
        self._monotonic = monotonic

    async def part(self, running: Running, limit: int) -> Part:
        """Go through those that are next, and select those that come then."""
        began = self._monotonic()
        at = (
            await self._select(running, None, limit)
            if running.cursor is None
            else _Cursor.read(running.cursor)
        )
        caller = self._act_as(running.account_id, running.created_by)
        done, items = 0, list(at.items)
        troubles: list[Trouble] = []
        while items and (not (done or troubles) or self._monotonic() - began < PATIENCE):
            cronjob_id, name = items.pop(0)
            problem = await self._try(caller, cronjob_id, running)
            if problem is None:
                done += 1
            else:
                troubles.append(Trouble(problem, cronjob_id, name))
            async with out_of_turn():
                pass
        following = replace(at, items=items)
        if not items and not at.over:
            following = await self._select(running, at.after, limit)
        over = following.over and not following.items
        return Part(following.written(), done, len(troubles), over, troubles)

    async def _try(self, caller: Caller, cronjob_id: str, running: Running) -> str | None:
        """Do it to one; what went wrong."""
        try:
            await self._item(caller, cronjob_id, running)
        except errors.Unavailable:
            raise
        except errors.NotFound as problem:
            return None if self._gone_is_done else problem.message
        except errors.RequestError as problem:
            return str(problem)
        return None

    async def _select(self, running: Running, after: tuple[int, str] | None, limit: int) -> _Cursor:
        filters = Reading(CronjobFilters, running.parameters["filters"])
        chosen = replace(read_chosen(filters), made_until=running.created_at, within=running.within)
        select = partial(
            selection.list_briefs,
            account_id=running.account_id,
            after=after,
            limit=limit,
            chosen=chosen,
            now=await self._store.clock(),
        )
        found = await self._store.transact(select)
        items = [(brief.cronjob_id, brief.name) for brief in found]
        return _Cursor(found[-1].position if found else after, items, len(found) < limit)


def _check(action: str, reading: Reading[Any], now: int) -> int | None:
    """Complain of what cannot be done to any cron job; return the instant to run them at, if one was sent."""
    match action:
        case "pause":
            check_until(reading, now)
        case "run" if "at" in reading.values:
            return check_start(reading, now)
        case "change" if not reading.parameters.keys() - {DRY_RUN}:
            complaint = "nothing to change: send at least one policy, or timezone"
            reading.complaints.setdefault("parameters", complaint)
    return None


def _check_filters(selecting: Reading[Selecting], filters: Mapping[str, Any]) -> None:
    """Complain where all cron jobs would be meant by nothing, or some by everything."""
    if selecting.complaints:
        return
    everything = selecting.values.get(ALL)
    if not filters and not everything:
        complaint = "is needed where there is no filter: send a filter, or all=true for every cron job"
        selecting.complain(ALL, ValueError(complaint))
    elif filters and everything:
        selecting.complain(ALL, ValueError("contradicts the filters; leave it out, or them"))


def _sent(kind: type[Any], running: Running) -> Reading[Any]:
    """What was sent, read anew for each: a complaint about it stays with the one that it is about."""
    return Reading(kind, running.parameters["parameters"])
