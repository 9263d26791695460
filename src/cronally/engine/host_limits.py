"""How much the accounts of a node may send to one host together: so many requests in flight, and so many a second.

Invariant: an account cannot take all of either from the others (`fairness`). A host that nothing is sent to may be
forgotten after a second.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from cronally.fairness import Taken

PRUNED_AT: Final = 1_000
"""Hosts that are known when those that nothing is sent to are looked for."""


class _Host:
    __slots__ = ("in_flight", "second", "sent", "waiting")

    def __init__(self, second: int) -> None:
        self.second = second
        self.in_flight = Taken()
        self.sent = Taken()
        """In this second."""
        self.waiting: dict[str, float] = {}
        """About how many firings of each account were told to come later, and have not come since."""


class HostLimits:
    """Of one node. Belongs to one event loop."""

    def __init__(self, in_flight: int, per_second: int) -> None:
        """
        :param in_flight: requests to one host at once
        :param per_second: requests to one host that begin in a second
        """
        self._in_flight = in_flight
        self._per_second = per_second
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def wait(self, host: str, account_id: str, now: float) -> float | None:
        """Seconds until it is worth to ask again; None if an account may send to a host at once.

        Each is told to come when its turn may be, by the rate, if all accounts that wait take turns.
        """
        known = self._host(host, now)
        if known.in_flight.admits(account_id, self._in_flight) and known.sent.admits(
            account_id, self._per_second
        ):
            return None
        known.waiting[account_id] = waiting = known.waiting.get(account_id, 0) + 1
        return waiting * len(known.waiting) / self._per_second

    def begin(self, host: str, account_id: str, now: float) -> None:
        """A request begins."""
        known = self._host(host, now)
        known.in_flight.take(account_id)
        known.sent.take(account_id)

    def end(self, host: str, account_id: str) -> None:
        """A request has ended."""
        self._hosts[host].in_flight.give_back(account_id)

    def _host(self, host: str, now: float) -> _Host:
        known = self._hosts.get(host)
        second = int(now)
        if known is None:
            self._prune(second)
            known = self._hosts[host] = _Host(second)
        if known.second != second:
            if known.waiting:
                came = self._per_second * (second - known.second) / len(known.waiting)
                known.waiting = {who: left - came for who, left in known.waiting.items() if left > came}
            known.second = second
            known.sent = Taken()
            self._hosts.move_to_end(host)
        return known

    def _prune(self, second: int) -> None:
        """Forget hosts of earlier seconds, those that were used longest ago first."""
        while len(self._hosts) >= PRUNED_AT:
            host, known = self._hosts.popitem(last=False)
            if known.in_flight or known.second == second:
                self._hosts[host] = known
                return
