"""Which claimed firings may go out now: what node, account, host, circuit, cron job and connection have to say of it.

Invariant: a firing that may not go out is put off, its lease given back, with the reason and without an attempt spent;
one that may holds a place in flight until it is recorded. Accounts that have not been quick lately (`shares`) fill half
of the node's places, the others three quarters, and the rest is for accounts that hold none, one each. So no number of
hanging requests of a few accounts fills a node. What may take long holds none of these, but one of `long_places`; how
long it takes says nothing of its account and its receiver.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, MutableMapping, Set
from dataclasses import dataclass, replace
from typing import Final

from cronally.engine.circuits import Circuits
from cronally.engine.host_limits import HostLimits
from cronally.engine.long_places import LongPlaces
from cronally.engine.rates import Limit, Rates
from cronally.engine.shares import Room, Shares
from cronally.engine.window import Window
from cronally.firing import Reason
from cronally.store.claims import Claim
from cronally.store.leases import CLAIM_BYTES
from cronally.targets.connected import with_timeout
from cronally.targets.target import Outcome, Receiver, Reply, Target

RECEIVERS_CACHED: Final = 10_000
HELD_BYTES: Final = 1024 * 1024
"""Bytes of cron jobs, messages included, or of their requests if these are longer, that an account may have in flight
together; one firing it always may."""
WORTH_A_CLAIM: Final = 3 * CLAIM_BYTES
"""Of these that are free when more is claimed: a form may be three times as long as what it says."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a dispatcher takes on."""

    in_flight: int = 512
    """Firings that a node sends at once."""
    in_flight_per_account: int = 64
    """Firings of one account that a node sends at once, at most."""
    lease: float = 60.0
    """Seconds. Longer than any target's request timeout, by what a claim and a record may take."""
    first: int = 10_000
    """Firings that a node sends at once of an account that nothing is known of; as many as of any at most."""
    window: int | None = None
    """Requests that a node has under way at once before it has seen how many its event loop keeps up with; None for as
    many as it has places, whether it keeps up or not."""
    reserve: int = 0
    """Of the places in flight, those that are for accounts that hold none, one each; as many again are for accounts
    that have been quick."""
    in_flight_per_host: int = 10_000
    """Requests of all accounts to one host at once, AWS apart."""
    per_second_per_host: int = 100_000
    """Requests of all accounts to one host that begin in a second, AWS apart."""
    in_flight_per_proven_host: int = 10_000
    """Requests of an account at once to a host that it has proven to be its own; they count for nobody else."""
    per_second_per_proven_host: int = 100_000
    """Likewise, those that begin in a second."""
    long_in_flight: int = 0
    """Firings that a node sends at once whose requests may take longer than their target's request timeout, beside
    those; 0 if none may."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a firing may not go out now."""

    reason: Reason
    seconds: float = 0.0
    """In which it is worth to ask again, as far as that is known."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """The places that a claim may fill. Any thread may ask."""

    room: int
    """Altogether."""
    reserve: int
    """Of these, the places for accounts that hold none."""
    window: int
    """Of these, how many the event loop keeps up with, apart from those of accounts that hold none."""
    holding: Mapping[str, Room]
    """What the accounts that hold places may take more."""
    shares: Shares

    def of(self, account_id: str) -> Room:
        """What an account may take more."""
        room = self.holding.get(account_id) or self.shares.room_of_idle(account_id)
        if self.common(account_id):
            return room
        beyond = min(max(1, self.unreserved(account_id)), self.room) if self.is_idle(account_id) else 0
        return room._replace(places=min(room.places, beyond))

    def is_idle(self, account_id: str) -> bool:
        """Whether an account holds no places, or none but with receivers that let it wait, while another was quick."""
        room = self.holding.get(account_id)
        return room is None or (not room.young and self.shares.is_quick(account_id))

    def common(self, account_id: str) -> int:
        """Places that are not kept from an account for others."""
        return max(0, min(self.unreserved(account_id), self.window))

    def unreserved(self, account_id: str) -> int:
        """The same, were the event loop to keep up with any number."""
        return self.room - (1 if self.shares.is_quick(account_id) else 2) * self.reserve


_NO_PLACE: Final = Wait(Reason.ACCOUNT_LIMIT)


class Admission:
    """Of one node. Belongs to one event loop."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        limits: Limits,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        opened: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param monotonic: seconds
        :param opened: called each time that a circuit opens
        """
        self._targets = targets
        self._limits = limits
        self._monotonic = monotonic
        self._receivers: dict[tuple[str, int, str | None, int | None], Receiver] = {}
        """Of versions of cron jobs and of their connections, the oldest first: not by their text, which may be long."""
        self._bytes: dict[str, int] = {}
        """Of the accounts that hold places."""
        self._shares = Shares(limits.in_flight_per_account, limits.first)
        self._proven: Set[tuple[str, str]] = frozenset()
        """Accounts and the hosts that each has proven to be its own."""
        self._apart: set[int] = set()
        """The claims that hold places at such hosts, by their identity."""
        self._rates = Rates()
        self._limited: dict[int, tuple[Limit, ...]] = {}
        """What limits the claims that hold places, by their identity; most have no limits of their own."""
        self._host_limits = HostLimits(limits.in_flight_per_host, limits.per_second_per_host)
        patience = max((target.request_timeout for target in targets.values()), default=0.0)
        self.circuits = Circuits(patience, opened)
        self.window = Window(limits.window, limits.in_flight, monotonic)
        self.long = LongPlaces(limits.long_in_flight)
        self.sending = 0
        """Places that are held, without the long ones."""
        self._left: set[str] = set()
        """The accounts that gave places back since `rooms` was asked for."""
        self.emptied = False
        """Whether one of them gave back its last place."""

    def know_proven(self, proven: Set[tuple[str, str]]) -> None:
        """Which accounts have proven which hosts to be their own, from now on."""
        self._proven = proven

    @property
    def host_limits(self) -> HostLimits:
        """What all that goes to a host is counted by."""
        return self._host_limits

    @property
    def common(self) -> int:
        """Free places that are not for accounts that hold none."""
        return max(0, min(self._limits.in_flight - self._limits.reserve - self.sending, self.window.free))

    def held(self, account_id: str) -> int:
        """How many places an account holds."""
        return self._shares.held(account_id)

    def rooms(self) -> Rooms:
        """The places that are free, and whose they may be."""
        self._left.clear()
        self.emptied = False
        return Rooms(
            self._limits.in_flight - self.sending,
            self._limits.reserve,
            self.window.free,
            {
                account: room
                if self._bytes[account] + WORTH_A_CLAIM <= HELD_BYTES
                else room._replace(places=0)
                for account, room in self._shares.rooms(self._monotonic())
            },
            self._shares,
        )

    def freed(self, accounts: Set[str]) -> bool:
        """Whether any of these accounts gave back enough places since `rooms` was asked for to claim for it."""
        return any(self._shares.is_worth_a_claim(account) for account in self._left & accounts)

    def admit(self, claim: Claim, places: MutableMapping[str, int] | None = None) -> Wait | None:
        """Give a claim a place until `leave`, or say why not. The claim is known by its identity.

        :param places: how many more each account may take, counted down; without those of requests that may take long
        """
        now, account, receiver = self._monotonic(), claim.account_id, self._receiver(claim)
        if places is not None and receiver.long is None and not places[account]:
            return _NO_PLACE
        limits = self._rates.limits(claim)
        apart = self._proven and (account, receiver.site) in self._proven
        if apart:
            limits = (*limits, self._of_proven(account, receiver))
        wait = self._wait(claim, receiver, None if apart else receiver.host, limits, now)
        if wait is not None:
            self._shares.put_off(account)
            return wait
        if receiver.circuit is not None:
            self.circuits.begin((account, receiver.circuit), now)
        for limit in limits:
            self._rates.begin(limit, now)
        if not apart and receiver.host is not None:
            self._host_limits.begin(receiver.host, account, now)
        if receiver.long is not None:
            # It counts for the second in which it begins. How long it hangs is nothing to the others of the host.
            if apart:
                self._rates.end(limits[-1])
                limits = limits[:-1]
            elif receiver.host is not None:
                self._host_limits.end(receiver.host, account)
        elif apart:
            self._apart.add(id(claim))
        if limits:
            self._limited[id(claim)] = limits
        if receiver.long is not None:
            self.long.begin(claim, receiver.long)
            return None
        if places is not None:
            places[account] -= 1
        self._shares.begin(account, receiver.name, id(claim), now)
        self._bytes[account] = self._bytes.get(account, 0) + _size(claim, receiver)
        self.sending += 1
        return None

    def _of_proven(self, account_id: str, receiver: Receiver) -> Limit:
        """What limits an account's requests to a host that it has proven to be its own."""
        most, per_second = self._limits.in_flight_per_proven_host, self._limits.per_second_per_proven_host
        return Limit(f"{account_id} {receiver.site}", Reason.HOST_LIMIT, most, per_second)

    def _wait(
        self, claim: Claim, receiver: Receiver, host: str | None, limits: tuple[Limit, ...], now: float
    ) -> Wait | None:
        """Why a request for a claim to its receiver may not begin now.

        :param host: what counts for all accounts together
        """
        account = claim.account_id
        if receiver.long is None:
            held = self._bytes.get(account, 0)
            if held and held + _size(claim, receiver) > HELD_BYTES:
                return _NO_PLACE
            if not self._shares.admits(account, receiver.name, now):
                return _NO_PLACE
        elif not self.long.admits(account):
            return Wait(Reason.LONG_LIMIT)
        if receiver.circuit is not None:
            seconds = self.circuits.wait((account, receiver.circuit), now)
            if seconds is not None:
                return Wait(Reason.CIRCUIT_OPEN, seconds)
        seconds = None if host is None else self._host_limits.wait(host, account, now)
        if seconds is not None:
            return Wait(Reason.HOST_LIMIT, seconds)
        for limit in limits:
            seconds = self._rates.wait(limit, now)
            if seconds is not None:
                return Wait(limit.reason, seconds)
        return None

    def leave(self, claim: Claim) -> None:
        """Take back the place of a claim."""
        receiver = self._receiver(claim)
        if self._limited:
            for limit in self._limited.pop(id(claim), ()):
                self._rates.end(limit)
        if receiver.long is not None:
            self.long.end(claim)
            return
        self._shares.end(claim.account_id, receiver.name, id(claim))
        self._bytes[claim.account_id] -= _size(claim, receiver)
        if not self._shares.held(claim.account_id):
            del self._bytes[claim.account_id]
        if self._apart and id(claim) in self._apart:
            self._apart.remove(id(claim))
        elif receiver.host is not None:
            self._host_limits.end(receiver.host, claim.account_id)
        self.sending -= 1
        self._left.add(claim.account_id)
        self.emptied = self.emptied or not self._shares.held(claim.account_id)

    def learn(self, claim: Claim, seconds: float, outcome: Outcome | None) -> None:
        """One request, of this claim and perhaps of more, took so long and had this outcome, if any."""
        receiver = self._receiver(claim)
        reply = Reply.ANSWERED if outcome is None else outcome.reply
        if reply is not Reply.NOT_ASKED and receiver.long is None:
            answered = reply is Reply.ANSWERED
            self._shares.learn(claim.account_id, receiver.name, seconds, answered=answered)
        if receiver.circuit is not None and outcome is not None:
            self.circuits.learn((claim.account_id, receiver.circuit), self._monotonic(), reply)

    def _receiver(self, claim: Claim) -> Receiver:
        key = (claim.cronjob_id, claim.version, claim.connection_id, claim.connection_version)
        receiver = self._receivers.get(key)
        if receiver is None:
            if len(self._receivers) >= RECEIVERS_CACHED:
                del self._receivers[next(iter(self._receivers))]
            receiver = self._receivers[key] = self._read_receiver(claim)
        return receiver

    def _read_receiver(self, claim: Claim) -> Receiver:
        try:
            public = json.loads(claim.destination)
            if claim.connection_parameters is not None:
                public = with_timeout(public, json.loads(claim.connection_parameters))
            receiver = self._targets[claim.target].receiver(public)
        except Exception:
            # What cannot be read cannot be sent: the sender says so.
            return Receiver(f"{claim.target}: unreadable", None, None)
        if receiver.long is None:
            return receiver
        if not self.long.places:
            return replace(receiver, long=None)
        # A circuit of its own: what an account's other requests find out of a host, and how soon, is not of these.
        return replace(receiver, circuit=receiver.circuit and f"{receiver.circuit} (long)")


def _size(claim: Claim, receiver: Receiver) -> int:
    """Bytes that a firing in flight counts for."""
    return max(claim.size, receiver.size)
