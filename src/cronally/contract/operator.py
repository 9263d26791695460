"""What the operator is shown of accounts: how each stands, and its keys.

Invariant: nothing here is answered to a tenant, and nothing secret but the key that the operator has just made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from cronally.contract.attribute import Attribute
from cronally.contract.limits import Limits
from cronally.contract.values import EXAMPLE_INSTANT, Uuid
from cronally.contract.writing import Answer

MAX_LISTED: Final = 1000
"""Accounts, keys or firings that one command lists at most."""


class AccountState(StrEnum):
    """How an account stands."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """Nothing of it fires, and its requests are refused with the reason, until the operator resumes it."""
    DELETED = "deleted"
    """Nothing of it fires, and its keys are unknown; until `purge_at` the operator can restore it."""
    PURGED = "purged"
    """Its secrets are destroyed; what is left is its ledger, for as long as that is kept."""


@dataclass(frozen=True, kw_only=True)
class OverseenAccount(Answer):
    """An account as the operator sees it."""

    account_id: Uuid
    email: Annotated[str, Attribute("As it was sent; empty once it is purged")]
    state: Annotated[AccountState, Attribute("How it stands")]
    cronjobs: Annotated[int, Attribute("Cron jobs that are not deleted", minimum=0)]
    limits: Annotated[Limits, Attribute("What holds for it")]
    own_limits: Annotated[list[str], Attribute("Those of these that are its own, not the server's")]
    created_at: Annotated[datetime, Attribute("When it was created", example=EXAMPLE_INSTANT)]
    suspended_at: Annotated[
        datetime | None, Attribute("When it was suspended; null: it is not", example=EXAMPLE_INSTANT)
    ] = None
    reason: Annotated[str | None, Attribute("Why it is suspended, as its owner is told")] = None
    deleted_at: Annotated[
        datetime | None, Attribute("When it was deleted; null: it is not", example=EXAMPLE_INSTANT)
    ] = None
    purge_at: Annotated[
        datetime | None,
        Attribute("Until when it can be restored; then its secrets are destroyed", example=EXAMPLE_INSTANT),
    ] = None


@dataclass(frozen=True, kw_only=True)
class OverseenKey(Answer):
    """An API key of an account, as the operator sees it."""

    api_key: Uuid
    created_at: Annotated[datetime, Attribute("When it was made", example=EXAMPLE_INSTANT)]
    revoked_at: Annotated[
        datetime | None, Attribute("When it was revoked; null: it is not", example=EXAMPLE_INSTANT)
    ] = None
    api_secret: Annotated[
        str | None, Attribute("Base64; shown once, of a key that was just made", absent=True)
    ] = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class OverseenEntry(Answer):
    """A row of an account's audit log, as the operator sees it."""

    number: Annotated[int, Attribute("1, 2, 3, ... in each account", minimum=1)]
    at: Annotated[datetime, Attribute("When it was done", example=EXAMPLE_INSTANT)]
    who: Annotated[str, Attribute("Who did it: a key, the server or the operator", example="operator")]
    action: Annotated[str, Attribute("What was done", example="account.suspend")]
    subject: Annotated[str, Attribute("To what", example="account")]
    subject_id: Annotated[str | None, Attribute("Its id, or its name")] = None
    api_key: Annotated[str | None, Attribute("The API key that asked for it")] = None
    address: Annotated[str | None, Attribute("The client's")] = None
    changes: Annotated[list[str], Attribute("What was changed, each as name: before -> after")]
    hash: Annotated[str, Attribute("Its hash, which the next row holds")]
