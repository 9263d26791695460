"""The dispatcher: claims due firings fairly, has each sent and what came of it recorded.

Invariants: what is recorded is recorded under the lease's number. Every firing that is being sent holds one of the
node's places in flight, and no more are claimed while as many records wait to be written, so a database that does not
answer stops the claiming, not the sending. What is claimed and may not be sent now (`admission`) is put off.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import groupby
from operator import attrgetter
from typing import Final

from cronally import failpoints
from cronally.ack_links import AckLinks
from cronally.engine import verdict
from cronally.engine.admission import Admission, Limits, Wait
from cronally.engine.backoff import PUT_OFF_LEAST
from cronally.engine.claiming import ACCOUNTS_PER_CLAIM, Claimed, claim_in_turn
from cronally.engine.recorder import Recorder
from cronally.engine.renewing import Renewing
from cronally.engine.sender import Lease, Sender
from cronally.firing import Reason
from cronally.instants import SECOND
from cronally.store import Signal, Store
from cronally.store.claims import Claim, Record
from cronally.targets.target import Target
from cronally.vault import Vault

SLICE_BYTES: Final = 64 * 1024
"""Of what is begun in one turn of the event loop, about: to read, sign and write 250 KB takes 15 to 40 ms."""
AGAIN_LEAST: Final = PUT_OFF_LEAST / SECOND
"""Seconds until what was put off is claimed again, at least: each such claim costs a transaction."""
SCARCE: Final = 0.05
"""Seconds until places that became free are given away, if the node has so few that accounts wait for them and fewer
than are worth a claim of their own."""
LAST_RECORDS: Final = 5.0
"""Seconds that a stop waits for records to become durable; the leases of what is left end by themselves."""

_DEFAULT: Final = Limits()
_HELD: Final = (Reason.FROZEN, Reason.CONNECTION_UNHEALTHY)

_log = logging.getLogger(__name__)


def _slices(claims: Sequence[Claim]) -> Iterator[list[Claim]]:
    """Claims in pieces that keep the event loop busy for a short time each.

    An account's stay together; those with little go first, so that they need not wait for the large ones of others.
    """
    accounts = [list(several) for _, several in groupby(claims, key=attrgetter("account_id"))]
    some: list[Claim] = []
    size = 0
    for several in sorted(accounts, key=_bytes):
        if size >= SLICE_BYTES:
            yield some
            some, size = [], 0
        some += several
        size += _bytes(several)
    if some:
        yield some


def _bytes(claims: Sequence[Claim]) -> int:
    return sum(claim.size for claim in claims)


class Dispatcher:
    """Delivers. Any number may run against one store."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        targets: Mapping[str, Target],
        limits: Limits = _DEFAULT,
        *,
        links: AckLinks | None = None,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        observe: Callable[[list[Record]], None] = lambda _records: None,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param links: what makes acknowledgement URLs
        :param chance: uniform in [0, 1): the jitter of retries
        :param observe: called with every batch of records that is durable
        :param opened: called each time that a circuit opens
        """
        self._store = store
        self._limits = limits
        self._monotonic = monotonic
        self._observe = observe
        self._recorder = Recorder(store, self._recorded)
        self._chance = chance
        self._targets = targets
        self.admission = Admission(targets, limits, monotonic=monotonic, opened=opened)
        self.renewing = Renewing(store, limits.lease, monotonic=monotonic)
        self._sender = Sender(
            vault,
            targets,
            self._recorder,
            self.admission,
            self._offer_room,
            links=links,
            renewing=self.renewing,
            chance=chance,
            monotonic=monotonic,
        )
        self._after = ""
        self._starved: Set[str] = frozenset()
        self._scarce = False
        self._put_off_until: int | None = None
        """When the first of what was put off lately is due."""
        self.wake = store.subscribe(Signal.FIRINGS)
        """Set when there is something to claim: firings became due, or places became free that were waited for."""
        slowest = max((target.request_timeout for target in targets.values()), default=0.0)
        if limits.lease <= slowest:
            raise ValueError(f"a lease of {limits.lease} s ends before a request does ({slowest} s)")

    @property
    def in_flight(self) -> int:
        """Firings that are claimed and not yet durably recorded."""
        return self.admission.sending + len(self.admission.long) + self._recorder.unwritten

    async def step(self) -> float | None:
        """Claim once and begin to send.

        Returns 0 if there may be more to claim at once, the seconds until something that was put off is due or places
        may have become free that accounts wait for, or None.
        """
        # What this node knows the outcome of, but could not record before the lease ended, is not to be claimed and
        # sent again.
        if self._recorder.blocked or not self._room():
            self._scarce = True
            return None if self._recorder.blocked else SCARCE
        if self.renewing.is_late:
            await self.renewing.step()
        started = self._monotonic()
        now = await self._store.clock()
        # To the time after a leap every lease is over, though who holds it is still sending.
        if (left := self._limits.lease - self._store.timekeeper.since_leap) > 0:
            return left
        if self._put_off_until is not None and self._put_off_until <= now and not self._recorder.unwritten:
            self._put_off_until = None  # this claim finds it: that it was put off is durable
        after, lease = self._after, int(self._limits.lease * SECOND)
        rooms = self.admission.rooms()
        claimed = await self._store.transact(
            lambda connection: claim_in_turn(
                connection, now, now + lease, rooms, after, self._targets, self._chance
            )
        )
        self._after, self._starved, self._scarce = claimed.after, claimed.starved, claimed.scarce
        if claimed.closed:
            self._observe([*claimed.closed])
            if any(record.reason in _HELD for record in claimed.closed):
                failpoints.reach("hold.after_commit")
        self._remember(claimed.closed)
        self._offer_room()  # of places that were given back while the claim ran
        put_off = await self._begin(claimed, Lease(now, started, started + self._limits.lease))
        # What was put off has left its place to what is due behind it.
        if claimed.more or self._starved & put_off:
            return 0.0
        if self._scarce:
            return SCARCE
        if self._put_off_until is None:
            return None
        return max(AGAIN_LEAST, (self._put_off_until - now) / SECOND)

    async def _begin(self, claimed: Claimed, lease: Lease) -> set[str]:
        """Begin to send what was claimed, as far as it is admitted; return the accounts of what is put off."""
        put_off: set[str] = set()
        if not claimed.claims:
            return put_off
        failpoints.reach("claim.after_commit")
        places = dict(claimed.places)
        for number, some in enumerate(_slices(claimed.claims)):
            if number:
                await asyncio.sleep(0)
            admitted = []
            for claim in some:
                wait = self.admission.admit(claim, places)
                if wait is None:
                    admitted.append(claim)
                else:
                    self._put_off(claim, lease.now, wait)
                    put_off.add(claim.account_id)
            self._sender.begin(admitted, lease)
        self._sender.end_with(lease)
        return put_off

    def _put_off(self, claim: Claim, now: int, wait: Wait) -> None:
        record = verdict.put_off(claim, now, wait.reason, wait.seconds, self._chance())
        self._recorder.add(record)
        self._remember([record])

    def _remember(self, records: Sequence[Record]) -> None:
        """Know when the first of what was put off is due."""
        for record in records:
            if record.due_at is not None:
                self._put_off_until = min(record.due_at, self._put_off_until or record.due_at)

    def _room(self) -> int:
        """Places in flight that are free; none while as many records as there are places wait to be written."""
        if self._recorder.unwritten >= self._limits.in_flight:
            return 0
        return self._limits.in_flight - self.admission.sending

    async def settled(self) -> None:
        """Wait until everything that was claimed is sent and durably recorded."""
        await self._sender.settled()
        await self._recorder.flushed()
        await self.renewing.ended()

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
            self.renewing.stop()

    def _worth_a_claim(self) -> int:
        """Places that are worth a claim when the node has few."""
        return max(1, min(self._limits.in_flight // 4, ACCOUNTS_PER_CLAIM, self.admission.window.size // 2))

    def _recorded(self, records: list[Record], freed: int) -> None:
        if freed:
            self.wake.set()
        self._offer_room()
        self._observe(records)

    def _offer_room(self) -> None:
        """Wake the step if it, or an account, waits for places and there are enough now.

        Where the node has few, a claim is worth it once an account holds none any more.
        """
        if not (self._scarce or self._starved) or self.wake.is_set() or not self._room():
            return
        common = min(self._room(), self.admission.common)
        if (common and self.admission.freed(self._starved)) or (
            self._scarce and (common >= self._worth_a_claim() or self.admission.emptied)
        ):
            self.wake.set()
