"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from cronally.audit_chain import Who
from cronally.contract.keys import Network
from cronally.contract.limits import Limits


@dataclass(frozen=True, slots=True)
class Caller:
    """An account and the API key by which it is known."""

    account_id: str
    api_key: str
    secret: bytes = field(repr=False)
    """The API secret, opened."""
    name: str = ""
    """What the key is called."""
    scopes: frozenset[str] = frozenset()
    tags: tuple[str, ...] = ()
    """The key is for cron jobs with one of these; for all where there is none."""
    networks: tuple[Network, ...] = ()
    """From where the key may be used; from anywhere where there is none."""
    expires_at: int | None = None
    by_signup: bool = False
    """Whether the account was made with the key."""
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
    refuses_v1: bool = False
    """Whether the account refuses requests that are signed by version 1."""
