"""The dispatcher: claims due firings fairly, sends each, records what came of it.

Invariants: a firing is sent only while its lease outlasts the request, by the monotonic clock, counted from before the
claim was asked for; what is recorded is recorded under the lease's number. What is being sent holds one of the node's
places in flight, and no more is claimed while as many records wait to be written, so a database that does not answer
stops the claiming, not the sending. One account never holds more than its own share of the places.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import Connection

from cronally import errors, failpoints, firing
from cronally.cronjob import State as CronjobState
from cronally.firing import State
from cronally.instants import SECOND
from cronally.pace import Pace
from cronally.recorder import Recorder
from cronally.store import Signal, Store, firings
from cronally.store.firings import Claim, Record
from cronally.target import Destination, Message, Outcome, Retry, Target, Unknown
from cronally.vault import SealContext, Vault
from cronally.verdict import Sent, release, verdict

ACCOUNTS_PER_CLAIM: Final = 64
MAX_LOST_LEASES: Final = 5
"""Leases in a row that ended without a record before a firing is given up: it may be what kills the workers."""

LAST_RECORDS: Final = 5.0
"""Seconds that a stop waits for records to become durable; the leases of what is left end by themselves."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a dispatcher takes on."""

    in_flight: int = 512
    """Firings that a node sends at once."""
    in_flight_per_account: int = 64
    """Firings of one account that a node sends at once."""
    lease: float = 60.0
    """Seconds. Longer than any target's request timeout, by what a claim and a record may take."""


