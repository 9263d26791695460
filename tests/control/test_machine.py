"""Owners, two nodes and the clock by chance, on both databases: each fire time once, with the right reason.

The cron jobs are created, changed, paused, frozen, resumed, run and deleted, and what has ended goes once more, while
one node or two of them tick, look and deliver. The model of each knows what was done, and the independent oracle when
it fires.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.control.asking import PLACES
from tests.control.machine import Controls
from tests.control.nodes import Nodes
from tests.control.steps import DATES, FIRST, steps
from tests.support.examples import examples


@pytest.fixture
def nodes(migrated_url: str) -> Iterator[Nodes]:
    nodes = Nodes(migrated_url)
    yield nodes
    nodes.close()


def run(nodes: Nodes, count: int, most: int) -> None:
    @settings(examples(count), suppress_health_check=[*HealthCheck])
    @given(st.sampled_from(PLACES), DATES, st.lists(FIRST, min_size=2, max_size=2), steps(most))
    def check(place: tuple[str, int], dates: list[int], begun: list[Any], done: list[Any]) -> None:
        controls = Controls(nodes, place, dates)
        for one in begun:
            controls.do(one)
        for step in done:
            controls.step(*step)
        controls.finish()

    check()


def test_controls__each_fire_time_once_with_its_reason(nodes: Nodes) -> None:
    run(nodes, count=6, most=6)


@pytest.mark.slow
def test_controls__in_long_histories(nodes: Nodes) -> None:
    run(nodes, count=10, most=30)
