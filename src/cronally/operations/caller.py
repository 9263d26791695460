"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field

from cronally.contract.keys import Network


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
