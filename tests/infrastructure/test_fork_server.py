"""A server that was forked is as one that was executed, to those who start it and to itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.support import server_process as module
from tests.support.fork_server import Watcher
from tests.support.server_process import ServerProcess, server_process

CLI = [sys.executable, "-m", "cronally.cli"]


def start(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> AbstractContextManager[ServerProcess]:
    environ = {"HOME": str(folder), **(env or {})}
    return server_process([*CLI, *arguments], log=folder / "log", env=environ, cwd=folder)


def is_forked(process: ServerProcess) -> bool:
    return isinstance(process._watcher, Watcher)


def has_started(process: ServerProcess) -> bool:
    return '"event": "started"' in process.output()


def test_fork__only_what_is_not_told_anything_about_loading(tmp_path: Path) -> None:
    for env, forked in (({}, True), ({"LD_PRELOAD": ""}, False), ({"CRONALLY_MEMORY_LIMIT": "1GiB"}, False)):
        with start(tmp_path, "serve", "--port", "0", env=env) as process:
            assert is_forked(process) == (forked and hasattr(os, "waitid"))
    with server_process([sys.executable, "-c", "input()"], log=tmp_path / "log", env={}) as process:
        assert not is_forked(process)


@pytest.mark.parametrize(
    "arguments",
    [
        ("next", "0 8 * * *", "--after", "2026-11-24T00:00:00Z"),
        ("next", "nonsense"),
        ("add", "x"),
        ("--version",),
    ],
)
def test_fork__ends_and_says_the_same(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(tmp_path, *arguments) as forked:
        code, said = forked.wait(60), forked.output()
    monkeypatch.setattr(module, "fork", None)
    with start(tmp_path, *arguments) as executed:
        assert executed.wait(60) == code
        assert executed.output() == said + said


def test_fork__is_where_it_was_told_to_be_and_hears_signals(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    with ExitStack() as opened:
        for folder in folders:
            folder.mkdir()
        serve = ("serve", "--port", "0", "--role", "api")
        first, second = (opened.enter_context(start(folder, *serve)) for folder in folders)
        for process in (first, second):
            process.wait_until(partial(has_started, process))
        assert (folders[0] / "cronally.db").exists(), "in its working folder"
        assert first.alive
        first.stop()
        assert first.wait(0) == 0
        assert not first.alive
        assert second.alive, "each has pipes of its own"
        second.send_signal(signal.SIGQUIT)
        assert second.wait(60) == -signal.SIGQUIT
        second.send_signal(signal.SIGTERM)
