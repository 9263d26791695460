"""What tests start hears signals, and what is left over is found."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import processes

ROOT = Path(__file__).parents[2]

DEAF = """
import os, signal, subprocess, sys
from tests.support import processes
number = signal.Signals(int(sys.argv[1]))
signal.signal(number, signal.SIG_IGN)
processes.hear_ignored_signals()
os.kill(os.getpid(), number)  # still deaf
child = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), int(%d)); signal.pause()" % number]
sys.exit(-subprocess.run(child, stderr=subprocess.DEVNULL).returncode)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM])
def test_children__hear_what_their_starter_ignores(number: signal.Signals) -> None:
    assert subprocess.run([sys.executable, "-c", DEAF, str(int(number))], cwd=ROOT).returncode == number


def test_children__are_those_that_live() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert processes.children()[child.pid].endswith("-c input()")
        child.communicate(b"\n")
    assert child.pid not in processes.children()
