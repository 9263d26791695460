"""The keys of AWS that a destination has, whether its cron job gave them or what it shares with others."""

from __future__ import annotations

from typing import Final, NamedTuple

from cronally.targets.target import Destination

SHARED: Final = "aws"
"""What the names of keys begin with that are those of no target alone."""


class Credentials(NamedTuple):
    """What requests to AWS are signed with."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may hold."""
        return tuple(filter(None, (self.secret_access_key, self.session_token)))

    def __repr__(self) -> str:
        """Only the id is no secret."""
        return f"Credentials({self.access_key_id!r})"


def credentials_of(destination: Destination, prefix: str = SHARED) -> Credentials | None:
    """The keys under the names of one target, or else under those that all share; None where there are none.

    :param prefix: what the target's own names begin with
    """
    secrets = destination.secret
    for each in (prefix, SHARED):
        secret = secrets.get(f"{each}_secret_access_key")
        if secret:
            key_id = destination.whole(f"{each}_access_key_id")
            # The keys of a connection stand under the target's own names, and their token under that of all.
            return Credentials(key_id, secret, secrets.get(f"{SHARED}_session_token"))
    return None
