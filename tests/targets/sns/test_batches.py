"""Which firings go out in one `PublishBatch`: limits, what must be alike, and what is remembered of a refusal."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.targets.sns.batches import _MAX_REFUSED, MAX_BYTES, REFUSED_FOR, Batches
from cronally.targets.sns.forms import MAX_ENTRIES, size
from cronally.targets.target import Sending
from tests.targets.conftest import CANARY, TOPIC, make_destination, make_message


class Clock:
    now = 1_795_507_200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def batches(clock: Clock) -> Batches:
    return Batches(clock)


def sendings(count: int, **changes: str) -> list[Sending]:
    return [(make_destination(**changes), make_message(cronjob_id=f"job-{n}")) for n in range(count)]


def test_split__tens(batches: Batches) -> None:
    assert batches.split(sendings(23)) == [[*range(10)], [*range(10, 20)], [20, 21, 22]]
    assert batches.split(sendings(1)) == [[0]]
    assert batches.split([]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": TOPIC + "-2"},
        {"access_key_id": "AKIA0000000000000000"},
        {"secret_access_key": "x" * 40},
        {"topic": TOPIC.replace("eu-west-1", "eu-west-2"), "region": "eu-west-2"},
    ],
    ids=["topic", "access-key-id", "secret", "region"],
)
def test_split__what_is_not_alike_goes_apart(batches: Batches, changes: dict[str, str]) -> None:
    mixed = [one for pair in zip(sendings(3), sendings(3, **changes), strict=True) for one in pair]
    assert batches.split(mixed) == [[0, 2, 4], [1, 3, 5]]


def test_split__messages_may_differ(batches: Batches) -> None:
    mixed = [(make_destination(message=f"text {n}"), make_message(attempt=n)) for n in (1, 2, 3)]
    assert batches.split(mixed) == [[0, 1, 2]]


def test_split__fifo_never(batches: Batches) -> None:
    assert batches.split(sendings(3, topic=TOPIC + ".fifo")) == [[0], [1], [2]]


def test_split__without_a_secret_never(batches: Batches) -> None:
    bare = [(replace(destination, secret={}), message) for destination, message in sendings(2)]
    assert batches.split(bare) == [[0], [1]]


@pytest.mark.parametrize("over", [0, 1])
def test_split__bytes_at_the_bound(batches: Batches, over: int) -> None:
    """Attributes count, in UTF-8 bytes; one byte more goes into the next batch."""
    first, second, third = make_message(cronjob_name="ä" * 50), make_message(), make_message()
    room = MAX_BYTES - size({"sns_message": ""}, first) - size({"sns_message": "世" * 1000}, second) + over
    texts = ["x" * room, "世" * 1000, "last"]
    found = batches.split(
        [
            (make_destination(message=text), message)
            for text, message in zip(texts, (first, second, third), strict=True)
        ]
    )
    assert found == ([[0], [1, 2]] if over else [[0, 1], [2]])


def test_split__message_over_the_limit_by_its_attributes_is_alone(batches: Batches) -> None:
    large = (make_destination(message="x" * MAX_BYTES), make_message())
    assert batches.split([large, *sendings(2), large]) == [[0], [1, 2], [3]]


def test_split__a_topic_that_takes_less(batches: Batches) -> None:
    text = "x" * 300
    small = make_destination(message=text)
    most = 2 * size({"sns_message": text}, make_message())
    small = replace(small, public={**small.public, "sns_max_message_size": most})
    assert batches.split([(small, make_message()) for _ in range(5)]) == [[0, 1], [2, 3], [4]]
    # Of cron jobs that do not agree, what the least of them says holds.
    large = make_destination(message=text)
    assert batches.split([(one, make_message()) for one in (large, large, small, large)]) == [[0, 1], [2, 3]]


def test_refuse__is_remembered_for_a_while_and_for_nobody_else(batches: Batches, clock: Clock) -> None:
    batches.refuse(make_destination())
    others = sendings(2, secret_access_key="x" * 40) + sendings(2, topic=TOPIC + "-2")
    assert batches.split(sendings(2) + others) == [[0], [1], [2, 3], [4, 5]]
    clock.now += REFUSED_FOR - 0.001
    assert batches.split(sendings(2)) == [[0], [1]]
    clock.now += 0.001
    assert batches.split(sendings(2)) == [[0, 1]]
    assert not batches._refused


def test_refuse__again_counts_from_then(batches: Batches, clock: Clock) -> None:
    batches.refuse(make_destination())
    clock.now += REFUSED_FOR / 2
    batches.refuse(make_destination())
    clock.now += REFUSED_FOR / 2
    assert batches.split(sendings(2)) == [[0], [1]]


def test_refuse__memory_is_bounded_and_holds_no_secret(batches: Batches) -> None:
    batches.refuse(make_destination())
    assert CANARY not in repr(vars(batches))
    for number in range(_MAX_REFUSED):
        batches.refuse(make_destination(topic=f"{TOPIC}-{number}"))
    assert len(batches._refused) == _MAX_REFUSED
    assert batches.split(sendings(2)) == [[0, 1]], "the oldest was forgotten"
    batches.refuse(make_destination(topic=f"{TOPIC}-7"))
    assert len(batches._refused) == _MAX_REFUSED


@given(
    firings=st.lists(
        st.tuples(
            st.sampled_from([TOPIC, TOPIC + "-2", TOPIC + ".fifo"]),
            st.sampled_from([CANARY, "x", ""]),
            st.sampled_from([0, 1, 1000, 26_000, 87_000, 262_144]),
        ),
        max_size=60,
    ),
    refused=st.booleans(),
)
def test_split__everyone_once_and_within_the_limits(
    firings: list[tuple[str, str, int]], refused: bool
) -> None:
    given: list[Sending] = [
        (make_destination(topic=topic, secret_access_key=secret, message="x" * length), make_message())
        for topic, secret, length in firings
    ]
    batches = Batches(Clock())
    if refused:
        batches.refuse(make_destination())
    found = batches.split(given)
    assert Counter(place for batch in found for place in batch) == dict.fromkeys(range(len(given)), 1)
    for batch in found:
        assert batch == sorted(batch)
        assert len(batch) <= MAX_ENTRIES
        if len(batch) > 1:
            assert sum(size(given[n][0].public, given[n][1]) for n in batch) <= MAX_BYTES
            (topic,) = {given[n][0].public["sns_topic"] for n in batch}
            (secret,) = {given[n][0].secret["sns_secret_access_key"] for n in batch}
            assert secret
            assert not topic.endswith(".fifo")
            assert not (refused and (topic, secret) == (TOPIC, CANARY))
