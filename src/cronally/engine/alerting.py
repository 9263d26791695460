"""Alerts go out: claimed by account in turns, sent through the targets that firings go through, and recorded.

Invariants: what is recorded is recorded under the number of the lease that it was claimed with; whoever dies between,
the lease ends and another sends it again, under the same id. Mail has places of its own, so a mail server that does not
answer keeps no other alert waiting, and an account has a few of either. What becomes of an alert makes no alert.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from cronally import errors, failpoints
from cronally.alert import Reason
from cronally.engine import alert_verdict
from cronally.engine.host_limits import HostLimits
from cronally.instants import SECOND
from cronally.store import Store, alert_deliveries
from cronally.store.alert_deliveries import MAIL, Claim, Record
from cronally.targets.channels.destination import destination_of, message_of
from cronally.targets.channels.texts import text_of
from cronally.targets.connected import CONNECTION_ID, Held, NotConnected
from cronally.targets.mail.mail import AT_ONCE, NOT_SET_UP, Mail
from cronally.targets.target import Destination, Outcome, Refused, Reply, Retry, Target, Unknown
from cronally.vault import Purpose, SealContext, Vault, open_secret

PLACES: Final = 32
"""Alerts that a process sends at once, mail apart; of mail as many as it has connections."""
PER_ACCOUNT: Final = 4
"""Of an account, and as many mails of it."""

_log = logging.getLogger(__name__)


class _Lane:
    """The places of mail, or of all else."""

    def __init__(self, mail: bool, places: int) -> None:
        self.mail = mail
        self.places = places
        self.busy: Counter[str] = Counter()
        """Places that are taken, by account."""
        self.after = ""

    @property
    def free(self) -> int:
        """Places that nobody has."""
        return self.places - self.busy.total()


class Alerting:
    """Sends alerts. Any number may run against one store."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        targets: Mapping[str, Target],
        mail: Mail | None,
        *,
        lease: float = 60.0,
        hosts: HostLimits | None = None,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param mail: None where the operator has set up none
        :param lease: seconds that a claim is this worker's
        :param hosts: what firings to a host are counted by too
        :param chance: uniform in [0, 1): the jitter of retries
        """
        self._store = store
        self._vault = vault
        self._targets = targets
        self._mail = mail
        self._lease = lease
        self._hosts = hosts
        self._chance = chance
        self._monotonic = monotonic
        self._lanes = (_Lane(mail=False, places=PLACES), _Lane(mail=True, places=AT_ONCE))
        self._tasks: set[asyncio.Task[None]] = set()
        self.wake = asyncio.Event()
        """Set when places became free that alerts may wait for."""
        self._starved = False
        """Whether alerts may wait for places."""

    async def step(self) -> float | None:
        """Claim once and begin to send; 0 if there may be more to claim at once."""
        self._starved = any(lane.free <= 0 for lane in self._lanes)
        started = self._monotonic()
        now = await self._store.clock()
        claimed = await self._store.transact(partial(self._claim, now=now))
        if any(claims for _, claims in claimed):
            failpoints.reach("alert.after_claim")
        for lane, claims in claimed:
            for claim in claims:
                lane.busy[claim.account_id] += 1
                task = asyncio.create_task(self._work(claim, lane, started + self._lease))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            full = lane.free <= 0 or max(lane.busy.values(), default=0) >= PER_ACCOUNT
            self._starved = self._starved or full
        return 0.0 if any(claims for _, claims in claimed) else None

    def _claim(self, connection: Connection, *, now: int) -> list[tuple[_Lane, list[Claim]]]:
        claimed = []
        for lane in self._lanes:
            claims: list[Claim] = []
            if lane.free > 0:
                claims, lane.after = alert_deliveries.claim(
                    connection,
                    now,
                    now + int(self._lease * SECOND),
                    after=lane.after,
                    mail=lane.mail,
                    places=lane.free,
                    per_account=PER_ACCOUNT,
                    busy=lane.busy,
                )
            claimed.append((lane, claims))
        return claimed

    async def settled(self) -> None:
        """Wait until everything that was claimed is sent and recorded."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def stop(self, grace: float) -> None:
        """Give what is being sent `grace` seconds, then cut it off: its lease ends by itself."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, claim: Claim, lane: _Lane, ends: float) -> None:
        try:
            record = await self._send(claim, ends)
            failpoints.reach("alert.after_send")
            now = await self._store.clock()
            await self._store.transact(partial(alert_deliveries.record, one=record, now=now))
            failpoints.reach("alert.after_record")
        except errors.Unavailable:
            _log.warning(
                "an alert is not recorded, and will be sent again", extra={"alert": claim.alert.alert_id}
            )
        except Exception:
            _log.exception("an alert could not be sent", extra={"alert": claim.alert.alert_id})
        finally:
            lane.busy[claim.account_id] -= 1
            lane.busy += Counter()  # without accounts that have none
            if self._starved:
                self.wake.set()

    async def _send(self, claim: Claim, ends: float) -> Record:
        now = await self._store.clock()
        over = alert_verdict.give_up(claim, now)
        if over is not None:
            return over
        reason: Reason | None = None
        outcome: Outcome
        if claim.kind == MAIL:
            if self._mail is None:
                outcome, reason = Retry(NOT_SET_UP, reply=Reply.NOT_ASKED), Reason.NO_MAIL
            elif self._monotonic() + self._mail.timeout > ends:
                return alert_verdict.put_off(claim, now)
            else:
                outcome = await self._write(self._mail, claim)
        else:
            try:
                destination = self._destination(claim)
            except errors.SealingError as problem:
                outcome, reason = Retry(str(problem), reply=Reply.NOT_ASKED), Reason.UNREADABLE
            except (NotConnected, KeyError, ValueError) as problem:
                # Of what another version of the server wrote, or a connection that has become something else.
                outcome = Refused(f"the channel cannot be used: {problem}", reply=Reply.NOT_ASKED)
            else:
                target = self._targets[destination.target]
                if self._monotonic() + target.request_timeout > ends:
                    return alert_verdict.put_off(claim, now)
                host = target.receiver(destination.public).host
                wait = self._wait(host, claim.account_id)
                if wait is not None:
                    return alert_verdict.put_off(claim, now + int(wait * SECOND))
                outcome = await self._call(target, destination, claim, host)
        return alert_verdict.verdict(claim, outcome, await self._store.clock(), self._chance(), reason)

    async def _write(self, mail: Mail, claim: Claim) -> Outcome:
        public = json.loads(claim.parameters or "{}")
        return await mail.send(
            public["address"], claim.alert.title, text_of(claim.alert), message_id=claim.alert.alert_id
        )

    def _wait(self, host: str | None, account_id: str) -> float | None:
        """Seconds until a host may be asked; None for at once."""
        if host is None or self._hosts is None:
            return None
        return self._hosts.wait(host, account_id, self._monotonic())

    async def _call(
        self, target: Target, destination: Destination, claim: Claim, host: str | None
    ) -> Outcome:
        if host is not None and self._hosts is not None:
            self._hosts.begin(host, claim.account_id, self._monotonic())
        try:
            return await target.send(destination, message_of(claim.alert, claim.channel_id, claim.attempts))
        except Exception:
            _log.exception("a target failed", extra={"target": target.name})
            return Unknown("this server failed while it sent it", reply=Reply.NOT_ASKED)
        finally:
            if host is not None and self._hosts is not None:
                self._hosts.end(host, claim.account_id)

    def _destination(self, claim: Claim) -> Destination:
        """Where a claim goes. Raises SealingError and NotConnected."""
        secret = self._open(claim, claim.secret, "channel", claim.channel_id)
        held = None
        if claim.connection_id is not None:
            public = {**json.loads(claim.connection_parameters or "{}"), CONNECTION_ID: claim.connection_id}
            opened = self._open(claim, claim.connection_secret, "connection", claim.connection_id)
            held = Held(str(claim.connection_kind), public, opened)
        return destination_of(claim.alert, claim.kind, json.loads(claim.parameters or "{}"), secret, held)

    def _open(self, claim: Claim, sealed: bytes | None, table: str, row_id: str) -> dict[str, Any]:
        """What is sealed of a row. Raises SealingError."""
        if sealed is None:
            return {}
        place = SealContext(claim.account_id, table, "secret", row_id)
        opened: dict[str, Any] = json.loads(open_secret(self._vault, sealed, place, Purpose.ALERT))
        return opened
