"""The API in a process of its own: started again when it dies, ended with its parent, and one server to the outside."""

from __future__ import annotations

import os
import re
import select
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.judge import all_arrived
from tests.acceptance.ledger import Seed, now, seed
from tests.acceptance.nodes import EVERYTHING, Cluster, Node
from tests.acceptance.receiver import Receiver
from tests.support.server_process import http_answers

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def page(node: Node) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(node.url + "/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed__is_started_again_and_what_fires_does_not_notice(
    cluster: Cluster, receiver: Receiver
) -> None:
    with cluster.node(roles=EVERYTHING) as node:
        node.wait_until_started()
        first = node.api_pid()
        os.kill(first, signal.SIGSTOP)  # it cannot even help now
        seeds = [Seed(now(), account=f"account {number}") for number in range(20)]
        seed(cluster.url, cluster.keys, seeds)
        wanted = all_arrived(seeds, now())
        receiver.wait_until(lambda got: wanted <= {publish.firing_id for publish in got})

        os.kill(first, signal.SIGKILL)
        node.process.wait_until(http_answers(node.url + "/readyz"))
        assert node.api_pid() != first
        text = page(node)
        # Of the parent, and of the process; each family once.
        assert 'cronally_part_restarts_total{part="api"} 1.0' in text
        assert 'cronally_firings_total{state="delivered",target="sns"} 20.0' in text
        assert 'route="/readyz"' in text
        held = re.search(r"^cronally_memory_bytes (\S+)$", text, re.MULTILINE)
        assert held
        assert float(held[1]) > 0
        families = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
        assert len(families) == len(set(families))
        assert "a part ended by itself and is started again" in node.process.output()
        node.stop()


@pytest.mark.slow
def test_sigterm__of_the_process_alone_is_not_heard_and_of_its_parent_ends_both(cluster: Cluster) -> None:
    with cluster.node(roles=EVERYTHING) as node:
        node.wait_until_started()
        api = node.api_pid()
        os.kill(api, signal.SIGTERM)
        os.kill(api, signal.SIGINT)
        assert 'cronally_part_restarts_total{part="api"} 0.0' in page(node)
        node.stop()
        assert not is_alive(api)
        assert "ended by itself" not in node.process.output()
        assert "Traceback" not in node.process.output()


@pytest.mark.slow
def test_parent__that_is_killed_takes_the_process_with_it(cluster: Cluster) -> None:
    with cluster.node(roles=EVERYTHING) as node:
        node.wait_until_started()
        api = node.api_pid()
        watched = os.pidfd_open(api)
        try:
            node.kill()
            assert select.select([watched], [], [], 60)[0], "it lives on"
        finally:
            os.close(watched)


def test_parent__that_stands_still_leaves_an_api_that_says_so(cluster: Cluster) -> None:
    with cluster.node(roles=EVERYTHING) as node:
        node.wait_until_started()
        node.freeze()
        try:
            assert http_answers(node.url + "/healthz")()
            with pytest.raises(urllib.error.HTTPError) as refused:
                page(node)
            assert refused.value.code == 503
            assert b"does not answer" in refused.value.read()
        finally:
            node.thaw()
        assert "cronally_ticks_total" in page(node), "late answers are not taken for new ones"
        node.stop()
