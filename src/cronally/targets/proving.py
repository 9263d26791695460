"""Whether a host is an account's own: what a target finds where the host is to show it.

Invariant: as of a target: nothing is raised for what the other side does. Of what the host shows nothing is told but
the status, and whether it is the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Found:
    """What was found."""

    detail: str | None = None
    """What was wrong; None: it shows the text."""
    final: bool = False
    """Of what was wrong: whether the host said so, rather than nothing that could be understood."""


@runtime_checkable
class ProvingTarget(Protocol):
    """A target whose receivers can show whose they are."""

    async def find_proof(self, host: str, path: str, text: str, account_id: str) -> Found:
        """Look once, over TLS, within `request_timeout`; redirects are not followed.

        :param host: with its port unless that is 443
        :param account_id: whose it is to be
        """
