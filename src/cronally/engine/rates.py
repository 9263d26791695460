"""How much a node sends of what has limits of its own: a cron job, a connection, a host that is an account's own. So
many firings at once (`max_in_flight`), and so many that begin in a second (`max_per_second`).

Invariant: what is beyond them waits, and burns no attempt. What has no limits is not known here; that of which nothing
is sent may be forgotten after a second. A claim is counted by the limits that it was let go with. Each node counts by
itself.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from cronally.cronjob import read_object
from cronally.firing import Reason
from cronally.store.claims import Claim

PRUNED_AT: Final = 1_000
"""Keys that are known when those that nothing is sent of are looked for."""
CONNECTIONS_CACHED: Final = 10_000
"""Versions of connections whose limits are remembered."""


class Limit(NamedTuple):
    """How much is sent of one thing; at least one of the numbers is there."""

    key: str
    """Its id: no cron job has that of a connection. Of a host that is an account's own, the two."""
    reason: Reason
    """What is said of what waits for it."""
    max_in_flight: int | None
    max_per_second: int | None


class _Sent:
    __slots__ = ("in_flight", "second", "sent", "waiting")

    def __init__(self, second: int) -> None:
        self.second = second
        self.in_flight = 0
        self.sent = 0
        """In this second."""
        self.waiting = 0.0
        """About how many firings were told to come later, by the rate, and have not come since."""


class Rates:
    """Of one node. Belongs to one event loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Sent] = OrderedDict()
        self._connections: dict[tuple[str, int | None], Limit | None] = {}
        """Limits of versions of connections, the oldest first: not by their text, which may be long."""

    def limits(self, claim: Claim) -> tuple[Limit, ...]:
        """What limits a claim, as its cron job and its connection are now: nothing in the usual case."""
        policies = claim.policies
        found: tuple[Limit, ...] = ()
        if policies.max_in_flight is not None or policies.max_per_second is not None:
            own = (claim.cronjob_id, Reason.CRONJOB_LIMIT, policies.max_in_flight, policies.max_per_second)
            found = (Limit(*own),)
        if claim.connection_id is not None:
            shared = self._of_connection(claim.connection_id, claim)
            found = found if shared is None else (*found, shared)
        return found

    def wait(self, limit: Limit, now: float) -> float | None:
        """Seconds until it is worth to ask again; None if one more may be sent at once.

        By the rate each is told to come when its turn may be; when a place is free again nobody knows.
        """
        known, per_second = self._of(limit.key, now), limit.max_per_second
        if known.second != int(now):
            known.waiting = max(0.0, known.waiting - (per_second or 0) * (int(now) - known.second))
            known.second, known.sent = int(now), 0
            self._known.move_to_end(limit.key)
        if limit.max_in_flight is not None and known.in_flight >= limit.max_in_flight:
            return 0.0
        if per_second is not None and known.sent >= per_second:
            known.waiting += 1
            return known.waiting / per_second
        return None

    def begin(self, limit: Limit, now: float) -> None:
        """One more is sent."""
        known = self._of(limit.key, now)
        known.in_flight += 1
        known.sent += 1

    def end(self, limit: Limit) -> None:
        """The sending of one has ended."""
        self._known[limit.key].in_flight -= 1

    def _of(self, key: str, now: float) -> _Sent:
        known = self._known.get(key)
        if known is None:
            self._prune(int(now))
            known = self._known[key] = _Sent(int(now))
        return known

    def _prune(self, second: int) -> None:
        """Forget keys of earlier seconds, those that were used longest ago first."""
        while len(self._known) >= PRUNED_AT:
            key, known = self._known.popitem(last=False)
            if known.in_flight or known.second == second:
                self._known[key] = known
                return

    def _of_connection(self, connection_id: str, claim: Claim) -> Limit | None:
        version = (connection_id, claim.connection_version)
        if version not in self._connections:
            if len(self._connections) >= CONNECTIONS_CACHED:
                del self._connections[next(iter(self._connections))]
            self._connections[version] = _read(connection_id, claim.connection_parameters or "")
        return self._connections[version]


def _read(connection_id: str, parameters: str) -> Limit | None:
    """The limit in the parameters of a connection. What cannot be read has none: the sender says so."""
    public = read_object(parameters) or {}
    most, per_second = public.get("max_in_flight"), public.get("max_per_second")
    if not isinstance(most, int) and not isinstance(per_second, int):
        return None
    return Limit(connection_id, Reason.CONNECTION_LIMIT, most, per_second)
