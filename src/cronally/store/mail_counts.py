"""How many mails nobody has asked for were sent in a day: a count that all nodes share.

Invariant: a mail is counted before it is sent, in the transaction that makes it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, text

from cronally.instants import DAY
from cronally.store import tables

# The same text on both databases; two who count at once wait for each other's row.
_COUNT: Final = text(
    """
    INSERT INTO mail_count (counted, day, count) VALUES (:counted, :day, 1)
    ON CONFLICT (counted, day) DO UPDATE SET count = mail_count.count + 1
    RETURNING count
    """
)


def count_mail(connection: Connection, counted: str, now: int) -> int:
    """Count one more mail, and return how many there were on that day in UTC, this one included.

    :param counted: by what it is counted; no address in the clear
    """
    count: int = connection.execute(_COUNT, {"counted": counted, "day": now - now % DAY}).scalar_one()
    return count


def delete_counts(connection: Connection, before: int) -> int:
    """Delete the counts of days before an instant; return how many."""
    table = tables.mail_count
    return connection.execute(delete(table).where(table.c.day < before)).rowcount
