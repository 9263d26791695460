"""The limit on open files: raised as far as the settings need, or a clear error; and what shows when none is left."""

from __future__ import annotations

import http.client
import json
import resource
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cronally import errors
from cronally.server.acceptor import HELD
from cronally.server.descriptors import OTHERS, raise_limit
from tests.support.cronally_server import cronally_server


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The soft and the hard limit of a process that is not this one."""
    current = [1024, 4096]

    def setrlimit(_which: int, wanted: tuple[int, int]) -> None:
        current[:] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _which: tuple(current))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    return current


def test_raise_limit__as_far_as_needed(limits: list[int]) -> None:
    raise_limit(1000, 512, 10)
    assert limits == [1000 + HELD + 3 * 512 + 10 + OTHERS, 4096]


@pytest.mark.parametrize("soft", [3500, resource.RLIM_INFINITY])
def test_raise_limit__stays_where_it_is_enough(limits: list[int], soft: int) -> None:
    limits[0] = soft
    raise_limit(1000, 512, 10)
    assert limits[0] == soft


def test_raise_limit__without_a_hard_limit(limits: list[int]) -> None:
    limits[1] = resource.RLIM_INFINITY
    raise_limit(10_000, 512, 10)
    assert limits[0] == 10_000 + HELD + 3 * 512 + 10 + OTHERS


def test_raise_limit__that_is_too_low_says_what_to_do(limits: list[int]) -> None:
    with pytest.raises(
        errors.SettingsError, match=r"may open 4,096 files, and these settings need 12,258"
    ) as caught:
        raise_limit(10_000, 512, 10)
    assert "CRONALLY_CONNECTIONS" in str(caught.value)
    assert limits[0] == 1024


@pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="the limit of another process is Linux's to change"
)
def test_readyz__tells_that_there_were_none_left(tmp_path: Path) -> None:
    with cronally_server(tmp_path, {}) as server:
        address = urlsplit(server.url)
        kept = http.client.HTTPConnection(address.netloc, timeout=60)

        def ask() -> tuple[int, Any]:
            kept.request("GET", "/readyz")
            answer = kept.getresponse()
            return answer.status, json.loads(answer.read())

        assert ask()[0] == 200
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, hard))
        # The kernel takes it; the server cannot.
        with socket.create_connection((address.hostname, address.port), timeout=60) as waiting:
            server.process.wait_until(lambda: ask()[0] == 503)
            assert ask()[1]["error"]["message"] == (
                "Connections could not be accepted lately: Too many open files."
            )
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
            waiting.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert waiting.recv(12) == b"HTTP/1.1 200"
        kept.close()
