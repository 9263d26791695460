"""The rules that a new cron job and a change of one must keep, beyond the form of each parameter.

Invariant: pure. Every complaint stands at the parameter that is wrong, and none is kept back for another. What a rule
accepts can be put in a timetable and sent by its target.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cronally.ack_links import AckLinks
from cronally.contract.cronjob_requests import CronjobChange, NewCronjob
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import default_policies, stored_policies
from cronally.contract.targets import DEFAULT_TARGET, target_of
from cronally.cronjob import Timing
from cronally.instants import MINUTE
from cronally.operations import secret_rules, template_rules
from cronally.operations.destination_rules import DestinationRules
from cronally.operations.policy_rules import check_ack, check_calendars, check_order, policies_of
from cronally.operations.timing_rules import TimingRules, complain_of_idle
from cronally.operations.using import USED, provided_by
from cronally.store.connections import StoredConnection
from cronally.store.cronjobs import Cronjob
from cronally.targets.target import Destination, Target


@dataclass(frozen=True, slots=True)
class Specification:
    """What a cron job is to be."""

    name: str
    timing: Timing
    policies: Mapping[str, Any]
    """By name; None for a policy that follows its default."""
    destination: Destination | None
    """None: as it is."""
    kept: frozenset[str] | None = frozenset()
    """What stays of what is sealed, by name; None: all of it, as it is."""
    tags: Sequence[str] = ()
    used: StoredConnection | None = None
    """The connection that it uses."""


class Rules:
    """Checks requests. Every method raises InvalidRequest with all complaints at once."""

    def __init__(
        self, targets: Mapping[str, Target], min_interval: int = MINUTE, links: AckLinks | None = None
    ) -> None:
        """
        :param min_interval: how close to each other fire times may be, in microseconds
        :param links: what makes acknowledgement URLs
        """
        self.timing = TimingRules(min_interval)
        self._links = links
        self.destination = DestinationRules(targets, links)

    def check_new(
        self,
        reading: Reading[NewCronjob],
        *,
        cronjob_id: str,
        now: int,
        calendars: Sequence[str] = (),
        used: StoredConnection | None = None,
    ) -> Specification:
        """What a new cron job is to be. That it never fires, or names a calendar that there is not, is said only beside
        other complaints: the request may repeat an earlier one whose cron job has fired, or was deleted, since.

        :param cronjob_id: its id, if it is made
        :param calendars: the names of those that the account has, if it is to exclude any
        :param used: the connection that it is to use
        """
        values = reading.values
        destination = None
        # Of a target that there is not, nothing else can be said.
        if "delivery_type" not in reading.complaints:
            target = values.get("delivery_type", DEFAULT_TARGET)
            destination = self.destination.check(reading, target, None, used=used)
        policies = policies_of(reading, default_policies())
        if destination is not None:
            self._check_sent_whole(reading, destination, policies, values.get("name"), used)
        timing = self.timing.check(reading, cronjob_id, now)
        if reading.complaints:
            if timing is not None:
                complain_of_idle(reading, timing, cronjob_id, now, now)
            check_calendars(reading, calendars)
        reading.raise_complaints()
        assert timing is not None  # noqa: S101 - else there was a complaint
        return Specification(
            values["name"], timing, policies, destination, tags=values.get("tags", ()), used=used
        )

    def check_change(
        self,
        reading: Reading[CronjobChange],
        cronjob: Cronjob,
        now: int,
        calendars: Sequence[str] = (),
        used: StoredConnection | None = None,
    ) -> Specification:
        """What a changed cron job is to be: what was not sent stays.

        :param calendars: the names of those that the account has, if it is to exclude any
        """
        values = reading.values
        target = values.get("delivery_type", cronjob.target)
        destination: Destination | None = None
        kept: frozenset[str] | None = None
        if "delivery_type" in reading.complaints:
            pass
        elif target != cronjob.target:
            destination, kept = self.destination.check(reading, target, None, used=used), frozenset()
        elif any(target_of(name) or name == USED for name in (*values, *reading.complaints)):
            had = cronjob.connection_id is not None
            previous = json.loads(cronjob.destination)
            destination = self.destination.check(reading, target, previous, used=used, had=had)
            if destination is not None:
                kept = secret_rules.kept_secrets(reading, destination, provided_by(target, used))
        name = values.get("name", cronjob.name)
        public = json.loads(cronjob.destination) if destination is None else destination.public
        check_order(reading, public)
        policies = policies_of(reading, stored_policies(cronjob.policies))
        check_ack(reading, policies, public, self._links)
        asks = policies["ack_within"] > 0
        if destination is not None or ({"name", "ack_within"} & values.keys() and target == cronjob.target):
            shown = public if destination is None else template_rules.whole(destination)
            self.destination.check_filled(reading, target, shown, name, used, asks=asks)
        timing = self.timing.check_change(reading, cronjob, now)
        check_calendars(reading, calendars)
        reading.raise_complaints()
        tags = values.get("tags", json.loads(cronjob.tags))
        return Specification(name, timing, policies, destination, kept, tags, used)

    def check_whole(
        self,
        reading: Reading[CronjobChange],
        cronjob: Cronjob,
        now: int,
        calendars: Sequence[str] = (),
        used: StoredConnection | None = None,
    ) -> Specification:
        """What a cron job is to be by a request that says all of it: what was not sent gets its default.

        A secret that was not sent stays, unless what it goes with is another one.

        :param calendars: the names of those that the account has, if it is to exclude any
        """
        values = reading.values
        target = values.get("delivery_type", DEFAULT_TARGET)
        destination: Destination | None = None
        kept: frozenset[str] | None = None
        if "delivery_type" not in reading.complaints:
            previous = json.loads(cronjob.destination) if target == cronjob.target else None
            destination = self.destination.check(reading, target, previous, whole=True, used=used)
            if previous is None:
                kept = frozenset()
            elif destination is not None:
                kept = secret_rules.kept_secrets(reading, destination, provided_by(target, used))
        policies = policies_of(reading, default_policies())
        if destination is not None:
            name = values.get("name", cronjob.name)
            self._check_sent_whole(reading, destination, policies, name, used)
        timing = self.timing.check_whole(reading, cronjob, now)
        check_calendars(reading, calendars)
        reading.raise_complaints()
        assert timing is not None  # noqa: S101 - else there was a complaint
        tags = values.get("tags", ())
        return Specification(values["name"], timing, policies, destination, kept, tags, used)

    def _check_sent_whole(
        self,
        reading: Reading[Any],
        destination: Destination,
        policies: Mapping[str, Any],
        name: str | None,
        used: StoredConnection | None,
    ) -> None:
        """Complain where a destination that was sent whole does not go with policies, the name or the connection.

        :param name: that of the cron job; None if it has none that is good
        """
        check_order(reading, destination.public)
        check_ack(reading, policies, destination.public, self._links)
        asks = policies["ack_within"] > 0
        if name is not None:
            shown = template_rules.whole(destination)
            self.destination.check_filled(reading, destination.target, shown, name, used, asks=asks)
