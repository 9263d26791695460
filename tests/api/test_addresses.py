"""Whose address counts."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronally.api.addresses import LOCAL, Addresses, is_from_this_machine

PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8:ffff::/48")]


def scope(peer: str | None, *forwarded: str, name: str = "x-forwarded-for") -> dict[str, object]:
    headers = [(name.encode(), text.encode("latin-1")) for text in forwarded]
    return {"client": None if peer is None else (peer, 4711), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.7"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, nonsense, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["203.0.113.7:1234"], "203.0.113.7"),
        ("2001:db8:ffff::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("2001:db8:1:2::1", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        (None, ["203.0.113.7"], LOCAL),
        ("testclient", [], LOCAL),
    ],
)
def test_addresses__limits_count_by(peer: str | None, forwarded: list[str], expected: str) -> None:
    assert Addresses(PROXIES).limited(scope(peer, *forwarded)) == expected


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=4))
def test_addresses__no_header_breaks_it(forwarded: list[str]) -> None:
    assert Addresses(PROXIES).limited(scope("10.0.0.1", *forwarded))


@given(st.lists(st.ip_addresses().map(str), max_size=4))
def test_addresses__without_proxies_the_peer_alone_counts(forwarded: list[str]) -> None:
    assert Addresses().limited(scope("192.0.2.1", *forwarded)) == "192.0.2.1"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (scope("127.0.0.1"), True),
        (scope("::1"), True),
        (scope("::ffff:127.0.0.1"), True),
        (scope(None), True),
        (scope("192.0.2.1"), False),
        (scope("127.0.0.1", "127.0.0.1"), False),
        (scope("127.0.0.1", "for=x", name="forwarded"), False),
        (scope("127.0.0.1", "127.0.0.1", name="x-real-ip"), False),
        (scope("127.0.0.1", "1.1 proxy", name="via"), False),
    ],
)
def test_addresses__this_machine_is_who_connects_and_speaks_for_itself(
    asked: dict[str, object], expected: bool
) -> None:
    assert is_from_this_machine(asked) is expected
