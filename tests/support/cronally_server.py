"""The real `cronally serve`, as a process, and the real CLI beside it.

Invariant: server and CLI see a home of their own and only the settings that they are given; whatever `CRONALLY_*`,
`AWS_*` or credentials file the developer has does not reach them.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support import fork_server
from tests.support.processes import measured
from tests.support.server_process import STOP_GENTLY, ServerProcess, Stop, http_answers, server_process

CLI = (sys.executable, "-m", "cronally.cli")

_LISTENING = re.compile(r'"url": ?"(http://[^"]+)"')


class CronallyServer:
    """A running server. Made by `cronally_server`."""

    def __init__(self, url: str, process: ServerProcess, home: Path) -> None:
        self.url = url
        self.process = process
        self._home = home

    def cli(
        self, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run the CLI against this server; its credentials file is in the home that the server has too."""
        environ = _environ(self._home, {"CRONALLY_URL": self.url, **(env or {})})
        return fork_server.run([*CLI, *arguments], env=environ, seconds=seconds)


@contextlib.contextmanager
def cronally_server(
    folder: Path,
    settings: Mapping[str, str],
    *,
    arguments: Sequence[str] = (),
    ready_path: str = "/readyz",
    stop: Sequence[Stop] = STOP_GENTLY,
    remove: Sequence[Path] = (),
) -> Iterator[CronallyServer]:
    """Run `cronally serve` on a free port of the loopback interface for the length of the block.

    :param folder: gets the server's log, and is its home
    :param settings: its `CRONALLY_*` and `AWS_*` variables
    :param arguments: more arguments of `serve`
    :param ready_path: the path whose answer says that it is ready
    :param remove: folders to remove once it has ended
    """
    argv = [*CLI, "serve", "--host", "127.0.0.1", "--port", "0", *arguments]
    with server_process(
        argv, log=folder / "server.log", env=_environ(folder, settings), cwd=folder, stop=stop, remove=remove
    ) as process:
        process.wait_until(lambda: _LISTENING.search(process.output()))
        listening = _LISTENING.search(process.output())
        assert listening
        process.wait_until(http_answers(listening[1] + ready_path))
        yield CronallyServer(listening[1], process, folder)


def _environ(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.fspath(home),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "100",
        **measured(),
        **settings,
    }
