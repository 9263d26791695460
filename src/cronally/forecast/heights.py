"""How many of many sets of places hold each place.

Invariant: a set of places is a number, bit n for place n, and so is each digit of the counts: plane p holds the places
whose count has the binary digit p. To add a set takes a few operations on whole numbers, however many places it has.
"""

from __future__ import annotations

from collections.abc import Iterator


class Heights:
    """Counts by place."""

    __slots__ = ("_planes",)

    def __init__(self) -> None:
        self._planes: list[int] = []

    @property
    def bound(self) -> int:
        """No place has more."""
        return (1 << len(self._planes)) - 1

    @property
    def total(self) -> int:
        """The sum over all places."""
        return sum(plane.bit_count() << number for number, plane in enumerate(self._planes))

    def add(self, bits: int, times: int = 1) -> None:
        """Add a set of places, so many times."""
        number = 0
        while times:
            if times & 1:
                self._carry(bits, number)
            times >>= 1
            number += 1

    def add_all(self, other: Heights) -> None:
        """Add the counts of another."""
        for number, plane in enumerate(other._planes):
            self._carry(plane, number)

    def _carry(self, bits: int, number: int) -> None:
        planes = self._planes
        while bits:
            while number >= len(planes):
                planes.append(0)
            planes[number], bits = planes[number] ^ bits, planes[number] & bits
            number += 1

    def levels(self) -> Iterator[tuple[int, int]]:
        """The counts that there are, the highest first, each with its places."""
        left = 0
        for plane in self._planes:
            left |= plane
        while left:
            found, height = left, 0
            for number in reversed(range(len(self._planes))):
                if both := found & self._planes[number]:
                    found, height = both, height | 1 << number
            yield height, found
            left ^= found

    def sums(self, size: int, width: int = 1) -> list[int]:
        """The counts, summed over each `width` places that follow each other.

        :param size: how many sums there are
        """
        found = [0] * size
        for number, plane in enumerate(self._planes):
            for place in places(plane):
                found[place // width] += 1 << number
        return found


def places(bits: int) -> Iterator[int]:
    """The places of a set, in order."""
    digits = bin(bits)[:1:-1]
    at = digits.find("1")
    while at >= 0:
        yield at
        at = digits.find("1", at + 1)
