"""The keys of AWS that a destination has, whether its cron job gave them or what it shares with others."""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from cronally.targets.target import Destination

SHARED: Final = "aws"
"""What the names of keys begin with that are those of no target alone."""

_SESSION_TOKEN: Final = f"{SHARED}_session_token"


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
    for secret_name, key_id_name in _names(prefix):
        secret = secrets.get(secret_name)
        if secret:
            # The keys of a connection stand under the target's own names, and their token under that of all.
            return Credentials(destination.whole(key_id_name), secret, secrets.get(_SESSION_TOKEN))
    return None


@cache
def _names(prefix: str) -> tuple[tuple[str, str], ...]:
    """Of the secrets and of the ids that belong to them. There are as many prefixes as targets."""
    return tuple((f"{each}_secret_access_key", f"{each}_access_key_id") for each in (prefix, SHARED))
