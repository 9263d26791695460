"""A node without the API: it can be asked for its health, and for nothing else."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.acceptance.nodes import Cluster, Node
from tests.support.sampling import first

ENGINE = ("scheduler", "dispatcher")


def status_of(node: Node, path: str, host: str | None = None) -> int:
    request = urllib.request.Request(node.url + path, headers={"Host": host} if host else {})  # noqa: S310 - loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@first("sqlite")
def test_health_port__answers_for_a_node_without_the_api(cluster: Cluster) -> None:
    with cluster.node(roles=ENGINE, settings={"CRONALLY_HEALTH_PORT": "0"}) as node:
        node.wait_until_started()
        node.process.wait_until(lambda: node.ask("/readyz")["last_tick_at"] is not None)
        assert status_of(node, "/healthz") == status_of(node, "/metrics") == 200
        for path in (
            "/account/",
            "/cronjobs/",
            "/schedule/preview/?expression=@daily",
            "/docs",
            "/openapi.json",
        ):
            assert status_of(node, path) == 404
        assert status_of(node, "/healthz", host="evil.example") == 421
        node.stop()


@pytest.mark.sample(1)
@pytest.mark.parametrize("settings", [{}, {"CRONALLY_HEALTH_PORT": ""}])
def test_health_port__is_none_by_default(sqlite_cluster: Cluster, settings: dict[str, str]) -> None:
    if settings:
        with sqlite_cluster.node(roles=ENGINE, settings=settings) as node:
            assert node.process.wait(60) == 1
            assert "CRONALLY_HEALTH_PORT: is no integer" in node.process.output()
        return
    with sqlite_cluster.node(roles=ENGINE) as node:
        node.wait_until_started()
        node.stop()
        assert '"listening"' not in node.process.output()
