"""Calendars: an account's named lists of dates, and what holds between them and the cron jobs that exclude them.

Invariant: under the account's lock. No cron job names a calendar that there is not, so none that is used is deleted. A
calendar that is changed counts at once, for every fire time that the ledger does not have yet.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from cronally import errors
from cronally.clock.dates import names_in
from cronally.clock.exclusion import Exclusion
from cronally.contract import calendars as contract
from cronally.contract.audit import Action
from cronally.contract.calendars import CalendarDates, check_new_name
from cronally.contract.reading import Reading
from cronally.contract.writing import make_answer
from cronally.operations.caller import Caller
from cronally.operations.deeds import Deed
from cronally.operations.excluding import names_for
from cronally.operations.lists import Page
from cronally.operations.parts import change
from cronally.operations.quotas import MAX_CALENDARS, Quotas
from cronally.store import Store, accounts, calendars
from cronally.store.audit_subjects import Subject
from cronally.store.calendars import Calendar
from cronally.store.cronjobs import Cronjob

NO_CALENDAR: Final = "There is no such calendar; GET /calendars/ lists those of the account."
_SHOWN: Final = 10
"""So many of the cron jobs that use a calendar are named."""


class Calendars:
    """The calendars of one store."""

    def __init__(self, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    async def put_calendar(
        self, caller: Caller, name: str, reading: Reading[CalendarDates]
    ) -> contract.Calendar:
        """Create a calendar, or replace what it holds. Raises InvalidRequest and Forbidden."""
        try:
            check_new_name(name)
        except ValueError as problem:
            reading.complain("name", problem)
        reading.raise_complaints()
        listed: list[str] = reading.values["dates"]
        now = await self._store.clock()
        wanted = Calendar(
            caller.account_id, name, json.dumps(listed, separators=(",", ":")), len(listed), now, now
        )
        deed = Deed(caller, Action.CALENDAR_PUT, Subject.CALENDAR, name)
        put, created = await change(self._store, deed, now, lambda connection: self._put(connection, wanted))
        return _answer(put, dates=tuple(listed), created=created)

    def _put(self, connection: Connection, wanted: Calendar) -> tuple[Calendar, bool]:
        accounts.lock_account(connection, wanted.account_id)
        before = calendars.get_calendar(connection, wanted.account_id, wanted.name)
        if before is None:
            self._quotas.check_one_more_calendar(connection, wanted.account_id)
            calendars.insert_calendar(connection, wanted)
        else:
            wanted = replace(wanted, created_at=before.created_at)
            calendars.replace_calendar(connection, wanted)
        if before is None or wanted.size > before.size:
            self._quotas.weigh(connection, wanted.account_id)
        return wanted, before is None

    async def get_calendar(self, caller: Caller, name: str) -> contract.Calendar:
        """A calendar with its dates. Raises NotFound."""
        found = await self._store.transact(
            lambda connection: calendars.get_calendar(connection, caller.account_id, name)
        )
        if found is None:
            raise errors.NotFound(NO_CALENDAR)
        return _answer(found, dates=tuple(json.loads(found.dates)))

    async def list_calendars(self, caller: Caller) -> Page[contract.Calendar]:
        """All calendars of the account by name, without their dates."""
        found = await self._store.transact(
            lambda connection: calendars.list_calendars(connection, caller.account_id, MAX_CALENDARS)
        )
        return Page([_answer(one, dates=None) for one in found], None)

    async def delete_calendar(self, caller: Caller, name: str) -> contract.Calendar:
        """Delete a calendar. Raises NotFound, and InvalidRequest for one that cron jobs exclude."""
        deed = Deed(caller, Action.CALENDAR_DELETE, Subject.CALENDAR, name)
        now = await self._store.clock()
        deleted = await change(
            self._store, deed, now, lambda connection: _delete(connection, caller.account_id, name)
        )
        return _answer(deleted, dates=tuple(json.loads(deleted.dates)))

    # What cron jobs exclude

    async def names_for(self, caller: Caller, reading: Reading[Any]) -> list[str]:
        """The names of the account's calendars, where a request names any."""
        if not names_in(reading.values.get("exclude")):
            return []
        return await self._store.transact(
            lambda connection: names_for(connection, caller.account_id, reading)
        )

    async def read_exclusion(self, cronjob: Cronjob) -> Exclusion | None:
        """What a cron job excludes."""
        if not cronjob.exclude:
            return None
        return await self._store.transact(
            lambda connection: calendars.read_exclusion(connection, cronjob.account_id, cronjob.policies)
        )


def _delete(connection: Connection, account_id: str, name: str) -> Calendar:
    accounts.lock_account(connection, account_id)
    found = calendars.get_calendar(connection, account_id, name)
    if found is None:
        raise errors.NotFound(NO_CALENDAR)
    users = calendars.list_users(connection, account_id, name, _SHOWN + 1)
    if users:
        named = ", ".join(f"{cronjob_id} ({called})" for cronjob_id, called in users[:_SHOWN])
        others = " and others" if len(users) > _SHOWN else ""
        raise errors.InvalidRequest(
            f"The calendar is excluded by cron jobs: {named}{others}; take it out of their `exclude` first."
        )
    calendars.delete_calendar(connection, account_id, name)
    return found


def _answer(calendar: Calendar, **values: Any) -> contract.Calendar:
    return make_answer(contract.Calendar, calendar, **values)
