"""How often an address asked for an account, by the minute: a count that all nodes share.

Invariant: an ask is counted before it is looked at, in a transaction of its own, so that one that fails counts too.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

# The same text on both databases; two who count at once wait for each other's row.
_COUNT: Final = text(
    """
    INSERT INTO signup (address, minute, count) VALUES (:address, :minute, 1)
    ON CONFLICT (address, minute) DO UPDATE SET count = signup.count + 1
    RETURNING count
    """
)


def count_signup(connection: Connection, address: str, minute: int) -> int:
    """Count one more ask and return how many there were in that minute, this one included.

    :param address: an IPv4 address or an IPv6 /64, as text
    :param minute: the instant at which the minute begins
    """
    count: int = connection.execute(_COUNT, {"address": address, "minute": minute}).scalar_one()
    return count
