"""What accounts may send to one host together."""

from __future__ import annotations

import pytest

from cronally.engine import host_limits
from cronally.engine.host_limits import HostLimits


def send(those: HostLimits, count: int, account: str = "a", now: float = 0.0, host: str = "h") -> int:
    """Send as many as are allowed; how many were."""
    for sent in range(count):
        if those.wait(host, account, now) is not None:
            return sent
        those.begin(host, account, now)
    return count


def test_in_flight__three_quarters_for_all_and_one_each_of_the_rest() -> None:
    those = HostLimits(in_flight=16, per_second=1000)
    assert send(those, 100) == 12
    assert [send(those, 100, account) for account in "bcdef"] == [1, 1, 1, 1, 0]
    those.end("h", "a")
    assert send(those, 100, "b") == 0
    assert send(those, 100, "f") == 1
    assert send(those, 100, host="other") == 12


def test_per_second__three_quarters_for_all_and_one_each_of_the_rest() -> None:
    those = HostLimits(in_flight=1000, per_second=8)
    assert send(those, 100, now=7.0) == 6
    assert [send(those, 100, account, now=7.9) for account in "bcd"] == [1, 1, 0]
    assert [send(those, 100, account, now=8.0) for account in "dabc"] == [6, 1, 1, 0]


def test_wait__each_is_told_to_come_in_turn() -> None:
    those = HostLimits(in_flight=1000, per_second=8)
    send(those, 6)
    waits = [those.wait("h", "a", 0.0) for _ in range(16)]
    # One was asked for by `send` already.
    assert waits == [n / 8 for n in range(1, 17)]
    # An account that asks for little is not behind all of what another one asked for.
    send(those, 2, "b")
    assert those.wait("h", "b", 0.0) == 2 * 2 / 8
    # The queue grows shorter by the rate, whoever comes.
    assert those.wait("h", "a", 1.0) is None
    send(those, 6, now=1.0)
    assert those.wait("h", "a", 1.0) == pytest.approx((16 - 4 + 1) / 8)


def test_memory__idle_hosts_are_forgotten_and_busy_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_limits, "PRUNED_AT", 3)
    those = HostLimits(in_flight=1, per_second=1)
    send(those, 1, host="busy")
    for number in range(20):
        name = str(number)
        assert send(those, 1, host=name, now=number + 1.0) == 1
        those.end(name, "a")
    assert len(those._hosts) <= 4
    assert send(those, 1, host="busy", now=100.0) == 0
