"""Whether credentials are good: what a target's receiver says to them, without sending it anything.

Invariant: as of a target: nothing is raised for what the other side does, and no text holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from cronally.targets.target import Outcome


@dataclass(frozen=True, slots=True)
class Tried:
    """What was said to credentials."""

    accepted: bool
    outcome: Outcome
    """As of an attempt; its detail says what was wrong."""
    status: int | None = None
    """Of an answer of HTTP."""
    aws_account: str | None = None
    aws_arn: str | None = None
    """Whose keys they are."""


@runtime_checkable
class AssumingTarget(Protocol):
    """A target of AWS that can assume roles."""

    @property
    def assumes(self) -> bool:
        """Whether it can without keys of the connection."""


@runtime_checkable
class TryingTarget(Protocol):
    """A target that can find out whether credentials are good."""

    async def try_credentials(
        self, public: Mapping[str, Any], secret: Mapping[str, str], account_id: str
    ) -> Tried:
        """Ask once, within `request_timeout`.

        :param public: what may be shown of a connection, with its id
        :param secret: what else it holds
        :param account_id: whose it is
        """
