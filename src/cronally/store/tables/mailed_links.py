"""Links that were sent by mail and can still be used.

Invariant: of a token there is a digest. A link is deleted when it is used, so it is used once.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Table, Text

from cronally.store.tables.columns import INSTANT, KEY, metadata
from cronally.store.types import Id

mailed_link: Final = Table(
    "mailed_link",
    metadata,
    Column("digest", KEY, primary_key=True),
    Column("purpose", Text, nullable=False),
    # The address that it went to, and the same without case.
    Column("email", Text, nullable=False),
    Column("email_key", KEY, nullable=False, index=True),
    # The account that it is for. NULL: of sign-up, or nobody has got it and it leads nowhere.
    Column("account_id", Id),
    Column("created_at", INSTANT, nullable=False),
    # From then on it leads nowhere.
    Column("until_at", INSTANT, nullable=False, index=True),
)
