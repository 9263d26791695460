"""Looking at a target before a cron job is to send to it: whether it can be reached at all, and what may be wrong.

Invariant: nothing is sent. What was not sent in the request is not looked at, so an edit of something else never waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cronally.contract.reading import Reading
from cronally.contract.targets import TARGETS, parameters_of, targets_of
from cronally.operations import template_rules
from cronally.operations.caller import Caller
from cronally.targets.target import Target


async def look(targets: Mapping[str, Target], caller: Caller, reading: Reading[Any]) -> list[str]:
    """Complain of a target that can never be sent to; return what may be wrong with it."""
    warnings: list[str] = []
    for name in TARGETS:
        sent = reading.sent(parameters_of(name))
        if any(targets_of(each) == (name,) for each in sent):
            marked = template_rules.marked(name, sent, {}, {})
            filled, _ = template_rules.filled(name, marked, "", "")
            found = await targets[name].look(filled, caller.account_id)
            warnings += found.warnings
            for parameter, complaint in found.complaints.items():
                reading.complain(parameter, ValueError(complaint))
    return warnings
