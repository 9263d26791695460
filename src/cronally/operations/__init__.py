"""Operations: what a tenant can do, with its rules. No HTTP, no SQL.

Invariant: every operation acts for one account and reaches nothing of another's; what is not the account's looks
exactly like what does not exist. All that is wrong with parameters is said at once.
"""

from __future__ import annotations

from cronally.operations.caller import Caller
from cronally.operations.health import Health
from cronally.operations.lists import Page
from cronally.operations.operations import Operations

__all__ = ["Caller", "Health", "Operations", "Page"]
