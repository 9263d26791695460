"""Running a cron job now: one manual firing, beside the fire times that it owes.

Invariant: a request inserts one row of kind `manual` or none, under the cron job's row lock, and changes nothing of the
cron job. It is sent as any other firing. What it sends of its own is checked as at the cron job's creation, and sealed.
"""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.audit import Action
from cronally.contract.firings import MAX_AHEAD, ManualFiring
from cronally.contract.firings import Firing as FiringAnswer
from cronally.contract.reading import Reading
from cronally.firing import Kind, firing_id
from cronally.instants import format_duration, format_iso
from cronally.operations.answers import firing_answer
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.destination_rules import DestinationRules
from cronally.operations.existing import NO_CRONJOB, not_deleted
from cronally.operations.parts import change
from cronally.operations.quotas import MAX_RUNS, Quotas
from cronally.operations.repeats import Repeats, check_key, other_request
from cronally.store import Signal, Store, accounts, cronjobs, ledger, manual
from cronally.store.audit_subjects import Subject
from cronally.store.cronjobs import Cronjob
from cronally.store.ledger import Firing
from cronally.vault import SealContext, Vault

_NEW: Final = "a new firing"


class Runs:
    """Makes manual firings."""

    def __init__(
        self, store: Store, vault: Vault, rules: DestinationRules, quotas: Quotas, repeats: Repeats
    ) -> None:
        self._store = store
        self._vault = vault
        self._rules = rules
        self._quotas = quotas
        self._repeats = repeats

    async def run_cronjob(
        self,
        caller: Caller,
        cronjob_id: str,
        reading: Reading[ManualFiring],
        *,
        idempotency_key: str | None = None,
    ) -> FiringAnswer:
        """Make one manual firing of a cron job in any state, or answer with the one that the same key made.

        Raises NotFound for a cron job that is deleted, another's, or was never there; InvalidRequest (also for an
        idempotency key that came with other parameters); Forbidden and RateLimited where it would be one too many.
        """
        check_key(reading, idempotency_key)
        now = await self._store.clock()
        return await self._make(caller, cronjob_id, reading, idempotency_key, now, None)

    async def run_at(
        self, caller: Caller, cronjob_id: str, at: int | None, *, idempotency_key: str
    ) -> FiringAnswer:
        """Make one manual firing at an instant, or now if that has passed: it was looked at when it was asked for.

        Raises what `run_cronjob` raises.
        """
        now = await self._store.clock()
        reading = Reading(ManualFiring, {})
        start = now if at is None else max(at, now)
        return await self._make(caller, cronjob_id, reading, idempotency_key, now, start)

    async def _make(
        self,
        caller: Caller,
        cronjob_id: str,
        reading: Reading[ManualFiring],
        idempotency_key: str | None,
        now: int,
        start: int | None,
    ) -> FiringAnswer:
        run = partial(
            self._run,
            account_id=caller.account_id,
            cronjob_id=cronjob_id,
            reading=reading,
            idempotency_key=idempotency_key,
            now=now,
            start=start,
        )
        deed = Deed(caller, Action.CRONJOB_RUN, Subject.CRONJOB, cronjob_id, told=_told)
        firing, name, _ = await change(self._store, deed, now, run)
        await self._store.announce(Signal.FIRINGS)
        return firing_answer(firing, name, None)

    def _run(
        self,
        connection: Connection,
        *,
        account_id: str,
        cronjob_id: str,
        reading: Reading[ManualFiring],
        idempotency_key: str | None,
        now: int,
        start: int | None,
    ) -> tuple[Firing, str, bool]:
        """Insert the firing; it, the name of its cron job, and whether it is new. May run again in another transaction.

        :param start: when; None: as was sent
        """
        cronjob = cronjobs.lock_cronjob(connection, account_id, cronjob_id)
        if cronjob is None:
            raise errors.NotFound(NO_CRONJOB)
        # The count of the account's holds, and a repeated request finds the first one's key.
        accounts.lock_account(connection, account_id)
        parameters = {**reading.parameters, "cronjob_id": cronjob_id}
        if idempotency_key is not None and not reading.complaints:
            used = self._repeats.find(connection, account_id, idempotency_key, parameters, now, _NEW)
            if used is not None:
                return _made(connection, cronjob, used.scheduled_at), cronjob.name, False
        not_deleted(cronjob)
        message = self._rules.check_message(reading, cronjob)
        if start is None:
            start = check_start(reading, now)
        reading.raise_complaints()
        self._quotas.check_run(connection, cronjob, now)
        earliest = manual.not_before(connection, cronjob_id, now)
        scheduled_at = manual.first_free(connection, cronjob_id, max(start, earliest), MAX_RUNS)
        own = self._seal(cronjob, scheduled_at, message) if message else None
        manual.insert_manual_firing(connection, account_id, cronjob_id, scheduled_at, now, own)
        if own is not None:
            self._quotas.weigh(connection, account_id)
        if idempotency_key is not None:
            self._repeats.record(
                connection, account_id, idempotency_key, parameters, now, cronjob_id, scheduled_at
            )
        return _made(connection, cronjob, scheduled_at), cronjob.name, True

    def _seal(self, cronjob: Cronjob, scheduled_at: int, message: dict[str, Any]) -> manual.OwnMessage:
        row_id = firing_id(cronjob.cronjob_id, scheduled_at, Kind.MANUAL)
        place = SealContext(cronjob.account_id, "firing_message", "secret", row_id)
        sealed = self._vault.seal(json.dumps(message, ensure_ascii=False).encode(), place)
        return manual.OwnMessage(sealed, self._rules.message_size(cronjob, message))


def _made(connection: Connection, cronjob: Cronjob, scheduled_at: int | None) -> Firing:
    """The firing that was asked for. Raises InvalidRequest where the key that says so made no firing that is kept."""
    if scheduled_at is not None:
        firing = ledger.get_firing(
            connection, cronjob.account_id, cronjob.cronjob_id, scheduled_at, Kind.MANUAL
        )
        if firing is not None:
            return firing
    raise other_request(_NEW)


def _told(made: tuple[Firing, str, bool]) -> dict[str, object] | None:
    """What the audit log tells of a manual firing, if it is new."""
    firing, _, is_new = made
    return {"at": format_iso(firing.scheduled_at)} if is_new else None


def check_start(reading: Reading[Any], now: int) -> int:
    """The instant that firings are asked for; complains of one that cannot be."""
    if "at" not in reading.values:
        return now
    start: int | None = reading.check("at", lambda: _start(reading.values["at"], now))
    return now if start is None else start


def _start(at: int | timedelta, now: int) -> int:
    """The instant that a firing is asked for. Raises ValueError with a complaint."""
    start = now + at // timedelta(microseconds=1) if isinstance(at, timedelta) else at
    if start < now:
        raise ValueError(
            "lies in the past; give an instant that is still to come, or leave it out to fire now"
        )
    if start > now + MAX_AHEAD:
        raise ValueError(f"lies more than {format_duration(MAX_AHEAD)} ahead; give an earlier instant")
    return start
