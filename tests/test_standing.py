"""What each firing that ends makes of how its cron job stands."""

from __future__ import annotations

import pytest

from cronally.firing import State
from cronally.instants import SECOND
from cronally.standing import LATE, Health, Standing, health_by, standing_after


@pytest.mark.parametrize(
    ("state", "after", "health"),
    [
        (State.DELIVERED, 0, Health.OK),
        (State.DELIVERED, -SECOND, Health.OK),
        (State.DELIVERED, LATE, Health.OK),
        (State.DELIVERED, LATE + 1, Health.LATE),
        (State.FAILED, 0, Health.FAILING),
        (State.FAILED, LATE + 1, Health.FAILING),
    ],
)
def test_health__by_how_a_firing_ended(state: State, after: int, health: Health) -> None:
    assert health_by(state, 1000, 1000 + after) is health


def test_standing__grows_while_the_same_comes_and_begins_anew_with_another() -> None:
    standing: Standing | None = None
    seen = []
    for at, health in enumerate(
        [Health.OK, Health.FAILING, Health.FAILING, Health.LATE, Health.LATE, Health.FAILING, Health.OK]
    ):
        standing = standing_after(standing, health, at)
        seen.append(standing)
    assert seen == [
        None,
        Standing(Health.FAILING, 1, 1),
        Standing(Health.FAILING, 1, 2),
        Standing(Health.LATE, 3, 1),
        Standing(Health.LATE, 3, 2),
        Standing(Health.FAILING, 5, 1),
        None,
    ]
