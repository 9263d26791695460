"""What must hold of the dates that a cron job is to exclude: there are such calendars, and something is left to fire.

Invariant: inside the caller's transaction, which has locked the account if a request names a calendar: none of them is
deleted meanwhile.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from cronally.clock.dates import names_in
from cronally.clock.timetable import Timetable
from cronally.contract.calendars import unknown_calendars
from cronally.contract.previews import all_excluded
from cronally.contract.reading import Reading, refusal
from cronally.store import calendars


def names_for(connection: Connection, account_id: str, reading: Reading[Any]) -> list[str]:
    """The names of the account's calendars, where a request names any."""
    named = names_in(reading.values.get("exclude"))
    return calendars.list_names(connection, account_id) if named else []


def check_exclude(
    connection: Connection, account_id: str, policies: str, times: Timetable, after: int
) -> None:
    """Raises InvalidRequest where a cron job is to name a calendar that there is not, or all that it fires is excluded.

    :param policies: those that it is to have, JSON, as they are stored
    :param after: it is to fire after this instant
    """
    exclusion = calendars.read_exclusion(connection, account_id, policies)
    if exclusion is None:
        return
    if any(dates is None for _, dates in exclusion.rules):
        raise refusal("exclude", unknown_calendars(calendars.list_names(connection, account_id)))
    complaint = all_excluded(times, after, exclusion.within(times.zone))
    if complaint is not None:
        raise refusal("exclude", complaint)
