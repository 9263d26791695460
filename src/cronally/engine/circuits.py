"""A circuit for each host and port that an account sends to: it opens when requests in a row were not answered, and
then lets one through at times. All topics of a region have one, for they have one host.

Not answered means: not connected, or no whole answer in time. An answer with any status, a 503 among them, closes the
circuit. A request that did not get as far as the receiver, and an answer that cannot be used, neither open nor close
it, and the next may try. The wait is `CEILING` seconds at most.

Invariant: an account is held back by its own requests alone. Anybody can find a path of somebody's host that never
answers: a circuit that accounts shared would let one stop the deliveries of others.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cronally.targets.target import Reply

THRESHOLD: Final = 10
"""Requests in a row that were not answered."""
FIRST: Final = 1.0
CEILING: Final = 30.0
"""Seconds until the next request is let through: when the circuit opened, and after many tries. Each doubles it."""
MAX_KNOWN: Final = 20_000
"""Receivers whose last request was not answered that are remembered."""
MOST_IDLE: Final = 3600.0
"""Seconds that a receiver is remembered for once it may be asked and is not: its cron job may be deleted or changed."""
LOGGED_EVERY: Final = 10.0
"""Seconds between two lines about circuits that opened."""

Key = tuple[str, str]
"""An account, and what its receivers have in common (`Receiver.circuit`)."""

_log = logging.getLogger(__name__)


class _Circuit:
    __slots__ = ("probe_until", "silent", "until", "wait")

    def __init__(self) -> None:
        self.silent = 0
        self.wait = FIRST
        self.until = 0.0
        """When the next request may go out."""
        self.probe_until = 0.0
        """While a request that was let through may still be answered."""


class Circuits:
    """Of one node. Belongs to one event loop."""

    def __init__(self, patience: float, opened: Callable[[], None] = lambda: None) -> None:
        """
        :param patience: seconds in which a request ends
        :param opened: called each time that one opens
        """
        self._patience = patience
        self._opened = opened
        self._circuits: OrderedDict[Key, _Circuit] = OrderedDict()
        """Those first that were silent longest ago, so by when they may be asked, but for `CEILING` seconds."""
        self._logged_at = -LOGGED_EVERY
        self._unlogged = 0
        self.open_count = 0
        """How many are open. Those to forget are among them until the next request of any account ends."""

    def wait(self, key: Key, now: float) -> float | None:
        """Seconds until a receiver is tried again; None if a request may go out, which is then the one that tries."""
        circuit = self._circuits.get(key)
        if circuit is None or circuit.silent < THRESHOLD:
            return None
        if now < circuit.until:
            return circuit.until - now
        # What comes of the request that tries may be known long before its time is up.
        return circuit.wait if now < circuit.probe_until else None

    def begin(self, key: Key, now: float) -> None:
        """A request goes out. If the circuit is open, the others wait for what comes of it."""
        circuit = self._circuits.get(key)
        if circuit is not None and circuit.silent >= THRESHOLD:
            circuit.probe_until = now + self._patience

    def learn(self, key: Key, now: float, reply: Reply) -> None:
        """A request has ended."""
        if reply is Reply.SILENT:
            self._count(key, now)
        elif reply is Reply.ANSWERED:
            closed = self._circuits.pop(key, None)
            if closed is not None and closed.silent >= THRESHOLD:
                self.open_count -= 1
        elif (circuit := self._circuits.get(key)) is not None:
            circuit.probe_until = 0.0  # if this was the one that tries, it told nothing
        self._forget(now)

    def _count(self, key: Key, now: float) -> None:
        """A request was not answered."""
        circuit = self._circuits.get(key)
        if circuit is None:
            circuit = self._circuits[key] = _Circuit()
        self._circuits.move_to_end(key)
        circuit.silent += 1
        circuit.until = now
        if circuit.silent < THRESHOLD:
            return
        if circuit.silent == THRESHOLD:
            self.open_count += 1
            self._note(key, now)
        elif circuit.probe_until:
            circuit.wait = min(CEILING, 2 * circuit.wait)
        circuit.probe_until = 0.0
        circuit.until = now + circuit.wait

    def _forget(self, now: float) -> None:
        """Forget those that are too many, or not asked any more. Looks at the first that stays, and at no other."""
        while self._circuits:
            key, oldest = next(iter(self._circuits.items()))
            if len(self._circuits) <= MAX_KNOWN and now <= oldest.until + MOST_IDLE:
                return
            del self._circuits[key]
            self.open_count -= oldest.silent >= THRESHOLD

    def _note(self, key: Key, now: float) -> None:
        self._opened()
        self._unlogged += 1
        if now >= self._logged_at + LOGGED_EVERY:
            _log.warning("a circuit opened", extra={"receiver": key[1], "count": self._unlogged})
            self._logged_at, self._unlogged = now, 0
