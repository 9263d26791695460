"""Host names to addresses, each lookup in a thread of its own.

Invariant: a lookup that hangs holds up neither the event loop nor the end of the process, and a name is answered
with addresses that are all allowed, or with an error.

The event loop's own resolver uses its default executor: 6 threads on two cores, shared with everything else, that
are waited for at exit. A few names whose servers do not answer would stop every tenant's lookups.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

MAX_LOOKUPS: Final = 512
"""At a time; more wait. Many, because a lookup outlives its request: a tenant whose names are never answered for has
64 requests at a time, each gives up after 5 s, and the system's resolver after half a minute. That is 384 threads,
asleep, and the other tenants' names must still find one."""
PATIENCE: Final = 5.0
"""Seconds that a lookup waits for its turn. None waits longer: lookups that are no longer wanted would be in the
way of those that come after."""


class Resolver(AbstractResolver):
    """The system's resolver, behind an optional check of the answers."""

    def __init__(self, check: Callable[[str], None] | None = None) -> None:
        """
        :param check: raises OSError for an address that must not be connected to
        """
        self._check = check
        self._free = asyncio.Semaphore(MAX_LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of the host. Raises OSError if there are none, or if the check refuses any."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise OSError("too many host names are being looked up") from None
        try:
            # Not cancelled by a timeout of the request: aiohttp shields it, so the semaphore counts threads.
            found = await _lookup(host, port, family)
        finally:
            self._free.release()
        results: list[ResolveResult] = []
        for kind, _, protocol, _, address in found:
            if self._check is not None:
                self._check(str(address[0]))
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(address[0]),
                    port=port,
                    family=kind,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        if not results:
            raise OSError("the host name has no address")
        return results

    async def close(self) -> None:
        """Nothing is kept."""


_AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


async def _lookup(host: str, port: int, family: socket.AddressFamily) -> list[_AddressInfo]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[_AddressInfo]] = loop.create_future()

    def settle(found: list[_AddressInfo] | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def work() -> None:
        found: list[_AddressInfo] | None = None
        error: Exception | None = None
        try:
            found = list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except OSError as failure:
            error = failure
        except UnicodeError:
            error = OSError("no host name")
        with suppress(RuntimeError):  # the loop is closed: nothing waits any more
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=work, name="cronally-resolver", daemon=True).start()
    return await answer
