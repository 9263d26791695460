"""Operations: what a tenant can do, with its rules. No HTTP, no SQL.

Invariant: every operation acts for one account and reaches nothing of another's; what is not the account's looks
exactly like what does not exist. All that is wrong with parameters is said at once.
"""

from __future__ import annotations

from cronally.operations.caller import Caller
from cronally.operations.health import Health
from cronally.operations.lists import Page
from cronally.operations.operations import Operations
from cronally.operations.permissions import Access, Reach
from cronally.operations.permissions import check as check_permission

__all__ = ["Access", "Caller", "Health", "Operations", "Page", "Reach", "check_permission"]
