"""Requests that were refused, counted."""

from __future__ import annotations

from dataclasses import dataclass

from cronally.audit_chain import Change, Entry, Who
from cronally.contract.audit import Action
from cronally.store.audit_subjects import Subject


@dataclass(slots=True)
class Refused:
    """Requests with one API key from one address, all refused with the same error."""

    account_id: str
    api_key: str
    address: str | None
    """None: of several addresses."""
    error: str
    """The code of the error."""
    first: str
    """Method and route of the first of them."""
    request_id: str | None
    """Of the first."""
    count: int = 1

    def entry(self, now: int) -> Entry:
        """The row of the audit log."""
        return Entry(
            account_id=self.account_id,
            at=now,
            who=Who.KEY,
            action=Action.REQUEST_REFUSED,
            subject=Subject.API_KEY,
            subject_id=self.api_key,
            changes=(Change("error", None, self.error), Change("first", None, self.first)),
            api_key=self.api_key,
            address=self.address,
            request_id=self.request_id,
            count=self.count,
        )
