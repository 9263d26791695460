"""A clock that a test moves, for real processes: `libfaketime` answers in the place of the machine's clock.

Invariant: only the wall clock is moved. What measures time that passes (monotonic, boot time) stays the machine's. The
library comes with the `libfaketime` wheel or Debian's package; where there is none that this machine can load, the
tests that need it fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

_HOUR = 3600.0


class WrongClock:
    """The clock of the processes that are started with `environ`."""

    def __init__(self, folder: Path) -> None:
        """
        :param folder: gets the library and the file that moves the clock, for the processes to read
        """
        found = library()
        if found is None:
            pytest.fail("libfaketime is not there, or does not run here: make setup installs it")
        self._file = folder / "clock"
        copy = folder / "libfaketime.so.1"
        shutil.copy(found, copy)
        copy.chmod(0o755)
        self.environ = _environ(copy, self._file)
        self.move(0)

    def move(self, seconds: float) -> None:
        """Let it be so far ahead of the machine's (behind, if negative) from now on."""
        _write(self._file, seconds)


@cache
def library() -> Path | None:
    """libfaketime, tried; None where there is none."""
    found = [*Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")]
    spec = find_spec("libfaketime")
    if spec is not None and spec.origin is not None:
        found += Path(spec.origin).parent.glob("vendor/libfaketime/src/libfaketime.so.1")
    return next((path for path in found if _works(path)), None)


def _works(path: Path) -> bool:
    read = "import time; print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    environ = {**_environ(path, None), "FAKETIME": f"+{_HOUR:.0f}"}
    before = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        done = subprocess.run(
            [sys.executable, "-c", read], env=environ, capture_output=True, text=True, timeout=30
        )
        moved, passed = map(float, done.stdout.split())
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False
    return moved - before[0] > _HOUR - 60 and passed - before[1] < 60


def _environ(path: Path, file: Path | None) -> dict[str, str]:
    environ = {
        "LD_PRELOAD": os.fspath(path),
        "FAKETIME_NO_CACHE": "1",
        # One release knows the one name, another the other.
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return environ if file is None else {**environ, "FAKETIME_TIMESTAMP_FILE": os.fspath(file)}


def _write(file: Path, seconds: float) -> None:
    # Whole or not at all: it is read whenever a process asks for the time.
    new = file.with_suffix(".new")
    new.write_text(f"{seconds:+.3f}\n")
    new.chmod(0o644)
    new.replace(file)
