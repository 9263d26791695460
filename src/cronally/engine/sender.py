"""The sender: sends claimed firings to their targets, together where a target wants it, and records each outcome.

Invariants: every firing that `begin` gets has exactly one record in the end, whatever happens. A firing is sent only
while its lease outlasts the request, by the monotonic clock, counted from before the claim was asked for. One whose
request may take long has a lease of its own, which is renewed meanwhile, and outlasts the writing of the request.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from cronally import errors, failpoints
from cronally.ack_links import AckLinks
from cronally.contract.kept import pack
from cronally.contract.targets import TARGETS, parameters_of
from cronally.contract.templates import NotFilled, with_own
from cronally.contract.then import NotAsThen, as_then
from cronally.engine.admission import Admission
from cronally.engine.asking import NotAskable, ack_url_of
from cronally.engine.pace import Pace
from cronally.engine.parameters import read_parameters
from cronally.engine.recorder import Recorder
from cronally.engine.renewing import Renewing
from cronally.engine.telling import NotTold, telling
from cronally.engine.verdict import Sent, release, verdict
from cronally.firing import Kind, Reason
from cronally.instants import SECOND
from cronally.store.answers import Answer, answer_id
from cronally.store.claims import Claim, Record
from cronally.targets.connected import CONNECTION_ID, Held, NotConnected, connect
from cronally.targets.filled import filled
from cronally.targets.target import (
    BatchTarget,
    Destination,
    Message,
    Outcome,
    Refused,
    Reply,
    Retry,
    Sending,
    Target,
    Unknown,
)
from cronally.vault import Purpose, SealContext, Vault, open_secret

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Lease:
    """When firings were claimed together, by both clocks."""

    now: int
    started: float
    ends: float
    over: bool = False
    """Whether it ended while some of them were still being sent."""
    lost: bool = False
    """Whether another worker has it, or the firing has ended otherwise: of a lease that is renewed."""

    def at(self, monotonic: float) -> int:
        """The instant, by the database's clock, of a reading of the monotonic clock."""
        return self.now + int((monotonic - self.started) * SECOND)


@dataclass(slots=True, eq=False)
class _Batch:
    """Firings that go out in one request: one in the usual case."""

    target: Target
    claims: Sequence[Claim]
    sendings: Sequence[Sending]
    lease: Lease
    long: float | None = None
    """Seconds that the request may take, if that is more than the target's request timeout: then of one firing alone,
    with a lease that is its own."""


