"""A request that takes longer than a lease, and a node that dies meanwhile: real servers on one PostgreSQL."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from cronally.instants import SECOND
from tests.acceptance.ledger import Row, Seed, now, read_ledger, seed
from tests.acceptance.nodes import LEASE, Cluster, Node
from tests.support.scripted import ScriptedServer, answer, hang

SETTINGS = {"CRONALLY_HTTP_ALLOWED_NETWORKS": "127.0.0.0/8", "CRONALLY_LONG_IN_FLIGHT": "4"}


async def arrived(server: ScriptedServer, count: int) -> None:
    async with asyncio.timeout(60):
        while len(server.requests) < count:
            server.arrived.clear()
            await server.arrived.wait()


async def read_row(cluster: Cluster) -> Row:
    (row,) = (await asyncio.to_thread(read_ledger, cluster.url)).rows
    return row


async def test_node__killed_in_the_middle_of_a_long_request_is_followed_by_another_after_its_lease(
    postgres_cluster: Cluster,
) -> None:
    cluster = postgres_cluster

    async def started(node: Node) -> Node:
        return await asyncio.to_thread(node.wait_until_started)

    async with ScriptedServer(answer(200)) as server:
        server.script.append(hang)
        public = {
            "delivery_http_method": "post",
            "delivery_http_url": server.url,
            "delivery_http_timeout": 600 * SECOND,  # a request takes 1 s, and a lease 2 s
        }
        await asyncio.to_thread(seed, cluster.url, cluster.keys, [Seed(now(), destination=public)])
        with cluster.node(settings=SETTINGS) as one, ExitStack() as stack:
            await arrived(server, 1)
            claimed = await read_row(cluster)
            other = await started(stack.enter_context(cluster.node(settings=SETTINGS)))
            # It lasts longer than the lease that it was claimed under.
            while (row := await read_row(cluster)).due_at is not None and row.due_at < (
                claimed.due_at or 0
            ) + (2 * int(LEASE) * SECOND):
                assert (row.state, row.lease_no) == ("sending", 1)
            sent_at = row.sent_at
            assert sent_at is not None, "the ledger says since when"
            assert len(server.requests) == 1, "nobody else sent it"

            one.kill()
            await asyncio.to_thread(one.process.wait, 60)
            held = await read_row(cluster)
            await arrived(server, 2)
            assert now() >= (held.due_at or 0) > sent_at + LEASE * SECOND, "not before its lease has ended"
            while (row := await read_row(cluster)).state != "delivered":
                assert row.state == "sending"
            await asyncio.to_thread(other.stop)
    first, second = (request.headers for request in server.requests)
    assert first["cronally-firing-id"] == second["cronally-firing-id"] == first["idempotency-key"]
    assert [first["cronally-attempt"], second["cronally-attempt"]] == ["1", "2"]
    assert (row.attempt, row.lease_no, row.reason) == (2, 2, None)
