"""Creating a cron job.

Invariant: all that is wrong with a request is said at once, and before anything is sent or stored. A request that is
repeated with its idempotency key sends no second test message.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection

from cronally.contract.cronjob_requests import NewCronjob
from cronally.contract.cronjobs import Cronjob
from cronally.contract.reading import Reading
from cronally.contract.verification import VERIFY
from cronally.operations.calendars import Calendars
from cronally.operations.caller import Caller
from cronally.operations.changes import Changes
from cronally.operations.cronjob_verifying import CronjobVerifying
from cronally.operations.looking import look
from cronally.operations.parts import change
from cronally.operations.repeats import check_key
from cronally.operations.restricting import Restricting
from cronally.operations.rules import Rules
from cronally.operations.shown import show_cronjob
from cronally.operations.telling import TELLS, find_telling
from cronally.operations.using import USED, find_used
from cronally.store import Signal, Store
from cronally.store.connections import StoredConnection
from cronally.targets.target import Target


class Creating:
    """Creates the cron jobs of one store."""

    def __init__(
        self,
        store: Store,
        targets: Mapping[str, Target],
        rules: Rules,
        changes: Changes,
        calendars: Calendars,
        verifying: CronjobVerifying,
        restricting: Restricting,
    ) -> None:
        self._store = store
        self._targets = targets
        self._rules = rules
        self._changes = changes
        self._calendars = calendars
        self._verifying = verifying
        self._restricting = restricting

    async def create(
        self, caller: Caller, reading: Reading[NewCronjob], *, idempotency_key: str | None, only_name: bool
    ) -> Cronjob:
        """As `Operations.create_cronjob`."""
        cronjob_id, now = str(uuid4()), await self._store.clock()
        check_key(reading, idempotency_key)
        await self._restricting.check_new(caller, reading)
        used = await self._find_named(caller, reading)
        warnings, verification = await look(self._targets, caller, reading), None
        known = await self._calendars.names_for(caller, reading)
        specification = self._rules.check_new(
            reading, cronjob_id=cronjob_id, now=now, calendars=known, used=used
        )
        wanted: dict[str, Any] = {
            "account_id": caller.account_id,
            "cronjob_id": cronjob_id,
            "specification": specification,
            "parameters": reading.parameters,
            "idempotency_key": idempotency_key,
        }
        if reading.values.get(VERIFY) and specification.destination is not None:
            # Not for what is there already, or would be refused.
            made, _ = await self._store.transact(partial(self._changes.check_create, **wanted, now=now))
            if made is not None:
                return await show_cronjob(self._store, made, warnings)
            verification = await self._verifying.require_new(
                caller, cronjob_id, specification, specification.destination, now
            )
            now = await self._store.clock()
        wanted |= {"changed_by": caller.api_key, "only_name": only_name}
        create = partial(self._changes.create, **wanted, now=now)
        cronjob = await change(self._store, create)
        await self._store.announce(Signal.CRONJOBS)
        verification = verification if cronjob.cronjob_id == cronjob_id else None
        return await show_cronjob(self._store, cronjob, warnings, verification)

    async def _find_named(self, caller: Caller, reading: Reading[NewCronjob]) -> StoredConnection | None:
        """The connection that a new cron job is to use; the cron job that it is to tell gets its id in the request."""
        if not reading.values.keys() & {USED, TELLS}:
            return None  # the usual one pays no transaction for it

        def work(connection: Connection) -> StoredConnection | None:
            find_telling(connection, caller.account_id, reading, None, self._targets)
            return find_used(connection, caller.account_id, reading)

        return await self._store.transact(work)
