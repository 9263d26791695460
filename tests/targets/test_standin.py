"""The benchmarks' stand-in for SNS and their bare publishing loop."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from benchmarks.publish import SCHEDULED_AT, firings, publish_loop
from benchmarks.standin import Receipt, Standin
from cronally.targets.sns.target import SnsTarget
from cronally.targets.target import Delivered
from tests.targets.conftest import make_destination, make_message


@pytest.fixture(scope="module")
def running() -> Iterator[Standin]:
    with Standin() as standin:
        yield standin


@pytest.fixture
def standin(running: Standin) -> Standin:
    running.reset()
    return running


async def test_receipts__say_what_was_sent(standin: Standin) -> None:
    target = SnsTarget(endpoint=standin.url)
    before = time.time_ns() // 1000
    messages = [make_message(firing_id=f"{number:036d}", attempt=number) for number in (1, 2, 185)]
    outcomes = [await target.send(make_destination(), message) for message in messages]
    await target.close()
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert len({outcome for outcome in outcomes if isinstance(outcome, Delivered)}) == 3
    receipts = standin.receipts()
    assert [receipt._replace(received_at=0) for receipt in receipts] == [
        Receipt(message.firing_id, "2026-11-24T08:00:00Z", message.attempt, 0) for message in messages
    ]
    assert before <= receipts[0].received_at <= receipts[-1].received_at <= time.time_ns() // 1000
    assert standin.count() == 3


async def test_receipts__of_a_batch_are_one_for_each_of_its_messages(standin: Standin) -> None:
    target = SnsTarget(endpoint=standin.url)
    messages = [make_message(firing_id=f"{number:036d}", attempt=number) for number in range(1, 11)]
    sendings = [(make_destination(), message) for message in messages]
    outcomes = await target.send_batch(sendings)
    await target.close()
    assert outcomes is not None
    assert len({outcome.message_id for outcome in outcomes if isinstance(outcome, Delivered)}) == 10
    assert [receipt._replace(received_at=0) for receipt in standin.receipts()] == [
        Receipt(message.firing_id, "2026-11-24T08:00:00Z", message.attempt, 0) for message in messages
    ]
    assert (standin.count(), standin.requests()) == (10, 1)


def test_requests__in_pieces_and_in_one(standin: Standin) -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 10\r\n\r\nAction=Pub"
    address = urlsplit(standin.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        file = connection.makefile("rb")
        for piece in (request[:20], request[20:55], request[55:] + request + request[:30], request[30:]):
            connection.sendall(piece)
        for _ in range(3):
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            while file.readline() not in (b"\r\n", b""):
                pass
            assert file.readline().startswith(b"<PublishResponse")
        file.close()
    assert standin.count() == 3


async def test_publish_loop__sends_each_firing_once(standin: Standin) -> None:
    figures = await publish_loop(standin.url, publishes=50, concurrency=4, accounts=3)
    assert (figures.publishes, figures.failed) == (50, 0)
    receipts = standin.receipts()[4:]  # after those that open the connections
    expected = {message.firing_id for _, message in firings(50, 3)}
    assert {receipt.firing_id for receipt in receipts} == expected
    assert len(receipts) == len(expected) == 50
    assert SCHEDULED_AT == 1_795_507_200_000_000


def test_standin__ends_with_its_input() -> None:
    with Standin(latency=0.001) as standin:
        pid = standin.pid
        assert standin.count() == 0
    assert pid
    assert standin._process.returncode == 0
