"""The audit logs of accounts: a row for each thing that was done, and where each log begins and ends.

Invariant: a row is added and never altered; the oldest are deleted for their age alone, and their last hash is kept.
No row holds a secret. None refers to the account's row: a log outlives what it tells of.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text

from cronally.store.tables.columns import INSTANT, KEY, metadata, partial_index
from cronally.store.types import Id

audit: Final = Table(
    "audit",
    metadata,
    Column("account_id", Id, nullable=False),
    # 1, 2, 3, ... in each account.
    Column("number", BigInteger, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", KEY, nullable=False),
    Column("subject", Text, nullable=False),
    Column("subject_id", Text),
    # JSON: a list of name, before and after.
    Column("changes", Text, nullable=False),
    Column("cronjob_id", Id),
    Column("api_key", KEY),
    Column("address", Text),
    Column("request_id", Text),
    # How often, where one row stands for repeats.
    Column("count", Integer, nullable=False),
    # The hash of the row before, and its own.
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "number"),
)
Index("ix_audit_at", audit.c.account_id, audit.c.at, audit.c.number)
partial_index(
    "ix_audit_cronjob_id", "cronjob_id IS NOT NULL", audit.c.account_id, audit.c.cronjob_id, audit.c.number
)

audit_chain: Final = Table(
    "audit_chain",
    metadata,
    # The number and hash of an account's newest row, and of the last that is not kept any more.
    Column("account_id", Id, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("anchor_number", BigInteger, nullable=False),
    Column("anchor", Text, nullable=False),
)
