"""Host names to addresses, each lookup in a thread of its own.

Invariant: a lookup that hangs holds up neither the event loop nor the end of the process, and a name is answered
with addresses that are all allowed, or with an error.

The event loop's own resolver uses its default executor: 6 threads on two cores, shared with everything else, that
are waited for at exit. A few names whose servers do not answer would stop every tenant's lookups.
"""

from __future__ import annotations

import _thread
import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, NamedTuple

from cronally.fairness import Taken

MAX_LOOKUPS: Final = 512
"""At a time. Many, because a lookup outlives its request: a request gives up after 5 s, and the system's resolver after
half a minute. Each is a thread, asleep."""
MAX_LOOKUPS_OF_ACCOUNT: Final = 64
"""At a time. So an account whose names are never answered for holds up its own names alone."""
PATIENCE: Final = 0.6
"""Of the time that a request has for its connection, a lookup waits so much for its turn. None waits longer: lookups
that are no longer wanted would be in the way of those that come after."""


class LookupFailed(OSError):
    """A name has no address. The text is for the account to read."""


class LookupsBusy(LookupFailed):
    """A name was not looked up: too many are, of this node's. That says nothing of the name."""


class Address(NamedTuple):
    """Where a socket can be connected to."""

    family: socket.AddressFamily
    ip: str
    port: int


class Resolver:
    """The system's resolver, behind an optional check of the answers."""

    def __init__(
        self,
        check: Callable[[str], None] | None = None,
        connect_timeout: float = 5.0,
        of_account: int | None = None,
    ) -> None:
        """
        :param check: raises OSError for an address that must not be connected to
        :param connect_timeout: seconds that a request has for its connection
        :param of_account: lookups of one account at a time; `MAX_LOOKUPS_OF_ACCOUNT` by default
        """
        self._of_account = MAX_LOOKUPS_OF_ACCOUNT if of_account is None else of_account
        self._patience = PATIENCE * connect_timeout
        self._check = check
        self._taken = Taken()
        self._waiting: list[asyncio.Future[None]] = []

    async def resolve(self, host: str, port: int, account_id: str = "") -> list[Address]:
        """All addresses of a host name or an IP address.

        Raises LookupFailed if there are none, LookupsBusy if too many names are being looked up, of this account or
        of all, or no thread can be started for it, and what the check raises if it refuses any.
        """
        try:
            family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
            addresses = [Address(family, host, port)]
        except ValueError:
            addresses = await self._look_up(host, port, account_id)
        if self._check is not None:
            for address in addresses:
                self._check(address.ip)
        return addresses

    async def _look_up(self, host: str, port: int, account_id: str) -> list[Address]:
        try:
            async with asyncio.timeout(self._patience):
                await self._take_turn(account_id)
        except TimeoutError:
            raise LookupsBusy("too many host names are being looked up") from None
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Address]] = loop.create_future()

        def settle(addresses: list[Address]) -> None:
            self._give_back(account_id)  # not when the request is over: what is counted are threads
            if found.done():
                return
            if addresses:
                found.set_result(addresses)
            else:
                found.set_exception(LookupFailed("the host name does not resolve"))

        def work() -> None:
            addresses = _get_addresses(host, port)
            with suppress(RuntimeError):  # the loop is closed: nothing waits any more
                loop.call_soon_threadsafe(settle, addresses)

        try:
            # Not `Thread.start`, which waits until the thread runs: the loop, and so everybody, would wait for it.
            _thread.start_new_thread(work, ())
        except RuntimeError:  # the machine, or its container, has no more threads to give
            self._give_back(account_id)
            raise LookupsBusy("the server has no thread left to look the host name up") from None
        return await found

    async def _take_turn(self, account_id: str) -> None:
        while self._taken.by(account_id) >= self._of_account or not self._taken.admits(
            account_id, MAX_LOOKUPS
        ):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._taken.take(account_id)

    def _give_back(self, account_id: str) -> None:
        self._taken.give_back(account_id)
        # Who may go now depends on whose they are: each looks for itself.
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            if not turn.done():
                turn.set_result(None)


def _get_addresses(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [Address(family, str(address[0]), port) for family, _, _, _, address in found]
