"""Which cron job tells of what has failed of another one, or of all that name none, as a request names it.

Invariant: it is another cron job of the same account, is not deleted, and has a target that can be told. Another
account's is one that there is not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from cronally.contract.attribute import DEFAULT
from cronally.contract.reading import Reading
from cronally.contract.targets import TARGETS, parameters_of
from cronally.contract.templates import with_own
from cronally.contract.told import MESSAGES
from cronally.contract.values import is_uuid
from cronally.cronjob import NOT_TOLD, State
from cronally.operations import template_rules
from cronally.store import cronjobs, selection
from cronally.store.cronjobs import Cronjob
from cronally.store.selection import Chosen
from cronally.targets.target import Target

TELLS: Final = "dead_letter"
"""The parameter that names it."""
_SAMPLE: Final = '{"dead_letter":{}}'
NO_TELLING: Final = "names a cron job that there is not; GET /cronjobs/ lists those of the account"


def find_telling(
    connection: Connection,
    account_id: str,
    reading: Reading[Any],
    cronjob_id: str | None,
    targets: Mapping[str, Target],
) -> None:
    """Let the cron job that a request names be named by its id; complain of one that cannot be it.

    Done again, it stays so.

    :param cronjob_id: that of the cron job that is changed, if one is
    """
    meant = reading.values.get(TELLS)
    if meant is not None and meant not in (DEFAULT, NOT_TOLD):
        reading.check(TELLS, lambda: _find(connection, account_id, meant, cronjob_id, targets))


def _find(
    connection: Connection,
    account_id: str,
    meant: str,
    cronjob_id: str | None,
    targets: Mapping[str, Target],
) -> str:
    """The id of the cron job that is meant. Raises ValueError with a complaint."""
    job = cronjobs.get_cronjob(connection, account_id, meant.lower()) if is_uuid(meant.lower()) else None
    if job is None or job.state == State.DELETED:
        keys = selection.list_keys(connection, account_id, None, 2, Chosen(name=meant))
        if not keys:
            raise ValueError(NO_TELLING)
        if len(keys) > 1:
            raise ValueError("is the name of several cron jobs; give the id of the one that is meant")
        (job,) = cronjobs.list_cronjobs(connection, account_id, [keys[0].cronjob_id])
    if job.cronjob_id == cronjob_id:
        raise ValueError(f"names the cron job itself; give another one, {NOT_TOLD} or default")
    problem = _problem(job, targets)
    if problem is not None:
        raise ValueError(problem)
    return job.cronjob_id


def _problem(job: Cronjob, targets: Mapping[str, Target]) -> str | None:
    """Why the target of a cron job cannot be told; None if it can."""
    if job.target not in MESSAGES:
        able = ", ".join(MESSAGES)
        return (
            f"names a cron job with delivery_type={job.target}, which sends no message; give one with {able}"
        )
    if job.target not in targets or job.target not in TARGETS:  # of what was stored by another server
        return f"cannot be checked: this server has no target {job.target}"
    name = MESSAGES[job.target]
    public = with_own(json.loads(job.destination), {name: _SAMPLE}, parameters_of(job.target))
    filled, _ = template_rules.filled(job.target, public, job.name)
    complaint = targets[job.target].check(filled).get(name)
    if complaint is None:
        return None
    # What it advises is for who changes that cron job.
    return f"names a cron job whose {name} {complaint.partition(';')[0]}; give another one"
