"""A process that is frozen between its last look at the lease and the first byte: no byte may leave afterwards."""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.acceptance.ledger import Seed, now, read_ledger, seed
from tests.acceptance.nodes import Cluster

_SYN_SENT = "02"


def is_connecting(pid: int, port: int) -> bool:
    """Whether the process has asked for a connection to the port that it does not have yet."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    return any(
        fields[2].endswith(f":{port:04X}") and fields[3] == _SYN_SENT for fields in map(str.split, lines)
    )


@pytest.mark.slow
def test_frozen_while_it_connects__sends_nothing_when_it_wakes_after_its_lease(
    sqlite_cluster: Cluster,
) -> None:
    with contextlib.ExitStack() as stack:
        # A target whose queue of new connections is full: the kernel goes on trying to connect, for the process.
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        stack.enter_context(socket.create_connection(listening.getsockname()))
        port = listening.getsockname()[1]
        cluster = replace(sqlite_cluster, sns=f"http://127.0.0.1:{port}")
        seed(cluster.url, cluster.keys, [Seed(now())])
        settings = {"CRONALLY_REQUEST_TIMEOUT": "2s", "CRONALLY_LEASE": "3s"}
        node = stack.enter_context(cluster.node(settings=settings))
        node.process.wait_until(lambda: is_connecting(node.process.pid, port))
        node.freeze()
        frozen = time.monotonic()

        listening.settimeout(10)
        listening.accept()[0].close()  # room again: the connection comes about while nobody looks
        connection, _ = listening.accept()
        stack.enter_context(connection)
        time.sleep(max(0.0, frozen + 3.5 - time.monotonic()))
        node.thaw()
        connection.settimeout(1.0)
        try:
            late = connection.recv(65536)
        except TimeoutError:
            late = b""
        node.kill()
    assert late == b"", "sent under a lease that had ended"
    ledger = read_ledger(cluster.url)
    assert {attempt.outcome for attempt in ledger.attempts} <= {"retry"}
