"""Where the host of a URL leads now: asked when the URL is given, long before anything is sent.

Invariant: an answer takes `LOOK` seconds at most, whatever name servers do, and says nothing about when it is sent:
there every address is checked anew (`egress`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from cronally.fairness import out_of_turn
from cronally.targets.egress import EgressRefused
from cronally.targets.resolver import LookupFailed, LookupsBusy, Resolver
from cronally.targets.url import Origin

LOOK: Final = 1.0
"""Seconds that a request for a cron job waits for a name at most."""
KEPT: Final = 10.0
"""Seconds that an answer is kept: a request that is mended and sent again need not wait again."""
MAX_KEPT: Final = 1000
OF_ACCOUNT: Final = 8
"""Names of one account that are looked up at a time."""


class Hosts:
    """Looks up where hosts lead. Belongs to one event loop."""

    def __init__(self, check: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """
        :param check: raises EgressRefused for an IP address that must not be connected to
        :param clock: seconds, that never go back
        """
        self._resolver = Resolver(check, LOOK, of_account=OF_ACCOUNT)
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, OSError | None]] = OrderedDict()
        """By host: until when it holds, and what was wrong. Those that were asked for first come first."""

    async def problem(self, origin: Origin, account_id: str) -> OSError | None:
        """What is wrong with a host: EgressRefused, LookupFailed, or LookupsBusy if nothing is known of it."""
        until, problem = self._known.get(origin.host, (0.0, None))
        if self._clock() < until:
            return problem
        problem = None
        try:
            async with out_of_turn(), asyncio.timeout(LOOK):
                await self._resolver.resolve(origin.host, origin.port, account_id)
        except LookupsBusy as error:
            return error
        except TimeoutError:
            return LookupsBusy(f"there was no answer within {LOOK:g} s")
        except (EgressRefused, LookupFailed) as error:
            problem = error.with_traceback(None)
        self._known.pop(origin.host, None)
        self._known[origin.host] = self._clock() + KEPT, problem
        if len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        return problem
