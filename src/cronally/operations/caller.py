"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from cronally.audit_chain import Who
from cronally.contract.limits import Limits


@dataclass(frozen=True, slots=True)
class Caller:
    """An account and the API key by which it is known."""

    account_id: str
    api_key: str
    secret: bytes = field(repr=False)
    """The API secret, opened."""
    who: Who = Who.KEY
    """Who the audit log says has asked."""
    address: str | None = None
    """The client's."""
    request_id: str | None = None
    """Of the request, or of the operation in the background."""
    suspended: str | None = None
    """Why the operator has suspended the account; None while it is not."""
    limits: Limits | None = None
    """What holds for the account, where it has limits of its own."""
