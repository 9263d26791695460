"""How what is scarce is shared out among accounts.

Invariants: whatever some accounts do, they leave a quarter to the others: to those that have none of it, one each. What
waits goes account by account, so an account is behind as many things as there are accounts, not as there are things.

Who asks for work is known to what starts it; what shares out time further down finds it in `ASKER`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final, Generic, Protocol, TypeVar

T = TypeVar("T")


class Asker(Protocol):
    """Whom work is done for."""

    asker: str
    """The id of an account, or the address of a client without one."""

    def count(self, seconds: float) -> None:
        """Count seconds that were spent for it in another thread. To be called in its event loop."""

    def settle(self) -> None:
        """Give back what it holds of what is scarce: it waits for somebody else."""

    async def take(self) -> None:
        """Wait until it may go on."""


ASKER: Final[ContextVar[Asker | None]] = ContextVar("asker", default=None)
"""Whom the running task works for; None: for nobody in particular."""


@asynccontextmanager
async def out_of_turn() -> AsyncIterator[None]:
    """Let others go on while what is out there is waited for. What follows the block waits for the next turn."""
    asker = ASKER.get()
    if asker is not None:
        asker.settle()
    try:
        yield
    except Exception:
        if asker is not None:
            await asker.take()
        raise
    if asker is not None:
        await asker.take()


class Taken:
    """How much of what is scarce is taken, and by whom."""

    __slots__ = ("_by", "_total")

    def __init__(self) -> None:
        self._by: Counter[str] = Counter()
        self._total = 0

    def __bool__(self) -> bool:
        return self._total > 0

    def by(self, account_id: str) -> int:
        """How much an account has."""
        return self._by[account_id]

    def admits(self, account_id: str, limit: int) -> bool:
        """Whether an account may take one more, of `limit` altogether."""
        return self._total < limit - limit // 4 or (self._total < limit and not self._by[account_id])

    def take(self, account_id: str) -> None:
        """An account takes one."""
        self._by[account_id] += 1
        self._total += 1

    def give_back(self, account_id: str) -> None:
        """An account gives one back."""
        self._total -= 1
        self._by[account_id] -= 1
        if not self._by[account_id]:
            del self._by[account_id]


class Rotation(Generic[T]):
    """What waits, of each account in the order in which it came, and accounts in turn."""

    __slots__ = ("_count", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        """The account that is next comes first."""
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, account_id: str, item: T) -> None:
        """Let one more wait."""
        self._waiting.setdefault(account_id, deque()).append(item)
        self._count += 1

    def take(self) -> T:
        """What is next; it waits no more. Raises StopIteration if nothing waits."""
        account_id, items = next(iter(self._waiting.items()))
        item = items.popleft()
        self._count -= 1
        if items:
            self._waiting.move_to_end(account_id)
        else:
            del self._waiting[account_id]
        return item
