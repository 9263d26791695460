"""The parameters of a cron job, read for a new one and for a change of one.

Invariant: pure. A draft holds only what was checked; the destination in it passed the checks of its target.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cronally import errors
from cronally.cronjob import CatchUp
from cronally.instants import DAY
from cronally.operations import fields as checks
from cronally.operations.fields import Fields
from cronally.store.cronjobs import Cronjob
from cronally.target import Destination, Target

DEFAULT_GRACE: Final = DAY
DEFAULT_TARGET: Final = "sns"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

SCHEDULING: Final = frozenset({"cron", "catch_up", "misfire_grace"})
"""The parameters that decide when a cron job fires."""

_EXPECTED: Final = {
    "name": "a name of 1 to 256 characters",
    "cron": "when to fire, such as 0 8 * * *",
    "catch_up": f"one of {', '.join(CatchUp)}",
    "misfire_grace": "how late a firing is still useful, such as 24h",
    "delivery_type": "where firings go",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a cron job is to be."""

    name: str
    cron: str
    catch_up: str
    misfire_grace: int
    """Microseconds."""
    destination: Destination | None
    """None: as it is."""


class Drafts:
    """Reads drafts. Every method raises InvalidRequest with all complaints at once."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = dict(targets)
        self.parameters = frozenset(_EXPECTED).union(*(target.parameters for target in targets.values()))
        """The names of all parameters that a cron job can have."""

    def read_new(
        self,
        parameters: Mapping[str, str],
        unusable: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Draft:
        """The draft of a new cron job, and nothing wrong with the idempotency key either."""
        fields = Fields(parameters, unusable)
        fields.allow(self.parameters)
        if idempotency_key is not None:
            fields.check(IDEMPOTENCY_KEY, idempotency_key, checks.check_idempotency_key, "")
        target = self._read_target(fields, DEFAULT_TARGET)
        draft = Draft(
            name=fields.read("name", checks.check_name, expected=_EXPECTED["name"], default=""),
            cron=fields.read("cron", checks.check_cron, expected=_EXPECTED["cron"], default=""),
            catch_up=self._read_catch_up(fields, CatchUp.LATEST),
            misfire_grace=self._read_grace(fields, DEFAULT_GRACE),
            destination=self._read_destination(fields, target, None),
        )
        fields.raise_complaints()
        return draft

    def read_change(
        self, parameters: Mapping[str, str], unusable: Mapping[str, str] | None, cronjob: Cronjob
    ) -> Draft:
        """The draft of a changed cron job: what is not given stays."""
        fields = Fields(parameters, unusable)
        fields.allow(self.parameters)
        target = self._read_target(fields, cronjob.target)
        destination = None
        if target != cronjob.target:
            destination = self._read_destination(fields, target, None)
        elif parameters.keys() - _EXPECTED.keys():
            previous = Destination(cronjob.target, json.loads(cronjob.destination))
            destination = self._read_destination(fields, target, previous)
        draft = Draft(
            name=fields.read_given(
                "name", checks.check_name, expected=_EXPECTED["name"], default=cronjob.name
            ),
            cron=fields.read_given(
                "cron", checks.check_cron, expected=_EXPECTED["cron"], default=cronjob.cron
            ),
            catch_up=self._read_catch_up(fields, cronjob.catch_up),
            misfire_grace=self._read_grace(fields, cronjob.misfire_grace),
            destination=destination,
        )
        fields.raise_complaints()
        return draft

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
        given = fields.given(self.parameters - frozenset(_EXPECTED))
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
