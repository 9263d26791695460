"""Pause and resume: one cron job stands still, and goes on.

Invariant: under the cron job's row lock. What fell due before a pause is in the ledger and goes on being delivered;
what falls due meanwhile is skipped, and nothing of it fires when the pause ends.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection

from cronally import errors
from cronally.audit_chain import Who
from cronally.contract.audit import Action
from cronally.contract.cronjob_requests import Pause
from cronally.contract.cronjobs import Cronjob as CronjobAnswer
from cronally.contract.reading import Reading
from cronally.cronjob import MAX_PAUSE, State
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.existing import lock
from cronally.operations.parts import change, in_parts
from cronally.operations.quotas import MAX_VERSIONS, Quotas
from cronally.operations.shown import show_cronjob
from cronally.store import Signal, Store, happenings, pauses, schedule, versions
from cronally.store.audit_subjects import Subject
from cronally.store.cronjobs import Cronjob
from cronally.store.happenings import Happening, What


class Pausing:
    """Pauses and resumes the cron jobs of one store."""

    def __init__(self, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    async def pause(self, caller: Caller, cronjob_id: str, reading: Reading[Pause]) -> CronjobAnswer:
        """Let a cron job stand still; one that is paused gets this note and this end.

        Raises InvalidRequest, also for one that is completed, NotFound, and RateLimited.
        """
        check_until(reading, await self._store.clock())
        reading.raise_complaints()
        pause = partial(
            self._pause,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            until=reading.values.get("until"),
            note=reading.values.get("note"),
            changed_by=caller.api_key,
        )
        deed = Deed(caller, Action.CRONJOB_PAUSE, Subject.CRONJOB, cronjob_id)
        cronjob = await in_parts(self._store, deed, lambda connection, now: pause(connection, now=now))
        # What fell due before the pause is in the ledger now.
        await self._store.announce(Signal.FIRINGS)
        await self._store.announce(Signal.CRONJOBS)
        return await show_cronjob(self._store, cronjob)

    def _pause(
        self,
        connection: Connection,
        *,
        account_id: str,
        cronjob_id: str,
        until: int | None,
        note: str | None,
        changed_by: str | None,
        now: int,
    ) -> Cronjob | None:
        """Pause it; None where more is owed than one transaction settles."""
        before = pauses.look(connection, lock(connection, account_id, cronjob_id), now)
        if before.paused_at is not None and (before.paused_until, before.paused_note) == (until, note):
            return before
        self._quotas.check_change(connection, before, now)
        if before.paused_at is None:
            if not schedule.record_settled(connection, cronjob_id, now):
                return None
            before = lock(connection, account_id, cronjob_id)
        if before.state == State.COMPLETED:
            raise errors.InvalidRequest(
                "The cron job is completed: nothing is left to fire that a pause could keep back."
            )
        after = pauses.pause(connection, before, now, until=until, note=note, changed_by=changed_by)
        versions.forget_versions(connection, cronjob_id, after.version - MAX_VERSIONS)
        return after

    async def stop(self, account_id: str, cronjob_id: str, failures: int) -> None:
        """Pause a cron job that does nothing but fail, for the server; one that is paused stays as it is.

        Raises InvalidRequest for one that is completed, NotFound, and RateLimited.
        """
        note = f"Paused by the server: {failures:,} firings in a row failed. resume lets it fire again."
        stop = partial(self._stop, account_id=account_id, cronjob_id=cronjob_id, note=note)
        deed = Deed(
            Caller(account_id, "", b"", who=Who.SERVER), Action.CRONJOB_PAUSE, Subject.CRONJOB, cronjob_id
        )
        await in_parts(self._store, deed, lambda connection, now: stop(connection, now=now))
        await self._store.announce(Signal.FIRINGS)
        await self._store.announce(Signal.CRONJOBS)

    def _stop(
        self, connection: Connection, *, account_id: str, cronjob_id: str, note: str, now: int
    ) -> Cronjob | None:
        before = lock(connection, account_id, cronjob_id)
        if before.state == State.PAUSED:
            return before
        after = self._pause(
            connection,
            account_id=account_id,
            cronjob_id=cronjob_id,
            until=None,
            note=note,
            changed_by=None,
            now=now,
        )
        if after is not None:
            paused = Happening(account_id, cronjob_id, What.PAUSED, now, now)
            happenings.add(connection, [paused])
        return after

    async def resume(self, caller: Caller, cronjob_id: str) -> CronjobAnswer:
        """Let a paused cron job fire again; one that is not paused stays as it is.

        Raises InvalidExpression for one whose schedule this server cannot read, NotFound, and RateLimited.
        """
        now = await self._store.clock()
        resume = partial(
            self._resume,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            changed_by=caller.api_key,
            now=now,
        )
        deed = Deed(caller, Action.CRONJOB_RESUME, Subject.CRONJOB, cronjob_id)
        cronjob = await change(self._store, deed, now, resume)
        await self._store.announce(Signal.CRONJOBS)
        return await show_cronjob(self._store, cronjob)

    def _resume(
        self, connection: Connection, *, account_id: str, cronjob_id: str, changed_by: str | None, now: int
    ) -> Cronjob:
        before = pauses.look(connection, lock(connection, account_id, cronjob_id), now)
        if before.state != State.PAUSED:
            return before
        self._quotas.check_change(connection, before, now)
        try:
            after = pauses.resume(connection, before, now, changed_by=changed_by)
        except (errors.InvalidExpression, ValueError) as problem:
            raise errors.InvalidExpression(
                f"The cron job cannot be resumed, because this server cannot read its schedule: {problem}"
            ) from None
        versions.forget_versions(connection, cronjob_id, after.version - MAX_VERSIONS)
        return after


def check_until(reading: Reading[Any], now: int) -> None:
    """Complain of an end that cannot be one."""
    until = reading.values.get("until")
    if until is not None and until <= now:
        reading.complain("until", ValueError("is not in the future; give a later instant"))
    elif until is not None and until > now + MAX_PAUSE:
        reading.complain("until", ValueError("is more than 10 years ahead; give an earlier instant"))
