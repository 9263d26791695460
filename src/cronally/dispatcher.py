"""The dispatcher: claims due firings fairly, sends each, records what came of it.

Invariants: a firing is sent only while its lease outlasts the request, by the monotonic clock, counted from before the
claim was asked for; what is recorded is recorded under the lease's number. A claimed firing holds one of the node's
places in flight until its record is durable, so a database that does not answer stops the claiming, not the sending.
One account never holds more than its own share of the places.
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
from typing import Final

from sqlalchemy import Connection

from cronally import errors, failpoints, firing
from cronally.cronjob import State as CronjobState
from cronally.firing import State
from cronally.instants import SECOND
from cronally.recorder import Recorder
from cronally.store import Signal, Store, firings
from cronally.store.firings import Claim, Record
from cronally.target import Destination, Message, Outcome, Retry, Target, Unknown
from cronally.vault import SealContext, Vault
from cronally.verdict import Sent, release, verdict

ACCOUNTS_PER_CLAIM: Final = 64
MAX_LOST_LEASES: Final = 5
"""Leases in a row that ended without a record before a firing is given up: it may be what kills the workers."""

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


@dataclass(frozen=True, slots=True)
class _Lease:
    """When a batch was claimed, by both clocks."""

    now: int
    started: float
    ends: float

    def at(self, monotonic: float) -> int:
        """The instant, by the database's clock, of a reading of the monotonic clock."""
        return self.now + int((monotonic - self.started) * SECOND)


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
        self._in_flight: Counter[str] = Counter()
        self._sends: set[asyncio.Task[None]] = set()
        self._after = ""
        self._starved = False
        self.wake = store.subscribe(Signal.FIRINGS)
        """Set when there is something to claim: firings became due, or places became free that were waited for."""
        slowest = max((target.request_timeout for target in targets.values()), default=0.0)
        if limits.lease <= slowest:
            raise ValueError(f"a lease of {limits.lease} s ends before a request does ({slowest} s)")

    @property
    def in_flight(self) -> int:
        """Firings that are claimed and not yet durably recorded."""
        return self._in_flight.total()

    async def step(self) -> float | None:
        """Claim once and begin to send; return 0 if there may be more to claim at once, None to wait."""
        room = self._limits.in_flight - self.in_flight
        # A claim costs a transaction: wait until there is room that makes it worth one.
        if room < max(1, min(self._limits.in_flight // 4, ACCOUNTS_PER_CLAIM)):
            self._starved = True
            return None
        self._starved = False
        started = self._monotonic()
        now = await self._store.clock()
        claims = await self._store.transact(lambda connection: self._claim(connection, now, room))
        if not claims:
            return None
        failpoints.reach("claim.after_commit")
        lease = _Lease(now, started, started + self._limits.lease)
        for claim in claims:
            self._in_flight[claim.account_id] += 1
            task = asyncio.create_task(self._deliver(claim, lease))
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)
        return 0.0

    async def settled(self) -> None:
        """Wait until everything that was claimed is sent and durably recorded."""
        while self._sends:
            await asyncio.wait(set(self._sends))
        await self._recorder.flushed()

    async def stop(self, grace: float) -> None:
        """Give what is in flight `grace` seconds, release what was not sent, record the rest as it stands."""
        if self._sends:
            await asyncio.wait(set(self._sends), timeout=grace)
        for task in self._sends:
            task.cancel()
        await self.settled()

    def _claim(self, connection: Connection, now: int, room: int) -> list[Claim]:
        """Lease firings of the accounts that are next in turn, an equal share each, within the accounts' caps."""
        limit = min(room, ACCOUNTS_PER_CLAIM)
        accounts = firings.accounts_with_due(connection, now, self._after, limit)
        if len(accounts) < limit and self._after:
            wrapped = firings.accounts_with_due(connection, now, "", limit - len(accounts))
            accounts += [account for account in wrapped if account not in accounts]
        if not accounts:
            return []
        self._after = accounts[-1]
        cap = self._limits.in_flight_per_account
        rooms = {account: cap - self._in_flight[account] for account in accounts}
        each = room // len(accounts)
        roomy = [account for account in accounts if rooms[account] >= each]
        tight = [account for account in accounts if 0 < rooms[account] < each]
        self._starved = len(roomy) < len(accounts)
        leased_until = now + int(self._limits.lease * SECOND)
        claims: list[Claim] = []
        for group, share in ((roomy, each), (tight, min((rooms[account] for account in tight), default=0))):
            if group:
                claims += firings.claim_firings(connection, now, leased_until, group, share)
        useless = [record for claim in claims if (record := _give_up(claim, now)) is not None]
        if useless:
            firings.record_outcomes(connection, useless)
            closed = {id(record.claim) for record in useless}
            claims = [claim for claim in claims if id(claim) not in closed]
        if claims:
            failpoints.reach("claim.before_commit")
        return claims

    async def _deliver(self, claim: Claim, lease: _Lease) -> None:
        try:
            target = self._targets[claim.target]
            destination = self._destination(claim)
        except (KeyError, errors.SealingError) as problem:
            # An operator's mistake, not the tenant's: tried for as long as anything is.
            reason = (
                str(problem) if isinstance(problem, errors.SealingError) else f"No target {claim.target}."
            )
            sent = Sent(lease.at(self._monotonic()), 0, Retry(reason))
            self._recorder.add(verdict(claim, sent, self._chance()))
            return
        message = Message(
            firing_id=firing.firing_id(claim.cronjob_id, claim.scheduled_at, claim.kind),
            cronjob_id=claim.cronjob_id,
            cronjob_name=claim.name,
            scheduled_at=claim.scheduled_at,
            attempt=claim.attempt,
        )
        begun = self._monotonic()
        # Another node may have this node's firings once the lease is over: not a byte may leave so late.
        if lease.ends - begun <= target.request_timeout:
            self._recorder.add(release(claim, lease.at(begun)))
            return
        failpoints.reach("send.before")
        outcome: Outcome
        try:
            outcome = await target.send(destination, message)
        except asyncio.CancelledError:
            outcome = Unknown("The server was stopped while it sent this.")
        except Exception as problem:
            _log.exception("a target failed", extra={"target": claim.target, "cronjob_id": claim.cronjob_id})
            outcome = Unknown(f"Cronally failed while it sent this ({type(problem).__name__}).")
        failpoints.reach("send.after")
        ended = self._monotonic()
        sent = Sent(lease.at(begun), int((ended - begun) * SECOND), outcome)
        self._recorder.add(verdict(claim, sent, self._chance()))

    def _destination(self, claim: Claim) -> Destination:
        """The cron job's destination as it stands now, its secrets opened."""
        secret = {}
        if claim.secret is not None:
            context = SealContext(claim.account_id, "cronjob", "secret", claim.cronjob_id)
            secret = json.loads(self._vault.open(claim.secret, context))
        return Destination(claim.target, json.loads(claim.destination), secret)

    def _recorded(self, records: list[Record]) -> None:
        for record in records:
            account_id = record.claim.account_id
            self._in_flight[account_id] -= 1
            if not self._in_flight[account_id]:
                del self._in_flight[account_id]
        if self._starved:
            self.wake.set()
        self._observe(records)


def _give_up(claim: Claim, now: int) -> Record | None:
    """The record that closes a claim that must not be sent, or None."""
    if claim.lost_leases >= MAX_LOST_LEASES:
        return Record(claim, State.FAILED, "worker_lost", attempt=claim.attempt - 1, finished_at=now)
    if claim.cronjob_state == CronjobState.DELETED:
        return Record(claim, State.SKIPPED, "deleted", attempt=claim.attempt - 1, finished_at=now)
    return None
