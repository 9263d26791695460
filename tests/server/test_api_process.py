"""The API's process, as its parent starts it; tests/acceptance/test_api_process.py has both."""

from __future__ import annotations

import subprocess
import sys

from cronally import __version__


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cronally.server.api_process", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version__another_one_does_not_touch_the_database() -> None:
    """An upgrade under a running server, whose API dies then: a newer one would migrate the database."""
    for arguments in (["0.0.1"], []):
        done = start(*arguments)
        assert done.returncode == 1
        assert (
            done.stderr == "Cronally was upgraded while it ran: restart the server to have its API again.\n"
        )


def test_started_by_hand__says_what_it_is() -> None:
    done = start(__version__)
    assert done.returncode == 1
    assert done.stderr == "This is a part of `cronally serve`, which starts it.\n"
