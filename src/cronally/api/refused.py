"""What is refused to those who come with an API key of an account, for the audit log of the account.

Invariant: bounded, whoever asks how often: of an account a row for each of its first `MAX_ADDRESSES` addresses and one
for all others, for each reason, with a count. It is written a minute after the first; who goes on is written after
twice as long each time, up to an hour. At most `MAX_ACCOUNTS` accounts are held. A process that is killed loses what
it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request

from cronally import errors
from cronally.api.addresses import Addresses
from cronally.api.request_ids import request_id_of
from cronally.operations import Caller, Operations
from cronally.operations.refused import Refused

MAX_ADDRESSES: Final = 3
MAX_ACCOUNTS: Final = 10_000
FIRST: Final = 60.0
LONGEST: Final = 3600.0
"""Seconds until it is written."""


@dataclass(slots=True)
class _Account:
    """What was refused to one account."""

    due_at: float
    wait: float
    groups: dict[tuple[str, str | None, str], Refused] = field(default_factory=dict)


class RefusedRequests:
    """Counts in memory, and writes when it is time."""

    def __init__(self, operations: Operations, addresses: Addresses, monotonic: Callable[[], float]) -> None:
        """
        :param monotonic: seconds, that never go back
        """
        self._operations = operations
        self._addresses = addresses
        self._monotonic = monotonic
        self._accounts: dict[str, _Account] = {}

    def note(self, caller: Caller, request: Request, error: errors.RequestError) -> None:
        """Count a request that was refused.

        :param caller: whose the API key is that it came with, whoever has sent it
        """
        account = self._accounts.get(caller.account_id)
        if account is None:
            if len(self._accounts) >= MAX_ACCOUNTS:
                return
            account = _Account(self._monotonic() + FIRST, FIRST)
            self._accounts[caller.account_id] = account
        client = self._addresses.client(request.scope)
        address = None if client is None else str(client)
        known = {address for _, address, _ in account.groups}
        if address not in known and len(known) >= MAX_ADDRESSES:
            address = None
        key = (caller.api_key, address, error.code)
        group = account.groups.get(key)
        if group is None:
            route = request.scope.get("route")
            account.groups[key] = Refused(
                caller.account_id,
                caller.api_key,
                address,
                error.code,
                f"{request.method} {'none' if route is None else route.path_format}",
                request_id_of(request.scope),
            )
        else:
            group.count += 1

    async def flush(self, *, all_of_it: bool = False) -> None:
        """Write what is due into the audit logs.

        :param all_of_it: whether nothing is to be left, because the server stops
        """
        now = self._monotonic()
        due = {key: one for key, one in self._accounts.items() if all_of_it or now >= one.due_at}
        found: dict[str, dict[tuple[str, str | None, str], Refused]] = {}
        for key, one in due.items():
            if not one.groups:
                del self._accounts[key]
                continue
            found[key], one.groups = one.groups, {}
            one.wait = min(2 * one.wait, LONGEST)
            one.due_at = now + one.wait
        if not found:
            return
        try:
            await self._operations.auditing.record_refused(
                [one for of in found.values() for one in of.values()]
            )
        except errors.Unavailable:
            for key, groups in found.items():
                self._accounts[key].groups = groups | self._accounts[key].groups
            raise
