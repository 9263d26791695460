"""Servers that do not import again what they are made of: a process that has imported it, and nothing else, forks them.

To import the server takes a second of a processor, ten times what the rest of its start takes. Invariant: what is
forked differs from what is executed in nothing else. Arguments, environment, working folder, streams, signals and
session are those of the order, the interpreter ends as it always does, and a watcher (`tests.support.server_process`)
stands between the starter and the server. Before the fork nothing runs: no thread, no loop, no setting was read.

A program is executed nevertheless if it is not `cronally`, if its environment speaks to the loader or to the
interpreter, or if what it holds in memory is looked at; and all are where the system does not have `waitid`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, BinaryIO, Final

from tests.support import server_process
from tests.support.processes import children

_ROOT: Final = Path(__file__).parents[2]
_PROGRAM: Final = (sys.executable, "-m", "cronally.cli")
_PRELOADED: Final = (
    "cronally.cli.app",
    "cronally.cli.operating",
    "cronally.server.serve",
    # What is imported in the course of a command.
    "cronally.cli.tenant",
    "cronally.cli.ledger",
    "cronally.cli.running",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.protocols.http.httptools_impl",
)
_EXECUTED: Final = ("LD_", "MALLOC_", "PYTHON", "COVERAGE_", "CRONALLY_MEMORY")
"""Beginnings of the names of variables that only a program that is executed goes by."""
_OF_NO_MATTER: Final = frozenset({"PYTHONUNBUFFERED"})
_MAX_ORDER: Final = 1 << 16


class ForkServer:
    """The process that forks, seen from the one that asks for servers. Made by `fork_server`."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=theirs.fileno(),
                cwd=_ROOT,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    "PYTHONUNBUFFERED": "1",
                },
                start_new_session=True,
            )
        self.pid = self._process.pid

    def start(
        self,
        order: Mapping[str, object],
        env: Mapping[str, str],
        output: IO[bytes],
        apart: IO[bytes] | None = None,
    ) -> Watcher:
        """Start a server, whose watcher reads its orders and reports as one that is executed does.

        :param apart: gets what the server writes to its standard output, if that is not to go where errors go
        """
        with contextlib.ExitStack() as opened:
            orders_read, orders = map(opened.enter_context, _pipe())
            reports, reports_written = map(opened.enter_context, _pipe())
            message = json.dumps({**order, "env": dict(env)}).encode()
            descriptors = [one.fileno() for one in (orders_read, reports_written, output, apart or output)]
            socket.send_fds(self._orders, [message], descriptors)
            orders_read.close()
            reports_written.close()
            opened.pop_all()
        return Watcher(orders, reports)

    def close(self) -> None:
        self._orders.close()
        self._process.wait()


class Watcher:
    """A watcher that is not a child of this process: of `subprocess.Popen` what `ServerProcess` uses."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.stdin, self.stdout = stdin, stdout

    def poll(self) -> int | None:
        """0 once it has reported the end of its server, after which it ends; None before. The start was read."""
        return 0 if self._has_reported(0) else None

    def wait(self, timeout: float | None = None) -> int:
        if not self._has_reported(timeout):
            raise subprocess.TimeoutExpired("the server", timeout or 0)
        return 0

    def _has_reported(self, within: float | None) -> bool:
        return self.stdout.closed or bool(select.select([self.stdout], [], [], within)[0])


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    read, written = os.pipe()
    return open(read, "rb"), open(written, "wb")


_running: ForkServer | None = None
_wanted = False


@contextlib.contextmanager
def fork_server() -> Iterator[Callable[[], dict[int, str]]]:
    """Fork the servers that are started in the block. Yields what tells which of them, and of their watchers, run.

    The process that forks starts with the first of them.
    """
    global _running, _wanted
    _wanted = hasattr(os, "waitid") and hasattr(socket, "SOCK_SEQPACKET")
    server_process.fork = _fork
    try:
        yield lambda: children(_running.pid) if _running else {}
    finally:
        server_process.fork = None
        _wanted = False
        if _running:
            _running.close()
            _running = None


def _fork(order: Mapping[str, Any], env: Mapping[str, str] | None, output: IO[bytes]) -> Watcher | None:
    forking = _forking(order["argv"], env)
    return forking.start(order, env, output) if forking and env is not None and not order["user"] else None


def run(argv: Sequence[str], *, env: Mapping[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with nothing to read: `subprocess.run`, by a fork if that can be."""
    forking = _forking(argv, env)
    if not forking:
        return subprocess.run(
            argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    order = {"argv": argv, "cwd": os.getcwd(), "stop": [], "remove": []}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        watcher = forking.start(order, env, err, out)
        with watcher.stdin, watcher.stdout as reports:
            reports.readline()
            watcher.wait(seconds)
            code = int(reports.readline())
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(argv, code, *texts)


def _forking(argv: Sequence[str], env: Mapping[str, str] | None) -> ForkServer | None:
    """What is to fork this program; None if it is to be executed."""
    global _running
    if not _wanted or env is None or tuple(argv[: len(_PROGRAM)]) != _PROGRAM:
        return None
    if any(name.startswith(_EXECUTED) for name in env.keys() - _OF_NO_MATTER):
        return None
    _running = _running or ForkServer()
    return _running


class _Child:
    """A child of this process: of `subprocess.Popen` what `server_process.watch` uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._code = 0

    def send_signal(self, number: int) -> None:
        with self._lock:  # not between its end and ours: another process may have its number by then
            if not self._ended.is_set():
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """With a timeout: wait for the thread that waits without one."""
        if timeout is not None:
            if not self._ended.wait(timeout):
                raise subprocess.TimeoutExpired("the server", timeout)
            return self._code
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            self._ended.set()
        return self._code


def _reap(_number: int, _frame: FrameType | None) -> None:
    """Let go of the watchers that have ended. What they used of the processor counts as ours, then."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _serve() -> None:
    """Fork a watcher for each order, and by it a server; returns in the server, to become one."""
    for name in _PRELOADED:
        __import__(name)
    assert threading.active_count() == 1
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=os.dup(0)) as orders:
        while True:
            message, descriptors, _, _ = socket.recv_fds(orders, _MAX_ORDER, 4)
            if not message:
                _reap(0, None)
                os._exit(0)
            if os.fork() == 0:
                break
            for descriptor in descriptors:
                os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for place, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, place)
        os.close(descriptor)
    order = json.loads(message)
    pid = os.fork()
    if pid:
        os.close(descriptors[3])
        server_process.watch(_Child(pid), order["stop"], order["remove"])
        os._exit(0)
    os.setsid()
    os.dup2(descriptors[3], 1)
    os.close(descriptors[3])
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    if order["cwd"]:
        os.chdir(order["cwd"])
    sys.path[0] = os.getcwd()
    sys.argv[1:] = order["argv"][len(_PROGRAM) :]


if __name__ == "__main__":
    _serve()
    from cronally.cli import main

    main()
