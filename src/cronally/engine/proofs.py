"""Which hosts accounts have proven to be their own, as one node knows it; and the looks that see whether that holds.

Invariant: what is known is at most a step old. A firing asks no database. Proofs are looked for a few at a time, each
within the time of a request, on one node at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from functools import partial
from typing import Final

from cronally.store import Store, host_proofs
from cronally.store.host_proofs import HostProof
from cronally.targets.proving import ProvingTarget
from cronally.targets.target import Target

POLL: Final = 15.0
"""Seconds between two steps: as long a proof, or its end, may take to count."""
AT_ONCE: Final = 16
"""Looks of one step."""
PAGE: Final = 1_000
KNOWN: Final = 20_000
"""Proofs that are known: those beyond have the limits of everybody."""

_log = logging.getLogger(__name__)


class Proofs:
    """Of one node. Belongs to one event loop."""

    def __init__(
        self, store: Store, targets: Mapping[str, Target], tell: Callable[[Set[tuple[str, str]]], None]
    ) -> None:
        """
        :param tell: is told in each step which accounts have proven which hosts
        """
        self._store = store
        self._target = targets.get("http")
        self._tell = tell

    async def step(self) -> float | None:
        """Read what is proven, and look for what is to be looked for; 0 if there may be more of that."""
        now = await self._store.clock()
        self._tell(await self._read(now))
        target = self._target
        if not isinstance(target, ProvingTarget):
            return None
        due = await self._store.transact(partial(host_proofs.claim_looks, now=now, limit=AT_ONCE))
        await asyncio.gather(*[self._look(target, proof) for proof in due])
        return 0.0 if len(due) == AT_ONCE else None

    async def _look(self, target: ProvingTarget, proof: HostProof) -> None:
        found = await target.find_proof(proof.host, proof.path, proof.text, proof.account_id)
        now = await self._store.clock()
        if found.detail is None:
            await self._store.transact(partial(host_proofs.record_found, proof=proof, now=now))
            return
        record = partial(
            host_proofs.record_missed, proof=proof, now=now, detail=found.detail, final=found.final
        )
        await self._store.transact(record)

    async def _read(self, now: int) -> frozenset[tuple[str, str]]:
        proven: set[tuple[str, str]] = set()
        after: tuple[str, str] | None = None
        while len(proven) < KNOWN:
            page = await self._store.transact(
                partial(host_proofs.list_proven, now=now, after=after, limit=PAGE)
            )
            proven.update(page)
            if len(page) < PAGE:
                return frozenset(proven)
            after = page[-1]
        _log.warning("more hosts are proven than this node knows", extra={"known": len(proven)})
        return frozenset(proven)
