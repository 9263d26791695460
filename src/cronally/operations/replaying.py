"""Replay: firings that have ended go once more, under their ids and fire times, as their cron jobs are now or were.

Invariant: under the cron job's row lock. A firing is replayed once by one request, whatever ends a process meanwhile: a
part that is done again has the same firings before it, and passes by those that have ended since. What is open, what
stands for several fire times, and what fires by itself is never replayed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.bulk import DRY_RUN
from cronally.contract.firings import NEWEST
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.operations import MAX_PROBLEMS, Problem
from cronally.contract.operations import Operation as OperationAnswer
from cronally.contract.reading import Reading
from cronally.contract.replays import MOST, PACE, SHOWN, Replay, ReplayMany, ReplayTrial
from cronally.contract.then import AS
from cronally.fairness import out_of_turn
from cronally.firing import Kind
from cronally.firing import State as FiringState
from cronally.instants import SECOND, format_iso
from cronally.operations.answers import firing_answer
from cronally.operations.background import Part, Running, Trouble
from cronally.operations.caller import Caller
from cronally.operations.frozen import Unfrozen
from cronally.operations.lists import choose_firings, search_firings
from cronally.operations.pacing import BURST, MAX_AT_ONCE, Pacer, interval_of
from cronally.operations.parts import change
from cronally.operations.repeats import check_key
from cronally.operations.replayable import OPEN, check_replayable, lock_replayable
from cronally.operations.then import Thens, wants_then
from cronally.operations.tracking import Tracking, operation_answer
from cronally.store import Signal, Store, accounts, cronjobs, ledger, listing, reopening
from cronally.store.ledger import Firing, Position
from cronally.store.reopening import Row
from cronally.targets.target import Target
from cronally.wire import Limit

ACTION: Final = "replay"
PAGE: Final = 500
"""So many firings one transaction counts."""
MOST_PAGES: Final = 100
"""So many transactions look for the firings of one request, each at `listing.MOST_READ` rows."""
TRIED: Final = 20
"""Of so many firings one transaction finds out whether they can be sent as they were: it may read a message of each."""


class _Passed(Exception):
    """It has ended since the request, or was made due before by the same part."""


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a replay stands."""

    after: Position | None
    """The last firing that was selected, or looked at."""
    items: tuple[tuple[str, int, str], ...]
    """The keys of those that were selected and are not done."""
    over: bool
    """Whether no others are left to select."""
    next_due: int
    """When the next one may be due."""

    @classmethod
    def read(cls, text: str) -> _Cursor:
        after, items, over, next_due = json.loads(text)
        return cls(
            None if after is None else (after[0], after[1], after[2]),
            tuple([(one[0], one[1], one[2]) for one in items]),
            over,
            next_due,
        )

    def written(self) -> str:
        return json.dumps([self.after, self.items, self.over, self.next_due], separators=(",", ":"))