class Sender:
    """Sends firings at the pace that targets answer. Belongs to one event loop."""

    def __init__(
        self,
        vault: Vault,
        targets: Mapping[str, Target],
        recorder: Recorder,
        admission: Admission,
        freed: Callable[[], None],
        *,
        links: AckLinks | None = None,
        renewing: Renewing,
        chance: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """
        :param freed: called whenever sends have ended
        :param links: what makes acknowledgement URLs
        :param renewing: of the leases of what takes long
        :param chance: uniform in [0, 1): the jitter of retries
        """
        self._vault = vault
        self._targets = targets
        self._batching = {name: one for name, one in targets.items() if isinstance(one, BatchTarget)}
        self._recorder = recorder
        self._freed = freed
        self._links = links
        self._renewing = renewing
        self._admission = admission
        self._chance = chance
        self._monotonic = monotonic
        self._pace = Pace()
        self._tasks: dict[asyncio.Task[None], _Batch] = {}
        self._stopping = False

    def begin(self, claims: Sequence[Claim], lease: Lease) -> None:
        """Send these, which were claimed together and hold a place each; `end_with` follows once for the lease."""
        for batch in self._batches(claims, lease):
            self._start(batch)

    def end_with(self, lease: Lease) -> None:
        """Cut off what has not ended when its lease does."""
        # One timer for all of them. A target keeps its own, shorter time; this is for one that does not.
        asyncio.get_running_loop().call_later(lease.ends - lease.started, self._end, lease)

    async def settled(self) -> None:
        """Wait until everything is sent and every outcome is with the recorder."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def stop(self, grace: float) -> None:
        """Give what is being sent `grace` seconds, then cut it off and record it as it stands."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + grace
        while self._tasks and (left := ends - loop.time()) > 0:
            await asyncio.wait(set(self._tasks), timeout=left)
        self._stopping = True
        for task in self._tasks:
            task.cancel()

    def _batches(self, claims: Sequence[Claim], lease: Lease) -> Iterator[_Batch]:
        """Put together what goes out in one request. What cannot be sent at all is recorded on the way."""
        groups: dict[tuple[str, str], tuple[list[Claim], list[Sending]]] = {}
        for claim in claims:
            # An operator's mistakes, not the tenant's: tried for as long as anything is.
            if claim.target not in self._targets:
                self._unsendable(claim, lease, f"No target {claim.target}.")
                continue
            try:
                sending = self._prepare(claim)
            except (errors.SealingError, NotAskable) as problem:
                self._unsendable(claim, lease, str(problem))
            except (NotAsThen, NotFilled, NotConnected, NotTold) as problem:
                # The cron job was changed since somebody asked for it, and is not changed back; or its name is too long
                # for what it sends.
                self._unsent(claim, lease, Refused(str(problem)), Reason.UNSENDABLE)
            except Exception as problem:
                self._unsent(claim, lease, _failed(claim, problem), Reason.ATTEMPT_FAILED)
            else:
                long = self._admission.long.seconds(claim) if self._admission.long else None
                if long is not None:
                    yield self._alone(claim, sending, lease, long)
                    continue
                group = groups.setdefault((claim.account_id, claim.target), ([], []))
                group[0].append(claim)
                group[1].append(sending)
        for (_, name), (of_account, sendings) in groups.items():
            if len(sendings) == 1:
                yield _Batch(self._targets[name], of_account, sendings, lease)
                continue
            for places in self._together(name, sendings):
                yield _Batch(
                    self._targets[name],
                    [of_account[place] for place in places],
                    [sendings[place] for place in places],
                    lease,
                )

    def _alone(self, claim: Claim, sending: Sending, lease: Lease, long: float) -> _Batch:
        """A request that may take long. When the lease ends that the others have, it goes on."""
        destination, message = sending
        sendings = [(replace(destination, seconds=long), message)]
        own = Lease(lease.now, lease.started, lease.ends)
        return _Batch(self._targets[claim.target], [claim], sendings, own, long)

    def _together(self, name: str, sendings: Sequence[Sending]) -> Sequence[Sequence[int]]:
        """The places of what goes out in one request each."""
        if name in self._batching:
            try:
                return self._batching[name].batches(sendings)
            except Exception:
                _log.exception("firings could not be put together", extra={"target": name})
        return [(place,) for place in range(len(sendings))]

    def _start(self, batch: _Batch) -> None:
        task = asyncio.create_task(self._deliver(batch))
        self._tasks[task] = batch
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        batch = self._tasks.pop(task)
        if task.cancelled():
            # It was cancelled before its first step, so it recorded nothing.
            for record in self._releases(batch):
                self._add_record(record)
        self._freed()

    async def _deliver(self, batch: _Batch) -> None:
        """Try once, and record the outcome, whatever happens."""
        begun = self._monotonic()
        request = self._admission.window.begin(len(batch.claims))
        try:
            records = await self._attempt(batch)
        except Exception as problem:
            outcome = _failed(batch.claims[0], problem)
            records = self._verdicts(batch, begun, [outcome] * len(batch.claims), Reason.ATTEMPT_FAILED)
        finally:
            self._admission.window.end(request)
        if records is None:
            _log.info(
                "firings go out one by one: their target refuses them together",
                extra={"target": batch.target.name, "cronjob_id": batch.claims[0].cronjob_id},
            )
            for claim, sending in zip(batch.claims, batch.sendings, strict=True):
                self._start(_Batch(batch.target, [claim], [sending], batch.lease))
        else:
            for record in records:
                self._add_record(record)

    async def _attempt(self, batch: _Batch) -> list[Record] | None:
        """The records of a try; None if the target wants each alone."""
        target, lease = batch.target, batch.lease
        try:
            place = await self._pace.enter(batch.claims[0].account_id)
        except asyncio.CancelledError:
            return self._releases(batch)
        begun = self._monotonic()
        # Another node may have this node's firings once the lease is over: not a byte may leave so late.
        if lease.ends - begun <= target.request_timeout:
            self._pace.leave(place)
            return self._releases(batch)
        failpoints.reach("send.before")
        outcomes: Sequence[Outcome] | None = None
        try:
            if batch.long is not None:
                outcomes = [await self._send_long(batch, batch.long, begun)]
            elif len(batch.sendings) == 1:
                outcomes = [await target.send(*batch.sendings[0])]
            else:
                outcomes = await cast(BatchTarget, target).send_batch(batch.sendings)
        except asyncio.CancelledError:
            if lease.lost:
                detail = "The lease was lost while this was sent."
            elif lease.over:
                _log.error("a target took longer than the lease", extra={"target": target.name})
                detail = "The target took longer than the lease."
            else:
                detail = "The server was stopped while it sent this."
            silent = lease.over and not lease.lost
            outcomes = [Unknown(detail, reply=Reply.SILENT if silent else Reply.NOT_ASKED)] * len(
                batch.claims
            )
        finally:
            self._pace.leave(place)
            first = None if outcomes is None else outcomes[0]
            self._admission.learn(batch.claims[0], self._monotonic() - begun, first)
        failpoints.reach("send.after")
        if outcomes is None:
            return self._releases(batch) if self._stopping else None
        return self._verdicts(batch, begun, outcomes)

    async def _send_long(self, batch: _Batch, seconds: float, begun: float) -> Outcome:
        """Send one that may take so long, and keep its lease meanwhile."""
        claim, lease = batch.claims[0], batch.lease
        # The target keeps its time, as with `end_with`.
        most = seconds + (lease.ends - lease.started)
        timer = asyncio.get_running_loop().call_later(most, self._end, lease)
        self._renewing.begin(claim, lease.at(begun), lease.ends, partial(self._lose, lease))
        try:
            return await batch.target.send(*batch.sendings[0])
        finally:
            self._renewing.end(claim)
            timer.cancel()

    def _lose(self, lease: Lease) -> None:
        """Cut off what is being sent under a lease that is lost: it is another worker's."""
        lease.lost = True
        _log.warning("a lease was lost while its firing was sent")
        self._end(lease)

    def _end(self, lease: Lease) -> None:
        """Cut off what is still being sent of what was claimed together, for its lease is over."""
        for task, batch in self._tasks.items():
            if batch.lease is lease:
                lease.over = True
                task.cancel()

    def _prepare(self, claim: Claim) -> Sending:
        """The message, and the destination of the cron job or of a version of it, the cron job's secrets opened and
        placeholders filled in; with what its connection holds, if it uses one.

        Raises SealingError, NotAskable, NotAsThen, NotFilled, NotConnected and NotTold.
        """
        public: Mapping[str, Any] = read_parameters(claim.destination or "{}")
        secret, unused = dict[str, Any](), frozenset[str]()
        if claim.destination_now is not None:
            now = read_parameters(claim.destination_now)
            then = as_then(claim.target, now, claim.version, claim.target_then, public)
            public, unused = then.public, then.unused
        if claim.secret is not None:
            secret = self._open(claim, claim.secret, "cronjob", claim.cronjob_id)
            for name in unused:
                secret.pop(name, None)
        ack_url = ack_url_of(claim, self._links) if claim.policies.ack_within else None
        if claim.kind == Kind.DEAD_LETTER:
            public = telling(claim, public, self._targets[claim.target], ack_url)
        if claim.message is not None:
            own = self._open(claim, claim.message, "firing_message", claim.firing_id)
            public = with_own(public, own, parameters_of(claim.target) if claim.target in TARGETS else ())
        message = Message(
            firing_id=claim.firing_id,
            cronjob_id=claim.cronjob_id,
            cronjob_name=claim.name,
            scheduled_at=claim.scheduled_at,
            attempt=claim.attempt,
            ack_url=ack_url,
        )
        destination = Destination(claim.target, public, secret, claim.account_id)
        # Filled in first: what is checked against the connection's own URL is what is called.
        destination = filled(destination, message, claim.timezone)
        if claim.connection_id is not None:
            destination = connect(destination, self._held(claim, claim.connection_id), claim.refusals)
        return destination, message

    def _held(self, claim: Claim, connection_id: str) -> Held:
        """What the connection of a claim holds. Raises SealingError."""
        opened = {
            table: {} if sealed is None else self._open(claim, sealed, table, connection_id)
            for table, sealed in (
                ("connection", claim.connection_secret),
                ("connection_previous", claim.connection_previous),
            )
        }
        public = {**read_parameters(claim.connection_parameters or "{}"), CONNECTION_ID: connection_id}
        return Held(str(claim.connection_kind), public, opened["connection"], opened["connection_previous"])

    def _open(self, claim: Claim, sealed: bytes, table: str, row_id: str) -> dict[str, Any]:
        """The parameters in what is sealed for a row. Raises SealingError."""
        place = SealContext(claim.account_id, table, "secret", row_id)
        opened: dict[str, Any] = json.loads(open_secret(self._vault, sealed, place, Purpose.SEND))
        return opened

    def _verdicts(
        self, batch: _Batch, begun: float, outcomes: Sequence[Outcome], reason: Reason | None = None
    ) -> list[Record]:
        at = batch.lease.at(begun)
        duration = int((self._monotonic() - begun) * SECOND)
        return [
            self._with_answer(verdict(claim, Sent(at, duration, outcome, reason), self._chance()), outcome)
            for claim, outcome in zip(batch.claims, outcomes, strict=True)
        ]

    def _with_answer(self, record: Record, outcome: Outcome) -> Record:
        """The record with what is kept of the target's answer, sealed."""
        kept = outcome.kept
        if kept is None:
            return record
        claim, timings = record.claim, kept.timings
        place = SealContext(claim.account_id, "answer", "secret", answer_id(claim.key, claim.lease_no))
        secret = self._vault.seal(pack(kept.headers, kept.body, cut=kept.cut), place)
        parts = (timings.dns, timings.connect, timings.tls, timings.first_byte, timings.whole)
        return replace(record, answer=Answer(kept.status, *parts, secret))

    def _releases(self, batch: _Batch) -> list[Record]:
        """Give all of a batch back unsent."""
        now = batch.lease.at(self._monotonic())
        return [release(claim, now) for claim in batch.claims]

    def _unsendable(self, claim: Claim, lease: Lease, detail: str) -> None:
        """Record what this server cannot send. The operator can change that: it is tried again."""
        self._unsent(claim, lease, Retry(detail), Reason.UNSENDABLE)

    def _unsent(self, claim: Claim, lease: Lease, outcome: Outcome, reason: Reason) -> None:
        """Record a firing that never got as far as a target."""
        sent = Sent(lease.at(self._monotonic()), 0, outcome, reason)
        self._add_record(verdict(claim, sent, self._chance()))

    def _add_record(self, record: Record) -> None:
        self._recorder.add(record)
        self._admission.leave(record.claim)


def _failed(claim: Claim, problem: Exception) -> Unknown:
    """The outcome of what a mistake of Cronally's own ended. Called where it is handled."""
    _log.exception("an attempt failed", extra={"target": claim.target, "cronjob_id": claim.cronjob_id})
    return Unknown(f"Cronally failed while it sent this ({type(problem).__name__}).")
