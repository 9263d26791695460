"""The rules that a new cron job and a change of one must keep, beyond the form of each parameter.

Invariant: pure. Every complaint stands at the parameter that is wrong, and none is kept back for another. What a rule
accepts can be put in a timetable and sent by its target.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cronally import errors
from cronally.clock import zones
from cronally.contract.attribute import declared
from cronally.contract.cronjobs import CronjobChange, NewCronjob, Policies
from cronally.contract.firings import MESSAGES, ManualFiring
from cronally.contract.order import FIFO
from cronally.contract.policies import default_policies, stored_policies, stored_value
from cronally.contract.previews import never_fires
from cronally.contract.reading import Reading
from cronally.contract.targets import DEFAULT_TARGET, parameters_of, target_of, without_secrets
from cronally.contract.url_secrets import MASK, has_part
from cronally.cron import parse, parse_written
from cronally.cronjob import Timing
from cronally.instants import MINUTE, format_duration
from cronally.store.cronjobs import Cronjob
from cronally.targets.target import Destination, Target

TIMING: Final = frozenset({"timezone", "dst_gap", "dst_overlap"})
"""The parameters that decide when an expression fires."""
_MASKED: Final = (
    f"holds {MASK}, which stands for a secret, and is not what is shown of this cron job; give it whole, with its"
    " secrets (asterisks that mean themselves are written %2A)"
)


@dataclass(frozen=True, slots=True)
class Specification:
    """What a cron job is to be."""

    name: str
    timing: Timing
    policies: Mapping[str, Any]
    """By name; None for a policy that follows its default."""
    destination: Destination | None
    """None: as it is."""
    keeps_secret: bool = False
    """Whether what is sealed stays as it is, whatever else of the destination changes."""


class Rules:
    """Checks requests. Every method raises InvalidRequest with all complaints at once, unless it says otherwise."""

    def __init__(self, targets: Mapping[str, Target], min_interval: int = MINUTE) -> None:
        """
        :param min_interval: how close to each other fire times may be, in microseconds
        """
        self._targets = targets
        self._min_interval = min_interval

    def check_new(self, reading: Reading[NewCronjob], *, cronjob_id: str, now: int) -> Specification:
        """What a new cron job is to be. That it never fires is said only beside other complaints: the request may
        repeat an earlier one whose cron job has fired since.

        :param cronjob_id: its id, if it is made
        """
        values = reading.values
        destination = None
        if (
            "delivery_type" not in reading.complaints
        ):  # of a target that there is not, nothing else can be said
            destination = self._destination(reading, values.get("delivery_type", DEFAULT_TARGET), None)
        if destination is not None:
            _check_order(reading, destination.public)
            if "name" in values:
                self._check_size(reading, destination.target, destination.public, values["name"])
        timing = self.timing(reading, "cron", cronjob_id)
        if timing is not None and reading.complaints:
            complaint = never_fires(timing.timetable(cronjob_id, now), now)
            if complaint is not None:
                reading.complain("cron", ValueError(complaint))
        reading.raise_complaints()
        assert timing is not None  # noqa: S101 - else there was a complaint
        return Specification(values["name"], timing, _policies(reading, default_policies()), destination)

    def check_change(self, reading: Reading[CronjobChange], cronjob: Cronjob, now: int) -> Specification:
        """What a changed cron job is to be: what was not sent stays."""
        values = reading.values
        target = values.get("delivery_type", cronjob.target)
        destination, keeps_secret = None, False
        if "delivery_type" in reading.complaints:
            pass
        elif target != cronjob.target:
            destination = self._destination(reading, target, None)
        elif any(target_of(name) for name in (*values, *reading.complaints)):
            destination = self._destination(reading, target, json.loads(cronjob.destination))
            keeps_secret = destination is not None and _keeps_secret(reading, destination)
        name = values.get("name", cronjob.name)
        public = json.loads(cronjob.destination) if destination is None else destination.public
        _check_order(reading, public)
        if destination is not None or ("name" in values and target == cronjob.target):
            self._check_size(reading, target, public, name)
        timing = self._changed_timing(reading, cronjob, now)
        reading.raise_complaints()
        policies = _policies(reading, stored_policies(cronjob.policies))
        return Specification(name, timing, policies, destination, keeps_secret)

    def check_whole(self, reading: Reading[CronjobChange], cronjob: Cronjob, now: int) -> Specification:
        """What a cron job is to be by a request that says all of it: what was not sent gets its default.

        A secret that was not sent stays, unless what it goes with is another one.
        """
        values = reading.values
        target = values.get("delivery_type", DEFAULT_TARGET)
        destination, keeps_secret = None, False
        if "delivery_type" not in reading.complaints:
            previous = json.loads(cronjob.destination) if target == cronjob.target else None
            destination = self._destination(reading, target, previous, whole=True)
            keeps_secret = (
                previous is not None and destination is not None and _keeps_secret(reading, destination)
            )
        if destination is not None:
            _check_order(reading, destination.public)
            self._check_size(reading, target, destination.public, values.get("name", cronjob.name))
        base = Timing(cronjob.cron, zones.UTC, None, None)
        timing = self.timing(reading, "cron", cronjob.cronjob_id, base)
        if timing is not None and timing != cronjob.timing:
            complaint = never_fires(timing.timetable(cronjob.cronjob_id, cronjob.created_at), now)
            if complaint is not None:
                reading.complain("cron", errors.InvalidExpression(complaint))
        reading.raise_complaints()
        assert timing is not None  # noqa: S101 - else there was a complaint
        policies = _policies(reading, default_policies())
        return Specification(values["name"], timing, policies, destination, keeps_secret)

    def check_message(self, reading: Reading[ManualFiring], cronjob: Cronjob) -> dict[str, Any]:
        """What a firing is to send in place of the message of its cron job. Complains, and raises nothing."""
        self._refuse_of_others(reading, cronjob.target)
        sent = reading.sent(MESSAGES)
        if not sent:
            return {}
        if cronjob.target not in self._targets:  # of what was stored by another server
            for name in sent:
                reading.complain(
                    name, ValueError(f"cannot be checked: this server has no target {cronjob.target}")
                )
            return {}
        for name, complaint in self._targets[cronjob.target].check(sent).items():
            reading.complain(name, ValueError(complaint))
        if not reading.complaints.keys() & MESSAGES:
            public = {**json.loads(cronjob.destination), **sent}
            self._check_size(reading, cronjob.target, public, cronjob.name)
        return reading.sent(MESSAGES)

    def message_size(self, cronjob: Cronjob, message: Mapping[str, Any]) -> int:
        """Bytes that a message of `check_message` counts for: as it is sent, if that is more than it is stored."""
        public = {**json.loads(cronjob.destination), **message}
        encoded = json.dumps(message, ensure_ascii=False).encode()
        return max(len(encoded), self._targets[cronjob.target].receiver(public).size)

    def timing(
        self, reading: Reading[Any], named: str, key: str | None, base: Timing | None = None
    ) -> Timing | None:
        """When something is to fire; None, and complaints in `reading`, where something is wrong.

        :param named: the name of the parameter that holds the expression
        :param key: the id of the cron job, if there is one
        :param base: what holds where nothing was sent
        """
        values = reading.values
        if named in values:
            text = values[named]
            reading.check(named, lambda: self._expression(text, key, None if base is None else base.cron))
        if reading.complaints.keys() & {named, *TIMING}:
            return None
        base = base or Timing("", zones.UTC, None, None)
        return Timing(
            values.get(named, base.cron),
            values.get("timezone", base.timezone),
            stored_value("dst_gap", values.get("dst_gap", base.dst_gap)),
            stored_value("dst_overlap", values.get("dst_overlap", base.dst_overlap)),
        )

    def _expression(self, text: str, key: str | None, stored: str | None) -> str:
        """An expression, with single spaces between its fields. Raises InvalidExpression.

        :param stored: the one that the cron job has: sent again, it need be no better than it was
        """
        expression = parse(text, key)
        if expression.text != stored:
            parse_written(text, key)
        shortest = expression.shortest_interval()
        if shortest is not None and shortest < self._min_interval:
            raise errors.InvalidExpression(
                f'"{expression}" has fire times {format_duration(shortest)} apart; this server takes'
                f" {format_duration(self._min_interval)} at least"
            )
        return expression.text

    def _changed_timing(self, reading: Reading[CronjobChange], cronjob: Cronjob, now: int) -> Timing:
        """A timing as it is to be. One that stays as it is need not fire any more, nor be read by this version."""
        kept = cronjob.timing
        timing = self.timing(reading, "cron", cronjob.cronjob_id, kept)
        if timing is None or not reading.values.keys() & {"cron", *TIMING}:
            return kept
        # What was not sent may be what this version cannot read.
        try:
            table = timing.timetable(cronjob.cronjob_id, cronjob.created_at)
        except errors.InvalidExpression as problem:
            reading.complain("cron", problem)
        except ValueError as problem:
            reading.complain("timezone", problem)
        else:
            if (complaint := never_fires(table, now)) is not None:
                reading.complain("cron", errors.InvalidExpression(complaint))
        return timing

    def _destination(
        self,
        reading: Reading[Any],
        target: str,
        previous: Mapping[str, Any] | None,
        *,
        whole: bool = False,
    ) -> Destination | None:
        """Where the firings are to go; None if something is wrong.

        :param previous: the public parameters of the cron job now, if it has this target
        :param whole: whether of those only secrets may stay
        """
        parameters = parameters_of(target)
        self._refuse_of_others(reading, target)
        if previous is None:
            reading.require(name for name, one in parameters.items() if not one.attribute.optional)
        else:
            self._require_secrets(reading, target, previous)
            if whole:
                needed = [one for one in parameters.values() if not one.attribute.optional]
                reading.require([one.name for one in needed if not one.attribute.secret])
        self._refuse_masks(reading, target, previous or {})
        kept = {} if previous is None or whole else previous
        values = {**kept, **reading.sent(parameters)}
        for name, complaint in self._targets[target].check(values).items():
            if name not in reading.complaints:
                reading.complain(name, ValueError(complaint))
        self._check_parts(reading, values)
        if reading.complaints.keys() & parameters.keys():
            return None
        return Destination(target, *without_secrets(target, values))

    def _refuse_of_others(self, reading: Reading[Any], target: str) -> None:
        """Complain about parameters of another target."""
        can_choose = "delivery_type" in reading.known
        for name, value in reading.parameters.items():
            usable = isinstance(value, str) or name in reading.values
            if usable and (owner := target_of(name)) not in (None, target):
                advice = f"leave it out, or give delivery_type={owner}" if can_choose else "leave it out"
                complaint = f"belongs to delivery_type={owner}, and this is {target}; {advice}"
                reading.complain(name, ValueError(complaint))

    def _check_size(
        self, reading: Reading[Any], target: str, public: Mapping[str, Any], cronjob_name: str
    ) -> None:
        """Complain about what is too large to be sent: at the name, if that is all that was sent of it."""
        if target not in self._targets:  # of what was stored by another server
            return
        for name, complaint in self._targets[target].check_size(public, cronjob_name).items():
            if "name" in reading.values and not any(target_of(sent) for sent in reading.values):
                reading.complain("name", ValueError(f"is too long: with it, {name} {complaint}"))
            else:
                reading.complain(name, ValueError(complaint))

    def _require_secrets(self, reading: Reading[Any], target: str, previous: Mapping[str, Any]) -> None:
        """Complain about what is sealed and not sent whole although what it goes with changes."""
        for name, one in parameters_of(target).items():
            partner = one.attribute.goes_with
            if partner is None or name in reading.complaints:
                continue
            if reading.values.get(partner, previous.get(partner)) == previous.get(partner):
                continue
            sent = reading.values.get(name)
            if sent is None and one.attribute.secret:
                complaint = f"is needed with a new {partner}; give the secret that belongs to it"
                reading.complain(name, ValueError(complaint))
            elif sent is None or (one.attribute.hide is not None and MASK in sent):
                complaint = f"is needed with new {partner}; give it whole, with its secrets"
                reading.complain(name, ValueError(complaint))

    def _refuse_masks(self, reading: Reading[Any], target: str, previous: Mapping[str, Any]) -> None:
        """Complain about a text that stands for secrets, unless it is all of what is shown of the cron job.

        A secret is never put into another text than it was given in: whoever can change a cron job, and does not know
        its secret, could have it sent elsewhere.
        """
        for name, one in parameters_of(target).items():
            sent = reading.values.get(name, "")
            if one.attribute.hide is not None and MASK in sent and sent != previous.get(name):
                reading.complain(name, ValueError(_MASKED))

    def _check_parts(self, reading: Reading[Any], values: Mapping[str, Any]) -> None:
        """Complain about a part that is marked as secret and is not there: a slip would leave it in the clear."""
        url, parts = values.get("delivery_http_url"), reading.values.get("delivery_http_secret_parts", ())
        if url is None or "delivery_http_url" in reading.complaints:
            return
        if not all(has_part(url, part) for part in parts):
            complaint = (
                "names what delivery_http_url does not have; give names of its parameters, or / for its path"
            )
            reading.complain("delivery_http_secret_parts", ValueError(complaint))


def _keeps_secret(reading: Reading[Any], destination: Destination) -> bool:
    """Whether a change leaves what is sealed of a cron job, whose target stays, as it is."""
    return any(
        name not in reading.values
        if one.attribute.secret
        # What stands whole in the secret is to be sealed: sent, or stored by a version that did not hide it.
        else one.attribute.hide is not None
        and MASK in destination.public.get(name, "")
        and name not in destination.secret
        for name, one in parameters_of(destination.target).items()
    )


def _check_order(reading: Reading[Any], public: Mapping[str, Any]) -> None:
    """Complain where a request does not want the order that its topic keeps."""
    if reading.values.get("ordered") is False and public.get("sns_topic", "").endswith(FIFO):
        reading.complain(
            "ordered",
            ValueError("cannot be false on a FIFO topic, which is there for the order; leave it out"),
        )


def _policies(reading: Reading[Any], base: Mapping[str, Any]) -> dict[str, Any]:
    sent = reading.sent(declared(Policies))
    return {**base, **{name: stored_value(name, value) for name, value in sent.items()}}
