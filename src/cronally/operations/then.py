"""Which version a firing is replayed as, and whether that can be sent with what there is now.

Invariant: what is refused here a claim would refuse, by the same rule (`contract.then`).
"""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.connections import Kind
from cronally.contract.then import AS, THEN, NotAsThen, as_then
from cronally.operations.using import base_of
from cronally.store import connections, former, versions
from cronally.store.cronjobs import Cronjob
from cronally.store.reopening import Row
from cronally.targets.below import is_below
from cronally.targets.connected import URL_PARAMETER

_UNKNOWN: Final = (
    "It was never attempted, and which version of the cron job was in force at its fire time is not known; replay it"
    " with as=now."
)


def wants_then(values: dict[str, Any]) -> bool:
    """Whether a request asks for firings as they were."""
    return values.get(AS) == THEN


class Thens:
    """Finds out what firings are sent as. What it has read it knows: it is for one request, or one part of it.

    A message of before may be large, and ten thousand firings may have been sent with it.
    """

    def __init__(self) -> None:
        self._problems: dict[tuple[str, int, int], str | None] = {}

    def version_of(self, connection: Connection, job: Cronjob, row: Row) -> int:
        """The version of its cron job that a firing is sent as, as it was: the one that its last attempt sent, or of
        one that was never attempted the one in force at its fire time.

        Raises InvalidRequest where that is not known, or cannot be sent with what there is now.
        """
        version = row.version
        if version is None:
            history = versions.list_versions(connection, job.cronjob_id)
            place = versions.in_force(history, row.scheduled_at)
            if place is None:
                raise errors.InvalidRequest(_UNKNOWN)
            version = history[place].version
        key = (job.cronjob_id, job.version, version)
        if key not in self._problems:
            self._problems[key] = _problem(connection, job, version)
        problem = self._problems[key]
        if problem is not None:
            raise errors.InvalidRequest(problem)
        return version


def _problem(connection: Connection, job: Cronjob, version: int) -> str | None:
    """Why a version of a cron job cannot be sent; None if it can."""
    if version == job.version:
        return None
    target, public = former.get_sent(connection, job.cronjob_id, version) or (None, "{}")
    try:
        then = as_then(job.target, json.loads(job.destination), version, target, json.loads(public))
    except NotAsThen as problem:
        return str(problem)
    used = None
    if job.connection_id is not None:
        used = connections.get_connection(connection, job.account_id, job.connection_id)
    if used is None or used.kind != Kind.HTTP or is_below(base_of(used), then.public.get(URL_PARAMETER, "")):
        return None
    return (
        f"The URL of version {version} of the cron job is not below the base_url of its connection; replay it with"
        " as=now."
    )
