"""Rules about where firings go and what they send: the parameters of a target, and the connection in place of some.

Invariant: pure, as `rules`. What passes here can be sent by its target, as large as its placeholders make it; a
parameter of another target is refused, never left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cronally.ack_links import AckLinks
from cronally.contract import templates
from cronally.contract.firings import MESSAGES, ManualFiring
from cronally.contract.reading import Reading
from cronally.contract.targets import parameters_of, target_of, targets_of, without_secrets
from cronally.contract.used_connections import given
from cronally.cronjob import read_policies
from cronally.operations import secret_rules, template_rules
from cronally.operations.policy_rules import NOT_ASKED, asking
from cronally.operations.using import USED, check_below, check_used
from cronally.store.connections import StoredConnection
from cronally.store.cronjobs import Cronjob
from cronally.targets.connected import URL_PARAMETER
from cronally.targets.target import Destination, Target


class DestinationRules:
    """Checks what requests say about the target. Complains, and raises nothing."""

    def __init__(self, targets: Mapping[str, Target], links: AckLinks | None = None) -> None:
        self._targets = targets
        self._longest_url = "" if links is None else links.longest

    def check(
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
        unknown = used is None and USED in reading.complaints
        if unknown:  # and whatever it would have is not asked for besides
            provided = given(target).keys()
        parameters = {name: one for name, one in parameters_of(target).items() if name not in provided}
        needed = [one for one in parameters.values() if not one.attribute.optional]
        if previous is None:
            reading.require([one.name for one in needed])
        else:
            secret_rules.require_secrets(reading, target, previous)
            if whole:
                reading.require([one.name for one in needed if not one.attribute.secret])
            else:
                secret_rules.require_together(reading, target)
                if had and used is None:
                    reading.require([one.name for one in needed if one.name in given(target)])
        secret_rules.refuse_masks(reading, target, previous or {})
        kept = {} if previous is None or whole else previous
        kept = {name: value for name, value in kept.items() if name not in provided}
        values = template_rules.marked(target, reading.sent(parameters), kept, previous or {})
        check_below(reading, values, used)
        for name, one in parameters.items():
            if one.attribute.may_be_empty and not values.get(name):
                values.pop(name, None)
        filled, problems = template_rules.filled(target, values, "", self._longest_url)
        for name, complaint in {**self._targets[target].check(filled), **problems}.items():
            below_unknown = unknown and name == URL_PARAMETER and str(values.get(name)).startswith("/")
            if name not in reading.complaints and not below_unknown:
                reading.complain(name, ValueError(complaint))
        secret_rules.check_parts(reading, values)
        if reading.complaints.keys() & {*parameters, *provided, USED}:
            return None
        return Destination(target, *without_secrets(target, values))

    def check_filled(
        self,
        reading: Reading[Any],
        target: str,
        public: Mapping[str, Any],
        cronjob_name: str,
        used: StoredConnection | None = None,
        *,
        asks: bool = False,
    ) -> None:
        """Complain about what is too large to be sent, or leads out of its connection: at the name, if that is all that
        was sent of it.

        :param asks: whether its firings are to be acknowledged
        """
        if target not in self._targets:  # of what was stored by another server
            return
        filled, problems = template_rules.filled(target, public, cronjob_name, self._longest_url)
        ack_url = self._longest_url if asks else None
        sizes = problems or self._targets[target].check_size(filled, cronjob_name, ack_url)
        for name, complaint in (sizes or template_rules.leads_out(public, filled, used)).items():
            if "name" in reading.values and not any(target_of(sent) for sent in reading.values):
                what = "is too long" if sizes else "does not fit"
                reading.complain("name", ValueError(f"{what}: with it, {name} {complaint}"))
            else:
                reading.complain(name, ValueError(complaint))

    def check_message(self, reading: Reading[ManualFiring], cronjob: Cronjob) -> dict[str, Any]:
        """What a firing is to send in place of the message of its cron job."""
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
        asks = read_policies(cronjob.policies).ack_within > 0
        if not asks:
            for name in asking(message):
                reading.complain(name, ValueError(NOT_ASKED))
        filled, _ = template_rules.filled(cronjob.target, public, cronjob.name, self._longest_url)
        for name, complaint in self._targets[cronjob.target].check(filled).items():
            if name in sent:
                reading.complain(name, ValueError(complaint))
        if not reading.complaints.keys() & MESSAGES:
            self.check_filled(reading, cronjob.target, public, cronjob.name, asks=asks)
        return message

    def message_size(self, cronjob: Cronjob, message: Mapping[str, Any]) -> int:
        """Bytes that a message of `check_message` counts for: as it is sent, if that is more than it is stored."""
        public = _with_own(cronjob, message)
        encoded = json.dumps(message, ensure_ascii=False).encode()
        return max(len(encoded), self._targets[cronjob.target].receiver(public).size)

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


def _with_own(cronjob: Cronjob, message: Mapping[str, Any]) -> dict[str, Any]:
    """The public parameters of a cron job with a message in place of its own."""
    return templates.with_own(json.loads(cronjob.destination), message, parameters_of(cronjob.target))
