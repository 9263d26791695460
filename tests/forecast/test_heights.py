"""Counts by place, in binary digits: those of a list of counters."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cronally.forecast.heights import Heights, places

sets = st.lists(st.tuples(st.integers(0, 2**70 - 1), st.integers(0, 40)), max_size=12)


def counted(added: list[tuple[int, int]]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for bits, times in added:
        for place in range(bits.bit_length()):
            counts[place] += times * (bits >> place & 1)
    return +counts


@given(sets, sets, st.integers(1, 9))
def test_heights__are_those_of_counters(
    added: list[tuple[int, int]], more: list[tuple[int, int]], width: int
) -> None:
    heights, other = Heights(), Heights()
    for one, each in ((heights, added), (other, more)):
        for bits, times in each:
            one.add(bits, times)
    heights.add_all(other)
    counts = counted([*added, *more])
    assert heights.total == counts.total()
    assert heights.bound >= max(counts.values(), default=0)
    levels = list(heights.levels())
    assert [height for height, _ in levels] == sorted(set(counts.values()), reverse=True)
    assert {place: height for height, bits in levels for place in places(bits)} == counts
    size = 72 // width + 1
    sums = [sum(counts[n * width + at] for at in range(width)) for n in range(size)]
    assert heights.sums(size, width) == sums
