"""The connections of one server, bounded in number, by address, and in what waits until clients read it.

Invariant: there are never more than `most`, nor more than `per_address` from one address that is no trusted proxy.
Strangers, addresses that no signed request came from lately, have four fifths of them at most, and push out none but
each other's. No connection keeps unread answers for longer than
`READ_TIMEOUT`, and all of them together keep no more than `MAX_UNREAD` bytes of them. Of bodies each keeps `SMALL_BODY`
bytes, and all of them together `MAX_BODIES` beyond that, of which an address gets a part of what is left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from typing import Final, Protocol

from cronally.api.addresses import LOCAL, Addresses
from cronally.api.refusals import Refusals

READ_TIMEOUT: Final = 15.0
"""Seconds that a client may take to read what was sent, before a buffer of ours is empty again."""
MAX_UNREAD: Final = 32 * 1024 * 1024
"""Bytes in buffers of ours, of all connections together."""
MAX_BODIES: Final = 32 * 1024 * 1024
"""Bytes of bodies of requests that are not answered, of all connections together, beyond the first `SMALL_BODY` of
each."""
SMALL_BODY: Final = 32 * 1024
"""Bytes of bodies that a connection may hold whatever others hold."""
PARTS: Final = 8
"""One address may hold so large a part of the bytes that are left."""
RESERVED: Final = 0.2
"""The share of the connections that is kept for addresses that signed requests come from."""
KNOWN_FOR: Final = 900.0
"""Seconds that an address is known after a signed request."""
MAX_KNOWN: Final = 10_000
PATIENCE: Final = 30
"""How many times more may be refused to a known address before it is blocked: others may be behind it, as behind a
proxy that the server was not told to trust."""
LATELY: Final = 30.0
"""Seconds for which a connection that could not be accepted tells that something is wrong."""
LOOK: Final = 1.0
"""Seconds between two looks at what waits."""


_log = logging.getLogger(__name__)


class Bounded(Protocol):
    """A connection, as this looks at it."""

    transport: asyncio.Transport

    @property
    def idle(self) -> bool:
        """Whether it is open for a next request and nothing of one has come."""

    def cut_body(self) -> bool:
        """Answer that there is no room for the body that is arriving, and drop it; False if none is."""


class Connections:
    """Belongs to one event loop."""

    def __init__(
        self, refusals: Refusals, addresses: Addresses, *, most: int = 1000, per_address: int = 100
    ) -> None:
        """
        :param addresses: knows the trusted proxies, which speak for many clients
        :param most: how many connections there may be
        :param per_address: how many of one IPv4 address or IPv6 /64
        """
        self._refusals = refusals
        self._addresses = addresses
        self._most = most
        self._per_address = per_address
        self._open: dict[Bounded, str] = {}
        """With what each counts for; the oldest first."""
        self._spared: set[Bounded] = set()
        """Those that speak for many clients."""
        self._of_address: Counter[str] = Counter()
        self._strange: set[str] = set()
        """Addresses with connections that no signed request came from lately, when the last one was opened."""
        self._of_strangers = 0
        """Their connections."""
        self._known: OrderedDict[str, float] = OrderedDict()
        self._unread_since: dict[Bounded, float] = {}
        self._bodies: dict[Bounded, int] = {}
        """The bytes that each holds beyond the small part; who began first stands first."""
        self._held = 0
        self._held_of: Counter[str | Bounded] = Counter()
        """By address; connections of proxies and of sockets without an address each count for themselves."""
        self._failed: tuple[float, str] | None = None
        self._look_at: asyncio.TimerHandle | None = None

    def admit(self, connection: Bounded, peer: str | None) -> bool:
        """Whether a new connection may stay. Of one that may, `leave` must be called."""
        address, proxy = self._addresses.of_peer(peer)
        spared = proxy or address == LOCAL
        if not spared and self._of_address[address] >= self._per_address:
            return self._refuse("address_connections", address)
        known = spared or self.is_known(address)
        self._class(address, strange=not known)
        full = len(self._open) >= self._most
        if not known:
            full |= self._of_strangers >= self._most - int(self._most * RESERVED)
        if full and not (self._make_room(strange=True) or (known and self._make_room(strange=False))):
            if not self._of_address[address]:
                self._strange.discard(address)  # nothing of it will leave
            return self._refuse("connections", address)
        # Anew: the one that made room may have been the last of this very address.
        self._class(address, strange=not known)
        self._open[connection] = address
        self._of_address[address] += 1
        self._of_strangers += not known
        if spared:
            self._spared.add(connection)
        if self._look_at is None:
            self._look_at = asyncio.get_running_loop().call_later(LOOK, self._look)
        return True

    def blocked(self, peer: str | None) -> bool:
        """Whether connections from an address are closed at once, for what was refused to it."""
        if not self.is_blocked(peer):
            return False
        # Who goes on is not let in again.
        self._refusals.note("blocked_address", self._addresses.of_peer(peer)[0])
        return True

    def is_blocked(self, peer: str | None) -> bool:
        """Whether too much was refused to an address. A proxy is none: it speaks for others."""
        address, proxy = self._addresses.of_peer(peer)
        return not proxy and self._refusals.too_many(address, PATIENCE if self.is_known(address) else 1)

    def refused(self, what: str, peer: str | None, *, at_fault: bool = True) -> None:
        """Something that came over a connection was refused.

        :param at_fault: whether it counts against the address
        """
        self._refusals.note(what, self._addresses.of_peer(peer)[0], at_fault=at_fault)

    def leave(self, connection: Bounded) -> None:
        """A connection was closed."""
        if connection not in self._open:
            return
        self._hold(connection, self._holder(connection), 0)
        address = self._open.pop(connection)
        self._spared.discard(connection)
        self._unread_since.pop(connection, None)
        self._of_address[address] -= 1
        self._of_strangers -= address in self._strange
        if not self._of_address[address]:
            del self._of_address[address]
            self._strange.discard(address)

    def know(self, address: str) -> None:
        """A signed request came from here."""
        self._known[address] = time.monotonic()
        self._known.move_to_end(address)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        self._class(address, strange=False)

    def _class(self, address: str, *, strange: bool) -> None:
        """Count the connections of an address as those of a stranger, or not."""
        if strange == (address in self._strange):
            return
        if strange:
            self._strange.add(address)
            self._of_strangers += self._of_address[address]
        else:
            self._strange.discard(address)
            self._of_strangers -= self._of_address[address]

    def not_accepted(self, problem: OSError) -> None:
        """A connection could not be accepted, as when the process has no file descriptors left."""
        _log.error("a connection could not be accepted", extra={"problem": problem.strerror})
        self._refusals.note("accept_failed", LOCAL)
        self._failed = (time.monotonic(), problem.strerror or type(problem).__name__)

    def failed_lately(self) -> str | None:
        """Why a connection could not be accepted in the last `LATELY` seconds; None if all could."""
        if self._failed is None or self._failed[0] <= time.monotonic() - LATELY:
            return None
        return self._failed[1]

    def unread(self, connection: Bounded) -> None:
        """A client reads more slowly than it is answered. Cut those that wait longest if it is too much."""
        self._unread_since.setdefault(connection, time.monotonic())
        sizes = {one: one.transport.get_write_buffer_size() for one in self._unread_since}
        total = sum(sizes.values())
        for one in list(self._unread_since):
            if total <= MAX_UNREAD:
                return
            total -= sizes[one]
            self._cut(one)

    def holds(self, connection: Bounded, size: int) -> bool:
        """A connection holds so many bytes of bodies. False if it must drop the one that is arriving.

        An address holds no more than a part of what is left, so some always is. Where it holds more, bodies are cut
        that are still arriving, of those who hold as much or more: who sends slowly pays first. To be called before a
        body is complete; what is complete is never dropped.
        """
        holder = self._holder(connection)
        grows = self._hold(connection, holder, max(0, size - SMALL_BODY))
        if not grows or self._fits(holder):
            return True
        for one in list(self._bodies):
            if one is connection:
                return False
            mine, other = self._held_of[holder], self._held_of[self._holder(one)]
            if other >= mine and one.cut_body() and self._fits(holder):
                return True
        return False

    def _fits(self, holder: str | Bounded) -> bool:
        return self._held_of[holder] * PARTS <= MAX_BODIES - self._held

    def _holder(self, connection: Bounded) -> str | Bounded:
        """Who the bytes of a connection count for."""
        return connection if connection in self._spared else self._open.get(connection, LOCAL)

    def _hold(self, connection: Bounded, holder: str | Bounded, size: int) -> bool:
        """Count what a connection holds beyond the small part. Whether that is more than before."""
        more = size - self._bodies.get(connection, 0)
        self._held += more
        self._held_of[holder] += more
        if not self._held_of[holder]:
            del self._held_of[holder]
        if size:
            self._bodies[connection] = size
        else:
            self._bodies.pop(connection, None)
        return more > 0

    def is_known(self, address: str) -> bool:
        """Whether a signed request came from an address lately."""
        return self._known.get(address, 0.0) > time.monotonic() - KNOWN_FOR

    def _look(self) -> None:
        """Cut the connections whose clients do not read."""
        now = time.monotonic()
        for connection in list(self._open):
            if not connection.transport.get_write_buffer_size():
                self._unread_since.pop(connection, None)
            elif self._unread_since.setdefault(connection, now) <= now - READ_TIMEOUT:
                self._cut(connection)
        self._look_at = asyncio.get_running_loop().call_later(LOOK, self._look) if self._open else None

    def _cut(self, connection: Bounded) -> None:
        self._refusals.note("unread_answer", self._open.get(connection, ""))
        self._unread_since.pop(connection, None)
        connection.transport.abort()

    def _make_room(self, *, strange: bool) -> bool:
        """Close the oldest idle connection, of strangers or of others, if there is one."""
        for connection, address in self._open.items():
            if (address in self._strange) is strange and connection.idle:
                if connection.transport.is_closing():
                    continue
                connection.transport.abort()
                self.leave(connection)
                return True
        return False

    def _refuse(self, what: str, address: str) -> bool:
        self._refusals.note(what, address)
        return False
