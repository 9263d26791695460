"""The memory of a server: how much it holds, how much it may, and whether new requests are refused for it.

Invariant: what fires never waits for memory that requests hold. Above the limit new requests are refused until the
server holds less again, or until it is plain that refusing frees nothing more.

Freed memory stays with the process while the C library thinks that it will be needed again. So the library is asked to
give it back; and what is still held when every request that had begun has ended counts as used for good: requests are
admitted again, and refused anew only when the process grows beyond that. Else one peak could refuse them for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from cronally import errors

LOOK: Final = 1.0
"""Seconds between two looks."""
SHARE: Final = 0.8
"""Of a control group's limit, which also counts what the kernel holds for the process's sockets and files."""
RELIEF: Final = 0.95
"""The share of the limit below which requests are admitted again."""
PATIENCE: Final = 60.0
"""Seconds. Every request that had begun has ended by then: a body has 30 s to arrive, an answer 15 s to be read."""
GROWTH: Final = 0.05
"""By how much, as a share of the limit, the process may grow beyond what it holds for good."""
TRIM: Final = 15.0
"""Seconds between two times that memory is given back: the C library is locked meanwhile."""
NO_LIMIT: Final = 1 << 60
"""Bytes. Control groups of version 1 say that there is no limit with a number close to 2**63."""

_log = logging.getLogger(__name__)


def resident(also: Iterable[int] = ()) -> int | None:
    """The bytes that this process holds in memory; None on a system that does not tell: one without /proc.

    :param also: the ids of processes that count too, as long as they live
    """
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return None
    for pid in also:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def choose_limit(setting: int | None, processes: int = 1) -> int | None:
    """The bytes above which requests are refused. Raises `errors.SettingsError` for fewer than are held already.

    :param setting: what the operator wants; 0 for no limit, None for a share of the control group's
    :param processes: how many processes like this one there will be
    """
    if setting is None:
        group = cgroup_limit()
        return None if group is None else int(group * SHARE)
    if setting == 0:
        return None
    held = resident()
    if held is None:
        _log.warning(
            "this system does not tell what memory the process holds: CRONALLY_MEMORY_LIMIT has no effect"
        )
    elif setting <= held * processes:
        raise errors.SettingsError(
            f"CRONALLY_MEMORY_LIMIT: the server holds {held * processes >> 20} MiB before it has done anything; give it"
            " more, or 0 for no limit"
        )
    return setting


def cgroup_limit(root: Path = Path("/")) -> int | None:
    """The least limit of the control groups that this process is in, in bytes; None if there is none.

    :param root: where /proc and /sys are
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounted, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mounted, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be the host's, while what is mounted begins at the container's own group.
        group = PurePosixPath(path.lstrip("/"))
        limits += [_read_limit(mounted / each / name) for each in (group, *group.parents)]
    return min((limit for limit in limits if limit is not None and limit < NO_LIMIT), default=None)


def _read_limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # it is not there, or says "max"
        return None


def give_back() -> None:
    """Let the C library return what is free to the system, where it can (glibc). May take tens of milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Memory:
    """Watches what this process holds, and others of the same server."""

    def __init__(
        self,
        limit: int | None,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
        also: Sequence[int] = (),
    ) -> None:
        """
        :param limit: bytes; None never refuses
        :param also: the ids of the other processes
        :param clock: seconds, that never go back
        """
        self._limit = math.inf if limit is None else limit
        self._clock = clock
        self._also = also
        # More than this is too much: more than the limit where that much is held for good.
        self._most = self._limit
        self._short_since: float | None = None
        self._trimmed_at = -TRIM
        self._held = Gauge("cronally_memory_bytes", "Resident memory of the server", registry=registry)
        short = Gauge(
            "cronally_memory_short", "1 while new requests are refused for want of memory", registry=registry
        )
        short.set_function(lambda: float(self.is_short))

    @property
    def is_short(self) -> bool:
        """Whether new requests are refused. May be asked from any thread."""
        return self._short_since is not None

    async def step(self) -> float:
        """Look once; return the seconds to pause."""
        held = resident(self._also)
        if held is None:
            return LOOK
        if held > self._limit * RELIEF and self._clock() - self._trimmed_at >= TRIM:
            self._trimmed_at = self._clock()
            # In a thread: what fires does not wait for it.
            await asyncio.to_thread(give_back)
            held = resident(self._also) or held
        self._held.set(held)
        self._judge(held)
        return LOOK

    def _judge(self, held: int) -> None:
        told = {"resident": held, "limit": self._limit}
        if held <= self._limit * RELIEF:
            self._most = self._limit
            if self.is_short:
                self._short_since = None
                _log.warning("there is memory again: requests are admitted", extra=told)
        elif self._short_since is None:
            if held > self._most:
                self._short_since = self._clock()
                _log.warning("short of memory: new requests are refused", extra=told)
        elif self._clock() - self._short_since >= PATIENCE:
            self._short_since = None
            self._most = max(self._limit, held + self._limit * GROWTH)
            _log.warning("refusing frees no more memory: requests are admitted", extra=told)
