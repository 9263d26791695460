"""Which freeze in force names a cron job, and what is not sent again because of it.

Invariant: as a claim decides it (`store.freezes.named`). What a freeze would skip is not let go again: its firing would
lose the state that it has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from cronally import errors
from cronally.contract.freezes import Rule, Selector
from cronally.firing import Kind
from cronally.instants import format_iso
from cronally.store import freezes
from cronally.store.cronjobs import Cronjob
from cronally.store.freezes import Freeze
from cronally.targets.host import host_of
from cronally.targets.target import Target


def naming(
    in_force: Sequence[Freeze], cronjob: Cronjob, targets: Mapping[str, Target], kind: str = Kind.SCHEDULED
) -> Freeze | None:
    """The freeze, of those in force in its account, that is for the firings of a cron job; None if none is."""
    if not in_force:
        return None
    by_host = any(freeze.selector == Selector.HOST for freeze in in_force)
    host = host_of(targets, cronjob.target, cronjob.destination) if by_host else None
    return freezes.named(in_force, kind, json.loads(cronjob.tags), host)


class Unfrozen:
    """Asks whether firings that have ended may go again; it is for one request, or one part of one."""

    def __init__(self, targets: Mapping[str, Target], now: int) -> None:
        self._targets = targets
        self._now = now
        self._in_force: dict[str, Sequence[Freeze]] = {}

    def check(self, connection: Connection, cronjob: Cronjob, kind: str) -> None:
        """Raise Conflict where a freeze would skip what is sent again."""
        account_id = cronjob.account_id
        if account_id not in self._in_force:
            self._in_force[account_id] = freezes.list_in_force(connection, [account_id], self._now)
        freeze = naming(self._in_force[account_id], cronjob, self._targets, kind)
        if freeze is not None and freeze.rule != Rule.ALL:
            raise errors.Conflict(
                f"The cron job is frozen until {format_iso(freeze.until)} by the freeze {freeze.freeze_id}, whose rule"
                f" {freeze.rule} may skip what is sent again; lift the freeze, or try again after it."
            )
