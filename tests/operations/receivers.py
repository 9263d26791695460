"""Somebody who takes what is sent, as an address and as an SNS, and the targets that send there. Fixtures, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cronally.targets.build import build_targets
from cronally.targets.egress import Egress
from cronally.targets.target import Target
from tests.support.scripted import ScriptedServer, answer

MESSAGE_ID = "567910cd-659e-55d4-8ccb-5aaf14679dc0"
PUBLISHED = (
    f"<PublishResponse><PublishResult><MessageId>{MESSAGE_ID}</MessageId></PublishResult></PublishResponse>"
)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """A receiver, and an SNS."""
    async with ScriptedServer(answer(200, PUBLISHED)) as scripted:
        yield scripted


@pytest.fixture
async def targets(server: ScriptedServer) -> AsyncIterator[dict[str, Target]]:
    targets = build_targets(sns_endpoint=server.url, egress=Egress(["127.0.0.0/8"]))
    yield targets
    for target in targets.values():
        await target.close()
