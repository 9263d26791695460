"""How many of a node's places in flight an account may hold, and how they go round what it sends to.

What takes an account's requests, a host or a topic, is a receiver. One that answered its last request within `QUICK`
seconds is quick, as long as none of its requests has been waiting for longer than that.

Invariants:
- An account holds `cap` places at most; a quarter more while some of its requests wait for longer than `QUICK`
  seconds, one for each receiver that holds none. So a receiver that begins to hang does not stop the others.
- Receivers that are not quick share what the account has earned: a quick answer earns a place more, a slow one, or
  none, halves it, down to `cap / seconds**2` (additive increase, multiplicative decrease), or to one if what came is no
  answer: a failed connection, an answer cut for breaking its bounds. Each of them earns the same way. Those that are
  slow leave a place to those that nothing is known of.

So an account whose receivers never answer can keep `LEAST` places from others, once they are known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

FIRST: Final = 10
"""Places that are earned before anything is known: as many as go out in one request."""
LEAST: Final = 2
"""Places that an account may always hold of receivers that are not quick: one of slow ones, one of unknown ones."""
QUICK: Final = 1.0
"""Seconds."""
QUICK_KNOWN: Final = 4
"""Receivers of an account that are remembered as quick: one that hangs does not make an account slow."""
MOST_PUT_OFF: Final = 16
"""Firings of an account that one claim takes beyond the places that it has, if they are put off again and again."""
MAX_KNOWN: Final = 20_000
"""Accounts, and receivers of accounts, that are remembered: those that were used last."""


class Room(NamedTuple):
    """What an account may take."""

    places: int
    """How many more places."""
    put_off: int = 0
    """About how many of its firings were put off since the last that was not: they are due before what may be sent."""
    young: int = 0
    """How many places it holds with receivers that do not let it wait."""


class _Receiver:
    """What is known of a receiver of an account."""

    __slots__ = ("begun", "earned", "quick")

    def __init__(self, earned: int) -> None:
        self.earned = earned
        self.quick: bool | None = None
        """Whether the last request was quick; None before the first."""
        self.begun: dict[int, float] = {}
        """The requests in flight, the longest first, and when each began."""

    def waits(self, now: float) -> bool:
        """Whether one of its requests has been waiting for too long to call it quick."""
        return bool(self.begun) and now - next(iter(self.begun.values())) > QUICK


class _Account:
    """What is known of an account."""

    __slots__ = ("_quick", "cap", "earned", "held", "put_off", "receivers")

    def __init__(self, earned: int, cap: int) -> None:
        self.earned = earned
        self.cap = cap
        """Places that it may hold at most."""
        self.held = 0
        self.put_off = 0
        """About how many firings were put off since the last that was not."""
        self._quick: dict[str, None] = {}
        self.receivers: dict[str, _Receiver] = {}
        """Those that hold places."""

    @property
    def quick(self) -> bool:
        """Whether a receiver was quick when it was asked last, of the `QUICK_KNOWN` that were quick lately."""
        return bool(self._quick)

    def learn(self, receiver: str, *, quick: bool) -> None:
        """A receiver was quick, or was not."""
        self._quick.pop(receiver, None)
        if quick:
            self._quick[receiver] = None
            if len(self._quick) > QUICK_KNOWN:
                del self._quick[next(iter(self._quick))]

    def young(self, now: float) -> int:
        """How many of its requests are with receivers that do not let it wait."""
        return sum(len(receiver.begun) for receiver in self.receivers.values() if not receiver.waits(now))

    def waits(self, now: float) -> bool:
        """Whether any of its requests has been waiting for long."""
        return any(receiver.waits(now) for receiver in self.receivers.values())


class Shares:
    """Of the places of one node. Belongs to one event loop."""

    def __init__(self, cap: int, first: int) -> None:
        """
        :param cap: firings of one account that the node sends at once, at most
        :param first: how many of what nothing is known of
        """
        self._cap = cap
        self._own: Mapping[str, int] = {}
        """Of the accounts that have caps of their own."""
        self._first = min(first, cap)
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._receivers: OrderedDict[tuple[str, str], _Receiver] = OrderedDict()
        self._holding: dict[str, _Account] = {}

    def know_caps(self, own: Mapping[str, int]) -> None:
        """Which accounts may hold how many places, where that is not what every account may, from now on."""
        changed = [one for one in {*self._own, *own} if self._own.get(one) != own.get(one)]
        self._own = own
        for account_id in changed:
            cap = own.get(account_id, self._cap)
            for account in (self._accounts.get(account_id), self._holding.get(account_id)):
                if account is not None:
                    account.cap, account.earned = cap, min(account.earned, cap)

    def held(self, account_id: str) -> int:
        """How many places an account holds."""
        account = self._holding.get(account_id)
        return 0 if account is None else account.held

    def rooms(self, now: float) -> Iterator[tuple[str, Room]]:
        """What each account that holds places may take more."""
        for account_id, account in self._holding.items():
            places = self._may_hold(account) - account.held
            if places <= 0 and account.waits(now):
                places = _most(account.cap) - account.held if account.quick else 1
            yield account_id, Room(max(0, places), account.put_off, account.young(now))

    def is_worth_a_claim(self, account_id: str) -> bool:
        """Whether an account that had too few places has a quarter of them free: a claim for each would be dear."""
        account = self._holding.get(account_id)
        return account is None or 4 * (self._may_hold(account) - account.held) >= self._may_hold(account)

    def room_of_idle(self, account_id: str) -> Room:
        """What an account that holds no places may take. Any thread may ask."""
        account = self._accounts.get(account_id)
        if account is None:
            return Room(min(self._first, self._own.get(account_id, self._cap)))
        return Room(self._may_hold(account), account.put_off)

    def is_quick(self, account_id: str) -> bool:
        """Whether any receiver of an account has been quick. Any thread may ask."""
        account = self._accounts.get(account_id)
        return account is not None and account.quick

    def admits(self, account_id: str, receiver: str, now: float) -> bool:
        """Whether an account may take a place for a request to a receiver."""
        account, known = self._account(account_id), self._receiver(account_id, receiver)
        if account.held >= (account.cap if known.begun else _most(account.cap)):
            return False
        if known.quick and not known.waits(now):
            return True
        slow = unknown = 0
        for other in account.receivers.values():
            if other.waits(now) or other.quick is False:
                slow += len(other.begun)
            elif other.quick is None:
                unknown += len(other.begun)
        if known.quick is None and not known.waits(now):
            return unknown < max(1, account.earned - slow)
        return len(known.begun) < known.earned and slow < max(1, account.earned - 1 - unknown)

    def put_off(self, account_id: str) -> None:
        """A firing of an account was claimed and may not be sent now."""
        account = self._account(account_id)
        account.put_off = min(account.put_off + 1, MOST_PUT_OFF)

    def begin(self, account_id: str, receiver: str, request: int, now: float) -> None:
        """An account takes a place.

        :param request: tells requests in flight apart
        """
        account, known = self._account(account_id), self._receiver(account_id, receiver)
        account.held += 1
        account.put_off //= 2
        account.receivers[receiver] = known
        known.begun[request] = now
        self._holding[account_id] = account

    def end(self, account_id: str, receiver: str, request: int) -> None:
        """An account gives a place back."""
        account = self._holding[account_id]
        known = account.receivers[receiver]
        del known.begun[request]
        if not known.begun:
            del account.receivers[receiver]
        account.held -= 1
        if not account.held:
            del self._holding[account_id]

    def learn(self, account_id: str, receiver: str, seconds: float, *, answered: bool = True) -> None:
        """A request took so long.

        :param answered: whether there is an answer that can be used, whatever it says
        """
        account, known = self._account(account_id), self._receiver(account_id, receiver)
        quick = answered and seconds <= QUICK
        ceiling = account.cap if quick else max(1, int(account.cap / seconds**2)) if answered else 1
        if not (quick and known.quick):
            account.earned = max(min(LEAST, account.cap), _earned(account.earned, ceiling))
        known.earned = _earned(known.earned, ceiling)
        known.quick = quick
        account.learn(receiver, quick=quick)

    def _may_hold(self, account: _Account) -> int:
        return account.cap if account.quick else account.earned

    def _account(self, account_id: str) -> _Account:
        account = self._accounts.get(account_id) or self._holding.get(account_id)
        if account is None:
            cap = self._own.get(account_id, self._cap)
            account = _Account(min(self._first, cap), cap)
        self._accounts[account_id] = account
        self._accounts.move_to_end(account_id)
        if len(self._accounts) > MAX_KNOWN:
            self._accounts.popitem(last=False)
        return account

    def _receiver(self, account_id: str, receiver: str) -> _Receiver:
        key = (account_id, receiver)
        known = self._receivers.get(key)
        if known is None:
            holding = self._holding.get(account_id)
            known = holding.receivers.get(receiver) if holding is not None else None
        if known is None:
            known = _Receiver(self._first)
        self._receivers[key] = known
        self._receivers.move_to_end(key)
        if len(self._receivers) > MAX_KNOWN:
            self._receivers.popitem(last=False)
        return known


def _most(cap: int) -> int:
    """Places that an account may hold while some of its requests wait."""
    return cap + cap // 4


def _earned(earned: int, ceiling: int) -> int:
    return earned + 1 if earned < ceiling else max(ceiling, earned // 2)
