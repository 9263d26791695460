"""Another release of the zone data for tests: the packaged one, with the rules of some zones changed.

Invariant: whatever a test swaps in is swapped out with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

from cronally.clock import zones
from cronally.clock.zones import Release

OLDER, NEWER = "2026a", "2099z"
"""Versions around every one that may be installed here."""


def always(offset: int) -> bytes:
    """The file of a zone that has had one offset since 1970, in seconds east of UTC."""
    return _file(offset, [])


def with_change(before: int, at: int, after: int) -> bytes:
    """The file of a zone whose offset changes once, at a second since 1970."""
    return _file(before, [(at, after)])


def _posix(offset: int) -> str:
    sign = "-" if offset >= 0 else "+"  # POSIX counts west of Greenwich as positive
    minutes, seconds = divmod(abs(offset), 60)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _file(first: int, changes: list[tuple[int, int]]) -> bytes:
    offsets = [first, *(offset for _, offset in changes)]
    footer = f"<ZON>{_posix(offsets[-1])}"
    counts = struct.pack(">6l", 0, 0, 0, len(changes), len(offsets), 4)
    body = b"".join(struct.pack(">q", at) for at, _ in changes)
    body += bytes(range(1, len(offsets)))
    body += b"".join(struct.pack(">lBB", offset, 0, 0) for offset in offsets) + b"ZON\0"
    empty = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    old = b"TZif2" + bytes(15) + empty + struct.pack(">lBB", first, 0, 0) + b"ZON\0"
    return old + b"TZif2" + bytes(15) + counts + body + b"\n" + footer.encode("ascii") + b"\n"


@contextmanager
def release(version: str, changed: dict[str, bytes] | None = None) -> Iterator[None]:
    """Answer from a release that differs from the packaged one in version and in some zones."""
    before = zones.use(make(version, changed))
    try:
        yield
    finally:
        zones.use(before)


def make(version: str, changed: dict[str, bytes] | None = None) -> Release:
    """Such a release."""
    packaged = files("tzdata").joinpath("zoneinfo")
    changed = changed or {}

    def read(name: str) -> bytes:
        return changed[name] if name in changed else packaged.joinpath(*name.split("/")).read_bytes()

    return Release(version, _names, read)


def _names() -> list[str]:
    return files("tzdata").joinpath("zones").read_text().split()
