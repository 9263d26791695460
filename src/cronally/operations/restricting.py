"""What a key that is restricted to tags gets to see and to change.

Invariant: a cron job without one of the tags is one that there is not, whichever way it is meant: in a path, by its
name, as the one that tells. A key without tags costs no statement here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.attribute import DEFAULT
from cronally.contract.reading import Reading
from cronally.contract.values import is_uuid
from cronally.cronjob import NOT_TOLD
from cronally.operations.caller import Caller
from cronally.operations.existing import NO_CRONJOB
from cronally.operations.permissions import covers, has_one
from cronally.operations.telling import NO_TELLING, TELLS
from cronally.operations.using import USED
from cronally.store import Store, connections, cronjobs, selection
from cronally.store.cronjobs import Cronjob
from cronally.store.selection import Chosen

T = TypeVar("T")

TAGS: Final = "tags"
_MOST: Final = 100
"""So many cron jobs of one name are looked at."""


class Restricting:
    """Looks at what restricted keys ask of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check_cronjob(self, caller: Caller, cronjob_id: str) -> None:
        """Raise NotFound for a cron job, deleted or not, that there is and that the key does not get to see."""
        if caller.tags:
            found = await self._read(lambda connection: _get(connection, caller, cronjob_id))
            if found is not None and not sees(caller, found):
                raise errors.NotFound(NO_CRONJOB)

    async def check_new(self, caller: Caller, reading: Reading[Any]) -> None:
        """Complain of a new cron job that the key would not get to see, and of what it names that it does not see."""
        if caller.tags:
            await self._check(caller, reading, whole=True)

    async def check_change(self, caller: Caller, reading: Reading[Any], *, whole: bool = False) -> None:
        """Complain of a change after which the key would not see a cron job, and of what it names that it does not.

        :param whole: whether what was not sent gets its default
        """
        if caller.tags:
            await self._check(caller, reading, whole=whole)

    async def check_name(self, caller: Caller, name: str) -> None:
        """Raise Forbidden where a cron job has this name that the key does not get to see."""
        if not caller.tags:
            return

        def work(connection: Connection) -> list[Cronjob]:
            keys = selection.list_keys(connection, caller.account_id, None, _MOST, Chosen(name=name))
            return cronjobs.list_cronjobs(connection, caller.account_id, [key.cronjob_id for key in keys])

        if not all(sees(caller, one) for one in await self._read(work)):
            raise errors.Forbidden(
                "The name is that of a cron job that the API key is not for; take another name, or ask with a key"
                " without tags."
            )

    async def _check(self, caller: Caller, reading: Reading[Any], *, whole: bool) -> None:
        tags = reading.values.get(TAGS, [] if whole and TAGS not in reading.complaints else None)
        if tags is not None and not has_one(caller.tags, tags):
            own = ", ".join(caller.tags)
            complaint = f"hold none of those that the API key is restricted to; send one of {own}"
            reading.complain(TAGS, ValueError(complaint))
        told, used = reading.values.get(TELLS), reading.values.get(USED)
        if told in (None, DEFAULT, NOT_TOLD) and used in (None, DEFAULT):
            return

        def work(connection: Connection) -> tuple[bool, bool]:
            return (
                told in (None, DEFAULT, NOT_TOLD) or _sees_meant(connection, caller, told),
                used in (None, DEFAULT) or _sees_used(connection, caller, used),
            )

        sees_told, sees_used = await self._read(work)
        if not sees_told:
            reading.complain(TELLS, ValueError(NO_TELLING))
        if not sees_used:
            complaint = "names a connection that no cron job uses which the API key is for; ask with a key without tags"
            reading.complain(USED, ValueError(complaint))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._store.transact(work)


def sees(caller: Caller, cronjob: Cronjob) -> bool:
    """Whether a cron job is one that the caller's key is for."""
    return has_one(caller.tags, json.loads(cronjob.tags))


def within(chosen: Chosen, caller: Caller) -> Chosen:
    """Those of the chosen cron jobs that the caller's key is for."""
    return replace(chosen, within=caller.tags) if caller.tags else chosen


def encode_tags(caller: Caller) -> str | None:
    """The tags of the caller's key as they stand with what it began; None where it has none."""
    return json.dumps([*caller.tags], separators=(",", ":")) if caller.tags else None


def check_frozen(caller: Caller, tag: str | None) -> None:
    """Raise Forbidden for a freeze of more than the cron jobs that the caller's key is for.

    :param tag: the one that is frozen; None: a host, or the account
    """
    if caller.tags and (tag is None or not any(covers(own, tag) for own in caller.tags)):
        raise errors.Forbidden(
            f"The API key is restricted to the tags {', '.join(caller.tags)}, and this freeze is of more than the cron"
            " jobs with one of these; give one of the tags, or ask with a key without tags."
        )


def _get(connection: Connection, caller: Caller, cronjob_id: str) -> Cronjob | None:
    return cronjobs.get_cronjob(connection, caller.account_id, cronjob_id)


def _sees_meant(connection: Connection, caller: Caller, meant: str) -> bool:
    """Whether all cron jobs that are meant, by an id or a name, are seen; true where there is none."""
    found = _get(connection, caller, meant.lower()) if is_uuid(meant.lower()) else None
    if found is not None:
        return sees(caller, found)
    keys = selection.list_keys(connection, caller.account_id, None, _MOST, Chosen(name=meant))
    named = cronjobs.list_cronjobs(connection, caller.account_id, [key.cronjob_id for key in keys])
    return all(sees(caller, one) for one in named)


def _sees_used(connection: Connection, caller: Caller, meant: str) -> bool:
    """Whether a connection is used by a cron job that the key is for, or is none."""
    if connections.get_connection(connection, caller.account_id, meant) is None:
        return False
    chosen = Chosen(connection=meant, within=caller.tags)
    return bool(selection.list_keys(connection, caller.account_id, None, 1, chosen))
