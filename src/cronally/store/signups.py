"""How often an address asked for an account, by the minute: a count that all nodes share.

Invariant: an ask is counted before it is looked at, in a transaction of its own, so that one that fails counts too.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

# The same text on both databases; two who count at once wait for each other's row.
_COUNT: Final = text(
    """
    INSERT INTO signup (address, minute, count) VALUES (:address, :minute, :asks)
    ON CONFLICT (address, minute) DO UPDATE SET count = signup.count + excluded.count
    RETURNING count
    """
)


def count_signup(connection: Connection, address: str, minute: int, asks: int = 1) -> int:
    """Count one more ask, or several, and return how many there were in that minute, these included.

    :param address: an IPv4 address or an IPv6 /64, as text
    :param minute: the instant at which the minute begins
    """
    parameters = {"address": address, "minute": minute, "asks": asks}
    count: int = connection.execute(_COUNT, parameters).scalar_one()
    return count
