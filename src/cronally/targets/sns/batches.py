"""Which firings go out in one `PublishBatch`.

Invariant: what is put together has the same standard topic, region and credentials, and is within both of SNS's
limits; every firing is in exactly one batch, if need be in one of its own. No secret is kept, only hashes are.

A FIFO topic's firings go out one by one: a batch that fails in part would change their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from cronally.contract.sns import SNS_TOPIC_SIZE
from cronally.targets.credentials import Credentials, credentials_of
from cronally.targets.sns import parameters as sns_parameters
from cronally.targets.sns.forms import MAX_ENTRIES, size
from cronally.targets.target import Destination, Sending

MAX_BYTES: Final = SNS_TOPIC_SIZE
"""Of all messages of a batch together, attributes included; fewer for a topic that says that it takes fewer."""
REFUSED_FOR: Final = 600.0
"""Seconds for which what was refused as a batch is sent one by one. A policy that is put right is found out by then."""
_MAX_REFUSED: Final = 4096

_Key = tuple[str, ...]


class Batches:
    """Puts firings together, and remembers for whom SNS refuses that."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """
        :param clock: seconds, that never go back
        """
        self._clock = clock
        # By hash, in the order of their ends.
        self._refused: dict[bytes, float] = {}

    def split(self, sendings: Sequence[Sending]) -> list[list[int]]:
        """The places in `sendings` of what goes out together; each place stands once, in order within its batch."""
        batches: list[list[int]] = []
        growing: dict[_Key, tuple[list[int], int, int]] = {}
        for place, (destination, message) in enumerate(sendings):
            key = _key(destination)
            if key is None or (self._refused and self._is_refused(key)):
                batches.append([place])
                continue
            adding = size(destination.public, message)
            most = min(MAX_BYTES, destination.public.get(sns_parameters.MAX_SIZE, MAX_BYTES))
            batch, total, least = growing.get(key, ([], 0, MAX_BYTES))
            least = min(least, most)
            if not batch or len(batch) == MAX_ENTRIES or total + adding > least:
                batch, total, least = [], 0, most
                batches.append(batch)
            batch.append(place)
            growing[key] = (batch, total + adding, least)
        return batches

    def refuse(self, destination: Destination) -> None:
        """Remember that a batch to this destination was refused."""
        key = _key(destination)
        if key is None:
            return
        hashed = _hash(key)
        self._refused.pop(hashed, None)
        if len(self._refused) >= _MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[hashed] = self._clock() + REFUSED_FOR

    def _is_refused(self, key: _Key) -> bool:
        hashed = _hash(key)
        until = self._refused.get(hashed)
        if until is None:
            return False
        if self._clock() < until:
            return True
        del self._refused[hashed]
        return False


def _key(destination: Destination) -> _Key | None:
    """What firings must have in common to go out together; None if they never do."""
    public = destination.public
    topic = public[sns_parameters.TOPIC]
    keys = None if topic.endswith(".fifo") else credentials_of(destination, sns_parameters.NAME)
    role = () if destination.role is None else (destination.role.arn, destination.role.external_id)
    if keys is None and role and not topic.endswith(".fifo"):
        keys = Credentials("", "", None)  # Cronally's own, which are the same for all
    if keys is None:
        return None
    return (
        topic,
        public[sns_parameters.REGION],
        keys.access_key_id,
        keys.secret_access_key,
        keys.session_token or "",
        *role,
    )


def _hash(key: _Key) -> bytes:
    return sha256("\0".join(key).encode()).digest()
