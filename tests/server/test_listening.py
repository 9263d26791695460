"""The address that a server listens on: taken first, so that a server without one leaves no trace."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from pathlib import Path

import pytest

from cronally import errors
from cronally.server.serve import _bound, _listen
from tests.support.cronally_server import CLI

LOOPBACK = "127.0.0.1"


def test_server__whose_port_is_in_use_makes_no_database(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            [*CLI, "serve", "--port", str(port)],
            cwd=tmp_path,
            env={"HOME": str(tmp_path), "PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Cannot listen on {LOOPBACK} port {port}: Address already in use. Choose another" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


async def test_address__is_held_and_refuses_until_it_listens() -> None:
    async with _bound(LOOPBACK, 0) as bound:
        assert bound is not None
        address = bound.getsockname()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        _listen(bound)
        _, writer = await asyncio.open_connection(*address)
        writer.close()


async def test_address__of_two_servers_at_once_is_the_first_listeners() -> None:
    async with _bound(LOOPBACK, 0) as bound:
        assert bound is not None
        port = bound.getsockname()[1]
        async with _bound(LOOPBACK, port) as second:
            assert second is not None
            _listen(bound)
            with pytest.raises(
                errors.SettingsError, match=f"Cannot listen on {LOOPBACK} port {port}: Address already"
            ):
                _listen(second)


async def test_address__of_a_name_that_there_is_not() -> None:
    with pytest.raises(errors.SettingsError, match=r"Cannot listen on nothing\.invalid port 80: "):
        async with _bound("nothing.invalid", 80):
            pass
