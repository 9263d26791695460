"""Which limits hold for an account: the server's, but for those that the operator has set for this one.

Invariant: what is stored is a JSON object of the limits of the account's own, none of them the server's: a setting that
changes holds for every account that has none. A name that this version does not know is kept, and counts for nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import declared
from cronally.contract.limits import Limits, check_limit
from cronally.store import accounts


class LimitsInForce:
    """Those of one server."""

    def __init__(self, servers: Limits) -> None:
        self.servers = servers

    def of(self, own: str | None) -> Limits:
        """Those of an account.

        :param own: as they are stored
        """
        if own is None:
            return self.servers
        known = {name: value for name, value in json.loads(own).items() if name in declared(Limits)}
        return replace(self.servers, **known)

    def read(self, connection: Connection, account_id: str) -> Limits:
        """Those of an account, as they are now."""
        return self.of(accounts.get_limits(connection, account_id))


def change_own(own: str | None, changes: Mapping[str, int | None]) -> str | None:
    """The limits of an account's own after a change, as they are stored.

    :param changes: by name; None: the server's

    Raises InvalidRequest.
    """
    after = {} if own is None else json.loads(own)
    complaints = {}
    for name, value in changes.items():
        if name not in declared(Limits):
            complaints[name] = f"is no limit; there are {', '.join(declared(Limits))}"
        elif value is None:
            after.pop(name, None)
        else:
            try:
                check_limit(name, value)
            except ValueError as problem:
                complaints[name] = str(problem)
            after[name] = value
    if complaints:
        said = "; ".join(f"{name} {text}" for name, text in complaints.items())
        raise errors.InvalidRequest(f"{said}.", fields=complaints)
    return json.dumps(after, separators=(",", ":"), sort_keys=True) if after else None
