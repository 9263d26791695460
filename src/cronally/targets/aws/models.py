"""What botocore knows of an operation, found by another process and kept within bounds.

Invariant: nothing that is asked for makes this process read the description of a whole service (`extract`). One such
program runs at a time, accounts take turns, and it has an end; what it found is kept, the longest unused goes first.

Source: the data that botocore carries: https://github.com/boto/botocore/tree/develop/botocore/data
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from cronally.fairness import ASKER, Rotation
from cronally.targets.aws import extract
from cronally.targets.aws.operation import Operation, Service

MAX_BYTES: Final = 8 * 1024 * 1024
"""Of the texts of descriptions that are kept. What is made of them is about eight times as large."""
MAX_EXTRACT: Final = 4 * 1024 * 1024
"""Of one."""
MAX_SERVICES: Final = 64
"""Whose rules for endpoints are kept."""
PATIENCE: Final = 20.0
"""Seconds that one extract may take; on one busy core the largest takes two."""
MAX_WAITING: Final = 64
"""Extracts that are waited for."""

# botocore writes inputs and answers to its log if that is asked for the details.
logging.getLogger("botocore").setLevel(logging.INFO)


class ModelsBusy(Exception):
    """What is known of an operation could not be found now. The text says why."""


@cache
def services() -> Mapping[str, Path]:
    """The folder of the newest version of each service, by its name. Read from disk at the first call, then kept."""
    found = {}
    for folder in Path(str(files("botocore").joinpath("data"))).iterdir():
        versions = [each for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
        with_model = [each for each in versions if (each / "service-2.json.gz").is_file()]
        if with_model:
            found[folder.name] = max(with_model)
    return found


def check_service(name: str) -> str | None:
    """What is wrong with the name of a service: the end of a sentence that says what to give."""
    if name in services():
        return None
    return f"is no service of AWS that is known here; {_nearest(name, [*services()], 'sqs or dynamodb')}"


def _nearest(text: str, names: list[str], example: str) -> str:
    by_small = {name.lower(): name for name in names}
    near = get_close_matches(text[:64].strip().lower(), by_small, n=3, cutoff=0.5)
    said = " or ".join(by_small[name] for name in near)
    return f"did you mean {said}?" if near else f"give its name in AWS's CLI, such as {example}"


class Models:
    """Operations by service and name. Belongs to one event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[Operation | str, int]] = OrderedDict()
        self._services: OrderedDict[str, Service] = OrderedDict()
        self._size = 0
        self._waiting: Rotation[asyncio.Future[None]] = Rotation()
        self._waits = 0
        self._busy = False
        self._thread: ThreadPoolExecutor | None = None

    def known(self, service: str, action: str) -> Operation | str | None:
        """As `get`, without waiting: None for what is not kept."""
        found = self._kept.get((service, action))
        if found is None:
            return None
        self._kept.move_to_end((service, action))
        return found[0]

    async def get(self, service: str, action: str, account_id: str) -> Operation | str:
        """An operation; or, where there is none, the end of a sentence about its name. Raises ModelsBusy.

        :param service: one of `services`
        :param account_id: who asks for it
        """
        found = self.known(service, action)
        if found is not None:
            return found
        await self._take_turn(account_id)
        try:
            found = self.known(service, action)  # somebody may have found it meanwhile
            return await self._find(service, action) if found is None else found
        finally:
            self._pass_on()

    async def close(self) -> None:
        """Wait for the program that runs, if one does, and end its thread."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            await asyncio.to_thread(thread.shutdown)

    async def _take_turn(self, account_id: str) -> None:
        if not self._busy:
            self._busy = True
            return
        if self._waits >= MAX_WAITING:
            raise ModelsBusy("too many operations of AWS are looked up; try again")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.add(account_id, turn)
        self._waits += 1
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was this one's turn
                self._pass_on()
            raise
        finally:
            self._waits -= 1

    async def _find(self, service: str, action: str) -> Operation | str:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "aws-models")
        loop, begun = asyncio.get_running_loop(), time.monotonic()
        text, rules = await loop.run_in_executor(self._thread, _run, services()[service], action)
        asker = ASKER.get()
        if asker is not None:
            asker.count(time.monotonic() - begun)
        found = json.loads(text)
        kept: Operation | str
        if "model" in found:
            kept = Operation(self._service(service, found, rules), action, found)
        else:
            names = found["operations"]
            kept = f"is no operation of {service}; {_nearest(action, names, ' or '.join(names[:2]))}"
        size = len(text) if "model" in found else 1024
        self._kept[service, action] = (kept, size)
        self._size += size
        while self._size > MAX_BYTES and len(self._kept) > 1:
            _, (_, freed) = self._kept.popitem(last=False)
            self._size -= freed
        return kept

    def _service(self, name: str, found: Mapping[str, Any], rules: bytes) -> Service:
        known = self._services.pop(name, None) or Service(name, found["model"], json.loads(rules))
        self._services[name] = known
        if len(self._services) > MAX_SERVICES:
            self._services.popitem(last=False)
        return known

    def _pass_on(self) -> None:
        """Let the next one go on. Until it does, it counts as busy: nobody comes between."""
        while self._waiting:
            turn = self._waiting.take()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


def _run(folder: Path, action: str) -> tuple[bytes, bytes]:
    """The two lines that the program prints. Raises ModelsBusy."""
    argv = [sys.executable, "-I", "-S", str(extract.__file__), str(folder), action]
    try:
        done = subprocess.run(  # noqa: S603 - our own program, and an action of letters and digits
            argv, capture_output=True, timeout=PATIENCE, check=True, env={}, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        raise ModelsBusy("the operation of AWS could not be looked up; try again") from None
    if len(done.stdout) > MAX_EXTRACT:
        raise ModelsBusy("the operation of AWS is larger than this server can take")
    operation, rules = done.stdout.splitlines()
    return operation, rules