@dataclass(slots=True, eq=False)
class _Lease:
    """When a batch was claimed, by both clocks."""

    now: int
    started: float
    ends: float
    over: bool = False
    """Whether it ended while some of the batch were still being sent."""

    def at(self, monotonic: float) -> int:
        """The instant, by the database's clock, of a reading of the monotonic clock."""
        return self.now + int((monotonic - self.started) * SECOND)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What a claim brought."""

    claims: list[Claim]
    """To be sent."""
    after: str
    """The account that was served last."""
    starved: bool
    """Whether an account had to be left with due firings because it had no place in flight."""
    more: bool
    """Whether there may be more to claim at once."""


class Dispatcher:
    """Delivers. Any number may run against one store."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        targets: Mapping[str, Target],
        limits: Limits = Limits(),
        *,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        observe: Callable[[list[Record]], None] = lambda _records: None,
    ) -> None:
        """
        :param chance: uniform in [0, 1): the jitter of retries
        :param observe: told of every batch of records that is durable
        """
        self._store = store
        self._vault = vault
        self._targets = targets
        self._limits = limits
        self._chance = chance
        self._monotonic = monotonic
        self._observe = observe
        self._recorder = Recorder(store, self._recorded)
        self._pace = Pace()
        self._in_flight: Counter[str] = Counter()
        self._sends: dict[asyncio.Task[None], _Lease] = {}
        self._after = ""
        self._starved = False
        self._worth_a_claim = max(1, min(limits.in_flight // 4, ACCOUNTS_PER_CLAIM))
        self.wake = store.subscribe(Signal.FIRINGS)
        """Set when there is something to claim: firings became due, or places became free that were waited for."""
        slowest = max((target.request_timeout for target in targets.values()), default=0.0)
        if limits.lease <= slowest:
            raise ValueError(f"a lease of {limits.lease} s ends before a request does ({slowest} s)")

    @property
    def in_flight(self) -> int:
        """Firings that are claimed and not yet durably recorded."""
        return len(self._sends) + self._recorder.unwritten

    async def step(self) -> float | None:
        """Claim once and begin to send; return 0 if there may be more to claim at once, None to wait."""
        room = self._room()
        # Until the claim says better: what is recorded while it runs frees places that it did not count on.
        self._starved = True
        # A claim costs a transaction: wait until there is room that makes it worth one. And what this node knows
        # the outcome of, but could not record before the lease ended, is not to be claimed and sent again.
        if self._recorder.blocked or room < self._worth_a_claim:
            return None
        started = self._monotonic()
        now = await self._store.clock()
        after, in_flight = self._after, self._in_flight.copy()
        claimed = await self._store.transact(
            lambda connection: _claim(connection, self._limits, now, room, after, in_flight)
        )
        self._after, self._starved = claimed.after, claimed.starved
        if claimed.claims:
            failpoints.reach("claim.after_commit")
        lease = _Lease(now, started, started + self._limits.lease)
        for claim in claimed.claims:
            self._in_flight[claim.account_id] += 1
            self._sends[asyncio.create_task(self._deliver(claim, lease))] = lease
        if claimed.claims:
            # One timer for all of them. A target keeps its own, shorter time; this is for one that does not.
            asyncio.get_running_loop().call_later(self._limits.lease, self._end, lease)
        return 0.0 if claimed.more else None

    def _room(self) -> int:
        """Places in flight that are free; none while as many records as there are places wait to be written."""
        if self._recorder.unwritten >= self._limits.in_flight:
            return 0
        return self._limits.in_flight - len(self._sends)

    async def settled(self) -> None:
        """Wait until everything that was claimed is sent and durably recorded."""
        while self._sends:
            ended, _ = await asyncio.wait(set(self._sends))
            for task in ended:
                # One that was cancelled before its first step never came to take itself out.
                self._sends.pop(task, None)
        await self._recorder.flushed()

    async def stop(self, grace: float) -> None:
        """Give what is in flight `grace` seconds, then cut it off and record it as it stands.

        Takes `LAST_RECORDS` seconds more at most, whatever the database does.
        """
        if self._sends:
            await asyncio.wait(set(self._sends), timeout=grace)
        for task in self._sends:
            task.cancel()
        try:
            async with asyncio.timeout(LAST_RECORDS):
                await self.settled()
        except TimeoutError:
            _log.error("stopped with firings that are not recorded", extra={"count": self.in_flight})
            self._recorder.abandon()

    async def _deliver(self, claim: Claim, lease: _Lease) -> None:
        """Try once; hand in what came of it, whatever happens."""
        begun = self._monotonic()
        try:
            record = await self._attempt(claim, lease)
        except Exception as problem:
            _log.exception(
                "an attempt failed", extra={"target": claim.target, "cronjob_id": claim.cronjob_id}
            )
            outcome = Unknown(f"Cronally failed while it sent this ({type(problem).__name__}).")
            record = self._verdict(claim, lease, begun, outcome)
        self._recorder.add(record)
        self._sends.pop(cast("asyncio.Task[None]", asyncio.current_task()), None)
        self._in_flight[claim.account_id] -= 1
        if not self._in_flight[claim.account_id]:
            del self._in_flight[claim.account_id]
        self._offer_room()

    async def _attempt(self, claim: Claim, lease: _Lease) -> Record:
        begun = self._monotonic()
        target = self._targets.get(claim.target)
        # An operator's mistakes, not the tenant's: tried for as long as anything is.
        if target is None:
            return self._verdict(claim, lease, begun, Retry(f"No target {claim.target}."))
        try:
            destination = self._destination(claim)
        except errors.SealingError as problem:
            return self._verdict(claim, lease, begun, Retry(str(problem)))
        message = Message(
            firing_id=firing.firing_id(claim.cronjob_id, claim.scheduled_at, claim.kind),
            cronjob_id=claim.cronjob_id,
            cronjob_name=claim.name,
            scheduled_at=claim.scheduled_at,
            attempt=claim.attempt,
        )
        try:
            place = await self._pace.enter()
        except asyncio.CancelledError:
            return release(claim, lease.at(self._monotonic()))
        begun = self._monotonic()
        # Another node may have this node's firings once the lease is over: not a byte may leave so late.
        if lease.ends - begun <= target.request_timeout:
            self._pace.leave(place)
            return release(claim, lease.at(begun))
        failpoints.reach("send.before")
        outcome: Outcome
        try:
            outcome = await target.send(destination, message)
        except asyncio.CancelledError:
            if lease.over:
                _log.error("a target took longer than the lease", extra={"target": claim.target})
                outcome = Unknown("The target took longer than the lease.")
            else:
                outcome = Unknown("The server was stopped while it sent this.")
        finally:
            self._pace.leave(place)
        failpoints.reach("send.after")
        return self._verdict(claim, lease, begun, outcome)

    def _end(self, lease: _Lease) -> None:
        """Cut off what is still being sent of a batch whose lease is over."""
        for task, held in list(self._sends.items()):
            if held is lease:
                lease.over = True
                task.cancel()

    def _verdict(self, claim: Claim, lease: _Lease, begun: float, outcome: Outcome) -> Record:
        duration = int((self._monotonic() - begun) * SECOND)
        return verdict(claim, Sent(lease.at(begun), duration, outcome), self._chance())

    def _destination(self, claim: Claim) -> Destination:
        """The cron job's destination as it stands now, its secrets opened."""
        secret = {}
        if claim.secret is not None:
            context = SealContext(claim.account_id, "cronjob", "secret", claim.cronjob_id)
            secret = json.loads(self._vault.open(claim.secret, context))
        return Destination(claim.target, json.loads(claim.destination), secret)

    def _recorded(self, records: list[Record]) -> None:
        self._offer_room()
        self._observe(records)

    def _offer_room(self) -> None:
        """Wake the step if it waits for places and there are enough now."""
        if self._starved and self._room() >= self._worth_a_claim:
            self.wake.set()


def _claim(
    connection: Connection, limits: Limits, now: int, room: int, after: str, in_flight: Counter[str]
) -> _Claimed:
    """Lease firings of the accounts that are next in turn, an equal share each, within the accounts' caps."""
    cap = limits.in_flight_per_account
    accounts, starved = _in_turn(connection, now, after, min(room, ACCOUNTS_PER_CLAIM), in_flight, cap)
    if not accounts:
        return _Claimed([], after, starved, more=False)
    rooms = {account: cap - in_flight[account] for account in accounts}
    each = room // len(accounts)
    roomy = [account for account in accounts if rooms[account] >= each]
    tight = [account for account in accounts if rooms[account] < each]
    leased_until = now + int(limits.lease * SECOND)
    claims: list[Claim] = []
    for group, share in ((roomy, each), (tight, min((rooms[account] for account in tight), default=0))):
        if group:
            claims += firings.claim_firings(connection, now, leased_until, group, share)
    more = bool(claims)
    useless = [record for claim in claims if (record := _give_up(claim, now)) is not None]
    if useless:
        firings.record_outcomes(connection, useless)
        closed = {id(record.claim) for record in useless}
        claims = [claim for claim in claims if id(claim) not in closed]
    if claims:
        failpoints.reach("claim.before_commit")
    return _Claimed(claims, accounts[-1], starved or bool(tight), more)


def _in_turn(
    connection: Connection, now: int, after: str, limit: int, in_flight: Counter[str], cap: int
) -> tuple[list[str], bool]:
    """Up to `limit` accounts with due firings and a place free, once round from the one after `after`.

    Accounts without a free place are passed over, not counted; whether there were any is the second value.
    """
    accounts: list[str] = []
    capped = False
    for start, end in ((after, None), ("", after)) if after else (("", None),):
        while len(accounts) < limit:
            page = firings.accounts_with_due(connection, now, start, limit)
            inside = [account for account in page if end is None or account <= end]
            free = [account for account in inside if in_flight[account] < cap]
            capped = capped or len(free) < len(inside)
            accounts += free[: limit - len(accounts)]
            if len(inside) < limit:
                break
            start = page[-1]
    return accounts, capped


def _give_up(claim: Claim, now: int) -> Record | None:
    """The record that closes a claim that must not be sent, or None."""
    if claim.lost_leases >= MAX_LOST_LEASES:
        return Record(claim, State.FAILED, "worker_lost", attempt=claim.attempt - 1, finished_at=now)
    if claim.cronjob_state == CronjobState.DELETED:
        return Record(claim, State.SKIPPED, "deleted", attempt=claim.attempt - 1, finished_at=now)
    return None
