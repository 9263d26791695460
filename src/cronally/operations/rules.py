"""The rules that a new cron job and a change of one must keep, beyond the form of each parameter.

Invariant: pure. Every complaint stands at the parameter that is wrong, and none is kept back for another. What a rule
accepts can be put in a timetable and sent by its target.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cronally import errors
from cronally.clock import zones
from cronally.clock.dates import names_in
from cronally.clock.spacing import too_close
from cronally.contract import templates
from cronally.contract.attribute import declared
from cronally.contract.calendars import unknown_calendars
from cronally.contract.cronjob_requests import CronjobChange, NewCronjob
from cronally.contract.firings import MESSAGES, ManualFiring
from cronally.contract.order import FIFO
from cronally.contract.policies import Policies
from cronally.contract.previews import never_fires
from cronally.contract.reading import Reading
from cronally.contract.stored_policies import default_policies, stored_policies, stored_value
from cronally.contract.targets import DEFAULT_TARGET, parameters_of, target_of, targets_of, without_secrets
from cronally.contract.used_connections import given
from cronally.cron import parse, parse_written
from cronally.cron.hints import of_one, quoted
from cronally.cronjob import Timing, expressions_of, join_expressions
from cronally.instants import MAX_INSTANT, MINUTE, format_duration
from cronally.operations import secret_rules, template_rules
from cronally.operations.using import USED, check_below, check_used, provided_by
from cronally.store.connections import StoredConnection
from cronally.store.cronjobs import Cronjob
from cronally.targets.target import Destination, Target

TIMING: Final = frozenset({"timezone", "dst_gap", "dst_overlap", "starts_at", "ends_at"})
"""The parameters that decide when an expression fires."""
_CHOSEN: Final = ("dst_gap", "dst_overlap", "starts_at", "ends_at")
"""Those of them that are policies."""


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
    """Checks requests. Every method raises InvalidRequest with all complaints at once, unless it says otherwise."""

    def __init__(self, targets: Mapping[str, Target], min_interval: int = MINUTE) -> None:
        """
        :param min_interval: how close to each other fire times may be, in microseconds
        """
        self._targets = targets
        self._min_interval = min_interval

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
        if (
            "delivery_type" not in reading.complaints
        ):  # of a target that there is not, nothing else can be said
            target = values.get("delivery_type", DEFAULT_TARGET)
            destination = self._destination(reading, target, None, used=used)
        if destination is not None:
            _check_order(reading, destination.public)
            if "name" in values:
                self._check_filled(
                    reading, destination.target, template_rules.whole(destination), values["name"], used
                )
        timing = self.timing(reading, "cron", cronjob_id, now)
        if timing is not None and reading.complaints:
            idle = never_fires(timing, cronjob_id, now, now)
            if idle is not None:
                reading.complain(idle.parameter, idle.problem)
        if reading.complaints:
            check_calendars(reading, calendars)
        reading.raise_complaints()
        assert timing is not None  # noqa: S101 - else there was a complaint
        policies = _policies(reading, default_policies())
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
            destination, kept = self._destination(reading, target, None, used=used), frozenset()
        elif any(target_of(name) or name == USED for name in (*values, *reading.complaints)):
            had = cronjob.connection_id is not None
            previous = json.loads(cronjob.destination)
            destination = self._destination(reading, target, previous, used=used, had=had)
            if destination is not None:
                kept = secret_rules.kept_secrets(reading, destination, provided_by(target, used))
        name = values.get("name", cronjob.name)
        public = json.loads(cronjob.destination) if destination is None else destination.public
        _check_order(reading, public)
        if destination is not None or ("name" in values and target == cronjob.target):
            shown = public if destination is None else template_rules.whole(destination)
            self._check_filled(reading, target, shown, name, used)
        timing = self._changed_timing(reading, cronjob, now)
        check_calendars(reading, calendars)
        reading.raise_complaints()
        policies = _policies(reading, stored_policies(cronjob.policies))
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
            destination = self._destination(reading, target, previous, whole=True, used=used)
            if previous is None:
                kept = frozenset()
            elif destination is not None:
                kept = secret_rules.kept_secrets(reading, destination, provided_by(target, used))
        if destination is not None:
            _check_order(reading, destination.public)
            self._check_filled(
                reading, target, template_rules.whole(destination), values.get("name", cronjob.name), used
            )
        base = Timing(cronjob.cron, zones.UTC, None, None)
        timing = self.timing(reading, "cron", cronjob.cronjob_id, cronjob.created_at, base)
        if timing is not None and timing != cronjob.timing:
            idle = never_fires(timing, cronjob.cronjob_id, cronjob.created_at, now)
            if idle is not None:
                reading.complain(idle.parameter, idle.problem)
        check_calendars(reading, calendars)
        reading.raise_complaints()
        assert timing is not None  # noqa: S101 - else there was a complaint
        policies = _policies(reading, default_policies())
        tags = values.get("tags", ())
        return Specification(values["name"], timing, policies, destination, kept, tags, used)

    @property
    def targets(self) -> Mapping[str, Target]:
        """What there is to be sent to."""
        return self._targets

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
        message = template_rules.marked(cronjob.target, sent, {}, {})
        public = _with_own(cronjob, message)
        filled, _ = template_rules.filled(cronjob.target, public, cronjob.name)
        for name, complaint in self._targets[cronjob.target].check(filled).items():
            if name in sent:
                reading.complain(name, ValueError(complaint))
        if not reading.complaints.keys() & MESSAGES:
            self._check_filled(reading, cronjob.target, public, cronjob.name)
        return message

    def message_size(self, cronjob: Cronjob, message: Mapping[str, Any]) -> int:
        """Bytes that a message of `check_message` counts for: as it is sent, if that is more than it is stored."""
        public = _with_own(cronjob, message)
        encoded = json.dumps(message, ensure_ascii=False).encode()
        return max(len(encoded), self._targets[cronjob.target].receiver(public).size)

    def timing(
        self, reading: Reading[Any], named: str, key: str | None, anchor: int, base: Timing | None = None
    ) -> Timing | None:
        """When something is to fire; None, and complaints in `reading`, where something is wrong.

        :param named: the name of the parameter that holds the expressions
        :param key: the id of the cron job, if there is one
        :param anchor: when the cron job was created
        :param base: what holds where nothing was sent
        """
        values = reading.values
        base = base or Timing("", zones.UTC, None, None)
        if named in values:
            texts, stored = values[named], expressions_of(base.cron)
            reading.check(named, lambda: self._expressions(texts, key, stored))
        if reading.complaints.keys() & {named, *TIMING}:
            return None
        timing = Timing(
            join_expressions(values[named]) if named in values else base.cron,
            values.get("timezone", base.timezone),
            **{name: stored_value(name, values.get(name, getattr(base, name))) for name in _CHOSEN},
        )
        bounds = [name for name in ("ends_at", "starts_at") if name in values]
        ends_at = timing.ends_at if timing.ends_at is not None else MAX_INSTANT
        if bounds and ends_at < (timing.starts_at or 0):
            complaint = (
                "must not be earlier than starts_at" if bounds[0] == "ends_at" else "is later than ends_at"
            )
            reading.complain(bounds[0], ValueError(f"{complaint}; give another instant, or default"))
            return None
        if named in values or values.keys() & {"timezone", "starts_at"}:
            return self._spaced(reading, named, timing, key, anchor)
        return timing

    def _expressions(self, texts: Sequence[str], key: str | None, stored: Sequence[str]) -> list[str]:
        """The expressions that were sent, each once. Raises InvalidExpression, which says of which one."""
        found = []
        for text in texts:
            try:
                found.append(self._expression(text, key, stored))
            except errors.InvalidExpression as problem:
                raise (of_one(problem, text) if len(texts) > 1 else problem) from None
        return list(dict.fromkeys(found))

    def _expression(self, text: str, key: str | None, stored: Sequence[str]) -> str:
        """An expression, with single spaces between its fields. Raises InvalidExpression.

        :param stored: those that the cron job has: sent again, they need be no better than they were
        """
        expression = parse(text, key)
        if expression.text not in stored:
            parse_written(text, key)
        shortest = expression.shortest_interval()
        if shortest is not None and shortest < self._min_interval:
            raise errors.InvalidExpression(
                f'"{expression}" has fire times {format_duration(shortest)} apart; this server takes'
                f" {format_duration(self._min_interval)} at least"
            )
        return expression.text

    def _spaced(
        self, reading: Reading[Any], named: str, timing: Timing, key: str | None, anchor: int
    ) -> Timing | None:
        """A timing whose expressions keep their distance from each other; None, and a complaint, for others."""
        if len(expressions_of(timing.cron)) == 1:
            return timing
        try:
            found = too_close(timing.timetable(key, anchor), self._min_interval)
        except (errors.InvalidExpression, ValueError):
            return timing  # what was not sent, and this version cannot read: that is said elsewhere
        if found is None:
            return timing
        advice = "; what rate() and @every are counted from is starts_at" if found.counted else ""
        complaint = (
            f"{quoted(found.one)} and {quoted(found.other)} have fire times {format_duration(found.distance)} apart;"
            f" this server takes {format_duration(self._min_interval)} at least{advice}"
        )
        reading.complain(named, errors.InvalidExpression(complaint))
        return None

    def _changed_timing(self, reading: Reading[CronjobChange], cronjob: Cronjob, now: int) -> Timing:
        """A timing as it is to be. One that stays as it is need not fire any more, nor be read by this version."""
        kept = cronjob.timing
        timing = self.timing(reading, "cron", cronjob.cronjob_id, cronjob.created_at, kept)
        if timing is None or not reading.values.keys() & {"cron", *TIMING}:
            return kept
        # What was not sent may be what this version cannot read.
        try:
            idle = never_fires(timing, cronjob.cronjob_id, cronjob.created_at, now)
        except errors.InvalidExpression as problem:
            reading.complain("cron", problem)
        except ValueError as problem:
            reading.complain("timezone", problem)
        else:
            if idle is not None:
                reading.complain(idle.parameter, idle.problem)
        return timing

    def _destination(
        self,
        reading: Reading[Any],
        target: str,
        previous: Mapping[str, Any] | None,
        *,
        whole: bool = False,
        used: StoredConnection | None = None,
        had: bool = False,
    ) -> Destination | None:
        """Where the firings are to go; None if something is wrong.

        :param previous: the public parameters of the cron job now, if it has this target
        :param whole: whether of those only secrets may stay
        :param used: the connection that it is to use
        :param had: whether it uses one now
        """
        self._refuse_of_others(reading, target)
        provided = check_used(reading, target, used)
        parameters = {name: one for name, one in parameters_of(target).items() if name not in provided}
        needed = [one for one in parameters.values() if not one.attribute.optional]
        if previous is None:
            reading.require([one.name for one in needed])
        else:
            secret_rules.require_secrets(reading, target, previous)
            if not whole:
                secret_rules.require_together(reading, target)
            if whole:
                reading.require([one.name for one in needed if not one.attribute.secret])
            elif had and used is None:
                reading.require([one.name for one in needed if one.name in given(target)])
        secret_rules.refuse_masks(reading, target, previous or {})
        kept = {} if previous is None or whole else previous
        kept = {name: value for name, value in kept.items() if name not in provided}
        values = template_rules.marked(target, reading.sent(parameters), kept, previous or {})
        check_below(reading, values, used)
        for name, one in parameters.items():
            if one.attribute.may_be_empty and not values.get(name):
                values.pop(name, None)
        filled, problems = template_rules.filled(target, values, "")
        for name, complaint in {**self._targets[target].check(filled), **problems}.items():
            if name not in reading.complaints:
                reading.complain(name, ValueError(complaint))
        secret_rules.check_parts(reading, values)
        if reading.complaints.keys() & {*parameters, *provided, USED}:
            return None
        return Destination(target, *without_secrets(target, values))

    def _refuse_of_others(self, reading: Reading[Any], target: str) -> None:
        """Complain about parameters of another target."""
        can_choose = "delivery_type" in reading.known
        for name, value in reading.parameters.items():
            usable = isinstance(value, str) or name in reading.values
            owners = targets_of(name) if usable else ()
            if owners and target not in owners:
                owner = " or ".join(owners)
                advice = f"leave it out, or give delivery_type={owner}" if can_choose else "leave it out"
                complaint = f"belongs to delivery_type={owner}, and this is {target}; {advice}"
                reading.complain(name, ValueError(complaint))

    def _check_filled(
        self,
        reading: Reading[Any],
        target: str,
        public: Mapping[str, Any],
        cronjob_name: str,
        used: StoredConnection | None = None,
    ) -> None:
        """Complain about what is too large to be sent, or leads out of its connection: at the name, if that is all that
        was sent of it."""
        if target not in self._targets:  # of what was stored by another server
            return
        filled, problems = template_rules.filled(target, public, cronjob_name)
        sizes = problems or self._targets[target].check_size(filled, cronjob_name)
        for name, complaint in (sizes or template_rules.leads_out(public, filled, used)).items():
            if "name" in reading.values and not any(target_of(sent) for sent in reading.values):
                what = "is too long" if sizes else "does not fit"
                reading.complain("name", ValueError(f"{what}: with it, {name} {complaint}"))
            else:
                reading.complain(name, ValueError(complaint))


def _check_order(reading: Reading[Any], public: Mapping[str, Any]) -> None:
    """Complain where a request does not want the order that its topic keeps."""
    fifo = any(public.get(name, "").endswith(FIFO) for name in ("sns_topic", "sqs_queue"))
    if reading.values.get("ordered") is False and fifo:
        reading.complain(
            "ordered",
            ValueError(
                "cannot be false on a FIFO topic or queue, which is there for the order; leave it out"
            ),
        )


def check_calendars(reading: Reading[Any], calendars: Sequence[str]) -> None:
    """Complain where a request names a calendar that there is not."""
    if not set(names_in(reading.values.get("exclude"))) <= set(calendars):
        reading.complain("exclude", ValueError(unknown_calendars(calendars)))


def _with_own(cronjob: Cronjob, message: Mapping[str, Any]) -> dict[str, Any]:
    """The public parameters of a cron job with a message in place of its own."""
    return templates.with_own(json.loads(cronjob.destination), message, parameters_of(cronjob.target))


def _policies(reading: Reading[Any], base: Mapping[str, Any]) -> dict[str, Any]:
    sent = reading.sent(declared(Policies))
    return {**base, **{name: stored_value(name, value) for name, value in sent.items()}}
