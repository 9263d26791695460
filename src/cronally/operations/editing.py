"""Changing a cron job, by its id or by its name.

Invariant: a cron job that is put by its name is the same whatever was there before: what is not sent gets its default,
but for a secret, which stays where it belongs. An account has one cron job of a name that only `put` has made: who puts
at the same time takes turns under the account's lock.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import declared
from cronally.contract.cronjob_requests import CronjobChange, NamedCronjob, NewCronjob
from cronally.contract.cronjobs import Cronjob, Outcome
from cronally.contract.reading import Parameters, Reading
from cronally.contract.values import check_name
from cronally.contract.verification import VERIFY
from cronally.operations.caller import Caller
from cronally.operations.changes import Changes, changes_nothing
from cronally.operations.cronjob_verifying import CronjobVerifying
from cronally.operations.existing import named
from cronally.operations.parts import in_parts
from cronally.operations.shown import show_cronjob
from cronally.operations.using import USED, find_used
from cronally.store import Signal, Store, connection_holds, cronjobs, order
from cronally.targets.connected import URL_PARAMETER

if TYPE_CHECKING:
    from cronally.operations.operations import Operations

TRIES: Final = 3
"""So often `put` looks again when what it found is made, renamed or deleted by somebody else meanwhile."""


class Editing:
    """Changes the cron jobs of one store."""

    def __init__(
        self, store: Store, changes: Changes, verifying: CronjobVerifying, operations: Operations
    ) -> None:
        self._store = store
        self._changes = changes
        self._verifying = verifying
        self._operations = operations

    async def change(
        self,
        caller: Caller,
        cronjob_id: str,
        reading: Reading[CronjobChange],
        *,
        whole: bool = False,
        unless_same: bool = False,
    ) -> tuple[Cronjob, bool]:
        """Change what was sent of a cron job; it, and whether anything was written. Raises InvalidRequest and NotFound.

        :param whole: whether what was not sent gets its default, instead of staying
        :param unless_same: whether one that is already as it is to be is left alone
        """
        await self._operations.restricting.check_change(caller, reading, whole=whole)
        await self._find_used(caller, cronjob_id, reading, whole)
        warnings, verification = await self._operations.look(caller, reading), None
        if reading.values.get(VERIFY):
            verification = await self._verifying.require_change(caller, cronjob_id, reading, whole=whole)
        update = partial(
            self._changes.update,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            reading=reading,
            changed_by=caller.api_key,
            whole=whole,
            unless_same=unless_same,
        )
        changed = await in_parts(self._store, lambda connection, now: update(connection, now=now))
        if not changed.over:
            await in_parts(self._store, lambda connection, _now: order.free(connection, cronjob_id) or None)
        if changed.reconnected:
            free = partial(connection_holds.free, cronjob_id=cronjob_id)
            await in_parts(self._store, lambda connection, now: free(connection, now=now) or None)
        if not changes_nothing(reading):
            await self._store.announce(Signal.CRONJOBS)
            # What fell due before the change is in the ledger now.
            await self._store.announce(Signal.FIRINGS)
        answer = await show_cronjob(self._store, changed.cronjob, warnings, verification)
        return answer, changed.wrote

    async def _find_used(
        self, caller: Caller, cronjob_id: str, reading: Reading[CronjobChange], whole: bool
    ) -> None:
        """Let the URL of a change be a whole one, where it is a path below that of the cron job's connection."""
        if not reading.values.keys() & {USED, URL_PARAMETER}:
            return

        def work(connection: Connection) -> None:
            cronjob = cronjobs.get_cronjob(connection, caller.account_id, cronjob_id)
            if cronjob is not None:
                find_used(connection, caller.account_id, reading, cronjob, whole=whole)

        await self._store.transact(work)

    async def put(self, caller: Caller, name: str, reading: Reading[NamedCronjob]) -> Cronjob:
        """Let the cron job of a name be as it is sent: create it, change it, or leave it, and say which.

        Raises InvalidRequest, Conflict where several have the name, and what creating and changing raise.
        """
        try:
            name = check_name(name)
        except ValueError as problem:
            reading.complain("name", problem)
            reading.raise_complaints()
        await self._operations.restricting.check_name(caller, name)
        for _ in range(TRIES):
            find = partial(named, account_id=caller.account_id, name=name)
            found = await self._store.transact(find)
            if len(found) > 1:
                ids = ", ".join(cronjob.cronjob_id for cronjob in found)
                raise errors.Conflict(
                    f"Several cron jobs have this name ({ids}); change one of them by its id, or rename the others."
                )
            try:
                if not found:
                    new = _read(NewCronjob, name, reading)
                    made = await self._operations.create_cronjob(caller, new, only_name=True)
                    return replace(made, outcome=Outcome.CREATED)
                change = _read(CronjobChange, name, reading)
                cronjob_id = found[0].cronjob_id
                answer, wrote = await self.change(caller, cronjob_id, change, whole=True, unless_same=True)
                return replace(answer, outcome=Outcome.CHANGED if wrote else Outcome.UNCHANGED)
            except (errors.Conflict, errors.NotFound):
                continue
        raise errors.Conflict()


def _read(kind: type[Any], name: str, reading: Reading[NamedCronjob]) -> Reading[Any]:
    """What was sent, of a cron job of this name, with all complaints about it."""
    read: Reading[Any] = Reading(kind, Parameters({**reading.parameters, "name": name}))
    read.complaints |= reading.complaints
    for complained in reading.complaints.keys() & declared(kind).keys():
        read.values.pop(complained, None)
    return read
