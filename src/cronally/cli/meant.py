"""Which cron job a user means: by its id, by its name, or by the beginning of its id.

Invariant: a name goes before the beginning of an id, and what could be several is none: it is said which ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cronally.cli.failure import Failure
from cronally.contract.values import ID_PREFIX, MAX_NAME, is_uuid

if TYPE_CHECKING:
    from cronally.client import Client, Cronjob

_SHOWN: Final = 5


def cronjob_id_of(client: Client, meant: str) -> str:
    """The id of the cron job that is meant; a whole id is not looked up, so it may be a deleted one's.

    Raises Failure for what none or several are meant by.
    """
    if is_uuid(meant.lower()):
        return meant.lower()
    found = _listed(client, name=meant) if 0 < len(meant) <= MAX_NAME and meant.strip() else []
    if not found and re.fullmatch(ID_PREFIX, meant.lower()):
        found = _listed(client, id_prefix=meant.lower())
    if not found:
        raise Failure(
            f"there is no such cron job: {meant} is no name and begins no id",
            "`cronally list` shows the cron jobs; a deleted one is found by its whole id",
        )
    if len(found) > 1:
        several = ", ".join(f"{each.cronjob_id} ({each.name})" for each in found[:_SHOWN])
        more = ", and more" if len(found) > _SHOWN else ""
        raise Failure(f"{meant} could be {several}{more}", "give its id")
    return found[0].cronjob_id


def _listed(client: Client, **filters: str) -> list[Cronjob]:
    from cronally.client import calls
    from cronally.errors import InvalidRequest

    try:
        return [*client.call(calls.cronjobs({**filters, "limit": _SHOWN + 1}))]
    except InvalidRequest:  # it can be no name, or begin no id
        return []
