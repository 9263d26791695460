"""How what is scarce is shared out."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cronally.fairness import Rotation, Taken


def test_taken__leaves_a_quarter_to_who_has_none() -> None:
    taken = Taken()
    assert not taken
    while taken.admits("a", 16):
        taken.take("a")
    assert taken.by("a") == 12
    for name in "bcde":
        assert taken.admits(name, 16)
        taken.take(name)
    assert not taken.admits("f", 16)
    assert not taken.admits("b", 16)
    taken.give_back("a")
    assert (taken.admits("a", 16), taken.admits("b", 16), taken.admits("f", 16)) == (False, False, True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans())), st.integers(0, 20))
def test_taken__counts(steps: list[tuple[str, bool]], limit: int) -> None:
    taken = Taken()
    have = {"a": 0, "b": 0, "c": 0}
    for account, take in steps:
        if take and taken.admits(account, limit):
            taken.take(account)
            have[account] += 1
        elif have[account]:
            taken.give_back(account)
            have[account] -= 1
        assert sum(have.values()) <= limit
        assert {name: taken.by(name) for name in have} == have
        assert bool(taken) == any(have.values())


@given(st.lists(st.sampled_from("abcd"), max_size=60))
def test_rotation__of_accounts(asked: list[str]) -> None:
    """An account's things come in their order, and between two of them at most one of each other account."""
    rotation: Rotation[tuple[str, int]] = Rotation()
    for number, account in enumerate(asked):
        rotation.add(account, (account, number))
    taken = []
    while rotation:
        taken.append(rotation.take())
    assert sorted(taken) == sorted((account, number) for number, account in enumerate(asked))
    for account in "abcd":
        places = [place for place, (whose, _) in enumerate(taken) if whose == account]
        assert [taken[place] for place in places] == sorted(taken[place] for place in places)
        for before, after in pairwise(places):
            between = [whose for whose, _ in taken[before + 1 : after]]
            assert len(between) == len(set(between))
