"""What the pool knows about a request that failed."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientConnectionResetError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter

from cronally.targets.pool import Body, Pool, open_connector
from cronally.targets.target import Retry, Unknown


async def test_body__is_not_written_to_a_closed_connection() -> None:
    loop = asyncio.get_running_loop()
    body = Body(b"Action=Publish")
    with pytest.raises(ClientConnectionResetError):
        await body.write_with_length(StreamWriter(BaseProtocol(loop), loop), None)
    assert not body.written


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (TimeoutError(), "10 s have passed"),
        (ClientConnectionResetError("Cannot write to closing transport"), "the connection was cut"),
        (OSError(113, "No route to host ('10.0.0.1', 80)"), "no route to host"),
        (OSError("Multiple exceptions: ('10.0.0.1', 80)"), "the connection was cut"),
    ],
)
def test_failure__is_unknown_only_once_written(error: OSError, why: str) -> None:
    pool = Pool(lambda: open_connector(1), connect_timeout=5, total_timeout=10)
    assert pool.failure(error, written=False) == Retry(f"not sent: {why}")
    assert pool.failure(error, written=True) == Unknown(f"no answer: {why}")
