"""Which cron job a user means: by its id, by its name, or by the beginning of its id.

Invariant: a name goes before the beginning of an id, which is said where it is both, and what
could be several is none: it is said which ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cronally.cli.failure import Failure, WrongUsage
from cronally.cli.output import complain
from cronally.contract.values import ID_PREFIX, MAX_NAME, is_uuid

if TYPE_CHECKING:
    from cronally.client import Client, Cronjob

_SHOWN: Final = 5


def cronjob_id_of(client: Client, meant: str) -> str:
    """The id of the cron job that is meant; a whole id is not looked up, so it may be a deleted one's.

    Raises Failure for what none or several are meant by.
    """
    if not meant.strip():
        raise WrongUsage("CRONJOB is empty: give an id, the beginning of one, or a name")
    if is_uuid(meant.lower()):
        return meant.lower()
    found = _listed(client, name=meant) if len(meant) <= MAX_NAME else []
    begun = _listed(client, id_prefix=meant.lower()) if re.fullmatch(ID_PREFIX, meant.lower()) else []
    others = [each for each in begun if each.cronjob_id not in {one.cronjob_id for one in found}]
    if len(found) == 1 and others:
        complain(
            "note",
            f"{meant} is taken for the name of {found[0].cronjob_id}; it also begins the id of {_named(others)}",
        )
    found = found or begun
    if not found:
        raise Failure(
            f"there is no such cron job: {meant} is no name and begins no id",
            "`cronally list` shows the cron jobs; a deleted one is found by its whole id",
        )
    if len(found) > 1:
        raise Failure(f"{meant} could be {_named(found)}", "give its id")
    return found[0].cronjob_id


def _named(several: Sequence[Cronjob]) -> str:
    more = ", and more" if len(several) > _SHOWN else ""
    return ", ".join(f"{each.cronjob_id} ({each.name})" for each in several[:_SHOWN]) + more


def _listed(client: Client, **filters: str) -> list[Cronjob]:
    from cronally.client import calls
    from cronally.errors import InvalidRequest

    try:
        return [*client.call(calls.cronjobs({**filters, "limit": _SHOWN + 1}))]
    except InvalidRequest:  # it can be no name, or begin no id
        return []
