"""What the tests of targets share: a firing to send, and an SNS that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvloop
from aiohttp import ClientTimeout

from cronally.firing import firing_id
from cronally.targets.pool import Pool
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Destination, Message
from tests.support.scripted import ScriptedServer, answer


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The server runs on uvloop, a library may run on asyncio's own loop: they tell of failures differently."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


CANARY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYCANARYKEY0"
ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:my-topic"
SCHEDULED_AT = 1_795_507_200_000_000  # 2026-11-24T08:00:00Z
CRONJOB_ID = "5a1d7a1e-5d7c-4f2a-9a2e-0d6f3f1c2b4a"

PUBLISHED = (
    # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Examples
    '<PublishResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
    "<MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult><ResponseMetadata>"
    "<RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata></PublishResponse>"
)


def make_message(**changes: Any) -> Message:
    """A firing's message."""
    values: dict[str, Any] = {
        "firing_id": firing_id(CRONJOB_ID, SCHEDULED_AT),
        "cronjob_id": CRONJOB_ID,
        "cronjob_name": "nightly report",
        "scheduled_at": SCHEDULED_AT,
        "attempt": 1,
    }
    return Message(**{**values, **changes})


def make_destination(**changes: str) -> Destination:
    """A topic and keys, by the parameters' names without `sns_`."""
    public = {
        "sns_topic": TOPIC,
        "sns_message": "time to report",
        "sns_region": "eu-west-1",
        "sns_access_key_id": ACCESS_KEY_ID,
    }
    secret = changes.pop("secret_access_key", CANARY)
    return Destination(
        "sns",
        {**public, **{f"sns_{name}": value for name, value in changes.items()}},
        {"sns_secret_access_key": secret},
    )


@asynccontextmanager
async def occupied(pool: Pool, server: ScriptedServer) -> AsyncIterator[None]:
    """The pool's only connection is in use: its request hangs."""
    request = pool.session().get(server.url, timeout=ClientTimeout(total=60))
    task = asyncio.ensure_future(request)
    await server.arrived.wait()
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A scripted server that answers as SNS does when a publish succeeds, unless told otherwise."""
    async with ScriptedServer(answer(200, PUBLISHED)) as scripted:
        yield scripted


@pytest.fixture
async def sns(server: ScriptedServer) -> AsyncIterator[SnsTarget]:
    """The target, towards the scripted server."""
    target = SnsTarget(endpoint=server.url, connect_timeout=5, total_timeout=5, connections=4)
    yield target
    await target.close()
