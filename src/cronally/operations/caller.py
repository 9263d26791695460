"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """An account and the API key by which it is known."""

    account_id: str
    api_key: str
    secret: bytes = field(repr=False)
    """The API secret, opened."""
    refuses_v1: bool = False
    """Whether the account refuses requests that are signed by version 1."""
