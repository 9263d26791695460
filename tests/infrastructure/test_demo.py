"""`make demo`: that it shows the whole way, and that nothing of it stays behind."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def _demo() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.demo"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def _read_until(demo: subprocess.Popen[str], said: str) -> str:
    assert demo.stdout is not None
    lines = ""
    for line in demo.stdout:
        lines += line
        if said in line:
            return lines
    raise AssertionError(f"the demo never said {said!r}:\n{lines}\n{demo.stderr and demo.stderr.read()}")


def _remains(output: str) -> list[str]:
    """What is still there of the servers and the folder that the demo named."""
    folders = {match[1] for match in re.finditer(r"(/\S+/cronally-demo-\w+)", output)}
    urls = set(re.findall(r"http://127\.0\.0\.1:\d+", output))
    assert len(folders) == 1
    assert len(urls) == 2
    return [url for url in urls if _listens(url)] + [folder for folder in folders if Path(folder).exists()]


def _listens(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGHUP))],
)
def test_demo__stopped_removes_everything_before_it_ends(number: signal.Signals) -> None:
    with _demo() as demo:
        output = _read_until(demo, "next fire time")
        assert len(_remains(output)) == 3
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number
    assert errors == "demo: stopped; everything was removed again\n"
    assert _remains(output) == []


def test_demo__killed_leaves_nothing_behind() -> None:
    with _demo() as demo:
        output = _read_until(demo, "next fire time")
        demo.kill()
        assert demo.wait(10) == -signal.SIGKILL
    # What is left has no parent here to wait for: look until it is gone.
    deadline = time.monotonic() + 60
    while _remains(output):
        assert time.monotonic() < deadline, _remains(output)
        time.sleep(0.02)


@pytest.mark.slow
def test_demo__shows_the_message_and_its_row() -> None:
    with _demo() as demo:
        output, errors = demo.communicate(timeout=300)
    assert demo.returncode == 0, errors
    assert errors == ""
    assert "Good morning." in output
    assert re.search(r"state +delivered", output)
    assert re.search(r"Delivered and recorded \d+ ms after its fire time", output)
    assert _remains(output) == []
