"""Accounts that are to have another address, until they have it or it is refused.

Invariant: an account has one such change at most.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Table, Text

from cronally.store.tables.columns import INSTANT, KEY, metadata
from cronally.store.types import Id

email_change: Final = Table(
    "email_change",
    metadata,
    Column("account_id", Id, primary_key=True),
    # The new address, and the same without case.
    Column("email", Text, nullable=False),
    Column("email_key", KEY, nullable=False),
    Column("asked_at", INSTANT, nullable=False, index=True),
    # When the owner of the new address has confirmed it, and when that of the old one has agreed.
    Column("confirmed_at", INSTANT),
    Column("agreed_at", INSTANT),
    # When the account gets it though the old address is silent; NULL while the new one is not confirmed.
    Column("applies_at", INSTANT),
)
