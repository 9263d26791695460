"""Places of requests that may take long: how many, and of whom, after any walk of beginnings and ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from cronally.engine.long_places import LongPlaces
from tests.engine.test_limits import claim

STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh"), st.integers(0, 99)), max_size=120)


@given(st.integers(0, 24), STEPS)
def test_places__whoever_begins_and_ends(places: int, steps: Sequence[tuple[bool, str, int]]) -> None:
    of_node = LongPlaces(places)
    under_way = []
    for begins, account, which in steps:
        if begins and of_node.admits(account):
            one = claim(account_id=account)
            of_node.begin(one, 60.0 + which)
            assert of_node.seconds(one) == 60.0 + which
            under_way.append(one)
        elif not begins and under_way:
            gone = under_way.pop(which % len(under_way))
            of_node.end(gone)
            assert of_node.seconds(gone) is None
        held = Counter(one.account_id for one in under_way)
        assert len(of_node) == len(under_way) <= places
        assert max(held.values(), default=0) <= max(1, places // 4), (
            "one account never has all, if there are two"
        )
        free = places - len(under_way)
        idle = [account for account in "abcdefgh" if not held[account]]
        assert {of_node.admits(account) for account in idle} <= {free > 0}, (
            "a place that is free is for who has none"
        )
        assert all(not of_node.admits(account) for account in held if free <= places // 4)
