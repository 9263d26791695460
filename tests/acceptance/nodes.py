"""Nodes: real `cronally serve` processes over one database, which a test starts, signals, freezes and kills.

Invariant: a node sees a home of its own and only the settings that it is given, and never outlives its test
(`tests.support.server_process`). Its lease is short, so that what a killed node held is free again in two seconds.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.cronally_server import CLI
from tests.support.processes import children, measured
from tests.support.server_process import ServerProcess, http_answers, server_process

LEASE: Final = 2.0
"""Seconds; the shortest that the settings allow."""
REQUEST_TIMEOUT: Final = 1.0
ENGINE: Final = ("scheduler", "dispatcher")
EVERYTHING: Final = ("api", *ENGINE)

_STARTED: Final = re.compile(r'"event": ?"started"')
_LISTENING: Final = re.compile(r'"url": ?"(http://[^"]+)"')

_numbers = itertools.count(1)


PATIENT: Final = {"CRONALLY_LEASE": "45s", "CRONALLY_REQUEST_TIMEOUT": "30s"}
"""Settings of nodes of which none is killed: a receiver on a busy machine may take its time."""


@dataclass(frozen=True)
class Cluster:
    """What the nodes of one test share."""

    url: str
    """Of the database."""
    keys: str = field(repr=False)
    """The sealing keys."""
    sns: str
    """The SNS endpoint."""
    folder: Path
    """Gets the nodes' logs."""

    @contextlib.contextmanager
    def node(
        self,
        *,
        roles: Sequence[str] = ENGINE,
        port: int = 0,
        crash_at: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Iterator[Node]:
        """Start a node that runs for the length of the block, if it lives so long.

        :param port: where its API listens; any that is free if 0
        :param crash_at: where it kills itself: a name of `failpoints.POINTS`, with `:n` at the n-th time
        :param settings: more of them, before the short ones that nodes of tests have
        """
        name = f"node-{next(_numbers)}"
        environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.fspath(self.folder),
            "CRONALLY_DATABASE_URL": self.url,
            "CRONALLY_SEALING_KEYS": self.keys,
            "AWS_ENDPOINT_URL_SNS": self.sns,
            "CRONALLY_LEASE": f"{LEASE:.0f}s",
            "CRONALLY_REQUEST_TIMEOUT": f"{REQUEST_TIMEOUT:.0f}s",
            "CRONALLY_SHUTDOWN_GRACE": "3s",
            **measured(),
            **(settings or {}),
        }
        if crash_at is not None:
            environ["CRONALLY_CRASH_AT"] = crash_at
        argv = [*CLI, "serve", "--port", str(port), *(word for role in roles for word in ("--role", role))]
        log = self.folder / f"{name}.log"
        with server_process(argv, log=log, env=environ, cwd=self.folder) as process:
            yield Node(process, roles)


def most_held(in_flight: int) -> int:
    """How many firings a node may hold: as many as it sends at once, and fewer than that waiting to be recorded."""
    return 2 * in_flight - 1


class Node:
    """One running server. Made by `Cluster.node`."""

    def __init__(self, process: ServerProcess, roles: Sequence[str]) -> None:
        self.process = process
        self._roles = roles
        self._url: str | None = None

    def wait_until_started(self) -> Node:
        """Return once it is at work, and answers if it has an API."""
        self.process.wait_until(lambda: _STARTED.search(self.process.output()))
        if "api" in self._roles:
            self.process.wait_until(http_answers(self.url + "/readyz"))
        return self

    @property
    def url(self) -> str:
        """Where its API is."""
        if self._url is None:
            self.process.wait_until(lambda: _LISTENING.search(self.process.output()))
            found = _LISTENING.search(self.process.output())
            assert found
            self._url = found[1]
        return self._url

    def api_pid(self) -> int:
        """The process of its API, where that has one of its own."""
        self.process.wait_until(lambda: children(self.process.pid))
        (pid,) = children(self.process.pid)
        return pid

    def ask(self, path: str) -> dict[str, Any]:
        """What its API answers to a question that needs no account."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path, timeout=30) as answer:
            response: dict[str, Any] = json.loads(answer.read())["response"]
        return response

    def wait_until_killed(self, *, seconds: float = 60.0) -> None:
        """Wait for the node to kill itself at its crash point."""
        code = self.process.wait(seconds)
        assert code == -signal.SIGKILL, f"it ended with {code}:\n{self.process.output()[-4000:]}"

    def stop(self, *, seconds: float = 60.0) -> float:
        """Ask it to end once it has started, expect that it ends well, and return the seconds that it took."""
        self.process.wait_until(lambda: _STARTED.search(self.process.output()))
        begun = time.monotonic()
        self.process.terminate()
        code = self.process.wait(seconds)
        assert code == 0, f"it ended with {code}:\n{self.process.output()[-4000:]}"
        return time.monotonic() - begun

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()

    def freeze(self) -> None:
        """Stop the process in the middle of whatever it does, as a paused virtual machine is."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)
