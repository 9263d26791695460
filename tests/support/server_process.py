"""Servers that the tests start as real processes, and that never outlive whoever started them.

Invariant: between the starter and the server stands a watcher, this file run as a program. It alone is the
server's parent; it holds the reading end of a pipe whose writing end only the starter holds. When that pipe
closes, because the starter asked for it or because it was killed (`kill -9` included), the watcher stops the
server, waits for it, removes the folders it was told to remove, and ends. It is a session of its own, so
that a Ctrl-C in the terminal reaches the starter alone. Signals for the server go through the watcher too,
which knows whether its child still lives: none ever hits a stranger that got the same process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

Stop = tuple[int, float]
"""A signal, and the seconds it gets before the next, stronger one; SIGKILL comes last without being named."""

STOP_GENTLY: Sequence[Stop] = ((signal.SIGTERM, 10.0),)


class Watcher(Protocol):
    """The process that stands between: of `subprocess.Popen` what is needed of it."""

    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class Child(Protocol):
    """The server, as its watcher sees it: of `subprocess.Popen` what is needed of it."""

    pid: int

    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


Fork = Callable[[Mapping[str, Any], Mapping[str, str] | None, IO[bytes]], Watcher | None]

fork: Fork | None = None
"""Starts a server by its order, environment and log, if it can: `tests.support.fork_server`."""


class ServerFailed(RuntimeError):
    """The server did not start, or ended before it was ready. The message ends with its last output."""


class ServerProcess:
    """A running server. Made by `server_process`."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
        stop: Sequence[Stop] = STOP_GENTLY,
        remove: Sequence[Path] = (),
    ) -> None:
        """
        :param log: the file that gets what the server prints, both streams
        :param env: the whole environment of the server; the starter's when None
        :param user: (uid, gid) that the server runs as
        :param stop: how the server is asked to end, gentlest first
        :param remove: folders to remove once the server has ended
        """
        order = {
            "argv": [os.fspath(argument) for argument in argv],
            "cwd": None if cwd is None else os.fspath(cwd),
            "user": user,
            "stop": [[int(number), grace] for number, grace in stop],
            "remove": [os.fspath(folder) for folder in remove],
        }
        self._said: str | None = None
        with log.open("ab") as output:
            self._log = log.open("rb")  # kept open: it can still be read when its folder was removed
            forked = fork(order, env, output) if fork else None
            self._watcher: Watcher = forked or subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=None if env is None else dict(env),
                start_new_session=True,
            )
        assert self._watcher.stdin is not None
        assert self._watcher.stdout is not None
        self._orders, self._reports = self._watcher.stdin, self._watcher.stdout
        self._exit_code: int | None = None
        started = self._reports.readline()
        if not started:
            self.stop()
            raise ServerFailed(f"{argv[0]} did not start:\n{self.output()}")
        self.pid = int(started)

    @property
    def alive(self) -> bool:
        return self._watcher.poll() is None

    def output(self) -> str:
        """What the server has printed so far."""
        if self._said is not None:
            return self._said
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def send_signal(self, number: int) -> None:
        """Send a signal to the server alone; nothing happens when it has ended already."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._orders.write(b"%d\n" % number)
            self._orders.flush()

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.send_signal(signal.SIGKILL)
        self.wait(60)

    def wait(self, timeout: float) -> int:
        """The server's exit code, negative for the signal that ended it.

        Raises subprocess.TimeoutExpired while it still runs after `timeout` seconds.
        """
        self._watcher.wait(timeout)
        if self._exit_code is None:
            self._exit_code = int(self._reports.readline() or -1)
        return self._exit_code

    def stop(self) -> None:
        """Ask the server to end, as `stop` says, and wait until it and its folders are gone."""
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()
        self._watcher.wait()
        if not self._reports.closed:
            if self._exit_code is None:
                self._exit_code = int(self._reports.readline() or -1)
            self._reports.read()  # to the end, which is the watcher's
            self._reports.close()
            self._said = self.output()
            self._log.close()

    def wait_until(self, ready: Callable[[], object], *, seconds: float = 60.0) -> None:
        """Return when `ready` answers something true.

        Raises ServerFailed when the server ends before, or when the time is up.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive:
                raise ServerFailed(f"the server ended before it was ready:\n{self.output()[-4000:]}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"the server was not ready in {seconds} s:\n{self.output()[-4000:]}")
            time.sleep(0.01)  # there is nothing to wait on: a server tells by answering


@contextlib.contextmanager
def server_process(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: tuple[int, int] | None = None,
    stop: Sequence[Stop] = STOP_GENTLY,
    remove: Sequence[Path] = (),
) -> Iterator[ServerProcess]:
    """Run a server for the length of the block. Parameters: `ServerProcess`."""
    process = ServerProcess(argv, log=log, env=env, cwd=cwd, user=user, stop=stop, remove=remove)
    try:
        yield process
    finally:
        process.stop()


def http_answers(url: str) -> Callable[[], bool]:
    """A `ready` for `wait_until`: whether `url` answers with a status below 400."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ready() -> bool:
        try:
            with opener.open(url, timeout=30):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    return ready


def _watch(
    argv: list[str],
    cwd: str | None,
    user: tuple[int, int] | None,
    stop: list[Stop],
    remove: list[str],
) -> None:
    """The watcher: run the server until it ends or standard input does."""
    uid, gid = user or (None, None)
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=2,
        stderr=2,
        cwd=cwd,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
        start_new_session=True,
    )
    watch(child, stop, remove)


def watch(child: Child, stop: Iterable[Stop], remove: Iterable[str]) -> None:
    """See the server to its end, or bring it about when standard input ends."""
    _report(child.pid)

    def obey() -> None:
        # Unbuffered: a buffer's lock, held here, would cost the interpreter a second when it ends.
        for line in open(0, "rb", buffering=0, closefd=False):  # noqa: SIM115
            child.send_signal(int(line))
        for number, grace in stop:
            child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(grace)
        child.kill()

    threading.Thread(target=obey, daemon=True).start()
    code = child.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)  # what the server itself started and left behind
    for folder in remove:
        shutil.rmtree(folder, ignore_errors=True)
    _report(code)


def _report(number: int) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    _watch(**json.loads(sys.argv[1]))