class Replays:
    """Replays firings of one store."""

    def __init__(self, store: Store, tracking: Tracking, targets: Mapping[str, Target]) -> None:
        self._store = store
        self._tracking = tracking
        self._targets = targets

    # One firing

    async def replay_firing(
        self, caller: Caller, cronjob_id: str, scheduled_at: int, reading: Reading[Replay]
    ) -> FiringAnswer:
        """Let one firing that has ended go once more, now.

        Raises NotFound, also for a cron job that is deleted; Conflict for one that is on its way, fires by
        itself or is frozen; InvalidRequest for one that cannot be sent again; RateLimited for one too many.
        """
        reading.raise_complaints()
        now = await self._store.clock()
        kind = reading.values.get("kind", Kind.SCHEDULED.value)
        replay = partial(
            self._replay,
            account_id=caller.account_id,
            key=(cronjob_id, scheduled_at, kind),
            now=now,
            then=wants_then(reading.values),
        )
        firing, name = await change(self._store, replay)
        await self._store.announce(Signal.FIRINGS)
        return firing_answer(firing, name, None)

    def _replay(
        self, connection: Connection, *, account_id: str, key: tuple[str, int, str], now: int, then: bool
    ) -> tuple[Firing, str]:
        job, row = lock_replayable(connection, account_id, key, now)
        Unfrozen(self._targets, now).check(connection, job, row.kind)
        sent_as = Thens().version_of(connection, job, row) if then else None
        pacer = Pacer(now, 0, now, accounts.lock_pace(connection, account_id, now))
        if pacer.is_spent:
            raise errors.RateLimited(
                "Too many firings of the account were replayed in the last minute; try again after the number of"
                " seconds in Retry-After.",
                retry_after=(pacer.due - now - BURST) // SECOND + 1,
                limit=Limit("replays", MAX_AT_ONCE, BURST // SECOND),
            )
        reopening.reopen(connection, row, pacer.take(), sent_as)
        accounts.record_pace(connection, account_id, pacer.paced_at)
        firing = ledger.get_firing(connection, account_id, *key)
        assert firing is not None  # noqa: S101 - it is there, and its cron job's row is locked
        return firing, job.name

    # All that filters select

    async def ask(
        self, caller: Caller, reading: Reading[ReplayMany], *, idempotency_key: str | None = None
    ) -> OperationAnswer | ReplayTrial:
        """Begin to let the firings go once more that filters select; with `dry_run`, say which those are.

        Raises InvalidRequest, also for more than `MOST` of them; NotFound for a cron job or a name that was never
        there; RateLimited while too many operations run.
        """
        now = await self._store.clock()
        check_key(reading, idempotency_key)
        filters = reading.as_json(reading.known.keys() - PACE - {AS, DRY_RUN})
        if not filters and not reading.complaints:
            complaint = (
                "is needed where there is no other filter: send since, say, or all states that are meant"
            )
            reading.complain("state", ValueError(complaint))
        if not OPEN.isdisjoint(reading.values.get("state", ())):
            reading.complain("state", ValueError("names what is on its way; only what has ended is replayed"))
        chosen = _choose(reading, caller.tags)
        reading.raise_complaints()
        total, firsts = await self._count(caller.account_id, reading.values.get("cronjob_id", ""), chosen)
        if reading.values.get(DRY_RUN):
            shown = await self._shown(caller.account_id, firsts)
            if not wants_then(reading.values):
                return ReplayTrial(total=total, firings=shown)
            failed, problems = await self._try(
                caller.account_id, reading.values.get("cronjob_id", ""), chosen, now
            )
            return ReplayTrial(total=total, firings=shown, failed=failed, problems=problems)
        sent = {
            "filters": filters,
            "parameters": reading.as_json(PACE | {AS}),
        }
        operation, _ = await self._tracking.start(
            caller, ACTION, sent, now=now, total=total, idempotency_key=idempotency_key
        )
        return operation_answer(operation)

    async def _count(
        self, account_id: str, cronjob_id: str, chosen: listing.Chosen
    ) -> tuple[int, list[Firing]]:
        """How many firings are chosen, and the first of them. Raises InvalidRequest for too many."""
        total, firsts, after = 0, list[Firing](), None
        for _ in range(MOST_PAGES):
            page = await self._page(account_id, cronjob_id, chosen, after, PAGE)
            total += len(page.firings)
            firsts += page.firings[: SHOWN - len(firsts)]
            after = page.last
            if total > MOST:
                raise errors.InvalidRequest(
                    f"More than {MOST:,} firings are like that; select fewer, by since and until, say."
                )
            if after is None:
                return total, firsts
            async with out_of_turn():
                pass
        raise errors.InvalidRequest(
            "The ledger has too many firings to look through for these; select a shorter time, by since and until."
        )

    async def _try(
        self, account_id: str, cronjob_id: str, chosen: listing.Chosen, now: int
    ) -> tuple[int, tuple[Problem, ...]]:
        """How many of the chosen firings cannot be sent as they were, and why the first of them cannot."""
        failed, problems, after, thens = 0, list[Problem](), None, Thens()
        for _ in range(MOST_PAGES):
            page = await self._page(account_id, cronjob_id, chosen, after, PAGE)
            for start in range(0, len(page.firings), TRIED):
                some = page.firings[start : start + TRIED]
                look = partial(_problems, account_id=account_id, firings=some, now=now, thens=thens)
                found = await self._store.transact(look)
                failed += len(found)
                problems += found[: MAX_PROBLEMS - len(problems)]
                async with out_of_turn():
                    pass
            after = page.last
            if after is None:
                break
        return failed, tuple(problems)

    async def _page(
        self, account_id: str, cronjob_id: str, chosen: listing.Chosen, after: Position | None, limit: int
    ) -> listing.Part:
        search = partial(
            search_firings,
            account_id=account_id,
            cronjob_id=cronjob_id,
            is_there=False,
            after=after,
            limit=limit,
            chosen=chosen,
        )
        return await self._store.transact(search)

    async def _shown(self, account_id: str, firings: list[Firing]) -> tuple[FiringAnswer, ...]:
        ids = {firing.cronjob_id for firing in firings}
        name = partial(cronjobs.names_of, account_id=account_id, cronjob_ids=ids)
        names = await self._store.transact(name)
        return tuple([firing_answer(firing, names.get(firing.cronjob_id), None) for firing in firings])

    # In the background

    async def part(self, running: Running, limit: int) -> Part:
        """Let those go that were selected, as far as the pace lets them be due soon, and select the next ones."""
        now = await self._store.clock()
        if running.cursor is None:
            # What is done to them makes them others: a part that is done again must find the same ones.
            first = await self._select(running, _Cursor(None, (), False, running.created_at), limit)
            return Part(first.written(), 0, 0, over=first.over and not first.items)
        at = _Cursor.read(running.cursor)
        work = partial(self._part, running=running, at=at, now=now)
        items, next_due, done, troubles, wait = await change(self._store, work)
        if done:
            await self._store.announce(Signal.FIRINGS)
        following = replace(at, items=items, next_due=next_due)
        if not items and not at.over:
            following = await self._select(running, following, limit)
        over = following.over and not following.items
        return Part(following.written(), done, len(troubles), over, troubles, None if over else wait)

    def _part(
        self, connection: Connection, *, running: Running, at: _Cursor, now: int
    ) -> tuple[tuple[tuple[str, int, str], ...], int, int, list[Trouble], float | None]:
        """Replay in one transaction; what is left, when the next may be due, how many are done, what went wrong."""
        account_id = running.account_id
        # Cron jobs first, and in one order: nobody waits in a circle.
        for cronjob_id in sorted({key[0] for key in at.items}):
            cronjobs.lock_cronjob(connection, account_id, cronjob_id)
        paced_at = accounts.lock_pace(connection, account_id, now)
        pacer = Pacer(now, interval_of(running.parameters["parameters"]), at.next_due, paced_at)
        unfrozen = Unfrozen(self._targets, now)
        done, troubles, items = 0, list[Trouble](), at.items
        while items:
            try:
                row, sent_as = self._find(connection, running, items[0], at.next_due, pacer, unfrozen)
            except _Passed:
                done += 1
            except errors.RequestError as problem:
                cronjob_id, scheduled_at, _ = items[0]
                troubles.append(Trouble(_told(scheduled_at, problem), cronjob_id))
            else:
                if pacer.is_full:
                    break
                reopening.reopen(connection, row, pacer.take(), sent_as)
                done += 1
            items = items[1:]
        accounts.record_pace(connection, account_id, pacer.paced_at)
        return items, pacer.next_due, done, troubles, pacer.wait

    def _find(
        self,
        connection: Connection,
        running: Running,
        key: tuple[str, int, str],
        since: int,
        pacer: Pacer,
        unfrozen: Unfrozen,
    ) -> tuple[Row, int | None]:
        """The row of a firing that is to be replayed, and the version that it is sent as, if any.

        :param since: what is owed from this instant on was made due by this part, before it was done again

        Raises `_Passed`, and what `lock_replayable`, `Unfrozen.check` and `Thens.version_of` raise.
        """
        row = reopening.get_row(connection, *key)
        if row is not None and row.is_held:
            raise _Passed
        if row is not None and row.owed_at is not None and pacer.has_made(row.owed_at, since):
            pacer.pass_by(row.owed_at)
            raise _Passed
        if row is not None and row.finished_at is not None and row.finished_at > running.created_at:
            raise _Passed
        job, found = lock_replayable(connection, running.account_id, key, pacer.now)
        unfrozen.check(connection, job, found.kind)
        then = wants_then(running.parameters["parameters"])
        return found, Thens().version_of(connection, job, found) if then else None

    async def _select(self, running: Running, at: _Cursor, limit: int) -> _Cursor:
        sent = running.parameters
        reading = Reading(ReplayMany, {**sent["filters"], **sent["parameters"]})
        cronjob_id = reading.values.get("cronjob_id", "")
        page = await self._page(
            running.account_id, cronjob_id, _choose(reading, running.within), at.after, limit
        )
        items = [
            (firing.cronjob_id, firing.scheduled_at, firing.kind)
            for firing in page.firings
            # What has ended since the request was not meant.
            if firing.finished_at is None or firing.finished_at <= running.created_at
        ]
        return _Cursor(page.last, tuple(items), page.last is None, at.next_due)


def _choose(reading: Reading[ReplayMany], within: tuple[str, ...]) -> listing.Chosen:
    """Which firings are meant, and which of them first.

    :param within: the tags of the cron jobs that the API key is for
    """
    chosen = choose_firings(reading)
    states = chosen.states or (FiringState.FAILED.value,)
    # Of what was discarded somebody has said that it is not to go: only one by one.
    return replace(
        chosen,
        states=states,
        discarded=False,
        oldest_first=reading.values.get("order") != NEWEST,
        within=within,
    )


def _problems(
    connection: Connection, *, account_id: str, firings: Sequence[Firing], now: int, thens: Thens
) -> list[Problem]:
    """Why those of these firings cannot be sent as they were that cannot."""
    jobs = {
        of: cronjobs.get_cronjob(connection, account_id, of)
        for of in {firing.cronjob_id for firing in firings}
    }
    problems = []
    for firing in firings:
        key = (firing.cronjob_id, firing.scheduled_at, firing.kind)
        try:
            thens.version_of(connection, *check_replayable(connection, jobs[firing.cronjob_id], key, now))
        except errors.RequestError as problem:
            found = jobs[firing.cronjob_id]
            name = None if found is None else found.name
            told = _told(firing.scheduled_at, problem)
            problems.append(Problem(cronjob_id=firing.cronjob_id, name=name, problem=told))
    return problems


def _told(scheduled_at: int, problem: errors.RequestError) -> str:
    return f"The firing of {format_iso(scheduled_at)}: {problem.message}"
