"""Test messages to where the firings of a cron job go, or would go once it is made or changed.

Invariant: what is sent to is what a firing would be sent to, with the same secrets; a request that would be refused, or
changes too often, sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial

from sqlalchemy import Connection

from cronally.contract.cronjob_requests import CronjobChange
from cronally.contract.reading import Reading
from cronally.contract.verification import Verification
from cronally.operations.caller import Caller
from cronally.operations.changes import Changes
from cronally.operations.completing import Completing
from cronally.operations.cronjob_secrets import merged, place_of
from cronally.operations.existing import existing
from cronally.operations.quotas import Quotas
from cronally.operations.rules import Specification
from cronally.operations.verifying import Verifier
from cronally.store import Store, connections, cronjobs
from cronally.targets.target import Destination


class CronjobVerifying:
    """Verifies the targets of the cron jobs of one store."""

    def __init__(
        self, store: Store, changes: Changes, quotas: Quotas, completing: Completing, verifier: Verifier
    ) -> None:
        self._store = store
        self._changes = changes
        self._quotas = quotas
        self._completing = completing
        self._verifier = verifier

    async def verify(self, caller: Caller, cronjob_id: str) -> Verification:
        """Send the target of a cron job a test message. Raises NotFound and RateLimited."""
        return await self._send(self._verifier.verify, caller, cronjob_id, None, whole=False)

    async def require_change(
        self, caller: Caller, cronjob_id: str, change: Reading[CronjobChange], *, whole: bool
    ) -> Verification:
        """Send a test message to where the firings of a cron job would go after a change.

        :param whole: whether what was not sent of the change gets its default

        Raises VerificationFailed if it is not taken, and what the change raises.
        """
        return await self._send(self._verifier.require, caller, cronjob_id, change, whole=whole)

    async def require_new(
        self, caller: Caller, cronjob_id: str, wanted: Specification, destination: Destination, now: int
    ) -> Verification:
        """Send a test message to where the firings of a new cron job are to go, `destination`.

        Raises VerificationFailed if it is not taken.
        """
        complete = partial(
            self._completing.complete,
            account_id=caller.account_id,
            destination=destination,
            used=wanted.used,
            name=wanted.name,
            timezone=wanted.timing.timezone,
        )
        return await self._verifier.require(
            await self._store.transact(complete),
            cronjob_id=cronjob_id,
            cronjob_name=wanted.name,
            timezone=wanted.timing.timezone,
            now=now,
        )

    async def _send(
        self,
        send: Callable[..., Awaitable[Verification]],
        caller: Caller,
        cronjob_id: str,
        change: Reading[CronjobChange] | None,
        *,
        whole: bool,
    ) -> Verification:
        now = await self._store.clock()
        read = partial(
            self._read_destination,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            change=change,
            whole=whole,
            now=now,
        )
        destination, name, timezone = await self._store.transact(read)
        return await send(destination, cronjob_id=cronjob_id, cronjob_name=name, timezone=timezone, now=now)

    def _read_destination(
        self,
        connection: Connection,
        *,
        account_id: str,
        cronjob_id: str,
        change: Reading[CronjobChange] | None,
        whole: bool,
        now: int,
    ) -> tuple[Destination, str, str]:
        """Where the firings of a cron job go, or would go after a change, with the secrets, and its name and time zone
        by then.

        :param whole: whether what was not sent of the change gets its default
        Raises NotFound, InvalidRequest, and Unavailable if the server has not the key that its secret is sealed with.
        """
        cronjob = existing(connection, account_id, cronjob_id)
        name, public, target = cronjob.name, json.loads(cronjob.destination), cronjob.target
        timezone, destination, kept, used = cronjob.timezone, None, None, None
        if change is None and cronjob.connection_id is not None:
            used = connections.get_connection(connection, account_id, cronjob.connection_id)
        if change is not None:
            wanted = self._changes.check_change(connection, change, cronjob, now, whole)
            self._quotas.check_change(connection, cronjob, now)
            name, timezone, used = wanted.name, wanted.timing.timezone, wanted.used
            if wanted.destination is not None:
                destination, kept = wanted.destination, wanted.kept
                public, target = dict(destination.public), destination.target
        if destination is None or kept is None or kept:
            sealed = cronjobs.get_secret(connection, cronjob)
            secret = self._completing.read_secret(sealed, place_of(cronjob))
            if destination is not None and kept is not None:
                secret = merged(secret, kept, destination)
            destination = Destination(target, public, secret)
        destination = self._completing.complete(
            connection, account_id, destination, used, name=name, timezone=timezone
        )
        return destination, name, timezone
