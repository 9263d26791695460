"""The parameters of a cron job, read for a new one and for a change of one.

Invariant: pure. A draft holds only what was checked; the destination in it passed the checks of its target.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cronally import errors
from cronally.clock.preview_answer import over
from cronally.cronjob import CatchUp, Timing, read_policies
from cronally.instants import DAY
from cronally.operations import fields as checks
from cronally.operations.fields import Fields
from cronally.operations.timings import TIMING, Timings
from cronally.store.cronjobs import Cronjob
from cronally.targets.target import Destination, Target
from cronally.wire import IDEMPOTENCY_KEY_HEADER

DEFAULT_GRACE: Final = DAY
DEFAULT_TARGET: Final = "sns"

SCHEDULING: Final = TIMING | {"cron", "catch_up", "misfire_grace"}
"""The parameters that decide when a cron job fires."""

_EXPECTED: Final = {
    "name": "a name of 1 to 256 characters",
    "catch_up": f"one of {', '.join(CatchUp)}",
    "misfire_grace": "how late a firing is still useful, such as 24h",
    "delivery_type": "where firings go",
}


_OWN: Final = SCHEDULING | _EXPECTED.keys()
"""The parameters that no target has."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a cron job is to be."""

    name: str
    timing: Timing
    catch_up: str
    misfire_grace: int
    """Microseconds."""
    destination: Destination | None
    """None: as it is."""
    over: str | None = None
    """Why it never fires. Not said at once of a new one: it may be the repetition of a request that fired since."""


class Drafts:
    """Reads drafts. Every method raises InvalidRequest with all complaints at once."""

    def __init__(self, targets: Mapping[str, Target], timings: Timings) -> None:
        self._targets = dict(targets)
        self._timings = timings
        self.parameters = _OWN.union(*(target.parameters for target in targets.values()))
        """The names of all parameters that a cron job can have."""

    def read_new(
        self,
        parameters: Mapping[str, str],
        unusable: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        *,
        cronjob_id: str,
        now: int,
    ) -> Draft:
        """The draft of a new cron job, and nothing wrong with the idempotency key either.

        :param cronjob_id: what it is to be known by
        """
        fields = Fields(parameters, unusable)
        fields.allow(self.parameters)
        if idempotency_key is not None:
            fields.check(IDEMPOTENCY_KEY_HEADER, idempotency_key, checks.check_idempotency_key, "")
        target = self._read_target(fields, DEFAULT_TARGET)
        timing = self._timings.read(fields, "cron", cronjob_id)
        complaint = None if timing is None else over(timing.timetable(cronjob_id, now), now)
        draft = Draft(
            name=fields.read("name", checks.check_name, expected=_EXPECTED["name"], default=""),
            timing=timing or Timing("", "UTC", None, None),
            catch_up=self._read_catch_up(fields, CatchUp.LATEST),
            misfire_grace=self._read_grace(fields, DEFAULT_GRACE),
            destination=self._read_destination(fields, target, None),
            over=complaint,
        )
        if fields.complaints and complaint is not None:
            fields.complaints["cron"] = complaint
        fields.raise_complaints()
        return draft

    def read_change(
        self, parameters: Mapping[str, str], unusable: Mapping[str, str] | None, cronjob: Cronjob, now: int
    ) -> Draft:
        """The draft of a changed cron job: what is not given stays."""
        fields = Fields(parameters, unusable)
        fields.allow(self.parameters)
        target = self._read_target(fields, cronjob.target)
        destination = None
        if target != cronjob.target:
            destination = self._read_destination(fields, target, None)
        elif parameters.keys() - _OWN:
            previous = Destination(cronjob.target, json.loads(cronjob.destination))
            destination = self._read_destination(fields, target, previous)
        draft = Draft(
            name=fields.read_given(
                "name", checks.check_name, expected=_EXPECTED["name"], default=cronjob.name
            ),
            timing=self._read_new_timing(fields, parameters, cronjob, now),
            catch_up=self._read_catch_up(fields, read_policies(cronjob.policies).catch_up),
            misfire_grace=self._read_grace(fields, read_policies(cronjob.policies).misfire_grace),
            destination=destination,
        )
        fields.raise_complaints()
        return draft

    def _read_new_timing(
        self, fields: Fields, parameters: Mapping[str, str], cronjob: Cronjob, now: int
    ) -> Timing:
        """A timing as it is to be. One that stays as it is need not fire any more, nor be read by this version."""
        kept = cronjob.timing
        timing = self._timings.read(fields, "cron", cronjob.cronjob_id, kept)
        if timing is None or not parameters.keys() & {"cron", *TIMING}:
            return kept
        # What was not given may be what this version cannot read.
        try:
            table = timing.timetable(cronjob.cronjob_id, cronjob.created_at)
        except errors.InvalidExpression as problem:
            fields.refuse_expression("cron", problem)
        except ValueError as problem:
            fields.complaints["timezone"] = str(problem)
        else:
            if (complaint := over(table, now)) is not None:
                fields.refuse_expression("cron", errors.InvalidExpression(complaint))
        return timing

    def _read_catch_up(self, fields: Fields, default: str) -> str:
        check = checks.one_of([*CatchUp])
        return fields.read_given("catch_up", check, expected=_EXPECTED["catch_up"], default=default)

    def _read_grace(self, fields: Fields, default: int) -> int:
        check = checks.check_misfire_grace
        return fields.read_given("misfire_grace", check, expected=_EXPECTED["misfire_grace"], default=default)

    def _read_target(self, fields: Fields, default: str) -> str:
        check = checks.one_of([*self._targets])
        return fields.read_given("delivery_type", check, expected=_EXPECTED["delivery_type"], default=default)

    def _read_destination(
        self, fields: Fields, name: str, previous: Destination | None
    ) -> Destination | None:
        """None if something is wrong."""
        target = self._targets[name]
        given = fields.given(self.parameters - _OWN)
        for foreign in given.keys() - target.parameters:
            owners = [other.name for other in self._targets.values() if foreign in other.parameters]
            fields.complaints[foreign] = (
                f"belongs to delivery_type={owners[0]}, and this is {name};"
                f" leave it out, or give delivery_type={owners[0]}"
            )
        try:
            return target.parse({key: given[key] for key in given.keys() & target.parameters}, previous)
        except errors.InvalidRequest as problem:
            fields.complain(problem)
            return None
