"""The dispatcher: claims due firings fairly, has each sent and what came of it recorded.

Invariants: what is recorded is recorded under the lease's number. Every firing that is being sent holds one of the
node's places in flight, and no more are claimed while as many records wait to be written, so a database that does not
answer stops the claiming, not the sending. One account never holds more than its own share of the places (`shares`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from cronally.cronjob import State as CronjobState
from cronally.engine import failpoints
from cronally.engine.recorder import Recorder
from cronally.engine.sender import Lease, Sender
from cronally.engine.shares import Shares
from cronally.firing import Reason, State
from cronally.instants import SECOND
from cronally.store import Signal, Store, firings
from cronally.store.firings import Claim, Record
from cronally.targets.target import Target
from cronally.vault import Vault

ACCOUNTS_PER_CLAIM: Final = 64
SHARE: Final = 10
"""Firings of one account that a claim takes, if it has so many and its cap allows it, though other accounts must wait
for the next claim: as many as go out in one request."""
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
    """Firings of one account that a node sends at once, at most."""
    lease: float = 60.0
    """Seconds. Longer than any target's request timeout, by what a claim and a record may take."""
    first: int | None = None
    """Firings that a node sends at once of an account that nothing is known of; None: as many as of any."""


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


@dataclass(frozen=True, slots=True)
class _Free:
    """The places that a claim may fill."""

    room: int
    sending: int
    in_flight: Counter[str]
    """Of each account."""
    shares: Shares

    def of(self, account_id: str) -> int:
        """How many an account may take."""
        return self.shares.room_of(account_id, self.in_flight, self.sending)


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
        :param observe: called with every batch of records that is durable
        """
        self._store = store
        self._limits = limits
        self._monotonic = monotonic
        self._observe = observe
        self._recorder = Recorder(store, self._recorded)
        self._shares = Shares(limits.in_flight, limits.in_flight_per_account, limits.first)
        self._sender = Sender(
            vault,
            targets,
            self._recorder,
            self._offer_room,
            answered=self._shares.ended,
            chance=chance,
            monotonic=monotonic,
        )
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
        return self._sender.sending + self._recorder.unwritten

    async def step(self) -> float | None:
        """Claim once and begin to send; return 0 if there may be more to claim at once, None to wait."""
        room = self._room()
        # Until the claim says better: what is recorded while it runs frees places that it did not count on.
        self._starved = True
        # A claim costs a transaction: wait until there is room that makes it worth one. And what this node knows
        # the outcome of, but could not record before the lease ended, is not to be claimed and sent again.
        if self._recorder.blocked or room < self._worth():
            return None
        started = self._monotonic()
        now = await self._store.clock()
        after, lease = self._after, int(self._limits.lease * SECOND)
        free = _Free(room, self._sender.sending, self._sender.of_account.copy(), self._shares)
        claimed = await self._store.transact(
            lambda connection: _claim(connection, now, now + lease, free, after)
        )
        self._after, self._starved = claimed.after, claimed.starved
        if claimed.claims:
            failpoints.reach("claim.after_commit")
            self._sender.begin(claimed.claims, Lease(now, started, started + self._limits.lease))
        return 0.0 if claimed.more else None

    def _room(self) -> int:
        """Places in flight that are free; none while as many records as there are places wait to be written."""
        if self._recorder.unwritten >= self._limits.in_flight:
            return 0
        return self._limits.in_flight - self._sender.sending

    async def settled(self) -> None:
        """Wait until everything that was claimed is sent and durably recorded."""
        await self._sender.settled()
        await self._recorder.flushed()

    async def stop(self, grace: float) -> None:
        """Give what is in flight `grace` seconds, then cut it off and record it as it stands.

        Takes `LAST_RECORDS` seconds more at most, whatever the database does.
        """
        await self._sender.stop(grace)
        try:
            async with asyncio.timeout(LAST_RECORDS):
                await self.settled()
        except TimeoutError:
            _log.error("stopped with firings that are not recorded", extra={"count": self.in_flight})
            self._recorder.abandon()

    def _recorded(self, records: list[Record]) -> None:
        self._offer_room()
        self._observe(records)

    def _offer_room(self) -> None:
        """Wake the step if it waits for places and there are enough now."""
        if self._starved and self._room() >= self._worth():
            self.wake.set()

    def _worth(self) -> int:
        """How many places are worth a claim: fewer, when those that are left are for accounts that hold none."""
        scarce = self._limits.first is not None and not self._shares.common(self._sender.sending)
        return 1 if scarce else self._worth_a_claim


def _claim(connection: Connection, now: int, leased_until: int, free: _Free, after: str) -> _Claimed:
    """Lease firings of the accounts that are next in turn, a share each, as far as each has room."""
    room, shares = free.room, free.shares
    accounts, starved = _in_turn(connection, now, after, min(room, ACCOUNTS_PER_CLAIM), free.of)
    if not accounts:
        return _Claimed([], after, starved, more=False)
    rooms = {account: free.of(account) for account in accounts}
    share = max(room // len(accounts), SHARE)
    claims: list[Claim] = []
    for (roomy, trusted), together in groupby(
        accounts, lambda account: (rooms[account] >= share, shares.trusts(account))
    ):
        turn = list(together)
        each = share if roomy else min(rooms[account] for account in turn)
        starved = starved or not roomy
        limit = room - len(claims)
        if not trusted:
            common = shares.common(free.sending + len(claims))
            limit, each = (min(limit, common), each) if common else (limit, 1)
            turn = [account for account in turn if common or not free.in_flight[account]]
            if not turn:
                continue
        found = firings.claim_firings(connection, now, leased_until, turn, each, limit)
        claims += found
        after = turn[-1]
        if len(found) == limit:
            served = {claim.account_id for claim in found}
            after = next(account for account in reversed(turn) if account in served)
            break
    more = bool(claims)
    useless = [record for claim in claims if (record := _give_up(claim, now)) is not None]
    if useless:
        firings.record_outcomes(connection, useless)
        closed = {id(record.claim) for record in useless}
        claims = [claim for claim in claims if id(claim) not in closed]
    if claims:
        failpoints.reach("claim.before_commit")
    return _Claimed(claims, after, starved, more)


def _in_turn(
    connection: Connection, now: int, after: str, limit: int, room_of: Callable[[str], int]
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
            free = [account for account in inside if room_of(account) > 0]
            capped = capped or len(free) < len(inside)
            accounts += free[: limit - len(accounts)]
            if len(inside) < limit:
                break
            start = page[-1]
    return accounts, capped


def _give_up(claim: Claim, now: int) -> Record | None:
    """The record that closes a claim that must not be sent, or None."""
    if claim.lost_leases >= MAX_LOST_LEASES:
        return Record(claim, State.FAILED, Reason.WORKER_LOST, attempt=claim.attempt - 1, finished_at=now)
    if claim.cronjob_state == CronjobState.DELETED:
        return Record(claim, State.SKIPPED, Reason.DELETED, attempt=claim.attempt - 1, finished_at=now)
    return None
