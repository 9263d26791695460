"""Servers as real processes: started, signalled, waited for, and gone with whoever started them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.server_process import ServerFailed, ServerProcess, server_process

_READY = "import signal, sys, time; print('ready', flush=True); "


def _start(code: str, log: Path, **options: object) -> ServerProcess:
    process = ServerProcess([sys.executable, "-c", _READY + code], log=log, **options)  # type: ignore[arg-type]
    process.wait_until(lambda: "ready" in process.output())
    return process


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_wait__returns_the_exit_code(log: Path) -> None:
    process = _start("sys.exit(3)", log)
    assert process.wait(10) == 3
    assert process.wait(10) == 3
    process.stop()


def test_kill__reaches_the_server(log: Path) -> None:
    process = _start("signal.pause()", log)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert not process.alive
    process.send_signal(signal.SIGTERM)
    process.stop()


def test_stop__asks_gently_first(log: Path) -> None:
    process = _start("signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked')); time.sleep(60)", log)
    process.stop()
    assert process.wait(0) == 1
    assert process.output().endswith("asked\n")


@pytest.mark.parametrize("stop", [[], [(signal.SIGTERM, 0.01), (signal.SIGINT, 0.01)]])
def test_stop__kills_what_does_not_listen(log: Path, stop: Sequence[tuple[int, float]]) -> None:
    process = _start(
        "[signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print('deaf', flush=True); time.sleep(60)",
        log,
        stop=stop,
    )
    process.wait_until(lambda: "deaf" in process.output())
    process.stop()
    assert process.wait(0) == -signal.SIGKILL


def test_server_process__removes_its_folders(log: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    with server_process(
        [sys.executable, "-c", "import time; time.sleep(60)"], log=log, remove=[tmp_path / "data"]
    ):
        pass
    assert not (tmp_path / "data").exists()
    assert log.exists()


def test_server_process__has_the_environment_that_it_was_given(log: Path) -> None:
    with server_process(
        [sys.executable, "-c", "import os; print(sorted(os.environ))"], log=log, env={"ONLY": "this"}
    ) as process:
        process.wait(10)
    assert "'ONLY'" in process.output()
    assert "HOME" not in process.output()


def test_server_process__a_program_that_does_not_exist(log: Path) -> None:
    with pytest.raises(ServerFailed, match="did not start"):
        ServerProcess(["/no/such/program"], log=log)


def test_wait_until__tells_what_a_server_said_before_it_ended(log: Path) -> None:
    with (
        server_process([sys.executable, "-c", "raise SystemExit('no luck')"], log=log) as process,
        pytest.raises(ServerFailed, match="no luck"),
    ):
        process.wait_until(lambda: False)


def test_output__is_kept_when_the_folder_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    process = ServerProcess(
        [sys.executable, "-c", "print('last words')"], log=folder / "log", remove=[folder]
    )
    assert process.wait(10) == 0
    assert not folder.exists()
    assert process.output() == "last words\n"
    process.stop()
    assert process.output() == "last words\n"
